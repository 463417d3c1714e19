"""The log's records of reviews, one to a parcel, and the notices that they make."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from countersign.audit import record_of
from countersign.audit.contract import LogReader
from countersign.audit.export import JSONL, Line
from countersign.audit.sinks import Parcel
from countersign.model import AuditRecord, Review
from countersign.model.blast import BlastRadius, NoBlastRadius
from countersign.notify.contract import REMINDER, Notice
from countersign.reviews.canaries import is_canary
from countersign.reviews.contract import ReviewStore
from countersign.reviews.errors import ReviewError, ReviewNotFound

READ_AHEAD = 20_000
REACH_S = 5.0
Estimate = Callable[[str], Awaitable[BlastRadius]]
"""What a review's command would touch. Raises ``NoBlastRadius`` and ``ReviewError``."""
MARK = b'"kind":"review.'
"""Stands in every entry of a review's record, and in hardly any other."""


class ReviewFeed:
    """Records of reviews. Implements ``audit.delivery.Feed``. What was read ahead is kept, for there is one record to a parcel only."""

    def __init__(self, name: str, log: LogReader) -> None:
        self.name = name
        self._log = log
        self._ahead: deque[tuple[int, bytes]] = deque()
        """Records of reviews up to ``_read_to``, in order."""
        self._read_to = 0

    async def after(self, seq: int, up_to: int | None) -> Parcel | None:
        """See ``Feed``. ``up_to`` is never asked, for every parcel has one record at most."""
        while self._ahead and self._ahead[0][0] <= seq:
            self._ahead.popleft()
        if not self._ahead:
            self._read_to = max(seq, self._read_to)
            await asyncio.to_thread(self._read)
        if self._ahead:
            at, entry = self._ahead[0]
            return self._parcel(seq, at, [Line(at, entry, entry)])
        return self._parcel(seq, self._read_to, []) if self._read_to > seq else None

    def _read(self) -> None:
        """Read on, at most ``READ_AHEAD`` records, or what is more in the last batch."""
        began = self._read_to
        for batch in self._log.batches(after=began):
            entries = batch.lines  # none where retention has removed them: so long behind, nobody wants to hear of it
            for seq, entry in enumerate(entries, batch.first_seq):
                if seq > began and MARK in entry and record_of(entry).kind.startswith("review."):
                    self._ahead.append((seq, entry))
            self._read_to = batch.first_seq + batch.count - 1
            if self._read_to - began >= READ_AHEAD:
                return

    def _parcel(self, after: int, last: int, lines: list[Line]) -> Parcel:
        return Parcel(self.name, f"{last:020d}", after + 1, last, JSONL, lines)


def record_at(log: LogReader, seq: int) -> AuditRecord | None:
    """The record of a number; None where there is none, or its body was removed."""
    for batch in log.batches(after=seq - 1):
        entries = batch.lines
        at = seq - batch.first_seq
        return record_of(entries[at]) if 0 <= at < len(entries) else None
    return None


class Notices:
    """Makes notices. ``url_of`` answers where a review is in the console, ``estimate`` what its command would touch."""

    def __init__(self, reviews: ReviewStore, url_of: Callable[[str], str], estimate: Estimate) -> None:
        self._reviews = reviews
        self._url_of = url_of
        self._estimate = estimate

    async def of(self, channel: str, record: AuditRecord) -> Notice | None:
        """The notice of a record; None where it is of no review that is kept, or of one that is made up: what a channel were told of it might
        give it away. Raises ``AuditUnavailable``."""
        try:
            review = await self._reviews.get(str(record.body.get("review_id")))
        except ReviewNotFound:
            return None
        if is_canary(review):
            return None
        url, reach = self._url_of(review.id), partial(self._reach, review.id)
        return Notice(f"{channel}/{record.seq}", record.kind, record.time, review, record.body, url, reach)

    def reminder(self, channel: str, review: Review, time: str) -> Notice:
        """A notice of no record, about a review as it is."""
        url, reach = self._url_of(review.id), partial(self._reach, review.id)
        return Notice(f"{channel}/{review.id}/reminder", REMINDER, time, review, {}, url, reach)

    async def _reach(self, review_id: str) -> BlastRadius | None:
        try:
            async with asyncio.timeout(REACH_S):
                return await self._estimate(review_id)
        except (NoBlastRadius, ReviewError, OSError):  # a TimeoutError is an OSError
            return None
