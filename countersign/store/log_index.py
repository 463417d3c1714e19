"""What the search of the audit log is quick by: a file beside the store that can be deleted at any time, and grows anew.

The log's records are taken together in blocks, some hundreds each, and of each block a sketch is kept (``rust/core/src/sketch.rs``): a Bloom
filter of whatever can be looked for in its records, which says in which blocks there is no hit. Sketches that are complete together are kept
a second time, turned around (a bit of each of them in a row), so that a question reads a few kilobytes for half a million records.

Nothing here is evidence, and nothing of it is shown: hits are read from the log. The index says of the record that it reaches to which hash
it has, so that one of another log is not used, and each row has a sum, so that a damaged one is not; then the log itself is read through.
Whoever may write the file can hide records from the search, as whoever may write the store can from everything but ``audit verify``.
"""

import contextlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from countersign._core import Sketcher, sketch_places, turn_sketches
from countersign.audit.search import Query

LAYOUT = 1
RECORDS_A_BLOCK = 256
BLOCKS_A_SEGMENT = 1024
PLACES = 1 << 14
"""How many bits a sketch has."""
PLACES_A_ROW = 31
"""Of a segment's turned sketches; with a segment's 128 bytes a place they fill a page of the file."""
ROWS_A_SEGMENT = -(-PLACES // PLACES_A_ROW) + 1
"""The last of them says from when until when the segment's records are."""
RECORDS_A_RUN = 4096
"""More blocks are not read as one: the first of them may hold all the hits that are wanted."""
STEP_BYTES = 4 << 20
"""How much of the log one step reads, or one row of it."""
TABLES = (
    """CREATE TABLE blocks (number INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
       first_time TEXT NOT NULL, last_time TEXT NOT NULL, last_hash BLOB NOT NULL, sum INTEGER NOT NULL)""",
    "CREATE TABLE sketches (number INTEGER PRIMARY KEY, sum INTEGER NOT NULL, sketch BLOB NOT NULL)",
    "CREATE TABLE turned (number INTEGER PRIMARY KEY, sum INTEGER NOT NULL, bits BLOB NOT NULL)",
)
READ_ROWS = """SELECT first_seq, count, time, hashes, entries FROM audit_batches
    WHERE first_seq >= coalesce((SELECT max(first_seq) FROM audit_batches WHERE first_seq <= ?1), ?1) AND first_seq <= ?2 ORDER BY first_seq"""
END = 1 << 62
"""Behind every record."""


class IndexUnusable(Exception):
    """There is no index, or none that can be relied on: the log has to be read through. The text says why."""


class _Damaged(IndexUnusable):
    """It has to be made anew."""


@dataclass(frozen=True, slots=True)
class Block:
    """Records that follow each other, from when until when they are, and the hash of the last one."""

    number: int
    first_seq: int
    last_seq: int
    first_time: str
    last_time: str
    last_hash: bytes

    @property
    def row(self) -> tuple[int, int, int, str, str, bytes]:
        """All of it."""
        return (self.number, self.first_seq, self.last_seq, self.first_time, self.last_time, self.last_hash)


class LogIndex:
    """The index of a store's log. One thread at a time writes it; whoever searches reads it beside that."""

    def __init__(self, store: Path, *, records_a_block: int = RECORDS_A_BLOCK, blocks_a_segment: int = BLOCKS_A_SEGMENT) -> None:
        self.path = store.with_name(f"{store.stem}.index{store.suffix}")
        self._store = store
        self._records_a_block = records_a_block
        self._segment = blocks_a_segment
        self._version = LAYOUT * 100_000 + blocks_a_segment
        self._writing = threading.Lock()
        self._open: _OpenBlock | None = None
        """What is being added to; None where that has to be read from the file first."""
        self._is_damaged = False
        """Whether a reader found it so."""

    # -- reading
    def spans(self, query: Query, *, before: int = END) -> Iterator[tuple[int, int]]:
        """First and last number of runs of records among which all hits below ``before`` are, the newest first. The newest run is what is
        not indexed yet. Raises ``IndexUnusable``, also when some have been given already: then nothing is known of what is before them."""
        try:
            with closing(self._connect("ro")) as index, index:
                index.execute("BEGIN")
                self._check_layout(index)
                newest = self._newest_of_this_log(index)
                reached = newest.last_seq if newest else 0
                if before > reached + 1:
                    yield reached + 1, before - 1
                if newest is not None:
                    for span in self._indexed(index, query, newest.number + 1):
                        if span[0] < before:
                            yield span[0], min(span[1], before - 1)
        except (sqlite3.Error, OverflowError, _Damaged) as error:
            self._is_damaged = self._is_damaged or not isinstance(error, sqlite3.OperationalError)
            raise IndexUnusable(f"it cannot be read: {error}") from error

    def reaches(self) -> int:
        """The number of the last record that is indexed."""
        with contextlib.suppress(sqlite3.Error, IndexUnusable), closing(self._connect("ro")) as index:
            self._check_layout(index)
            newest = self._newest_of_this_log(index)
            return newest.last_seq if newest else 0
        return 0

    def _indexed(self, index: sqlite3.Connection, query: Query, blocks: int) -> Iterator[tuple[int, int]]:
        places = sketch_places(query.facets, query.about, query.text)
        turned = blocks // self._segment
        for segment in range(turned, -1, -1):
            start, end = segment * self._segment, min((segment + 1) * self._segment, blocks)
            if segment < turned:
                wanted = self._wanted_of_segment(index, segment, query, places)
            else:
                wanted = _wanted_of(index, start, end, places)
            yield from _spans_of(_blocks(index, query, start, end, wanted))

    def _wanted_of_segment(self, index: sqlite3.Connection, segment: int, query: Query, places: list[int]) -> int:
        """A bit for each block of a segment that may hold a hit."""
        wanted, width, row = (1 << self._segment) - 1, _width(self._segment), segment * ROWS_A_SEGMENT
        if not query.is_of_time(*_checked(index, "turned", row + ROWS_A_SEGMENT - 1).decode().split()):
            return 0
        for place in places:
            bits = _checked(index, "turned", row + place // PLACES_A_ROW)
            at = place % PLACES_A_ROW * width
            wanted &= int.from_bytes(bits[at : at + width], "little")
            if not wanted:
                break
        return wanted

    def _newest_of_this_log(self, index: sqlite3.Connection) -> Block | None:
        newest = _newest(index)
        if newest is not None and self._hash_in_log(newest.last_seq) != newest.last_hash:
            raise _Damaged("it is of another log")
        return newest

    def _hash_in_log(self, seq: int) -> bytes:
        query = "SELECT first_seq, hashes FROM audit_batches WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1"
        with closing(self._connect_log()) as log:
            first_seq, hashes = log.execute(query, (seq,)).fetchone() or (seq, b"")
        return bytes(hashes[(seq - first_seq) * 32 : (seq - first_seq + 1) * 32])

    def _check_layout(self, index: sqlite3.Connection) -> None:
        if index.execute("PRAGMA user_version").fetchone()[0] != self._version:
            raise _Damaged("it has another layout")

    # -- writing
    def advance(self) -> int:
        """Index what comes next in the log, a bounded piece of it, and make the index anew where it cannot be relied on. How many records were
        read: where none, everything is. Raises ``sqlite3.Error`` and ``OSError`` where a file does not take it."""
        with self._writing:
            try:
                if self._is_damaged:
                    raise _Damaged("whoever read it found it so")
                return self._advance()
            except sqlite3.OperationalError:
                self._open = None
                raise
            except (_Damaged, sqlite3.DatabaseError):
                self._remove()
                return self._advance()
            except BaseException:
                self._open = None
                raise

    def forget(self, before: str) -> None:
        """Sketch anew what holds records older than ``before``, whose bodies have been removed from the log: nothing of them stays here. Raises
        as ``advance``."""
        with self._writing:
            self._open = None
            if not self.path.exists():
                return
            try:
                with closing(self._connect("rw")) as index:
                    self._check_layout(index)
                    self._newest_of_this_log(index)
                    for segment, blocks in self._older(index, before).items():
                        with index:
                            index.execute("BEGIN IMMEDIATE")
                            for block in blocks:
                                _put(index, "sketches", block.number, self._sketch_anew(block))
                            if self._is_complete(index, segment):
                                self._turn(index, segment)
            except (IndexUnusable, sqlite3.DatabaseError):
                self._remove()

    def _older(self, index: sqlite3.Connection, before: str) -> dict[int, list[Block]]:
        """Blocks with such records that were not sketched anew when there were none left, by segment."""
        found: dict[int, list[Block]] = {}
        for row in index.execute("SELECT * FROM blocks WHERE first_time < ? ORDER BY number", (before,)).fetchall():
            block = _block(row)
            if _checked(index, "sketches", block.number).strip(b"\0"):
                found.setdefault(block.number // self._segment, []).append(block)
        return found

    def _sketch_anew(self, block: Block) -> bytes:
        sketcher = Sketcher(END)
        with closing(self._connect_log()) as log:
            for first_seq, _, _, _, entries in log.execute(READ_ROWS, (block.first_seq, block.last_seq)):
                if entries is not None:
                    lines = entries.split(b"\n")[max(0, block.first_seq - first_seq) : block.last_seq - first_seq + 1]
                    sketcher.add(b"\n".join(lines))
        return sketcher.rest()

    def _advance(self) -> int:
        """The file is opened only where there is something to write: mostly a second brings nothing that fills a block."""
        if self._open is None or not self.path.exists():
            with closing(self._connect("rwc")) as index:
                self._prepare(index)
                newest = self._newest_of_this_log(index)
            number, first_seq = (newest.number + 1, newest.last_seq + 1) if newest else (0, 1)
            self._open = _OpenBlock(number, first_seq, self._records_a_block)
        number = self._open.number
        with closing(self._connect_log()) as log:
            records, full = self._open.take(log)
        if full:
            with closing(self._connect("rwc")) as index:
                self._prepare(index)
                self._write(index, number, full)
        return records

    def _write(self, index: sqlite3.Connection, number: int, full: list[tuple[Block, bytes]]) -> None:
        with index:
            index.execute("BEGIN IMMEDIATE")
            newest = _newest(index)
            if number != (newest.number + 1 if newest else 0):
                self._open = None  # somebody else wrote, or took the file away: begin where it ends now
                return
            for block, sketch in full:
                self._add(index, block, sketch)

    def _prepare(self, index: sqlite3.Connection) -> None:
        if index.execute("PRAGMA user_version").fetchone()[0] == 0:
            with index:
                index.execute("BEGIN IMMEDIATE")
                for table in TABLES:
                    index.execute(table)
                index.execute(f"PRAGMA user_version = {self._version}")
        self._check_layout(index)

    def _add(self, index: sqlite3.Connection, block: Block, sketch: bytes) -> None:
        index.execute("INSERT INTO blocks VALUES (?,?,?,?,?,?,?)", (*block.row, _sum_of(block)))
        _put(index, "sketches", block.number, sketch)
        if (block.number + 1) % self._segment == 0:
            self._turn(index, block.number // self._segment)

    def _is_complete(self, index: sqlite3.Connection, segment: int) -> bool:
        newest = _newest(index)
        return newest is not None and newest.number + 1 >= (segment + 1) * self._segment

    def _turn(self, index: sqlite3.Connection, segment: int) -> None:
        start = segment * self._segment
        sketches = [_checked(index, "sketches", number) for number in range(start, start + self._segment)]
        turned, step = turn_sketches(b"".join(sketches)), PLACES_A_ROW * _width(self._segment)
        row = segment * ROWS_A_SEGMENT
        for number, at in enumerate(range(0, len(turned), step), row):
            _put(index, "turned", number, turned[at : at + step])
        blocks = list(_blocks(index, Query(), start, start + self._segment, -1))
        times = min(block.first_time for block in blocks), max(block.last_time for block in blocks)
        _put(index, "turned", row + ROWS_A_SEGMENT - 1, " ".join(times).encode())

    def _remove(self) -> None:
        self._open, self._is_damaged = None, False
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    # -- files
    def _connect(self, mode: str) -> sqlite3.Connection:
        if mode == "rwc":
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        elif not self.path.exists():
            raise IndexUnusable("there is none")
        index = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
        if mode != "ro":
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "secure_delete=ON"):
                index.execute(f"PRAGMA {pragma}")
        return index

    def _connect_log(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._store.absolute().as_uri()}?mode=ro", uri=True)


class _OpenBlock:
    """The block that is being filled, and where the log is to be read on."""

    def __init__(self, number: int, first_seq: int, records_a_block: int) -> None:
        self.number = number
        self._first_seq = self._next_seq = first_seq
        self._times: tuple[str, str] | None = None
        self._sketcher = Sketcher(records_a_block)

    def take(self, log: sqlite3.Connection) -> tuple[int, list[tuple[Block, bytes]]]:
        """How many records were read, and the blocks that became full. Raises ``IndexUnusable`` at a row that does not hold what it says."""
        read, full, start = 0, list[tuple[Block, bytes]](), self._next_seq
        for first_seq, count, time, hashes, entries in log.execute(READ_ROWS, (start, END)):
            if first_seq + count <= self._next_seq:  # the last one that was taken
                continue
            if first_seq > self._next_seq or len(hashes) != 32 * count:
                raise IndexUnusable(f"the log's row of record {first_seq} is not what it says")
            self._times = (min(self._times[0], time), max(self._times[1], time)) if self._times else (time, time)
            if entries is not None:
                full += self._sketch(entries, first_seq, count, time, hashes)
                read += len(entries)
            self._next_seq = first_seq + count
            if read > STEP_BYTES:
                break
        return self._next_seq - start, full

    def _sketch(self, entries: bytes, first_seq: int, count: int, time: str, hashes: bytes) -> Iterator[tuple[Block, bytes]]:
        if entries.count(b"\n") + 1 != count:
            raise IndexUnusable(f"the log's row of record {first_seq} is not what it says")
        skipped = self._next_seq - first_seq
        for taken, sketch in self._sketcher.add(entries.split(b"\n", skipped)[skipped]):
            last = skipped + taken - 1
            first_time, last_time = self._times or (time, time)
            last_hash = hashes[last * 32 : last * 32 + 32]
            yield Block(self.number, self._first_seq, first_seq + last, first_time, last_time, last_hash), sketch
            self.number, self._first_seq = self.number + 1, first_seq + last + 1
            self._times = (time, time) if last + 1 < count else None


def _width(blocks: int) -> int:
    return -(-blocks // 8)


def _wanted_of(index: sqlite3.Connection, start: int, end: int, places: list[int]) -> int:
    """The same as for a segment, where the sketches are not turned yet."""
    wanted = 0
    for number in range(start, end):
        sketch = _checked(index, "sketches", number)
        if all(sketch[place >> 3] >> (place & 7) & 1 for place in places):
            wanted |= 1 << (number - start)
    return wanted


def _blocks(index: sqlite3.Connection, query: Query, start: int, end: int, wanted: int) -> Iterator[Block]:
    """Those of a segment's blocks that are wanted and of the time that is asked for, newest first."""
    for number in range(end - 1, start - 1, -1):
        if wanted >> (number - start) & 1:
            row = index.execute("SELECT * FROM blocks WHERE number = ?", (number,)).fetchone()
            if row is None:
                raise _Damaged("a block is missing")
            block = _block(row)
            if query.is_of_time(block.first_time, block.last_time):
                yield block


def _spans_of(blocks: Iterator[Block]) -> Iterator[tuple[int, int]]:
    """Blocks that touch each other are one run, of a bounded length."""
    span: tuple[int, int] | None = None
    for block in blocks:
        if span is not None and block.last_seq + 1 == span[0] and span[1] - block.first_seq < RECORDS_A_RUN:
            span = block.first_seq, span[1]
            continue
        if span is not None:
            yield span
        span = block.first_seq, block.last_seq
    if span is not None:
        yield span


def _newest(index: sqlite3.Connection) -> Block | None:
    row = index.execute("SELECT * FROM blocks ORDER BY number DESC LIMIT 1").fetchone()
    return _block(row) if row else None


def _block(row: tuple[int, int, int, str, str, bytes, int]) -> Block:
    block = Block(*row[:-1])
    if _sum_of(block) != row[-1]:
        raise _Damaged("a block is not what was written")
    return block


def _sum_of(block: Block) -> int:
    return zlib.crc32(repr(block.row).encode())


def _put(index: sqlite3.Connection, table: str, number: int, content: bytes) -> None:
    # The table's name is one of this file; the values are bound.
    index.execute(f"INSERT OR REPLACE INTO {table} VALUES (?,?,?)", (number, zlib.crc32(content, number), content))  # noqa: S608  # see above


def _checked(index: sqlite3.Connection, table: str, number: int) -> bytes:
    """A row's content. Raises ``IndexUnusable`` where it is not what was written."""
    # The table's name is one of this file; the values are bound.
    row = index.execute(f"SELECT * FROM {table} WHERE number = ?", (number,)).fetchone()  # noqa: S608  # see above
    if row is None or not isinstance(row[2], bytes) or zlib.crc32(row[2], number) != row[1]:
        raise _Damaged("a row is not what was written")
    return row[2]
