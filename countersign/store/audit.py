"""The audit log in the store."""

import asyncio
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, literal, not_, or_, select, update

from countersign._core import tree_extend, tree_root
from countersign.audit import Batch, Checkpoint, Encoded, LogKey, NoteError, encode, record_of
from countersign.audit.export import removed_hash
from countersign.audit.merkle import leaf_hash
from countersign.audit.notes import split_note
from countersign.audit.search import Query
from countersign.audit.succession import ROTATED, ROTATED_MARK
from countersign.audit.verify import RETENTION
from countersign.model import AuditEvent, AuditRecord, Identity
from countersign.model.clock import Clock, from_text, to_text
from countersign.store import schema
from countersign.store.backend import StorePlace
from countersign.store.database import Database, LogMisfit, StoreError, Transaction
from countersign.store.log_index import LogIndex
from countersign.store.log_search import search
from countersign.store.sqlite_file import READ_LOG
from countersign.store_settings import PostgresPlace

PAGE = 16
"""How many rows are read at once, each of which may hold hundreds of records."""
FORGET_ROWS = 500
"""How many rows lose their bodies in one transaction at most."""
FORGET_BYTES = 1 << 20
"""And how much of them, for what is removed is overwritten."""
BATCH_COLUMNS = "first_seq, count, time, edge, hashes, entries"
FIRST_ROW = "coalesce((SELECT max(first_seq) FROM audit_batches WHERE first_seq <= ?), ?)"
"""The row that holds a record, whose number is given twice."""
HASHES_AT = f"SELECT first_seq, hashes FROM audit_batches WHERE first_seq = {FIRST_ROW}"  # noqa: S608  # texts of this file


class StoredAuditLog:
    """Implements ``audit.AuditLog`` and ``audit.LogReader``. ``index`` makes searches quick; without it they answer the same."""

    def __init__(self, database: Database, index: LogIndex | None = None) -> None:
        self._database = database
        self._index = index

    async def append(self, event: AuditEvent) -> None:
        """Return once the record is committed. Raises ``AuditUnavailable``."""
        self._database.refuse_untrusted(event.kind)
        await self._database.write(_encoded(event))

    def hand_over(self, event: AuditEvent) -> None:
        """Give the record to the writer. Raises ``AuditUnavailable``."""
        self._database.refuse_untrusted(event.kind)
        self._database.hand_over(_encoded(event))

    def batches(self, *, after: int = 0) -> Iterator[Batch]:
        """All batches in order that hold records behind number ``after``, read page by page."""
        while page := self._database.read_now(partial(_page, after=after)):
            yield from page
            after = page[-1].first_seq + page[-1].count - 1

    def records(self, *, after: int = 0) -> Iterator[AuditRecord]:
        """Every record in order whose body is still there."""
        for batch in self.batches(after=after):
            yield from (record for record in map(record_of, batch.lines) if record.seq > after)

    def notes(self) -> Iterator[str]:
        """Every checkpoint, smallest first."""
        table = schema.audit_checkpoints
        query = select(table.c.note).order_by(table.c.size)
        yield from self._database.read_now(lambda connection: connection.execute(query).scalars().all())

    async def search(self, query: Query, limit: int, *, before: int | None = None) -> list[AuditRecord]:
        """The newest hits with a number below ``before``, newest first. Raises ``StoreError``."""

        def job(connection: Connection) -> list[AuditRecord]:
            return search(partial(self._database.backend.log_rows, connection), self._index, query, limit, before=before)

        return await self._database.read(job)

    async def forget(
        self, before: datetime, by: Identity, *, up_to: int | None = None, pause_s: float = 0.0, at_most_s: float = math.inf
    ) -> tuple[int, bool]:
        """Remove the bodies of all records older than ``before`` that a checkpoint covers, and none behind ``up_to``; their hashes stay, and
        records say so. How many there were, and whether that is all.

        It is done in steps of a few milliseconds of the writer's time, ``pause_s`` apart, for ``at_most_s``. Raises ``AuditUnavailable``.
        """
        forgotten, after, deadline = 0, 0, monotonic() + at_most_s
        while rows := await self._database.read(partial(_forgettable, before=before, after=after, up_to=up_to)):
            for step in _steps(rows):
                forgotten += await self._database.write(partial(_forget, rows=step, before=before, by=by))
                after = step[-1].last_seq
                if monotonic() > deadline:
                    break
                await asyncio.sleep(pause_s)
            if monotonic() > deadline:
                break
        if self._index is not None:
            await asyncio.to_thread(self._index.forget, to_text(before))
        return forgotten, not rows

    async def holds_old(self, before: datetime, *, behind: int) -> bool:
        """Whether ``forget`` would find something behind record ``behind``. Raises ``StoreError``."""
        return bool(await self._database.read(partial(_forgettable, before=before, after=behind, up_to=None)))


class StoredCheckpoints:
    """Makes the log's checkpoints."""

    def __init__(self, database: Database, clock: Clock, key: LogKey) -> None:
        self._database = database
        self._clock = clock
        self._key = key

    async def make(self) -> Checkpoint | None:
        """Sign the tree as it is; None where nothing was appended since the last one.

        Raises ``AuditUnavailable``, and ``LogMisfit`` where the log does not fit what was signed before: no log may sign two histories.
        """

        def job(transaction: Transaction) -> Checkpoint | None:
            size, edge = transaction.log.head
            last = _last_checkpoint(transaction.connection)
            if last is not None:
                self._check(transaction.connection, last, size)
                if last.size == size:
                    return None
            elif size == 0:
                return None
            made = Checkpoint.sign(self._key, size, tree_root(size, edge))
            row = {"size": size, "note": made.note, "made_at": to_text(self._clock())}
            transaction.connection.execute(schema.audit_checkpoints.insert().values(**row))
            return made

        return await self._database.write(job)

    def _check(self, connection: Connection, last: Checkpoint, size: int) -> None:
        """Against the edge kept at the last checkpoint's size, which is always the end of a batch."""
        try:
            Checkpoint.open(last.note, self._key.verifier)
        except NoteError as error:
            raise LogMisfit(
                f"the log's last checkpoint was not made with the key at hand ({self._key.verifier}): {error}"
            ) from error
        if split_note(last.note)[1][-1][1] != self._key.verifier.id:
            raise LogMisfit("the log's key was exchanged, and the key at hand is the older one: put the newer key's file back")
        if last.size > size:
            raise LogMisfit(f"the log holds {size} records, but {last.size} were signed: it was cut off")
        if _root_at(connection, last.size) != last.root:
            raise LogMisfit(f"the log does not fit its checkpoint over {last.size} records: it was changed")

    async def hand_over(self, to: LogKey, by: Identity) -> Checkpoint:
        """Exchange the key for another: one transaction holds the record that says so and the checkpoint over it, which both keys sign.

        Whatever is signed later the new one must sign. Raises as ``make`` does, and where nothing was signed yet.
        """
        keys = {"old_key": str(self._key.verifier), "new_key": str(to.verifier)}
        event = AuditEvent(ROTATED, keys | {"by": by.name, "authentication": by.authentication})

        def job(transaction: Transaction) -> Checkpoint:
            last = _last_checkpoint(transaction.connection)
            if last is None:
                raise StoreError("the log was not signed yet, so there is no key to exchange")
            self._check(transaction.connection, last, transaction.log.head[0])
            transaction.append([event])
            size, edge = transaction.log.head
            made = Checkpoint.sign(self._key, size, tree_root(size, edge))
            row = {"size": size, "note": to.cosign(made.note), "made_at": to_text(self._clock())}
            transaction.connection.execute(schema.audit_checkpoints.insert().values(**row))
            return replace(made, note=str(row["note"]))

        return await self._database.write(job)

    async def goes_on_with(self) -> bool:
        """Whether this key is the one that signs what follows. Raises ``StoreError``."""
        last = await self.latest()
        return last is not None and split_note(last.note)[1][-1][1] == self._key.verifier.id

    @staticmethod
    async def any(database: Database) -> bool:
        """Whether the log was ever signed. Raises ``StoreError``."""
        return await database.read(_last_checkpoint) is not None

    @staticmethod
    async def extent(database: Database) -> tuple[int, int, datetime | None]:
        """How many records there are, how many are signed, and since when. Raises ``StoreError``."""

        def query(connection: Connection) -> tuple[int, int, datetime | None]:
            batches, signed = schema.audit_batches.c, schema.audit_checkpoints.c
            last = connection.execute(select(batches.first_seq, batches.count).order_by(batches.first_seq.desc()).limit(1)).first()
            kept = connection.execute(select(signed.size, signed.made_at).order_by(signed.size.desc()).limit(1)).first()
            size = last.first_seq + last.count - 1 if last else 0
            return (size, kept.size, from_text(kept.made_at)) if kept else (size, 0, None)

        return await database.read(query)

    async def latest(self) -> Checkpoint | None:
        """The newest one."""
        return await self._database.read(_last_checkpoint)

    async def after(self, size: int) -> tuple[int, str] | None:
        """The size and the note of the first one over more than ``size`` records."""
        return await self._database.read(partial(_checkpoint_after, size=size))


class StoreLog:
    """A store's log read from its tables alone, by whoever checks it or proves something of it: nothing is written to it. Implements
    ``audit.LogReader``."""

    def search(self, query: Query, limit: int) -> list[AuditRecord]:
        """The newest hits, newest first. Raises ``StoreError``."""
        raise NotImplementedError

    def _rows(self, query: str, *values: object) -> Iterator[tuple[object, ...]]:
        """The rows of a query, its values where it has ``?``. Raises ``StoreError``."""
        raise NotImplementedError

    def batches(self, *, after: int = 0) -> Iterator[Batch]:
        """See ``LogReader``. Raises ``StoreError``."""
        where = f"WHERE first_seq >= {FIRST_ROW}" if after else ""  # from the start means every row, whatever number it claims
        # Put together from texts of this file; the numbers are bound.
        query = f"SELECT {BATCH_COLUMNS} FROM audit_batches {where} ORDER BY first_seq"  # noqa: S608
        for first_seq, count, time, edge, hashes, entries in self._rows(query, *[after + 1] * (2 if after else 0)):
            yield Batch(
                _number(first_seq), _number(count), str(time), _raw(edge), _raw(hashes), None if entries is None else _raw(entries)
            )

    def notes(self) -> Iterator[str]:
        """See ``LogReader``. Raises ``StoreError``."""
        for (note,) in self._rows("SELECT note FROM audit_checkpoints ORDER BY size"):
            yield str(note)

    def entry(self, seq: int) -> bytes:
        """The entry of a record. Raises ``StoreError`` where there is none, or its body was removed."""
        batch = next(self.batches(after=seq - 1), None) if seq > 0 else None
        if batch is None:
            raise StoreError(f"there is no record {seq}")
        if batch.entries is None:
            raise StoreError(f"the body of record {seq} was removed by retention")
        return batch.lines[seq - batch.first_seq]

    def subtree(self, start: int, end: int) -> bytes:
        """The root over the records with the indices from ``start`` up to but not with ``end``, a subtree of RFC 6962's tree (``start`` is a
        multiple of a power of two that is no less than their number). It is read from the edges that are kept, which costs a row or two.
        Raises ``StoreError``. Edges and hashes are not compared here: a proof made of what was changed does not hold.
        """
        # The last leaf's merges may go beyond the subtree, so that is appended apart.
        peaks = _peaks_from(start, end - 1, self._edge(end - 1))
        size = end - 1 - start
        return tree_root(size + 1, tree_extend(size, peaks, self._hash(end)))

    def _edge(self, size: int) -> bytes:
        """The tree's edge when the log had this size: that kept before the row in which it ends, and what came then."""
        if size == 0:
            return b""
        first_seq, hashes = next(self._rows(HASHES_AT, size, size), (0, b""))
        before = "SELECT edge FROM audit_batches WHERE first_seq < ? ORDER BY first_seq DESC LIMIT 1"
        (edge,) = next(self._rows(before, first_seq), (b"",))
        start = _number(first_seq) - 1
        wanted = _raw(hashes)[: (size - start) * 32]
        if start < 0 or len(wanted) != (size - start) * 32 or len(_raw(edge)) != start.bit_count() * 32:
            raise StoreError(f"the log lacks hashes before record {size}")
        return tree_extend(start, _raw(edge), wanted)

    def _hash(self, seq: int) -> bytes:
        first_seq, hashes = next(self._rows(HASHES_AT, seq, seq), (seq, b""))
        at = (seq - _number(first_seq)) * 32
        found = _raw(hashes)[at : at + 32]
        if len(found) != 32:
            raise StoreError(f"the log lacks the hash of record {seq}")
        return found


class LogFile(StoreLog):
    """The log of a SQLite store."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def search(self, query: Query, limit: int) -> list[AuditRecord]:
        """See ``StoreLog``; with the help of an index that stands beside the file."""
        with self._open() as connection:

            def rows(*values: object) -> Iterator[tuple[int, bytes]]:
                yield from connection.execute(READ_LOG, values)

            return search(rows, LogIndex(self._path), query, limit)

    def _rows(self, query: str, *values: object) -> Iterator[tuple[object, ...]]:
        with self._open() as connection:
            yield from connection.execute(query, values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise StoreError(f"the log in {self._path} cannot be read: {error}") from error


class LogServer(StoreLog):
    """The log of a store on a PostgreSQL server."""

    def __init__(self, place: PostgresPlace) -> None:
        self._place = place

    def search(self, query: Query, limit: int) -> list[AuditRecord]:
        """See ``StoreLog``."""
        database = Database.open(self._place, lambda: datetime.now(UTC), create=False)
        try:
            return database.read_now(lambda connection: search(partial(database.backend.log_rows, connection), None, query, limit))
        finally:
            database.close()

    def _rows(self, query: str, *values: object) -> Iterator[tuple[object, ...]]:
        import psycopg

        from countersign.store.postgresql import ROWS_AT_ONCE, connect

        try:
            with closing(connect(self._place)) as connection, connection.cursor(name="log") as cursor:
                cursor.itersize = ROWS_AT_ONCE
                cursor.execute(query.replace("?", "%s"), values)
                yield from cursor
        except (psycopg.Error, OSError, KeyError) as error:
            raise StoreError(f"the log in {self._place} cannot be read: {error}") from error


def log_of(place: StorePlace) -> StoreLog:
    """The log of the store at a place."""
    return LogFile(place) if isinstance(place, Path) else LogServer(place)


def _peaks_from(start: int, size: int, edge: bytes) -> bytes:
    """Of the edge of a tree of this size the peaks over the leaves from ``start`` on, where one of them begins."""
    left, at = start, 0
    for bit in reversed(range(size.bit_length())):
        if left > 0 and size >> bit & 1:
            left, at = left - (1 << bit), at + 32
    return edge[at:]


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _raw(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _encoded(event: AuditEvent) -> Encoded:
    """Encoded by the caller, who thereby hears at once of a body that cannot be recorded."""
    try:
        return encode(event)
    except ValueError as error:
        raise StoreError(f"the record of {event.kind!r} cannot be encoded: {error}") from error


def _page(connection: Connection, after: int, limit: int = PAGE) -> list[Batch]:
    table = schema.audit_batches
    first = select(table.c.first_seq).where(table.c.first_seq <= after + 1).order_by(table.c.first_seq.desc()).limit(1)
    start = connection.execute(first).scalar() or 1
    query = select(table).where(table.c.first_seq >= start, table.c.first_seq + table.c.count > after + 1)
    return [_batch(row) for row in connection.execute(query.order_by(table.c.first_seq).limit(limit))]


def _batch(row: Row[tuple[object, ...]]) -> Batch:
    return Batch(**row._mapping)


class _Forgettable(NamedTuple):
    """A row whose body is to go."""

    first_seq: int
    last_seq: int
    size: int


def _forgettable(connection: Connection, before: datetime, after: int, up_to: int | None) -> list[_Forgettable]:
    """The next rows behind record ``after``. Records of an exchanged key, which stand alone in their rows, keep their bodies: without them
    nobody could tell which key to believe."""
    table, checkpoint = schema.audit_batches, _last_checkpoint(connection)
    signed = checkpoint.size if checkpoint else 0
    end = table.c.first_seq + table.c.count - 1
    query = select(table.c.first_seq, end, func.length(table.c.entries)).where(
        table.c.first_seq > after,
        table.c.time < to_text(before),
        end <= (signed if up_to is None else min(signed, up_to)),
        table.c.entries.is_not(None),
        or_(table.c.count != 1, not_(_holds(connection, table.c.entries, ROTATED_MARK))),
    )
    return [_Forgettable(*row) for row in connection.execute(query.order_by(table.c.first_seq).limit(FORGET_ROWS))]


def _holds(connection: Connection, column: Any, mark: bytes) -> Any:
    """Whether a value of bytes holds a mark."""
    place = func.instr(column, mark) if connection.dialect.name == "sqlite" else func.position(literal(mark).op("IN")(column))
    return place > 0


def _steps(rows: list[_Forgettable]) -> Iterator[list[_Forgettable]]:
    """As many of them at once as come to ``FORGET_BYTES``."""
    step: list[_Forgettable] = []
    for row in rows:
        if step and sum(one.size for one in step) + row.size > FORGET_BYTES:
            yield step
            step = []
        step.append(row)
    if step:
        yield step


def _forget(transaction: Transaction, rows: list[_Forgettable], before: datetime, by: Identity) -> int:
    """Remove the bodies of these rows, and say so."""
    table = schema.audit_batches
    chosen = and_(table.c.first_seq.in_([row.first_seq for row in rows]), table.c.entries.is_not(None))
    count: int = transaction.connection.execute(select(func.coalesce(func.sum(table.c.count), 0)).where(chosen)).scalar_one()
    if count:
        transaction.connection.execute(update(table).where(chosen).values(entries=None))
        body = {"up_to": rows[-1].last_seq, "records": count, "before": to_text(before), "by": by.name}
        transaction.append([AuditEvent(RETENTION, body | {"authentication": by.authentication})])
    return count


def _last_checkpoint(connection: Connection) -> Checkpoint | None:
    table = schema.audit_checkpoints
    note = connection.execute(select(table.c.note).order_by(table.c.size.desc()).limit(1)).scalar()
    return Checkpoint.open(note, None) if note is not None else None


def _checkpoint_after(connection: Connection, size: int) -> tuple[int, str] | None:
    table = schema.audit_checkpoints
    query = select(table.c.size, table.c.note).where(table.c.size > size).order_by(table.c.size).limit(1)
    row = connection.execute(query).first()
    return (row.size, row.note) if row else None


def _root_at(connection: Connection, size: int) -> bytes | None:
    """The root when the log had this size, which was the end of a batch."""
    table = schema.audit_batches
    query = select(table.c.first_seq, table.c.count, table.c.edge).where(table.c.first_seq <= size)
    row = connection.execute(query.order_by(table.c.first_seq.desc()).limit(1)).first()
    if row is None or row.first_seq + row.count - 1 != size:
        return None
    return tree_root(size, row.edge)


class ExportFile:
    """An export in JSON lines, read by whoever checks it. It has no hashes of its own: checkpoints kept beside it say what is true.
    Implements ``audit.LogReader``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def batches(self, *, after: int = 0) -> Iterator[Batch]:
        """See ``LogReader``; ``after`` is 0. Raises ``OSError``."""
        with self._path.open("rb") as file:
            for seq, line in enumerate((line.rstrip(b"\n") for line in file), 1):
                removed = removed_hash(line)
                yield Batch(seq, 1, None, None, removed or leaf_hash(line), None if removed else line)

    def notes(self) -> Iterator[str]:
        """None: they are given to whoever checks."""
        return iter(())
