"""Commands that are no queries: settings, transactions, COPY, locks, and everything that changes the schema."""

from collections.abc import Iterator
from typing import Any

from countersign.model import Effect, Statement
from countersign.protocols.postgres.builtins import SECRET_SETTINGS
from countersign.protocols.postgres.inspector.columns import query_columns, read_columns, written_columns
from countersign.protocols.postgres.inspector.commands import ALTERS_RIGHTS, COMMANDS, DEFINED, LOCK_MODES, RIGHTS
from countersign.protocols.postgres.inspector.expressions import check_call, setting_problem
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.outcome import statement_of
from countersign.protocols.postgres.inspector.queries import walk
from countersign.protocols.postgres.inspector.relations import (
    fire_event_triggers,
    full_names,
    read_relation,
    settle,
    write_relation,
)
from countersign.protocols.postgres.inspector.tree import constant, descendants, enum_name, inner, relation_name, words

TWO_PHASE = ("TRANS_STMT_PREPARE", "TRANS_STMT_COMMIT_PREPARED", "TRANS_STMT_ROLLBACK_PREPARED")
CHARACTERISTICS = ("transaction", "session characteristics")


def copy(tree: Any, found: Finding) -> Statement:
    """COPY: from or to the client, a file or a program of the server."""
    relation = relation_name(tree.relation) if tree.HasField("relation") else ""
    names = words(tree.attlist)
    if tree.HasField("query"):
        walk(tree.query, frozenset(), found)
        query_columns(inner(tree.query)[1], found)
    if tree.is_from:
        found.add(Effect.WRITE, f"loads rows into {relation}")
        write_relation(tree.relation, frozenset({"INSERT"}), None, found)
        written_columns(tree.relation, names, found)
        if tree.HasField("where_clause"):
            walk(tree.where_clause, frozenset(), found)
    elif relation:
        read_relation(tree.relation, frozenset(), found)
        read_columns(tree.relation, names, found)
    way = "program" if tree.is_program else "file" if tree.filename else "stdin" if tree.is_from else "stdout"
    if way == "program":
        found.add(Effect.EXEC, f"runs the program {tree.filename!r} on the server")
        found.add(Effect.ADMIN, "reaches outside the database")
    elif way == "file":
        found.add(Effect.ADMIN, f"{'reads' if tree.is_from else 'writes'} the file {tree.filename!r} on the server")
    settle(found, tree)
    direction = "loads into" if tree.is_from else "copies out of"
    return statement_of("COPY", found, f"{direction} {relation or 'a query'}", copy=way)


def transaction(tree: Any, found: Finding) -> Statement:
    """BEGIN, COMMIT, SAVEPOINT and their kin."""
    name = enum_name(tree, "kind")
    kind = name.removeprefix("TRANS_STMT_").replace("_", " ")
    if name in TWO_PHASE:
        found.add(Effect.ADMIN, "leaves a transaction to other sessions, or ends one of theirs")
        return statement_of(kind, found, "two-phase commit")
    for option in tree.options:
        found.settings[inner(option)[1].defname] = None
    found.effects.add(Effect.SESSION)
    return statement_of(kind, found, "controls the transaction")


def setting(tree: Any, found: Finding) -> Statement:
    """SET and RESET in all their forms, SET ROLE and SET SESSION AUTHORIZATION among them."""
    name = tree.name.lower()
    kind = "RESET" if enum_name(tree, "kind") in ("VAR_RESET", "VAR_RESET_ALL") else "SET"
    if name in CHARACTERISTICS:
        prefix = "default_" if name == "session characteristics" else ""
        for option in tree.args:
            found.settings[prefix + inner(option)[1].defname] = None
        why = ""
    else:
        found.settings[name or "all"] = None
        why = setting_problem(name, [(constant(arg) or "").lower() for arg in tree.args])
    if why:
        found.add(Effect.ADMIN, why)
        return statement_of(kind, found, f"changes {name}")
    found.effects.add(Effect.SESSION)
    return statement_of(kind, found, f"changes {name or 'all settings'} of the session")


def utility(kind: str, tree: Any, found: Finding) -> Statement:
    """Every other command, by the table of commands."""
    known = COMMANDS.get(kind)
    if known is None:
        name = kind.removesuffix("_stmt").replace("_", " ").upper()
        found.add(Effect.UNKNOWN, f"{name} is not on the list of commands")
        return statement_of(name, found, "not understood")
    _, effects, why = known
    name = _name(kind, tree)
    harmless = effects <= {Effect.READ, Effect.SESSION}
    for effect in effects:
        if harmless:
            found.effects.add(effect)
        else:
            found.add(effect, f"{name} {why}")
    told = list(dict.fromkeys(_objects(kind, tree, found))) or [str(_plain_name(tree))]
    _look_within(kind, tree, found)
    if Effect.DDL in found.effects:
        fire_event_triggers(name, found)
    return statement_of(name, found, f"{name} {', '.join(told)}".strip(), named=_named(kind, tree))


def _name(kind: str, tree: Any) -> str:
    name = COMMANDS[kind][0]
    match kind:
        case "drop_stmt":
            return "DROP " + enum_name(tree, "remove_type").removeprefix("OBJECT_").replace("_", " ")
        case "vacuum_stmt":
            return "VACUUM" if tree.is_vacuumcmd else "ANALYZE"
        case "grant_stmt" | "grant_role_stmt":
            return "GRANT" if tree.is_grant else "REVOKE"
        case "define_stmt":
            return f"CREATE {DEFINED.get(enum_name(tree, 'kind'), '')}".strip()
        case "create_function_stmt":
            return "CREATE PROCEDURE" if tree.is_procedure else "CREATE FUNCTION"
        case "alter_table_stmt":
            return "ALTER " + enum_name(tree, "objtype").removeprefix("OBJECT_").replace("_", " ").replace(
                "MATVIEW", "MATERIALIZED VIEW"
            )
        case "fetch_stmt" if tree.ismove:
            return "MOVE"
        case _:
            return name


def _plain_name(tree: Any) -> str:
    """The name of what a command makes or changes, where it is a plain word."""
    for field in ("name", "role", "dbname", "schemaname", "trigname", "extname", "servername", "tablespacename", "fdwname", "pubname",
                  "subname", "policy_name", "conditionname", "idxname", "funcname", "defnames", "type_name", "domainname"):  # fmt: skip
        if field in tree.DESCRIPTOR.fields_by_name and (value := getattr(tree, field)):
            if isinstance(value, str):
                return value
            if not hasattr(value, "DESCRIPTOR"):
                return ".".join(words(value))
            return str(getattr(value, "rolename", ""))
    return ""


def _named(kind: str, tree: Any) -> str:
    """The prepared statement or cursor that a command makes, runs or ends."""
    match kind:
        case "execute_stmt" | "deallocate_stmt":
            return str(tree.name)
        case "fetch_stmt" | "close_portal_stmt":
            return str(tree.portalname)
        case _:
            return ""


def _look_within(kind: str, tree: Any, found: Finding) -> None:
    """What a command runs or holds of its own: queries, defaults, arguments, locks."""
    match kind:
        case "lock_stmt":
            mode = LOCK_MODES[tree.mode] if tree.mode < len(LOCK_MODES) else "unknown"
            names = [name for node in tree.relations for name in full_names(inner(node)[1], found)]
            found.locks.update({f"{mode} {name}": None for name in names})
        case "truncate_stmt":
            events = {"TRUNCATE"} | ({"TRUNCATE CASCADE"} if enum_name(tree, "behavior") == "DROP_CASCADE" else set())
            for node in tree.relations:
                write_relation(inner(node)[1], frozenset(events), None, found)
                written_columns(inner(node)[1], (), found)
        case "view_stmt":
            walk(tree.query, frozenset(), found)
            query_columns(inner(tree.query)[1], found)
        case "variable_show_stmt" if tree.name.lower() in SECRET_SETTINGS:
            found.add(Effect.ADMIN, f"shows the setting {tree.name}, which may hold a password")
        case "alter_table_stmt":
            _alterations(tree, found)
        case "discard_stmt" if enum_name(tree, "target") == "DISCARD_ALL":
            found.settings["all"] = None
        case _:
            pass
    if kind != "view_stmt" and (found.effects - {Effect.READ, Effect.SESSION}):
        for node in descendants(tree):
            if type(node).__name__ == "FuncCall":
                check_call(node, found)


def _alterations(tree: Any, found: Finding) -> None:
    for node in tree.cmds:
        form = enum_name(inner(node)[1], "subtype")
        if form in ALTERS_RIGHTS:
            found.add(Effect.ADMIN, f"{form.removeprefix('AT_')}: {RIGHTS}")
        if form == "AT_DropColumn":
            written_columns(tree.relation, [inner(node)[1].name], found)


def _objects(kind: str, tree: Any, found: Finding) -> Iterator[str]:
    """The relations and names that a command is about, as far as they are written as such. They count as written, or as read."""
    for node in _named_within(tree):
        if isinstance(node, str):
            name = node
        elif found.schema is not None:
            name = (found.schema.told(node.schemaname, node.relname) or (relation_name(node),))[0]
        else:
            name = relation_name(node)
        found.writes[name] = None
        yield name
    if kind in ("fetch_stmt", "close_portal_stmt", "execute_stmt", "deallocate_stmt"):
        yield _named(kind, tree)


def _named_within(tree: Any) -> Iterator[Any]:
    for descriptor, value in tree.ListFields():
        if descriptor.name in ("relation", "view"):
            yield value
        elif descriptor.name in ("objects", "relations", "rels"):
            for node in value:
                kind, item = inner(node)
                if kind == "range_var":
                    yield item
                elif kind == "vacuum_relation" and item.HasField("relation"):
                    yield item.relation
                elif kind == "list":
                    yield ".".join(words(item.items))
                elif kind == "string":
                    yield item.sval
                elif kind == "object_with_args":
                    yield ".".join(words(item.objname))
                elif kind == "type_name":
                    yield ".".join(words(item.names))
