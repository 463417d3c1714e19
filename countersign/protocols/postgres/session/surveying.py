"""Asks a target what a held command would touch, on a connection of the gateway's own (implements ``model.blast.Surveyor``).

What the server says in words is not passed on: it may quote values.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from countersign._core import ProtocolError
from countersign.model import Command, Effect, Parameter
from countersign.model.blast import BlastRadius, NoBlastRadius, StatementReach, has_grown
from countersign.protocols.postgres.blast import counted, explain, plannable, read_plan, runnable
from countersign.protocols.postgres.errors import TargetRefused
from countersign.protocols.postgres.masking import TargetMasking
from countersign.protocols.postgres.session.catalog import TargetCatalog
from countersign.protocols.postgres.session.exchange import exchange
from countersign.protocols.postgres.session.inquiry import InquiryFailed, fetch, hang_up
from countersign.protocols.postgres.session.sample_taking import SAMPLES_TIMEOUT_S, SampleTaker
from countersign.protocols.postgres.session.target import Dialer, TargetConnection
from countersign.protocols.wire import WireClosed

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
ESTIMATE_TIMEOUT_S = 2.0
DRY_RUN_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 0.5
"""A preview waits for nobody, for whoever wants a lock behind it would wait as well."""
AT_ONCE = 4
"""Connections of one target for previews."""

LIMITS = """
    SELECT pg_catalog.set_config('statement_timeout', $1, false), pg_catalog.set_config('lock_timeout', $2, false),
      pg_catalog.set_config('standard_conforming_strings', 'on', false), pg_catalog.set_config('client_encoding', 'UTF8', false)
"""
BE = "SELECT pg_catalog.set_config('role', $1, false)"
CHANGES = frozenset({Effect.READ, Effect.WRITE})
SEQUENCES = "what a sequence gave out in the run stays used"
OTHERS_WAITED = "rows that it changed were locked until it was rolled back"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What keeps another connection from seeing what a session sees: altogether, or only in part."""

    obstacle: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vantage:
    """What a session knows of a command that it holds: how it is placed now, and what the command can do by the catalog of this moment."""

    circumstances: Callable[[], Circumstances]
    as_of_now: Callable[[Command], Awaitable[Command]]


@dataclass(frozen=True, slots=True)
class Previews:
    """How one target is asked. ``role``: whom to be, '' for the gateway's own user. Rows are shown by all mask rules, from which nobody is
    exempt here."""

    dialer: Dialer
    masking: TargetMasking
    role: str = ""
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def of(
        self, catalog: TargetCatalog, database: str, settings: Mapping[str, str], command: Command, vantage: Vantage
    ) -> "Survey":
        """For one held command of a session that began with these settings, as it sees things when it is asked."""
        return Survey(self, catalog, database, settings, command, vantage)


class Survey:
    """See ``model.blast.Surveyor``. One question at a time; an estimate is asked for once."""

    def __init__(
        self,
        previews: Previews,
        catalog: TargetCatalog,
        database: str,
        settings: Mapping[str, str],
        command: Command,
        vantage: Vantage,
    ) -> None:
        self._previews = previews
        self._catalog = catalog
        self._database = database
        self._settings = {**settings, "application_name": "countersign preview"}
        self._command = command
        self._vantage = vantage
        self._turn = asyncio.Lock()
        self._estimate: BlastRadius | None = None

    async def estimate(self) -> BlastRadius:
        """See ``Surveyor``; EXPLAIN in a READ ONLY transaction."""
        async with self._turn:
            if self._estimate is None:
                self._estimate = await self._estimated()
            return self._estimate

    async def has_grown(self) -> bool:
        """See ``Surveyor``."""
        async with self._turn:
            before = self._estimate
            if before is None:
                return False
            try:
                self._estimate = await self._estimated()
            except NoBlastRadius:
                return False
            return has_grown(before, self._estimate)

    async def _estimated(self) -> BlastRadius:
        statements = plannable(await self._as_of_now())
        reaches = []
        async with self._transaction("READ ONLY", ESTIMATE_TIMEOUT_S) as connection:
            for statement, text in statements:
                (plan,) = await _ask(connection, explain(text), self._command.parameters)
                reaches.append(read_plan(statement, plan))
        return BlastRadius(tuple(reaches), is_exact=False, notes=self._vantage.circumstances().notes)

    async def dry_run(self) -> BlastRadius:
        """See ``Surveyor``."""
        statements = runnable(await self._as_of_now())
        if Effect.SESSION in self._command.effects and any(statement.effects - CHANGES for statement, _ in statements):
            raise NoBlastRadius("it changes the session's settings, which would be those of the run")
        async with self._turn, self._transaction("READ WRITE", DRY_RUN_TIMEOUT_S, SAMPLES_TIMEOUT_S) as connection:
            reaches: list[StatementReach] = []
            shower = SampleTaker(connection, self._previews.masking, self._catalog)
            for statement, text in statements:
                sample = (
                    await shower.take(statement.kind, text, self._command.parameters) if Effect.WRITE in statement.effects else None
                )
                tag = await exchange(connection, text, self._command.parameters)
                reaches.append(replace(counted(statement, tag), sample=sample))
        notes = (*self._vantage.circumstances().notes, *shower.notes, OTHERS_WAITED, SEQUENCES)
        return BlastRadius(tuple(reaches), is_exact=True, notes=notes)

    async def _as_of_now(self) -> Command:
        """The command as the target would understand it now. Raises ``NoBlastRadius``."""
        if obstacle := self._vantage.circumstances().obstacle:
            raise NoBlastRadius(obstacle)
        return await self._vantage.as_of_now(self._command)

    @contextlib.asynccontextmanager
    async def _transaction(self, access: str, timeout_s: float, besides_s: float = 0.0) -> AsyncIterator[TargetConnection]:
        """A transaction that ends with the connection, which is never given back to anybody. Raises ``NoBlastRadius``."""
        try:
            async with self._previews.turns, asyncio.timeout(CONNECT_TIMEOUT_S + timeout_s + LOCK_TIMEOUT_S + besides_s):
                connection = await self._previews.dialer.connect(self._database, self._settings)
                is_over = False
                try:
                    await fetch(connection, f"BEGIN TRANSACTION {access}")
                    await fetch(connection, LIMITS, [_ms(timeout_s), _ms(LOCK_TIMEOUT_S)])
                    if self._previews.role:
                        await fetch(connection, BE, [self._previews.role])
                    yield connection
                    await fetch(connection, "ROLLBACK")
                    is_over = True
                finally:
                    await self._leave(connection, is_over=is_over)
        except (TargetRefused, InquiryFailed, WireClosed, ProtocolError, TimeoutError) as error:
            log.warning("no_blast_radius", cause=str(error) or type(error).__name__)
            raise NoBlastRadius("the target could not be asked") from error

    async def _leave(self, connection: TargetConnection, *, is_over: bool) -> None:
        """A server that is busy does not see that the connection is gone, so it is told to stop."""
        if not is_over:
            with contextlib.suppress(TargetRefused, TimeoutError, WireClosed):
                await self._previews.dialer.cancel(connection)
        await hang_up(connection)


async def _ask(connection: TargetConnection, sql: str, parameters: Sequence[Parameter]) -> list[str]:
    """The first column of each row. Raises ``NoBlastRadius`` and the errors of a broken wire."""
    values: list[str] = []
    await exchange(connection, sql, parameters, take=lambda rows: values.extend((row[0] or b"").decode() for row in rows))
    return values


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"
