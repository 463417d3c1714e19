"""A store in one SQLite file."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from countersign.model import Trouble
from countersign.store import guards, schema
from countersign.store.backend import GIVEN_UP_MS, LOCKED_MS, Execute, driver_of

CHECKPOINT = "wal_autocheckpoint=300"
"""How many pages gather before a commit moves them into the file. The more there are, the longer that one takes, and whoever waits for it."""
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "secure_delete=ON", CHECKPOINT)
READ_LOG = """SELECT first_seq, CAST(entries AS BLOB) FROM audit_batches
    WHERE first_seq >= coalesce((SELECT max(first_seq) FROM audit_batches WHERE first_seq <= ?1), ?1) AND first_seq <= ?2
      AND entries IS NOT NULL AND time >= ?3 AND (?4 = '' OR time < ?4) ORDER BY first_seq DESC"""


class SqliteFile:
    """See ``Backend``. Only its owner may read the file."""

    errors: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error)
    insert_batch = "INSERT INTO audit_batches (first_seq, count, time, edge, hashes, entries) VALUES (?,?,?,?,?,?)"
    read_head = "SELECT first_seq, count, edge FROM audit_batches ORDER BY first_seq DESC LIMIT 1"
    is_shared = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = (0, 0)

    def __str__(self) -> str:
        return str(self._path)

    def open(self, *, create: bool) -> Engine:
        """See ``Backend``."""
        if create:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        engine = create_engine(f"sqlite:///{self._path}", creator=partial(_connect, self._path))
        event.listen(engine, "connect", _on_connect)
        _prepare(engine)
        self._file = _identity_of(self._path)
        return engine

    def begin_writing(self, execute: Execute, locked: Callable[[], None]) -> None:
        """See ``Backend``. A file that was taken away is not written to: nobody would ever read it."""
        if _identity_of(self._path) != self._file:
            raise OSError("its file was removed, or another was put in its place")
        execute(f"PRAGMA busy_timeout={LOCKED_MS}")
        try:
            execute("BEGIN IMMEDIATE")
        except self.errors as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            locked()
            execute(f"PRAGMA busy_timeout={GIVEN_UP_MS}")
            execute("BEGIN IMMEDIATE")

    def begin_reading(self, execute: Execute) -> None:
        """See ``Backend``."""
        execute("BEGIN DEFERRED")

    def trouble(self, error: BaseException) -> Trouble:
        """See ``Backend``."""
        is_full = _code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
        return Trouble.FULL if is_full else Trouble.UNAVAILABLE

    def log_rows(self, connection: Connection, first: int, last: int, since: str, until: str) -> Iterator[tuple[int, bytes]]:
        """See ``Backend``."""
        yield from driver_of(connection).execute(READ_LOG, (first, last, since, until))


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
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        schema.refuse_other_layout(version)
        if version == 0:
            schema.metadata.create_all(connection)
            for guard in guards.GUARDS:
                connection.exec_driver_sql(guard.sqlite())
            connection.exec_driver_sql(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where the error is none of SQLite's."""
    original = getattr(error, "orig", None) or error
    return getattr(original, "sqlite_errorcode", 0) & 0xFF
