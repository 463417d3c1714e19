"""What stands in FROM: relations, CTEs, sub-selects, joins, functions. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from countersign.protocols.postgres.inspector.tree import children, inner, words
from countersign.protocols.postgres.lineage.expressions import reveals
from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, union
from countersign.protocols.postgres.lineage.scope import Frame, Scope


def source(node: Any, scope: Scope, *frames: Frame) -> Row:
    """The columns of an item of FROM; its names are put into the first of the frames, all of which LATERAL sees.

    Raises ``TooComplex``.
    """
    scope.step()
    kind, item = inner(node)
    frame, sees = frames[0], replace(scope, frames=(*frames, *scope.frames))
    match kind:
        case "range_var":
            row = relation(item, scope).renamed(words(item.alias.colnames))
            frame.call(item.alias.aliasname or item.relname, row)
            return row
        case "join_expr":
            return _join(item, scope, *frames)
        case "range_subselect":
            return _sub_select(item, sees if item.lateral else scope, frame)
        case "range_function":
            return _functions(item, sees, frame)
        case "range_table_sample":
            row = source(item.relation, scope, *frames)
            scope.probe(union(reveals(argument, scope) for argument in (*item.args, item.repeatable)))
            return row
        case _:
            return _table_of_values(item, sees, frame)


def relation(item: Any, scope: Scope) -> Row:
    """The columns of a relation, or of a CTE, by its name."""
    if not item.schemaname and item.relname in scope.ctes:
        return scope.ctes[item.relname].row(scope)
    scope.gathered.relations.add(item.relname)
    row = scope.world.row(item.schemaname, item.relname)
    scope.gathered.unknown |= row.rest.unknown if row.rest is not None else frozenset()
    return row


def _sub_select(item: Any, scope: Scope, frame: Frame) -> Row:
    from countersign.protocols.postgres.lineage.queries import query  # each needs the other

    row = query(inner(item.subquery)[1], scope).renamed(words(item.alias.colnames))
    frame.call(item.alias.aliasname, row)
    return row


def _functions(item: Any, scope: Scope, frame: Frame) -> Row:
    """The arguments decide about values and about how many rows there are. A function sees what stands in FROM before it."""
    given = union(reveals(part, scope) for part in (*item.functions, *item.coldeflist))
    scope.probe(given)
    defined = [definition.colname for _, definition in map(inner, _definitions(item))]
    names = words(item.alias.colnames)
    is_fixed = bool(defined) and not item.ordinality and len(item.functions) == 1
    row = Row(tuple((name, given) for name in defined), rest=None if is_fixed else given).renamed(names)
    if not names and not defined and not item.ordinality:
        row = replace(row, rest=given)
    frame.call(item.alias.aliasname or _function_name(item), row)
    return row


def _definitions(item: Any) -> Iterable[Any]:
    if item.coldeflist:
        return list(item.coldeflist)
    found = []
    for kind, pair in map(inner, item.functions):
        if kind == "list" and len(pair.items) > 1 and inner(pair.items[1])[0] == "list":
            found += list(inner(pair.items[1])[1].items)
    return found


def _function_name(item: Any) -> str:
    for kind, pair in map(inner, item.functions):
        if kind == "list" and pair.items and inner(pair.items[0])[0] == "func_call":
            return words(inner(pair.items[0])[1].funcname)[-1]
    return ""


def _table_of_values(item: Any, scope: Scope, frame: Frame) -> Row:
    """XMLTABLE, JSON_TABLE, and whatever else there may come to be."""
    if item is None:
        return Row()
    given = union(reveals(part, scope) for field, part in children(item) if field != "alias")
    scope.probe(given)
    alias = getattr(item, "alias", None)
    row = Row(rest=given).renamed(words(alias.colnames) if alias is not None else [])
    frame.call(alias.aliasname if alias is not None else "", row)
    return row


# -- joins


def _join(join: Any, scope: Scope, *frames: Frame) -> Row:
    frame, inside = frames[0], Frame()
    left = source(join.larg, scope, inside, *frames)
    inside.rows.append(left)
    right = source(join.rarg, scope, inside, *frames)
    inside.rows.append(right)
    scope.probe(reveals(join.quals, scope.within(inside)))
    shared = _shared(join, left, right)
    merged = tuple((name, _named(left, name) | _named(right, name)) for name in shared or ())
    scope.probe(*(each for _, each in merged))
    if shared is None:  # NATURAL, and it is not known by which columns
        scope.probe(left.whole, right.whole)
        row = Row(rest=left.whole | right.whole)
    elif merged:
        row = Row(merged).beside(_without(left, shared)).beside(_without(right, shared))
    else:
        row = left.beside(right)
    frame.call(join.join_using_alias.aliasname, Row(merged))
    if join.alias.aliasname:
        row = row.renamed(words(join.alias.colnames))
        frame.call(join.alias.aliasname, row)
    else:
        frame.take_names(inside)
    return row


def _shared(join: Any, left: Row, right: Row) -> list[str] | None:
    """The columns that a join merges; None where that is not known."""
    if not join.is_natural:
        return words(join.using_clause)
    others = {name for name, _ in right.head}
    if not (left.is_fixed and right.is_fixed) or "" in others.union(name for name, _ in left.head):
        return None
    return [name for name, _ in left.head if name in others]


def _named(row: Row, name: str) -> Reveals:
    certain = row.certain(name)
    return certain if certain is not None else row.possible(name) or NOTHING


def _without(row: Row, names: list[str]) -> Row:
    def kept(columns: tuple[tuple[str, Reveals], ...]) -> tuple[tuple[str, Reveals], ...]:
        return tuple(column for column in columns if column[0] not in names)

    return Row(kept(row.head), kept(row.loose), row.rest, kept(row.tail), row.is_stored)
