"""The gateways that run on a store: which of them live, and what the others are to be told."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from countersign.model.clock import Clock, to_text
from countersign.store import schema
from countersign.store.database import Database, Transaction

TABLE = schema.gateways
DEAD_AFTER = timedelta(seconds=10)
"""For how long a gateway may not be seen before it is taken for dead."""


class StoredGateways:
    """What one gateway says of itself, and sees of the others. Times are the store's own, for machines' clocks differ."""

    def __init__(self, database: Database, gateway: str, clock: Clock) -> None:
        self._database = database
        self._gateway = gateway
        self._clock = clock

    async def started(self, host: str, console: str) -> None:
        """Begin to be seen. On a store that is nobody else's, whoever was there before is gone."""

        def job(transaction: Transaction) -> None:
            now = to_text(self._now(transaction.connection))
            if not self._database.backend.is_shared:
                transaction.connection.execute(update(TABLE).where(TABLE.c.stopped_at.is_(None)).values(stopped_at=now))
            row = {"id": self._gateway, "host": host, "console": console, "started_at": now, "seen_at": now}
            transaction.connection.execute(TABLE.insert().values(**row))

        await self._database.write(job)

    async def seen(self) -> None:
        """Be seen."""
        await self._database.write(self._touch)

    async def stopped(self) -> None:
        """Be gone."""

        def job(transaction: Transaction) -> None:
            now = to_text(self._now(transaction.connection))
            transaction.connection.execute(update(TABLE).where(TABLE.c.id == self._gateway).values(stopped_at=now))

        await self._database.write(job)

    async def living(self) -> dict[str, str]:
        """The consoles of those that live, by their ids."""

        def find(connection: Connection) -> dict[str, str]:
            since = to_text(self._now(connection) - DEAD_AFTER)
            query = select(TABLE.c.id, TABLE.c.console).where(TABLE.c.stopped_at.is_(None))
            if self._database.backend.is_shared:
                query = query.where(TABLE.c.seen_at > since)
            return {row.id: row.console for row in connection.execute(query)}

        return await self._database.read(find)

    def _touch(self, transaction: Transaction) -> None:
        now = to_text(self._now(transaction.connection))
        transaction.connection.execute(update(TABLE).where(TABLE.c.id == self._gateway).values(seen_at=now, stopped_at=None))

    def _now(self, connection: Connection) -> datetime:
        if not self._database.backend.is_shared:
            return self._clock()
        found: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
        return found
