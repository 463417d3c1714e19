"""One SQLite file and the thread that writes it.

Jobs handed to ``write`` run in order, many to a transaction (group commit); each has a savepoint of its own, so one that
fails takes nothing else with it. A job's future ends only after the commit that holds it is on disk (``synchronous=FULL``).
"""

import asyncio
import os
import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from countersign.audit import GENESIS, AuditUnavailable, link
from countersign.model import AuditEvent, AuditRecord
from countersign.model.clock import Clock, to_text
from countersign.store import schema

T = TypeVar("T")
BATCH = 512
BACKLOG = 20_000


class StoreError(AuditUnavailable):
    """The store failed: nothing of the job is kept."""


class Transaction:
    """What a job works with: a connection inside the writer's transaction, and the log's end."""

    def __init__(self, connection: Connection, head: tuple[int, str], clock: Clock) -> None:
        self.connection = connection
        self.head = head
        self._clock = clock

    def append(self, events: list[AuditEvent] | tuple[AuditEvent, ...]) -> None:
        """Chain events to the log's end, in order."""
        rows = []
        for entry in events:
            seq, previous = self.head
            record = link(entry, seq=seq + 1, time=to_text(self._clock()), previous_hash=previous)
            rows.append(_row(record))
            self.head = (record.seq, record.hash)
        if rows:
            self.connection.execute(schema.audit_records.insert(), rows)


def _row(record: AuditRecord) -> dict[str, object]:
    return {
        "seq": record.seq,
        "time": record.time,
        "kind": record.kind,
        "body": orjson.dumps(record.body, option=orjson.OPT_SORT_KEYS).decode(),
        "previous_hash": record.previous_hash,
        "hash": record.hash,
    }


Job = Callable[[Transaction], Any]


class Database:
    """An open store. Make it with ``open``; ``close`` waits for everything handed over."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._failure = ""
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
            engine = create_engine(f"sqlite:///{path}")
            event.listen(engine, "connect", _on_connect)
            event.listen(engine, "begin", _on_begin)
            _prepare(engine)
        except (OSError, SQLAlchemyError) as error:
            raise StoreError(f"the store {path} cannot be opened: {_cause(error)}") from error
        return cls(engine, clock)

    def hand_over(self, job: Job) -> Future[Any]:
        """Give a job to the writer without waiting. Raises ``StoreError`` where the last batch failed or many wait."""
        if self._failure:
            # Let one job through so that the store can prove itself well again, and refuse this one.
            self._jobs.put((lambda _: None, Future()))
            raise StoreError(f"the store does not take writes: {self._failure}")
        if self._jobs.qsize() > BACKLOG:
            raise StoreError("the store is too far behind")
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job in the writer; return after its commit. Raises ``StoreError`` or what the job raises.

        A caller that is cancelled stops waiting; the job is done all the same.
        """
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        result: T = await asyncio.shield(asyncio.wrap_future(future))
        return result

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
        self._jobs.put(None)
        self._thread.join()
        self._engine.dispose()

    # -- the writer thread
    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._next_batch()
            if batch:
                self._commit(batch)

    def _next_batch(self) -> tuple[list[tuple[Job, Future[Any]]], bool]:
        batch: list[tuple[Job, Future[Any]]] = []
        item = self._jobs.get()
        while item is not None:
            if item[1].set_running_or_notify_cancel():
                batch.append(item)
            if len(batch) >= BATCH:
                return batch, False
            try:
                item = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[tuple[Job, Future[Any]]]) -> None:
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                # The end is read again in each transaction: a CLI working beside the gateway may have written too.
                transaction = Transaction(connection, _read_head(connection), self._clock)
                results = [(future, *_attempt(transaction, job)) for job, future in batch]
        except Exception as error:  # whatever broke the commit broke every job of the batch
            self._failure = _cause(error)
            failure = StoreError(f"the store does not take writes: {self._failure}")
            for _, future in batch:
                future.set_exception(failure)
            return
        self._failure = ""
        for future, value, problem in results:
            if problem is None:
                future.set_result(value)
            else:
                future.set_exception(problem)


def _attempt(transaction: Transaction, job: Job) -> tuple[Any, BaseException | None]:
    head = transaction.head
    savepoint = transaction.connection.begin_nested()
    try:
        value = job(transaction)
        savepoint.commit()
    except SQLAlchemyError as error:
        transaction.head = head
        savepoint.rollback()
        return None, StoreError(f"the store refused a change: {_cause(error)}")
    except Exception as error:  # the job's own error goes back to whoever handed it over
        transaction.head = head
        savepoint.rollback()
        return None, error
    return value, None


def _read_head(connection: Connection) -> tuple[int, str]:
    table = schema.audit_records
    row = connection.execute(
        select(table.c.seq, table.c.hash).where(table.c.seq == select(func.max(table.c.seq)).scalar_subquery())
    ).first()
    return (row.seq, row.hash) if row else (0, GENESIS)


def _on_connect(connection: Any, _record: object) -> None:
    # The driver's own transaction handling is switched off: it would not begin before a SELECT, nor keep savepoints.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    mode = "IMMEDIATE" if threading.current_thread().name == "store-writer" else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if version not in (0, schema.SCHEMA_VERSION):
            raise OSError(f"it was made by another version of Countersign (schema {version})")
        if version == 0:
            schema.metadata.create_all(connection)
            for guard in schema.guards():
                connection.execute(text(guard))
            connection.execute(text(f"PRAGMA user_version = {schema.SCHEMA_VERSION}"))


def _cause(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    return str(original or error)
