"""TLS over bytes: the caller moves them. Unlike an event loop's own TLS it lets a peer whose certificate is refused hear why."""

import ssl

PLAIN_BYTES = 1 << 18


class TlsChannel:
    """One end of a TLS connection. Whatever was called, ``outgoing`` must be sent afterwards, also where it raised ``ssl.SSLError``."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.state = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname)
        self.has_ended = False
        """True once the peer has said that nothing more will come."""

    def handshake(self, data: bytes) -> bool:
        """Take what arrived; True once the handshake is done."""
        self._incoming.write(data)
        try:
            self.state.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """Take what arrived; what it says, as far as it is complete."""
        self._incoming.write(data)
        parts: list[bytes] = []
        try:
            while part := self.state.read(PLAIN_BYTES):
                parts.append(part)
            self.has_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.has_ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def encrypt(self, data: bytes) -> None:
        """Say this."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.state.write(rest) :]

    def end(self) -> None:
        """Say that nothing more will come."""
        try:
            self.state.unwrap()
        except ssl.SSLError:  # the peer's own farewell is not waited for
            return

    def outgoing(self) -> bytes:
        """What must be sent."""
        return self._outgoing.read()
