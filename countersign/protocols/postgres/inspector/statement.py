"""The reading of one statement."""

from dataclasses import replace
from typing import Any

from countersign.model import Effect, Statement
from countersign.protocols.postgres.inspector.columns import query_columns
from countersign.protocols.postgres.inspector.commands import QUERIES
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.outcome import statement_of
from countersign.protocols.postgres.inspector.queries import VERBS, WRITES, narrows, walk
from countersign.protocols.postgres.inspector.relations import fire_event_triggers, settle
from countersign.protocols.postgres.inspector.tree import enum_name, inner, relation_name
from countersign.protocols.postgres.inspector.utilities import copy, setting, transaction, utility
from countersign.protocols.postgres.schema import Schema

PLANNED = frozenset({Effect.UNKNOWN, Effect.ADMIN, Effect.EXEC, Effect.DDL})
"""Effects of a statement that planning may have too. To plan the making of a temporary table makes the session's pg_temp."""


def statement(node: Any, schema: Schema | None) -> Statement:
    """What one statement can do."""
    kind, tree = inner(node)
    found = Finding(schema=schema)
    match kind:
        case _ if kind in QUERIES:
            return _query(tree, found)
        case "explain_stmt":
            return _explain(tree, schema)
        case "copy_stmt":
            return _settled(copy(tree, found), schema)
        case "transaction_stmt":
            return transaction(tree, found)
        case "variable_set_stmt":
            return setting(tree, found)
        case "create_table_as_stmt":
            return _create_as(tree, schema)
        case "prepare_stmt":
            return _prepare(tree, schema)
        case "declare_cursor_stmt":
            within = statement(tree.query, schema)
            return replace(within, kind="DECLARE", summary=f"DECLARE {tree.portalname}: {within.summary}", named=tree.portalname)
        case "create_schema_stmt":
            return _create_schema(tree, schema)
        case _:
            return utility(kind, tree, found)


def _prepare(tree: Any, schema: Schema | None) -> Statement:
    """The statement itself, and the types that its arguments are cast to when it is run."""
    within = statement(tree.query, schema)
    typed = Finding(schema=schema)
    for node in tree.argtypes:
        walk(node, frozenset(), typed)
    return replace(
        within,
        kind="PREPARE",
        effects=within.effects | typed.effects,
        summary=f"PREPARE {tree.name}: {within.summary}",
        reasons=(*within.reasons, *typed.reasons),
        named=tree.name,
    )


def _settled(read: Statement, schema: Schema | None) -> Statement:
    if schema is None or not schema.unsettled_because:
        return read
    return replace(read, effects=read.effects | {Effect.UNKNOWN}, reasons=(*read.reasons, schema.unsettled_because))


def _query(tree: Any, found: Finding) -> Statement:
    walk(tree, frozenset(), found)
    query_columns(tree, found)
    settle(found, tree)
    kind = WRITES.get(type(tree).__name__, "SELECT")
    return _settled(statement_of(kind, found, _summary(kind, tree, found)), found.schema)


def _summary(kind: str, tree: Any, found: Finding) -> str:
    if kind in VERBS:
        where = _where(kind, tree)
        target = next(iter(found.writes), relation_name(tree.relation))
        others = [name for name in found.writes if name != target]
        return f"{VERBS[kind]} {target}{where}" + (f"; also writes {', '.join(others)}" if others else "")
    parts = [f"reads {', '.join(found.reads)}" if found.reads else "reads no table"]
    if found.writes:
        parts.append(f"writes {', '.join(found.writes)}")
    return "; ".join(parts)


def _where(kind: str, tree: Any) -> str:
    if kind not in ("UPDATE", "DELETE"):
        return ""
    if not tree.HasField("where_clause"):
        return " without WHERE: every row"
    return " (with a WHERE)" if narrows(tree) else " with a WHERE that names no column: every row or none"


def _create_as(tree: Any, schema: Schema | None) -> Statement:
    within = statement(tree.query, schema)
    kind = "CREATE MATERIALIZED VIEW" if enum_name(tree, "objtype") == "OBJECT_MATVIEW" else "CREATE TABLE AS"
    target = relation_name(tree.into.rel)
    found = Finding(schema=schema)
    fire_event_triggers(kind, found)
    return replace(
        within,
        kind=kind,
        effects=within.effects | found.effects | {Effect.DDL, Effect.WRITE},
        summary=f"{kind} {target}: {within.summary}",
        writes=(*within.writes, target),
        has_where=None,
        reasons=(*within.reasons, f"creates {target} from a query", *found.reasons),
        triggers=(*within.triggers, *found.triggers),
    )


def _create_schema(tree: Any, schema: Schema | None) -> Statement:
    """CREATE SCHEMA may hold whole commands."""
    made = utility("create_schema_stmt", tree, Finding(schema=schema))
    for node in tree.schema_elts:
        within = statement(node, schema)
        made = replace(
            made,
            effects=made.effects | within.effects,
            summary=f"{made.summary}; {within.summary}",
            writes=(*made.writes, *within.writes),
            reasons=tuple(dict.fromkeys((*made.reasons, *within.reasons))),
        )
    return made


def _explain(tree: Any, schema: Schema | None) -> Statement:
    within = statement(tree.query, schema)
    if any(option.def_elem.defname == "analyze" and not _is_off(option.def_elem) for option in tree.options):
        return replace(within, kind="EXPLAIN ANALYZE", summary=f"runs, to measure it: {within.summary}")
    # Planning runs functions, so what they can do can happen here too.
    effects = {Effect.READ} | (within.effects & PLANNED) | _of_calls(tree.query, schema)
    return replace(
        within,
        kind="EXPLAIN",
        effects=frozenset(effects),
        summary=f"plans, without running: {within.summary}",
        reads=within.reads + within.writes,
        writes=(),
        has_where=None,
        reasons=within.reasons if effects != {Effect.READ} else (),
        columns_written=(),
        triggers=(),
        locks=(),
    )


def _of_calls(query: Any, schema: Schema | None) -> set[Effect]:
    kind, tree = inner(query)
    if kind not in QUERIES:
        return set()
    found = Finding(schema=schema)
    walk(tree, frozenset(), found)
    return found.called


def _is_off(option: Any) -> bool:
    kind, value = inner(option.arg)
    text = {"string": "sval", "boolean": "boolval", "integer": "ival"}.get(kind, "")
    return bool(text) and str(getattr(value, text)).lower() in {"off", "false", "0"}
