"""Turns messages into commands: the inspector's reading, the parameters as a reviewer sees them, and what the session must know. Pure."""

import re
import struct
from collections.abc import Callable
from dataclasses import replace

from countersign.model import Command, Effect, Parameter, Statement
from countersign.model.command import SHOWN_CHARACTERS, cut_mark
from countersign.protocols.postgres.codec import Prepared
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.inspector import SCHEMA_STAYS, Finding, Reading, inspect_sql
from countersign.protocols.postgres.inspector.expressions import ANY_SETTING, LOCKED, type_problem
from countersign.protocols.postgres.lineage import ANYTHING, World, lineages
from countersign.protocols.postgres.naming import Use, Verb, uses
from countersign.protocols.postgres.schema import FIRST_USER_OID, Schema

PROTOCOL = "postgres"
TEXT_TYPES = frozenset({0, 18, 19, 25, 114, 705, 1042, 1043})
INTEGER_FORMATS = {16: ">?", 20: ">q", 21: ">h", 23: ">i", 26: ">I", 700: ">f", 701: ">d"}
NAMING = frozenset({Verb.PREPARE, Verb.DEALLOCATE, Verb.DISCARD})

NOT_TEXTS = ("unparsed", "Parse")
"""Kinds of statements whose text does not say what the server does: it cannot be read, or is not run."""

LARGE_OBJECT_CALLS = {
    715: "lo_create",
    764: "lo_import",
    765: "lo_export",
    952: "lo_open",
    953: "lo_close",
    954: "loread",
    955: "lowrite",
    956: "lo_lseek",
    957: "lo_creat",
    958: "lo_tell",
    964: "lo_unlink",
    1004: "lo_truncate",
    3170: "lo_lseek64",
    3171: "lo_tell64",
    3172: "lo_truncate64",
}
"""Built-in functions that client libraries call by OID (``pg_proc.dat``)."""

SHOWN_BYTES = SHOWN_CHARACTERS
LEAST_SHOWN_BYTES = 128
"""How much of the parameters of one command is kept for people, all together, and of each at least."""

PATH_SETTINGS = frozenset({"search_path", "role", "session_authorization", ANY_SETTING})

UNMASK = re.compile(r"/\*\s*countersign:\s*unmask\s*\*/", re.IGNORECASE)
"""A comment by which a command asks for real values. Within a string it does so too: it is a reviewer who is asked."""

Lookup = Callable[[bytes], Prepared | None]
"""What a session knows of a prepared statement by its name."""


def nothing_prepared(_: bytes) -> Prepared | None:
    """The lookup of a session that has prepared nothing."""
    return None


def query_command(
    raw: bytes, sql: bytes, grammar_agrees: bool, lookup: Lookup = nothing_prepared, schema: Schema | None = None
) -> Command:
    """The command of a simple Query. ``schema``: what the target's catalog says, None where nobody asks it."""
    return _asking(_command(raw, sql, (), grammar_agrees, lookup, schema), sql)


def bind_command(
    prepared: Prepared,
    raw: bytes,
    formats: list[int],
    values: list[bytes | None],
    grammar_agrees: bool,
    lookup: Lookup = nothing_prepared,
    schema: Schema | None = None,
) -> Command:
    """The command of a Bind: the statement as its Parse gave it, with these parameters. Raises ``ProtocolViolation``.

    To read a parameter of a type that the Parse declares may run what the type is checked by.
    """
    command = _command(raw, prepared.sql, bound(prepared, formats, values), grammar_agrees, lookup, schema, ahead=prepared.raw)
    command = _asking(command, prepared.sql)
    problems = [why for oid in prepared.parameter_types if (why := _declared_problem(oid, schema))]
    if not problems:
        return command
    (first, *others) = command.statements or (Statement("SELECT", frozenset()),)
    doubtful = replace(first, effects=first.effects | {Effect.UNKNOWN}, reasons=(*first.reasons, *problems))
    return replace(command, effects=command.effects | {Effect.UNKNOWN}, statements=(doubtful, *others))


def _asking(command: Command, sql: bytes) -> Command:
    # What is too long to be read is never held, and so it stays masked.
    if len(sql) > SHOWN_BYTES or not UNMASK.search(sql.decode("utf-8", "replace")):
        return command
    (first, *others) = command.statements or (Statement("SELECT", frozenset()),)
    first = replace(first, summary=f"shows the real values of what is masked: {first.summary}")
    return replace(command, asks_unmasked=True, statements=(first, *others))


def _declared_problem(oid: int, schema: Schema | None) -> str:
    """Why a value of a declared type cannot be made without running what is not understood; empty where it can."""
    if oid < FIRST_USER_OID:
        return ""
    declared = schema.types.get(oid) if schema is not None else None
    if declared is None:
        return f"a parameter is of the type with OID {oid}, which is not known"
    why = type_problem(declared, Finding(schema=schema))
    return f"a parameter is of the type {declared.full_name}: {why}" if why else ""


def bound(prepared: Prepared, formats: list[int], values: list[bytes | None]) -> tuple[Parameter, ...]:
    """The parameters of a Bind as a reviewer sees them. Raises ``ProtocolViolation``."""
    if len(formats) > 1 and len(formats) != len(values):
        raise ProtocolViolation("a Bind with another number of parameter formats than parameters")
    room = _room_of_each(values)
    return tuple(
        _parameter(value, _format_of(formats, index) == 1, _type_of(prepared, index), room) for index, value in enumerate(values)
    )


def _room_of_each(values: list[bytes | None]) -> int:
    """How many bytes of each value are shown: all, or an equal share for each where they are too many together."""
    if sum(len(value) for value in values if value is not None) <= SHOWN_BYTES:
        return SHOWN_BYTES
    return max(SHOWN_BYTES // len(values), LEAST_SHOWN_BYTES)


def call_command(raw: bytes, oid: int, formats: list[int], values: list[bytes | None]) -> Command:
    """The command of a FunctionCall: unknown, for a function can do anything. Raises ``ProtocolViolation``."""
    name = LARGE_OBJECT_CALLS.get(oid, f"the function with OID {oid}")
    parameters = bound(Prepared(b"", [], b""), formats, values)
    effects = frozenset({Effect.UNKNOWN})
    statement = Statement("FunctionCall", effects, f"calls {name} by its OID", functions=(name,), reasons=("it calls by OID",))
    return Command(PROTOCOL, raw, f"FunctionCall: {name}", effects, (statement,), parameters, {"catalog_asked": False})


def analysis_command(raw: bytes, sql: bytes, why: str) -> Command:
    """The command of a Parse whose analysis alone may run code of users'."""
    effects = frozenset({Effect.UNKNOWN})
    statement = Statement(
        "Parse", effects, "analyses a statement, which it does not run yet", reasons=(f"analysis may run a check: {why}",)
    )
    return Command(PROTOCOL, raw, sql.decode("utf-8", "backslashreplace"), effects, (statement,), (), {"catalog_asked": True})


def with_masked(command: Command, sql: bytes, lookup: Lookup, world: World | None) -> Command:
    """The same command, with what it does with masked columns beside showing them: ``probes_masked`` and ``moves_masked``, as policies
    see them. ``world``: what the target's catalog and the mask rules say; None where that cannot be read."""
    if world is None:
        probes, moves = ANYTHING, ANYTHING
    else:
        text = sql.decode("utf-8", "replace")
        executed = [prepared for use in uses(text) if use.verb is Verb.EXECUTE and (prepared := lookup(use.name.encode()))]
        texts = [text, *(prepared.sql.decode("utf-8", "replace") for prepared in executed)]
        found = [lineage for each in texts for lineage in lineages(each, world)]
        probes = frozenset().union(*(lineage.probes for lineage in found))
        moves = frozenset().union(*(lineage.moves for lineage in found))
    told = {"probes_masked": sorted(probes), "moves_masked": sorted(moves)}
    return replace(command, attributes={**command.attributes, **told})


def doubted(command: Command, name: str) -> Command:
    """The same command, unknown because its statement may have been prepared anew by something that was not understood."""
    why = f"the prepared statement {name!r} may be another since a command ran that was not understood"
    return _unknown(command.raw, command.text, command.parameters, why, command.ahead)


def _command(
    raw: bytes,
    sql: bytes,
    parameters: tuple[Parameter, ...],
    grammar_agrees: bool,
    lookup: Lookup,
    schema: Schema | None,
    ahead: bytes = b"",
) -> Command:
    try:
        text = sql.decode("utf-8")
    except UnicodeDecodeError:
        shown = sql.decode("utf-8", "backslashreplace") if len(sql) <= SHOWN_BYTES else sql.decode("latin-1")  # a quarter as long
        return _unknown(raw, shown, parameters, "the text is not valid UTF-8", ahead)
    if not grammar_agrees:
        why = "client_encoding or standard_conforming_strings make the server read text in another way"
        return _unknown(raw, text, parameters, why, ahead)
    reading = inspect_sql(text, schema)
    if any(statement.kind == "EXECUTE" for statement in reading.statements):
        return _resolved(raw, text, parameters, reading, lookup, schema, ahead)
    attributes = _attributes(reading)
    return Command(PROTOCOL, raw, text, reading.effects, reading.statements, parameters, attributes, ahead=ahead)


def _resolved(
    raw: bytes,
    text: str,
    parameters: tuple[Parameter, ...],
    reading: Reading,
    lookup: Lookup,
    schema: Schema | None,
    ahead: bytes,
) -> Command:
    """SQL's EXECUTE is what its prepared statement is, if that is known and no statement ahead of it can prepare another."""
    statements, used = reading.statements, uses(text, schema)
    shown, resolved = [text], []
    known = len(used) == len(statements) and not any(use.verb in NAMING for use in used)
    for statement, use in zip(statements, used, strict=False) if known else ():
        prepared = lookup(use.name.encode()) if use.verb is Verb.EXECUTE else None
        if prepared is None:
            resolved.append(statement)
            continue
        resolved.append(_executed(use, prepared, schema))
        lines = [f"{use.name} is:", *prepared.sql.decode("utf-8", "replace").splitlines()]
        shown.extend(f"-- {line}" for line in lines)
    statements = tuple(resolved) if known else statements
    effects = frozenset().union(*(statement.effects for statement in statements))
    return Command(PROTOCOL, raw, "\n".join(shown), effects, statements, parameters, _attributes(reading), ahead=ahead)


def _executed(use: Use, prepared: Prepared, schema: Schema | None) -> Statement:
    inner = inspect_sql(prepared.sql.decode("utf-8", "replace"), schema).statements
    if len(inner) != 1:
        return Statement("EXECUTE", frozenset({Effect.UNKNOWN}), f"runs {use.name}", reasons=("it is not one statement",))
    (one,) = inner
    reasons = (*one.reasons, "its arguments are not harmless") if use.effects else one.reasons
    return replace(
        one, kind="EXECUTE", effects=one.effects | use.effects, summary=f"runs {use.name}: {one.summary}", reasons=reasons
    )


def _attributes(reading: Reading) -> dict[str, object]:
    return {"catalog_asked": reading.catalog_asked}


def _unknown(raw: bytes, text: str, parameters: tuple[Parameter, ...], why: str, ahead: bytes) -> Command:
    effects = frozenset({Effect.UNKNOWN})
    statement = Statement("unparsed", effects, summary="cannot be read", reasons=(why,))
    return Command(PROTOCOL, raw, text, effects, (statement,), parameters, {"catalog_asked": False}, ahead=ahead)


def _format_of(formats: list[int], index: int) -> int:
    """None: all text. One: for all. Else one each (manual, Bind)."""
    if not formats:
        return 0
    return formats[0] if len(formats) == 1 else formats[index]


def _type_of(prepared: Prepared, index: int) -> int:
    return prepared.parameter_types[index] if index < len(prepared.parameter_types) else 0


def _parameter(value: bytes | None, binary: bool, type_oid: int, room: int) -> Parameter:
    if value is None:
        return Parameter(value, binary, type_oid, "NULL")
    if len(value) <= room:
        return Parameter(value, binary, type_oid, _show(value, binary, type_oid))
    shown = _show(_beginning(value, room), binary, type_oid)
    return Parameter(value, binary, type_oid, cut_mark(shown, room, len(value), "bytes"), is_cut=True)


def _beginning(value: bytes, room: int) -> bytes:
    """So many bytes at most, and of UTF-8 no part of a character."""
    end = room
    while end > room - 4 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]


def _show(value: bytes, binary: bool, type_oid: int) -> str:
    if binary and type_oid in INTEGER_FORMATS and len(value) == struct.calcsize(INTEGER_FORMATS[type_oid]):
        return str(struct.unpack(INTEGER_FORMATS[type_oid], value)[0])
    if not binary or type_oid in TEXT_TYPES:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return f"\\x{value.hex()} (binary, type {type_oid})"


def touches_schema(command: Command) -> bool:
    """True where the target's catalog may be another afterwards."""
    is_call = all(statement.kind == "FunctionCall" for statement in command.statements)
    return not (command.effects <= SCHEMA_STAYS or (is_call and calls_large_object(command)))


def meets_lock(command: Command) -> bool:
    """True where a relation that it is about is locked, so that it would wait and then find another."""
    return any(LOCKED in reason for statement in command.statements for reason in statement.reasons)


def may_move_path(command: Command) -> bool:
    """True where unqualified names may mean something else afterwards than they mean to a new session."""
    settings = {setting for statement in command.statements for setting in statement.settings}
    return not (command.effects.isdisjoint({Effect.UNKNOWN, Effect.EXEC}) and settings.isdisjoint(PATH_SETTINGS))


def makes_relations(command: Command) -> bool:
    """True where there may be relations afterwards that only its transaction sees."""
    return not command.effects.isdisjoint({Effect.DDL, Effect.UNKNOWN})


def may_prepare(command: Command) -> bool:
    """True where a command can prepare or drop statements, or open cursors, without its text saying so."""
    return Effect.UNKNOWN in command.effects


def speaks_late(command: Command) -> bool:
    """True where the target may have something to say of a command when it is done: at the end of the transaction, for one."""
    return not command.is_plain_read or any(statement.kind == "DECLARE" for statement in command.statements)


def calls_large_object(command: Command) -> bool:
    """True for a FunctionCall of a function of PostgreSQL's own for large objects."""
    return all(name in LARGE_OBJECT_CALLS.values() for statement in command.statements for name in statement.functions)
