"""Grants in the store."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from countersign.model import AuditEvent
from countersign.model.clock import from_text, to_text
from countersign.model.grant import Grant
from countersign.reviews.errors import ReviewConflict, ReviewNotFound
from countersign.reviews.grants import range_from, ranges_json, shape_from, shape_json
from countersign.store import schema
from countersign.store.database import Database, Transaction
from countersign.store.reviews import LAST

TABLE = schema.grants


class StoredGrants:
    """Implements ``reviews.contract.GrantStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, grant: Grant, event: AuditEvent) -> None:
        """Keep a new grant and its record."""

        def job(transaction: Transaction) -> None:
            transaction.connection.execute(TABLE.insert().values(**_row(grant)))
            transaction.append([event])

        await self._database.write(job)

    async def live(self, identity: str, target: str, now: datetime) -> list[Grant]:
        """Those of an identity on a target that can still be used, the newest first."""
        query = (
            select(TABLE)
            .where(TABLE.c.identity == identity, TABLE.c.target == target, TABLE.c.revoked_at.is_(None))
            .where(TABLE.c.expires_at > to_text(now), TABLE.c.used < TABLE.c.uses)
            .order_by(TABLE.c.created_at.desc())
        )
        return await self._database.read(lambda connection: [_grant(row) for row in connection.execute(query).mappings()])

    async def use(self, grant_id: str, now: datetime, events: Callable[[Grant], Sequence[AuditEvent]]) -> Grant | None:
        """Use it up by one, with the records of that; None where it cannot be used any more."""

        def job(transaction: Transaction) -> Grant | None:
            grant = _find(transaction.connection, grant_id)
            if not grant.is_live(now):
                return None
            after = replace(grant, used=grant.used + 1)
            transaction.connection.execute(update(TABLE).where(TABLE.c.id == grant.id).values(used=after.used))
            transaction.append(list(events(after)))
            return after

        return await self._database.write(job)

    async def revoke(self, grant_id: str, by: str, now: datetime, event: AuditEvent) -> Grant:
        """End it. Raises ``ReviewConflict`` where somebody else did."""

        def job(transaction: Transaction) -> Grant:
            grant = _find(transaction.connection, grant_id)
            if grant.revoked_at is not None:
                raise ReviewConflict(f"grant {grant.id} was revoked before")
            values = {"revoked_at": to_text(now), "revoked_by": by}
            transaction.connection.execute(update(TABLE).where(TABLE.c.id == grant.id).values(**values))
            transaction.append([event])
            return replace(grant, revoked_at=now, revoked_by=by)

        return await self._database.write(job)

    async def get(self, id_or_prefix: str) -> Grant:
        """By id or unique prefix, with or without its ``gr-``. Raises ``ReviewNotFound``."""
        return await self._database.read(lambda connection: _find(connection, id_or_prefix))

    async def all(self) -> list[Grant]:
        """Newest first."""
        query = select(TABLE).order_by(TABLE.c.created_at.desc()).limit(1000)
        return await self._database.read(lambda connection: [_grant(row) for row in connection.execute(query).mappings()])


def _find(connection: Connection, id_or_prefix: str) -> Grant:
    wanted = id_or_prefix if id_or_prefix.startswith("gr-") else f"gr-{id_or_prefix}"
    query = select(TABLE).where(TABLE.c.id >= wanted, TABLE.c.id < wanted + LAST).order_by(TABLE.c.id).limit(2)
    found = [_grant(row) for row in connection.execute(query).mappings()]
    exact = [grant for grant in found if grant.id == wanted]
    if len(exact or found) == 1 and len(wanted) > len("gr-"):
        return (exact or found)[0]
    raise ReviewNotFound(f"several grants begin with {id_or_prefix}" if found else f"there is no grant {id_or_prefix}")


TIMES = ("created_at", "expires_at")


def _row(grant: Grant) -> dict[str, Any]:
    row = {name: getattr(grant, name) for name in TABLE.columns.keys()}
    texts = {"shape": json.dumps(shape_json(grant.shape)), "ranges": json.dumps(ranges_json(grant))}
    return (
        row | texts | {name: to_text(row[name]) for name in TIMES} | {"revoked_at": grant.revoked_at and to_text(grant.revoked_at)}
    )


def _grant(row: Any) -> Grant:
    fields = dict(row) | {
        "shape": shape_from(json.loads(row["shape"])),
        "ranges": tuple(range_from(stored) for stored in json.loads(row["ranges"])),
        "revoked_at": from_text(row["revoked_at"]) if row["revoked_at"] else None,
    }
    return Grant(**fields | {name: from_text(row[name]) for name in TIMES})
