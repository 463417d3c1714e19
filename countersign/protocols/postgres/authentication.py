"""SCRAM-SHA-256, bound to the TLS channel where there is one, and the older ways to prove a password, towards clients and towards
targets. Sans-IO."""

import base64
import hashlib
import hmac
import re
import stringprep
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from countersign.identity.contract import StoredKey
from countersign.identity.keys import SCRAM_ITERATIONS

MECHANISM = "SCRAM-SHA-256"
BOUND_MECHANISM = "SCRAM-SHA-256-PLUS"
BINDING_TYPE = "tls-server-end-point"
CLIENT_FIRST = re.compile(r"((?:[ny]|p=([A-Za-z0-9.-]+)),(?:a=[^,]*)?,)(n=[^,]*,r=([!-+\--~]{8,512}))")
CLIENT_FINAL = re.compile(r"(c=([A-Za-z0-9+/]+=*),r=([!-+\--~]+)),p=([A-Za-z0-9+/]{43}=)")
SERVER_FIRST = re.compile(r"r=([!-+\--~]+),s=([A-Za-z0-9+/]+=*),i=([1-9][0-9]{0,6})(?:,.*)?")
SERVER_FINAL = re.compile(r"v=([A-Za-z0-9+/]{43}=)(?:,.*)?")
LIMIT_BYTES = 4096
"""No honest SCRAM message comes near this (CVE-2026-6664 was an overflow by a long one)."""


class AuthenticationFailed(Exception):
    """The proof does not hold. The text may be shown to the peer: it never says whether the name or the secret was wrong. ``code``
    is for the audit log (docs/audit-log.md)."""

    def __init__(self, text: str, code: str = "malformed") -> None:
        super().__init__(text)
        self.code = code


def server_end_point(certificate: bytes) -> bytes | None:
    """What binds a proof to the TLS connection of the server with this certificate (DER; RFC 5929, section 4.1): its digest by the
    algorithm that it is signed with, but SHA-256 for MD5 and SHA-1. None where the signature has no digest of its own (Ed25519)."""
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    return hashlib.new("sha256" if algorithm.name in ("md5", "sha1") else algorithm.name, certificate).digest()


class ScramProof:
    """The server's side of one exchange (RFC 5802, section 3), open to any of an identity's keys: they share a salt, so that one
    challenge serves all. ``binding`` is the connection's ``server_end_point``; with one, the bound mechanism is offered too. (A library's
    server side cannot be used: libpq sends an empty user name, which the RFC's grammar does not have.)
    """

    def __init__(self, salt: bytes, candidates: Sequence[StoredKey], nonce: str, binding: bytes | None = None) -> None:
        self._salt = base64.b64encode(salt).decode()
        self._candidates = candidates
        self._nonce = nonce
        self._binding = binding
        self._bound = ""
        self._first = ""

    @property
    def mechanisms(self) -> list[str]:
        """What is offered, the better first."""
        return [MECHANISM] if self._binding is None else [BOUND_MECHANISM, MECHANISM]

    def challenge(self, mechanism: str, client_first: bytes) -> bytes:
        """Answer the client's first message. Raises ``AuthenticationFailed``."""
        matched = CLIENT_FIRST.fullmatch(_checked(client_first))
        if not matched or mechanism not in self.mechanisms:
            raise AuthenticationFailed("malformed SCRAM message")
        header, binding_type, bare, client_nonce = matched.groups()
        self._bound = base64.b64encode(header.encode() + self._bound_to(mechanism, header, binding_type)).decode()
        self._nonce = client_nonce + self._nonce
        challenge = f"r={self._nonce},s={self._salt},i={SCRAM_ITERATIONS}"
        self._first = f"{bare},{challenge}"
        return challenge.encode()

    def _bound_to(self, mechanism: str, header: str, binding_type: str | None) -> bytes:
        if mechanism == BOUND_MECHANISM:
            if binding_type != BINDING_TYPE or self._binding is None:
                raise AuthenticationFailed(f"the only channel binding is {BINDING_TYPE}", "channel_binding")
            return self._binding
        if binding_type is not None:
            raise AuthenticationFailed("malformed SCRAM message")
        if header.startswith("y") and self._binding is not None:  # RFC 5802, section 6: somebody between took the offer away
            raise AuthenticationFailed(
                "the client did not see that channel binding is offered: somebody may be in between", "channel_binding"
            )
        return b""

    def verify(self, client_final: bytes) -> tuple[StoredKey, bytes]:
        """The key that was proved and the server's last message. Raises ``AuthenticationFailed``."""
        matched = CLIENT_FINAL.fullmatch(_checked(client_final))
        if not matched or not self._first or matched[3] != self._nonce:
            raise AuthenticationFailed("malformed SCRAM message")
        if not hmac.compare_digest(matched[2], self._bound):
            raise AuthenticationFailed("the proof is bound to another connection: somebody may be in between", "channel_binding")
        message = f"{self._first},{matched[1]}".encode()
        proof = base64.b64decode(matched[4])
        proved = [key for key in self._candidates if _proves(key, message, proof)]
        if not proved:
            raise AuthenticationFailed("the name or the key is wrong", "wrong_secret")
        signature = hmac.digest(proved[0].server_key, message, "sha256")
        return proved[0], b"v=" + base64.b64encode(signature)


def _proves(key: StoredKey, message: bytes, proof: bytes) -> bool:
    """ClientProof XOR ClientSignature is the ClientKey, whose hash is the StoredKey."""
    signature = hmac.digest(key.stored_key, message, "sha256")
    client_key = _xor(proof, signature)
    return len(proof) == len(signature) and hmac.compare_digest(hashlib.sha256(client_key).digest(), key.stored_key)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def _checked(data: bytes) -> str:
    if len(data) > LIMIT_BYTES:
        raise AuthenticationFailed("SCRAM message too long")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise AuthenticationFailed("malformed SCRAM message") from error


@dataclass(frozen=True, slots=True, repr=False)
class ScramKeys:
    """What proves a password with one salt and number of rounds, without the rounds (RFC 5802, section 3)."""

    client_key: bytes
    server_key: bytes


class KnownKeys:
    """Keys that were derived before, in memory only (I6): a target answers with the same salt each time, and its thousands of rounds are
    most of what a new session costs."""

    LIMIT = 64

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, bytes, int], ScramKeys] = OrderedDict()

    def get(self, password: str, salt: bytes, rounds: int) -> ScramKeys | None:
        """The keys, if they were kept."""
        return self._kept.get((password, salt, rounds))

    def keep(self, password: str, salt: bytes, rounds: int, keys: ScramKeys) -> None:
        """Keep keys that a target accepted; the oldest give way."""
        self._kept[password, salt, rounds] = keys
        if len(self._kept) > self.LIMIT:
            self._kept.popitem(last=False)


class TargetScram:
    """The client's side of one exchange, towards a target that offers these mechanisms. Raises ``AuthenticationFailed`` where the target
    misbehaves.

    ``channel_binding`` is as libpq's: ``prefer`` binds where the target offers it, ``require`` insists, ``disable`` does not.
    ``certificate`` is the one that the target showed in TLS (DER), None without TLS.
    """

    def __init__(
        self,
        password: str,
        mechanisms: Sequence[str],
        nonce: str,
        *,
        channel_binding: str = "prefer",
        certificate: bytes | None = None,
        known: KnownKeys | None = None,
    ) -> None:
        self._password = password
        self._nonce = nonce
        self._known = known or KnownKeys()
        self._salt = b""
        self._rounds = 0
        self._challenge = ""
        self._message = b""
        self._keys: ScramKeys | None = None
        self.proved = False
        """True once the target has shown that it knows the password too."""
        self.mechanism = MECHANISM
        binding = b""
        may_bind = certificate is not None and channel_binding != "disable"
        if certificate is not None and may_bind and BOUND_MECHANISM in mechanisms:
            self.mechanism = BOUND_MECHANISM
            binding = _binding_of(certificate)
        elif channel_binding == "require":
            raise AuthenticationFailed("the target offers no channel binding, which its settings demand")
        elif MECHANISM not in mechanisms:
            raise AuthenticationFailed(f"the target offers no {MECHANISM}")
        # RFC 5802, section 6: "y" lets a target that did offer binding see that its offer was taken away.
        flag = f"p={BINDING_TYPE}" if binding else "y" if may_bind else "n"
        self._header = f"{flag},,".encode()
        self._bound = base64.b64encode(self._header + binding).decode()

    def first(self) -> bytes:
        """The first message. It leaves the name empty, for PostgreSQL goes by the start-up message's."""
        return self._header + f"n=,r={self._nonce}".encode()

    def challenged(self, server_first: bytes) -> None:
        """Take the target's challenge."""
        matched = SERVER_FIRST.fullmatch(_checked(server_first))
        if not matched or not matched[1].startswith(self._nonce) or len(matched[1]) == len(self._nonce) or self._challenge:
            raise AuthenticationFailed("the target's SCRAM challenge is malformed")
        try:
            self._salt = base64.b64decode(matched[2], validate=True)
        except ValueError as error:
            raise AuthenticationFailed("the target's SCRAM challenge is malformed") from error
        self._rounds = int(matched[3])
        self._challenge = matched[0]
        self._keys = self._known.get(self._password, self._salt, self._rounds)

    @property
    def is_known(self) -> bool:
        """True where ``final`` answers at once; otherwise it takes milliseconds, or seconds if the target wants many rounds."""
        return self._keys is not None

    def final(self) -> bytes:
        """The answer to the challenge."""
        if not self._challenge:
            raise AuthenticationFailed("the target's SCRAM challenge is missing")
        if self._keys is None:
            self._keys = derive(self._password, self._salt, self._rounds)
        nonce = self._challenge[2:].partition(",")[0]
        without_proof = f"c={self._bound},r={nonce}"
        self._message = f"n=,r={self._nonce},{self._challenge},{without_proof}".encode()
        stored_key = hashlib.sha256(self._keys.client_key).digest()
        proof = _xor(self._keys.client_key, hmac.digest(stored_key, self._message, "sha256"))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final: bytes) -> None:
        """The target must prove that it knows the password too."""
        matched = SERVER_FINAL.fullmatch(_checked(server_final))
        if not matched or self._keys is None or not self._message:
            raise AuthenticationFailed("the target did not prove that it knows the password")
        signature = base64.b64encode(hmac.digest(self._keys.server_key, self._message, "sha256")).decode()
        if not hmac.compare_digest(matched[1], signature):
            raise AuthenticationFailed("the target did not prove that it knows the password")
        self._known.keep(self._password, self._salt, self._rounds, self._keys)
        self.proved = True


def _binding_of(certificate: bytes) -> bytes:
    binding = server_end_point(certificate)
    if binding is None:
        raise AuthenticationFailed("the target's certificate has no digest to bind to; channel_binding: disable goes without")
    return binding


def derive(password: str, salt: bytes, rounds: int) -> ScramKeys:
    """The keys of a password: slow on purpose."""
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, rounds)
    return ScramKeys(hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(salted, b"Server Key", "sha256"))


_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password: str) -> str:
    """A password as PostgreSQL hashes it: by SASLprep (RFC 4013), or as it is where that forbids it."""
    if password.isascii():
        return password
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    prohibited = not normal or any(forbids(c) for c in normal for forbids in _PROHIBITED)
    return password if prohibited or not _reads_one_way(normal) else normal


def _reads_one_way(text: str) -> bool:
    """RFC 3454, section 6: with any right-to-left letter, the first and the last must be ones and none may run left to right."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(stringprep.in_table_d2(c) for c in text)


def md5_password(user: str, password: str, salt: bytes) -> bytes:
    """The answer to AuthenticationMD5Password."""
    inner = hashlib.md5((password + user).encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode() + b"\0"
