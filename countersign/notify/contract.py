"""What a channel is given, what it owes, and what the store keeps for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from countersign.model import AuditEvent, Review
from countersign.model.blast import BlastRadius

REMINDER = "review.reminder"
"""The event of a notice that says again what waits; no record has it."""


Reach = Callable[[], Awaitable[BlastRadius | None]]


async def nothing_known() -> BlastRadius | None:
    """What is known of the reach where nobody can tell."""
    return None


@dataclass(frozen=True, slots=True)
class Notice:
    """One move of a review. ``id`` is the same whenever it is told; ``facts`` are the body of its record, ``review`` is as it is now.

    ``event`` is the record's kind, or ``review.reminder``. ``url`` leads to the review in the console. ``reach`` asks what the command would
    touch, and answers None where that cannot be told.
    """

    id: str
    event: str
    time: str
    review: Review
    facts: Mapping[str, object]
    url: str
    reach: Reach = nothing_known


class Channel(Protocol):
    """``place`` names it for people and holds no secret."""

    place: str

    def wants(self, event: str) -> bool:
        """Whether it is told of this at all."""

    async def tell(self, notice: Notice) -> None:
        """Return once it is told. Raises ``audit.sinks.SinkError``, whose ``stuck`` says that it will never take this notice."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notice that a channel did not take. ``seq`` is its record's number; the record is where its content is."""

    channel: str
    seq: int
    event: str
    review_id: str
    error: str
    given_up_at: datetime


class NoticeStore(Protocol):
    """Keeps what channels must not forget. Raises ``AuditUnavailable``."""

    async def bury(self, letter: DeadLetter, event: AuditEvent) -> None:
        """Keep a dead letter, and put it on record."""

    async def dead(self, channel: str = "") -> Sequence[DeadLetter]:
        """Dead letters, of one channel or all, oldest first."""

    async def unbury(self, channel: str, seq: int) -> None:
        """Forget a dead letter: it was delivered, or nobody wants it any more."""

    async def handle(self, channel: str, review_id: str) -> str:
        """What the channel keeps of a review, such as where its message stands; empty where it keeps nothing."""

    async def keep_handle(self, channel: str, review_id: str, handle: str) -> None:
        """Keep that."""

    async def unreminded(self, channel: str, before: datetime, limit: int) -> Sequence[Review]:
        """Pending reviews opened before then of which this channel was not reminded, oldest first."""

    async def keep_reminded(self, channel: str, review_id: str) -> None:
        """Note that it was."""
