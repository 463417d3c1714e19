"""Turns the rows of ``catalog_queries`` into what the inspector and masking ask of a catalog. Pure.

What counts as harmless is decided here: a function in C or of the server's own code that belongs to a reviewed extension, an aggregate
of such functions, and operators, types and casts that use nothing else. A label such as IMMUTABLE is a claim and counts for nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from countersign.protocols.postgres.functions import EXTENSION_FUNCTIONS, EXTENSION_SETTERS, EXTENSIONS, HARMLESS
from countersign.protocols.postgres.lineage import Code
from countersign.protocols.postgres.masking import JSON_TYPES, Catalog, CatalogColumn
from countersign.protocols.postgres.schema import (
    FIRST_USER_OID,
    IN_SQL,
    Cascade,
    Cast,
    Column,
    Comparison,
    Function,
    Operator,
    Part,
    Relation,
    Rule,
    Schema,
    Trigger,
    Type,
)

Rows = Mapping[str, Sequence[Any]]
"""Of each query by its name."""

VIEW_RULE = "_RETURN"
KINDS = {"r": "table", "p": "partitioned", "v": "view", "m": "matview", "f": "foreign", "S": "sequence"}
VOLATILITIES = {"i": "immutable", "s": "stable", "v": "volatile"}
RULE_EVENTS = {"1": "SELECT", "2": "UPDATE", "3": "INSERT", "4": "DELETE"}
TRIGGER_EVENTS = {4: "INSERT", 8: "DELETE", 16: "UPDATE", 32: "TRUNCATE"}
TRIGGER_INSTEAD = 64
"""Bits of ``pg_trigger.tgtype`` (``pg_trigger.h``)."""
RANGE_CONSTRUCTORS = (
    "range_constructor2",
    "range_constructor3",
    "multirange_constructor0",
    "multirange_constructor1",
    "multirange_constructor2",
)
"""The server's own code behind the functions that CREATE TYPE ... AS RANGE makes."""
ON_KEY = {"c": "CASCADE", "n": "UPDATE", "d": "UPDATE"}
"""What a foreign key does: SET NULL and SET DEFAULT update."""


def version_of(search_path: Sequence[str], rows: Rows) -> str:
    """A SHA-256 (hex) of everything that was read."""
    told = [search_path, {name: [tuple(row) for row in rows[name]] for name in sorted(rows)}]
    return hashlib.sha256(json.dumps(told, check_circular=False).encode()).hexdigest()


def is_whole(rows: Rows) -> bool:
    """False where a text could not be read because another session holds a lock."""
    return not any(row[5] is None and row[1] >= FIRST_USER_OID for row in rows["rules"]) and all(
        row[5] is not None for row in rows["parts"]
    )


def schema_of(search_path: Sequence[str], rows: Rows) -> Schema:
    """The catalog as the inspector asks it."""
    functions = _Functions(rows)
    uses = _uses(rows, functions)
    parts, checks = _parts(rows, uses)
    return Schema.of(
        version=version_of(search_path, rows),
        search_path=tuple(search_path),
        relations=_relations(rows, uses, parts),
        types=_types(rows, functions, checks),
        functions=functions.all(),
        operators=_operators(rows, functions),
        casts=_casts(rows, functions),
        comparisons=_comparisons(rows, functions),
        locked=rows["locked"],
        event_triggers=[Trigger(name, function, frozenset({event}), False) for name, event, function in rows["event_triggers"]],
    )


def masking_catalog(rows: Rows) -> Catalog:
    """The catalog as masking asks it, from the rows of its own queries (``code_queries``) too."""
    columns = []
    of_json = _json_types(rows)
    for oid, schema, relation, kind, _, names, types, numbers, generated in rows["relations"]:
        if kind == "c" or names is None:
            continue
        computed = frozenset(generated or ())
        columns += [
            CatalogColumn(oid, number, schema, relation, name, number in computed, type_ in of_json)
            for name, number, type_ in zip(json.loads(names), numbers, types, strict=True)
        ]
    functions = _Functions(rows)
    plain_types = _plain_types(rows)
    return Catalog(
        columns,
        list(rows["view_uses"]),
        list(rows["inherits"]),
        plain_types,
        list(rows["masking_code"]),
        list(rows["masking_cascades"]),
        frozenset(row[0] for row in rows["masking_functions"]),
        frozenset(row[0] for row in rows["masking_types"]),
        bool(rows["masking_event_triggers"][0][0]),
        definitions={owner: text or "" for _, owner, name, _, _, text in rows["rules"] if name == VIEW_RULE},
        calling=_calling_views(rows, functions),
        computed=[(row[2], row[4], row[5] or "") for row in rows["parts"] if row[0] in ("generated", "virtual")],
        sequences=list(rows["masking_sequences"]),
        code=_code(rows, functions, plain_types),
    )


def _calling_views(rows: Rows, functions: "_Functions") -> frozenset[int]:
    """Views that depend on code which may read anything."""
    calling = {oid for kind, oid in _uses(rows, functions) if kind == "rule"}
    return frozenset(owner for oid, owner, name, _, _, _ in rows["rules"] if name == VIEW_RULE and oid in calling)


def _code(rows: Rows, functions: "_Functions", plain_types: frozenset[str]) -> Code:
    """What is not PostgreSQL's own, by schema and name: what may do anything, and what only computes."""
    of_functions = {(row[1], row[2], functions.is_harmless(row[0])) for row in rows["functions"]}
    of_operators = {(operator.schema, operator.name, operator.is_harmless) for operator in _operators(rows, functions)}

    def named(found: Iterable[tuple[str, str, bool]], *, harmless: bool) -> frozenset[tuple[str, str]]:
        return frozenset((schema, name) for schema, name, is_harmless in found if is_harmless is harmless)

    return Code(
        functions=named(of_functions, harmless=False),
        harmless_functions=named(of_functions, harmless=True),
        operators=named(of_operators, harmless=False),
        harmless_operators=named(of_operators, harmless=True),
        types=frozenset(row[2] for row in rows["types"] if row[3] in "edrmc") - plain_types,
    )


def _json_types(rows: Rows) -> frozenset[int]:
    """The JSON types, and users' types that are made of them: domains, arrays, rows and ranges."""
    of_rows = {row[0]: row[6] or () for row in rows["relations"]}
    made = {
        oid: frozenset((element, base, subtype, *of_rows.get(relation, ())))
        for oid, _, _, _, _, element, relation, base, _, subtype, _, _ in rows["types"]
    }
    made |= {multirange: frozenset((of,)) for multirange, of in rows.get("multiranges", ())}
    found, before = set(JSON_TYPES), 0
    while before != len(found):
        before = len(found)
        found |= {oid for oid, parts in made.items() if not parts.isdisjoint(found)}
    return frozenset(found)


def _plain_types(rows: Rows) -> frozenset[str]:
    """Users' types to which a cast keeps the value."""
    internal = {row[0] for row in rows["functions"] if row[3] == "internal"}  # only superusers can make functions in it
    cast = {
        oid
        for source, target, _, _, function, _, _ in rows["casts"]
        if function >= FIRST_USER_OID and function not in internal
        for oid in (source, target)
    }
    changed = {row[2] for row in rows["types"] if row[0] in cast or (row[3] == "b" and row[4] != "A")}
    return frozenset(row[2] for row in rows["types"] if row[3] in "edrmc") - changed


# -- functions


@dataclass(frozen=True, slots=True)
class _Own:
    """A function of users' own, and what is needed to say whether it is harmless."""

    schema: str
    name: str
    language: str
    extension: str
    parts: tuple[int, ...]


class _Functions:
    """Functions of users' own by OID."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows["functions"]
        self._constructors = {row[0] for row in self._rows if row[3] == "internal" and row[11] in RANGE_CONSTRUCTORS}
        self._own = {row[0]: _Own(row[1], row[2], row[3], row[8] or "", (*(row[9] or ()), row[10])) for row in self._rows}

    def is_harmless(self, oid: int) -> bool:
        """Whether it only computes. PostgreSQL's own count as such here: where one is named, its name is looked up elsewhere."""
        own = self._own.get(oid)
        if own is None:
            return oid < FIRST_USER_OID
        if oid in self._constructors:
            return True
        if own.language not in ("c", "internal"):  # the only ones that nobody but a superuser can make
            return False
        if own.extension not in EXTENSIONS and own.name not in EXTENSION_FUNCTIONS.get(own.extension, ()):
            return False
        if own.name in EXTENSION_SETTERS.get(own.extension, ()):
            return False
        return all(part == oid or self.is_harmless(part) for part in own.parts)

    def name(self, oid: int) -> str:
        """``schema.name``."""
        own = self._own.get(oid)
        if own is None:
            return f"the function with OID {oid}"
        return f"{own.schema}.{own.name}{IN_SQL if own.language == 'sql' else ''}"

    def all(self) -> Iterable[Function]:
        """As the inspector takes them."""
        for oid, schema, name, language, volatility, takes, defaults, variadic, extension, _, _, _ in self._rows:
            yield Function(
                schema,
                name,
                language,
                VOLATILITIES[volatility],
                extension or "",
                self.is_harmless(oid),
                takes_one=takes - defaults <= 1 <= takes or variadic != 0,
            )


def _uses(rows: Rows, functions: _Functions) -> dict[tuple[str, int], tuple[str, ...]]:
    """By the kind and OID of what holds an expression: the functions of users' own that it needs and that are not harmless."""
    of_operators = {row[0]: row[3] for row in rows["operators"]}
    found: dict[tuple[str, int], dict[str, None]] = {}
    for kind, oid, is_operator, used in rows["uses"]:
        function = of_operators.get(used, used) if is_operator else used
        if not functions.is_harmless(function):
            found.setdefault((kind, oid), {})[functions.name(function)] = None
    return {key: tuple(names) for key, names in found.items()}


# -- relations and what belongs to them

_USED_BY = {"policy for writing": "policy", "virtual": "default", "generated": "default", "partition": "index"}


def _parts(rows: Rows, uses: Mapping[tuple[str, int], tuple[str, ...]]) -> tuple[dict[int, list[Part]], dict[int, list[Part]]]:
    """Expressions by their relation, and by their domain."""
    of_relations: dict[int, list[Part]] = {}
    of_domains: dict[int, list[Part]] = {}
    for kind, oid, owner, is_domains, name, text in rows["parts"]:
        part = Part(kind, name, text or "", uses.get((_USED_BY.get(kind, kind), oid), ()))
        (of_domains if is_domains else of_relations).setdefault(owner, []).append(part)
    return of_relations, of_domains


def _relations(rows: Rows, uses: Mapping[tuple[str, int], tuple[str, ...]], parts: Mapping[int, list[Part]]) -> Iterable[Relation]:
    columns = {row[0]: json.loads(row[5] or "[]") for row in rows["relations"]}
    names = {row[0]: dict(zip(row[7] or (), columns[row[0]], strict=True)) for row in rows["relations"]}
    definitions: dict[int, tuple[str, tuple[str, ...]]] = {}
    rules: dict[int, list[Rule]] = {}
    for oid, owner, name, event, instead, text in rows["rules"]:
        if name == VIEW_RULE:
            definitions[owner] = (text or "", uses.get(("rule", oid), ()))
        else:
            rules.setdefault(owner, []).append(Rule(name, RULE_EVENTS[event], instead, text or ""))
    triggers = _triggers(rows)
    cascades = _cascades(rows, names)
    children: dict[int, list[int]] = {}
    for child, parent in rows["inherits"]:
        children.setdefault(parent, []).append(child)
    for oid, schema, name, kind, row_security, _, types, _, _ in rows["relations"]:
        if kind not in KINDS:  # the row of a composite type
            continue
        definition, used = definitions.get(oid, ("", ()))
        yield Relation(
            oid,
            schema,
            name,
            KINDS[kind],
            tuple(map(Column, columns[oid], types or ())),
            definition,
            used,
            tuple(rules.get(oid, ())),
            tuple(triggers.get(oid, ())),
            tuple(parts.get(oid, ())),
            tuple(cascades.get(oid, ())),
            tuple(children.get(oid, ())),
            row_security,
        )


def _triggers(rows: Rows) -> dict[int, list[Trigger]]:
    found: dict[int, list[Trigger]] = {}
    for relation, name, bits, function in rows["triggers"]:
        events = frozenset(event for bit, event in TRIGGER_EVENTS.items() if bits & bit)
        found.setdefault(relation, []).append(Trigger(name, function, events, bool(bits & TRIGGER_INSTEAD)))
    return found


def _cascades(rows: Rows, names: Mapping[int, Mapping[int, str]]) -> dict[int, list[Cascade]]:
    found: dict[int, list[Cascade]] = {}
    for referred, referring, on_delete, on_update, numbers in rows["foreign_keys"]:
        columns = frozenset(names.get(referred, {}).get(number, "") for number in numbers or ())
        deletes, updates = ON_KEY.get(on_delete, ""), ON_KEY.get(on_update, "")
        cascade = Cascade(referring, columns, "DELETE" if deletes == "CASCADE" else deletes, "UPDATE" if updates else "")
        found.setdefault(referred, []).append(cascade)
    return found


# -- operators, types, casts


def _operators(rows: Rows, functions: _Functions) -> Iterable[Operator]:
    for _, schema, name, function, called, is_of_built_in, estimators in rows["operators"]:
        plain = called is not None and called.removeprefix("pg_catalog.") in HARMLESS
        fits = is_of_built_in or plain if function < FIRST_USER_OID else functions.is_harmless(function)
        yield Operator(
            schema, name, called or "a function that is not made yet", fits and all(map(functions.is_harmless, estimators))
        )


def _types(rows: Rows, functions: _Functions, checks: Mapping[int, list[Part]]) -> Iterable[Type]:
    of_rows = {row[0]: tuple(row[6] or ()) for row in rows["relations"]}
    for oid, schema, name, kind, category, element, relation, base, own, subtype, of_range, opclass in rows["types"]:
        plain = all(map(functions.is_harmless, own))
        match kind:
            case "d":
                yield Type(oid, schema, name, "domain", (base,), tuple(checks.get(oid, ())))
            case "c":
                yield Type(oid, schema, name, "composite", of_rows.get(relation, ()))
            case "e":
                yield Type(oid, schema, name, "enum")
            case "r":
                plain = plain and all(map(functions.is_harmless, of_range)) and opclass < FIRST_USER_OID
                yield Type(oid, schema, name, "range" if plain else "other", (subtype,))
            case "b" if category == "A" and element:
                yield Type(oid, schema, name, "array", (element,))
            case "b":
                yield Type(oid, schema, name, "base", (), (), plain)
            case _:
                yield Type(oid, schema, name, "multirange" if kind == "m" else "other", _range_of(rows, oid))


def _range_of(rows: Rows, oid: int) -> tuple[int, ...]:
    return tuple(range_ for multirange, range_ in rows["multiranges"] if multirange == oid)


def _casts(rows: Rows, functions: _Functions) -> Iterable[Cast]:
    for source, target, source_name, target_name, function, called, context in rows["casts"]:
        is_plain = called.removeprefix("pg_catalog.") in HARMLESS if function < FIRST_USER_OID else functions.is_harmless(function)
        if not is_plain:
            yield Cast(source, target, source_name, target_name, called, context == "i")


def _comparisons(rows: Rows, functions: _Functions) -> Iterable[Comparison]:
    for type_, is_default, function, called in rows["comparisons"]:
        if not functions.is_harmless(function):
            yield Comparison(type_, called, is_default)
