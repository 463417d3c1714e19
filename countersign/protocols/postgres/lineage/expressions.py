"""What an expression reveals: every masked column in it, but for what is on one short list. Pure.

The list, each of which tells only whether there is a value: ``count(*)``, ``count(column)`` and ``column IS [NOT] NULL``, of a column as
it stands. A condition counts as much as a value, in CASE as in a sub-select: ``CASE WHEN ssn LIKE '1%' THEN 1 END`` reveals the ssn.
"""

from typing import Any

from countersign.protocols.postgres.functions import REVIEWED
from countersign.protocols.postgres.inspector.queries import CONSTRUCTS
from countersign.protocols.postgres.inspector.tree import children, inner, words
from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, union
from countersign.protocols.postgres.lineage.scope import Scope

COUNT = (["count"], ["pg_catalog", "count"])
CONSTANTS = frozenset({"A_Const", "ParamRef", "SetToDefault", "String", "Integer", "Float", "Boolean", "SQLValueFunction"})
MANY_ROWS = frozenset(
    """
    generate_series generate_subscripts unnest regexp_matches regexp_split_to_table string_to_table json_array_elements
    json_array_elements_text json_each json_each_text json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements
    jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset
    jsonb_to_recordset ts_parse aclexplode
    """.split()
)
"""Functions of which the arguments decide how many rows there are."""


def reveals(node: Any, scope: Scope) -> Reveals:
    """What a value of this expression can depend on. Raises ``TooComplex``."""
    item = inner(node)[1] if type(node).__name__ == "Node" else node
    name = type(item).__name__
    if item is None or name in CONSTANTS:
        return NOTHING
    scope.step()
    match name:
        case "ColumnRef":
            return _reference(item, scope)
        case "NullTest" if _is_plain(item.arg, scope):
            return NOTHING
        case "FuncCall":
            return _call(item, scope)
        case "SubLink":
            return _sub_select(item, scope)
        case "A_Indirection":
            return _part_of(item, scope)
        case "WindowDef":
            return union([_parts(item, scope), scope.windows if item.name or item.refname else NOTHING])
        case "TypeName":
            doubt = scope.doubt(scope.world.type_problem(words(item.names)))
            return union([doubt, _parts(item, scope)])
        case "A_Expr":
            doubt = scope.doubt(scope.world.operator_problem(words(item.name)))
            return union([doubt, _parts(item, scope)])
        case _ if name in CONSTRUCTS:
            return _parts(item, scope)
        case _:
            return scope.doubt(f"{name} is not understood")


def _parts(item: Any, scope: Scope) -> Reveals:
    return union(reveals(part, scope) for _, part in children(item))


def _is_plain(node: Any, scope: Scope) -> bool:
    """True for a bare column, whose value is that of a stored one as it stands."""
    kind, item = inner(node)
    return kind == "column_ref" and len(words(item.fields)) == len(item.fields) and scope.column(words(item.fields)).is_plain


def _reference(reference: Any, scope: Scope) -> Reveals:
    parts = words(reference.fields)
    if len(parts) == len(reference.fields):
        return scope.column(parts)
    if not parts:  # a bare star: a row of everything
        return scope.frames[0].star().whole if scope.frames else NOTHING
    rows = scope.rows_called(parts[-1])
    return union(row.whole for row in rows) if rows else scope.doubt(f"the name {parts[-1]} is not known here")


def _call(call: Any, scope: Scope) -> Reveals:
    names = words(call.funcname)
    about = [call.agg_filter, call.over, *call.agg_order]
    around = union(reveals(part, scope) for part in about)
    scope.probe(around)
    if names in COUNT and not call.agg_distinct and (call.agg_star or (len(call.args) == 1 and _is_plain(call.args[0], scope))):
        return around
    given = union(reveals(argument, scope) for argument in call.args)
    if names[-1] in MANY_ROWS:
        scope.probe(given)
    if names[-1] in REVIEWED:
        scope.gathered.moves |= given.columns  # to a notification, a lock, a sequence, a file, another server
    return union([scope.doubt(scope.world.function_problem(names)), given, around])


def _sub_select(link: Any, scope: Scope) -> Reveals:
    """Its answer, and whatever decided what that is. EXISTS looks at no column of it."""
    from countersign.protocols.postgres.lineage.queries import query  # each needs the other

    apart = scope.apart()
    answer = query(inner(link.subselect)[1], apart)
    scope.gathered.take(apart.gathered)
    sub_link_types = link.DESCRIPTOR.fields_by_name["sub_link_type"].enum_type.values_by_number
    kind = sub_link_types[link.sub_link_type].name
    tested = reveals(link.testexpr, scope) if link.HasField("testexpr") else NOTHING
    doubt = scope.doubt(scope.world.operator_problem(words(link.oper_name)))
    if kind != "EXISTS_SUBLINK":
        tested |= answer.whole
    return union([tested, doubt, apart.gathered.reveals])


def _part_of(item: Any, scope: Scope) -> Reveals:
    """``(value).field``, ``(value)[1]``. Of a row that is called by its name, the field alone."""
    indices = union(reveals(part, scope) for kind, part in map(inner, item.indirection) if kind == "a_indices")
    fields = words(item.indirection)
    rows = _row_named(item.arg, scope)
    if rows and fields:
        reference = inner(item.arg)[1]
        of_field = scope.column([words(reference.fields)[-1], fields[0]])
        return union([of_field, indices, *(scope.calls(field) for field in fields[1:])])
    return union([reveals(item.arg, scope), indices, *(scope.calls(field) for field in fields)])


def _row_named(node: Any, scope: Scope) -> list[Row]:
    """The rows that ``(name)`` or ``(name.*)`` means, where it can be nothing but a row."""
    kind, reference = inner(node)
    if kind != "column_ref":
        return []
    parts = words(reference.fields)
    if len(parts) == len(reference.fields):
        if len(parts) != 1 or any(found for frame in scope.frames for found in frame.bare(parts[0])):
            return []
    elif not parts:
        return []
    return scope.rows_called(parts[-1])


def star_of(node: Any, scope: Scope) -> Row | None:
    """The columns that a target ending in a star stands for; None for any other target."""
    kind, item = inner(node)
    if kind == "column_ref" and len(words(item.fields)) < len(item.fields):
        parts = words(item.fields)
        if not parts:
            return scope.frames[0].star()
        rows = scope.rows_called(parts[-1])
        return Row.any_of(rows) if rows else Row(rest=scope.doubt(f"the name {parts[-1]} is not known here"))
    if kind == "a_indirection" and inner(item.indirection[-1])[0] == "a_star":
        rows = _row_named(item.arg, scope) if len(item.indirection) == 1 else []
        return Row.any_of(rows) if rows else Row(rest=reveals(item, scope))
    return None
