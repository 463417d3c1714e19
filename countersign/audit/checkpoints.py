"""Checkpoints (C2SP tlog-checkpoint) and the proofs that go with them. Pure.

A proof that a record is in the log is a file of the form C2SP tlog-proof v1, whose extra data is the record's entry: it needs nothing but
the log's public key. A proof that the log only grew is what a witness is sent (C2SP tlog-witness, ``add-checkpoint``): the older size, the
hashes, the newer checkpoint.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from countersign.audit.merkle import grew, includes, leaf_hash
from countersign.audit.notes import LogKey, NoteError, VerifierKey, split_note, unbase64

PROOF_HEAD = "c2sp.org/tlog-proof@v1"
HASHES_LIMIT = 63
"""RFC 6962 allows no longer proof for a tree of 2^63 leaves."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree's head. ``note`` is the signed text that says so."""

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def sign(cls, key: LogKey, size: int, root: bytes) -> "Checkpoint":
        """Sign a head. The caller has made sure that it is consistent with what was signed before."""
        return cls(key.name, size, root, key.sign(f"{key.name}\n{size}\n{_base64(root)}\n"))

    @classmethod
    def open(cls, note: str, key: VerifierKey | None) -> "Checkpoint":
        """Read a note, and check its signature where a key is given. Raises ``NoteError``."""
        text = key.open(note) if key else split_note(note)[0]
        origin, size, root, *more = text.split("\n")[:-1] if text.count("\n") >= 3 else ("", "", "")
        raw = unbase64(root)
        if not origin or not size.isascii() or not size.isdecimal() or str(int(size)) != size or len(raw) != 32 or "" in more:
            raise NoteError("it is no checkpoint")
        if key and origin != key.name:
            raise NoteError(f"it is of the log {origin}, not of {key.name}")
        return cls(origin, int(size), raw, note)


def notes_in(text: str) -> list[str]:
    """The notes of a file of them, with an empty line between them or behind each; at least one, if only to be refused."""
    return [note.rstrip("\n") + "\n" for note in re.split(r"(?<=\n)\n+(?!\u2014)", text) if note.strip()] or [text]


def inclusion_text(entry: bytes, index: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> str:
    """The file that proves a record."""
    head = [PROOF_HEAD, f"extra {_base64(entry)}", f"index {index}"]
    return "\n".join([*head, *map(_base64, proof), "", checkpoint.note])


def check_inclusion(text: str, key: VerifierKey) -> tuple[bytes, Checkpoint]:
    """The entry that such a file proves, and the checkpoint that it is proved by. Raises ``NoteError``."""
    head, _, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if first != PROOF_HEAD or len(lines) < 2 or not lines[0].startswith("extra ") or not lines[1].startswith("index "):
        raise NoteError("it is no proof of a record")
    entry, index = unbase64(lines[0].removeprefix("extra ")), lines[1].removeprefix("index ")
    checkpoint = Checkpoint.open(note, key)
    if not index.isascii() or not index.isdecimal() or str(int(index)) != index:
        raise NoteError("it is no proof of a record")
    if not includes(leaf_hash(entry), int(index), checkpoint.size, _hashes(lines[2:]), checkpoint.root):
        raise NoteError("the record is not in the log that the checkpoint signs")
    return entry, checkpoint


def consistency_text(old: int, proof: Sequence[bytes], checkpoint: Checkpoint) -> str:
    """The file that proves that the log grew from ``old`` records to the checkpoint's."""
    return "\n".join([f"old {old}", *map(_base64, proof), "", checkpoint.note])


def check_consistency(text: str, held: Checkpoint, key: VerifierKey) -> Checkpoint:
    """The newer checkpoint, where the file proves that its log begins with that of the one held. Raises ``NoteError``."""
    head, _, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    checkpoint = Checkpoint.open(note, key)
    if first != f"old {held.size}":
        raise NoteError(f"it is no proof of what followed record {held.size}")
    if not grew(held.size, held.root, checkpoint.size, checkpoint.root, _hashes(lines)):
        raise NoteError(f"the log of {checkpoint.size} records does not begin with the {held.size} that were signed before")
    return checkpoint


def _hashes(lines: Sequence[str]) -> list[bytes]:
    hashes = [unbase64(line) for line in lines]
    if len(hashes) > HASHES_LIMIT or any(len(one) != 32 for one in hashes):
        raise NoteError("its hashes are not those of a proof")
    return hashes


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
