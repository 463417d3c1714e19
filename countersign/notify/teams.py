"""Microsoft Teams: an Adaptive Card, version 1.4 (adaptivecards.io), to a webhook of a workflow. It decides nothing: it leads to the console.

What others wrote stands in text runs, which know no Markdown, so that it cannot make links of its own (I10).
"""

from typing import Any

import orjson

from countersign.audit.sinks import SinkError
from countersign.audit.sinks.webhook import SignedPost
from countersign.audit_settings import WebhookPlace, is_web_url
from countersign.model.clock import Clock
from countersign.notify.contract import REMINDER, Notice
from countersign.notify.wording import facts, title, wording
from countersign.notify_settings import ChannelSettings, TeamsChannel

TEXT_LIMIT = 4_000
"""Characters of a command: Teams takes cards of up to 28 KB."""


class Teams:
    """Implements ``Channel``. The whole URL is a secret: whoever has it can post."""

    def __init__(self, settings: ChannelSettings, kind: TeamsChannel, clock: Clock) -> None:
        self.place = "Microsoft Teams"
        self._kind = kind
        self._clock = clock
        self._shows_command = settings.shows_command

    def wants(self, event: str) -> bool:
        """See ``Channel``."""
        return event == REMINDER or event in self._kind.events or "review.*" in self._kind.events

    async def tell(self, notice: Notice) -> None:
        """See ``Channel``."""
        try:
            url = self._kind.to.reveal()
        except (OSError, KeyError, ValueError) as error:
            raise SinkError(f"{self.place}: the address that the settings name cannot be read") from error
        if not is_web_url(url):
            raise SinkError(f"{self.place}: what the settings name is no address of a webhook")
        post = SignedPost(WebhookPlace(url), self._clock)
        await post.send(notice.id, orjson.dumps(card(notice, shows_command=self._shows_command)), "application/json")


def card(notice: Notice, *, shows_command: bool) -> dict[str, Any]:
    """The message with the card in it."""
    review = notice.review
    body: list[dict[str, Any]] = [_text(title(review, notice.event), size="Medium", weight="Bolder")]
    body.extend(_text(f"{name}: {value}") for name, value in facts(review))
    if shows_command:
        read = wording(review, TEXT_LIMIT)
        body.append(_text(read.text, fontType="Monospace"))
        body.extend(_text(one, fontType="Monospace") for one in read.parameters)
        body.extend(_text(f"Warning: the command {warning}", color="Warning") for warning in read.warnings)
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": "Open in the console", "url": notice.url}],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _text(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text or " ", **style}]}
