"""Sessions in the store: who was connected to what, and when."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update

from countersign.model import AuditEvent, Session
from countersign.model.clock import Clock, to_text
from countersign.store import schema
from countersign.store.database import Database, Transaction


class StoredSessions:
    """Opens and closes sessions, each with its audit record in the same transaction."""

    def __init__(self, database: Database, clock: Clock, gateway: str = "") -> None:
        self._database = database
        self._clock = clock
        self._gateway = gateway

    async def opened(self, session: Session) -> None:
        """Raises ``AuditUnavailable``: a session that is not on record must not go on."""
        row = {
            "identity": session.identity.name,
            "target": session.target.name,
            "client_address": session.client_address,
            "database": session.database,
            "application": session.application,
            "started_at": to_text(session.started_at),
        }
        body = row | {
            "session_id": session.id,
            "groups": list(session.identity.groups),
            "authentication": session.identity.authentication,
        }

        def job(transaction: Transaction) -> None:
            transaction.connection.execute(schema.sessions.insert().values(id=session.id, gateway=self._gateway, **row))
            transaction.append([AuditEvent("session.opened", body)])

        await self._database.write(job)

    async def closed(self, session: Session, reason: str) -> None:
        """Raises ``AuditUnavailable``."""
        body = {
            "session_id": session.id,
            "identity": session.identity.name,
            "target": session.target.name,
            "reason": reason,
            "duration_ms": int((self._clock() - session.started_at).total_seconds() * 1000),
        }

        def job(transaction: Transaction) -> None:
            query = update(schema.sessions).where(schema.sessions.c.id == session.id)
            transaction.connection.execute(query.values(ended_at=to_text(self._clock())))
            transaction.append([AuditEvent("session.closed", body)])

        await self._database.write(job)

    def address(self, session_id: str) -> str:
        """From where a session came, as its audit record says too; empty where there is none. Raises ``StoreError``."""
        table = schema.sessions
        query = select(table.c.client_address).where(table.c.id == session_id)
        return self._database.read_now(lambda connection: connection.execute(query).scalar()) or ""

    def left_open(self, living: Collection[str]) -> frozenset[str]:
        """The sessions that are not on record as ended, and not of these gateways: when one starts, those that a crash cut off. Raises
        ``StoreError``."""
        table = schema.sessions
        query = select(table.c.id).where(table.c.ended_at.is_(None), table.c.gateway.not_in(living))
        return frozenset(self._database.read_now(lambda connection: connection.execute(query).scalars().all()))

    async def ended(self, ids: Sequence[str], before: datetime, left_open: frozenset[str]) -> list[str]:
        """Which of these, a few hundred at most, ended before then; those ``left_open``, which began before. Raises ``StoreError``."""
        table = schema.sessions
        query = select(table.c.id, table.c.ended_at).where(
            table.c.id.in_(ids), func.coalesce(table.c.ended_at, table.c.started_at) < to_text(before)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [row.id for row in rows if row.ended_at is not None or row.id in left_open]

    async def latest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest first."""

        def query(connection: Connection) -> list[dict[str, Any]]:
            rows = connection.execute(select(schema.sessions).order_by(schema.sessions.c.started_at.desc()).limit(limit))
            return [dict(row._mapping) for row in rows]

        return await self._database.read(query)
