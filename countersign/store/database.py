"""A store and the thread that writes it.

Work handed over is done in order, much of it to a transaction (group commit). Audit records go in many to a row: each
statement gives up the interpreter's lock and has to win it back, which costs more than the record, and so does a row of its own. A job, which may do anything, has
a savepoint of its own, so that one that fails takes nothing else with it. Whoever waits goes on only after the commit that holds
their work is on disk; work that nobody waits for may gather for ``GATHER_S``.
"""

import asyncio
import contextlib
import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, PoolProxiedConnection, event, select

from countersign._core import Intake, Run
from countersign.audit import AuditUnavailable, Encoded, encode
from countersign.model import AuditEvent, Trouble
from countersign.model.clock import Clock, to_text
from countersign.store import schema
from countersign.store.backend import Backend, StorePlace, driver_of
from countersign.store.sqlite_file import SqliteFile

log = structlog.get_logger(__name__)

T = TypeVar("T")
BATCH = 2_048
"""How much work goes into one transaction."""
BACKLOG = 20_000
"""How much may wait before no more is taken."""
GATHER_S = 0.01
"""How long work that nobody waits for lets more come. With the commit itself it must stay well below the 50 ms of I1."""
RETRY_S = 0.2
IDLE_S = 60.0
RECORDS_A_ROW = 512
"""Also bounds how much has to be read for one record."""
AFTERWARDS = frozenset(
    {
        "audit.accessed",
        "audit.distrusted",
        "authentication.failed",
        "authentication.failures",
        "command.finished",
        "console.link_made",
        "console.signed_in",
        "gateway.stopped",
        "key.revoked",
        "review.cancelled",
        "review.denied",
        "review.executed",
        "review.expired",
        "review.failed",
        "session.closed",
    }
)
"""What is recorded even in a log that is not trusted any more: it lets nothing through."""


class StoreError(AuditUnavailable):
    """The store failed: nothing of the job is kept."""


class LogMisfit(StoreError):
    """The log is proved to be another than the one that was signed. Trying again does not help."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Trouble.DISTRUSTED)


class LogEnd:
    """The end of the audit log inside the writer's transaction. ``head`` is the tree's size and edge."""

    def __init__(self, raw: Any, backend: Backend, clock: Clock) -> None:
        """Reads the end anew for each transaction: others write too. ``raw``: the driver's connection."""
        self._raw = raw
        self._insert = backend.insert_batch
        self._clock = clock
        first_seq, count, edge = raw.execute(backend.read_head).fetchone() or (1, 0, b"")
        self.head: tuple[int, bytes] = (first_seq + count - 1, edge)

    def append(self, entries: Sequence[Encoded]) -> None:
        """Give entries their places at the log's end, in order."""
        if entries:
            self.append_run(Run(entries))

    def append_run(self, run: Run) -> None:
        """The same for a run of records."""
        time = to_text(self._clock())
        for first_seq, count, edge, hashes, lines in run.seal(*self.head, time, RECORDS_A_ROW):
            self._raw.execute(self._insert, (first_seq, count, time, edge, hashes, lines))
            self.head = (first_seq + count - 1, edge)


class Transaction:
    """What a job works with: a connection inside the writer's transaction, and the log's end."""

    def __init__(self, connection: Connection, backend: Backend, clock: Clock, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self.backend = backend
        self.connection = connection
        self.log = LogEnd(driver_of(connection), backend, clock)

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Append events to the log, in order. Raises ``LogMisfit`` where the log is not trusted."""
        for one in events:
            self._refuse(one.kind)
        self.log.append([encode(event) for event in events])


Job = Callable[[Transaction], Any]
Work = Job | Encoded | Run
Waiting = tuple[Work, asyncio.Future[Any] | None]
"""Work, and what to tell when it is on disk; None where nobody waits."""
Result = tuple[asyncio.Future[Any], Any, BaseException | None]


class Database:
    """An open store. Make it with ``open``; ``close`` waits for everything handed over."""

    def __init__(self, engine: Engine, backend: Backend, clock: Clock) -> None:
        self._engine = engine
        self.backend = backend
        self._clock = clock
        self.intake = Intake(BACKLOG // 2)
        """Where everything waits in order. Whoever has records ready encoded puts them there; the rest takes a turn for what is in the
        queue beside it. Half of the backlog makes those wait who can."""
        self._queue: deque[Waiting] = deque()
        self._kept: list[Waiting] = []
        self._urgent = threading.Event()
        self._closing = threading.Event()
        self._failure: StoreError | None = None
        self._misfit: LogMisfit | None = None
        event.listen(engine, "begin", self._on_begin)
        self._raw: PoolProxiedConnection | None = None
        """The writer thread's own connection."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, place: StorePlace, clock: Clock, *, create: bool = True) -> "Database":
        """Open or make the store. Raises ``StoreError``."""
        if not create and isinstance(place, Path) and not place.exists():
            raise StoreError(f"there is no store at {place}")
        backend = backend_of(place)
        errors: tuple[type[Exception], ...] = (*backend.errors, OSError, KeyError)
        try:
            return cls(backend.open(create=create), backend, clock)
        except errors as error:
            raise StoreError(f"the store {place} cannot be opened: {_cause(error)}", backend.trouble(error)) from error

    @property
    def trouble(self) -> Trouble | None:
        """Why no records are taken; None where they are."""
        failure = self._misfit or self._failure
        return None if failure is None else failure.trouble

    def distrust(self, misfit: LogMisfit) -> None:
        """Take nothing more that would let anything happen, until the gateway is started again. Whatever the log says of what has
        happened already is still written (``AFTERWARDS``)."""
        self._misfit = misfit
        self.intake.set_accepts(False)

    def refuse_untrusted(self, kind: str) -> None:
        """Raises ``LogMisfit`` where the log is not trusted and a record of this kind would let something happen."""
        if self._misfit is not None and kind not in AFTERWARDS:
            raise LogMisfit(str(self._misfit))

    def hand_over(self, work: Work) -> None:
        """Give work to the writer without waiting. Raises ``StoreError`` where the last batch failed or much waits.

        An audit record that was taken is kept until it is written, however often the store fails.
        """
        if self._failure:
            # Let one job through so that the store can prove itself well again, and refuse this one.
            self._put((lambda _: None, None))
            raise StoreError(str(self._failure), self._failure.trouble)
        if len(self.intake) > BACKLOG:
            raise StoreError("the store is too far behind")
        self._put((work, None))

    async def write(self, work: Callable[[Transaction], T] | Encoded) -> T:
        """Do work in the writer; return after its commit. Raises ``StoreError`` or what the job raises.

        A caller that is cancelled stops waiting; the work is done all the same.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put((work, future))
        return await future

    def _put(self, waiting: Waiting) -> None:
        self._queue.append(waiting)
        self.intake.put_turn()
        if (waiting[1] is not None or len(self.intake) > BATCH) and not self._urgent.is_set():
            self._urgent.set()

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query on a connection of its own. Raises ``StoreError``."""
        return await asyncio.to_thread(self.read_now, query)

    def read_now(self, query: Callable[[Connection], T]) -> T:
        """The same, for callers without an event loop."""
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except self.backend.errors as error:
            raise StoreError(f"the store cannot be read: {_cause(error)}") from error

    async def secret(self, name: str) -> bytes:
        """A random secret of this deployment, made when it is first asked for. Raises ``StoreError``."""
        table = schema.secrets

        def job(transaction: Transaction) -> str:
            known = transaction.connection.execute(select(table.c.value).where(table.c.name == name)).scalar()
            if known is None:
                known = secrets.token_hex(32)
                transaction.connection.execute(table.insert().values(name=name, value=known))
            return str(known)

        return bytes.fromhex(await self.write(job))

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._closing.set()
        self._urgent.set()
        self.intake.ring()
        self._thread.join()
        self._engine.dispose()

    # -- the writer thread
    def _run(self) -> None:
        closing = False
        while not closing:
            self.intake.wait(IDLE_S)
            self._urgent.wait(GATHER_S)
            closing = self._closing.is_set()
            self._urgent.clear()
            for _ in range(0, len(self._kept) + len(self.intake), BATCH):
                batch = self._next_batch()
                if not self._commit(batch):
                    self._keep(batch, closing)
                    break
        if self._raw is not None:
            self._raw.close()

    def _next_batch(self) -> list[Waiting]:
        batch, self._kept = self._kept, []
        for item in self.intake.take(max(BATCH - len(batch), 1)):
            batch.append(self._queue.popleft() if item is None else (item, None))
        return batch

    def _commit(self, batch: list[Waiting]) -> bool:
        try:
            only_records = all(isinstance(work, (Encoded, Run)) for work, _ in batch)
            results = self._commit_records(batch) if only_records else self._commit_jobs(batch)
        except Exception as error:  # whatever broke the commit broke all the work of the batch
            self._refuse_more(f"the store does not take writes: {_cause(error)}", self._trouble(error))
            _tell([(future, None, _anew(self._failure)) for _, future in batch if future is not None])
            return False
        if self._failure:
            self._failure = None
            log.info("store_writes_again")
            if self._misfit is None:
                self.intake.set_accepts(True)
            if self._misfit is not None:  # it may have come between
                self.intake.set_accepts(False)
        _tell(results)
        return True

    def _trouble(self, error: BaseException) -> Trouble:
        return error.trouble if isinstance(error, AuditUnavailable) else self.backend.trouble(error)

    def _refuse_more(self, text: str, trouble: Trouble) -> None:
        if self._failure is None or str(self._failure) != text:
            log.error("store_failed", cause=text)
        self._failure = StoreError(text, trouble)
        self.intake.set_accepts(False)

    def _begin(self, execute: Callable[[str], object]) -> None:
        """Lock the store for writing. While another process has it, nothing more is taken: what is taken has to be written at once (I1)."""

        def locked() -> None:
            self._refuse_more("the store does not take writes: another process has locked it", Trouble.UNAVAILABLE)

        self.backend.begin_writing(execute, locked)

    def _on_begin(self, connection: Connection) -> None:
        if threading.current_thread() is self._thread:
            self._begin(connection.exec_driver_sql)
        else:
            self.backend.begin_reading(connection.exec_driver_sql)

    def _commit_jobs(self, batch: list[Waiting]) -> list[Result]:
        results: list[Result] = []
        with self._engine.begin() as connection:
            transaction = Transaction(connection, self.backend, self._clock, self.refuse_untrusted)
            _do(transaction.log, transaction, batch, results)
        return results

    def _commit_records(self, batch: list[Waiting]) -> list[Result]:
        """The same for records only, which is nearly every batch, without SQLAlchemy's share of the work."""
        if self._raw is None:
            self._raw = self._engine.raw_connection()
        raw: Any = self._raw.driver_connection
        try:
            self._begin(raw.execute)
            results = list[Result]()
            _do(LogEnd(raw, self.backend, self._clock), None, batch, results)
            raw.commit()
        except BaseException:
            try:
                raw.rollback()
            except self.backend.errors:  # it is gone, and the next batch takes another
                self._raw.invalidate()
                self._raw = None
            raise
        return results

    def _keep(self, batch: list[Waiting], closing: bool) -> None:
        """Records that nobody waits for are of commands that run already: try again rather than lose them."""
        kept = [waiting for waiting in batch if waiting[1] is None and isinstance(waiting[0], (Encoded, Run))]
        if closing:
            log.error("audit_records_lost", records=len(kept), cause=str(self._failure))
        elif kept:
            self._kept = kept
            self._closing.wait(RETRY_S)
            self.intake.ring()


def _do(log_end: LogEnd, transaction: Transaction | None, batch: list[Waiting], results: list[Result]) -> None:
    """All of a batch in order, neighbouring records together. There is a transaction where the batch holds jobs."""
    entries: list[Encoded] = []
    for work, future in batch:
        value, problem = None, None
        if isinstance(work, Encoded):
            entries.append(work)
        else:
            log_end.append(entries)
            entries.clear()
            if isinstance(work, Run):
                log_end.append_run(work)
            elif transaction is not None:
                value, problem = _attempt(transaction, work, transaction.backend)
        if future is not None:
            results.append((future, value, problem))
    log_end.append(entries)


def _attempt(transaction: Transaction, job: Job, backend: Backend) -> tuple[Any, BaseException | None]:
    head = transaction.log.head
    savepoint = transaction.connection.begin_nested()
    try:
        value = job(transaction)
        savepoint.commit()
    except backend.errors as error:
        transaction.log.head = head
        savepoint.rollback()
        if backend.trouble(error) is Trouble.FULL:
            raise  # what came before it in the transaction is lost too
        return None, StoreError(f"the store refused a change: {_cause(error)}")
    except Exception as error:  # the job's own error goes back to whoever handed it over
        transaction.log.head = head
        savepoint.rollback()
        return None, error
    return value, None


def _tell(results: list[Result]) -> None:
    """Wake those who wait, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = {}
    for result in results:
        by_loop.setdefault(result[0].get_loop(), []).append(result)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(results: list[Result]) -> None:
    for future, value, problem in results:
        if future.done():  # its caller was cancelled
            continue
        if problem is None:
            future.set_result(value)
        else:
            future.set_exception(problem)


def backend_of(place: StorePlace) -> Backend:
    """What a store is of by its place."""
    if isinstance(place, Path):
        return SqliteFile(place)
    from countersign.store.postgresql import PostgresServer  # slow to import, and needed by few

    return PostgresServer(place)


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    return str(original or error)


def _anew(failure: StoreError | None) -> StoreError:
    """One for each who is told: a traceback belongs to one of them."""
    return StoreError(str(failure), Trouble.UNAVAILABLE if failure is None else failure.trouble)
