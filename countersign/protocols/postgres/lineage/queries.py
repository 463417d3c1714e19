"""SELECT, VALUES, set operations and WITH, and what INSERT, UPDATE, DELETE and MERGE give back. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from countersign.protocols.postgres.inspector.tree import enum_name, inner, words
from countersign.protocols.postgres.lineage.expressions import reveals, star_of
from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, union
from countersign.protocols.postgres.lineage.scope import Frame, Gathered, Scope, TooComplex
from countersign.protocols.postgres.lineage.sources import relation, source

ANY_COLUMN = ""
"""Where it is not known which column is written."""

MOST_ROUNDS = 64
"""How often a recursive CTE is read until nothing new is found; each round finds a masked column more, or is the last."""


def query(tree: Any, scope: Scope) -> Row:
    """The columns of a statement's answer. Raises ``TooComplex``."""
    scope.step()
    if "with_clause" in tree.DESCRIPTOR.fields_by_name and tree.HasField("with_clause"):
        scope = _with(tree.with_clause, scope)
    match type(tree).__name__:
        case "SelectStmt":
            return _select(tree, scope)
        case "InsertStmt":
            return _insert(tree, scope)
        case "UpdateStmt":
            return _update(tree, scope)
        case "DeleteStmt":
            return _delete(tree, scope)
        case "MergeStmt":
            return _merge(tree, scope)
        case name:
            return Row(rest=scope.doubt(f"{name} is not understood"))


# -- WITH


def _with(clause: Any, scope: Scope) -> Scope:
    """Without RECURSIVE a CTE sees those ahead of it. Every one is read, named or not, for it may write."""
    ctes = dict(scope.ctes)
    tables = []
    for node in clause.ctes:
        table = inner(node)[1]
        seen = ctes if clause.recursive else dict(ctes)
        ctes[table.ctename] = held = _Table(table, replace(scope, ctes=seen))
        tables.append(held)
    for held in tables:
        held.row(scope)
    return replace(scope, ctes=ctes)


class _Table:
    """A CTE, read when it is first named. While it is being read it knows of itself what it has found so far."""

    def __init__(self, table: Any, scope: Scope) -> None:
        self._table = table
        self._scope = scope
        self._row: Row | None = None
        self._gathered: Gathered | None = None

    def row(self, namer: Scope) -> Row:
        """Its columns, and for whoever names it what decides about its rows."""
        if self._row is None:
            self._gathered = self._read()
        if self._gathered is not None:
            namer.gathered.take(self._gathered)
        assert self._row is not None
        return self._row

    def _read(self) -> Gathered:
        tree = inner(self._table.ctequery)[1]
        self._row = Row(rest=NOTHING)
        if type(tree).__name__ == "SelectStmt" and tree.HasField("larg"):
            self._row = self._called(_first(tree, self._scope.apart()))
        for _ in range(MOST_ROUNDS):
            apart = self._scope.apart()
            row = self._called(query(tree, apart))
            if row == self._row:
                return apart.gathered
            self._row = row
        raise TooComplex

    def _called(self, row: Row) -> Row:
        """By the names of its own, with the columns of SEARCH and CYCLE."""
        row = row.renamed(words(self._table.aliascolnames))
        search, cycle = self._table.search_clause, self._table.cycle_clause
        if search.search_seq_column:
            row = row.beside(Row(((search.search_seq_column, row.whole),)))
        if cycle.cycle_mark_column:
            row = row.beside(Row(((cycle.cycle_mark_column, row.whole), (cycle.cycle_path_column, row.whole))))
        return row


def _first(tree: Any, scope: Scope) -> Row:
    """The columns of a recursive CTE's first part."""
    return query(tree.larg, _with(tree.with_clause, scope) if tree.HasField("with_clause") else scope)


# -- SELECT


def _select(tree: Any, scope: Scope) -> Row:
    if tree.values_lists:
        row = _values(tree.values_lists, scope)
    elif tree.HasField("larg"):
        row = _set_operation(tree, scope)
    else:
        return _moved(tree, _plain_select(tree, scope), scope)
    scope.probe(union(_sorted_by(node, row, scope) for node in tree.sort_clause), _limits(tree, scope))
    return row


def _values(lists: Any, scope: Scope) -> Row:
    rows = [[reveals(value, scope) for value in inner(node)[1].items] for node in lists]
    columns = [union(values) for values in zip(*rows, strict=False)]
    return Row(tuple((f"column{place}", each) for place, each in enumerate(columns, 1)))


def _set_operation(tree: Any, scope: Scope) -> Row:
    row = query(tree.larg, scope).over(query(tree.rarg, scope))
    if not tree.all or enum_name(tree, "op") != "SETOP_UNION":
        scope.probe(row.whole)  # rows are compared
    return row


def _plain_select(tree: Any, outer: Scope) -> Row:
    frame = Frame()
    scope = outer.within(frame)
    for node in tree.from_clause:
        frame.rows.append(source(node, outer, frame))
    windows = union(reveals(node, scope) for node in tree.window_clause)
    scope.probe(windows)
    scope = replace(scope, windows=windows)
    scope.probe(reveals(tree.where_clause, scope), reveals(tree.having_clause, scope))
    row = targets(tree.target_list, scope)
    scope.probe(*(_grouped_by(node, row, scope) for node in tree.group_clause))
    scope.probe(*(_sorted_by(node, row, scope) for node in tree.sort_clause))
    if tree.distinct_clause:
        named = [node for node in tree.distinct_clause if inner(node)[1] is not None]
        scope.probe(union(_distinct_on(node, row, scope) for node in named) if named else row.whole)
    scope.probe(_limits(tree, scope))
    return row


def targets(target_list: Any, scope: Scope) -> Row:
    """The columns that a list of targets gives."""
    row, head = Row(), []
    for node in target_list:
        target = inner(node)[1]
        star = star_of(target.val, scope)
        if star is None:
            head.append((_name(target), reveals(target.val, scope)))
        else:
            row, head = row.beside(Row(tuple(head))).beside(star), []
    return row.beside(Row(tuple(head)))


def _name(target: Any) -> str:
    """What a column of the answer is called; '' where that is not certain (``FigureColname``)."""
    return target.name or _figured(target.val)


def _figured(node: Any) -> str:
    kind, item = inner(node)
    match kind:
        case "column_ref":
            return (words(item.fields) or [""])[-1]
        case "func_call":
            return words(item.funcname)[-1]
        case "a_indirection":
            return (words(item.indirection) or [""])[-1]
        case "collate_clause" | "type_cast":
            return _figured(item.arg)
        case _:
            return ""


def _ordered_by(node: Any, row: Row, scope: Scope) -> Reveals | None:
    """By a place or a name in the answer; None where it is by neither."""
    kind, item = inner(node)
    if kind == "a_const":
        place = item.ival.ival if item.WhichOneof("val") == "ival" else 0
        if not place:
            return NOTHING
        return row.head[place - 1][1] if 0 < place <= len(row.head) else row.whole
    if kind == "column_ref" and len(item.fields) == 1 and words(item.fields):
        name = words(item.fields)[0]
        certain = row.certain(name)
        return certain if certain is not None else row.possible(name)
    return None


def _sorted_by(node: Any, row: Row, scope: Scope) -> Reveals:
    """The answer's names come first."""
    item = inner(node)[1]
    named = _ordered_by(item.node, row, scope)
    doubt = scope.doubt(scope.world.operator_problem(words(item.use_op)))
    if named is not None:
        return named | doubt
    return reveals(item.node, scope) | doubt


def _grouped_by(node: Any, row: Row, scope: Scope) -> Reveals:
    """The names of FROM come first, if they are there."""
    kind, item = inner(node)
    if kind == "grouping_set":
        return union(_grouped_by(part, row, scope) for part in item.content)
    if kind == "row_expr":
        return union(_grouped_by(part, row, scope) for part in item.args)
    named = _ordered_by(node, row, scope)
    if named is None:
        return reveals(node, scope)
    if kind == "column_ref" and any(found for frame in scope.frames[:1] for found in frame.bare(words(item.fields)[0])):
        return named | reveals(node, scope)
    return named


def _distinct_on(node: Any, row: Row, scope: Scope) -> Reveals:
    """A place may be any: texts of one shape differ in it (``shape.rs`` keeps numbers only behind BY)."""
    return row.whole if inner(node)[0] == "a_const" else _grouped_by(node, row, scope)


def _limits(tree: Any, scope: Scope) -> Reveals:
    return reveals(tree.limit_count, scope) | reveals(tree.limit_offset, scope)


def _moved(tree: Any, row: Row, scope: Scope) -> Row:
    if tree.HasField("into_clause"):
        scope.gathered.moves |= row.whole.columns
    return row


# -- INSERT, UPDATE, DELETE, MERGE


def _insert(tree: Any, scope: Scope) -> Row:
    given = query(inner(tree.select_stmt)[1], scope) if tree.HasField("select_stmt") else Row()
    target = relation_written(tree.relation, scope)
    names = [inner(node)[1].name for node in tree.cols] or [name for name, _ in target.head] or [ANY_COLUMN]
    assigned: dict[str, Reveals] = {}
    for place, name in enumerate(names):
        is_known = given.is_fixed and target.is_fixed and place < len(given.head)
        _assign(assigned, name, given.head[place][1] if is_known else given.whole)
    if tree.HasField("on_conflict_clause"):
        _on_conflict(tree, target, assigned, scope)
    _count_moves(target, assigned, scope)
    frame = Frame()
    frame.rows.append(target)
    frame.call(_called(tree.relation), target)
    return _returned(tree, frame, target, assigned, scope)


def _on_conflict(tree: Any, target: Row, assigned: dict[str, Reveals], scope: Scope) -> None:
    clause, frame = tree.on_conflict_clause, Frame()
    frame.rows.append(target)
    frame.call(_called(tree.relation), target)
    frame.call("excluded", _written(target, assigned))
    within = scope.within(frame)
    scope.probe(reveals(clause.where_clause, within), reveals(clause.infer.where_clause, within))
    for node in clause.infer.index_elems:
        element = inner(node)[1]
        scope.probe(within.column([element.name]) if element.name else reveals(element.expr, within))
    _set(clause.target_list, assigned, within)


def _update(tree: Any, scope: Scope) -> Row:
    target, frame = _frame_of(tree, tree.from_clause, scope)
    within = scope.within(frame)
    scope.probe(reveals(tree.where_clause, within))
    assigned: dict[str, Reveals] = {}
    _set(tree.target_list, assigned, within)
    _count_moves(target, assigned, scope)
    return _returned(tree, frame, target, assigned, scope)


def _delete(tree: Any, scope: Scope) -> Row:
    target, frame = _frame_of(tree, tree.using_clause, scope)
    scope.probe(reveals(tree.where_clause, scope.within(frame)))
    return _returned(tree, frame, target, {}, scope)


def _merge(tree: Any, scope: Scope) -> Row:
    target, frame = _frame_of(tree, [tree.source_relation], scope)
    within = scope.within(frame)
    scope.probe(reveals(tree.join_condition, within))
    assigned: dict[str, Reveals] = {}
    for node in tree.merge_when_clauses:
        when = inner(node)[1]
        scope.probe(reveals(when.condition, within))
        if enum_name(when, "command_type") == "CMD_INSERT":
            names = [inner(each)[1].name for each in when.target_list] or [name for name, _ in target.head]
            for place, value in enumerate(when.values):
                _assign(assigned, names[place] if place < len(names) else ANY_COLUMN, reveals(value, within))
        else:
            _set(when.target_list, assigned, within)
    _count_moves(target, assigned, scope)
    frame.rows.append(frame.rows.pop(0))  # RETURNING * gives the source's columns first
    return _returned(tree, frame, target, assigned, scope)


def relation_written(item: Any, scope: Scope) -> Row:
    """The columns of the relation that a statement writes: no CTE, whatever its name."""
    return relation(item, replace(scope, ctes={}))


def _called(relation: Any) -> str:
    return str(relation.alias.aliasname or relation.relname)


def _frame_of(tree: Any, nodes: Iterable[Any], scope: Scope) -> tuple[Row, Frame]:
    """The target, and the frame in which it stands with what is beside it."""
    target, frame = relation_written(tree.relation, scope), Frame()
    frame.rows.append(target)
    frame.call(_called(tree.relation), target)
    for node in nodes:
        frame.rows.append(source(node, scope, frame))
    return target, frame


def _assign(assigned: dict[str, Reveals], name: str, given: Reveals) -> None:
    assigned[name] = assigned.get(name, NOTHING) | given


def _set(target_list: Any, assigned: dict[str, Reveals], scope: Scope) -> None:
    for node in target_list:
        target = inner(node)[1]
        given = reveals(target.val, scope) | union(reveals(part, scope) for part in target.indirection)
        _assign(assigned, target.name, given)


def _count_moves(target: Row, assigned: dict[str, Reveals], scope: Scope) -> None:
    """What goes into a column that is masked itself stays masked, but not where only parts of that are."""
    for name, given in assigned.items():
        held = target.certain(name)
        if held is None or held.columns <= scope.world.partly:
            scope.gathered.moves |= given.columns


def _written(target: Row, assigned: dict[str, Reveals]) -> Row:
    """The target's rows as they are once the statement has run."""
    anywhere = assigned.get(ANY_COLUMN, NOTHING)

    def now(columns: tuple[tuple[str, Reveals], ...]) -> tuple[tuple[str, Reveals], ...]:
        if not any(not each.is_nothing for each in assigned.values()):
            return columns
        return tuple((name, held | assigned.get(name, NOTHING) | anywhere) for name, held in columns)

    rest = None if target.rest is None else union([target.rest, *assigned.values()])
    return Row(now(target.head), now(target.loose), rest, now(target.tail), target.is_stored)


def _returned(tree: Any, frame: Frame, target: Row, assigned: dict[str, Reveals], scope: Scope) -> Row:
    """RETURNING, with what it calls old and new (PostgreSQL 18)."""
    written = _written(target, assigned)
    seen = frame.replaced(target, written)
    names = {enum_name(option, "option"): option.value for _, option in map(inner, tree.returning_clause.options)}
    seen.call(names.get("RETURNING_OPTION_OLD", "old"), target)
    seen.call(names.get("RETURNING_OPTION_NEW", "new"), written)
    return targets(tree.returning_clause.exprs, scope.within(seen))
