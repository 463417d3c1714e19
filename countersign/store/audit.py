"""The audit log in the store."""

from collections.abc import Iterator

import orjson
from sqlalchemy import Connection, select

from countersign.audit import Encoded, encode
from countersign.model import AuditEvent, AuditRecord
from countersign.store import schema
from countersign.store.database import Database, StoreError

PAGE = 5_000


class StoredAuditLog:
    """Implements ``audit.AuditLog``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, event: AuditEvent) -> None:
        """Return once the record is committed. Raises ``AuditUnavailable``."""
        await self._database.write(_encoded(event))

    def hand_over(self, event: AuditEvent) -> None:
        """Give the record to the writer. Raises ``AuditUnavailable``."""
        self._database.hand_over(_encoded(event))

    def records(self, *, after: int = 0) -> Iterator[AuditRecord]:
        """Every record in order, read page by page."""
        while page := self._database.read_now(lambda connection, start=after: _page(connection, start)):  # type: ignore[misc]
            yield from page
            after = page[-1].seq

    async def latest(self, limit: int, *, kind: str = "") -> list[AuditRecord]:
        """The newest records, newest first."""
        return await self._database.read(lambda connection: _latest(connection, limit, kind))


def _encoded(event: AuditEvent) -> Encoded:
    """Encoded by the caller, who thereby hears at once of a body that cannot be recorded."""
    try:
        return encode(event)
    except ValueError as error:
        raise StoreError(f"the record of {event.kind!r} cannot be encoded: {error}") from error


def _page(connection: Connection, after: int) -> list[AuditRecord]:
    table = schema.audit_records
    rows = connection.execute(select(table).where(table.c.seq > after).order_by(table.c.seq).limit(PAGE))
    return [_record(row) for row in rows]


def _latest(connection: Connection, limit: int, kind: str) -> list[AuditRecord]:
    table = schema.audit_records
    query = select(table).order_by(table.c.seq.desc()).limit(limit)
    return [_record(row) for row in connection.execute(query.where(table.c.kind == kind) if kind else query)]


def _record(row: object) -> AuditRecord:
    fields = row._mapping  # type: ignore[attr-defined]
    return AuditRecord(**{**fields, "body": orjson.loads(fields["body"])})
