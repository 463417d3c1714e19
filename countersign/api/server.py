"""Serves the API on loopback for browsers, and on a Unix socket for the command line."""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from countersign.api.access import SOCKET_UID
from countersign.identity import local_person
from countersign.model.identity import Person
from countersign.unix_socket import reachable


class PeerProtocol(H11Protocol):
    """HTTP for the admin socket: the kernel says who is there, and only the gateway's own user, root and its people may be."""

    def __init__(self, *arguments: Any, people: Sequence[Person], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._people = people

    def connection_made(self, transport: Any) -> None:
        """Close at once on anybody else."""
        super().connection_made(transport)
        uid = peer_uid(transport.get_extra_info("socket"))
        if local_person(uid, self._people, "unix_socket") is None:
            transport.close()
            return
        within = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await within({**scope, SOCKET_UID: uid}, receive, send)

        self.app = app


def peer_uid(connection: socket.socket) -> int:
    """SO_PEERCRED (unix(7)): the user id at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


class ApiServer:
    """Both servers. ``start`` answers the bound address of the console."""

    def __init__(self, app: FastAPI, host: str, port: int, socket_path: Path, people: Sequence[Person]) -> None:
        self._app = app
        self._people = people
        self._host = host
        self._port = port
        self._socket_path = socket_path
        self._running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def start(self) -> tuple[str, int]:
        """Raises ``OSError``: an address cannot be had, or another gateway answers on the socket."""
        local = bind_socket(self._socket_path, is_shared=bool(self._people))
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            public = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            local.close()
            raise OSError(error.errno, f"the console cannot listen on {self._host}:{self._port}: {error.strerror}") from error
        await self._serve(local, partial(PeerProtocol, people=self._people))
        await self._serve(public, "auto")
        host, port = public.getsockname()[:2]
        return host, port

    async def stop(self) -> None:
        """Stop both, cutting event streams short."""
        for server, _ in self._running:
            server.should_exit = True
            server.force_exit = True
        await asyncio.gather(*(task for _, task in self._running), return_exceptions=True)
        self._socket_path.unlink(missing_ok=True)

    async def _serve(self, bound: socket.socket, protocol: Any) -> None:
        self._running.append(await serve(self._app, bound, protocol))


class HookServer:
    """Serves one application on loopback. ``start`` answers the bound address."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app, self._host, self._port = app, host, port

    async def start(self) -> tuple[str, int]:
        """Raises ``OSError`` where the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.create_server((self._host, self._port), family=family)
        host, port = bound.getsockname()[:2]
        self._server, self._task = await serve(self._app, bound, "auto")
        return host, port

    async def stop(self) -> None:
        """Stop at once."""
        self._server.should_exit = self._server.force_exit = True
        await asyncio.gather(self._task, return_exceptions=True)


async def serve(app: FastAPI, bound: socket.socket, protocol: Any) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    """A server on a socket, once it has started, and its task."""
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    return server, task


class _Server(uvicorn.Server):
    """Without signal handlers: the gateway owns the process."""

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()


def bind_socket(path: Path, *, is_shared: bool = False) -> socket.socket:
    """Bind the admin socket, for its owner only, or for all accounts of the machine, of which the peer's own is asked then. Raises ``OSError`` where another gateway answers on it."""
    name = reachable(path)
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(name)
        raise OSError(f"another gateway is running on {path}")
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    finally:
        probe.close()
    bound = socket.socket(socket.AF_UNIX)
    before = os.umask(0o111 if is_shared else 0o177)
    try:
        bound.bind(name)
    finally:
        os.umask(before)
    bound.listen(128)
    return bound
