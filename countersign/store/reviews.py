"""Reviews and decisions in the store."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from countersign.model import AuditEvent, Decision, DecisionKind, OnTimeout, Review, ReviewState, ReviewTerms, Step, Subjects
from countersign.model.clock import from_text, to_text
from countersign.reviews.contract import Change
from countersign.reviews.errors import ReviewNotFound
from countersign.reviews.machine import next_at
from countersign.store import schema
from countersign.store.database import Database, Transaction

LAST = "~"
"""Comes behind every letter of an id."""
CHANNEL = "countersign_reviews"
"""Where the gateways on one PostgreSQL tell each other which review has moved."""
IDS_AT_ONCE = 500
CHANGING = ("state", "outcome", "updated_at", "expires_at", "released_at", "marks", "next_at")
"""What of a review its moves change; the store refuses another change of what it is about."""


class StoredReviews:
    """Implements ``reviews.contract.ReviewStore``."""

    def __init__(self, database: Database, gateway: str = "") -> None:
        self._database = database
        self._gateway = gateway

    async def insert(self, review: Review, events: Sequence[AuditEvent]) -> None:
        """Keep a new review and its audit records, or neither."""

        def job(transaction: Transaction) -> None:
            transaction.connection.execute(schema.reviews.insert().values(**_row(review)))
            transaction.append(list(events))
            self._tell(transaction, review)

        await self._database.write(job)

    async def change(self, review_id: str, change: Change) -> Review:
        """Read, change and write one review with its audit records in one transaction of the single writer."""

        def job(transaction: Transaction) -> Review:
            before = _find(transaction.connection, review_id)
            after, events = change(before)
            for number, decision in enumerate(after.decisions[len(before.decisions) :], len(before.decisions)):
                row = _decision_row(before.id, number, decision)
                transaction.connection.execute(schema.decisions.insert().values(**row))
            row = _row(after)
            query = update(schema.reviews).where(schema.reviews.c.id == before.id)
            transaction.connection.execute(query.values(**{name: row[name] for name in CHANGING}))
            transaction.append(list(events))
            if after is not before:
                self._tell(transaction, after)
            return after

        return await self._database.write(job)

    def _tell(self, transaction: Transaction, review: Review) -> None:
        """Have the other gateways hear of it, when it is committed."""
        if transaction.backend.is_shared:
            transaction.connection.execute(select(func.pg_notify(CHANNEL, f"{self._gateway} {review.id}")))

    async def get(self, id_or_prefix: str) -> Review:
        """By id or unique prefix, with or without its ``rv-``."""
        return await self._database.read(lambda connection: _find(connection, id_or_prefix))

    async def select(self, states: Sequence[ReviewState] = (), *, limit: int = 500, identity: str = "") -> list[Review]:
        """Newest first."""
        query = select(schema.reviews).order_by(schema.reviews.c.created_at.desc()).limit(limit)
        if states:
            query = query.where(schema.reviews.c.state.in_([state.value for state in states]))
        if identity:
            query = query.where(schema.reviews.c.identity == identity)
        return await self._database.read(lambda connection: load_reviews(connection, query))

    async def abandoned(self, living: Collection[str]) -> list[Review]:
        """See ``ReviewStore``."""
        table = schema.reviews.c
        ran = and_(table.state == ReviewState.APPROVED.value, table.released_at.is_not(None))
        query = select(schema.reviews).where(table.gateway.not_in(living), or_(table.state == ReviewState.PENDING.value, ran))
        return await self._database.read(partial(load_reviews, query=query))

    async def moved(self, ids: Sequence[str]) -> list[Review]:
        """Those of these that are not pending any more."""
        table = schema.reviews
        found: list[Review] = []
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = table.c.id.in_(ids[start : start + IDS_AT_ONCE])
            query = select(table).where(some, table.c.state != ReviewState.PENDING.value)
            found += await self._database.read(partial(load_reviews, query=query))
        return found

    async def due(self, now: datetime) -> list[Review]:
        """Those to which time now does something, the longest due first."""
        table = schema.reviews
        query = select(table).where(table.c.next_at <= to_text(now)).order_by(table.c.next_at)
        return await self._database.read(lambda connection: load_reviews(connection, query))


def _find(connection: Connection, id_or_prefix: str) -> Review:
    wanted = id_or_prefix if id_or_prefix.startswith("rv-") else f"rv-{id_or_prefix}"
    # A range, and not LIKE, which would read every review there ever was.
    within = and_(schema.reviews.c.id >= wanted, schema.reviews.c.id < wanted + LAST)
    query = select(schema.reviews).where(within).order_by(schema.reviews.c.id).limit(2)
    found = load_reviews(connection, query)
    exact = [review for review in found if review.id == wanted]
    if len(exact or found) == 1 and len(wanted) > len("rv-"):
        return (exact or found)[0]
    raise ReviewNotFound(f"several reviews begin with {id_or_prefix}" if found else f"there is no review {id_or_prefix}")


def load_reviews(connection: Connection, query: Any) -> list[Review]:
    """The reviews that a query of their table finds, in its order."""
    rows = connection.execute(query).mappings().all()
    decided: dict[str, list[Decision]] = {row["id"]: [] for row in rows}
    table = schema.decisions
    ids = list(decided)
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = select(table).where(table.c.review_id.in_(ids[start : start + IDS_AT_ONCE])).order_by(table.c.number)
        for row in connection.execute(some).mappings():
            decided[row["review_id"]].append(_decision(row))
    return [_review(row, tuple(decided[row["id"]])) for row in rows]


def _row(review: Review) -> dict[str, Any]:
    row = {name: getattr(review, name) for name in schema.reviews.columns.keys() if name != "next_at"}
    times: dict[str, datetime | None] = {name: row[name] for name in ("created_at", "expires_at", "updated_at", "released_at")}
    times["next_at"] = next_at(review)
    texts = {name: json.dumps(value) for name, value in (("command", review.command), ("marks", review.marks))}
    terms = json.dumps(asdict(review.terms))
    return row | {name: at and to_text(at) for name, at in times.items()} | texts | {"terms": terms, "state": review.state.value}


def _review(row: Any, decisions: tuple[Decision, ...]) -> Review:
    terms: dict[str, Any] = json.loads(row["terms"])
    fields = {name: value for name, value in dict(row).items() if name != "next_at"} | {
        "state": ReviewState(row["state"]),
        "command": json.loads(row["command"]),
        "terms": _terms(terms),
        "marks": tuple(json.loads(row["marks"])),
        "released_at": from_text(row["released_at"]) if row["released_at"] else None,
        "decisions": decisions,
    }
    return Review(**fields | {name: from_text(row[name]) for name in ("created_at", "expires_at", "updated_at")})


def _terms(stored: dict[str, Any]) -> ReviewTerms:
    steps = tuple(
        Step(_subjects(step["reviewers"]), step["approvals"], step["escalate_after_s"], _subjects(step["escalate_to"]))
        for step in stored["steps"]
    )
    subset = tuple(stored["safe_subset"])
    return ReviewTerms(steps, stored["timeout_s"], OnTimeout(stored["on_timeout"]), subset, _subjects(stored["break_glass"]))


def _subjects(stored: dict[str, Any]) -> Subjects:
    return Subjects(**{name: tuple(values) for name, values in stored.items()})


def _decision_row(review_id: str, number: int, decision: Decision) -> dict[str, Any]:
    return asdict(decision) | {
        "review_id": review_id,
        "number": number,
        "kind": decision.kind.value,
        "decided_at": to_text(decision.decided_at),
    }


def _decision(row: Any) -> Decision:
    return Decision(
        reviewer=row["reviewer"],
        authentication=row["authentication"],
        kind=DecisionKind(row["kind"]),
        reason=row["reason"],
        digest=row["digest"],
        decided_at=from_text(row["decided_at"]),
        step=row["step"],
        at_most_rows=row["at_most_rows"],
        proposal=row["proposal"],
    )
