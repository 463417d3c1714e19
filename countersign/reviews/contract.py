"""What the review service asks of a store. Each call is one transaction and returns once it is committed."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from countersign.model import AuditEvent, Review, ReviewState
from countersign.model.grant import Grant

Change = Callable[[Review], tuple[Review, Sequence[AuditEvent]]]
"""Given the review as it is now, what it becomes and what the log says of it. Raises ``ReviewError`` to leave it."""


class ReviewStore(Protocol):
    """Keeps reviews, and writes what happens to them into the audit log in the same transaction.

    Every method raises ``AuditUnavailable`` where the store fails.
    """

    async def insert(self, review: Review, events: Sequence[AuditEvent]) -> None:
        """Keep a new review."""

    async def change(self, review_id: str, change: Change) -> Review:
        """Apply a change under the store's lock. Raises ``ReviewNotFound`` and whatever ``change`` raises."""

    async def get(self, id_or_prefix: str) -> Review:
        """By id or unique prefix. Raises ``ReviewNotFound``."""

    async def select(self, states: Sequence[ReviewState] = (), *, limit: int = 500, identity: str = "") -> list[Review]:
        """Newest first; every state where none is named."""

    async def abandoned(self, living: Collection[str]) -> list[Review]:
        """What is pending, or was released and has no outcome, and is held by none of these gateways."""

    async def moved(self, ids: Sequence[str]) -> list[Review]:
        """Those of these that are not pending any more."""

    async def due(self, now: datetime) -> list[Review]:
        """Those of which ``machine.next_at`` has come, the longest due first."""


class GrantStore(Protocol):
    """Keeps grants, with what happens to them in the audit log. Raises ``AuditUnavailable`` where the store fails."""

    async def insert(self, grant: Grant, event: AuditEvent) -> None:
        """Keep a new grant."""

    async def live(self, identity: str, target: str, now: datetime) -> list[Grant]:
        """Those of an identity on a target that can still be used, the newest first."""

    async def use(self, grant_id: str, now: datetime, events: Callable[[Grant], Sequence[AuditEvent]]) -> Grant | None:
        """Use it up by one, under the store's lock; None where it cannot be used any more."""

    async def revoke(self, grant_id: str, by: str, now: datetime, event: AuditEvent) -> Grant:
        """End it. Raises ``ReviewConflict`` where somebody else did."""

    async def get(self, id_or_prefix: str) -> Grant:
        """By id or unique prefix. Raises ``ReviewNotFound``."""

    async def all(self) -> list[Grant]:
        """Newest first."""
