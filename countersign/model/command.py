"""One thing asked of a target, and what it can do."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

SHOWN_CHARACTERS = 1 << 20
"""How much of a command's text is kept for people: in the audit log, in recordings, in reviews."""


class Effect(StrEnum):
    """What a command can do to its target.

    ``session`` is harmless session state (transaction control, display settings). ``unknown`` is everything that
    is not fully understood, and no default ever allows it (I3).
    """

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    ADMIN = "admin"
    EXEC = "exec"
    SESSION = "session"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a command, as the inspector reads it.

    ``reads`` and ``writes`` are relations named ``schema.table`` or, where the text names no schema, ``table``.
    ``summary`` says in words what the statement does, for the reviewer. ``reasons`` say why an effect was given.
    Columns are named ``schema.table.column`` or as far as is known; ``table.*`` is every column. ``settings`` are those of the session
    that it changes; ``locks`` are explicit ones, such as ``FOR UPDATE orders``; ``copy`` is where a COPY reads or writes: program, file,
    stdin or stdout; ``triggers`` are the functions that it sets going. ``named`` is the prepared statement or cursor that it makes,
    runs or ends.
    """

    kind: str
    effects: frozenset[Effect]
    summary: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    has_where: bool | None = None
    reasons: tuple[str, ...] = ()
    columns_read: tuple[str, ...] = ()
    columns_written: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    copy: str = ""
    triggers: tuple[str, ...] = ()
    named: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A bound parameter: exact bytes on the wire (``None`` is NULL) and how to show it to a reviewer. ``is_cut``: not all of it is shown."""

    raw: bytes | None
    binary: bool
    type_oid: int
    shown: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command as judged: ``raw`` is exactly what will be forwarded, behind ``ahead``, which went ahead of it; ``text`` is how it reads."""

    protocol: str
    raw: bytes
    text: str
    effects: frozenset[Effect]
    statements: tuple[Statement, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    asks_unmasked: bool = False
    """It asks for the real values of what is masked in its answer: that is for a reviewer to grant, whatever the policy says."""
    ahead: bytes = b""
    _digests: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def shown_text(self) -> str:
        """The text as it is kept for people: cut with a mark where it is very long (I10)."""
        if len(self.text) <= SHOWN_CHARACTERS:
            return self.text
        return cut_mark(self.text[:SHOWN_CHARACTERS], SHOWN_CHARACTERS, len(self.text), "characters")

    @property
    def is_cut(self) -> bool:
        """True where people are not shown all of it."""
        return len(self.text) > SHOWN_CHARACTERS or any(parameter.is_cut for parameter in self.parameters)

    def outline(self) -> "Command":
        """The same without what may make it long, for whoever follows what becomes of it."""
        return replace(self, raw=b"", ahead=b"", text=self.shown_text, parameters=())

    @property
    def is_plain_read(self) -> bool:
        """True where every effect is a read or harmless session state."""
        return bool(self.effects) and self.effects <= {Effect.READ, Effect.SESSION}

    def digest(self, *, session_id: str, identity: str, target: str, database: str) -> str:
        """SHA-256 (hex) over the exact bytes, the parameters and who, where and in which session (I2).

        Every part is length-prefixed, so that no two different commands share an encoding. It is found once: nothing in it can change.
        """
        origin = (session_id, identity, target, database)
        if origin not in self._digests:
            self._digests[origin] = self._digest_from(origin)
        return self._digests[origin]

    def _digest_from(self, origin: tuple[str, ...]) -> str:
        hashed = hashlib.sha256(b"countersign command v1\0")

        def add(part: bytes) -> None:
            hashed.update(struct.pack(">Q", len(part)))
            hashed.update(part)

        for text in (self.protocol, *origin):
            add(text.encode())
        hashed.update(struct.pack(">Q", len(self.ahead) + len(self.raw)))
        hashed.update(self.ahead)  # both are what is forwarded, and count as one
        hashed.update(self.raw)
        for parameter in self.parameters:
            add(struct.pack(">?II?", parameter.binary, parameter.type_oid, 0, parameter.raw is None))
            add(parameter.raw or b"")
        return hashed.hexdigest()


def cut_mark(shown: str, kept: int, whole: int, what: str) -> str:
    """The beginning of a text with the mark that says how much of it is left out."""
    return f"{shown}… (cut here: {kept:,} of {whole:,} {what} are shown)"
