"""Between the log and a channel: what is told, what is given up, and what is told again."""

import asyncio
from datetime import timedelta

import structlog

from countersign.audit.contract import AuditUnavailable
from countersign.audit.delivery import backoff_s
from countersign.audit.sinks import Parcel, SinkError
from countersign.model import AuditEvent, AuditRecord, Review
from countersign.model.clock import Clock, from_text, to_text
from countersign.notify.contract import Channel, DeadLetter, NoticeStore
from countersign.notify.feed import Notices
from countersign.reviews.canaries import is_canary

log = structlog.get_logger(__name__)

TELL_S = 30.0
"""How long a channel may take over one notice."""
REMIND_EVERY_S = 5.0
REMINDED_AT_ONCE = 50


class ChannelSink:
    """A channel as the place of a delivery. A notice that it refuses, or does not take in time, becomes a dead letter, so that it does not
    stand in the way of what follows. Implements ``audit.sinks.Sink``."""

    knows_repeats = False

    def __init__(
        self, name: str, channel: Channel, notices: Notices, store: NoticeStore, clock: Clock, give_up_after: timedelta
    ) -> None:
        self.place = channel.place
        self._name, self._channel, self._notices, self._store = name, channel, notices, store
        self._clock = clock
        self._give_up_after = give_up_after

    async def take(self, parcel: Parcel) -> None:
        """See ``Sink``."""
        for line in parcel.lines:
            if (record := line.record) is not None and self._channel.wants(record.kind):
                await self._take(record)

    async def _take(self, record: AuditRecord) -> None:
        try:
            await self.tell(record)
        except AuditUnavailable:
            raise
        except Exception as error:  # whatever a channel does, it must not stop what follows for ever
            waited = self._clock() - from_text(record.time)
            if not (isinstance(error, SinkError) and error.stuck) and waited < self._give_up_after:
                raise
            await self._give_up(record, told(error))

    async def tell(self, record: AuditRecord) -> None:
        """Tell it once. Raises what the channel raises, ``TimeoutError`` and ``AuditUnavailable``."""
        notice = await self._notices.of(self._name, record)
        if notice is not None:
            async with asyncio.timeout(TELL_S):
                await self._channel.tell(notice)

    async def _give_up(self, record: AuditRecord, error: str) -> None:
        review_id = str(record.body.get("review_id"))
        letter = DeadLetter(self._name, record.seq, record.kind, review_id, error, self._clock())
        body: dict[str, object] = {
            "channel": self._name,
            "record": record.seq,
            "event": record.kind,
            "review_id": review_id,
            "reason": error,
        }
        await self._store.bury(letter, AuditEvent("channel.gave_up", body))
        log.error("notice_given_up", channel=self._name, place=self.place, review_id=review_id, told=record.kind, error=error)


def told(error: Exception) -> str:
    """An error for people. Of one that nobody expected only its kind is told: its words may be anybody's."""
    if isinstance(error, SinkError):
        return str(error)
    return "no answer in time" if isinstance(error, TimeoutError) else f"failed inside: {type(error).__name__}"


class Reminders:
    """Tells a channel once more of what has waited for ``after``. Whether it was told is in the store, so a restart changes nothing."""

    def __init__(self, name: str, channel: Channel, notices: Notices, store: NoticeStore, clock: Clock, after: timedelta) -> None:
        self._name, self._channel, self._notices, self._store = name, channel, notices, store
        self._clock = clock
        self._after = after

    async def run(self) -> None:
        """Remind until cancelled."""
        failures = 0
        while True:
            try:
                await self.remind()
                failures = 0
            except Exception as error:  # it is tried again while the review is pending
                failures += 1
                if failures == 1:
                    log.warning("reminder_failed", channel=self._name, error=told(error))
            await asyncio.sleep(max(REMIND_EVERY_S, backoff_s(failures) if failures else 0.0))

    async def remind(self) -> None:
        """Tell of everything that is due. Raises what the channel raises and ``AuditUnavailable``."""
        for review in await self._store.unreminded(self._name, self._clock() - self._after, REMINDED_AT_ONCE):
            if not is_canary(review):  # of which no channel is told
                await self._tell(review)
            await self._store.keep_reminded(self._name, review.id)

    async def _tell(self, review: Review) -> None:
        """One that the channel will never take is passed over, so that it does not keep the others back."""
        notice = self._notices.reminder(self._name, review, to_text(review.created_at + self._after))
        try:
            async with asyncio.timeout(TELL_S):
                await self._channel.tell(notice)
        except SinkError as error:
            if not error.stuck:
                raise
            log.error("reminder_refused", channel=self._name, review_id=review.id, error=str(error))
