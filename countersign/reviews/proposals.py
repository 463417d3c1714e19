"""Counter-proposals: what a reviewer would let through instead of what they denied. Each passes once, as it was written. Pure.

They are in memory: a restart forgets them, and then what was proposed is held like anything else.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from countersign.model import Command, Review, Session
from countersign.reviews.records import command_json

HOLDS = timedelta(minutes=30)
MOST = 10_000
"""Kept at once; the oldest goes first."""
LONGEST = 4000
"""Characters: it has to fit in the hint that the agent reads."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A text that may be sent once instead, with how it was read: what others put behind its names since makes another command of it."""

    review_id: str
    reviewer: str
    reading: object
    place: str
    expires_at: datetime


Key = tuple[str, str, str, str, str, str]


class Proposals:
    """The proposals that nobody has used yet."""

    def __init__(self) -> None:
        self._kept: dict[Key, Proposal] = {}

    def put(self, review: Review, reviewer: str, command: Command, place: str, now: datetime) -> None:
        """Keep what was proposed instead of a denied command; ``command`` is how the proposal reads in the session that asked."""
        database = str(review.command.get("database", ""))
        key = (review.identity, review.on_behalf_of, review.target, database, command.protocol, command.text)
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = Proposal(review.id, reviewer, _reading(command), place, now + HOLDS)

    def take(self, session: Session, command: Command, place: str | None, now: datetime) -> Proposal | None:
        """The proposal that a command is, which is used up by that; None where it is none."""
        identity = session.identity
        key = (identity.name, identity.on_behalf_of, session.target.name, session.database, command.protocol, command.text)
        found = self._kept.get(key)
        if found is None or command.parameters or now >= found.expires_at:
            return None
        if (place, _reading(command)) != (found.place, found.reading):
            return None
        return self._kept.pop(key)


def _reading(command: Command) -> object:
    stored = command_json(command)
    return {name: stored[name] for name in ("effects", "statements", "attributes", "asks_unmasked")}
