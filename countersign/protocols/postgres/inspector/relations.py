"""What reading or writing a relation sets going, as the target's catalog says: views, policies, rules, triggers, cascades."""

from typing import Any

import postgast

from countersign.model import Effect
from countersign.protocols.postgres.builtins import SENSITIVE_RELATIONS, TOAST_SCHEMA
from countersign.protocols.postgres.inspector.columns import query_columns
from countersign.protocols.postgres.inspector.expressions import (
    LOCKED,
    MADE_OF_PARTS,
    UNREADABLE,
    literal_problem,
    part_problem,
    part_reading,
    type_problem,
    unseen_problems,
)
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.tree import descendants, inner, possible_rows, relation_name
from countersign.protocols.postgres.remembering import remembered
from countersign.protocols.postgres.schema import FIRST_USER_OID, IN_SQL, Relation

READ_PARTS = ("policy", "virtual")
"""What of a relation runs when it is only read."""

PLANNED_PARTS = ("check", "index", "statistics", "partition")
"""What the planner looks into, and computes as far as it is constant and called immutable."""


def read_relation(relation: Any, scope: frozenset[str], found: Finding) -> None:
    """A relation that a query names, unless a CTE of that name hides it."""
    if not relation.schemaname and relation.relname in scope:
        return
    name = relation_name(relation)
    why = SENSITIVE_RELATIONS.get(relation.relname)
    if why:
        found.add(Effect.ADMIN, f"reads {relation.relname}, which {why}")
    if relation.schemaname.startswith(TOAST_SCHEMA) or relation.relname.startswith(TOAST_SCHEMA):
        found.add(Effect.ADMIN, f"reads {name}, which holds pieces of other tables' values, which no masking sees")
    candidates = _named(relation, found)
    found.reads.update(dict.fromkeys(full_names(relation, found)))
    if candidates == ():
        _note_missing(f"reads {name}", found)
    for candidate in candidates or ():
        _read(candidate, found)
        if why := row_problem(candidate, found):
            found.rows[relation.alias.aliasname or relation.relname] = f"a literal may become a row of {candidate.full_name}: {why}"


def row_problem(relation: Relation, found: Finding) -> str:
    """Why a literal that becomes a row of a relation may run a check at once."""
    assert found.schema is not None
    rows = found.schema.types_named(relation.schema, relation.name)
    return next((why for row in rows if (why := literal_problem(row, found))), "")


def write_relation(relation: Any, events: frozenset[str], columns: frozenset[str] | None, found: Finding) -> None:
    """A relation that a statement changes; ``columns``: those that an UPDATE sets, None where they are not known."""
    candidates = _named(relation, found)
    found.writes.update(dict.fromkeys(full_names(relation, found)))
    if candidates == ():
        _note_missing(f"writes {relation_name(relation)}", found)
    for candidate in candidates or ():
        _write(candidate, events, columns, found)


def _note_missing(what: str, found: Finding) -> None:
    assert found.schema is not None
    if found.schema.is_of_now:
        found.reasons[f"{what}, which does not exist"] = None  # the server refuses it
    elif found.schema.is_read:
        found.add(Effect.UNKNOWN, f"{what}, which is not in the target's catalog")


def _named(relation: Any, found: Finding) -> tuple[Relation, ...] | None:
    """None where nobody asked the catalog."""
    if found.schema is None:
        return None
    return found.schema.relations_named(relation.schemaname or ("pg_catalog" if found.exact else ""), relation.relname)


def full_names(relation: Any, found: Finding) -> tuple[str, ...]:
    """What a relation is called in full, as far as the catalog knows it; as it is written where it does not."""
    if found.schema is None:
        return (relation_name(relation),)
    place = relation.schemaname or ("pg_catalog" if found.exact else "")
    return found.schema.told(place, relation.relname) or (relation_name(relation),)


# -- reading


def _read(relation: Relation, found: Finding) -> None:
    if relation.oid in found.path or (relation.is_built_in and not relation.uses):
        return
    assert found.schema is not None
    if found.schema.is_locked(relation):
        found.add(Effect.UNKNOWN, f"reads {relation.full_name}, {LOCKED}")
    if relation.kind == "foreign":
        found.add(Effect.UNKNOWN, f"reads {relation.full_name}, a foreign table: what that does is up to another server")
    elif relation.kind == "view":
        _read_view(relation, found)
    for part in relation.parts:
        if part.kind in READ_PARTS and (part.kind != "policy" or relation.row_security):
            why = part_problem(part, relation.oid, found)
            if why:
                found.add(Effect.UNKNOWN, f"reads {relation.full_name}, whose {part.kind} {part.name} {why}")
        elif part.kind in PLANNED_PARTS and (why := _planning_problem(part)):
            found.add(Effect.UNKNOWN, f"reads {relation.full_name}, whose {part.kind} {part.name} {why}")
    _note_domains(relation, found)
    _check_unseen(relation, found)
    assert found.schema is not None
    for child in relation.children:
        if child in found.schema.relations:
            _read(found.schema.relations[child], found)


def _planning_problem(part: Any) -> str:
    """Why planning alone may run a function of users' own: one whose arguments are constants is computed there, and one in SQL may be
    replaced by its body, which may hold such a call."""
    if not part.functions:
        return ""
    try:
        calls = [node for tree in parsed(f"SELECT {part.text}") for node in descendants(tree)]
    except Exception as error:  # a catalog newer than the grammar
        return f"cannot be read: {error}"
    computed = [node for node in calls if type(node).__name__ in ("FuncCall", "A_Expr", "TypeCast")]
    varying = (any(type(node).__name__ == "ColumnRef" for node in descendants(call)) for call in computed)
    if part.text and all(varying) and not any(name.endswith(IN_SQL) for name in part.functions):
        return ""
    return f"calls {', '.join(part.functions)}, maybe while it is planned"


def _read_view(view: Relation, found: Finding) -> None:
    if view.uses:
        found.add(Effect.UNKNOWN, f"the view {view.full_name} calls {', '.join(view.uses)}")
    if not view.definition:
        if not view.is_built_in:
            found.add(Effect.UNKNOWN, f"the view {view.full_name} {UNREADABLE}")
        return
    found.take(read_text(view.definition, view.oid, found), f"the view {view.full_name}")


def _check_unseen(relation: Relation, found: Finding) -> None:
    """Functions of users' own that the relation's rows, or values of a column's type, may call unseen."""
    assert found.schema is not None
    for why in unseen_problems([row.oid for row in found.schema.types_named(relation.schema, relation.name)], found.schema):
        found.add(Effect.UNKNOWN, f"a row of {relation.full_name} {why}")
    for column in relation.columns:
        for why in unseen_problems((column.type_oid,), found.schema):
            found.add(Effect.UNKNOWN, f"{relation.full_name}.{column.name} {why}")


def _note_domains(relation: Relation, found: Finding) -> None:
    """A literal beside a column of a domain may become a value of it, which runs the domain's checks."""
    assert found.schema is not None
    for column in relation.columns:
        type_ = found.schema.types.get(column.type_oid)
        if type_ is None or type_.kind not in MADE_OF_PARTS:
            continue
        if why := type_problem(type_, found):
            lends = f"{relation.full_name}.{column.name} may lend its type to a value: {why}"
            found.domains[lends] = None
            if literal_problem(type_, found):
                found.literals[lends] = None


def read_text(sql: str, owner: int, found: Finding) -> Finding:
    """A query that the catalog gives back for a relation or a type."""
    from countersign.protocols.postgres.inspector.queries import walk  # each needs the other

    within = found.within(owner)
    try:
        trees = parsed(sql)
    except Exception as error:  # a catalog newer than the grammar
        within.add(Effect.UNKNOWN, f"is defined by what cannot be read: {error}")
        return within
    for tree in trees:
        walk(tree, frozenset(), within)
        query_columns(tree, within)
    return within


def read_expression(text: str, owner: int, found: Finding) -> Finding:
    """An expression that the catalog gives back."""
    return read_text(f"SELECT {text}", owner, found)


@remembered(1024, longest=4 << 10)
def parsed(sql: str) -> tuple[Any, ...]:
    """The trees of a text's statements. Raises what the grammar raises."""
    return tuple(inner(raw.stmt)[1] for raw in postgast.parse(sql).stmts)


# -- writing


def _write(relation: Relation, events: frozenset[str], columns: frozenset[str] | None, found: Finding) -> None:
    if relation.oid in found.path or relation.is_built_in:
        return
    assert found.schema is not None
    if found.schema.is_locked(relation):
        found.add(Effect.UNKNOWN, f"writes {relation.full_name}, {LOCKED}")
    if relation.kind == "foreign":
        found.add(Effect.UNKNOWN, f"writes {relation.full_name}, a foreign table: what that does is up to another server")
    _fire(relation, events, found)
    _apply_rules(relation, events, found)
    for part in relation.parts:
        if part.kind.startswith("policy") and not relation.row_security:
            continue
        why, beyond = part_reading(part, relation.oid, found)
        for effect in beyond:  # such as a default that moves its sequence, or a check that calls what is not read here
            found.add(effect, f"the {part.kind} {part.name} of {relation.full_name} {why}")
    _check_written_types(relation, found)
    _cascade(relation, events, columns, found)
    if relation.kind == "view":
        _write_through(relation, events, found)
    assert found.schema is not None
    within = found.within(relation.oid)
    for child in relation.children:
        if child in found.schema.relations:
            _write(found.schema.relations[child], events, columns, within)
    found.take(within, f"a part of {relation.full_name}:")


def _fire(relation: Relation, events: frozenset[str], found: Finding) -> None:
    for trigger in relation.triggers:
        if trigger.events & events:
            found.triggers[trigger.function] = None
            found.add(Effect.EXEC, f"the trigger {trigger.name} of {relation.full_name} runs {trigger.function}")


def fire_event_triggers(kind: str, found: Finding) -> None:
    """A change of the schema sets event triggers going."""
    for trigger in found.schema.event_triggers if found.schema is not None else ():
        found.triggers[trigger.function] = None
        found.add(Effect.EXEC, f"the event trigger {trigger.name} may run {trigger.function} for {kind}")


def _apply_rules(relation: Relation, events: frozenset[str], found: Finding) -> None:
    from countersign.protocols.postgres.inspector.queries import walk  # each needs the other

    for rule in relation.rules:
        if rule.event not in events:
            continue
        manner = "instead" if rule.instead else "also"
        within = found.within(relation.oid)
        try:
            actions = parsed(rule.definition or UNREADABLE)[0].actions
        except Exception as error:  # a catalog newer than the grammar
            found.add(Effect.UNKNOWN, f"the rule {rule.name} of {relation.full_name} cannot be read: {error}")
            continue
        for action in actions:
            walk(action, frozenset({"old", "new"}), within)
        found.reasons[f"the rule {rule.name} of {relation.full_name} runs {manner}: {rule.definition}"] = None
        found.take(within, f"the rule {rule.name} of {relation.full_name} {manner}")


def _check_written_types(relation: Relation, found: Finding) -> None:
    assert found.schema is not None
    for column in relation.columns:
        type_ = found.schema.types.get(column.type_oid)
        why = type_problem(type_, found) if type_ is not None and type_.kind in MADE_OF_PARTS else ""
        if why:
            found.add(Effect.UNKNOWN, f"{relation.full_name}.{column.name}: {why}")
        for cast in found.schema.casts:
            if column.type_oid in (cast.target, cast.source) and column.type_oid >= FIRST_USER_OID:
                found.add(Effect.UNKNOWN, f"{relation.full_name}.{column.name} may be converted by {cast.function}")


def _cascade(relation: Relation, events: frozenset[str], columns: frozenset[str] | None, found: Finding) -> None:
    assert found.schema is not None
    for cascade in relation.cascades:
        child = found.schema.relations.get(cascade.relation)
        follow = set()
        if "DELETE" in events and cascade.on_delete:
            follow.add(cascade.on_delete)
        if "UPDATE" in events and cascade.on_update and (columns is None or columns & cascade.columns):
            follow.add(cascade.on_update)
        if "TRUNCATE CASCADE" in events:
            follow = {"TRUNCATE", "TRUNCATE CASCADE"}
        if child is None or not follow or child.oid in found.path:
            continue
        within = found.within(relation.oid)
        within.writes[child.full_name] = None
        _write(child, frozenset(follow), None, within)
        verb = "empties" if "TRUNCATE" in follow else "deletes rows of" if "DELETE" in follow else "updates"
        found.add(Effect.WRITE, f"a foreign key {verb} {child.full_name} too")
        found.take(within, "by the foreign key,")


def _write_through(view: Relation, events: frozenset[str], found: Finding) -> None:
    """A view without a rule or trigger instead writes the relation it selects from (manual, CREATE VIEW, "Updatable Views")."""
    if any(trigger.instead and trigger.events & events for trigger in view.triggers):
        return
    if any(rule.instead and rule.event in events for rule in view.rules):
        return
    within = found.within(view.oid)
    try:
        trees = parsed(view.definition or UNREADABLE)
    except Exception as error:  # a catalog newer than the grammar
        found.add(Effect.UNKNOWN, f"the view {view.full_name} cannot be read: {error}")
        return
    for tree in trees:
        for kind, source in map(inner, tree.from_clause):
            if kind == "range_var":
                write_relation(source, events, None, within)
        query_columns(tree, within)
    within.columns_read, within.columns_written = {}, {**within.columns_read, **within.columns_written}
    found.take(within, f"through the view {view.full_name},")


def settle(found: Finding, tree: Any) -> None:
    """What hangs on a query as a whole: which types its literals may take, and what every query may call unseen.

    A literal takes its column's domain only as an argument of a function whose parameters share a type, or as a part of a row; it
    takes an array, a row or a range beside any operator, in a CASE, in a UNION.
    """
    if found.domains and found.constructs & {"FuncCall", "A_ArrayExpr", "RowExpr", "JsonFuncExpr", "XmlExpr", "||"}:
        for reason in found.domains:
            found.add(Effect.UNKNOWN, reason)
    if found.constructs & {"A_Const", "ParamRef"}:
        named = set(possible_rows(tree)) if found.rows else set()
        for reason in (*found.literals, *(why for name, why in found.rows.items() if name in named)):
            found.add(Effect.UNKNOWN, reason)
    for reason in found.schema.unseen if found.schema is not None else ():
        found.add(Effect.UNKNOWN, reason)
