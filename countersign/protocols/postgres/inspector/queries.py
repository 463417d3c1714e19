"""The walk over queries: what they read, write and call."""

from collections.abc import Iterator
from typing import Any

from countersign.model import Effect
from countersign.protocols.postgres.inspector.expressions import (
    check_call,
    check_field,
    check_operator,
    check_syntax,
    check_type,
)
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.relations import fire_event_triggers, full_names, read_relation, write_relation
from countersign.protocols.postgres.inspector.tree import descendants, enum_name, inner, relation_name, words

CONSTRUCTS = frozenset(
    """
    SelectStmt ResTarget ColumnRef A_Const Integer Float Boolean String BitString A_Star A_Expr BoolExpr NullTest BooleanTest
    CaseExpr CaseWhen CoalesceExpr MinMaxExpr SubLink FuncCall TypeCast TypeName RangeVar Alias JoinExpr RangeSubselect
    RangeFunction SortBy WindowDef WithClause CommonTableExpr ParamRef A_ArrayExpr A_Indices A_Indirection RowExpr List
    CollateClause GroupingSet GroupingFunc SQLValueFunction NamedArgExpr SetToDefault MultiAssignRef OnConflictClause
    InferClause IndexElem InsertStmt UpdateStmt DeleteStmt MergeStmt MergeWhenClause ReturningClause ReturningOption IntoClause
    LockingClause CurrentOfExpr MergeSupportFunc CTESearchClause CTECycleClause ColumnDef RangeTableSample
    RangeTableFunc RangeTableFuncCol XmlExpr XmlSerialize JsonFormat JsonReturning JsonOutput JsonValueExpr JsonIsPredicate
    JsonBehavior JsonArgument JsonFuncExpr JsonTable JsonTablePathSpec JsonTableColumn JsonKeyValue JsonParseExpr JsonScalarExpr
    JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonAggConstructor JsonObjectAgg
    JsonArrayAgg
    """.split()
)
"""Nodes that a query may hold and that do nothing but compute. What some of them name is checked of itself."""

SYNTAX = {
    "JsonObjectConstructor": ("json_object",),
    "JsonArrayConstructor": ("json_array",),
    "JsonArrayQueryConstructor": ("json_array",),
    "JsonObjectAgg": ("json_objectagg",),
    "JsonArrayAgg": ("json_arrayagg",),
    "JsonParseExpr": ("json",),
    "JsonScalarExpr": ("json_scalar",),
    "JsonSerializeExpr": ("json_serialize",),
    "JsonFuncExpr": ("json_exists", "json_query", "json_value"),
    "JsonTable": ("json_table",),
    "MergeSupportFunc": ("merge_action",),
}
"""Syntax since version 16 or 17 that an older server may read as a call of a function of this name."""

WRITES = {"InsertStmt": "INSERT", "UpdateStmt": "UPDATE", "DeleteStmt": "DELETE", "MergeStmt": "MERGE"}
VERBS = {"INSERT": "inserts into", "UPDATE": "updates", "DELETE": "deletes rows of", "MERGE": "merges into"}
SAMPLING = ("bernoulli", "system")


def walk(message: Any, scope: frozenset[str], found: Finding) -> None:
    """Gather what a query's tree reads, writes and calls. ``scope`` holds the names of CTEs that are visible here."""
    name = type(message).__name__
    if name == "Node":
        _, message = inner(message)
        if message is None:
            return
        name = type(message).__name__
    found.constructs.add(name)
    if name not in CONSTRUCTS:
        found.add(Effect.UNKNOWN, f"{name} is not on the list of harmless constructs")
    if name == "RangeVar":
        read_relation(message, scope, found)
        return
    _check(name, message, found)
    if "with_clause" in message.DESCRIPTOR.fields_by_name and message.HasField("with_clause"):
        scope = _ctes(message.with_clause, scope, found)
    skipped = {"with_clause", "into_clause", "locked_rels"} | ({"relation"} if name in WRITES else set())
    if name == "RangeTableSample":
        skipped |= {"method"}
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


def _check(name: str, message: Any, found: Finding) -> None:
    if _compares_unsaid(name, message):
        _check_unsaid("=", found)
    for call in SYNTAX.get(name, ()):
        check_syntax(call, found)
    match name:
        case "FuncCall":
            check_call(message, found)
        case "TypeName":
            check_type(message, found)
        case "A_Expr":
            _expression(message, found)
        case "SubLink":
            check_operator(message.oper_name, found)
        case "SortBy":
            check_operator(message.use_op, found)
        case "ColumnRef" if len(message.fields) > 1:
            check_field(message.fields[1:], found)
        case "A_Indirection":
            check_field(message.indirection, found)
        case "RangeTableSample":
            _sample(message, found)
        case "SelectStmt":
            _select(message, found)
        case "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt":
            _write(name, message, found)


def _compares_unsaid(name: str, message: Any) -> bool:
    """Whether a construct looks up the operator = without naming it."""
    match name:
        case "CaseExpr":
            return bool(message.HasField("arg"))
        case "JoinExpr":
            return bool(message.is_natural or message.using_clause)
        case "SubLink":
            return not message.oper_name
        case _:
            return False


def _expression(message: Any, found: Finding) -> None:
    check_operator(message.name, found)
    said = words(message.name)
    if said == ["||"]:
        found.constructs.add("||")
    if said and "BETWEEN" in said[-1]:
        for operator in ("<", ">", "<=", ">="):
            _check_unsaid(operator, found)


def _check_unsaid(operator: str, found: Finding) -> None:
    """An operator that the construct looks up by its bare name."""
    for own in found.schema.operators_named("pg_catalog" if found.exact else "", operator) if found.schema is not None else ():
        if not own.is_harmless:
            found.add(Effect.UNKNOWN, f"uses the operator {operator}, which may be {own.schema}.{operator}, made of {own.function}")


def _sample(message: Any, found: Finding) -> None:
    method = ".".join(words(message.method))
    if method.removeprefix("pg_catalog.") not in SAMPLING:
        found.add(Effect.UNKNOWN, f"samples by {method}, which is not a built-in method")


def _select(message: Any, found: Finding) -> None:
    if message.HasField("into_clause"):
        target = relation_name(message.into_clause.rel)
        found.writes[target] = None
        found.add(Effect.WRITE, f"SELECT INTO writes {target}")
        found.add(Effect.DDL, f"SELECT INTO creates {target}")
        fire_event_triggers("SELECT INTO", found)
    for node in message.locking_clause:
        found.add(Effect.WRITE, "locks the rows it reads")
        _lock(inner(node)[1], message, found)


_STRENGTHS = {"KEYSHARE": "KEY SHARE", "SHARE": "SHARE", "NOKEYUPDATE": "NO KEY UPDATE", "UPDATE": "UPDATE"}


def _lock(clause: Any, select: Any, found: Finding) -> None:
    """The relations of FOR UPDATE and its kin. It names them as FROM does, and reaches into sub-selects (manual, SELECT)."""
    strength = enum_name(clause, "strength").removeprefix("LCS_").replace("FOR", "").strip("_")
    named = {inner(item)[1].relname for item in clause.locked_rels}
    for alias, relation in _sources(select):
        if not named or alias in named:
            names = full_names(relation, found)
            found.locks.update({f"FOR {_STRENGTHS.get(strength, strength)} {name}": None for name in names})


def _sources(select: Any) -> Iterator[tuple[str, Any]]:
    """The relations in FROM, each under the name that the query calls it, or the sub-select that it is in."""
    waiting = [("", node) for node in select.from_clause]
    while waiting:
        within, node = waiting.pop(0)
        kind, source = inner(node)
        match kind:
            case "range_var":
                yield within or source.alias.aliasname or source.relname, source
            case "join_expr":
                waiting[:0] = [(within, source.larg), (within, source.rarg)]
            case "range_table_sample":
                waiting.insert(0, (within, source.relation))
            case "range_subselect":
                name = within or source.alias.aliasname
                waiting[:0] = [(name, item) for part in _arms(inner(source.subquery)[1]) for item in part.from_clause]
            case _:
                pass


def _arms(select: Any) -> Iterator[Any]:
    """The plain SELECTs of a set operation."""
    if not select.HasField("larg"):
        yield select
        return
    yield from _arms(select.larg)
    yield from _arms(select.rarg)


def narrows(message: Any) -> bool:
    """Whether a WHERE says which rows. One that names no column, such as WHERE true, says all or none."""
    wanted = {"ColumnRef", "CurrentOfExpr", "SubLink"}
    return message.HasField("where_clause") and any(type(node).__name__ in wanted for node in descendants(message.where_clause))


def _write(name: str, message: Any, found: Finding) -> None:
    kind = WRITES[name]
    target = relation_name(message.relation)
    found.add(Effect.WRITE, f"{VERBS[kind]} {target}")
    events, columns = {kind}, None
    if kind in ("UPDATE", "DELETE"):
        found.has_where = narrows(message) and found.has_where is not False
    if kind == "UPDATE":
        columns = frozenset(inner(node)[1].name for node in message.target_list)
    if kind == "INSERT" and message.HasField("on_conflict_clause") and message.on_conflict_clause.target_list:
        events.add("UPDATE")
    if kind == "MERGE":
        commands = {enum_name(inner(node)[1], "command_type") for node in message.merge_when_clauses}
        events = {command.removeprefix("CMD_") for command in commands} & {"INSERT", "UPDATE", "DELETE"}
    write_relation(message.relation, frozenset(events), columns, found)
