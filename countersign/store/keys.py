"""Service accounts and their keys in the store."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from countersign.identity.contract import StoredKey
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.model.clock import from_text, to_text
from countersign.store import schema
from countersign.store.database import Database, StoreError, Transaction

IDS_AT_ONCE = 500


class StoredKeys:
    """Implements ``identity.KeyStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def identity(self, name: str) -> tuple[Identity, bytes] | None:
        """A service account and its SCRAM salt."""
        query = select(schema.identities).where(schema.identities.c.name == name)

        def find(connection: Connection) -> tuple[Identity, bytes] | None:
            row = connection.execute(query).mappings().first()
            return (_identity(row), bytes.fromhex(row["scram_salt"])) if row else None

        return await self._database.read(find)

    async def insert(self, key: StoredKey, event: AuditEvent) -> None:
        """Keep a key, its identity and the record of both."""
        account = {
            "name": key.identity.name,
            "kind": key.identity.kind.value,
            "groups": json.dumps(key.identity.groups),
            "scram_salt": key.scram_salt.hex(),
            "created_at": to_text(key.created_at),
        }
        row = {
            "id": key.id,
            "identity": key.identity.name,
            "secret_hash": key.secret_hash,
            "stored_key": key.stored_key.hex(),
            "server_key": key.server_key.hex(),
            "created_at": to_text(key.created_at),
            "expires_at": to_text(key.expires_at),
        }
        accounts = schema.identities
        regroup = update(accounts).where(accounts.c.name == account["name"]).values(groups=account["groups"])

        def job(transaction: Transaction) -> None:
            if not transaction.connection.execute(regroup).rowcount:
                transaction.connection.execute(accounts.insert().values(account))
            transaction.connection.execute(schema.keys.insert().values(row))
            transaction.append([event])

        await self._database.write(job)

    async def of_identity(self, name: str) -> list[StoredKey]:
        """Every key of an identity, newest first."""
        return await self._select(schema.keys.c.identity == name)

    async def some(self, ids: Sequence[str]) -> list[StoredKey]:
        """See ``KeyStore``."""
        return [
            key
            for start in range(0, len(ids), IDS_AT_ONCE)
            for key in await self._select(schema.keys.c.id.in_(ids[start : start + IDS_AT_ONCE]))
        ]

    async def all(self) -> list[StoredKey]:
        """Every key, newest first."""
        return await self._select(schema.keys.c.id.is_not(None))

    async def revoke(self, key_id: str, now: datetime, event: AuditEvent) -> None:
        """Revoke a key by its id."""

        def job(transaction: Transaction) -> None:
            query = update(schema.keys).where(schema.keys.c.id == key_id)
            transaction.connection.execute(query.values(revoked_at=to_text(now)))
            transaction.append([event])

        await self._database.write(job)

    async def shorten(self, ids: Sequence[str], until: datetime, event: AuditEvent) -> None:
        """See ``KeyStore``."""

        def job(transaction: Transaction) -> None:
            query = update(schema.keys).where(schema.keys.c.id.in_(ids), schema.keys.c.expires_at > to_text(until))
            transaction.connection.execute(query.values(expires_at=to_text(until)))
            transaction.append([event])

        await self._database.write(job)

    def touch(self, key_id: str, now: datetime) -> None:
        """Note that a key was used, soon; a store that is down has nothing to lose here."""
        query = update(schema.keys).where(schema.keys.c.id == key_id).values(last_used_at=to_text(now))
        try:
            self._database.hand_over(lambda transaction: transaction.connection.execute(query) and None)
        except StoreError:
            return

    async def _select(self, condition: Any) -> list[StoredKey]:
        joined = schema.keys.join(schema.identities, schema.keys.c.identity == schema.identities.c.name)
        query = (
            select(
                schema.keys,
                schema.identities.c.name,
                schema.identities.c.kind,
                schema.identities.c.groups,
                schema.identities.c.scram_salt,
            )
            .select_from(joined)
            .where(condition)
            .order_by(schema.keys.c.created_at.desc())
        )

        def find(connection: Connection) -> list[StoredKey]:
            return [_key(row) for row in connection.execute(query).mappings()]

        return await self._database.read(find)


def _identity(row: Any) -> Identity:
    return Identity(row["name"], IdentityKind(row["kind"]), tuple(json.loads(row["groups"])), authentication="api_key")


def _key(row: Any) -> StoredKey:
    def moment(name: str) -> datetime | None:
        return from_text(row[name]) if row[name] else None

    return StoredKey(
        id=row["id"],
        identity=_identity(row),
        secret_hash=row["secret_hash"],
        scram_salt=bytes.fromhex(row["scram_salt"]),
        stored_key=bytes.fromhex(row["stored_key"]),
        server_key=bytes.fromhex(row["server_key"]),
        created_at=from_text(row["created_at"]),
        expires_at=from_text(row["expires_at"]),
        revoked_at=moment("revoked_at"),
        last_used_at=moment("last_used_at"),
    )
