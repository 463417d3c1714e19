"""Moves reviews through their life and wakes whoever waits for them."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from countersign.model import (
    AuditEvent,
    Command,
    Decision,
    DecisionKind,
    Identity,
    OnTimeout,
    Review,
    ReviewState,
    Session,
    Verdict,
)
from countersign.model.blast import BlastRadius, NoBlastRadius, Surveyor
from countersign.model.clock import Clock, to_text
from countersign.model.grant import Grant, Shape
from countersign.reviews import machine
from countersign.reviews.contract import ReviewStore
from countersign.reviews.errors import NotAReviewer, ReviewConflict, ReviewError
from countersign.reviews.grants import Grants, Wish, shape_json

log = structlog.get_logger(__name__)

Listener = Callable[[Review], None]
LetBy = Callable[[], str]
"""The rule of a review's safe subset that would let its command run now; empty where none would."""
OWNER_LATE = timedelta(seconds=10)
"""How long the gateway that holds a command has to ask its safe subset, before another one expires the review."""


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A review as it was opened, and a future that ends with the review as soon as it is no longer pending."""

    review: Review
    decided: asyncio.Future[Review]


class ReviewService:
    """The only writer of reviews. Every move is committed, with its audit record, before anybody hears of it."""

    def __init__(self, store: ReviewStore, grants: Grants, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._grants = grants
        self._clock = clock
        self._new_id = new_id
        self._waiters: dict[str, asyncio.Future[Review]] = {}
        self._surveyors: dict[str, Surveyor] = {}
        self._safe_subsets: dict[str, LetBy] = {}
        self._dry_runs: set[str] = set()
        """The reviews whose commands are being run: none waits for another, for by then the review may be decided."""
        self._listeners: set[Listener] = set()

    # -- looking
    async def get(self, id_or_prefix: str) -> Review:
        """Raises ``ReviewNotFound``."""
        return await self._store.get(id_or_prefix)

    async def select(self, states: Sequence[ReviewState] = (), *, limit: int = 500, identity: str = "") -> list[Review]:
        """Newest first."""
        return await self._store.select(states, limit=limit, identity=identity)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after every move; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # -- the gate's side
    async def open(
        self,
        session: Session,
        command: Command,
        verdict: Verdict,
        digest: str,
        event: Callable[[str], AuditEvent],
        *,
        command_id: str,
        surveyor: Surveyor | None = None,
        let_by: LetBy = lambda: "",
        shape: Shape | None = None,
    ) -> Held:
        """Put a held command before the reviewers. ``verdict.terms`` must be set; ``event`` makes the command's own record, which names
        the review. ``let_by`` is asked when the time is over."""
        assert verdict.terms is not None
        now = self._clock()
        review = Review(
            id=self._new_id("rv"),
            state=ReviewState.PENDING,
            command_id=command_id,
            session_id=session.id,
            target=session.target.name,
            identity=session.identity.name,
            on_behalf_of=session.identity.on_behalf_of,
            digest=digest,
            rule=verdict.rule,
            command=command_json(command) | client_json(session) | ({"shape": shape_json(shape)} if shape else {}),
            terms=verdict.terms,
            created_at=now,
            expires_at=machine.ends_at(verdict.terms, now),
            updated_at=now,
        )
        held = Held(review, asyncio.get_running_loop().create_future())
        self._waiters[review.id] = held.decided
        self._safe_subsets[review.id] = let_by
        if surveyor is not None:
            self._surveyors[review.id] = surveyor
        try:
            await self._store.insert(review, [event(review.id), moved(review, "review.opened")])
        except BaseException:
            self._forget(review.id)
            raise
        self._announce(review)
        return held

    async def release(self, review_id: str) -> Review:
        """Mark an approved review as used, once. Raises ``ReviewConflict`` where it is not approved or was used (I2)."""

        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            now = self._clock()
            if review.state is not ReviewState.APPROVED or review.released_at is not None:
                raise ReviewConflict(f"review {review.id} is {review.state} and cannot be used")
            if now >= review.expires_at:
                raise ReviewConflict(f"review {review.id} has expired")
            released = dataclasses.replace(review, released_at=now, updated_at=now)
            return released, [moved(released, "review.released")]

        return await self._change(review_id, change)

    async def cancel(self, review_id: str, why: str) -> Review:
        """End a review that nobody waits for any more. Raises ``ReviewConflict`` where it has ended already."""
        return await self._end(review_id, ReviewState.CANCELLED, why)

    async def finish(self, review_id: str, *, ok: bool, outcome: str) -> Review:
        """Say what became of a released review."""
        return await self._end(review_id, ReviewState.EXECUTED if ok else ReviewState.FAILED, outcome)

    # -- the reviewers' side
    async def decide(
        self, review_id: str, reviewer: Identity, kind: DecisionKind, digest: str, reason: str, wish: Wish | None = None
    ) -> Review:
        """Take one reviewer's decision on the digest that they saw. With a ``wish`` an approval makes a grant as well.

        Raises ``ReviewNotFound``, ``NotAReviewer``, ``ReviewError`` where a reason is missing, and ``ReviewConflict`` where the review
        has moved on or expired, shows another digest, or has this reviewer's approval already.
        """
        if not reason.strip() and kind in _REASON_NEEDED:
            raise ReviewError(_REASON_NEEDED[kind])

        made: list[Grant] = []

        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            now = self._clock()
            self._refuse_decision(review, reviewer, kind, digest)
            if wish is not None:
                if kind is not DecisionKind.APPROVE:
                    raise ReviewError("a grant comes with an approval")
                made.append(self._grants.wished(review, reviewer, reason.strip(), wish))
            step = min(machine.progress(review).step, len(review.terms.steps) - 1)
            decision = Decision(reviewer.name, reviewer.authentication, kind, reason.strip(), digest, now, step)
            after = machine.decided(review, decision, now)
            forced = [moved(after, "review.forced")] if kind is DecisionKind.FORCE else []
            return after, [decision_event(after, decision), *forced, *_events(review, after)]

        after = await self._change(review_id, change)
        if made:
            await self._grants.make(made[0])
        if kind is DecisionKind.FORCE:
            log.warning("glass_broken", review_id=after.id, by=reviewer.name, reason=reason.strip())
        return after

    def _refuse_decision(self, review: Review, reviewer: Identity, kind: DecisionKind, digest: str) -> None:
        now = self._clock()
        if kind in (DecisionKind.APPROVE, DecisionKind.FORCE) and review.state is not ReviewState.PENDING:
            raise ReviewConflict(f"review {review.id} is {review.state} already")
        if refusal := machine.may_decide(review, reviewer, kind, now):
            raise NotAReviewer(refusal)
        if conflict := machine.refused_now(review, reviewer, kind):
            raise ReviewConflict(conflict)
        if now >= review.expires_at:
            raise ReviewConflict(f"review {review.id} has expired")
        if digest != review.digest:
            raise ReviewConflict("the digest is not that of the held command: look at the review again")

    def open_to(self, review: Review, reviewer: Identity) -> list[str]:
        """The decisions that this identity could make now."""
        now = self._clock()
        return [
            kind.value
            for kind in DecisionKind
            if not machine.may_decide(review, reviewer, kind, now) and not machine.refused_now(review, reviewer, kind)
        ]

    async def estimate(self, review_id: str) -> BlastRadius:
        """What a pending review's command would touch, by the target's plan. Raises ``ReviewNotFound`` and ``NoBlastRadius``."""
        review = await self._store.get(review_id)
        return await self._surveyor(review).estimate()

    async def dry_run(self, review_id: str, reviewer: Identity, digest: str) -> BlastRadius:
        """The same by a run that is rolled back, on record before it begins and afterwards. Raises that, and what ``decide`` raises:
        only who may decide may have it run."""

        def asked(review: Review) -> tuple[Review, list[AuditEvent]]:
            self._refuse_dry_run(review, reviewer, digest)
            self._surveyor(review)
            return review, [dry_run_event(review, reviewer, None)]

        review_id = (await self._store.get(review_id)).id  # it may have been given shortened
        if review_id in self._dry_runs:
            raise NoBlastRadius("it is being run already")
        self._dry_runs.add(review_id)
        try:
            review = await self._store.change(review_id, asked)
            found = await self._surveyor(review).dry_run()
        finally:
            self._dry_runs.discard(review_id)
        await self._store.change(review_id, lambda now: (now, [dry_run_event(now, reviewer, found)]))
        return found

    def _refuse_dry_run(self, review: Review, reviewer: Identity, digest: str) -> None:
        """Whoever may deny may look; whoever has approved may look again."""
        self._refuse_decision(review, reviewer, DecisionKind.DENY, digest)

    def _surveyor(self, review: Review) -> Surveyor:
        surveyor = self._surveyors.get(review.id)
        if surveyor is None:
            is_held = review.state is ReviewState.PENDING
            raise NoBlastRadius("this target is not asked what commands would touch" if is_held else "nothing is held any more")
        return surveyor

    # -- time
    async def pass_time(self) -> None:
        """Expire, escalate and remind of what is due. The moments are those of the store, so a restart loses none."""
        now = self._clock()
        for review in await self._store.due(now):
            let_by = ""
            if review.terms.on_timeout is OnTimeout.SAFE_SUBSET and now >= review.expires_at:
                ask = self._safe_subsets.get(review.id)
                if ask is None and now < review.expires_at + OWNER_LATE:
                    continue  # another gateway's to ask
                let_by = ask() if ask else ""
            await self._pass_time(review.id, let_by)

    async def _pass_time(self, review_id: str, let_by: str) -> None:
        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            after = machine.passed(review, self._clock(), let_by)
            if after is review:
                raise ReviewConflict(f"review {review.id} has moved on")  # somebody moved it between our look and our move
            return after, _events(review, after)

        with contextlib.suppress(ReviewConflict):
            await self._change(review_id, change)

    async def recover(self) -> None:
        """After a restart: nobody waits for the pending ones, and the released ones have no known outcome.

        An approved and unused review keeps its state until it expires; its client is gone, so it never runs (I4).
        """
        for review in await self._store.select([ReviewState.PENDING]):
            await self._end_if_open(review, ReviewState.CANCELLED, "the gateway stopped while it was held")
        for review in await self._store.select([ReviewState.APPROVED]):
            if review.released_at is not None:
                why = "outcome not known: the gateway stopped while it ran"
                await self._end_if_open(review, ReviewState.FAILED, why)

    # -- within
    async def _end_if_open(self, review: Review, state: ReviewState, why: str) -> None:
        try:
            await self._end(review.id, state, why)
        except ReviewConflict:
            return  # somebody else ended it between our look and our move

    async def _end(self, review_id: str, state: ReviewState, why: str) -> Review:
        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            if state not in machine.TRANSITIONS[review.state]:
                raise ReviewConflict(f"review {review.id} is {review.state} already")
            after = dataclasses.replace(review, state=state, outcome=why, updated_at=self._clock())
            return after, [moved(after, f"review.{state}")]

        return await self._change(review_id, change)

    async def _change(self, review_id: str, change: Callable[[Review], tuple[Review, list[AuditEvent]]]) -> Review:
        review = await self._store.change(review_id, change)
        self._announce(review)
        return review

    def _announce(self, review: Review) -> None:
        if review.state is not ReviewState.PENDING:
            waiter = self._forget(review.id)
            if waiter is not None and not waiter.done():
                waiter.set_result(review)
        for listener in list(self._listeners):
            listener(review)

    def _forget(self, review_id: str) -> asyncio.Future[Review] | None:
        """What is kept of a held command, of which the future of whoever waits is returned."""
        self._surveyors.pop(review_id, None)
        self._safe_subsets.pop(review_id, None)
        return self._waiters.pop(review_id, None)


_REASON_NEEDED = {
    DecisionKind.DENY: "a denial needs a reason: it is what the agent reads",
    DecisionKind.FORCE: "breaking the glass needs a reason: others will ask for it",
}


def command_json(command: Command) -> dict[str, object]:
    """The stored form of a command: what a reviewer is shown, and no more. What is very long is cut with a mark."""
    return {
        "protocol": command.protocol,
        "text": command.shown_text,
        "effects": sorted(command.effects),
        "statements": [
            {
                "kind": statement.kind,
                "effects": sorted(statement.effects),
                "summary": statement.summary,
                "reads": list(statement.reads),
                "writes": list(statement.writes),
                "functions": list(statement.functions),
                "has_where": statement.has_where,
                "reasons": list(statement.reasons),
            }
            for statement in command.statements
        ],
        "parameters": parameters_json(command),
        "attributes": dict(command.attributes),
        "asks_unmasked": command.asks_unmasked,
    } | ({"cut": True} if command.is_cut else {})


def parameters_json(command: Command) -> list[dict[str, object]]:
    """The parameters in that form."""
    return [{"shown": parameter.shown, "is_null": parameter.raw is None} for parameter in command.parameters]


def client_json(session: Session) -> dict[str, object]:
    """Where a command came from, beside the command."""
    return {
        "client_address": session.client_address,
        "application": session.application,
        "database": session.database,
    }


def _events(before: Review, after: Review) -> list[AuditEvent]:
    """What the log says of a move, beside the decision that made it."""
    found = [moved(after, f"review.{mark.partition(':')[0]}") for mark in after.marks if mark not in before.marks]
    if after.state is not before.state:
        return [*found, moved(after, f"review.{after.state}")]
    if machine.progress(after).step != machine.progress(before).step:
        return [*found, moved(after, "review.advanced")]
    return found


def moved(review: Review, kind: str) -> AuditEvent:
    """The audit event of a review's move."""
    return AuditEvent(
        kind,
        {
            "review_id": review.id,
            "state": review.state.value,
            "command_id": review.command_id,
            "session_id": review.session_id,
            "identity": review.identity,
            "target": review.target,
            "digest": review.digest,
            "rule": review.rule,
            "outcome": review.outcome,
            "step": machine.progress(review).step,
            "expires_at": to_text(review.expires_at),
        },
    )


def dry_run_event(review: Review, reviewer: Identity, found: BlastRadius | None) -> AuditEvent:
    """The audit event of a dry run: before it begins, and with what it found."""
    body: dict[str, object] = {
        "review_id": review.id,
        "command_id": review.command_id,
        "session_id": review.session_id,
        "digest": review.digest,
        "identity": review.identity,
        "target": review.target,
        "by": reviewer.name,
        "authentication": reviewer.authentication,
    }
    if found is None:
        return AuditEvent("review.dry_run", body)
    return AuditEvent("review.dry_run_done", body | {"rows": [statement.rows for statement in found.statements]})


def decision_event(review: Review, decision: Decision) -> AuditEvent:
    """The audit event of one reviewer's decision."""
    return AuditEvent(
        "review.decision",
        {
            "review_id": review.id,
            "command_id": review.command_id,
            "session_id": review.session_id,
            "reviewer": decision.reviewer,
            "authentication": decision.authentication,
            "decision": decision.kind.value,
            "step": decision.step,
            "reason": decision.reason,
            "digest": decision.digest,
            "target": review.target,
            "identity": review.identity,
        },
    )
