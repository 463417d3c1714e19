"""What key handling asks of a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from countersign.model import AuditEvent, Identity


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as kept: nothing here gives the key back. ``scram_salt`` is one for all keys of an identity."""

    id: str
    identity: Identity
    secret_hash: str
    scram_salt: bytes
    stored_key: bytes
    server_key: bytes
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """True where it is neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


class KeyStore(Protocol):
    """Keeps identities and their keys. Raises ``AuditUnavailable`` where the store fails."""

    async def identity(self, name: str) -> tuple[Identity, bytes] | None:
        """A service account and its SCRAM salt."""

    async def insert(self, key: StoredKey, event: AuditEvent) -> None:
        """Keep a key, and its identity as given there."""

    async def of_identity(self, name: str) -> list[StoredKey]:
        """Every key of an identity, newest first."""

    async def some(self, ids: Sequence[str]) -> list[StoredKey]:
        """Those of these keys that there are."""

    async def all(self) -> list[StoredKey]:
        """Every key, newest first."""

    async def revoke(self, key_id: str, now: datetime, event: AuditEvent) -> None:
        """Revoke a key by its id."""

    async def shorten(self, ids: Sequence[str], until: datetime, event: AuditEvent) -> None:
        """Have keys expire then."""

    def touch(self, key_id: str, now: datetime) -> None:
        """Note that a key was used, soon."""
