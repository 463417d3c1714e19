"""A byte stream over a socket, for sessions of every protocol: bounded, upgradable to TLS, and quick to notice that the peer left."""

import asyncio
import contextlib
import select
import ssl
from collections.abc import Callable
from typing import cast

PROBE_S = 1.0


class WireClosed(ConnectionError):
    """The peer is gone."""


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
        self.gone: asyncio.Future[None] = loop.create_future()
        """Ends when the peer has closed its side or the connection broke."""
        self.on_connected: Callable[[], None] | None = None
        """Called once, when a listener's connection is made."""
        self.intercept: Callable[[bytes], bool] | None = None
        """Asked first about bytes that arrive while none wait; True where it has dealt with them."""

    # -- asyncio's side
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.on_connected is not None:
            # A connection that moves to TLS is made a second time.
            called, self.on_connected = self.on_connected, None
            called()

    def data_received(self, data: bytes) -> None:
        if self.intercept is not None and not self._chunks and self.intercept(data):
            return
        self._chunks.append(data)
        self._size += len(data)
        self._arrived.set()
        if self._size >= self._limit_bytes and not self._paused:
            self._pause()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

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
    def is_loopback(self) -> bool:
        """True where the peer is on this machine."""
        address = self._open_transport().get_extra_info("peername")
        return not isinstance(address, tuple) or address[0].startswith("127.") or address[0] == "::1"

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
        if self._paused and not self.gone.done():
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
        data = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
        self._outgoing.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the peer is slow. Raises ``WireClosed`` where it is gone."""
        self.flush()
        while not self._writable.is_set() and not self.gone.done():
            await self._writable.wait()
        if self.gone.done():
            raise WireClosed("the peer closed the connection")

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        timeout_s: float = 20,
        begun: bytes = b"",
    ) -> None:
        """Go on inside TLS. ``begun``: what was received of the handshake before it was known for one.

        Raises ``WireClosed`` where the handshake fails, or where plaintext waits in the buffer, which may be injected (CVE-2021-23214).
        """
        self.flush()
        transport = self._open_transport()
        transport.pause_reading()
        if self._size:
            raise WireClosed("bytes were sent ahead of the TLS handshake")
        handshake = asyncio.ensure_future(
            asyncio.get_running_loop().start_tls(
                transport,
                self,
                context,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=timeout_s,
            )
        )
        try:
            if begun:
                await self._hand_over(transport, begun)
            upgraded = await handshake
        except BaseException as error:
            handshake.cancel()
            transport.abort()
            self._leave()
            if isinstance(error, OSError):  # ssl.SSLError is one
                raise WireClosed(f"the TLS handshake failed: {error}") from error
            raise
        if upgraded is None:
            raise WireClosed("the peer left during the TLS handshake")
        self._transport = upgraded

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS state, None on a plain connection."""
        found: ssl.SSLObject | None = self._open_transport().get_extra_info("ssl_object")
        return found

    async def close(self) -> None:
        """Send what is queued, then close; give a peer that does not read two seconds."""
        if self._transport is None:
            return
        self.flush()
        self._transport.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.gone), 2)
        self._transport.abort()

    # -- within
    async def _something(self) -> None:
        while not self._chunks:
            if self.gone.done():
                raise WireClosed("the peer closed the connection")
            self._arrived.clear()
            await self._arrived.wait()

    async def _hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Bytes that were read already enter the TLS protocol by the same door as those that the loop will read."""
        while transport.get_protocol() is self:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # its connection is made in the next turn; the loop reads from the socket only after that
        inside = cast(asyncio.BufferedProtocol, transport.get_protocol())
        while data:
            room = memoryview(inside.get_buffer(len(data)))
            taken = min(len(room), len(data))
            room[:taken] = data[:taken]
            inside.buffer_updated(taken)
            data = data[taken:]

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise WireClosed("not connected")
        return self._transport

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self._arrived.set()
        self._writable.set()

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
