"""Whole statements: what each output of one reveals, what it probes and what it moves. Pure and total."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import postgast

from countersign._core import shape_key
from countersign.protocols.postgres.inspector import TEXT_LIMIT
from countersign.protocols.postgres.inspector.tree import descendants, enum_name, inner, words
from countersign.protocols.postgres.lineage.expressions import reveals
from countersign.protocols.postgres.lineage.queries import query, relation_written
from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, union, unknown
from countersign.protocols.postgres.lineage.scope import MOST_STEPS, Frame, Gathered, Scope, TooComplex
from countersign.protocols.postgres.lineage.world import World

QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
WITHOUT_ROWS = frozenset({"variable_show_stmt", "variable_set_stmt", "transaction_stmt"})
"""What they answer is no value of a row."""

ANYTHING = frozenset({"*"})
"""Stands for the columns where it cannot be told which."""

COMPUTED = frozenset({"CONSTR_GENERATED"})
RENAMED = frozenset({"OBJECT_COLUMN", "OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE", "OBJECT_SCHEMA"})


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known of one statement.

    ``row``: its outputs; None where nothing is known of them. ``probes``: the masked columns that decide which rows are seen and in which
    order; ``moves``: those that are copied to where they are not masked; both named ``schema.table.column``, or ``*`` where it cannot be
    told. ``relations``: every relation read or written, without its schema.
    """

    row: Row | None
    probes: frozenset[str] = frozenset()
    moves: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()
    why: str = ""
    """Why nothing is known of the outputs."""

    def reveals(self, index: int, width: int) -> Reveals:
        """What an output reveals, in an answer of so many columns."""
        return unknown(self.why or "the statement is not understood") if self.row is None else self.row.at(index, width)


NOT_READ = Lineage(None, ANYTHING, ANYTHING)


def lineages(sql: str, world: World) -> tuple[Lineage, ...]:
    """One a statement. Empty where the text cannot be parsed, or is longer than the inspector reads."""
    if len(sql) > TEXT_LIMIT:
        return ()
    key = shape_key(sql.encode("utf-8", "replace"), True)  # no constant that a shape leaves out decides about columns
    kept = world.readings.get(key)
    if kept is None:
        kept = _lineages(sql, world)
        world.keep(key, kept)
    found: tuple[Lineage, ...] = kept
    return found


def _lineages(sql: str, world: World) -> tuple[Lineage, ...]:
    try:
        return tuple(_lineage(raw.stmt, world) for raw in postgast.parse(sql).stmts)
    except Exception:  # of what cannot be parsed, the inspector says the same
        return ()


def _lineage(node: Any, world: World) -> Lineage:
    scope = Scope(world, Gathered(), [MOST_STEPS])
    try:
        row = _statement(node, scope)
    except (TooComplex, RecursionError):
        return Lineage(None, ANYTHING, ANYTHING, why="the statement is too complex")
    except Exception:  # a tree of a form that is not expected: nothing is certain
        return NOT_READ
    found = scope.gathered
    return Lineage(row, frozenset(found.probes), frozenset(found.moves), frozenset(found.relations))


def _statement(node: Any, scope: Scope) -> Row | None:
    kind, tree = inner(node)
    if kind in QUERIES:
        return query(tree, scope)
    if kind in WITHOUT_ROWS:
        return Row(rest=NOTHING)
    match kind:
        case "explain_stmt":
            _statement(tree.query, scope)
            if not _is_run(tree):
                scope.gathered.moves.clear()
            return Row(rest=Reveals(unknown=frozenset(scope.gathered.unknown)))
        case "declare_cursor_stmt" | "prepare_stmt":
            _statement(tree.query, scope)
        case "copy_stmt":
            _copy(tree, scope)
        case "create_table_as_stmt" | "view_stmt":
            row = _statement(tree.query, scope)
            scope.gathered.moves |= row.whole.columns if row is not None else ANYTHING
        case "index_stmt":
            _of_relation(tree.relation, (*tree.index_params, tree.where_clause), scope)
            _keys(tree.relation, [inner(each)[1].name for each in tree.index_params], scope)
        case "create_policy_stmt":
            _of_relation(tree.table, (tree.qual, tree.with_check), scope)
        case "create_stats_stmt":
            for relation in tree.relations:
                _of_relation(inner(relation)[1], tree.exprs, scope)
        case "rule_stmt":
            _rule(tree, scope)
        case "alter_table_stmt":
            _alter(tree, scope)
        case "rename_stmt" | "alter_object_schema_stmt":
            _renamed(tree, scope)
        case "create_stmt":
            _referred(tree, scope)
        case "create_schema_stmt":
            for element in tree.schema_elts:
                _statement(element, scope)
        case _:
            return None
    return None


def _is_run(explain: Any) -> bool:
    """Whether an EXPLAIN runs its statement; in doubt it does."""
    return any(inner(option)[1].defname == "analyze" for option in explain.options)


def expression(text: str, schema: str, table: str, world: World) -> Reveals:
    """What an expression of the catalog's own reveals that belongs to a relation, such as that of a generated column."""
    scope = Scope(world, Gathered(), [MOST_STEPS])
    frame = Frame()
    row = world.row(schema, table)
    frame.rows.append(row)
    frame.call(table, row)
    try:
        tree = inner(postgast.parse(f"SELECT {text}").stmts[0].stmt)[1]
        return union(reveals(target, scope.within(frame)) for target in tree.target_list)
    except Exception as error:  # a catalog newer than the grammar, or too complex
        return unknown(f"it cannot be read: {error}")


# -- what looks at rows, or takes them elsewhere


def _copy(tree: Any, scope: Scope) -> None:
    if tree.HasField("query"):
        row = _statement(tree.query, scope)
        taken = row.whole if row is not None else NOTHING
    else:
        relation = relation_written(tree.relation, scope)
        names = words(tree.attlist)
        taken = union(relation.certain(name) or NOTHING for name in names) if names else relation.whole
    if not tree.is_from and (tree.is_program or tree.filename):
        scope.gathered.moves |= taken.columns
    if tree.HasField("where_clause"):
        _of_relation(tree.relation, (tree.where_clause,), scope)


def _of_relation(relation: Any, nodes: Iterable[Any], scope: Scope, *, moves: bool = False) -> None:
    """Expressions over the rows of one relation."""
    row, frame = relation_written(relation, scope), Frame()
    frame.rows.append(row)
    frame.call(relation.alias.aliasname or relation.relname, row)
    for name in ("new", "old"):
        frame.call(name, row)
    within = scope.within(frame)
    for node in nodes:
        found = reveals(node, within)
        scope.probe(found)
        if moves:
            scope.gathered.moves |= found.columns


def _keys(relation: Any, names: Iterable[str], scope: Scope) -> None:
    row = relation_written(relation, scope)
    scope.probe(union(row.certain(name) or NOTHING for name in names if name))


def _rule(tree: Any, scope: Scope) -> None:
    """Its actions will run with rows of the relation in them."""
    row, frame = relation_written(tree.relation, scope), Frame()
    for name in ("new", "old"):
        frame.call(name, row)
    within = scope.within(frame)
    scope.probe(reveals(tree.where_clause, within))
    for node in tree.actions:
        kind, action = inner(node)
        if kind in QUERIES:
            answer = query(action, within)
            scope.gathered.moves |= answer.whole.columns


def _alter(tree: Any, scope: Scope) -> None:
    """USING and generated columns carry values elsewhere; checks and keys look at them; what is no part of its parent any more, or is
    computed no more, is no longer masked with it."""
    _referred(tree, scope)
    for _, command in map(inner, tree.cmds):
        kind, definition = inner(getattr(command, "def"))
        match enum_name(command, "subtype"), kind:
            case (_, "constraint"):
                _of_relation(tree.relation, (definition.raw_expr, definition.where_clause), scope)
                _keys(tree.relation, words(definition.keys) + words(definition.fk_attrs), scope)
            case ("AT_AlterColumnType", "column_def"):
                _converted(tree.relation, command.name, definition.raw_default, scope)
            case (_, "column_def"):
                for _, constraint in map(inner, definition.constraints):
                    is_computed = enum_name(constraint, "contype") in COMPUTED
                    _of_relation(tree.relation, (constraint.raw_expr,), scope, moves=is_computed)
            case ("AT_SetExpression", _):
                _of_relation(tree.relation, (getattr(command, "def"),), scope, moves=True)
            case ("AT_DropExpression", _):
                scope.gathered.moves |= (relation_written(tree.relation, scope).certain(command.name) or NOTHING).columns
            case ("AT_DropInherit", "range_var"):
                scope.gathered.moves |= relation_written(tree.relation, scope).whole.columns
            case ("AT_DetachPartition", "partition_cmd"):
                scope.gathered.moves |= relation_written(definition.name, scope).whole.columns


def _referred(tree: Any, scope: Scope) -> None:
    """A foreign key to a masked column tells of each value whether it is there."""
    for node in descendants(tree):
        if type(node).__name__ == "Constraint" and node.HasField("pktable"):
            _keys(node.pktable, words(node.pk_attrs), scope)


def _converted(relation: Any, column: str, using: Any, scope: Scope) -> None:
    """ALTER COLUMN ... TYPE ... USING: of the column itself it is still that column."""
    row, frame = relation_written(relation, scope), Frame()
    frame.rows.append(row)
    frame.call(relation.relname, row)
    found = reveals(using, scope.within(frame))
    held = row.certain(column)
    if held is None or not held.columns:
        scope.gathered.moves |= found.columns


def _renamed(tree: Any, scope: Scope) -> None:
    """Mask rules go by names: what is called otherwise may not be masked any more."""
    kind = enum_name(tree, "rename_type" if "rename_type" in tree.DESCRIPTOR.fields_by_name else "object_type")
    if kind not in RENAMED:
        return
    if kind == "OBJECT_SCHEMA":
        name = tree.subname
        held = [relation for same in scope.world.relations.values() for relation in same if relation.schema == name]
        scope.gathered.moves |= {f"{one.schema}.{one.name}.{column}" for one in held for column in one.masked}
        return
    row = relation_written(tree.relation, scope)
    taken = row.certain(tree.subname) or NOTHING if kind == "OBJECT_COLUMN" else row.whole
    scope.gathered.moves |= taken.columns
