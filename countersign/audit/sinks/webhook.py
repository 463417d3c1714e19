"""A webhook, signed as the Standard Webhooks specification says (version 1.0.0, "Signature scheme").

The headers ``webhook-id``, ``webhook-timestamp`` (seconds) and ``webhook-signature`` (``v1,`` and the HMAC-SHA-256 in base64) cover
``ID.TIMESTAMP.BODY``; the id is the message's, so that a receiver can tell what it was sent before.
"""

import asyncio
import base64
import hashlib
import hmac
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from countersign.audit.export import OCSF
from countersign.audit.sinks.contract import Parcel, SinkError
from countersign.audit.sinks.limits import within
from countersign.audit_settings import WebhookPlace
from countersign.model.clock import Clock

TIMEOUT_S = 10.0
TRY_LATER = (408, 425, 429)
WAIT_LIMIT_S = 3600.0


class SignedPost:
    """Sends messages to one URL. 2xx means that one is taken. Other answers below 500, redirections too, mean that it is refused: then
    somebody has to look."""

    def __init__(self, place: WebhookPlace, clock: Clock) -> None:
        parts = urlsplit(place.url)
        self.place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # what follows may be a secret (I6)
        self._settings = place
        self._clock = clock
        self._context: ssl.SSLContext | None = None

    async def send(self, message_id: str, body: bytes, content_type: str) -> None:
        """Return once it is taken. Raises ``SinkError``."""
        try:
            headers = {"content-type": content_type, **self._proofs(message_id, body)}
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=await self._trusted()) as http:
                answer = await http.post(self._settings.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise SinkError(f"{self.place}: {type(error).__name__}") from error
        except (OSError, KeyError, ValueError) as error:
            raise SinkError(f"{self.place}: a secret or file that the settings name cannot be read or used") from error
        if not answer.is_success:
            raise self._refusal(answer)

    async def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._settings.ca_file)
        return self._context

    def _proofs(self, message_id: str, body: bytes) -> dict[str, str]:
        moment = str(int(self._clock().timestamp()))
        headers = {"webhook-id": message_id, "webhook-timestamp": moment}
        if self._settings.secret is not None:
            key = signing_key(self._settings.secret.reveal())
            headers["webhook-signature"] = signature(key, message_id, moment, body)
        if self._settings.authorization is not None:
            headers["authorization"] = self._settings.authorization.reveal()
        return headers

    def _refusal(self, answer: httpx.Response) -> SinkError:
        later = answer.status_code >= 500 or answer.status_code in TRY_LATER
        wait_s = retry_after_s(answer.headers.get("retry-after", ""), self._clock()) if later else 0.0
        return SinkError(f"{self.place}: it answers {answer.status_code}", wait_s=wait_s, stuck=not later)


class WebhookSink:
    """Parcels as messages."""

    knows_repeats = True

    def __init__(self, place: WebhookPlace, clock: Clock) -> None:
        self._post = SignedPost(place, clock)
        self._limit = place.message_limit
        self.place = self._post.place

    async def take(self, parcel: Parcel) -> None:
        """See ``Sink``."""
        content_type = "application/json" if parcel.form is OCSF else parcel.form.content_type
        await self._post.send(f"{parcel.source}/{parcel.name}", self._body(parcel), content_type)

    def _body(self, parcel: Parcel) -> bytes:
        lines = [within(line, parcel.form, self._limit) if self._limit else line.data for line in parcel.lines]
        return b"[" + b",".join(lines) + b"]" if parcel.form is OCSF else parcel.form.whole(lines)


def signing_key(secret: str) -> bytes:
    """The key in a secret: what follows ``whsec_`` in base64, else the text's own bytes. Raises ``ValueError``."""
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def signature(key: bytes, message_id: str, moment: str, body: bytes) -> str:
    """The value of ``webhook-signature``."""
    signed = f"{message_id}.{moment}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def retry_after_s(value: str, now: datetime) -> float:
    """What a Retry-After asks for (RFC 9110, section 10.2.3), an hour at most; 0 where it says nothing."""
    if value.isascii() and value.isdigit():
        return float(min(int(value[:10]), int(WAIT_LIMIT_S)))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), WAIT_LIMIT_S)
