"""A store in a PostgreSQL database, which any number of gateways share.

Whoever writes holds an advisory lock until the commit, so that the log has one end whichever gateway writes it, and a job may read what it
changes without anybody between. A commit is on the server's disk before anybody goes on (``synchronous_commit``). Of a commit whose answer was lost nobody knows whether it
was done: what waited for it is refused, and records that nobody waits for are written again, so that they may stand there twice.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from countersign.model import Trouble
from countersign.store import guards, schema
from countersign.store.backend import GIVEN_UP_MS, LOCKED_MS, Execute, driver_of
from countersign.store_settings import PostgresPlace

WRITER = 0x436F756E74657273
"""The advisory lock of whoever writes: "Counters" in ASCII."""
LOCK_NOT_AVAILABLE, DISK_FULL = "55P03", "53100"
TAKE = f"SELECT pg_catalog.pg_advisory_xact_lock({WRITER})"
HANGS_S = 10
"""After which time a server that does not answer is given up."""
OPTIONS = "-c synchronous_commit=on -c client_encoding=UTF8 -c timezone=UTC -c statement_timeout=60s"
READ_LOG = """SELECT first_seq, entries FROM audit_batches
    WHERE first_seq >= coalesce((SELECT max(first_seq) FROM audit_batches WHERE first_seq <= %(first)s), %(first)s)
      AND first_seq <= %(last)s AND entries IS NOT NULL AND time >= %(since)s AND (%(until)s = '' OR time < %(until)s)
    ORDER BY first_seq DESC"""
ROWS_AT_ONCE = 16
"""Each may hold hundreds of records."""


class PostgresServer:
    """See ``Backend``."""

    errors: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)
    insert_batch = "INSERT INTO audit_batches (first_seq, count, time, edge, hashes, entries) VALUES (%s,%s,%s,%s,%s,%s)"
    read_head = "SELECT first_seq, count, edge FROM audit_batches ORDER BY first_seq DESC LIMIT 1"
    is_shared = True

    def __init__(self, place: PostgresPlace) -> None:
        self._place = place

    def __str__(self) -> str:
        return str(self._place)

    def open(self, *, create: bool) -> Engine:
        """See ``Backend``. The database has to be there; its tables are made."""
        engine = create_engine(
            "postgresql+psycopg://", creator=partial(connect, self._place), pool_pre_ping=True, pool_size=5, max_overflow=15
        )
        try:
            with engine.begin() as connection:
                _prepare(connection, create=create)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def begin_writing(self, execute: Execute, locked: Callable[[], None]) -> None:
        """See ``Backend``."""
        try:
            execute(f"SAVEPOINT taking; SET LOCAL lock_timeout = {LOCKED_MS}; {TAKE}")
        except self.errors as error:
            if _code(error) != LOCK_NOT_AVAILABLE:
                raise
            locked()
            execute(f"ROLLBACK TO SAVEPOINT taking; SET LOCAL lock_timeout = {GIVEN_UP_MS}; {TAKE}")

    def begin_reading(self, execute: Execute) -> None:
        """See ``Backend``."""
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def trouble(self, error: BaseException) -> Trouble:
        """See ``Backend``."""
        return Trouble.FULL if _code(error) == DISK_FULL else Trouble.UNAVAILABLE

    def log_rows(self, connection: Connection, first: int, last: int, since: str, until: str) -> Iterator[tuple[int, bytes]]:
        """See ``Backend``."""
        with driver_of(connection).cursor(name="log_rows") as cursor:
            cursor.itersize = ROWS_AT_ONCE
            cursor.execute(READ_LOG, {"first": first, "last": last, "since": since, "until": until})
            yield from cursor


def connect(place: PostgresPlace, *, autocommit: bool = False) -> "psycopg.Connection[Any]":
    """Raises ``psycopg.Error``, and ``OSError`` or ``KeyError`` where the password has gone."""
    return psycopg.connect(**connect_options(place), autocommit=autocommit)


def connect_options(place: PostgresPlace) -> dict[str, Any]:
    """How the store is reached, as libpq takes it."""
    options: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "dbname": place.database,
        "user": place.user,
        "password": place.password.reveal() if place.password else None,
        "sslmode": place.tls,
        "application_name": "countersign store",
        "connect_timeout": HANGS_S,
        "keepalives_idle": HANGS_S,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": HANGS_S * 1000,
        "options": OPTIONS,
    }
    if place.tls == "verify-full":
        options["sslrootcert"] = str(place.ca_file) if place.ca_file else "system"
    return options


def _prepare(connection: Connection, *, create: bool) -> None:
    connection.exec_driver_sql(TAKE)
    is_there = connection.exec_driver_sql("SELECT to_regclass('countersign_layout') IS NOT NULL").scalar_one()
    version = connection.exec_driver_sql("SELECT version FROM countersign_layout").scalar_one() if is_there else 0
    schema.refuse_other_layout(version)
    if version:
        return
    if not create:
        raise OSError("there is no store in this database")
    schema.metadata.create_all(connection)
    for guard in guards.GUARDS:
        connection.exec_driver_sql(guard.postgresql())
    for table in guards.KEPT_WHOLE:
        connection.exec_driver_sql(guards.no_truncate(table))
    connection.exec_driver_sql("CREATE TABLE countersign_layout (version integer NOT NULL)")
    connection.exec_driver_sql("INSERT INTO countersign_layout VALUES (%s)", (schema.SCHEMA_VERSION,))


def _code(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return getattr(original, "sqlstate", None) or ""
