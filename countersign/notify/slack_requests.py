"""What Slack sends, and whether it is Slack that sends it (docs.slack.dev/authentication/verifying-requests-from-slack). Pure.

The signature is ``v0=`` and the HMAC-SHA-256, in hexadecimal, of ``v0:TIMESTAMP:BODY``.
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson

SKEW = timedelta(minutes=5)
KEPT = 100_000


class Requests:
    """Knows the requests of the last minutes, so that none counts twice. ``began`` is when it began to know them: what is older may have
    counted before, and is refused."""

    def __init__(self, began: datetime) -> None:
        self._began = began.replace(microsecond=0)
        self._known: dict[str, datetime] = {}

    def refusal(self, secret: str, timestamp: str, signature: str, body: bytes, now: datetime) -> str:
        """Why a request does not count; empty where it does, and from then on it does not."""
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
            return "it has no time"
        expected = "v0=" + hmac.digest(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hex()
        if not secret or not hmac.compare_digest(expected.encode(), signature.encode()):
            return "its signature is wrong"
        sent = datetime.fromtimestamp(int(timestamp), now.tzinfo)
        if abs(now - sent) > SKEW or sent < self._began:
            return "its time is too far off"
        self._forget(now)
        if expected in self._known or len(self._known) >= KEPT:
            return "it was sent before"
        self._known[expected] = sent
        return ""

    def _forget(self, now: datetime) -> None:
        """Those whose time alone refuses them. They stand in the order in which they came, which is nearly that of their times."""
        while self._known:
            first = next(iter(self._known))
            if now - self._known[first] <= SKEW:
                return
            del self._known[first]


def payload_of(body: bytes) -> dict[str, Any] | None:
    """The interaction in a request's form (docs.slack.dev/interactivity/handling-user-interaction); None where there is none."""
    try:
        fields = dict(parse_qsl(body.decode(), max_num_fields=10))
        payload = orjson.loads(fields.get("payload", ""))
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None
