"""Opens and authenticates a connection to a target (manual, "Message Flow", "Start-up")."""

import asyncio
import contextlib
import secrets
import ssl
import struct
from dataclasses import dataclass, field, replace

import structlog

from countersign._core import BackendDecoder, ProtocolError, decode_fields
from countersign.config import Upstream
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.authentication import AuthenticationFailed, KnownKeys, TargetScram, md5_password
from countersign.protocols.postgres.errors import TargetRefused
from countersign.protocols.wire import Wire, WireClosed

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 15.0
NEXT_HOST_TIMEOUT_S = 5.0
"""Of a host that another stands in for."""
WINDOW_BYTES = 1 << 20
MESSAGE_LIMIT_BYTES = 1 << 30


@dataclass(slots=True)
class TargetConnection:
    """An authenticated connection, ready for its first query, and what the target said on the way there."""

    wire: Wire
    decoder: BackendDecoder
    greeting: list[bytes] = field(default_factory=list)
    """ParameterStatus and NoticeResponse messages, raw."""
    parameters: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    cancel_key: bytes = b""
    host: str = ""
    """Which of the target's hosts it leads to, where the target has several."""


class Dialer:
    """Opens connections to one target."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known = KnownKeys()

    async def connect(self, database: str, settings: dict[str, str]) -> TargetConnection:
        """Connect, secure, authenticate. Raises ``TargetRefused``; the password is in no error.

        Of several hosts the first counts that can be had; as with libpq, one that answers and refuses ends the search.
        """
        hosts = (self._upstream.host, *self._upstream.more_hosts)
        for host in hosts[:-1]:
            try:
                return await self._connect(host, database, settings, NEXT_HOST_TIMEOUT_S)
            except TargetRefused as error:
                if error.is_final:
                    raise
                log.warning("next_host", host=host, cause=str(error))
        return await self._connect(hosts[-1], database, settings, CONNECT_TIMEOUT_S)

    async def _connect(self, host: str, database: str, settings: dict[str, str], timeout_s: float) -> TargetConnection:
        upstream = replace(self._upstream, host=host)
        try:
            async with asyncio.timeout(timeout_s):
                wire = await open_wire(upstream)
                connection = TargetConnection(wire, BackendDecoder(MESSAGE_LIMIT_BYTES), host=host)
                try:
                    await _Opening(connection, upstream, self._known).run(database, settings)
                    if upstream.target_session_attrs == "read-write":
                        _must_write(connection)
                except BaseException:
                    await wire.close()
                    raise
                return connection
        except TimeoutError as error:
            raise TargetRefused("the target does not answer", "timeout") from error
        except (WireClosed, ProtocolError, AuthenticationFailed) as error:
            is_final = isinstance(error, AuthenticationFailed)
            raise TargetRefused("the target broke off the connection", str(error), is_final=is_final) from error

    async def cancel(self, connection: TargetConnection) -> None:
        """Ask the target to cancel what a connection runs. Raises ``TargetRefused`` and ``TimeoutError``.

        The target closes this connection once it has told the other. Only then may the client go on, or its next command is cancelled.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            wire = await open_wire(replace(self._upstream, host=connection.host or self._upstream.host))
            try:
                wire.send(messages.cancel_request(connection.pid, connection.cancel_key))
                with contextlib.suppress(WireClosed):
                    await wire.receive()
            finally:
                await wire.close()


def _must_write(connection: TargetConnection) -> None:
    """As libpq: by the parameters that PostgreSQL reports since version 14. Raises ``TargetRefused``."""
    said = [connection.parameters.get(name) for name in ("in_hot_standby", "default_transaction_read_only")]
    if said != ["off", "off"]:
        told = "in_hot_standby is {}, default_transaction_read_only is {}".format(*said)
        raise TargetRefused("the target does not take writes", told, code=errors.CANNOT_CONNECT_NOW)


async def open_wire(upstream: Upstream) -> Wire:
    """A connection to the target, inside TLS where its settings ask for it. Raises ``TargetRefused``."""
    loop = asyncio.get_running_loop()
    try:
        if upstream.host.startswith("/"):
            _, wire = await loop.create_unix_connection(lambda: Wire(WINDOW_BYTES), f"{upstream.host}/.s.PGSQL.{upstream.port}")
        else:
            _, wire = await loop.create_connection(lambda: Wire(WINDOW_BYTES), upstream.host, upstream.port)
    except OSError as error:
        raise TargetRefused("the target cannot be reached", str(error)) from error
    if upstream.tls != "disable":
        await _secure(wire, upstream)
    return wire


async def _secure(wire: Wire, upstream: Upstream) -> None:
    wire.send(messages.SSL_REQUEST)
    try:
        answer = await wire.receive()
        if answer != b"S":
            raise TargetRefused("the target does not offer TLS, which its settings demand", repr(answer[:1]))
        await wire.start_tls(tls_context(upstream), server_side=False, server_hostname=upstream.host)
    except (OSError, WireClosed) as error:
        raise TargetRefused("no secure connection to the target", str(error)) from error


def tls_context(upstream: Upstream) -> ssl.SSLContext:
    """``require`` encrypts without asking who is there, ``verify-full`` checks certificate and name. Raises ``OSError``."""
    context = ssl.create_default_context(cafile=str(upstream.ca_file) if upstream.ca_file else None)
    if upstream.tls == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Opening:
    """Start-up and authentication of one connection."""

    def __init__(self, connection: TargetConnection, upstream: Upstream, known: KnownKeys) -> None:
        self._connection = connection
        self._upstream = upstream
        self._known = known
        self._scram: TargetScram | None = None

    async def run(self, database: str, settings: dict[str, str]) -> None:
        """Until the target is ready for a query."""
        connection = self._connection
        connection.wire.send(messages.startup_message({"user": self._upstream.user, "database": database, **settings}))
        while True:
            kind, raw = await self._next()
            match kind:
                case b"R":
                    await self._authenticate(struct.unpack(">I", raw[5:9])[0], raw[9:])
                case b"S":
                    name, value = raw[5:-1].split(b"\0", 1)
                    connection.parameters[name.decode()] = value.decode()
                    connection.greeting.append(raw)
                case b"N":
                    connection.greeting.append(raw)
                case b"K":
                    connection.pid, connection.cancel_key = struct.unpack(">I", raw[5:9])[0], raw[9:]
                case b"Z":
                    return
                case b"E":
                    raise _refusal(raw)
                case _:
                    raise TargetRefused("the target broke the protocol", f"message {kind!r} during start-up")

    async def _next(self) -> tuple[bytes, bytes]:
        connection = self._connection
        while (event := connection.decoder.next()) is None:
            connection.decoder.feed(await connection.wire.receive())
        return bytes([event[0]]), event[1]

    async def _authenticate(self, code: int, payload: bytes) -> None:
        wire, scram, upstream = self._connection.wire, self._scram, self._upstream
        if upstream.channel_binding == "require" and scram is None and code != 10:
            raise AuthenticationFailed("the target does not ask for channel binding, which its settings demand")
        match code:
            case 0:
                if scram is not None and not scram.proved:
                    raise AuthenticationFailed("the target skipped its part of SCRAM")
            case 3:
                raise AuthenticationFailed("the target asks for the password in clear, which Countersign does not send")
            case 5:
                wire.send(messages.password_message(md5_password(upstream.user, self._password(), payload)))
            case 10:
                self._scram = scram = self._begin_scram(payload.rstrip(b"\0").decode("ascii", "replace").split("\0"))
                wire.send(messages.sasl_initial_response(scram.mechanism, scram.first()))
            case 11 if scram is not None:
                scram.challenged(payload)
                # Thousands of rounds would keep every other session waiting.
                wire.send(messages.password_message(scram.final() if scram.is_known else await asyncio.to_thread(scram.final)))
            case 12 if scram is not None:
                scram.check(payload)
            case _:
                raise AuthenticationFailed(f"the target asks for authentication method {code}, which Countersign does not speak")

    def _begin_scram(self, mechanisms: list[str]) -> TargetScram:
        tls = self._connection.wire.tls
        return TargetScram(
            self._password(),
            mechanisms,
            secrets.token_urlsafe(18),
            channel_binding=self._upstream.channel_binding,
            certificate=tls.getpeercert(binary_form=True) if tls is not None else None,
            known=self._known,
        )

    def _password(self) -> str:
        try:
            return self._upstream.password.reveal() if self._upstream.password else ""
        except (OSError, KeyError, ValueError) as error:
            raise TargetRefused("the gateway has lost its password for the target", type(error).__name__) from error


def _refusal(raw: bytes) -> TargetRefused:
    fields = dict(decode_fields(raw))
    code = fields.get("C", b"").decode("ascii", "replace")
    text = fields.get("M", b"").decode("utf-8", "replace")
    if code == "3D000":
        return TargetRefused("there is no such database on the target", text, code=code, is_final=True)
    if code.startswith("28"):
        return TargetRefused("the target does not accept the gateway's credentials", text, is_final=True)
    public = f"the target refused the session (SQLSTATE {code})"
    return TargetRefused(public, text, code=code or "08006", is_final=code != errors.CANNOT_CONNECT_NOW)
