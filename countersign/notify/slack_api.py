"""Calls of Slack's Web API, as docs.slack.dev/apis/web-api describes it."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from countersign.audit.sinks import SinkError
from countersign.audit.sinks.webhook import retry_after_s
from countersign.settings import Secret

TIMEOUT_S = 10.0
CODE = re.compile(r"[a-z0-9_]{1,80}")
FOR_EVER = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_too_long", "no_text", "invalid_arguments", "msg_blocks_too_long"}
)
"""Errors that are of the message itself: it is refused however often it is sent. Of all others somebody may remove the cause."""


class SlackError(SinkError):
    """Slack's no. ``code`` is its word for it, empty where there was no answer to read."""

    def __init__(self, text: str, code: str = "", *, wait_s: float = 0.0, stuck: bool = False) -> None:
        super().__init__(text, wait_s=wait_s, stuck=stuck)
        self.code = code


class SlackApi:
    """One token's calls. Nothing of an answer but its error's code is told (I6)."""

    def __init__(self, api: str, token: Secret) -> None:
        self._api = api
        self._token = token
        self._context: ssl.SSLContext | None = None

    async def call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A call with a JSON body. Raises ``SlackError``."""
        return await self._call(method, content=orjson.dumps(body), content_type="application/json; charset=utf-8")

    async def ask(self, method: str, fields: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """A call of a method that reads, which takes no JSON. Raises ``SlackError``."""
        encoded = httpx.QueryParams(dict(fields))
        content = str(encoded).encode()
        return await self._call(method, content=content, content_type="application/x-www-form-urlencoded", timeout_s=timeout_s)

    async def _call(self, method: str, *, content: bytes, content_type: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        try:
            headers = {"content-type": content_type, "authorization": f"Bearer {self._token.reveal()}"}
            async with httpx.AsyncClient(timeout=timeout_s, trust_env=False, verify=await self._trusted()) as http:
                answer = await http.post(f"{self._api}/{method}", content=content, headers=headers)
        except httpx.HTTPError as error:
            raise SlackError(f"{method}: {type(error).__name__}") from error
        except (OSError, KeyError, ValueError) as error:
            raise SlackError(f"{method}: the token that the settings name cannot be read or used") from error
        if not answer.is_success:
            wait_s = retry_after_s(answer.headers.get("retry-after", ""), datetime.now(UTC))
            raise SlackError(f"{method}: Slack answers {answer.status_code}", wait_s=wait_s)
        return _fields(method, answer)

    async def _trusted(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        return self._context


def _fields(method: str, answer: httpx.Response) -> dict[str, Any]:
    try:
        fields = answer.json()
    except ValueError as error:
        raise SlackError(f"{method}: what Slack answers is no JSON") from error
    if isinstance(fields, dict) and fields.get("ok") is True:
        return fields
    code = fields.get("error") if isinstance(fields, dict) else None
    if not isinstance(code, str) or not CODE.fullmatch(code):
        code = "unknown_error"
    raise SlackError(f"{method}: {code}", code, stuck=code in FOR_EVER)
