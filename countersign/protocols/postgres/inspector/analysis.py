"""What the server may run while it only analyses a statement, as for a Parse. Pure and total.

A literal becomes a value of its type during analysis (``coerce_type`` in ``parse_coerce.c``). For a domain that is a value of its base
type, and the checks wait until the statement runs. A domain within an array, a row or a range is checked there and then, and a check
may call anything.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import postgast

from countersign.protocols.postgres.inspector.commands import QUERIES
from countersign.protocols.postgres.inspector.expressions import literal_problem
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.relations import row_problem
from countersign.protocols.postgres.inspector.tree import descendants, inner, possible_rows, words
from countersign.protocols.postgres.schema import Schema, Type

ANALYSED = (*QUERIES, "explain_stmt", "declare_cursor_stmt", "create_table_as_stmt", "call_stmt")
"""Commands that a Parse analyses. The server leaves the others alone until they run."""


def analysis_problem(sql: str, schema: Schema, *, is_certain: bool) -> str:
    """Why the analysis of a text may run code of users'; empty where it cannot. ``is_certain``: the server reads text as the grammar
    here does, and the catalog holds for it."""
    if schema.is_read and not has_checked_types(schema) and not schema.unsettled_because:
        return ""
    try:
        trees = [inner(raw.stmt) for raw in postgast.parse(sql).stmts]
        analysed = [tree for kind, tree in trees if kind in ANALYSED]
    except Exception as error:  # the grammar's own complaint, or anything else that keeps it from being read
        return f"it cannot be read: {error}"
    if not analysed and is_certain:
        return ""
    if not schema.is_read or schema.unsettled_because or not is_certain:
        return schema.unsettled_because or "what it means to the server is not certain"
    return next((why for tree in analysed for why in _problems(tree, schema)), "")


@lru_cache(maxsize=64)
def has_checked_types(schema: Schema) -> bool:
    """Whether there is any type whose literals are checked during analysis."""
    found = Finding(schema=schema)
    return any(literal_problem(type_, found) for type_ in schema.types.values())


def _problems(tree: Any, schema: Schema) -> Iterator[str]:
    """What a statement may make a literal into: a type that it names, a row or a column's type, or what a user's function or operator
    takes."""
    found = Finding(schema=schema)
    rows = set(possible_rows(tree))
    for node in descendants(tree):
        match type(node).__name__:
            case "TypeName":
                yield from _of_types(words(node.names), found)
            case "RangeVar":
                for relation in schema.relations_named(node.schemaname, node.relname):
                    types = (schema.types.get(column.type_oid) for column in relation.columns)
                    yield from (why for type_ in types if type_ is not None and (why := literal_problem(type_, found)))
                    if (node.alias.aliasname or node.relname) in rows and (why := row_problem(relation, found)):
                        yield why
            case "FuncCall":
                said = words(node.funcname)
                yield from _of_types(said, found)
                yield from (
                    f"it calls {own}" for own in schema.functions_named(".".join(said[:-1]), said[-1]) if not own.is_harmless
                )
            case "A_Expr":
                said = words(node.name)
                operators = schema.operators_named(".".join(said[:-1]), said[-1]) if said else ()
                yield from (f"it uses the operator {own.schema}.{own.name}" for own in operators if not own.is_harmless)
            case _:
                pass


def _of_types(said: list[str], found: Finding) -> Iterator[str]:
    assert found.schema is not None
    place, name = ".".join(said[:-1]), said[-1] if said else ""
    named: tuple[Type, ...] = (*found.schema.types_named(place, name), *found.schema.types_named(place, name.removeprefix("_")))
    for type_ in named:
        if why := literal_problem(type_, found) or _of_arrays(type_, found):
            yield why


def _of_arrays(type_: Type, found: Finding) -> str:
    """The same of the arrays of a type that is named."""
    return literal_problem(Type(0, type_.schema, f"{type_.name}[]", "array", (type_.oid,)), found)
