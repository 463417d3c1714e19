"""Grants: approvals of a shape for more than one command. Made with the approval of a review, used in place of one, revoked at once."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from countersign.model import AuditEvent, Identity, Review, ReviewTerms, Session, Verdict
from countersign.model.clock import Clock, to_text
from countersign.model.grant import Grant, Literal, LiteralKind, Range, Shape
from countersign.model.identity import ADMINISTRATORS
from countersign.reviews.contract import GrantStore
from countersign.reviews.errors import NotAReviewer, ReviewConflict, ReviewError

LONGEST_S = 7 * 86400.0
MOST_USES = 10_000
MOST_VALUES = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reviewer grants with an approval: for how many seconds, how often, and for literals by their number from 1 what they may be.
    Those that are not named stay as they are in the command that was approved."""

    seconds: float
    uses: int
    literals: Mapping[int, str]


def terms_digest(terms: ReviewTerms) -> str:
    """SHA-256 (hex) over the terms that a grant passes by: it holds for no others."""
    return hashlib.sha256(json.dumps(asdict(terms), sort_keys=True).encode()).hexdigest()


def shape_json(shape: Shape) -> dict[str, Any]:
    """The stored form of a shape, which a review of its command shows."""
    return {"key": shape.key, "text": shape.text, "literals": [[literal.kind.value, literal.value] for literal in shape.literals]}


def shape_from(stored: Mapping[str, Any]) -> Shape:
    """The shape of that form."""
    literals = tuple(Literal(LiteralKind(kind), value) for kind, value in stored["literals"])
    return Shape(stored["key"], stored["text"], literals)


def parse_range(written: str, literal: Literal, number: int) -> Range:
    """The values that ``any``, ``1..100`` or ``open|closed`` mean for a literal. Raises ``ReviewError``."""
    if written == "any":
        return Range(any=True)
    low, dots, high = written.partition("..")
    if literal.kind is LiteralKind.NUMBER and dots:
        try:
            bounds = int(low), int(high)
        except ValueError:
            raise ReviewError(f"literal {number}: {written!r} is no range of whole numbers, such as 1..100") from None
        if bounds[0] > bounds[1]:
            raise ReviewError(f"literal {number}: the range {written!r} is empty")
        return Range(low=bounds[0], high=bounds[1])
    if literal.kind not in (LiteralKind.NUMBER, LiteralKind.TEXT):
        raise ReviewError(f"literal {number} is neither a number nor text: it can stay as it is, or be 'any'")
    values = written.split("|")
    if len(values) > MOST_VALUES:
        raise ReviewError(f"literal {number}: at most {MOST_VALUES} values can be listed")
    if literal.kind is LiteralKind.NUMBER:
        if not all(value.removeprefix("-").isdecimal() and value.isascii() for value in values):
            raise ReviewError(
                f"literal {number}: {written!r} is neither 'any' nor a range (1..100) nor a list of whole numbers (1|2)"
            )
        values = [str(int(value)) for value in values]
    return Range(values=tuple(Literal(literal.kind, value) for value in values))


class Grants:
    """Makes, finds, uses and revokes grants, each move with its audit record."""

    def __init__(self, store: GrantStore, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id

    def wished(self, review: Review, reviewer: Identity, reason: str, wish: Wish) -> Grant:
        """The grant that an approval of this review would make. Raises ``ReviewError`` where it can make none."""
        stored = review.command.get("shape")
        if not isinstance(stored, dict):
            raise ReviewError(
                "this command cannot be granted: only plain reads and writes of tables can, whose text has one reading"
            )
        if len(review.terms.steps) > 1 or review.terms.steps[0].approvals > 1:
            raise ReviewError("this review takes more than one approval: a grant by one person would pass the others by")
        if not 0 < wish.seconds <= LONGEST_S:
            raise ReviewError("a grant lasts 7 days at most")
        if not 1 <= wish.uses <= MOST_USES:
            raise ReviewError(f"a grant is for 1 to {MOST_USES:,} commands")
        shape = shape_from(stored)
        unknown = [number for number in wish.literals if not 1 <= number <= len(shape.literals)]
        if unknown:
            raise ReviewError(f"the shape has no literal {unknown[0]}: {len(shape.literals)} there are")
        now = self._clock()
        return Grant(
            id=self._new_id("gr"),
            review_id=review.id,
            identity=review.identity,
            on_behalf_of=review.on_behalf_of,
            target=review.target,
            database=str(review.command.get("database", "")),
            rule=review.rule,
            terms_digest=terms_digest(review.terms),
            shape=shape,
            ranges=tuple(
                parse_range(wish.literals[number], literal, number) if number in wish.literals else Range(values=(literal,))
                for number, literal in enumerate(shape.literals, 1)
            ),
            granted_by=reviewer.name,
            authentication=reviewer.authentication,
            reason=reason,
            created_at=now,
            expires_at=now + timedelta(seconds=wish.seconds),
            uses=wish.uses,
        )

    async def make(self, grant: Grant) -> None:
        """Keep a grant, whose review was approved."""
        await self._store.insert(grant, grant_event("grant.created", grant))

    async def use(
        self, session: Session, verdict: Verdict, shape: Shape, command_id: str, event: Callable[[str], AuditEvent]
    ) -> Grant | None:
        """Use one grant up by one, if any covers a held command; ``event`` makes the command's own record, which names it. None where there is
        none, and nothing is recorded then."""
        assert verdict.terms is not None
        now, terms = self._clock(), terms_digest(verdict.terms)
        for grant in await self._store.live(session.identity.name, session.target.name, now):
            fits = (grant.on_behalf_of, grant.database, grant.rule, grant.terms_digest) == (
                session.identity.on_behalf_of,
                session.database,
                verdict.rule,
                terms,
            )
            if fits and grant.covers(shape):
                used = {"command_id": command_id, "session_id": session.id}

                def events(after: Grant, used: dict[str, str] = used) -> list[AuditEvent]:
                    return [event(after.id), grant_event("grant.used", after, **used)]

                if after := await self._store.use(grant.id, now, events):
                    return after
        return None

    async def select(self, *, only_live: bool = True) -> list[Grant]:
        """Newest first."""
        now = self._clock()
        return [grant for grant in await self._store.all() if grant.is_live(now) or not only_live]

    async def revoke_of(self, review_id: str, by: Identity) -> None:
        """End what this person has granted with an approval that they take back."""
        for grant in await self.select():
            if (grant.review_id, grant.granted_by) == (review_id, by.name):
                await self.revoke(grant.id, by)

    async def revoke(self, id_or_prefix: str, by: Identity) -> Grant:
        """End a grant at once. Raises ``ReviewNotFound``, ``NotAReviewer`` and ``ReviewConflict``."""
        grant = await self._store.get(id_or_prefix)
        if ADMINISTRATORS not in by.groups and by.name != grant.granted_by:
            raise NotAReviewer("a grant is revoked by who made it, or by an administrator")
        now = self._clock()
        if grant.revoked_at is not None:
            raise ReviewConflict(f"grant {grant.id} was revoked before")
        event = grant_event("grant.revoked", grant, by=by.name, authentication=by.authentication)
        return await self._store.revoke(grant.id, by.name, now, event)


def grant_event(kind: str, grant: Grant, **more: str) -> AuditEvent:
    """The audit event of what happened to a grant."""
    body: dict[str, object] = {
        "grant_id": grant.id,
        "review_id": grant.review_id,
        "identity": grant.identity,
        "target": grant.target,
        "rule": grant.rule,
        "shape": grant.shape.text,
        "shape_key": grant.shape.key,
        "granted_by": grant.granted_by,
        "expires_at": to_text(grant.expires_at),
        "uses": grant.uses,
        "used": grant.used,
    }
    if kind == "grant.created":
        body |= {"ranges": ranges_json(grant), "reason": grant.reason, "authentication": grant.authentication}
    return AuditEvent(kind, body | more)


def ranges_json(grant: Grant) -> list[dict[str, object]]:
    """What each literal may be, in the API's and the log's form."""
    return [range_json(allowed) for allowed in grant.ranges]


def range_json(allowed: Range) -> dict[str, object]:
    """One of them: ``any``, ``from`` and ``to``, or ``values``."""
    if allowed.any:
        return {"any": True}
    if allowed.low is not None:
        return {"from": allowed.low, "to": allowed.high}
    return {"values": [[literal.kind.value, literal.value] for literal in allowed.values]}


def range_from(stored: Mapping[str, Any]) -> Range:
    """The range of that form."""
    if stored.get("any"):
        return Range(any=True)
    if "from" in stored:
        return Range(low=stored["from"], high=stored["to"])
    return Range(values=tuple(Literal(LiteralKind(kind), value) for kind, value in stored["values"]))
