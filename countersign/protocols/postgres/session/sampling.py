"""Samples a target's tables, on a connection of the gateway's own that only reads. What the server says in words is not passed on."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from countersign import _core
from countersign._core import Masker, ProtocolError
from countersign.masking.discovery import Discovery, TableSample
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.errors import INSUFFICIENT_PRIVILEGE, TargetRefused
from countersign.protocols.postgres.sampling import (
    BEGIN,
    PREPARE,
    READ_ONLY,
    ROLLBACK,
    TABLES,
    Table,
    in_schemas,
    is_big,
    sample_query,
    table_of,
)
from countersign.protocols.postgres.session.inquiry import PASSED, InquiryFailed, fetch, hang_up
from countersign.protocols.postgres.session.target import Dialer, TargetConnection
from countersign.protocols.wire import WireClosed

SETTINGS = {"application_name": "countersign discover", "client_encoding": "UTF8"}
NO_SUCH_DATABASE = "3D000"
ROWS_A_TIME = 50
TABLE_LIMIT_BYTES = 16 << 20
TABLE_TIMEOUT_S = 60.0
OVERALL_TIMEOUT_S = 600.0

REASONS = {
    INSUFFICIENT_PRIVILEGE: "the gateway's role has no right to read it",
    "55P03": "it is locked",
    "57014": "it took too long",
    "55000": "it is not in a state to be read, such as a materialized view without data",
    "42P01": "it has gone",
    "42703": "a column has gone",
}


class SamplingFailed(Exception):
    """The database cannot be sampled at all. The text may be shown."""


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def discover(
    dialer: Dialer,
    databases: Sequence[str],
    masker: Masker,
    *,
    rows: int,
    schemas: Sequence[str],
    min_share: float,
    moved: Callable[[int, int], None],
) -> tuple[str, Discovery]:
    """Sample the tables of the first of these databases that there is, so many rows each, and say which it was and what was found.

    ``moved`` is told after each table how many are done and of how many. Raises ``SamplingFailed``.
    """
    async with _connected(dialer, databases) as (database, connection):
        try:
            tables = await _tables(connection, schemas)
            found = Discovery()
            end_s = time.monotonic() + OVERALL_TIMEOUT_S
            for number, table in enumerate(tables, 1):
                if time.monotonic() > end_s:
                    found.not_read.append((table.shown, f"the time of {OVERALL_TIMEOUT_S / 60:.0f} minutes was over"))
                else:
                    await _look_at(connection, table, masker, rows, min_share, found)
                moved(number, len(tables))
        except (InquiryFailed, WireClosed, ProtocolError, TimeoutError) as error:
            # Of the error only its kind is told: the server's words may hold values.
            raise SamplingFailed(f"the connection to database {database!r} broke off ({type(error).__name__})") from None
        return database, found


@contextlib.asynccontextmanager
async def _connected(dialer: Dialer, databases: Sequence[str]) -> AsyncIterator[tuple[str, TargetConnection]]:
    for database in databases:
        try:
            connection = await dialer.connect(database, SETTINGS)
        except TargetRefused as error:
            if error.code != NO_SUCH_DATABASE or database == databases[-1]:
                raise SamplingFailed(f"{error.public} (database {database!r}; --database names another)") from error
            continue
        try:
            yield database, connection
        finally:
            await hang_up(connection)
        return


async def _tables(connection: TargetConnection, schemas: Sequence[str]) -> list[Table]:
    await fetch(connection, READ_ONLY)
    await fetch(connection, BEGIN)
    await fetch(connection, PREPARE)
    tables = [table_of(row) for row in await fetch(connection, TABLES)]
    await fetch(connection, ROLLBACK)
    wanted = [table for table in tables if in_schemas(table, schemas)]
    if schemas and not wanted:
        known = ", ".join(sorted({table.schema for table in tables})) or "none"
        raise SamplingFailed(f"there is no table in {', '.join(schemas)}; schemas with tables: {known}")
    return wanted


async def _look_at(
    connection: TargetConnection, table: Table, masker: Masker, rows: int, min_share: float, found: Discovery
) -> None:
    found.not_read.extend((f"{table.shown}.{column}", REASONS[INSUFFICIENT_PRIVILEGE]) for column in table.closed)
    found.not_read.extend((f"{table.shown}.{column}", "its type is not looked into") for column in table.unknown)
    if table.leads_away:
        found.not_read.append((table.shown, "it leads to another server"))
        return
    if not table.columns:
        found.tables_read += not table.closed
        return
    sample = TableSample(table.columns, masker)
    if sample.columns:
        try:
            await _sample(connection, table, sample, rows)
        except _Refused as error:
            found.not_read.append((table.shown, _reason(table, error.code)))
            return
    found.tables_read += 1
    found.rows_read += sample.rows
    proposals = list(sample.proposals(min_share))
    found.proposals.extend(proposals)
    found.mentions.extend(sample.mentions({proposal.column.name for proposal in proposals}))


def _reason(table: Table, code: str) -> str:
    if code == INSUFFICIENT_PRIVILEGE and table.has_policies:
        return "row-level security hides rows of it from the gateway's role"
    return REASONS.get(code, "the server refused") + f" (SQLSTATE {code})"


async def _sample(connection: TargetConnection, table: Table, sample: TableSample, rows: int) -> None:
    """Raises ``_Refused``; the connection can be used again. Every table has a READ ONLY transaction of its own."""
    async with asyncio.timeout(TABLE_TIMEOUT_S):
        await fetch(connection, BEGIN)
        try:
            await fetch(connection, PREPARE)
            if is_big(table, rows):
                await _stream(connection, sample_query(table, rows, by_pages=True), sample)
            if not sample.rows:
                await _stream(connection, sample_query(table, rows, by_pages=False), sample)
        except _Refused:
            await fetch(connection, ROLLBACK)
            raise
        await fetch(connection, ROLLBACK)


async def _stream(connection: TargetConnection, sql: str, sample: TableSample) -> None:
    """Take a few rows at a time, until there are no more or they were many bytes. Raises ``_Refused`` and the errors of a broken wire."""
    wire = connection.wire
    wire.send(
        messages.parse(b"", sql.encode())
        + messages.bind_texts(b"", b"", [])
        + messages.describe_portal(b"")
        + messages.execute(b"", ROWS_A_TIME)
        + messages.FLUSH
    )
    refused: _Refused | None = None
    taken_bytes = 0
    while True:
        while (event := connection.decoder.next()) is None:
            connection.decoder.feed(await wire.receive())
        kind, data, count = event
        match chr(kind):
            case "T":
                width = len(_core.decode_row_description(data))
                connection.decoder.set_row_plan(_core.RowPlan([PASSED] * width, None))
            case "D":
                taken_bytes += len(data)
                sample.add(_core.decode_rows(data, count))
            case "s" if taken_bytes < TABLE_LIMIT_BYTES:
                wire.send(messages.execute(b"", ROWS_A_TIME) + messages.FLUSH)
            case "s" | "C":
                wire.send(messages.SYNC)
            case "E":
                refused = _Refused(dict(_core.decode_fields(data)).get("C", b"").decode("ascii", "replace"))
                wire.send(messages.SYNC)
            case "Z" if refused is not None:
                raise refused
            case "Z":
                return
