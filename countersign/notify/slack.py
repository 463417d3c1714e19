"""A channel of Slack: one message for each review, which changes as the review moves."""

from countersign.model import ReviewState
from countersign.notify.contract import REMINDER, Notice, NoticeStore
from countersign.notify.slack_api import SlackApi, SlackError
from countersign.notify.slack_messages import message, reminder
from countersign.notify_settings import ChannelSettings, SlackChannel

OPENED = "review.opened"
TOLD_AGAIN = frozenset({REMINDER, "review.escalated", "review.overdue"})
SHOWN = frozenset(
    {
        OPENED,
        "review.advanced",
        "review.approved",
        "review.cancelled",
        "review.decision",
        "review.denied",
        "review.executed",
        "review.expired",
        "review.failed",
        "review.forced",
    }
)
"""Records that change what a message shows."""


class Slack:
    """Implements ``Channel``. Where a review's message stands is kept, so that a restart goes on with it."""

    def __init__(self, settings: ChannelSettings, kind: SlackChannel, store: NoticeStore) -> None:
        self.place = f"Slack channel {kind.channel}"
        self.name = settings.name
        self.shows_command = settings.shows_command
        self.kind = kind
        self.api = SlackApi(kind.api, kind.token)
        self._store = store

    def wants(self, event: str) -> bool:
        """See ``Channel``."""
        return event in SHOWN or event in TOLD_AGAIN

    async def tell(self, notice: Notice) -> None:
        """See ``Channel``."""
        review = notice.review
        is_pending = review.state is ReviewState.PENDING
        handle = await self._store.handle(self.name, review.id)
        reach = await notice.reach() if is_pending and self.shows_command else None
        takes = self.kind.takes_decisions
        shown = message(review, notice.url, reach, shows_command=self.shows_command, takes_decisions=takes)
        if not handle:
            if is_pending or notice.event == OPENED:
                await self._post(review.id, shown)
            return
        channel, _, ts = handle.partition(" ")
        try:
            await self.api.call("chat.update", {"channel": channel, "ts": ts, **shown})
        except SlackError as error:
            if error.code != "message_not_found":  # somebody removed it: then they know of it
                raise
        if is_pending and notice.event in TOLD_AGAIN:
            await self.api.call(
                "chat.postMessage", {"channel": channel, "thread_ts": ts, "reply_broadcast": True, **reminder(review)}
            )

    async def _post(self, review_id: str, shown: dict[str, object]) -> None:
        body = {"channel": self.kind.channel, "unfurl_links": False, "unfurl_media": False, **shown}
        posted = await self.api.call("chat.postMessage", body)
        await self._store.keep_handle(self.name, review_id, f"{posted.get('channel')} {posted.get('ts')}")
