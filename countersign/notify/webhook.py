"""A webhook: every move of a review as a signed POST of JSON (docs/channels.md)."""

import orjson

from countersign.audit.sinks.webhook import SignedPost
from countersign.model import Review
from countersign.model.clock import Clock, to_text
from countersign.notify.contract import REMINDER, Notice
from countersign.notify.wording import wording
from countersign.notify_settings import ChannelSettings, WebhookChannel

TEXT_LIMIT = 100_000
"""Characters of a command that go into one message."""


class Webhook:
    """Implements ``Channel``. 2xx means that it is told; another answer below 500 refuses the notice for ever."""

    def __init__(self, settings: ChannelSettings, kind: WebhookChannel, clock: Clock) -> None:
        self._post = SignedPost(kind.place, clock)
        self._events = kind.events
        self._shows_command = settings.shows_command
        self.place = self._post.place

    def wants(self, event: str) -> bool:
        """See ``Channel``."""
        return event == REMINDER or event in self._events or "review.*" in self._events

    async def tell(self, notice: Notice) -> None:
        """See ``Channel``."""
        await self._post.send(notice.id, webhook_body(notice, shows_command=self._shows_command), "application/json")


def webhook_body(notice: Notice, *, shows_command: bool) -> bytes:
    """The same bytes whenever the notice is told: only what its record says and what never changes of a review."""
    review = notice.review
    data = dict(notice.facts) | {
        "review_id": review.id,
        "url": notice.url,
        "identity": review.identity,
        "on_behalf_of": review.on_behalf_of,
        "target": review.target,
        "rule": review.rule,
        "digest": review.digest,
        "created_at": to_text(review.created_at),
        "effects": review.command.get("effects", []),
    }
    if shows_command:
        data["command"] = _command(review)
    else:
        data.pop("proposal", None)  # a command as well
    return orjson.dumps({"id": notice.id, "type": notice.event, "timestamp": notice.time, "data": data})


def _command(review: Review) -> dict[str, object]:
    read = wording(review, TEXT_LIMIT)
    return {"text": read.text, "parameters": list(read.parameters), "warnings": list(read.warnings)}
