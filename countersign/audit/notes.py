"""Signed notes (C2SP signed-note v1.0.0) with Ed25519 keys. Pure.

A key is one line of text, as Go's ``sumdb/note`` writes it: ``name+id+base64`` for whoever verifies, ``PRIVATE+KEY+name+id+base64`` for
whoever signs. The base64 holds the algorithm's byte and the key.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
PRIVATE = "PRIVATE+KEY+"
DASH = "\N{EM DASH}"
SIGNATURES_LIMIT = 64
"""More lines of signatures than this are refused."""


class NoteError(ValueError):
    """A note, key or proof that cannot be believed; the text says why."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """What checks a log's signatures. ``name`` is the log's origin."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises ``NoteError``."""
        name, key = _parse_key(text.strip())
        found = cls(name, key)
        if text.strip() != str(found):
            raise NoteError("the key's id does not belong to it")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(ED25519 + self.public)}"

    @property
    def id(self) -> bytes:
        """Four bytes that, with the name, say which key a signature is of."""
        return _key_id(self.name, self.public)

    def open(self, note: str) -> str:
        """The text of a note that this key has signed. Raises ``NoteError`` where it has not."""
        text, signatures = split_note(note)
        signed = [signature for name, key_id, signature in signatures if (name, key_id) == (self.name, self.id)]
        if not signed:
            raise NoteError(f"it is not signed by {self.name} with the key {self.id.hex()}")
        for signature in signed:
            try:
                Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
            except InvalidSignature as error:
                raise NoteError(f"the signature of {self.name} is not good") from error
        return text


@dataclass(frozen=True, slots=True)
class LogKey:
    """What signs for a log (I6: its text stands in one file and nowhere else)."""

    name: str
    _seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> "LogKey":
        """A new key."""
        return cls(_checked_name(name), Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "LogKey":
        """Raises ``NoteError``, which quotes nothing of the text."""
        if not text.startswith(PRIVATE):
            raise NoteError("it is no signing key")
        name, seed = _parse_key(text.strip().removeprefix(PRIVATE))
        found = cls(name, seed)
        if found.text() != text.strip():
            raise NoteError("the key's id does not belong to it")
        return found

    def text(self) -> str:
        """The secret, in one line."""
        return f"{PRIVATE}{self.name}+{self.verifier.id.hex()}+{_base64(ED25519 + self._seed)}"

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        return VerifierKey(self.name, Ed25519PrivateKey.from_private_bytes(self._seed).public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note of a text that ends in a newline."""
        return f"{text}\n{self._signature(text)}"

    def cosign(self, note: str) -> str:
        """The note with this key's signature behind the others. Raises ``NoteError`` where it is none."""
        return note + self._signature(split_note(note)[0])

    def _signature(self, text: str) -> str:
        signature = Ed25519PrivateKey.from_private_bytes(self._seed).sign(text.encode())
        return f"{DASH} {self.name} {_base64(self.verifier.id + signature)}\n"


def split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """A note's text, which nothing vouches for yet, and its signatures: name, key id, bytes. Raises ``NoteError``."""
    if any(character < " " and character != "\n" for character in note):
        raise NoteError("it holds control characters")
    text, blank, block = note.rpartition("\n\n")
    lines = block.split("\n")
    if not blank or lines.pop() or not lines:
        raise NoteError("it is no signed note")
    if len(lines) > SIGNATURES_LIMIT:
        raise NoteError("it has too many signatures")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != DASH:
        raise NoteError("a line of it is no signature")
    raw = unbase64(parts[2])
    if len(raw) < 5:
        raise NoteError("a signature of it is too short")
    return _checked_name(parts[1]), raw[:4], raw[4:]


def _parse_key(text: str) -> tuple[str, bytes]:
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    raw = unbase64(encoded)
    if len(raw) != 33 or raw[:1] != ED25519:
        raise NoteError("it is no Ed25519 key of a log")
    return _checked_name(name), raw[1:]


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def _checked_name(name: str) -> str:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise NoteError("a log's name is a text without spaces and plus signs")
    return name


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def unbase64(text: str) -> bytes:
    """RFC 4648, section 4, in its one canonical form. Raises ``NoteError``."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("it holds what is not base64") from error
    if _base64(raw) != text:
        raise NoteError("it holds base64 that is not in its canonical form")
    return raw
