"""The log's records of reviews, one to a parcel, and the notices that they make."""

import asyncio
from collections.abc import Callable

from countersign.audit import record_of
from countersign.audit.contract import LogReader
from countersign.audit.export import JSONL, Line
from countersign.audit.sinks import Parcel
from countersign.model import AuditRecord, Review
from countersign.notify.contract import REMINDER, Notice
from countersign.reviews.contract import ReviewStore
from countersign.reviews.errors import ReviewNotFound

MARK = b'"kind":"review.'
"""Stands in every entry of a review's record, and in hardly any other."""


class ReviewFeed:
    """Records of reviews. Implements ``audit.delivery.Feed``."""

    def __init__(self, name: str, log: LogReader) -> None:
        self.name = name
        self._log = log

    async def after(self, seq: int, up_to: int | None) -> Parcel | None:
        """See ``Feed``. ``up_to`` is never asked, for every parcel has one record at most."""
        return await asyncio.to_thread(self._read, seq)

    def _read(self, after: int) -> Parcel | None:
        last = after
        for batch in self._log.batches(after=after):
            entries = batch.lines  # none where retention has removed them: so long behind, nobody wants to hear of it
            for seq, entry in enumerate(entries, batch.first_seq):
                if seq > after and MARK in entry and record_of(entry).kind.startswith("review."):
                    return self._parcel(after, seq, [Line(seq, entry, entry)])
            last = batch.first_seq + batch.count - 1
        return self._parcel(after, last, []) if last > after else None

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
    """Makes notices. ``url_of`` answers where a review is in the console."""

    def __init__(self, reviews: ReviewStore, url_of: Callable[[str], str]) -> None:
        self._reviews = reviews
        self._url_of = url_of

    async def of(self, channel: str, record: AuditRecord) -> Notice | None:
        """The notice of a record; None where it is of no review that is kept. Raises ``AuditUnavailable``."""
        try:
            review = await self._reviews.get(str(record.body.get("review_id")))
        except ReviewNotFound:
            return None
        return Notice(f"{channel}/{record.seq}", record.kind, record.time, review, record.body, self._url_of(review.id))

    def reminder(self, channel: str, review: Review, time: str) -> Notice:
        """A notice of no record, about a review as it is."""
        return Notice(f"{channel}/{review.id}/reminder", REMINDER, time, review, {}, self._url_of(review.id))
