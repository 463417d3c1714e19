"""How far each witness and export has confirmed."""

from functools import partial
from typing import Any

from sqlalchemy import Connection, func, select, update

from countersign.audit.delivery import Lag, Position
from countersign.store import schema
from countersign.store.database import Database, Transaction


class StoredCursors:
    """Implements ``delivery.Cursors`` for exports, whose numbers are those of records."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, name: str) -> Position | None:
        """See ``Cursors``."""
        return await self._database.read(partial(_position, name=name))

    async def plan(self, name: str, last: int) -> None:
        """See ``Cursors``."""
        await self._database.write(partial(_keep, name=name, values={"planned": last}))

    async def confirm(self, name: str, last: int) -> None:
        """See ``Cursors``."""
        await self._database.write(partial(_keep, name=name, values={"confirmed": last, "planned": None}))

    async def lag(self, name: str) -> Lag:
        """See ``Cursors``."""
        return await self._database.read(partial(self._lag, name=name))

    async def end(self) -> int:
        """See ``Cursors``."""
        return await self._database.read(_end)

    def _lag(self, connection: Connection, name: str) -> Lag:
        batches, confirmed = schema.audit_batches, _confirmed(connection, name)
        behind = _end(connection) - confirmed
        if behind <= 0:
            return Lag(0)
        first = select(batches.c.time).where(batches.c.first_seq <= confirmed + 1).order_by(batches.c.first_seq.desc()).limit(1)
        return Lag(behind, connection.execute(first).scalar() or "")


class WitnessCursors(StoredCursors):
    """The same for witnesses, whose numbers are the sizes of checkpoints: what is not signed yet is nothing that they lack."""

    def _lag(self, connection: Connection, name: str) -> Lag:
        table, confirmed = schema.audit_checkpoints, _confirmed(connection, name)
        behind = select(func.max(table.c.size), func.min(table.c.made_at)).where(table.c.size > confirmed)
        newest, since = connection.execute(behind).one()
        return Lag(newest - confirmed, since) if newest else Lag(0)


def _position(connection: Connection, name: str) -> Position | None:
    table = schema.audit_cursors
    row = connection.execute(select(table.c.confirmed, table.c.planned).where(table.c.name == name)).first()
    return Position(row.confirmed, row.planned) if row else None


def _confirmed(connection: Connection, name: str) -> int:
    position = _position(connection, name)
    return position.confirmed if position else 0


def _end(connection: Connection) -> int:
    table = schema.audit_batches
    last = select(table.c.first_seq + table.c.count - 1).order_by(table.c.first_seq.desc()).limit(1)
    return int(connection.execute(last).scalar() or 0)


def _keep(transaction: Transaction, name: str, values: dict[str, Any]) -> None:
    table = schema.audit_cursors
    if not transaction.connection.execute(update(table).where(table.c.name == name).values(**values)).rowcount:
        transaction.connection.execute(table.insert().values(**({"name": name, "confirmed": 0} | values)))
