"""Reads a SQL string on PostgreSQL's own grammar (libpg_query) and says what each statement can do. Pure and total.

Sound by an allow-list: a statement is a ``read`` only where every node of its tree, every function, operator and type in it is known
to be harmless. Whatever is not listed, and whatever cannot be parsed, is ``unknown`` (I3).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import postgast

from countersign.model import Effect, Statement
from countersign.protocols.postgres.functions import HARMLESS, HARMLESS_SETTINGS, REFUSED, SENSITIVE_RELATIONS, TYPES

TEXT_LIMIT = 1 << 20
CACHED_TEXT_LIMIT = 16 << 10

EXPRESSION_NODES = frozenset(
    """
    SelectStmt ResTarget ColumnRef A_Const Integer Float Boolean String BitString A_Star A_Expr BoolExpr NullTest BooleanTest
    CaseExpr CaseWhen CoalesceExpr MinMaxExpr SubLink FuncCall TypeCast TypeName RangeVar Alias JoinExpr RangeSubselect
    RangeFunction SortBy WindowDef WithClause CommonTableExpr ParamRef A_ArrayExpr A_Indices A_Indirection RowExpr List
    CollateClause GroupingSet GroupingFunc SQLValueFunction NamedArgExpr SetToDefault MultiAssignRef OnConflictClause
    InferClause IndexElem InsertStmt UpdateStmt DeleteStmt MergeStmt MergeWhenClause ReturningClause ReturningOption IntoClause
    LockingClause
    """.split()
)
OPERATORS = frozenset(
    """
    = <> != < > <= >= + - * / % ^ || ~~ ~~* !~~ !~~* ~ ~* !~ !~* & | # << >> -> ->> #> #>> #- @> <@ ? ?| ?& && @@ @@@ @? -|- &<
    &> <-> |/ ||/ @ ~= ^@ ## <<| |>> &<| |&> <^ >^ ?# ?- ?-| ?|| <<= >>= !! @-@ ~<=~ ~>=~ ~<~ ~>~
    """.split()
)
WRITES = {"InsertStmt": "INSERT", "UpdateStmt": "UPDATE", "DeleteStmt": "DELETE", "MergeStmt": "MERGE"}
VERBS = {"INSERT": "inserts into", "UPDATE": "updates", "DELETE": "deletes rows of", "MERGE": "merges into"}

DDL, ADMIN, EXEC, WRITE = Effect.DDL, Effect.ADMIN, Effect.EXEC, Effect.WRITE
UTILITIES: dict[str, tuple[str, frozenset[Effect]]] = {
    "create_stmt": ("CREATE TABLE", frozenset({DDL})),
    "index_stmt": ("CREATE INDEX", frozenset({DDL})),
    "view_stmt": ("CREATE VIEW", frozenset({DDL})),
    "create_schema_stmt": ("CREATE SCHEMA", frozenset({DDL})),
    "create_seq_stmt": ("CREATE SEQUENCE", frozenset({DDL})),
    "alter_seq_stmt": ("ALTER SEQUENCE", frozenset({DDL})),
    "create_domain_stmt": ("CREATE DOMAIN", frozenset({DDL})),
    "create_enum_stmt": ("CREATE TYPE", frozenset({DDL})),
    "composite_type_stmt": ("CREATE TYPE", frozenset({DDL})),
    "alter_table_stmt": ("ALTER TABLE", frozenset({DDL})),
    "rename_stmt": ("ALTER ... RENAME", frozenset({DDL})),
    "drop_stmt": ("DROP", frozenset({DDL})),
    "comment_stmt": ("COMMENT", frozenset({DDL})),
    "create_trig_stmt": ("CREATE TRIGGER", frozenset({DDL, EXEC})),
    "rule_stmt": ("CREATE RULE", frozenset({DDL, EXEC})),
    "create_function_stmt": ("CREATE FUNCTION", frozenset({DDL, EXEC})),
    "refresh_mat_view_stmt": ("REFRESH MATERIALIZED VIEW", frozenset({DDL, WRITE})),
    "truncate_stmt": ("TRUNCATE", frozenset({WRITE, DDL})),
    "lock_stmt": ("LOCK", frozenset({WRITE})),
    "notify_stmt": ("NOTIFY", frozenset({WRITE})),
    "grant_stmt": ("GRANT or REVOKE", frozenset({ADMIN})),
    "grant_role_stmt": ("GRANT or REVOKE", frozenset({ADMIN})),
    "create_role_stmt": ("CREATE ROLE", frozenset({ADMIN})),
    "alter_role_stmt": ("ALTER ROLE", frozenset({ADMIN})),
    "alter_role_set_stmt": ("ALTER ROLE", frozenset({ADMIN})),
    "drop_role_stmt": ("DROP ROLE", frozenset({ADMIN})),
    "alter_owner_stmt": ("ALTER ... OWNER", frozenset({ADMIN})),
    "alter_system_stmt": ("ALTER SYSTEM", frozenset({ADMIN})),
    "create_extension_stmt": ("CREATE EXTENSION", frozenset({ADMIN, EXEC})),
    "createdb_stmt": ("CREATE DATABASE", frozenset({ADMIN})),
    "dropdb_stmt": ("DROP DATABASE", frozenset({ADMIN})),
    "vacuum_stmt": ("VACUUM or ANALYZE", frozenset({ADMIN})),
    "reindex_stmt": ("REINDEX", frozenset({ADMIN})),
    "cluster_stmt": ("CLUSTER", frozenset({ADMIN})),
    "check_point_stmt": ("CHECKPOINT", frozenset({ADMIN})),
    "load_stmt": ("LOAD", frozenset({ADMIN, EXEC})),
    "do_stmt": ("DO", frozenset({Effect.UNKNOWN, EXEC})),
    "call_stmt": ("CALL", frozenset({Effect.UNKNOWN, EXEC})),
    "execute_stmt": ("EXECUTE", frozenset({Effect.UNKNOWN})),
    "listen_stmt": ("LISTEN", frozenset({Effect.SESSION})),
    "unlisten_stmt": ("UNLISTEN", frozenset({Effect.SESSION})),
    "deallocate_stmt": ("DEALLOCATE", frozenset({Effect.SESSION})),
    "discard_stmt": ("DISCARD", frozenset({Effect.SESSION})),
    "variable_show_stmt": ("SHOW", frozenset({Effect.READ})),
    "fetch_stmt": ("FETCH", frozenset({Effect.READ})),
    "close_portal_stmt": ("CLOSE", frozenset({Effect.SESSION})),
}
"""Utility statements by what they can do. Those that are not here are unknown."""

TWO_PHASE = ("TRANS_STMT_PREPARE", "TRANS_STMT_COMMIT_PREPARED", "TRANS_STMT_ROLLBACK_PREPARED")


@dataclass(frozen=True, slots=True)
class Reading:
    """A SQL string as understood."""

    statements: tuple[Statement, ...]
    effects: frozenset[Effect]


def inspect_sql(sql: str) -> Reading:
    """Never raises. A string without statements is harmless session state: the server answers EmptyQueryResponse."""
    return _cached(sql) if len(sql) <= CACHED_TEXT_LIMIT else _inspect(sql)


@lru_cache(maxsize=2048)
def _cached(sql: str) -> Reading:
    return _inspect(sql)


def _inspect(sql: str) -> Reading:
    if len(sql) > TEXT_LIMIT:
        return _unparsed(f"the text is longer than {TEXT_LIMIT} characters")
    if "\0" in sql:
        return _unparsed("the text holds a NUL")
    try:
        tree = postgast.parse(sql)
        statements = tuple(_statement(raw.stmt) for raw in tree.stmts)
    except RecursionError:
        return _unparsed("it is nested too deeply")
    except Exception as error:  # the grammar's own complaint, or anything else that keeps it from being read
        return _unparsed(f"the grammar refuses it: {error}")
    if not statements:
        return Reading((), frozenset({Effect.SESSION}))
    return Reading(statements, frozenset().union(*(statement.effects for statement in statements)))


def _unparsed(why: str) -> Reading:
    unknown = frozenset({Effect.UNKNOWN})
    return Reading((Statement("unparsed", unknown, summary="cannot be read", reasons=(why,)),), unknown)


@dataclass(slots=True)
class Finding:
    """What a walk over a tree gathers."""

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    effects: set[Effect] = field(default_factory=set)

    def add(self, effect: Effect, reason: str) -> None:
        """An effect beyond reading, and why."""
        self.effects.add(effect)
        self.reasons[reason] = None


def inner(node: Any) -> tuple[str, Any]:
    """A Node's kind, as its field is called, and the node itself."""
    kind = node.WhichOneof("node")
    return (kind, getattr(node, kind)) if kind else ("", None)


def _statement(node: Any) -> Statement:
    kind, tree = inner(node)
    match kind:
        case "select_stmt" | "insert_stmt" | "update_stmt" | "delete_stmt" | "merge_stmt":
            return _query(tree)
        case "explain_stmt":
            return _explain(tree)
        case "copy_stmt":
            return _copy(tree)
        case "transaction_stmt":
            return _transaction(tree)
        case "variable_set_stmt":
            return _setting(tree)
        case "create_table_as_stmt":
            return _wrapped("CREATE TABLE AS", tree.query, {DDL, WRITE}, "creates a table from a query")
        case "prepare_stmt":
            return _wrapped("PREPARE", tree.query, set(), "prepares a statement that can be run later")
        case "declare_cursor_stmt":
            return _wrapped("DECLARE", tree.query, set(), "")
        case _:
            return _utility(kind, tree)


def _query(tree: Any) -> Statement:
    found = Finding()
    walk(tree, frozenset(), found)
    name = type(tree).__name__
    kind = WRITES.get(name, "SELECT")
    effects = set(found.effects)
    if found.reads or not effects:
        effects.add(Effect.READ)
    has_where = tree.HasField("where_clause") if kind in ("UPDATE", "DELETE") else None
    return Statement(
        kind,
        frozenset(effects),
        _summary(kind, found, has_where),
        tuple(found.reads),
        tuple(found.writes),
        tuple(found.functions),
        has_where,
        tuple(found.reasons),
    )


def _summary(kind: str, found: Finding, has_where: bool | None) -> str:
    if kind in VERBS:
        where = {True: " (with a WHERE)", False: " without WHERE: every row", None: ""}[has_where]
        return f"{VERBS[kind]} {', '.join(found.writes)}{where}"
    parts = [f"reads {', '.join(found.reads)}" if found.reads else "reads no table"]
    if found.writes:
        parts.append(f"writes {', '.join(found.writes)}")
    return "; ".join(parts)


def _wrapped(kind: str, query: Any, effects: set[Effect], reason: str) -> Statement:
    within = _statement(query)
    more = (reason,) if reason and effects else ()
    return Statement(
        kind,
        within.effects | effects,
        f"{kind}: {within.summary}",
        within.reads,
        within.writes,
        within.functions,
        within.has_where,
        within.reasons + more,
    )


def _explain(tree: Any) -> Statement:
    within = _statement(tree.query)
    analyze = any(option.def_elem.defname == "analyze" and not _is_off(option.def_elem) for option in tree.options)
    if analyze:
        return Statement(
            "EXPLAIN ANALYZE", within.effects, f"runs, to measure it: {within.summary}", within.reads, within.writes,
            within.functions, within.has_where, within.reasons,
        )  # fmt: skip
    # Planning runs functions, so what is not known to be harmless is not harmless here either.
    effects = {Effect.READ} | (within.effects & {Effect.UNKNOWN, ADMIN})
    reasons = within.reasons if effects != {Effect.READ} else ()
    return Statement(
        "EXPLAIN", frozenset(effects), f"plans, without running: {within.summary}", within.reads + within.writes, (),
        within.functions, None, reasons,
    )  # fmt: skip


def _is_off(option: Any) -> bool:
    kind, value = inner(option.arg)
    text = {"string": "sval", "boolean": "boolval", "integer": "ival"}.get(kind, "")
    return bool(text) and str(getattr(value, text)).lower() in {"off", "false", "0"}


def _copy(tree: Any) -> Statement:
    found = Finding()
    relation = relation_name(tree.relation) if tree.HasField("relation") else ""
    if tree.HasField("query"):
        walk(tree.query, frozenset(), found)
    if tree.is_from:
        found.writes[relation] = None
        found.add(WRITE, f"loads rows into {relation}")
        if tree.HasField("where_clause"):
            walk(tree.where_clause, frozenset(), found)
    elif relation:
        _read_relation(tree.relation, frozenset(), found)
    if tree.is_program:
        found.add(EXEC, f"runs the program {tree.filename!r} on the server")
        found.add(ADMIN, "reaches outside the database")
    elif tree.filename:
        found.add(ADMIN, f"{'reads' if tree.is_from else 'writes'} the file {tree.filename!r} on the server")
    effects = found.effects or {Effect.READ}
    if found.reads:
        effects = effects | {Effect.READ}
    direction = "loads into" if tree.is_from else "copies out of"
    return Statement(
        "COPY", frozenset(effects), f"{direction} {relation or 'a query'}", tuple(found.reads), tuple(found.writes),
        tuple(found.functions), None, tuple(found.reasons),
    )  # fmt: skip


def _transaction(tree: Any) -> Statement:
    name = enum(tree, "kind")
    words = name.removeprefix("TRANS_STMT_").replace("_", " ")
    if name in TWO_PHASE:
        return Statement(words, frozenset({ADMIN}), "two-phase commit", reasons=("leaves a transaction to other sessions",))
    return Statement(words, frozenset({Effect.SESSION}), "controls the transaction")


def _setting(tree: Any) -> Statement:
    name = tree.name.lower()
    kind = "RESET" if not tree.args and name not in ("transaction", "session characteristics") else "SET"
    why = _setting_problem(name, tree)
    if why:
        return Statement(kind, frozenset({ADMIN}), f"changes {name}", reasons=(why,))
    return Statement(kind, frozenset({Effect.SESSION}), f"changes {name or 'all settings'} of the session")


def _setting_problem(name: str, tree: Any) -> str:
    values = [inner(arg)[1].sval.sval.lower() for arg in tree.args if inner(arg)[0] == "a_const"]
    if name in HARMLESS_SETTINGS or name in ("transaction", "session characteristics"):
        return ""
    if name == "client_encoding" and values in (["utf8"], ["utf-8"], ["unicode"]):
        return ""
    if name == "standard_conforming_strings" and values == ["on"]:
        return ""
    if not name:  # RESET ALL goes back to what the session was started with
        return ""
    return f"the setting {name} can change what later commands mean or may do"


def _utility(kind: str, tree: Any) -> Statement:
    known = UTILITIES.get(kind)
    if known is None:
        name = kind.removesuffix("_stmt").replace("_", " ").upper()
        return Statement(name, frozenset({Effect.UNKNOWN}), "not understood", reasons=(f"{name} is not on the list of statements",))
    name, effects = known
    if kind == "drop_stmt":
        name = "DROP " + enum(tree, "remove_type").removeprefix("OBJECT_").replace("_", " ")
    writes = tuple(dict.fromkeys(_objects(tree)))
    reasons = tuple(f"{name} has the effect {effect}" for effect in sorted(effects - {Effect.READ, Effect.SESSION}))
    return Statement(name, effects, f"{name} {', '.join(writes)}".strip(), (), writes, (), None, reasons)


def _objects(tree: Any) -> Iterator[str]:
    """The relations and names that a utility statement is about, as far as they are written as such."""
    for descriptor, value in tree.ListFields():
        if descriptor.name in ("relation", "view"):
            yield relation_name(value)
        elif descriptor.name in ("objects", "relations"):
            for node in value:
                kind, item = inner(node)
                if kind == "range_var":
                    yield relation_name(item)
                elif kind == "list":
                    yield ".".join(inner(part)[1].sval for part in item.items)
                elif kind == "string":
                    yield item.sval


def enum(tree: Any, name: str) -> str:
    """The name of an enumeration field's value."""
    values = tree.DESCRIPTOR.fields_by_name[name].enum_type.values_by_number
    return str(values[getattr(tree, name)].name)


def relation_name(relation: Any) -> str:
    """``schema.table``, or ``table`` where the text names no schema."""
    return ".".join(part for part in (relation.schemaname, relation.relname) if part)


# -- the walk over queries


def walk(message: Any, scope: frozenset[str], found: Finding) -> None:
    """Gather what a query's tree reads, writes and calls. ``scope`` holds the names of CTEs that are visible here."""
    name = type(message).__name__
    if name == "Node":
        _, message = inner(message)
        if message is None:
            return
        name = type(message).__name__
    if name not in EXPRESSION_NODES:
        found.add(Effect.UNKNOWN, f"{name} is not on the list of harmless constructs")
    _check(name, message, scope, found)
    if name == "RangeVar":
        return
    if "with_clause" in message.DESCRIPTOR.fields_by_name and message.HasField("with_clause"):
        scope = _ctes(message.with_clause, scope, found)
    skipped = {"with_clause", "into_clause", "locked_rels"} | ({"relation"} if name in WRITES else set())
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.name in skipped:
            continue
        for item in value if descriptor.is_repeated else (value,):
            walk(item, scope, found)


def _ctes(clause: Any, scope: frozenset[str], found: Finding) -> frozenset[str]:
    """Walk the CTEs of a WITH; return what is visible behind it. Without RECURSIVE a CTE sees only those ahead of it."""
    tables = [inner(node)[1] for node in clause.ctes]
    if clause.recursive:
        scope = scope | {table.ctename for table in tables}
    for table in tables:
        walk(table, scope, found)
        scope = scope | {table.ctename}
    return scope


def _check(name: str, message: Any, scope: frozenset[str], found: Finding) -> None:
    match name:
        case "RangeVar":
            _read_relation(message, scope, found)
        case "FuncCall":
            _call(message, found)
        case "TypeName":
            _type(message, found)
        case "A_Expr":
            _operator(message.name, found)
        case "SubLink":
            _operator(message.oper_name, found)
        case "SortBy":
            _operator(message.use_op, found)
        case "SelectStmt":
            _select(message, found)
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt":
            target = relation_name(message.relation)
            found.writes[target] = None
            found.add(WRITE, f"{VERBS[WRITES[name]]} {target}")


def _select(message: Any, found: Finding) -> None:
    if message.HasField("into_clause"):
        target = relation_name(message.into_clause.rel)
        found.writes[target] = None
        found.add(WRITE, f"SELECT INTO writes {target}")
        found.add(DDL, f"SELECT INTO creates {target}")
    if message.locking_clause:
        found.add(WRITE, "locks the rows it reads")


def _read_relation(relation: Any, scope: frozenset[str], found: Finding) -> None:
    if not relation.schemaname and relation.relname in scope:
        return
    found.reads[relation_name(relation)] = None
    why = SENSITIVE_RELATIONS.get(relation.relname)
    if why:
        found.add(ADMIN, f"reads {relation.relname}, which {why}")


def _call(call: Any, found: Finding) -> None:
    parts = [inner(node)[1].sval for node in call.funcname]
    found.functions[".".join(parts)] = None
    name = parts[-1]
    built_in = len(parts) == 1 or parts[:-1] == ["pg_catalog"]
    if built_in and name in HARMLESS:
        return
    why = REFUSED.get(name, "is not on the list of harmless functions")
    found.add(Effect.UNKNOWN, f"calls {'.'.join(parts)}, which {why}")


def _type(type_name: Any, found: Finding) -> None:
    parts = [inner(node)[1].sval for node in type_name.names]
    if parts and not (parts[-1].removeprefix("_") in TYPES and (len(parts) == 1 or parts[:-1] == ["pg_catalog"])):
        found.add(Effect.UNKNOWN, f"casts to {'.'.join(parts)}, which may be a domain whose checks run anything")


def _operator(names: Any, found: Finding) -> None:
    parts = [inner(node)[1].sval for node in names]
    words = {"BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"}
    if parts and not ((len(parts) == 1 or parts[:-1] == ["pg_catalog"]) and parts[-1] in OPERATORS | words):
        found.add(Effect.UNKNOWN, f"uses the operator {'.'.join(parts)}, which is not a built-in one")
