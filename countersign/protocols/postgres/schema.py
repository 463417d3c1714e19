"""What a target's catalog says, as far as the reading of a statement depends on it. Pure.

Everything with an OID below 16384 was made by initdb and is PostgreSQL's own; everything else is somebody's. A label such as IMMUTABLE
is a claim and proves nothing: a function of somebody's counts as harmless only where it is written in C and belongs to a reviewed extension.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

FIRST_USER_OID = 16384
"""Objects below were made by initdb (manual, "System Catalog Initial Data", OID assignment)."""

SYSTEM_SCHEMAS = ("pg_catalog", "information_schema")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and the OID of its type."""

    name: str
    type_oid: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that users made and that is not disabled. ``events``: INSERT, UPDATE, DELETE, TRUNCATE."""

    name: str
    function: str
    events: frozenset[str]
    instead: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rewrite rule other than a view's own. ``definition`` is the CREATE RULE that makes it."""

    name: str
    event: str
    instead: bool
    definition: str


@dataclass(frozen=True, slots=True)
class Part:
    """An expression that belongs to a relation: of a ``policy``, ``default``, ``generated`` or ``virtual`` column, ``check`` or ``index``.

    ``functions`` are the functions of users' own that it depends on, seen or unseen in the text.
    """

    kind: str
    name: str
    text: str
    functions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cascade:
    """What a foreign key does to the relation that refers: ``on_delete`` and ``on_update`` are DELETE, UPDATE or nothing."""

    relation: int
    columns: frozenset[str]
    on_delete: str
    on_update: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation. ``kind``: table, partitioned, view, matview, foreign or sequence. ``uses``: the functions of users' own that a view
    depends on. ``children`` are partitions and tables that inherit."""

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[Column, ...] = ()
    definition: str = ""
    uses: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    parts: tuple[Part, ...] = ()
    cascades: tuple[Cascade, ...] = ()
    children: tuple[int, ...] = ()
    row_security: bool = False

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"

    @property
    def is_built_in(self) -> bool:
        """True where initdb made it."""
        return self.oid < FIRST_USER_OID


@dataclass(frozen=True, slots=True)
class Function:
    """A function, aggregate or procedure of users' own. ``takes_one``: it can be called with one
    argument, and so be written as if it were a column of it."""

    schema: str
    name: str
    language: str
    volatility: str
    extension: str
    is_harmless: bool
    takes_one: bool

    def __str__(self) -> str:
        made = f"of the extension {self.extension}" if self.extension else "made by users"
        return f"{self.schema}.{self.name}, a function {made} in {self.language}, called {self.volatility}"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator of users' own."""

    schema: str
    name: str
    function: str
    is_harmless: bool


@dataclass(frozen=True, slots=True)
class Type:
    """A type of users' own. ``kind``: base, enum, domain, composite, range or other; ``parts`` are the OIDs of a domain's base type, of a
    composite's columns, of an array's element or of a range's subtype; ``checks`` are a domain's."""

    oid: int
    schema: str
    name: str
    kind: str
    parts: tuple[int, ...] = ()
    checks: tuple[Part, ...] = ()
    is_harmless: bool = False

    @property
    def full_name(self) -> str:
        """``schema.name``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast of users' own that calls a function which is not known to be harmless."""

    source: int
    target: int
    source_name: str
    target_name: str
    function: str
    is_implicit: bool


def _by_name(items: Iterable[T]) -> dict[str, tuple[T, ...]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item)  # type: ignore[attr-defined]
    return {name: tuple(same) for name, same in found.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One database's catalog at one moment. Two are equal where their ``version`` is: a digest of everything in them.

    ``search_path`` is what sessions start with. It says how a name is told; what a statement may do is judged by every relation,
    function, operator and type of that name in any schema, for a session's path may have become another.
    """

    version: str
    search_path: tuple[str, ...]
    relations: Mapping[int, Relation]
    types: Mapping[int, Type]
    functions: Mapping[str, tuple[Function, ...]]
    operators: Mapping[str, tuple[Operator, ...]]
    casts: tuple[Cast, ...] = ()
    event_triggers: tuple[Trigger, ...] = ()
    is_settled: bool = True
    _relations_by_name: Mapping[str, tuple[Relation, ...]] = field(default_factory=dict)
    _types_by_name: Mapping[str, tuple[Type, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        version: str,
        search_path: tuple[str, ...],
        relations: Iterable[Relation] = (),
        types: Iterable[Type] = (),
        functions: Iterable[Function] = (),
        operators: Iterable[Operator] = (),
        casts: Iterable[Cast] = (),
        event_triggers: Iterable[Trigger] = (),
    ) -> "Schema":
        """A schema with its indexes."""
        held, known = tuple(relations), tuple(types)
        return cls(
            version=version,
            search_path=search_path,
            relations={relation.oid: relation for relation in held},
            types={type_.oid: type_ for type_ in known},
            functions=_by_name(functions),
            operators=_by_name(operators),
            casts=tuple(casts),
            event_triggers=tuple(event_triggers),
            _relations_by_name=_by_name(held),
            _types_by_name=_by_name(known),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and (self.version, self.is_settled) == (other.version, other.is_settled)

    def __hash__(self) -> int:
        return hash((self.version, self.is_settled))

    def unsettled(self) -> "Schema":
        """This catalog as seen from a transaction that has changed it: it shows only what is committed, so nothing is a read."""
        return replace(self, is_settled=False)

    def relations_named(self, schema: str, name: str) -> tuple[Relation, ...]:
        """Every relation that a name may mean; ``schema`` is empty where the text has none. pg_temp stands for any session's."""
        return _in_schema(self._relations_by_name.get(name, ()), schema)

    def told(self, schema: str, name: str) -> tuple[str, ...]:
        """How the relation is called in full: the first on the search path; each of them where none is on it; none where none is known."""
        found = self.relations_named(schema, name)
        if not schema:
            for place in ("pg_temp", "pg_catalog", *self.search_path):
                first = [relation for relation in found if _is_in(relation.schema, place)]
                if first:
                    return tuple(relation.full_name for relation in first)
        return tuple(relation.full_name for relation in found)

    def functions_named(self, schema: str, name: str) -> tuple[Function, ...]:
        """Every function of users' own that a name may mean."""
        return _in_schema(self.functions.get(name, ()), schema)

    def operators_named(self, schema: str, name: str) -> tuple[Operator, ...]:
        """Every operator of users' own that a name may mean."""
        return _in_schema(self.operators.get(name, ()), schema)

    def types_named(self, schema: str, name: str) -> tuple[Type, ...]:
        """Every type of users' own that a name may mean."""
        return _in_schema(self._types_by_name.get(name, ()), schema)


def _is_in(schema: str, place: str) -> bool:
    return schema == place or (place == "pg_temp" and schema.startswith("pg_temp_"))


def _in_schema(found: tuple[T, ...], schema: str) -> tuple[T, ...]:
    return tuple(item for item in found if not schema or _is_in(item.schema, schema))  # type: ignore[attr-defined]
