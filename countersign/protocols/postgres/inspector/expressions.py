"""Functions, types and operators: which are known to be harmless."""

from collections.abc import Iterable, Iterator
from typing import Any

from countersign.model import Effect
from countersign.protocols.postgres.builtins import HARMLESS_PREFIXES, HARMLESS_SETTINGS, OPERATORS, SECRET_SETTINGS, TYPES, WORDS
from countersign.protocols.postgres.functions import HARMLESS, INFORMATION_SCHEMA, REVIEWED, SILENT
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.tree import constant, inner, words
from countersign.protocols.postgres.schema import FIRST_USER_OID, Schema, Type

MADE_OF_PARTS = ("domain", "composite", "array", "range", "multirange")
"""Kinds of types that run nothing but what their parts run."""

JSON = (114, 3802)
"""The OIDs of json and jsonb."""

ANY_SETTING = "?"
"""Stands for a setting whose name only the server will know."""

UNREADABLE = "could not be read, for another session has the relation locked"

LOCKED = "which another session has locked and may be making into something else"

BUILT_IN_RULE = "which is not a built-in one"


def check_call(call: Any, found: Finding) -> None:
    """A function called by name. An overload of a built-in's name that users made may fit better, whatever the search path."""
    parts = words(call.funcname)
    name, qualifier = parts[-1], ".".join(parts[:-1])
    found.functions[".".join(parts)] = None
    own = _own_functions(qualifier, name, found)
    for function in own:
        if not function.is_harmless:
            _called(found, Effect.UNKNOWN, f"calls {'.'.join(parts)}, which may be {function}")
    _check_casts(name, found)
    _check_type_called(qualifier, name, found)
    if parts == ["pg_catalog", "json_object"]:
        check_syntax("json_object", found)
    if qualifier in ("", "pg_catalog"):
        if name in HARMLESS:
            _check_shown_setting(name, call, found)
            return
        if name == "set_config":
            _check_set_config(call, found)
            return
        if name in REVIEWED:
            effect, why = REVIEWED[name]
            if effect is Effect.SESSION:
                found.effects.add(effect)
            else:
                _called(found, effect, f"calls {name}, which {why}", opaque=name not in SILENT)
            return
    elif qualifier == "information_schema" and name in INFORMATION_SCHEMA:
        return
    if own:
        return
    if name in REVIEWED:  # an extension's, wherever it was installed
        effect, why = REVIEWED[name]
        _called(found, effect, f"calls {'.'.join(parts)}, which is called like one that {why}")
    _called(found, Effect.UNKNOWN, f"calls {'.'.join(parts)}, which is not on the list of harmless functions")


def _check_type_called(qualifier: str, name: str, found: Finding) -> None:
    """A call with one literal is a cast, and that before any function is looked for, where a type has that name, whatever function of
    PostgreSQL's own has it too (``func_get_detail``, ``FuncNameAsType``)."""
    if found.schema is None:
        return
    for type_ in found.schema.types_named(qualifier or ("pg_catalog" if found.exact else ""), name):
        if why := type_problem(type_, found):
            _called(found, Effect.UNKNOWN, f"calls {name}, which may be a cast: {why}")


def check_syntax(name: str, found: Finding) -> None:
    """Syntax that looks like a call. To a server that is older than it, it is one, of whatever function users have given that name."""
    for function in _own_functions("", name, found):
        if not function.is_harmless:
            _called(found, Effect.UNKNOWN, f"says {name}, which may be a call of {function}")


def _called(found: Finding, effect: Effect, reason: str, *, opaque: bool = True) -> None:
    found.add(effect, reason, opaque=opaque)
    found.is_opaque |= opaque
    found.called.add(effect)


def _own_functions(qualifier: str, name: str, found: Finding) -> tuple[Any, ...]:
    if found.schema is None:
        return ()
    return found.schema.functions_named(qualifier or ("pg_catalog" if found.exact else ""), name)


def _check_shown_setting(name: str, call: Any, found: Finding) -> None:
    if name != "current_setting" or not call.args:
        return
    setting = constant(call.args[0])
    if setting is None:
        _called(found, Effect.ADMIN, "shows a setting that only the server will know, and some hold a password")
    elif setting.lower() in SECRET_SETTINGS:
        _called(found, Effect.ADMIN, f"shows the setting {setting}, which may hold a password")


def _check_set_config(call: Any, found: Finding) -> None:
    """set_config(name, value, is_local) is SET under another name (manual, "Configuration Settings Functions")."""
    name = constant(call.args[0]) if call.args else None
    if name is None:
        why = "calls set_config, which changes a setting that only the server will know"
        _called(found, Effect.ADMIN, why, opaque=False)
        found.settings[ANY_SETTING] = None
        return
    found.settings[name.lower()] = None
    value = constant(call.args[1]) if len(call.args) > 1 else None
    why = setting_problem(name.lower(), [value.lower()] if value is not None else [])
    if not why and len(call.args) > 1 and not _is_given(call.args[1]):
        why = "the value comes from the target's data"
    if why:
        _called(found, Effect.ADMIN, f"calls set_config: {why}", opaque=False)
    else:
        found.effects.add(Effect.SESSION)


def _is_given(node: Any) -> bool:
    """Whether a value stands in the command itself, or is one of its parameters."""
    kind, item = inner(node)
    return kind in ("a_const", "param_ref") or (kind == "type_cast" and _is_given(item.arg))


def setting_problem(name: str, values: list[str]) -> str:
    """Why a change of this setting is more than harmless session state; empty where it is not."""
    if not name or name in HARMLESS_SETTINGS or name.startswith(HARMLESS_PREFIXES):
        return ""  # without a name: RESET ALL, which goes back to what the session was started with
    if name == "client_encoding" and values in (["utf8"], ["utf-8"], ["unicode"]):
        return ""
    if name == "standard_conforming_strings" and values in (["on"], ["true"]):
        return ""
    return f"the setting {name} can change what later commands mean or may do"


def check_type(type_name: Any, found: Finding) -> None:
    """A cast to a type, or a column definition of one."""
    parts = words(type_name.names)
    if not parts:
        return
    name, qualifier = parts[-1], ".".join(parts[:-1])
    element = name.removeprefix("_")
    _check_casts(element, found)
    own: tuple[Type, ...] = ()
    if found.schema is not None:
        place = qualifier or ("pg_catalog" if found.exact else "")
        own = found.schema.types_named(place, name) or found.schema.types_named(place, element)
        for type_ in own:
            why = type_problem(type_, found)
            if why:
                found.add(Effect.UNKNOWN, f"casts to {'.'.join(parts)}: {why}")
            for unseen in unseen_problems((type_.oid,), found.schema):
                found.add(Effect.UNKNOWN, f"casts to {'.'.join(parts)}, which {unseen}")
    is_built_in = element in TYPES and qualifier in ("", "pg_catalog")
    if qualifier == "information_schema" and name in (
        "cardinal_number",
        "character_data",
        "sql_identifier",
        "time_stamp",
        "yes_or_no",
    ):
        return
    if not is_built_in:
        found.types[element] = None
    if not is_built_in and not own:
        why = f"casts to {'.'.join(parts)}, which may be a domain whose checks run anything"
        found.add(Effect.UNKNOWN, why, opaque=False)


def type_problem(type_: Type, found: Finding, seen: frozenset[int] = frozenset()) -> str:
    """Why a value of this type cannot be made without running what is not understood; empty where it can."""
    if type_.oid in seen or type_.is_harmless or type_.kind == "enum":
        return ""
    if type_.kind not in MADE_OF_PARTS:
        return f"{type_.full_name} is a type of users' own with functions of its own"
    for check in type_.checks:
        why = part_problem(check, type_.oid, found)
        if why:
            return f"the domain {type_.full_name} has the check {check.name}, which {why}"
    assert found.schema is not None
    for oid in type_.parts:
        part = found.schema.types.get(oid)
        if part is None and oid >= FIRST_USER_OID:
            return f"{type_.full_name} is made of a type that is not in the catalog"
        why = type_problem(part, found, seen | {type_.oid}) if part is not None else ""
        if why:
            return why
    return ""


def literal_problem(type_: Type, found: Finding, seen: frozenset[int] = frozenset()) -> str:
    """Why a literal that becomes a value of this type may run a check at once; empty where it cannot.

    For a domain it becomes a value of the base type first. Within an array, a row or a range nothing waits.
    """
    assert found.schema is not None
    if type_.oid in seen or type_.kind not in MADE_OF_PARTS:
        return ""
    for oid in type_.parts:
        part = found.schema.types.get(oid)
        if part is None:
            continue
        within = type_problem(part, found) if type_.kind != "domain" and _is_checked(part, found.schema) else ""
        if why := within or literal_problem(part, found, seen | {type_.oid}):
            return why
    return ""


def _is_checked(type_: Type, schema: Schema, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a type is a domain with checks, or is made of one."""
    if type_.oid in seen:
        return False
    parts = (schema.types[oid] for oid in type_.parts if oid in schema.types)
    return bool(type_.checks) or any(_is_checked(part, schema, seen | {type_.oid}) for part in parts)


def unseen_problems(oids: Iterable[int], schema: Schema) -> Iterator[str]:
    """Functions of users' own that values of these types may call unseen, or values of their arrays: an implicit cast, one to json, which
    to_json and its kin look for (manual, "JSON Creation Functions"), or a comparison."""
    if not schema.casts and not schema.comparisons:
        return
    elements = {element for oid in oids for one in made_of(oid, schema) for element in (one, element_of(one, schema))}
    for cast in schema.casts:
        if (cast.is_implicit or cast.target in JSON) and not elements.isdisjoint((cast.source, element_of(cast.source, schema))):
            yield f"may be converted by {cast.function}"
    for oid in sorted(elements):
        if oid in schema.comparisons:
            yield f"may be compared by {schema.comparisons[oid]}"


def made_of(oid: int, schema: Schema) -> set[int]:
    """A type and every type that it is made of."""
    found, waiting = set(), [oid]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += schema.types[one].parts if one in schema.types else ()
    return found


def element_of(oid: int, schema: Schema) -> int:
    """What the elements of an array or a multirange are, at the end; the type itself where it is neither."""
    type_ = schema.types.get(oid)
    while type_ is not None and type_.kind in ("array", "multirange") and type_.parts:
        oid = type_.parts[0]
        type_ = schema.types.get(oid)
    return oid


def part_problem(part: Any, owner: int, found: Finding) -> str:
    """Why an expression that belongs to a relation or a domain is more than a read; empty where it is one."""
    return part_reading(part, owner, found)[0]


def part_reading(part: Any, owner: int, found: Finding) -> tuple[str, frozenset[Effect]]:
    """Why such an expression is more than a read, and what else it can do; nothing where it is one."""
    from countersign.protocols.postgres.inspector.relations import read_expression  # each needs the other

    if part.functions:
        return f"calls {', '.join(part.functions)}", frozenset({Effect.UNKNOWN})
    if not part.text:
        return UNREADABLE, frozenset({Effect.UNKNOWN})
    within = read_expression(part.text, owner, found)
    beyond = frozenset(within.effects - {Effect.READ})
    return ("; ".join(within.reasons), beyond) if beyond else ("", beyond)


def _check_casts(name: str, found: Finding) -> None:
    """A cast of users' own may be chosen for an explicit cast to its target, or where its source is named."""
    if found.schema is None:
        return
    for cast in found.schema.casts:
        if name in (cast.target_name, cast.source_name):
            found.add(Effect.UNKNOWN, f"casts to {name}, for which the cast by {cast.function} may be chosen")


def check_operator(names: Any, found: Finding) -> None:
    """An operator by its name, qualified or not. Users may have made a better fitting one."""
    parts = words(names)
    if not parts:
        return
    name, qualifier = parts[-1], ".".join(parts[:-1])
    own: tuple[Any, ...] = ()
    if found.schema is not None:
        own = found.schema.operators_named(qualifier or ("pg_catalog" if found.exact else ""), name)
        for operator in own:
            if not operator.is_harmless:
                why = f"which may be {operator.schema}.{operator.name}, made by users of {operator.function}"
                found.add(Effect.UNKNOWN, f"uses the operator {'.'.join(parts)}, {why}")
    is_built_in = qualifier in ("", "pg_catalog") and name in OPERATORS | WORDS
    if not is_built_in and not own:
        found.add(Effect.UNKNOWN, f"uses the operator {'.'.join(parts)}, {BUILT_IN_RULE}")


def check_field(message: Any, found: Finding) -> None:
    """``row.name`` and ``(value).name`` call a function of that name where there is no such column, whatever the value's type is.

    Source: ``ParseFuncOrColumn``; the manual tells of rows only ("Using Composite Types in Queries").
    """
    for kind, item in map(inner, message):
        if kind == "string":
            _check_called_like_column(item.sval, found)


def _check_called_like_column(name: str, found: Finding) -> None:
    effect, why = REVIEWED.get(name, (Effect.READ, ""))
    if name == "current_setting":
        effect, why = Effect.ADMIN, "shows any setting"
    if effect is Effect.SESSION:
        found.effects.add(effect)
    elif effect is not Effect.READ:
        found.functions[name] = None
        _called(found, effect, f"{name} may be a call of the function that {why}", opaque=name not in SILENT)
    if found.schema is None:
        return
    for function in found.schema.functions_named("", name):
        if function.takes_one and not function.is_harmless:
            found.functions[name] = None
            _called(found, Effect.UNKNOWN, f"{name} may be a call of {function}")
    _check_casts(name, found)  # a type's name is called like a function, too
    for type_ in found.schema.types_named("", name):
        if problem := type_problem(type_, found):
            _called(found, Effect.UNKNOWN, f"{name} may be a cast: {problem}")
