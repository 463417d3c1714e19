"""Every kind of channel there is, and how configured ones are put together."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from countersign.audit.contract import AuditUnavailable, LogReader
from countersign.audit.delivery import Cursors, Delivery
from countersign.model.clock import Clock
from countersign.notify.contract import Channel, DeadLetter, NoticeStore
from countersign.notify.email import Email
from countersign.notify.feed import Estimate, Notices, ReviewFeed, record_at
from countersign.notify.slack import Slack
from countersign.notify.teams import Teams
from countersign.notify.telling import ChannelSink, Reminders, told
from countersign.notify.webhook import Webhook
from countersign.notify_settings import ChannelSettings, EmailChannel, SlackChannel, TeamsChannel, WebhookChannel
from countersign.reviews.contract import ReviewStore

CHANNELS: tuple[type[Channel], ...] = (Webhook, Slack, Teams, Email)


def channel_name(name: str) -> str:
    """What the cursor of a channel goes by."""
    return f"notify:{name}"


def channel_for(settings: ChannelSettings, store: NoticeStore, clock: Clock) -> Channel:
    """The channel of these settings. Nothing is opened yet."""
    match settings.kind:
        case WebhookChannel():
            return Webhook(settings, settings.kind, clock)
        case SlackChannel():
            return Slack(settings, settings.kind, store)
        case TeamsChannel():
            return Teams(settings, settings.kind, clock)
        case EmailChannel():
            return Email(settings, settings.kind)


@dataclass(frozen=True, slots=True)
class Telling:
    """A channel with what tells it: the delivery of moves, and of reminders where it is to be reminded."""

    settings: ChannelSettings
    channel: Channel
    sink: ChannelSink
    delivery: Delivery
    reminders: Reminders | None


def tellings(
    channels: Sequence[ChannelSettings],
    reviews: ReviewStore,
    log: LogReader,
    cursors: Cursors,
    store: NoticeStore,
    clock: Clock,
    url_of: Callable[[str], str],
    estimate: Estimate,
) -> list[Telling]:
    """One for each channel. A new one begins with what happens from now on."""
    notices = Notices(reviews, url_of, estimate)
    found = []
    for settings in channels:
        channel = channel_for(settings, store, clock)
        sink = ChannelSink(settings.name, channel, notices, store, clock, settings.give_up_after)
        delivery = Delivery(ReviewFeed(channel_name(settings.name), log), sink, cursors, clock, from_now=True)
        after = settings.remind_after
        reminders = Reminders(settings.name, channel, notices, store, clock, after) if after else None
        found.append(Telling(settings, channel, sink, delivery, reminders))
    return found


class ChannelProblem(Exception):
    """What was asked of a channel cannot be done; the text is for people."""


class Channels:
    """What people ask of channels: which there are, what they did not take, and to try that again."""

    def __init__(self, all_of_them: Sequence[Telling], store: NoticeStore, log: LogReader) -> None:
        self._all = {one.settings.name: one for one in all_of_them}
        self._store = store
        self._log = log

    @property
    def names(self) -> list[str]:
        """In the order of the configuration."""
        return list(self._all)

    async def dead(self) -> Sequence[DeadLetter]:
        """Every dead letter, those of channels that are configured no more too. Raises ``AuditUnavailable``."""
        return await self._store.dead()

    async def retry(self, name: str, seq: int | None = None) -> tuple[int, list[DeadLetter]]:
        """Tell a channel its dead letters once more, or one of them: how many it took, and what is left, with why. Raises
        ``ChannelProblem`` and ``AuditUnavailable``."""
        if name not in self._all:
            raise ChannelProblem(f"there is no channel {name!r}")
        letters = [one for one in await self._store.dead(name) if seq is None or one.seq == seq]
        if seq is not None and not letters:
            raise ChannelProblem(f"{name} has no dead letter {seq}")
        taken, left = 0, []
        for letter in letters:
            if problem := await self._told(self._all[name], letter):
                left.append(replace(letter, error=problem))
            else:
                await self._store.unbury(name, letter.seq)
                taken += 1
        return taken, left

    async def _told(self, telling: Telling, letter: DeadLetter) -> str:
        """Empty where it is told now, else why not."""
        record = await asyncio.to_thread(record_at, self._log, letter.seq)
        if record is None:
            return "its record is no longer in the log"
        try:
            await telling.sink.tell(record)
        except AuditUnavailable:
            raise
        except Exception as error:  # whatever a channel does, the letter stays
            return told(error)
        return ""
