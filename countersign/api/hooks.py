"""What comes in from outside: signed requests of Slack, on a server of their own, so that whoever passes them on exposes nothing else; or its
messages over a connection of ours."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from countersign.api.server import HookServer
from countersign.audit import AuditUnavailable
from countersign.identity import Failures, Keys, claimed
from countersign.model.clock import Clock
from countersign.notify import NoticeStore, Telling
from countersign.notify.slack import Slack
from countersign.notify.slack_api import SlackApi
from countersign.notify.slack_inbox import METHOD, SlackInbox
from countersign.notify.slack_requests import Requests, payload_of
from countersign.notify.slack_socket import SlackSocket
from countersign.reviews.service import ReviewService
from countersign.settings import Secret

BODY_LIMIT = 1 << 20


class Hooks:
    """What takes the decisions of channels: servers for requests, connections for sockets."""

    def __init__(
        self, channels: Sequence[Telling], reviews: ReviewService, store: NoticeStore, keys: Keys, failures: Failures, clock: Clock
    ) -> None:
        self._channels = channels
        self._reviews, self._store, self._keys, self._failures, self._clock = reviews, store, keys, failures, clock
        self._servers: list[HookServer] = []
        self._sockets: list[asyncio.Task[None]] = []

    async def start(self) -> dict[str, tuple[str, int]]:
        """Where each listens. Raises ``OSError`` where an address cannot be had."""
        found: dict[str, tuple[str, int]] = {}
        for one in self._channels:
            slack = one.channel
            if isinstance(slack, Slack) and slack.kind.app_token is not None:
                socket = SlackSocket(slack.name, SlackApi(slack.kind.api, slack.kind.app_token), self.inbox(slack).take)
                self._sockets.append(asyncio.create_task(socket.run()))
            if isinstance(slack, Slack) and slack.kind.listen is not None and slack.kind.signing_secret is not None:
                hook = SlackHook(slack.name, slack.kind.signing_secret, self.inbox(slack).take)
                app = create_slack_hook(hook, self._failures, self._clock)
                server = HookServer(app, slack.kind.listen.host, slack.kind.listen.port)
                found[slack.name] = await server.start()
                self._servers.append(server)
        return found

    async def stop(self) -> None:
        """Stop them all."""
        for server in self._servers:
            await server.stop()
        for socket in self._sockets:
            socket.cancel()
        await asyncio.gather(*self._sockets, return_exceptions=True)

    def inbox(self, slack: Slack) -> SlackInbox:
        """What takes a channel's interactions."""
        return SlackInbox(slack, self._reviews, self._store, self._refused, self._is_agent)

    async def _refused(self, who: str, code: str, why: str) -> None:
        told: dict[str, object] = {
            "name": claimed(who),
            "target": "",
            "method": METHOD,
            "code": code,
            "reason": why,
            "client_address": METHOD,
        }
        await self._failures.record(METHOD, told)

    async def _is_agent(self, name: str) -> bool:
        return await self._keys.account(name) is not None


@dataclass(frozen=True, slots=True)
class SlackHook:
    """Where one channel's interactions come in. ``take`` answers what Slack is told."""

    name: str
    signing_secret: Secret
    take: Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


def create_slack_hook(hook: SlackHook, failures: Failures, clock: Clock) -> FastAPI:
    """The application of one channel: ``POST /slack``, and nothing else."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    known = Requests(clock())

    @app.post("/slack")
    async def interaction(request: Request) -> Response:
        body = await _body(request)
        refusal = _refusal(hook, known, request, body, clock)
        payload = payload_of(body) if body is not None and not refusal else None
        if refusal or payload is None:
            await _record(failures, request, refusal or "it holds no interaction")
            return Response(status_code=401)
        answer = await hook.take(payload)
        return Response(status_code=200) if answer is None else JSONResponse(answer)

    return app


async def _body(request: Request) -> bytes | None:
    """All of it; None where it is too long."""
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > BODY_LIMIT:
            return None
    return found


def _refusal(hook: SlackHook, known: Requests, request: Request, body: bytes | None, clock: Clock) -> str:
    if body is None:
        return "it is too long"
    try:
        secret = hook.signing_secret.reveal()
    except (OSError, KeyError, ValueError):
        return "the secret that the settings name cannot be read"
    timestamp, signature = (request.headers.get(f"x-slack-{name}", "") for name in ("request-timestamp", "signature"))
    return known.refusal(secret, timestamp, signature, body, clock())


async def _record(failures: Failures, request: Request, why: str) -> None:
    host = request.client.host if request.client else ""
    told: dict[str, object] = {
        "name": "",
        "target": "",
        "method": METHOD,
        "code": "wrong_signature",
        "reason": why,
        "client_address": host,
    }
    with contextlib.suppress(AuditUnavailable):  # it is refused all the same
        await failures.record(host, told)
