"""Brings a client from its first byte to an authenticated identity. Nothing is sent to a target here (I9)."""

import asyncio
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from countersign._core import FrontendDecoder, ProtocolError, StartupDecoder
from countersign.audit import AuditLog
from countersign.config import ClientCertificates
from countersign.identity import TOKEN_USER, Failures, Keys, StoredKey, TokenRefused, Tokens, claimed
from countersign.model import AuditEvent, Identity, IdentityKind, Target
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.authentication import AuthenticationFailed, ScramProof
from countersign.protocols.postgres.certificates import fingerprint, names
from countersign.protocols.postgres.session.memory import LONG_BYTES, MESSAGE_LIMIT_BYTES
from countersign.protocols.postgres.startup import StartupRefused, StartupRequest, read_startup
from countersign.protocols.wire import TlsFailed, Wire, WireClosed

log = structlog.get_logger(__name__)

STARTUP_TIMEOUT_S = 30.0
PASSWORD_LIMIT_BYTES = 8192
TLS_HANDSHAKE = 0x16
"""The first byte of a TLS record that opens a connection (RFC 8446, section 5.1). No start-up packet is long enough to begin with it."""
LATEST_MINOR = 2
"""Of protocol 3 (PostgreSQL 18). 3.1 was never used; a client that asks for it is served as 3.0, as by PostgreSQL."""
ALPN = "postgresql"
"""The protocol's registered name (RFC 7301, IANA)."""


class Refused(Exception):
    """The client is turned away with this SQLSTATE and text."""

    def __init__(self, code: str, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The connection was only there to cancel another's command."""

    pid: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """An authenticated client, the minor version of the protocol that it speaks, and any bytes it sent ahead. ``key_id``: the key that
    proved it, '' where none did."""

    identity: Identity
    key_id: str
    request: StartupRequest
    minor: int
    decoder: FrontendDecoder


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS as clients see it, what binds their proofs to it (None where the certificate does not serve for that), and which certificates
    of theirs prove who they are."""

    context: ssl.SSLContext
    binding: bytes | None
    certificates: ClientCertificates | None


class Reception:
    """Start-up and authentication of one target's clients."""

    def __init__(
        self, target: Target, keys: Keys, tokens: Tokens, audit: AuditLog, failures: Failures, tls: ServerTls | None
    ) -> None:
        self._tokens = tokens
        self._target = target
        self._keys = keys
        self._audit = audit
        self._failures = failures
        self._tls = tls.context if tls is not None else None
        self._binding = tls.binding if tls is not None else None
        self._certificates = tls.certificates if tls is not None else None

    async def receive(self, wire: Wire) -> Arrival | CancelAsked:
        """Raises ``Refused``, ``WireClosed`` and ``TimeoutError``."""
        async with asyncio.timeout(STARTUP_TIMEOUT_S):
            asked = await self._startup(wire)
            if isinstance(asked, CancelAsked):
                return asked
            request, minor = asked
            decoder = FrontendDecoder(PASSWORD_LIMIT_BYTES)
            identity, key_id = await self._authenticate(wire, request, decoder)
            if decoder.buffered():
                raise Refused(errors.PROTOCOL_VIOLATION, "messages were sent ahead of authentication")
            # What a replication session says is short, and no share of the memory for long messages is kept for it.
            limit_bytes = LONG_BYTES if request.replication else MESSAGE_LIMIT_BYTES
            return Arrival(identity, key_id, request, minor, FrontendDecoder(limit_bytes))

    # -- start-up
    async def _startup(self, wire: Wire) -> tuple[StartupRequest, int] | CancelAsked:
        if await wire.peek() == TLS_HANDSHAKE:
            await self._begin_tls(wire)
        answered: set[str] = set()
        while True:
            decoder = StartupDecoder()
            packet = await self._packet(wire, decoder)
            match packet:
                case ("ssl_request" | "gssenc_request" as asked,) if asked not in answered:
                    self._refuse_ahead(decoder)
                    answered.add(asked)
                    # As PostgreSQL: neither is offered inside TLS; where one was declined the other may be asked for.
                    if asked == "ssl_request" and self._tls is not None and wire.tls is None:
                        wire.send(b"S")
                        await self._secure(wire, self._tls)
                        answered = {"ssl_request", "gssenc_request"}
                    else:
                        wire.send(b"N")
                case ("cancel_request", pid, key):
                    return CancelAsked(pid, key)
                case ("startup", major, minor, parameters):
                    self._refuse_ahead(decoder)
                    return self._read(wire, major, minor, parameters)
                case _:
                    raise Refused(errors.PROTOCOL_VIOLATION, "unexpected start-up packet")

    async def _begin_tls(self, wire: Wire) -> None:
        """A client that begins with TLS itself must name the protocol (manual, "SSL Session Encryption"), so that no other
        protocol's client can be made to talk to this port."""
        if self._tls is None:
            raise WireClosed("TLS was begun with a target that has none")
        await self._secure(wire, self._tls, has_begun=True)
        if wire.tls is None or wire.tls.selected_alpn_protocol() != ALPN:
            raise Refused(errors.PROTOCOL_VIOLATION, f"TLS was begun without the ALPN protocol {ALPN!r}")

    async def _secure(self, wire: Wire, context: ssl.SSLContext, *, has_begun: bool = False) -> None:
        try:
            await wire.start_tls(context, server_side=True, has_begun=has_begun)
        except TlsFailed as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):  # the client hears it as an alert of TLS
                await self._failed(wire, "", "certificate_rejected", str(error), method="certificate")
            raise

    async def _packet(self, wire: Wire, decoder: StartupDecoder) -> tuple[Any, ...]:
        try:
            while (packet := decoder.next()) is None:
                decoder.feed(await wire.receive())
        except ProtocolError as error:
            raise Refused(errors.PROTOCOL_VIOLATION, f"malformed start-up packet: {error}") from error
        return packet

    def _refuse_ahead(self, decoder: StartupDecoder) -> None:
        if decoder.buffered():
            raise Refused(errors.PROTOCOL_VIOLATION, "bytes were sent ahead of the server's answer")

    def _read(self, wire: Wire, major: int, minor: int, parameters: list[tuple[str, str]]) -> tuple[StartupRequest, int]:
        """The request, and the minor version that is spoken: what the client asked for, or the latest."""
        if major != 3:
            told = f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{LATEST_MINOR}"
            raise Refused(errors.FEATURE_NOT_SUPPORTED, told)
        if self._tls is not None and wire.tls is None and not wire.is_loopback:
            raise Refused(errors.INVALID_AUTHORIZATION, "this target accepts TLS connections only")
        try:
            request = read_startup(parameters)
        except StartupRefused as error:
            raise Refused(errors.FEATURE_NOT_SUPPORTED, str(error)) from error
        extensions = [name for name, _ in parameters if name.startswith("_pq_.")]
        spoken = min(minor, LATEST_MINOR)
        if minor > spoken or extensions:
            wire.send(messages.negotiate_protocol_version(spoken, extensions))
        return request, spoken

    # -- authentication
    async def _authenticate(self, wire: Wire, request: StartupRequest, decoder: FrontendDecoder) -> tuple[Identity, str]:
        shown = wire.tls.getpeercert(binary_form=True) if wire.tls is not None and self._certificates is not None else None
        if self._certificates is not None and (shown is not None or self._certificates.required):
            return await self._certified(wire, request, shown, self._certificates), ""
        if request.user == TOKEN_USER and self._tokens:
            return await self._tokened(wire, request, decoder), ""
        try:
            key = await self._prove(wire, request, decoder)
        except AuthenticationFailed as error:
            await self._failed(wire, request.user, error.code, str(error))
            raise Refused(
                errors.INVALID_PASSWORD,
                f"authentication failed for {request.user!r}: {error}",
                hint="The user name is the service account's, the password an API key: countersign keys create NAME.",
            ) from error
        except Refused as error:
            await self._failed(wire, request.user, "malformed", str(error))
            raise
        refusal = self._keys.refusal(key)
        if refusal:
            code = "key_expired" if key.revoked_at is None else "key_revoked"
            await self._failed(wire, request.user, code, refusal, key_id=key.id)
            raise Refused(errors.INVALID_PASSWORD, f"{refusal}: ask whoever runs Countersign for a new one")
        await self._record("authentication.succeeded", wire, request.user, key_id=key.id)
        self._keys.used(key)
        return key.identity, key.id

    async def _tokened(self, wire: Wire, request: StartupRequest, decoder: FrontendDecoder) -> Identity:
        """The identity that a token in place of a password proves. It crosses the wire as it is, so inside of TLS or on loopback only."""
        try:
            if wire.tls is None and not wire.is_loopback:
                raise Refused(errors.INVALID_AUTHORIZATION, "a token is taken inside of TLS only")
            wire.send(messages.authentication(3))  # AuthenticationCleartextPassword
            given = await self._password(wire, decoder)
        except Refused as error:
            await self._failed(wire, request.user, "malformed", str(error), method="token")
            raise
        try:
            identity = await self._tokens.identity(given.removesuffix(b"\0").decode("ascii"))
        except UnicodeDecodeError:
            problem = TokenRefused("token_refused", "the password is no token")
        except TokenRefused as refused:
            problem = refused
        else:
            await self._record("authentication.succeeded", wire, identity.name, method="token", claims=dict(identity.claims))
            return identity
        await self._failed(wire, request.user, problem.code, str(problem), method="token")
        hint = "The password is a token of an issuer that the gateway's configuration names (identity.tokens)."
        raise Refused(errors.INVALID_PASSWORD, f"authentication failed: {problem}", hint=hint)

    async def _certified(self, wire: Wire, request: StartupRequest, shown: bytes | None, settings: ClientCertificates) -> Identity:
        """The identity that the client's certificate names; as with PostgreSQL's ``cert`` method the user name must be the same."""
        groups, refusal, code = settings.groups, "", "no_account"
        if shown is None:
            refusal, code = "this target asks for a client certificate", "no_certificate"
        elif request.user not in names(shown, settings.name):
            refusal, code = f"the client certificate is not for {request.user!r}", "other_name"
        elif (account := await self._keys.account(request.user)) is not None:
            groups = account.groups
        elif groups is None:
            refusal = f"there is no service account {request.user!r}"
        detail = {"method": "certificate", "certificate": fingerprint(shown) if shown is not None else ""}
        if refusal or groups is None:
            await self._failed(wire, request.user, code, refusal, **detail)
            raise Refused(errors.INVALID_AUTHORIZATION, f"authentication failed: {refusal}")
        await self._record("authentication.succeeded", wire, request.user, **detail)
        return Identity(request.user, IdentityKind.SERVICE_ACCOUNT, groups, authentication="certificate")

    async def _prove(self, wire: Wire, request: StartupRequest, decoder: FrontendDecoder) -> StoredKey:
        salt, candidates = await self._keys.candidates(request.user)
        proof = ScramProof(salt, candidates, secrets.token_urlsafe(24), self._binding if wire.tls is not None else None)
        wire.send(messages.sasl_mechanisms(proof.mechanisms))
        mechanism, _, rest = (await self._password(wire, decoder)).partition(b"\0")
        if len(rest) < 4 or int.from_bytes(rest[:4]) != len(rest) - 4:
            raise AuthenticationFailed("malformed SCRAM message")
        wire.send(messages.authentication(11, proof.challenge(mechanism.decode("ascii", "replace"), rest[4:])))
        key, server_final = proof.verify(await self._password(wire, decoder))
        wire.send(messages.authentication(12, server_final))
        return key

    async def _password(self, wire: Wire, decoder: FrontendDecoder) -> bytes:
        try:
            while (received := decoder.next()) is None:
                decoder.feed(await wire.receive())
        except ProtocolError as error:
            raise Refused(errors.PROTOCOL_VIOLATION, f"malformed message during authentication: {error}") from error
        kind, raw = received
        if kind != ord("p"):
            raise Refused(errors.PROTOCOL_VIOLATION, "expected a password message")
        return raw[5:]

    async def _record(self, kind: str, wire: Wire, name: str, **more: object) -> None:
        await self._audit.append(AuditEvent(kind, self._body(wire, name, more)))

    async def _failed(self, wire: Wire, name: str, code: str, reason: str, **more: str) -> None:
        told = {"code": code, "reason": reason.replace(repr(name), repr(claimed(name))), **more}
        await self._failures.record(wire.host, self._body(wire, claimed(name), told))

    def _body(self, wire: Wire, name: str, more: Mapping[str, object]) -> dict[str, object]:
        return {
            "name": name,
            "target": self._target.name,
            "client_address": wire.peer,
            "method": "scram-sha-256",
            **more,
        }
