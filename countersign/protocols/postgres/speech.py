"""What the server's own words about a statement (errors, notices) may hold. Pure and total.

A text can quote a row ("Key (email)=(...) already exists", 'invalid input syntax for type integer: "..."'), and code of users' own can
say anything in it, under any SQLSTATE. So three degrees: ``PLAIN``, nothing masked can be in it; ``ROWS``, PostgreSQL speaks, of rows
that may be masked; ``ANYTHING``, users' code may speak, or it is not known who does. It errs to one side only.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import postgast

from countersign.protocols.postgres.inspector import Finding, inner, walk
from countersign.protocols.postgres.inspector.expressions import check_call, check_operator, check_type
from countersign.protocols.postgres.inspector.tree import descendants, enum_name
from countersign.protocols.postgres.masking import DDL, SAMPLING_CATALOGS, SELECT, MaskedColumns
from countersign.protocols.postgres.remembering import remembered


class Speech(IntEnum):
    """How much of the server's words may have to be withheld."""

    PLAIN = 0
    ROWS = 1
    ANYTHING = 2


@dataclass(frozen=True, slots=True)
class Topic:
    """``touched``: each relation, without its schema, and what is done to it. ``is_ddl``: it sets event triggers going. ``types`` and
    ``functions`` are those that it names and that may be users' own. ``makes_code``: what follows in its transaction may run code that the
    catalog does not show to others yet."""

    touched: frozenset[tuple[str, str]] = frozenset()
    is_ddl: bool = False
    types: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    makes_code: bool = False


NOTHING = Topic()
ONLY_NAMES = Topic(is_ddl=True)
NEW_CODE = Topic(is_ddl=True, makes_code=True)

QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
OF_THE_SESSION = frozenset(
    """
    variable_show_stmt variable_set_stmt transaction_stmt prepare_stmt deallocate_stmt discard_stmt close_portal_stmt constraints_set_stmt
    lock_stmt notify_stmt listen_stmt unlisten_stmt check_point_stmt
    """.split()
)
"""Commands that look at no row. What a COMMIT makes others do late is theirs (see ``Conversation.speech``)."""

OF_NAMES = frozenset(
    """
    create_stmt view_stmt create_schema_stmt create_seq_stmt alter_seq_stmt create_domain_stmt create_enum_stmt create_range_stmt
    composite_type_stmt alter_enum_stmt alter_type_stmt define_stmt replica_identity_stmt alter_collation_stmt alter_operator_stmt
    alter_op_family_stmt create_op_class_stmt create_op_family_stmt alter_stats_stmt create_stats_stmt alter_tsdictionary_stmt
    alter_tsconfiguration_stmt alter_object_depends_stmt alter_object_schema_stmt rename_stmt drop_stmt comment_stmt create_trig_stmt
    create_event_trig_stmt alter_event_trig_stmt rule_stmt create_function_stmt alter_function_stmt create_cast_stmt
    create_conversion_stmt create_transform_stmt create_policy_stmt alter_policy_stmt grant_stmt grant_role_stmt
    alter_default_privileges_stmt create_role_stmt alter_role_stmt alter_role_set_stmt drop_role_stmt alter_owner_stmt drop_owned_stmt
    reassign_owned_stmt createdb_stmt dropdb_stmt alter_database_stmt alter_database_set_stmt alter_database_refresh_coll_stmt
    create_table_space_stmt alter_table_space_options_stmt drop_table_space_stmt alter_table_move_all_stmt alter_system_stmt
    create_publication_stmt alter_publication_stmt
    """.split()
)
"""Commands that change the catalog and neither read a row nor run code: their words are names that stand in them or in the catalog."""

MAKE_CODE = frozenset(
    """
    create_trig_stmt create_event_trig_stmt alter_event_trig_stmt rule_stmt create_policy_stmt alter_policy_stmt create_cast_stmt
    create_domain_stmt define_stmt create_function_stmt alter_function_stmt create_range_stmt create_op_class_stmt create_op_family_stmt
    alter_op_family_stmt alter_operator_stmt alter_type_stmt
    """.split()
)
"""Those that name code for later commands to run."""

CODE_OBJECTS = ("OBJECT_FUNCTION", "OBJECT_PROCEDURE", "OBJECT_ROUTINE", "OBJECT_AGGREGATE")

OF_RELATIONS = frozenset(
    "index_stmt alter_table_stmt refresh_mat_view_stmt truncate_stmt vacuum_stmt cluster_stmt reindex_stmt".split()
)
"""Commands that read or compute rows of the relations that they name."""

ROWLESS_FORMS = frozenset(
    """
    AT_DropColumn AT_ColumnDefault AT_DropNotNull AT_SetStatistics AT_SetOptions AT_ResetOptions AT_SetStorage AT_SetCompression
    AT_DropConstraint AT_ChangeOwner AT_ClusterOn AT_DropCluster AT_SetRelOptions AT_ResetRelOptions AT_EnableTrig AT_EnableAlwaysTrig
    AT_EnableReplicaTrig AT_DisableTrig AT_EnableTrigAll AT_DisableTrigAll AT_EnableTrigUser AT_DisableTrigUser AT_EnableRule
    AT_EnableAlwaysRule AT_EnableReplicaRule AT_DisableRule AT_ReplicaIdentity AT_EnableRowSecurity AT_DisableRowSecurity
    AT_ForceRowSecurity AT_NoForceRowSecurity AT_AddIdentity AT_SetIdentity AT_DropIdentity AT_AlterConstraint
    """.split()
)
"""Forms of ALTER TABLE that look at no row."""

ROWLESS_KINDS = frozenset({"OBJECT_SEQUENCE", "OBJECT_VIEW", "OBJECT_INDEX", "OBJECT_TYPE"})
SERIALS = frozenset({"serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"})
"""What the server takes for an integer with a sequence."""

EVENTS_OF = {"UpdateStmt": ("UPDATE",), "DeleteStmt": ("DELETE",), "MergeStmt": ("INSERT", "UPDATE", "DELETE")}


@remembered(2048)
def topics(sql: str) -> tuple[Topic | None, ...]:
    """One a statement; None where code that is not read here may speak. Empty where the text cannot be parsed."""
    try:
        return tuple(_topic(raw.stmt) for raw in postgast.parse(sql).stmts)
    except Exception:  # of what cannot be read nothing is known
        return ()


def speech_about(topic: Topic | None, masked: MaskedColumns, fresh: Collection[str] = ()) -> Speech:
    """How much of the words about a statement may have to be withheld, by what the target's catalog says. ``fresh``: relations that are
    too new for the catalog and known to be plain."""
    if topic is None or (topic.is_ddl and masked.has_event_triggers):
        return Speech.ANYTHING
    if not topic.types <= masked.plain_types or topic.types & masked.checked_types or topic.functions & masked.own_functions:
        return Speech.ANYTHING
    names = {name for name, _ in topic.touched}
    system = {name for name in names if name.startswith("pg_") and name not in SAMPLING_CATALOGS}
    if not names <= masked.known_names.union(system, fresh) or topic.touched & masked.run_code:
        return Speech.ANYTHING
    return Speech.ROWS if topic.touched & masked.show_rows else Speech.PLAIN


def fresh_tables(sql: str, before: int, masked: MaskedColumns) -> dict[str, frozenset[str]]:
    """The tables, with their columns, that the statements of a text ahead of one have made, and that hold nothing but what statements
    that touch nothing masked put there. Empty where any other kind of statement lies between."""
    made: dict[str, frozenset[str]] = {}
    for node, topic in zip(_statements(sql)[:before], topics(sql), strict=False):
        kind, tree = inner(node)
        if kind == "create_stmt" and _is_plain_table(tree):
            made[tree.relation.relname] = frozenset(inner(element)[1].colname for element in tree.table_elts)
        elif kind not in QUERIES | {"transaction_stmt"} or speech_about(topic, masked, made) is not Speech.PLAIN:
            return {}
    return made


def _is_plain_table(tree: Any) -> bool:
    """Columns and nothing else: no parent, no pattern, no partition, no constraint apart."""
    within = (tree.inh_relations, tree.HasField("partbound"), tree.HasField("of_typename"), tree.if_not_exists)
    return not any(within) and all(inner(element)[0] == "column_def" for element in tree.table_elts)


def _statements(sql: str) -> list[Any]:
    try:
        return [raw.stmt for raw in postgast.parse(sql).stmts]
    except Exception:  # of what cannot be read nothing is known
        return []


def _topic(node: Any) -> Topic | None:
    kind, tree = inner(node)
    if kind in OF_THE_SESSION:
        return NOTHING
    if kind in OF_NAMES:
        return _of_names(kind, tree)
    if kind in OF_RELATIONS:
        return _of_relations(kind, tree)
    match kind:
        case _ if kind in QUERIES:
            return _query(kind, tree)
        case "explain_stmt" | "declare_cursor_stmt":
            return _topic(tree.query)  # planned, if not run
        case "create_table_as_stmt":
            within = _topic(tree.query)
            return replace(within, is_ddl=True) if within is not None else None
        case "copy_stmt":
            return _copy(tree)
        case "alter_domain_stmt" if tree.subtype in ("T", "N", "X"):
            return NEW_CODE  # the others look at the rows of whatever has such a column
        case _:
            return None


def _of_names(kind: str, tree: Any) -> Topic | None:
    if kind in MAKE_CODE or (kind == "rename_stmt" and enum_name(tree, "rename_type") in CODE_OBJECTS):
        return NEW_CODE
    if kind == "create_stmt":
        within = _without_users_code(tree, Finding(), frozenset())
        if tree.HasField("partbound"):
            return within  # bounds are computed at once, defaults and checks where there are rows
        return ONLY_NAMES if within is not None else NEW_CODE
    return ONLY_NAMES


def _query(kind: str, tree: Any) -> Topic | None:
    found = Finding()
    walk(tree, frozenset(), found)
    makes = kind == "select_stmt" and tree.HasField("into_clause")
    return None if found.is_opaque else _topic_of(found, _written(tree), is_ddl=makes)


def _copy(tree: Any) -> Topic | None:
    if tree.is_program or tree.filename:
        return None
    found = Finding()
    for part in (tree.query, tree.where_clause):
        walk(part, frozenset(), found)
    touched = set(_written(tree.query))
    if tree.HasField("relation"):
        touched.add((tree.relation.relname, "INSERT" if tree.is_from else SELECT))
    return None if found.is_opaque else _topic_of(found, touched)


def _topic_of(found: Finding, touched: Iterable[tuple[str, str]], *, is_ddl: bool = False) -> Topic:
    reads = {(name.rsplit(".", 1)[-1], SELECT) for name in found.reads}
    functions = frozenset(name.rsplit(".", 1)[-1] for name in found.functions)
    return Topic(frozenset((*reads, *touched)), is_ddl, frozenset(found.types) - SERIALS, functions)


def _written(tree: Any) -> Iterator[tuple[str, str]]:
    for node in descendants(tree):
        name = type(node).__name__
        events = EVENTS_OF.get(name, ())
        if name == "InsertStmt":
            events = ("INSERT", "UPDATE") if node.HasField("on_conflict_clause") else ("INSERT",)
        for event in (*events, SELECT) if events else ():
            yield node.relation.relname, event


def _of_relations(kind: str, tree: Any) -> Topic | None:
    if kind == "alter_table_stmt":
        forms = {enum_name(inner(node)[1], "subtype") for node in tree.cmds}
        if forms <= ROWLESS_FORMS or enum_name(tree, "objtype") in ROWLESS_KINDS:
            return ONLY_NAMES if _without_users_code(tree, Finding(), frozenset()) is not None else NEW_CODE
    names = {node.relname for node in descendants(tree) if type(node).__name__ == "RangeVar"}
    if not names:
        return None  # VACUUM and CLUSTER of everything
    event = "TRUNCATE" if kind == "truncate_stmt" else DDL
    return _without_users_code(tree, Finding(), frozenset((name, event) for name in names))


def _without_users_code(tree: Any, found: Finding, touched: frozenset[tuple[str, str]]) -> Topic | None:
    """For commands that hold expressions and are no queries."""
    for node in descendants(tree):
        name = type(node).__name__
        if name == "FuncCall":
            check_call(node, found)
        elif name == "TypeName":
            check_type(node, found)
        elif name == "A_Expr":
            check_operator(node.name, found)
        elif name == "SelectStmt":
            return None
    return None if found.is_opaque else _topic_of(found, touched, is_ddl=True)
