"""Socket Mode: Slack's interactions over a connection that the gateway opens (docs.slack.dev/apis/events-api/using-socket-mode).

Nothing listens for it: that it is Slack who speaks is proved by TLS and by the address, which Slack gives out for the app's own token.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from countersign.audit.delivery import backoff_s
from countersign.audit.sinks import SinkError
from countersign.notify.slack_api import SlackApi
from countersign.settings import is_loopback

log = structlog.get_logger(__name__)

OPEN_S = 10.0
KNOWN = 10_000
"""So many envelopes are remembered: one whose receipt Slack did not get comes again."""
MESSAGE_LIMIT = 1 << 20
Take = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


class SlackSocket:
    """Takes one channel's interactions. ``run`` it as a task."""

    def __init__(self, name: str, api: SlackApi, take: Take) -> None:
        self._name = name
        self._api = api
        self._take = take
        self._known: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """For ever; whatever breaks, another connection is opened."""
        failures = 0
        while True:
            try:
                await self._connected()
                failures = 0
            except Exception as error:  # what breaks a connection must not end the task
                failures += 1
                if failures == 1:
                    why = str(error) if isinstance(error, SinkError) else type(error).__name__
                    log.warning("slack_socket_failed", channel=self._name, error=why)
            if failures:
                await asyncio.sleep(backoff_s(failures))

    async def _connected(self) -> None:
        """One connection, until Slack asks for another. Raises ``SinkError`` and what the connection raises."""
        url = str((await self._api.ask("apps.connections.open", {})).get("url") or "")
        if not _is_socket_url(url):
            raise SinkError("apps.connections.open: what Slack answers is no address of a socket")
        async with (
            connect(url, proxy=None, open_timeout=OPEN_S, max_size=MESSAGE_LIMIT) as socket,
            asyncio.TaskGroup() as answers,
        ):
            # Raised only behind the group: what breaks the connection does not break off a decision under way.
            problem = await self._listen(socket, answers)
        if problem:
            raise SinkError(problem)

    async def _listen(self, socket: ClientConnection, answers: asyncio.TaskGroup) -> str:
        """Until the connection ends; why, or nothing where Slack asks for another."""
        try:
            async for raw in socket:
                message = _message(raw)
                if message.get("type") == "disconnect":
                    return "Socket Mode is switched off for this app" if message.get("reason") == "link_disabled" else ""
                if isinstance(message.get("envelope_id"), str):
                    answers.create_task(self._answer(socket, message))
        except WebSocketException as error:
            return f"the connection broke: {type(error).__name__}"
        return "Slack has closed the connection"

    async def _answer(self, socket: ClientConnection, envelope: dict[str, Any]) -> None:
        """Take an interaction and send its receipt."""
        receipt: dict[str, Any] = {"envelope_id": envelope["envelope_id"]}
        payload = envelope.get("payload")
        if envelope.get("type") == "interactive" and isinstance(payload, dict) and self._is_new(envelope["envelope_id"]):
            answer = await self._take(payload)
            if answer is not None and envelope.get("accepts_response_payload"):
                receipt["payload"] = answer
        try:
            await socket.send(orjson.dumps(receipt).decode())
        except WebSocketException as error:  # it comes again, and is known then
            log.warning("slack_receipt_not_sent", channel=self._name, error=type(error).__name__)

    def _is_new(self, envelope_id: str) -> bool:
        if envelope_id in self._known:
            return False
        self._known[envelope_id] = None
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return True


def _message(raw: str | bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(raw)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _is_socket_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "wss" or (parts.scheme == "ws" and is_loopback(host)))
