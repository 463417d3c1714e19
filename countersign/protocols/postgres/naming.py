"""What each statement of a SQL text does to the names that a session holds: prepared statements and cursors. Pure and total.

SQL's PREPARE shares its names with the protocol's Parse, DECLARE shares them with Bind (manual, "PREPARE", "DECLARE").
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import postgast

from countersign.model import Effect
from countersign.protocols.postgres.inspector import Finding, inner, walk
from countersign.protocols.postgres.inspector.tree import enum_name
from countersign.protocols.postgres.remembering import remembered
from countersign.protocols.postgres.schema import Schema


class Verb(Enum):
    """What a statement does to a name."""

    PREPARE = auto()
    EXECUTE = auto()
    DEALLOCATE = auto()
    DISCARD = auto()
    DECLARE = auto()
    FETCH = auto()
    CLOSE = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Use:
    """``name`` is '' where every name is meant. ``query``: the statement behind PREPARE and DECLARE as text, '' where it cannot be
    written down faithfully. ``text``: the statement as it was written. ``effects``: what the arguments of an EXECUTE can do."""

    verb: Verb
    name: str = ""
    query: str = ""
    text: str = ""
    effects: frozenset[Effect] = frozenset()


@remembered(2048)
def uses(sql: str, schema: Schema | None = None) -> tuple[Use, ...]:
    """One a statement; empty where the text cannot be parsed."""
    try:
        data = sql.encode()
        return tuple(_use(raw.stmt, _slice(data, raw), schema) for raw in postgast.parse(sql).stmts)
    except Exception:  # what cannot be read is unknown to the inspector too
        return ()


def _slice(data: bytes, raw: Any) -> str:
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
    return data[raw.stmt_location : end].decode("utf-8", "replace").strip()


def _use(node: Any, text: str, schema: Schema | None) -> Use:
    kind, tree = inner(node)
    match kind:
        case "prepare_stmt":
            return Use(Verb.PREPARE, tree.name, written(tree.query), text)
        case "execute_stmt":
            return Use(Verb.EXECUTE, tree.name, "", text, _argument_effects(tree, schema))
        case "deallocate_stmt":
            return Use(Verb.DEALLOCATE, tree.name, "", text)
        case "discard_stmt" if enum_name(tree, "target") == "DISCARD_ALL":
            return Use(Verb.DISCARD, "", "", text)
        case "declare_cursor_stmt":
            return Use(Verb.DECLARE, tree.portalname, written(tree.query), text)
        case "fetch_stmt":
            return Use(Verb.FETCH, tree.portalname, "", text)
        case "close_portal_stmt":
            return Use(Verb.CLOSE, tree.portalname, "", text)
        case _:
            return Use(Verb.OTHER, "", "", text)


def _argument_effects(tree: Any, schema: Schema | None) -> frozenset[Effect]:
    found = Finding(schema=schema)
    for argument in tree.params:
        walk(argument, frozenset(), found)
    return frozenset(found.effects)


def written(node: Any) -> str:
    """A statement's node as SQL text that parses to the same tree again; '' where there is none."""
    result = postgast.ParseResult()
    result.version = postgast.parse("SELECT 1").version
    result.stmts.add().stmt.CopyFrom(node)
    try:
        text = postgast.deparse(result)
        again = postgast.parse(text)
    except Exception:
        return ""
    return text if _tree(again.stmts[0].stmt) == _tree(result.stmts[0].stmt) else ""


def _tree(node: Any) -> bytes:
    copy = type(node)()
    copy.CopyFrom(node)
    _forget_locations(copy)
    return bytes(copy.SerializeToString(deterministic=True))


def _forget_locations(message: Any) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for item in value if descriptor.is_repeated else (value,):
                _forget_locations(item)
        elif descriptor.name.endswith(("location", "list_start", "list_end")):
            message.ClearField(descriptor.name)
