"""SCRAM-SHA-256 and the older ways to prove a password, towards clients and towards targets. Sans-IO."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Any

from scramp import ScramClient, ScramException

from countersign.identity.contract import StoredKey
from countersign.identity.keys import SCRAM_ITERATIONS

MECHANISM = "SCRAM-SHA-256"
CLIENT_FIRST = re.compile(r"([ny],(?:a=[^,]*)?,)(n=[^,]*,r=([!-+\--~]{8,512}))")
CLIENT_FINAL = re.compile(r"(c=([A-Za-z0-9+/]+=*),r=([!-+\--~]+)),p=([A-Za-z0-9+/]{43}=)")
LIMIT_BYTES = 4096
"""No honest SCRAM message comes near this (CVE-2026-6664 was an overflow by a long one)."""


class AuthenticationFailed(Exception):
    """The proof does not hold. The text may be shown to the peer: it never says whether the name or the secret was wrong."""


class ScramProof:
    """The server's side of one exchange (RFC 5802, section 3), open to any of an identity's keys: they share a salt, so that one
    challenge serves all. Channel binding is not offered. (A library's server side cannot be used: libpq sends an empty user name,
    which the RFC's grammar does not have.)
    """

    def __init__(self, salt: bytes, candidates: Sequence[StoredKey], nonce: str) -> None:
        self._salt = base64.b64encode(salt).decode()
        self._candidates = candidates
        self._nonce = nonce
        self._header = ""
        self._first = ""

    def challenge(self, client_first: bytes) -> bytes:
        """Answer the client's first message. Raises ``AuthenticationFailed``."""
        matched = CLIENT_FIRST.fullmatch(_checked(client_first))
        if not matched:
            raise AuthenticationFailed("malformed SCRAM message")
        self._header, bare, client_nonce = matched.groups()
        self._nonce = client_nonce + self._nonce
        challenge = f"r={self._nonce},s={self._salt},i={SCRAM_ITERATIONS}"
        self._first = f"{bare},{challenge}"
        return challenge.encode()

    def verify(self, client_final: bytes) -> tuple[StoredKey, bytes]:
        """The key that was proved and the server's last message. Raises ``AuthenticationFailed``."""
        matched = CLIENT_FINAL.fullmatch(_checked(client_final))
        binding = base64.b64encode(self._header.encode()).decode()
        if not matched or not self._first or matched[2] != binding or matched[3] != self._nonce:
            raise AuthenticationFailed("malformed SCRAM message")
        message = f"{self._first},{matched[1]}".encode()
        proof = base64.b64decode(matched[4])
        proved = [key for key in self._candidates if _proves(key, message, proof)]
        if not proved:
            raise AuthenticationFailed("the name or the key is wrong")
        signature = hmac.digest(proved[0].server_key, message, "sha256")
        return proved[0], b"v=" + base64.b64encode(signature)


def _proves(key: StoredKey, message: bytes, proof: bytes) -> bool:
    """ClientProof XOR ClientSignature is the ClientKey, whose hash is the StoredKey."""
    signature = hmac.digest(key.stored_key, message, "sha256")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=False))
    return len(proof) == len(signature) and hmac.compare_digest(hashlib.sha256(client_key).digest(), key.stored_key)


def _checked(data: bytes) -> str:
    if len(data) > LIMIT_BYTES:
        raise AuthenticationFailed("SCRAM message too long")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise AuthenticationFailed("malformed SCRAM message") from error


class TargetScram:
    """The client's side of one exchange, towards a target. Raises ``AuthenticationFailed`` where the target misbehaves."""

    def __init__(self, user: str, password: str, mechanisms: Sequence[str]) -> None:
        if MECHANISM not in mechanisms:
            raise AuthenticationFailed(f"the target offers no {MECHANISM}")
        self._client: Any = ScramClient([MECHANISM], user, password)  # type: ignore[no-untyped-call]
        self.proved = False
        """True once the target has shown that it knows the password too."""

    def first(self) -> bytes:
        """The first message."""
        return str(self._client.get_client_first()).encode()

    def final(self, server_first: bytes) -> bytes:
        """The answer to the target's challenge."""
        try:
            self._client.set_server_first(server_first.decode())
            return str(self._client.get_client_final()).encode()
        except (ScramException, ValueError) as error:
            raise AuthenticationFailed("the target's SCRAM challenge is malformed") from error

    def check(self, server_final: bytes) -> None:
        """The target must prove that it knows the password too."""
        try:
            self._client.set_server_final(server_final.decode())
            self.proved = True
        except (ScramException, ValueError) as error:
            raise AuthenticationFailed("the target did not prove that it knows the password") from error


def md5_password(user: str, password: str, salt: bytes) -> bytes:
    """The answer to AuthenticationMD5Password."""
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode() + b"\0"
