"""The commands of a replication session (manual, "Streaming Replication Protocol"), and its messages. Pure."""

import re
import struct
from dataclasses import replace

from countersign.model import Command, Effect, Statement
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.reading import PROTOCOL, query_command

SESSION = "START REPLICATION SESSION"
MESSAGE_LIMIT_BYTES = 1 << 30
_EVERYTHING = "reads everything that the whole server holds"
KEYWORDS: dict[str, tuple[frozenset[Effect], str]] = {
    "IDENTIFY_SYSTEM": (frozenset({Effect.ADMIN}), "asks which server this is and how far it has written"),
    "SHOW": (frozenset({Effect.ADMIN}), "asks for a setting"),
    "TIMELINE_HISTORY": (frozenset({Effect.ADMIN}), "reads the history of a timeline"),
    "READ_REPLICATION_SLOT": (frozenset({Effect.ADMIN}), "asks how far a replication slot is"),
    "CREATE_REPLICATION_SLOT": (frozenset({Effect.ADMIN}), "makes a replication slot, for which the server keeps its log"),
    "ALTER_REPLICATION_SLOT": (frozenset({Effect.ADMIN}), "changes a replication slot"),
    "DROP_REPLICATION_SLOT": (frozenset({Effect.ADMIN}), "removes a replication slot"),
    "START_REPLICATION": (frozenset({Effect.ADMIN, Effect.READ}), f"{_EVERYTHING}, as it is written"),
    "BASE_BACKUP": (frozenset({Effect.ADMIN, Effect.READ}), f"{_EVERYTHING}: a copy of all its files"),
    "UPLOAD_MANIFEST": (frozenset({Effect.ADMIN}), "names the backup that the next one builds on"),
}
"""What a Query may begin with and not be SQL. None of it is ever a plain read."""
_FIRST_WORD = re.compile(rb"[ \t\n\r\f\v]*([A-Za-z_]+)")


def session_command(user: str, replication: str) -> Command:
    """The start-up of a replication session as a command of its own."""
    raw = f"replication={replication}\0user={user}\0".encode()
    what = "the log of every database" if replication == "true" else "the changes of one database"
    summary = f"opens a replication session, which can read {what} and copy all files"
    return _command(raw, f"{SESSION} (replication={replication})", SESSION, frozenset({Effect.ADMIN, Effect.READ}), summary)


def replication_command(raw: bytes, sql: bytes, grammar_agrees: bool) -> Command:
    """A Query of a replication session: by its first word a replication command, or else SQL, which ``replication=database`` allows.

    No rule that allows mere reads is meant for such a session, so whatever it is, it is ``admin`` too.
    """
    matched = _FIRST_WORD.match(sql)
    word = matched[1].decode().upper() if matched else ""
    if word not in KEYWORDS:
        command = query_command(raw, sql, grammar_agrees)
        return replace(command, effects=command.effects | {Effect.ADMIN})
    effects, summary = KEYWORDS[word]
    return _command(raw, sql.decode("utf-8", "backslashreplace"), word, effects, summary)


def _command(raw: bytes, text: str, kind: str, effects: frozenset[Effect], summary: str) -> Command:
    statement = Statement(kind, effects, summary, reasons=("it belongs to replication",))
    return Command(PROTOCOL, raw, text, effects, (statement,))


class Messages:
    """Cuts what a server sends into whole messages, whatever their type."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """The messages that are complete now. Raises ``ProtocolViolation``."""
        self._buffer += data
        found, start = [], 0
        while len(self._buffer) - start >= 5:
            (length,) = struct.unpack_from(">I", self._buffer, start + 1)
            if not 4 <= length < MESSAGE_LIMIT_BYTES:
                raise ProtocolViolation("a message of impossible length from the target")
            end = start + 1 + length
            if len(self._buffer) < end:
                break
            found.append((chr(self._buffer[start]), bytes(self._buffer[start:end])))
            start = end
        del self._buffer[:start]
        return found
