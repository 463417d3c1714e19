"""Accepts PostgreSQL clients for one target."""

import asyncio
import hmac
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from countersign.audit import AuditLog, AuditUnavailable
from countersign.config import PostgresTarget
from countersign.gate import Gate, Outcome, digest_of
from countersign.identity import Failures, Keys, LiveKeys, Tokens
from countersign.model import Denial, Permit, Session
from countersign.model.clock import Clock
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.authentication import server_end_point
from countersign.protocols.postgres.errors import TargetRefused
from countersign.protocols.postgres.masking import TargetMasks
from countersign.protocols.postgres.replication import session_command
from countersign.protocols.postgres.session.catalog import CatalogUnavailable, TargetCatalog
from countersign.protocols.postgres.session.client import ALPN, Arrival, CancelAsked, Reception, Refused, ServerTls
from countersign.protocols.postgres.session.conversation import Surroundings
from countersign.protocols.postgres.session.inquiry import hang_up
from countersign.protocols.postgres.session.lanes import Lanes
from countersign.protocols.postgres.session.memory import LongMessages
from countersign.protocols.postgres.session.relay import Relay
from countersign.protocols.postgres.session.replication import ReplicationRelay
from countersign.protocols.postgres.session.surveying import Previews
from countersign.protocols.postgres.session.target import Dialer, TargetConnection
from countersign.protocols.supervisor import Supervisor
from countersign.protocols.wire import Wire, WireClosed
from countersign.recording import Recorder, RecordingFailed, Recordings
from countersign.store import StoredSessions

log = structlog.get_logger(__name__)

SHORT_KEY_BYTES, LONG_KEY_BYTES = 4, 32
"""Of cancel keys: all that protocol 3.0 has room for, and what 3.2 may have (PostgreSQL 18 uses as many)."""
UNAUTHENTICATED_LIMIT = 1000
UNAUTHENTICATED_LIMIT_OF_ONE = 500
"""How many connections may wait to be authenticated, in all and from one address."""
HELD_BEHIND_BYTES = 1 << 20
"""How much a client may send behind a held command before it must wait."""


@dataclass(frozen=True, slots=True)
class Services:
    """What sessions need of the gateway."""

    gate: Gate
    keys: Keys
    live_keys: LiveKeys
    tokens: Tokens
    failures: Failures
    audit: AuditLog
    sessions: StoredSessions
    recordings: Recordings
    rows_recorded: int
    clock: Clock
    new_id: Callable[[str], str]
    review_url: Callable[[str], str]
    lanes: Lanes
    long_messages: LongMessages


@dataclass(frozen=True, slots=True)
class Live:
    """A session in progress, as a CancelRequest finds it."""

    key: bytes
    relay: Relay | ReplicationRelay
    target: TargetConnection


class Arrivals:
    """Counts the clients that have not said yet who they are, so that strangers cannot use up the gateway."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def enter(self, host: str) -> str:
        """Count one in; why not, if there is no room."""
        if self._of.total() >= UNAUTHENTICATED_LIMIT:
            return "too many connections wait to be authenticated"
        if self._of[host] >= UNAUTHENTICATED_LIMIT_OF_ONE:
            return f"too many connections from {host} wait to be authenticated"
        self._of[host] += 1
        return ""

    def leave(self, host: str) -> None:
        """It is known, or gone."""
        self._of[host] -= 1
        if not self._of[host]:
            del self._of[host]


class PostgresListener:
    """Listens for one target. ``start`` answers the bound address."""

    def __init__(self, settings: PostgresTarget, masks: TargetMasks, services: Services) -> None:
        self._settings = settings
        self._masks = masks
        self._services = services
        self._reception = Reception(
            settings.target, services.keys, services.tokens, services.audit, services.failures, _server_tls(settings)
        )
        self._dialer = Dialer(settings.upstream)
        self._previews = Previews(self._dialer, self._masks.whole, settings.preview_role) if settings.previews else None
        self._supervisor = Supervisor()
        self._arrivals = Arrivals()
        self._live: dict[int, list[Live]] = {}
        self._catalogs: dict[str, TargetCatalog] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> tuple[str, int]:
        """Raises ``OSError`` where the address cannot be had."""
        listen = self._settings.listen
        self._server = await asyncio.get_running_loop().create_server(self._accept, listen.host, listen.port)
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    async def stop(self) -> None:
        """Stop listening and end every session."""
        if self._server is not None:
            self._server.close()
        await self._supervisor.stop()

    def policy_changed(self) -> None:
        """End every standing of this target's sessions: on return no command is let through by one any more."""
        for catalog in self._catalogs.values():
            catalog.epoch.move_on()
        for live in (one for several in self._live.values() for one in several):
            if isinstance(live.relay, Relay):
                live.relay.leave_step()

    # -- one connection
    def _accept(self) -> Wire:
        wire = Wire(HELD_BEHIND_BYTES)
        wire.on_connected = lambda: self._arrived(wire)
        return wire

    def _arrived(self, wire: Wire) -> None:
        if refusal := self._arrivals.enter(wire.host):
            _turn_away(wire, errors.TOO_MANY_CONNECTIONS, refusal, "Try again in a moment.")
            wire.dismiss()
            return
        self._supervisor.start(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        try:
            await self._admit(wire)
        except (WireClosed, TimeoutError) as error:
            log.info("client_left", target=self._settings.target.name, reason=str(error))
        except Refused as refused:
            _turn_away(wire, refused.code, str(refused), refused.hint)
        except CatalogUnavailable as error:
            trouble = self._services.new_id("err")
            log.error("session_refused", id=trouble, cause=str(error))
            _turn_away(wire, errors.CANNOT_CONNECT_NOW, f"Countersign cannot take sessions now: {error} ({trouble})", "")
        except RecordingFailed as error:
            log.error("session_refused", target=self._settings.target.name, cause=str(error))
            _turn_away(wire, errors.CANNOT_CONNECT_NOW, f"Countersign cannot take sessions now: {error}", "")
        except AuditUnavailable as error:
            log.error("session_refused", target=self._settings.target.name, cause=str(error))
            why = error.trouble
            _turn_away(wire, errors.state_of(why), f"Countersign cannot take sessions now: {why.public}", why.advice)
        except asyncio.CancelledError:
            _turn_away(wire, errors.ADMIN_SHUTDOWN, "Countersign is stopping", "")
        except Exception as error:
            trouble = self._services.new_id("err")
            log.error("session_crashed", id=trouble, error=str(error), exc_info=error)
            _turn_away(wire, errors.INTERNAL_ERROR, f"internal error in Countersign ({trouble})", "")
        finally:
            await wire.close()

    async def _admit(self, wire: Wire) -> None:
        host = wire.host
        try:
            arrival = await self._reception.receive(wire)
        except TimeoutError:
            raise Refused(errors.QUERY_CANCELED, "canceling authentication due to timeout") from None
        finally:
            self._arrivals.leave(host)
        if isinstance(arrival, CancelAsked):
            await self._cancel(arrival)
            return
        session = self._session(wire, arrival)
        permit = await self._open_replication(session, arrival) if arrival.request.replication else None
        began_s = time.monotonic()
        reason = "not connected"
        try:
            target = await self._reach(arrival)
            try:
                reason = await self._carry(wire, arrival, target, session)
            finally:
                await hang_up(target)
        finally:
            if permit is not None:
                await self._services.gate.finished(session, permit, Outcome(True, reason, time.monotonic() - began_s))

    def _session(self, wire: Wire, arrival: Arrival) -> Session:
        return Session(
            id=self._services.new_id("se"),
            identity=arrival.identity,
            target=self._settings.target,
            client_address=wire.peer,
            started_at=self._services.clock(),
            database=arrival.request.database,
            application=arrival.request.application,
        )

    async def _open_replication(self, session: Session, arrival: Arrival) -> Permit:
        """Replication reads everything, past every rule on statements and columns: a rule must allow the session itself."""
        gate, command = self._services.gate, session_command(arrival.request.user, arrival.request.replication)
        if self._masks.of(session.identity).rules:
            text = "replication is refused on a target with mask rules: what it carries cannot be masked"
            answer: Permit | Denial = await gate.refuse(session, command, text)
        else:
            answer = await gate.admit_unheld(session, command, "while a client connects")
        if isinstance(answer, Denial):
            raise Refused(errors.INSUFFICIENT_PRIVILEGE, answer.message, hint=answer.hint)
        answer.spend(session_id=session.id, digest=digest_of(session, command))
        return answer

    async def _reach(self, arrival: Arrival) -> TargetConnection:
        name, request = self._settings.target.name, arrival.request
        settings = request.settings | ({"replication": request.replication} if request.replication else {})
        try:
            return await self._dialer.connect(request.database, settings)
        except TargetRefused as error:
            log.warning("target_refused", target=name, cause=str(error))
            raise Refused(error.code, f"target {name}: {error.public}") from error

    async def _carry(self, wire: Wire, arrival: Arrival, target: TargetConnection, session: Session) -> str:
        services = self._services
        if not arrival.request.replication:  # which has no database to ask, and no command that is judged by one
            await self._catalog(session.database).schema()
        recorder = services.recordings.open(session)
        reason = "ended: internal error"
        try:
            await services.sessions.opened(session)
            try:
                reason = await self._relay(wire, arrival, target, session, recorder)
            except asyncio.CancelledError:
                reason = "the gateway stopped"
                raise
            finally:
                await services.sessions.closed(session, reason)
        finally:
            recorder.close(reason)
        return reason

    async def _relay(self, wire: Wire, arrival: Arrival, target: TargetConnection, session: Session, recorder: Recorder) -> str:
        relay: Relay | ReplicationRelay
        if arrival.request.replication:
            relay = ReplicationRelay(session, wire, arrival.decoder, target, recorder, self._services.gate)
        else:
            relay = Relay(session, wire, arrival.decoder, target, recorder, self._surroundings(session, arrival.request.settings))
        pid = target.pid  # clients compare it with pg_backend_pid() and NotificationResponse; the secret is the gateway's own
        live = Live(secrets.token_bytes(LONG_KEY_BYTES if arrival.minor >= 2 else SHORT_KEY_BYTES), relay, target)
        self._live.setdefault(pid, []).append(live)
        leave = self._services.live_keys.enter(arrival.key_id, relay.end) if arrival.key_id else _nothing
        try:
            wire.send(messages.authentication(0) + b"".join(target.greeting) + messages.backend_key_data(pid, live.key))
            wire.send(messages.message(b"Z", b"I"))
            return await relay.run()
        finally:
            leave()
            self._live[pid].remove(live)
            if not self._live[pid]:
                del self._live[pid]

    def _surroundings(self, session: Session, settings: dict[str, str]) -> Surroundings:
        services = self._services
        survey = (
            None
            if self._previews is None
            else partial(self._previews.of, self._catalog(session.database), session.database, settings)
        )
        return Surroundings(
            services.gate,
            self._masks.of(session.identity),
            self._catalog(session.database),
            services.lanes,
            services.long_messages,
            services.review_url,
            services.rows_recorded,
            {name: value for name, value in settings.items() if name != "application_name"},
            self._settings.read_only,
            survey,
        )

    def _catalog(self, database: str) -> TargetCatalog:
        if database not in self._catalogs:
            self._catalogs[database] = TargetCatalog(self._dialer, database, self._masks.whole)
        return self._catalogs[database]

    async def _cancel(self, asked: CancelAsked) -> None:
        """A held command's review is cancelled; a running one's target is asked. Unknown keys are ignored, as by PostgreSQL."""
        live = next((one for one in self._live.get(asked.pid, ()) if hmac.compare_digest(one.key, asked.key)), None)
        if live is None or live.relay.cancel_hold("canceling statement due to user request"):
            return
        try:
            await self._dialer.cancel(live.target)
        except (TargetRefused, TimeoutError) as error:
            log.warning("cancel_not_sent", cause=str(error))


def _nothing() -> None:
    """For a session that no key has opened."""


def _server_tls(settings: PostgresTarget) -> ServerTls | None:
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls.cert_file, settings.tls.key_file)
    context.set_alpn_protocols([ALPN])
    # No session is taken up again: what was found out about a client's certificate would be taken over with it.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    certificates = settings.tls.certificates
    if certificates is not None:
        context.load_verify_locations(certificates.ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL  # one that is missing is refused in the protocol's own words
        if certificates.crl_file is not None:
            context.load_verify_locations(certificates.crl_file)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    own = x509.load_pem_x509_certificate(settings.tls.cert_file.read_bytes())  # the first: its chain follows
    return ServerTls(context, server_end_point(own.public_bytes(serialization.Encoding.DER)), certificates)


def _turn_away(wire: Wire, code: str, text: str, hint: str) -> None:
    wire.send(messages.error_response(code, text, hint=hint, severity="FATAL"))
