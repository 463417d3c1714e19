"""One SQLite file and the thread that writes it.

Work handed over is done in order, much of it to a transaction (group commit). Audit records go in many to a row: each
statement gives up the interpreter's lock and has to win it back, which costs more than the record, and so does a row of its own. A job, which may do anything, has
a savepoint of its own, so that one that fails takes nothing else with it. Whoever waits goes on only after the commit that holds
their work is on disk (``synchronous=FULL``); work that nobody waits for may gather for ``GATHER_S``.
"""

import asyncio
import contextlib
import errno
import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event, select, text
from sqlalchemy.exc import SQLAlchemyError

from countersign._core import Intake, Run
from countersign.audit import AuditUnavailable, Encoded, encode
from countersign.model import AuditEvent, Trouble
from countersign.model.clock import Clock, to_text
from countersign.store import schema

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
CHECKPOINT = "wal_autocheckpoint=300"
"""How many pages gather before a commit moves them into the file. The more there are, the longer that one takes, and whoever waits for it."""
RECORDS_A_ROW = 512
"""Also bounds how much has to be read for one record."""
LOCKED_MS, GIVEN_UP_MS = 50, 5000
"""How long another process may keep the store locked before no more is taken (I1), and before those who wait are told so."""
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

    def __init__(self, raw: sqlite3.Connection, clock: Clock) -> None:
        """Reads the end anew for each transaction: a CLI working beside the gateway writes too."""
        self._raw = raw
        self._clock = clock
        first_seq, count, edge = raw.execute(READ_HEAD).fetchone() or (1, 0, b"")
        self.head: tuple[int, bytes] = (first_seq + count - 1, edge)

    def append(self, entries: Sequence[Encoded]) -> None:
        """Give entries their places at the log's end, in order."""
        if entries:
            self.append_run(Run(entries))

    def append_run(self, run: Run) -> None:
        """The same for a run of records."""
        time = to_text(self._clock())
        for first_seq, count, edge, hashes, lines in run.seal(*self.head, time, RECORDS_A_ROW):
            self._raw.execute(INSERT, (first_seq, count, time, edge, hashes, lines))
            self.head = (first_seq + count - 1, edge)


class Transaction:
    """What a job works with: a connection inside the writer's transaction, and the log's end."""

    def __init__(self, connection: Connection, clock: Clock, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self.connection = connection
        self.log = LogEnd(connection.connection.driver_connection, clock)  # type: ignore[arg-type]  # the driver is sqlite3

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Append events to the log, in order. Raises ``LogMisfit`` where the log is not trusted."""
        for one in events:
            self._refuse(one.kind)
        self.log.append([encode(event) for event in events])


INSERT = "INSERT INTO audit_batches (first_seq, count, time, edge, hashes, entries) VALUES (?,?,?,?,?,?)"
READ_HEAD = "SELECT first_seq, count, edge FROM audit_batches ORDER BY first_seq DESC LIMIT 1"

Job = Callable[[Transaction], Any]
Work = Job | Encoded | Run
Waiting = tuple[Work, asyncio.Future[Any] | None]
"""Work, and what to tell when it is on disk; None where nobody waits."""
Result = tuple[asyncio.Future[Any], Any, BaseException | None]


class Database:
    """An open store. Make it with ``open``; ``close`` waits for everything handed over."""

    def __init__(self, engine: Engine, path: Path, clock: Clock) -> None:
        self._engine = engine
        self._path = path
        self._file = _identity_of(path)
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
    def open(cls, path: Path, clock: Clock, *, create: bool = True) -> "Database":
        """Open or make the store; only its owner may read the file. Raises ``StoreError``."""
        if not create and not path.exists():
            raise StoreError(f"there is no store at {path}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            engine = create_engine(f"sqlite:///{path}", creator=partial(_connect, path))
            event.listen(engine, "connect", _on_connect)
            _prepare(engine)
            return cls(engine, path, clock)
        except (OSError, sqlite3.Error, SQLAlchemyError) as error:
            raise StoreError(f"the store {path} cannot be opened: {_cause(error)}", _trouble(error)) from error

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
        except SQLAlchemyError as error:
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
            self._refuse_more(f"the store does not take writes: {_cause(error)}", _trouble(error))
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

    def _refuse_more(self, text: str, trouble: Trouble) -> None:
        if self._failure is None or str(self._failure) != text:
            log.error("store_failed", cause=text)
        self._failure = StoreError(text, trouble)
        self.intake.set_accepts(False)

    def _begin(self, execute: Callable[[str], object]) -> None:
        """Lock the store for writing. While another process has it, nothing more is taken: what is taken has to be written at once (I1).
        A file that was taken away is not written to: nobody would ever read it."""
        if _identity_of(self._path) != self._file:
            raise OSError("its file was removed, or another was put in its place")
        execute(f"PRAGMA busy_timeout={LOCKED_MS}")
        try:
            execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, SQLAlchemyError) as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            self._refuse_more("the store does not take writes: another process has locked it", Trouble.UNAVAILABLE)
            execute(f"PRAGMA busy_timeout={GIVEN_UP_MS}")
            execute("BEGIN IMMEDIATE")

    def _on_begin(self, connection: Connection) -> None:
        if threading.current_thread() is self._thread:
            self._begin(connection.exec_driver_sql)
        else:
            connection.exec_driver_sql("BEGIN DEFERRED")

    def _commit_jobs(self, batch: list[Waiting]) -> list[Result]:
        results: list[Result] = []
        with self._engine.begin() as connection:
            transaction = Transaction(connection, self._clock, self.refuse_untrusted)
            _do(transaction.log, transaction, batch, results)
        return results

    def _commit_records(self, batch: list[Waiting]) -> list[Result]:
        """The same for records only, which is nearly every batch, without SQLAlchemy's share of the work."""
        if self._raw is None:
            self._raw = self._engine.raw_connection()
        raw: sqlite3.Connection = self._raw.driver_connection  # type: ignore[assignment]  # the engine's driver is sqlite3
        self._begin(raw.execute)
        try:
            results = list[Result]()
            _do(LogEnd(raw, self._clock), None, batch, results)
            raw.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # some errors have rolled it back already
                raw.execute("ROLLBACK")
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
                value, problem = _attempt(transaction, work)
        if future is not None:
            results.append((future, value, problem))
    log_end.append(entries)


def _attempt(transaction: Transaction, job: Job) -> tuple[Any, BaseException | None]:
    head = transaction.log.head
    savepoint = transaction.connection.begin_nested()
    try:
        value = job(transaction)
        savepoint.commit()
    except (SQLAlchemyError, sqlite3.Error) as error:
        transaction.log.head = head
        savepoint.rollback()
        if _trouble(error) is Trouble.FULL:
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


def _connect(path: Path) -> sqlite3.Connection:
    """The file has to be there: one that was taken away is not made anew."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False)


def _identity_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _on_connect(connection: Any, _record: object) -> None:
    # The driver's own transaction handling is switched off: it would not begin before a SELECT, nor keep savepoints.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "secure_delete=ON", CHECKPOINT):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if version not in (0, schema.SCHEMA_VERSION):
            raise OSError(
                f"it was made by another version of Countersign (its layout is {version}, this one's is {schema.SCHEMA_VERSION}). Before "
                "release nothing is converted: export with the version that made it, move the file away, and make keys anew"
            )
        if version == 0:
            schema.metadata.create_all(connection)
            for guard in schema.guards():
                connection.execute(text(guard))
            connection.execute(text(f"PRAGMA user_version = {schema.SCHEMA_VERSION}"))


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    return str(original or error)


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where the error is none of SQLite's."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "sqlite_errorcode", 0) & 0xFF


def _trouble(error: BaseException) -> Trouble:
    if isinstance(error, AuditUnavailable):
        return error.trouble
    is_full = _code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
    return Trouble.FULL if is_full else Trouble.UNAVAILABLE


def _anew(failure: StoreError | None) -> StoreError:
    """One for each who is told: a traceback belongs to one of them."""
    return StoreError(str(failure), Trouble.UNAVAILABLE if failure is None else failure.trouble)
