"""API keys: made, listed, revoked, and proved by SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

from countersign.identity.contract import KeyStore, StoredKey
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.model.clock import Clock, to_text

SCRAM_ITERATIONS = 4096
"""Keys hold 256 random bits, so iterations add nothing; 4096 is the least that RFC 7677 allows."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


TOKEN_USER = "token"
"""The user name with which a client says that its password is a token, which says who it is."""


class KeyProblem(Exception):
    """A key that cannot be made, found or revoked. The text is for the caller."""


class Keys:
    """Makes, lists, revokes and looks up keys."""

    def __init__(self, store: KeyStore, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        # Unknown names answer with a salt as steady as a known one's, so that nobody learns which names exist.
        self._mock_salt_key = secrets.token_bytes(32)

    async def create(self, name: str, groups: Sequence[str], *, days: float, by: Identity) -> tuple[StoredKey, str]:
        """Make a key for a service account and return it with its secret, which is kept nowhere.

        An account's second key keeps the groups of the first unless groups are given. Raises ``KeyProblem``.
        """
        for word in (name, *groups):
            if not NAME.fullmatch(word):
                raise KeyProblem(f"{word!r} is no name: lower-case letters, digits, '.', '_' and '-', 63 at most")
        if not 0 < days <= 3660:
            raise KeyProblem("a key lives more than 0 and at most 3660 days")
        if name == TOKEN_USER:
            raise KeyProblem(f"{name!r} is the user name of those who show a token")
        known = await self._store.identity(name)
        salt = known[1] if known else secrets.token_bytes(16)
        kept = known[0].groups if known and not groups else tuple(groups)
        identity = Identity(name, IdentityKind.SERVICE_ACCOUNT, tuple(sorted(set(kept))), authentication="api_key")
        secret = "cs_" + secrets.token_urlsafe(32)
        stored_key, server_key = verifier(secret, salt)
        now = self._clock()
        key = StoredKey(
            id=self._new_id("key"),
            identity=identity,
            secret_hash=hashlib.sha256(secret.encode()).hexdigest(),
            scram_salt=salt,
            stored_key=stored_key,
            server_key=server_key,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
        await self._store.insert(key, self._event("key.created", key, by))
        return key, secret

    async def rotate(self, name: str, *, days: float, overlap: timedelta, by: Identity) -> tuple[StoredKey, str]:
        """Make another key for an account, whose other keys expire when ``overlap`` is over, if not before. Raises ``KeyProblem``."""
        older = [key for key in await self._store.of_identity(name) if key.is_live(self._clock())]
        if not older:
            raise KeyProblem(f"{name!r} has no key that could be exchanged")
        if overlap < timedelta():
            raise KeyProblem("an overlap is not negative")
        made, secret = await self.create(name, (), days=days, by=by)
        until = self._clock() + overlap
        body: dict[str, object] = {
            "identity": name,
            "key_id": made.id,
            "older": [key.id for key in older],
            "until": to_text(until),
            "by": by.name,
            "authentication": by.authentication,
        }
        await self._store.shorten([key.id for key in older], until, AuditEvent("key.rotated", body))
        return made, secret

    async def refused(self, ids: Sequence[str]) -> dict[str, str]:
        """Those of these keys that count no more, and why."""
        found = {key.id: self.refusal(key) for key in await self._store.some(ids)}
        return {key_id: found.get(key_id, f"key {key_id} is gone") for key_id in ids if found.get(key_id, "gone")}

    async def revoke(self, id_or_prefix: str, *, by: Identity) -> StoredKey:
        """Revoke one key. Raises ``KeyProblem``."""
        found = [
            key for key in await self._store.all() if key.id.removeprefix("key-").startswith(id_or_prefix.removeprefix("key-"))
        ]
        if len(found) != 1 or not id_or_prefix.removeprefix("key-"):
            raise KeyProblem(f"several keys begin with {id_or_prefix}" if found else f"there is no key {id_or_prefix}")
        if found[0].revoked_at is None:
            await self._store.revoke(found[0].id, self._clock(), self._event("key.revoked", found[0], by))
        return found[0]

    async def all(self) -> list[StoredKey]:
        """Every key, newest first."""
        return await self._store.all()

    async def account(self, name: str) -> Identity | None:
        """The service account of this name, as its keys were made for it."""
        known = await self._store.identity(name)
        return known[0] if known else None

    async def candidates(self, name: str) -> tuple[bytes, list[StoredKey]]:
        """The salt to answer with, and the keys that may prove the name: live or not, for the message to differ later."""
        found = await self._store.of_identity(name)
        if found:
            return found[0].scram_salt, found
        return hmac.digest(self._mock_salt_key, name.encode(), "sha256")[:16], []

    def used(self, key: StoredKey) -> None:
        """Note that a key was used."""
        self._store.touch(key.id, self._clock())

    def refusal(self, key: StoredKey) -> str:
        """Why a proved key does not count; empty where it does."""
        if key.revoked_at is not None:
            return f"key {key.id} was revoked on {key.revoked_at:%Y-%m-%d}"
        if not key.is_live(self._clock()):
            return f"key {key.id} expired on {key.expires_at:%Y-%m-%d}"
        return ""

    def _event(self, kind: str, key: StoredKey, by: Identity) -> AuditEvent:
        return AuditEvent(
            kind,
            {
                "key_id": key.id,
                "identity": key.identity.name,
                "groups": list(key.identity.groups),
                "expires_at": to_text(key.expires_at),
                "by": by.name,
                "authentication": by.authentication,
            },
        )


def verifier(secret: str, salt: bytes) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802, section 3."""
    salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
