"""The composition root: the only place that builds concrete objects."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from countersign.api.app import create_api
from countersign.api.hooks import Hooks
from countersign.api.server import ApiServer, bind_socket
from countersign.api.services import Health, PolicyStatus
from countersign.api.services import Services as ApiServices
from countersign.api.sign_in import ConsoleSignIn
from countersign.audit import AuditUnavailable, Checkpoint, LogKey
from countersign.audit.delivery import Delivery, Status, status_of
from countersign.audit.feeds import CheckpointFeed, RecordFeed, export_name
from countersign.audit.search import Query
from countersign.audit.sinks import sink_for
from countersign.config import Config
from countersign.garbage import collect_at_set_times
from countersign.gate import Gate
from countersign.identity import Failures, Keys, LiveKeys, Oidc, Tokens, administrator
from countersign.model import AuditEvent, Review, Trouble
from countersign.model.clock import SteadyClock
from countersign.notify import Channels, tellings
from countersign.presence import Presence
from countersign.protocols.postgres.masking import TargetMasks
from countersign.protocols.postgres.session import Lanes, PostgresListener
from countersign.protocols.postgres.session.listener import Services as SessionServices
from countersign.protocols.postgres.session.memory import LongMessages, room_of_this_machine
from countersign.recording import Recordings, library_of, recordings_of
from countersign.reload import Reload, identity_of
from countersign.retention import RecordingRetention, Retention
from countersign.reviews.grants import Grants
from countersign.reviews.service import ReviewService
from countersign.store import (
    Database,
    Indexing,
    Leadership,
    LogIndex,
    LogMisfit,
    StoredAuditLog,
    StoredCheckpoints,
    StoredCursors,
    StoredGateways,
    StoredGrants,
    StoredKeys,
    StoredNotices,
    StoredReviews,
    StoredSessions,
    StoreError,
    WitnessCursors,
    exchange_log_key,
    load_log_key,
    settle_log_key,
)

log = structlog.get_logger(__name__)

EXPIRE_EVERY_S = 0.25
CHECKPOINT_EVERY_S = 60.0
PUBLISH_S = 10.0
"""How long the shutdown waits for witnesses and exports to take what is left."""


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """A random id such as ``rv-3f9c2a71d0b4``."""
    return f"{prefix}-{secrets.token_hex(6)}"


def _clock_set_back(seconds: float) -> None:
    log.warning("clock_set_back", seconds=round(seconds, 1), meanwhile="reviews and grants end by the time that has passed")


class Parts:
    """What a gateway and an offline command line have in common: the services over one store."""

    def __init__(self, config: Config, database: Database, gateway: str = "") -> None:
        """``gateway``: its id, where one runs."""
        self.database = database
        self.index = None if config.store.server else LogIndex(config.store.path)
        self.audit = StoredAuditLog(database, self.index)
        steady = SteadyClock(now, time.monotonic, _clock_set_back)
        self.grants = Grants(StoredGrants(database), steady, new_id)
        self.reviews = ReviewService(StoredReviews(database, gateway), self.grants, steady, new_id, config.reviews, gateway)
        self.keys = Keys(StoredKeys(database), now, new_id)
        self.sessions = StoredSessions(database, now, gateway)
        self.sign_in = ConsoleSignIn(now)
        self.failures = Failures(self.audit, time.monotonic)
        self.config = config
        self.console_url = config.console_url
        """Where links lead; a gateway that listens on a free port fills it in."""
        self.tellings = tellings(
            config.channels,
            StoredReviews(database),
            self.audit,
            StoredCursors(database),
            StoredNotices(database),
            now,
            self.review_url,
            self.reviews.estimate,
        )
        self.recordings: Recordings | None = None
        """Where a gateway runs."""

    def review_url(self, review_id: str) -> str:
        """Where a review is in the console."""
        return f"{self.console_url}/#/reviews/{review_id}"

    async def sign(self) -> str:
        """Make a checkpoint now, if anything was appended; the newest note. Raises ``AuditUnavailable``."""
        may_make = not await StoredCheckpoints.any(self.database)
        checkpoints = StoredCheckpoints(self.database, now, load_log_key(self.config.audit.key_path, may_make=may_make))
        try:
            made = await checkpoints.make() or await checkpoints.latest()
        except LogMisfit as misfit:
            await self.stop_trusting(misfit)
            raise
        return made.note if made else ""

    async def settle_key(self) -> None:
        """End an exchange of the log's key that a crash cut off. Raises ``StoreError``."""

        async def goes_on_with(key: LogKey) -> bool:
            return await StoredCheckpoints(self.database, now, key).goes_on_with()

        await settle_log_key(self.config.audit.key_path, goes_on_with)

    async def rotate_key(self, keep_old: Path | None) -> tuple[LogKey, Checkpoint]:
        """Exchange the log's key; nobody else may have it loaded. Raises ``StoreError``."""
        made: list[Checkpoint] = []

        async def hand_over(old: LogKey, new: LogKey) -> None:
            by = administrator(os.getuid(), "unix_socket")
            made.append(await StoredCheckpoints(self.database, now, old).hand_over(new, by))

        await self.settle_key()
        new = await exchange_log_key(self.config.audit.key_path, keep_old, hand_over)
        return new, made[0]

    async def stop_trusting(self, misfit: LogMisfit) -> None:
        """Let nothing through any more, and say so."""
        if self.database.trouble is Trouble.DISTRUSTED:
            return
        self.database.distrust(misfit)
        log.critical("log_distrusted", cause=str(misfit), advice="nothing is let through; see docs/audit-log.md")
        try:
            await self.audit.append(AuditEvent("audit.distrusted", {"reason": str(misfit)}))
        except AuditUnavailable as error:
            log.error("distrust_not_recorded", error=str(error))

    async def health(self, statuses: Callable[[], Awaitable[list[Status]]]) -> Health:
        """How the log is doing; what cannot be read is trouble too."""
        is_writable = self.recordings is None or not self.recordings.failure
        trouble = self.database.trouble
        try:
            records, signed, made_at = await StoredCheckpoints.extent(self.database)
            lags = [one.lag_s for one in await statuses() if one.name.startswith("witness:")]
        except AuditUnavailable as error:
            return Health(trouble or error.trouble, 0, 0, None, None, is_writable)
        age_s = None if made_at is None else (now() - made_at).total_seconds()
        return Health(trouble, records, signed, age_s, max(lags, default=None), is_writable)

    def deliveries(self, checkpoints: StoredCheckpoints) -> list[Delivery]:
        """One for each witness and each export."""
        audit, exported, witnessed = self.config.audit, StoredCursors(self.database), WitnessCursors(self.database)
        witnesses = [
            Delivery(CheckpointFeed(one.name, checkpoints.after), sink_for(one.place, now), witnessed, now)
            for one in audit.witnesses
        ]
        exports = [
            Delivery(
                RecordFeed(one, self.audit, self.sessions.address), sink_for(one.place, now), exported, now, from_now=one.from_now
            )
            for one in audit.exports
        ]
        return [*witnesses, *exports]

    def retention(self, living: Collection[str]) -> list[Coroutine[None, None, None]]:
        """What removes old bodies and recordings each day, where the configuration says so. Called before any session begins; ``living``
        are the gateways on the store."""
        audit, recordings = self.config.audit, self.config.recordings
        found: list[Coroutine[None, None, None]] = []
        if audit.keep_bodies is not None:
            exports = [export_name(one.name) for one in audit.exports]
            found.append(Retention(self.audit, StoredCursors(self.database), exports, audit.keep_bodies, now).run())
        if recordings.keep is not None:
            library = library_of(recordings)
            found.append(RecordingRetention(library, self.sessions, self.audit, recordings.keep, now, living).run())
        return found

    async def kept_statuses(self) -> list[Status]:
        """What the store says of deliveries while none is under way."""
        audit, exported, witnessed = self.config.audit, StoredCursors(self.database), WitnessCursors(self.database)
        return [
            *[await status_of(one.name, sink_for(one.place, now).place, witnessed, now) for one in audit.witnesses],
            *[await status_of(export_name(one.name), sink_for(one.place, now).place, exported, now) for one in audit.exports],
            *[await status_of(one.delivery.name, one.channel.place, exported, now) for one in self.tellings],
        ]

    def api(
        self,
        *,
        online: bool,
        listeners: dict[str, tuple[str, int]],
        statuses: Callable[[], Awaitable[list[Status]]] | None = None,
        policy: Callable[[], PolicyStatus] | None = None,
    ) -> ApiServices:
        """The services as the API takes them."""

        def targets() -> list[dict[str, object]]:
            return [_target_json(self.config, name, listeners) for name in (t.target.name for t in self.config.targets)]

        return ApiServices(
            config=self.config,
            reviews=self.reviews,
            grants=self.grants,
            keys=self.keys,
            audit=self.audit,
            sessions=self.sessions,
            recordings=library_of(self.config.recordings),
            sign_in=self.sign_in,
            oidc=Oidc(self.config.identity.oidc, now),
            public_url=lambda: self.console_url,
            failures=self.failures,
            online=online,
            targets=targets,
            deliveries=statuses or self.kept_statuses,
            sign=self.sign,
            health=partial(self.health, statuses or self.kept_statuses),
            channels=Channels(self.tellings, StoredNotices(self.database), self.audit),
            policy=policy or (lambda: PolicyStatus(self.config.policy.digest, None, "")),
        )


def _target_json(config: Config, name: str, listeners: dict[str, tuple[str, int]]) -> dict[str, object]:
    settings = next(target for target in config.targets if target.target.name == name)
    host, port = listeners.get(name, (settings.listen.host, settings.listen.port))
    status = "listening" if name in listeners else "stopped"
    return {"name": name, "type": settings.target.type, "listen": f"{host}:{port}", "status": status}


@contextlib.asynccontextmanager
async def offline(config: Config) -> AsyncIterator[ApiServices]:
    """The services over the store of a gateway that is not running. Raises ``StoreError``."""
    database = Database.open(config.store.place, now)
    try:
        parts = Parts(config, database)
        await parts.settle_key()
        yield parts.api(online=False, listeners={})
        if config.audit.key_path.exists() and await StoredCheckpoints.any(database):  # what was done offline is signed at once
            with contextlib.suppress(AuditUnavailable):
                await StoredCheckpoints(database, now, load_log_key(config.audit.key_path)).make()
    finally:
        await asyncio.to_thread(database.close)


async def rotate_key(config: Config, keep_old: Path | None) -> tuple[LogKey, Checkpoint]:
    """Exchange the key of the audit log of a gateway that is not running, and hold its socket meanwhile, so that none starts. The new key,
    and the hand-over. Raises ``StoreError``, and ``OSError`` where a gateway runs."""
    if config.store.server is None and not config.store.path.exists():
        raise StoreError(f"there is no store at {config.store.path}")
    lock = bind_socket(config.admin_socket)
    try:
        database = Database.open(config.store.place, now)
        try:
            if others := await StoredGateways(database, "", now).living() if config.store.server else {}:
                raise StoreError(f"{len(others)} gateways run on this store: the key is exchanged while none does")
            return await Parts(config, database).rotate_key(keep_old)
        finally:
            await asyncio.to_thread(database.close)
    finally:
        config.admin_socket.unlink(missing_ok=True)
        lock.close()


class Gateway:
    """A running gateway: ``start`` returns once everything listens, ``stop`` ends every session and closes the store."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.id = new_id("gw")
        self.listeners: dict[str, tuple[str, int]] = {}
        self.reload = asyncio.Event()
        """Set it to have the policies loaded anew."""
        self._targets: list[PostgresListener] = []
        self._deliveries: list[Delivery] = []
        self.console_url = ""
        self.hooks: dict[str, tuple[str, int]] = {}
        """Where channels take decisions, by their names."""
        self._leadership = Leadership(is_held=config.store.server is None)
        """Of the gateways on a store one sends what all have to tell."""
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Raises ``StoreError``, ``OSError`` (an address cannot be had) and ``ValueError`` (a mask rule the engine refuses)."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        config = self.config
        database = Database.open(config.store.place, now)
        self._stack.push_async_callback(asyncio.to_thread, database.close)
        self.parts = Parts(config, database, self.id)
        self._policies = Reload(config, self.parts.audit, self.reload, self._policy_changed, now)
        self.services = self.parts.api(online=True, listeners=self.listeners, statuses=self._statuses, policy=self._policy_status)
        server = ApiServer(create_api(self.services), config.console.host, config.console.port, config.admin_socket, config.people)
        # The socket is the lock: whoever answers on it owns the store, so nothing is recovered before it is ours.
        host, port = await server.start()
        self.console_url = f"http://{host}:{port}"
        self.services.sign_in.base_url = self.console_url
        self.parts.console_url = self.parts.console_url or self.console_url
        self._stack.push_async_callback(server.stop)
        living = await self._appear(database)
        if self.parts.index is not None:
            indexing = Indexing(self.parts.index)
            indexing.start()
            self._stack.push_async_callback(asyncio.to_thread, indexing.stop)
        await self.parts.settle_key()
        has_checkpoints = await StoredCheckpoints.any(database)
        changed = await self._configuration(has_checkpoints)
        checkpoints = StoredCheckpoints(database, now, load_log_key(config.audit.key_path, may_make=not has_checkpoints))
        await checkpoints.make()  # fails where the log does not fit what was signed before, and then nothing is let through
        for event in changed:
            await self.parts.audit.append(event)
        self._deliveries = [*self.parts.deliveries(checkpoints), *(one.delivery for one in self.parts.tellings)]
        tasks = [asyncio.create_task(self._leadership.run(delivery.run)) for delivery in self._deliveries]
        self._stack.push_async_callback(self._deliver_the_rest, tasks)
        self._stack.callback(self.parts.reviews.listen(self._wake_channels))
        self._stack.push_async_callback(self._checkpoint, checkpoints)
        self._stack.push_async_callback(self.parts.audit.append, AuditEvent("gateway.stopped", {}))
        self._stack.push_async_callback(self._policies.settle)
        self._stack.push_async_callback(self.parts.failures.flush, everything=True)
        for work in (
            self._expire(),
            self._checkpoint_each_minute(checkpoints),
            collect_at_set_times(),
            *self.parts.retention(living),
            *(self._leadership.run(one.reminders.run) for one in self.parts.tellings if one.reminders is not None),
        ):
            self._stack.push_async_callback(_end, asyncio.create_task(work))
        await self._take_decisions(database)
        await self._listen(database)
        self._stack.push_async_callback(_end, asyncio.create_task(self._policies.run()))

    async def _appear(self, database: Database) -> Collection[str]:
        """Be one of the gateways on the store, and end what dead ones held. Those that live."""
        gateways = StoredGateways(database, self.id, now)
        await gateways.started(socket.gethostname(), self.console_url)
        self._stack.push_async_callback(gateways.stopped)
        server = self.config.store.server
        if server is None:
            await self.parts.reviews.recover({self.id})
            return {self.id}
        from countersign.store.listening import Listening  # with its driver, which few need

        presence = Presence(gateways, self.parts.reviews)
        listening = Listening(server, self.id, self._leadership, presence.heard)
        for work in (presence.run(), listening.run()):
            self._stack.push_async_callback(_end, asyncio.create_task(work))
        return await gateways.living()

    def _policy_changed(self) -> None:
        for listener in self._targets:
            listener.policy_changed()

    def _policy_status(self) -> PolicyStatus:
        policies = self._policies
        return PolicyStatus(policies.config.policy.digest, policies.since, policies.problem)

    async def _configuration(self, has_started_before: bool) -> list[AuditEvent]:
        """The records of this start: under which configuration, and what of it is another than at the last one."""
        config, by = self.config, administrator(os.getuid(), "start")
        after = identity_of(config)
        who: dict[str, object] = {"by": by.name, "authentication": by.authentication}
        started = AuditEvent("gateway.started", after | who)
        last = await self.parts.audit.search(Query(kind="gateway.started"), 1)
        before = {name: last[0].body.get(name) for name in after} if last else None
        if before == after or (before is None and not has_started_before):
            return [started]
        return [started, AuditEvent("configuration.changed", {"before": before, "after": after} | who)]

    async def _take_decisions(self, database: Database) -> None:
        parts = self.parts
        hooks = Hooks(parts.tellings, parts.reviews, StoredNotices(database), parts.keys, parts.failures, now)
        self._stack.push_async_callback(hooks.stop)
        self.hooks = await hooks.start()

    async def _listen(self, database: Database) -> None:
        hash_key = await database.secret("hash operator")
        gate = Gate(lambda: self._policies.config.policy, self.parts.audit, self.parts.reviews, self.parts.grants, now, new_id)
        recordings = self.parts.recordings = recordings_of(self.config.recordings, self.parts.audit.hand_over)
        self._stack.push_async_callback(asyncio.to_thread, recordings.close)
        live_keys = LiveKeys(self.parts.keys)
        self._stack.push_async_callback(_end, asyncio.create_task(live_keys.run()))
        lanes = Lanes(database.intake, recordings.spool)
        lanes.start()
        self._stack.callback(lanes.stop)
        services = SessionServices(
            gate=gate,
            keys=self.parts.keys,
            live_keys=live_keys,
            tokens=Tokens(self.config.identity.tokens, now),
            failures=self.parts.failures,
            audit=self.parts.audit,
            sessions=self.parts.sessions,
            recordings=recordings,
            rows_recorded=self.config.recordings.rows,
            clock=now,
            new_id=new_id,
            review_url=self.parts.review_url,
            lanes=lanes,
            long_messages=LongMessages(room_of_this_machine()),
        )
        for settings in self.config.targets:
            masks = TargetMasks(self.config.policy.masking_for(settings.target.name), hash_key)
            listener = PostgresListener(settings, masks, services)
            self._targets.append(listener)
            self.listeners[settings.target.name] = await listener.start()
            self._stack.push_async_callback(listener.stop)

    async def stop(self) -> None:
        """End every session, then the console, then the store."""
        self.listeners.clear()
        await self._stack.aclose()

    async def _expire(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            try:
                await self.parts.failures.flush()
                await self.parts.reviews.pass_time()
                said = ""
            except Exception as error:  # tried again at once; meanwhile an overdue review cannot be released
                if str(error) != said:  # once, however long it lasts
                    log.error("expiry_failed", error=str(error))
                said = str(error)

    async def _checkpoint_each_minute(self, checkpoints: StoredCheckpoints) -> None:
        while True:
            await self._checkpoint(checkpoints)
            await asyncio.sleep(CHECKPOINT_EVERY_S)

    async def _checkpoint(self, checkpoints: StoredCheckpoints) -> None:
        try:
            await checkpoints.make()
        except LogMisfit as misfit:  # somebody has changed it: nothing goes on until whoever runs the gateway has looked
            await self.parts.stop_trusting(misfit)
        except Exception as error:  # tried again in a minute; what is not signed, ``audit verify`` says
            log.error("checkpoint_failed", error=str(error))
        for delivery in self._deliveries:
            delivery.wake()

    def _wake_channels(self, _: Review) -> None:
        for one in self.parts.tellings:
            one.delivery.wake()

    async def _deliver_the_rest(self, tasks: list[asyncio.Task[None]]) -> None:
        """What was not taken is given again at the next start."""
        for delivery in self._deliveries:
            delivery.finish()
        if tasks and self._leadership.is_held:
            await asyncio.wait(tasks, timeout=PUBLISH_S)
        await asyncio.gather(*map(_end, tasks))

    async def _statuses(self) -> list[Status]:
        return [await delivery.status() for delivery in self._deliveries]


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
