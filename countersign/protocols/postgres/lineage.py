"""Which columns an output can reveal, as far as that is plain to see. Pure and total.

Masking asks this of outputs that have no origin column. The answer errs to one side only: an output is called clean where nothing
else can be true.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import postgast

from countersign.protocols.postgres.inspector import Finding, inner, relation_name, walk

READABLE = {
    "select_stmt": "query",
    "insert_stmt": "query",
    "update_stmt": "query",
    "delete_stmt": "query",
    "merge_stmt": "query",
    "copy_stmt": "copy",
    "variable_show_stmt": "nothing",
    "explain_stmt": "nothing",
    "variable_set_stmt": "nothing",
    "transaction_stmt": "nothing",
}
"""Statements whose outputs can be judged. SHOW and EXPLAIN hold no values of rows."""


@dataclass(frozen=True, slots=True)
class OutputReading:
    """``relations``: every relation read anywhere, as written. ``is_simple``: one SELECT from plain relations. ``outputs``: for each
    output the columns that it can reveal (None: cannot say); None where even their number is not known."""

    relations: frozenset[str]
    is_simple: bool
    outputs: tuple[frozenset[str] | None, ...] | None
    types: frozenset[str] = frozenset()
    """Types that are not built in and that something is cast to."""


@lru_cache(maxsize=2048)
def clean_outputs(sql: str) -> tuple[OutputReading | None, ...]:
    """One reading a statement; None where nothing can be said. Empty where the text cannot be parsed."""
    try:
        return tuple(_reading(raw.stmt) for raw in postgast.parse(sql).stmts)
    except Exception:  # what cannot be read is answered by nothing, and nothing is masked whole
        return ()


def _reading(node: Any) -> OutputReading | None:
    kind, tree = inner(node)
    match READABLE.get(kind):
        case "nothing":
            return OutputReading(frozenset(), True, None)
        case "query":
            found = Finding()
            walk(tree, frozenset(), found)
            if found.is_opaque:
                return None
            relations = frozenset(found.reads) | frozenset(found.writes)
            types = frozenset(found.types)
            if kind != "select_stmt" or not _is_simple(tree):
                return OutputReading(relations, False, None, types)
            names = frozenset(_range_names(tree))
            return OutputReading(relations, True, _outputs(tree, names), types)
        case "copy":
            return _copied(tree)
        case _:
            return None


def _copied(tree: Any) -> OutputReading | None:
    """COPY has no outputs of its own; what matters is what it touches."""
    found = Finding()
    for part in (tree.query, tree.where_clause):
        walk(part, frozenset(), found)
    if found.is_opaque:
        return None
    relations = {relation_name(tree.relation)} if tree.HasField("relation") else set()
    return OutputReading(frozenset(found.reads) | frozenset(found.writes) | relations, False, None, frozenset(found.types))


def _is_simple(select: Any) -> bool:
    plain = not select.HasField("with_clause") and not select.values_lists and not select.HasField("larg")
    return plain and all(_is_plain_source(source) for source in select.from_clause)


def _is_plain_source(node: Any) -> bool:
    kind, source = inner(node)
    if kind == "join_expr":
        return _is_plain_source(source.larg) and _is_plain_source(source.rarg) and not source.HasField("join_using_alias")
    # An alias may rename columns, so that a name no longer says what it is.
    return kind == "range_var" and not source.alias.colnames


def _range_names(select: Any) -> Iterator[str]:
    def names(node: Any) -> Iterator[str]:
        kind, source = inner(node)
        if kind == "join_expr":
            yield from names(source.larg)
            yield from names(source.rarg)
            if source.HasField("alias"):
                yield source.alias.aliasname
        else:
            yield source.alias.aliasname or source.relname
            yield source.relname

    for source in select.from_clause:
        yield from names(source)


def _outputs(select: Any, range_names: frozenset[str]) -> tuple[frozenset[str] | None, ...] | None:
    outputs: list[frozenset[str] | None] = []
    for node in select.target_list:
        value = inner(node)[1].val
        if _is_star(value):
            return None
        outputs.append(_columns(value, range_names))
    return tuple(outputs)


def _is_star(value: Any) -> bool:
    kind, reference = inner(value)
    return kind == "column_ref" and any(inner(part)[0] == "a_star" for part in reference.fields)


def _columns(value: Any, range_names: frozenset[str]) -> frozenset[str] | None:
    """The columns that an expression can reveal; None where it holds a whole row, a star or a sub-select."""
    kind, node = inner(value)
    if kind == "null_test" or (kind == "func_call" and _is_count(node)):
        return frozenset()
    columns: set[str] = set()
    for name, message in _nodes(value):
        if name in ("SubLink", "A_Star", "A_Indirection", "SelectStmt"):
            return None
        if name == "ColumnRef":
            parts = [inner(part)[1].sval for part in message.fields]
            if parts[-1] in range_names:
                return None  # a whole row, or a column that is called like one
            columns.add(parts[-1])
    return frozenset(columns)


def _is_count(call: Any) -> bool:
    names = [inner(part)[1].sval for part in call.funcname]
    return names in (["count"], ["pg_catalog", "count"])


def _nodes(message: Any) -> Iterator[tuple[str, Any]]:
    yield type(message).__name__, message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for item in value if descriptor.is_repeated else (value,):
                yield from _nodes(item)
