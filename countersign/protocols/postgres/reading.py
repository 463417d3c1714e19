"""Turns messages into commands: the inspector's reading, the parameters as a reviewer sees them, and what the session must know. Pure."""

import re
import struct

from countersign.model import Command, Effect, Parameter, Statement
from countersign.protocols.postgres.codec import Prepared
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.inspector import inspect_sql

PROTOCOL = "postgres"
TEXT_TYPES = frozenset({0, 18, 19, 25, 114, 705, 1042, 1043})
INTEGER_FORMATS = {16: ">?", 20: ">q", 21: ">h", 23: ">i", 26: ">I", 700: ">f", 701: ">d"}
ONE_DEALLOCATE = re.compile(r'\s*DEALLOCATE\s+(?:PREPARE\s+)?("(?:[^"]|"")+"|[A-Za-z_]\w*)\s*;?\s*', re.IGNORECASE)


def query_command(raw: bytes, sql: bytes, grammar_agrees: bool) -> Command:
    """The command of a simple Query."""
    return _command(raw, sql, (), grammar_agrees)


def bind_command(prepared: Prepared, raw: bytes, formats: list[int], values: list[bytes | None], grammar_agrees: bool) -> Command:
    """The command of a Bind: the statement as its Parse gave it, with these parameters. Raises ``ProtocolViolation``."""
    if len(formats) > 1 and len(formats) != len(values):
        raise ProtocolViolation("a Bind with another number of parameter formats than parameters")
    parameters = tuple(
        _parameter(value, _format_of(formats, index) == 1, _type_of(prepared, index)) for index, value in enumerate(values)
    )
    return _command(prepared.raw + raw, prepared.sql, parameters, grammar_agrees)


def _command(raw: bytes, sql: bytes, parameters: tuple[Parameter, ...], grammar_agrees: bool) -> Command:
    try:
        text = sql.decode("utf-8")
    except UnicodeDecodeError:
        return _unknown(raw, sql.decode("utf-8", "backslashreplace"), parameters, "the text is not valid UTF-8")
    if not grammar_agrees:
        why = "client_encoding or standard_conforming_strings make the server read text in another way"
        return _unknown(raw, text, parameters, why)
    reading = inspect_sql(text)
    return Command(PROTOCOL, raw, text, reading.effects, reading.statements, parameters, _attributes(reading.statements))


def _attributes(statements: tuple[Statement, ...]) -> dict[str, object]:
    return {"has_where": all(statement.has_where is not False for statement in statements)}


def _unknown(raw: bytes, text: str, parameters: tuple[Parameter, ...], why: str) -> Command:
    effects = frozenset({Effect.UNKNOWN})
    statement = Statement("unparsed", effects, summary="cannot be read", reasons=(why,))
    return Command(PROTOCOL, raw, text, effects, (statement,), parameters, {"has_where": True})


def _format_of(formats: list[int], index: int) -> int:
    """None: all text. One: for all. Else one each (manual, Bind)."""
    if not formats:
        return 0
    return formats[0] if len(formats) == 1 else formats[index]


def _type_of(prepared: Prepared, index: int) -> int:
    return prepared.parameter_types[index] if index < len(prepared.parameter_types) else 0


def _parameter(value: bytes | None, binary: bool, type_oid: int) -> Parameter:
    return Parameter(value, binary, type_oid, "NULL" if value is None else _show(value, binary, type_oid))


def _show(value: bytes, binary: bool, type_oid: int) -> str:
    if binary and type_oid in INTEGER_FORMATS and len(value) == struct.calcsize(INTEGER_FORMATS[type_oid]):
        return str(struct.unpack(INTEGER_FORMATS[type_oid], value)[0])
    if not binary or type_oid in TEXT_TYPES:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return f"\\x{value.hex()} (binary, type {type_oid})"


def returns_copy(command: Command) -> bool:
    """True where a statement may send copy data to the client."""
    return any(statement.kind.startswith("COPY") and not statement.writes for statement in command.statements)


def touches_schema(command: Command) -> bool:
    """True where the target's catalog may be another afterwards."""
    return not command.effects <= {Effect.READ, Effect.SESSION, Effect.WRITE}


def changes_names(command: Command) -> bytes | None:
    """Which prepared statement a command makes unknown: its name, b'' for every one, None for none.

    SQL's PREPARE and DEALLOCATE share their names with the protocol's (manual, "PREPARE").
    """
    kinds = {statement.kind for statement in command.statements}
    if not kinds & {"PREPARE", "DEALLOCATE", "DISCARD", "unparsed", "DO", "CALL"}:
        return None
    matched = ONE_DEALLOCATE.fullmatch(command.text)
    if not matched or matched[1].lower() == "all":
        return b""
    name = matched[1]
    return (name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()).encode()
