"""A byte stream over a socket, for sessions of every protocol: bounded, upgradable to TLS, and quick to notice that the peer left."""

import asyncio
import contextlib
import os
import select
import socket
import ssl
from collections.abc import Callable
from typing import cast

from countersign.protocols.tls import TlsChannel

PROBE_S = 1.0
CLOSE_S = 2.0
PIECE_BYTES = 1 << 18
"""From this length on bytes are written and encrypted by themselves."""
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}
"""Seconds of silence, seconds between probes, and how many of those may stay unanswered: a dead peer is noticed within two minutes.
(TCP_USER_TIMEOUT is left alone: it would also end connections whose peer lives and does not read for a while.)"""


class WireClosed(ConnectionError):
    """The peer is gone."""


class TlsFailed(WireClosed):
    """There is no secure connection. The text says why, for people."""


class Wire(asyncio.Protocol):
    """One connection. Reading pauses while ``limit_bytes`` wait, and the peer is probed meanwhile, so that a client that leaves
    behind a full buffer is noticed too (I4)."""

    def __init__(self, limit_bytes: int = 1 << 20) -> None:
        loop = asyncio.get_running_loop()
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._outgoing: list[bytes] = []
        self._paused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._tls: TlsChannel | None = None
        self._ended = False
        self._is_finished = False
        """Nothing more will arrive."""
        self.gone: asyncio.Future[None] = loop.create_future()
        """Ends when the peer has closed its side or the connection broke. Bytes that it sent before may still wait, and a peer that has
        closed its sending side only still reads."""
        self.lost: asyncio.Future[None] = loop.create_future()
        """Ends when the connection is no more: nothing can be sent either."""
        self.on_connected: Callable[[], None] | None = None
        """Called once, when a listener's connection is made."""
        self.intercept: Callable[[bytes], bool] | None = None
        """Asked first about bytes that arrive while none wait; True where it has dealt with them."""

    # -- asyncio's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _keep_alive(self._transport.get_extra_info("socket"))
        if self.on_connected is not None:
            self.on_connected()

    def data_received(self, data: bytes) -> None:
        if self._tls is not None:
            self._decrypt(self._tls, data)
        elif data:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        if self.intercept is not None and not self._chunks and self.intercept(data):
            return
        self._chunks.append(data)
        self._size += len(data)
        self._arrived.set()
        if self._size >= self._limit_bytes and not self._paused:
            self._pause()

    def eof_received(self) -> bool:
        self._finish()
        return True  # the other direction stays open until ``close``

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        self._writable.set()
        self._finish()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- the session's side
    @property
    def peer(self) -> str:
        """The peer's address, for people."""
        address = self._open_transport().get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "local socket"

    @property
    def host(self) -> str:
        """The peer's address without its port."""
        address = self._open_transport().get_extra_info("peername")
        return str(address[0]) if isinstance(address, tuple) else "local socket"

    def dismiss(self) -> None:
        """Send what is queued and close without waiting for the peer."""
        self.flush()
        self._open_transport().close()

    @property
    def is_loopback(self) -> bool:
        """True where the peer is on this machine."""
        address = self._open_transport().get_extra_info("peername")
        return not isinstance(address, tuple) or address[0].startswith("127.") or address[0] == "::1"

    @property
    def is_secure(self) -> bool:
        """True inside TLS."""
        return self._tls is not None

    @property
    def buffered_bytes(self) -> int:
        """How much waits to be received."""
        return self._size

    async def peek(self) -> int:
        """The first byte that waits, left where it is. Raises ``WireClosed`` at the end of the stream."""
        await self._something()
        return self._chunks[0][0]

    async def receive(self) -> bytes:
        """Whatever has arrived, at least one byte. Raises ``WireClosed`` at the end of the stream."""
        await self._something()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and not self._is_finished:
            self._paused = False
            self._open_transport().resume_reading()
        return data

    def unread(self, data: bytes) -> None:
        """Bytes that were intercepted after all wait to be received, ahead of any others."""
        if data:
            self._chunks.insert(0, data)
            self._size += len(data)
            self._arrived.set()

    @property
    def is_slow(self) -> bool:
        """True while the peer takes less than it is sent."""
        return not self._writable.is_set()

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer; whole messages only, so that senders may interleave. What one turn of the loop sends goes out in one
        write."""
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self.flush)
        self._outgoing.append(data)

    def flush(self) -> None:
        """Hand over what is queued now."""
        if not self._outgoing:
            return
        for data in _joined(self._outgoing):
            self._write(data) if self._tls is None else self._encrypt(self._tls, data)
        self._outgoing.clear()

    def lend(self) -> int | None:
        """A descriptor of the socket's own for somebody else to read and write by, while this wire rests until ``take_back``. None where
        bytes wait on either way, or go through TLS, which only this wire can speak, or no descriptor is left."""
        transport = self._open_transport()
        waits = self._chunks or self._outgoing or self._paused or transport.get_write_buffer_size() or transport.is_closing()
        if waits or self.gone.done() or self.is_secure:
            return None
        try:
            lent = os.dup(transport.get_extra_info("socket").fileno())
        except OSError:
            return None
        transport.pause_reading()
        return lent

    def take_back(self, received: bytes, unsent: bytes) -> None:
        """Go on where whoever borrowed the socket stopped: with what they read and did not use, and what they could not send."""
        if self._transport is None or self._transport.is_closing():
            return
        if unsent:
            self._transport.write(unsent)
        self.unread(received)
        if self._size < self._limit_bytes:
            self._transport.resume_reading()
        else:
            self._pause()

    async def drain(self) -> None:
        """Wait while the peer is slow. Raises ``WireClosed`` where the connection is lost."""
        self.flush()
        await self._writable.wait()
        if self.lost.done():
            raise WireClosed("the connection is lost")

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        timeout_s: float = 20,
        has_begun: bool = False,
    ) -> None:
        """Go on inside TLS. ``has_begun``: what waits to be received is the beginning of the handshake.

        Raises ``TlsFailed`` where the handshake fails, having told the peer, or where plaintext waits in the buffer, which may be injected
        (CVE-2021-23214); ``WireClosed`` where the peer leaves, ``TimeoutError``.
        """
        self.flush()  # what was queued goes out in clear
        if self._size and not has_begun:
            raise TlsFailed("bytes were sent ahead of the TLS handshake")
        channel = TlsChannel(context, server_side=server_side, server_hostname=server_hostname)
        try:
            async with asyncio.timeout(timeout_s):
                done = channel.handshake(b"")
                while not done:
                    self._write(channel.outgoing())
                    done = channel.handshake(await self.receive())
        except ssl.SSLError as error:
            raise TlsFailed(_told(error)) from error
        finally:
            self._write(channel.outgoing())
        self._tls = channel
        waiting = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._decrypt(channel, waiting)

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS state, None on a plain connection."""
        return self._tls.state if self._tls is not None else None

    async def close(self) -> None:
        """Send what is queued, then close; give a peer that does not read two seconds.

        Only the sending side is closed at first: what the peer has still on its way would otherwise make its system drop our last words.
        A peer that has closed its own side gets what is queued all the same.
        """
        if self._transport is None:
            return
        self.flush()
        self._ignore_arrivals()
        if self._tls is not None and not self.lost.done():
            self._tls.end()
            self._write(self._tls.outgoing())
        if not self._transport.is_closing() and not self._ended:
            self._transport.write_eof()
        self._ended = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.shield(self.gone)
                self._transport.close()
                await asyncio.shield(self.lost)
        self._transport.abort()

    # -- within
    def _ignore_arrivals(self) -> None:
        self._chunks.clear()
        self.intercept = lambda _: True
        if self._paused and not self._is_finished:
            self._paused = False
            self._open_transport().resume_reading()

    async def _something(self) -> None:
        while not self._chunks:
            if self._is_finished:
                raise WireClosed("the peer closed the connection")
            self._arrived.clear()
            await self._arrived.wait()

    def _write(self, data: bytes) -> None:
        if data and not self._ended and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _decrypt(self, channel: TlsChannel, data: bytes) -> None:
        try:
            plain = channel.decrypt(data)
        except ssl.SSLError:
            plain, channel.has_ended = b"", True
        self._write(channel.outgoing())
        if plain:
            self._deliver(plain)
        if channel.has_ended:
            self._finish()

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise WireClosed("not connected")
        return self._transport

    def _encrypt(self, channel: TlsChannel, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            try:
                channel.encrypt(data[start : start + PIECE_BYTES])
            except ssl.SSLError:  # broken off already
                self._finish()
                return
            self._write(channel.outgoing())

    def _finish(self) -> None:
        self._is_finished = True
        self._leave()
        self._arrived.set()

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    def _pause(self) -> None:
        self._paused = True
        self._open_transport().pause_reading()
        asyncio.get_running_loop().call_later(PROBE_S, self._probe)

    def _probe(self) -> None:
        """While reading is paused the loop does not see the peer leave; ask the kernel."""
        if not self._paused or self.gone.done():
            return
        poll = select.poll()
        poll.register(self._open_transport().get_extra_info("socket").fileno(), select.POLLRDHUP)
        if poll.poll(0):
            self._leave()
        else:
            asyncio.get_running_loop().call_later(PROBE_S, self._probe)


def _joined(pieces: list[bytes]) -> list[bytes]:
    """Pieces to be written one behind the other: small ones joined, for each write costs, and long ones as they are, for so does a copy."""
    if len(pieces) == 1 or max(map(len, pieces)) < PIECE_BYTES:
        return [pieces[0] if len(pieces) == 1 else b"".join(pieces)]
    return pieces.copy()


def _told(error: ssl.SSLError) -> str:
    """OpenSSL's words without its places in source code."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    return f"the TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"


def _keep_alive(connection: socket.socket | None) -> None:
    """What has no such options, as Unix sockets, goes without."""
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):  # macOS lacks some
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
