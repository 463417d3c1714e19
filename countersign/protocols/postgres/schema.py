"""What a target's catalog says, as far as the reading of a statement depends on it. Pure.

Everything with an OID below 16384 was made by initdb and is PostgreSQL's own; everything else is somebody's. A label such as IMMUTABLE
is a claim and proves nothing: a function of somebody's counts as harmless only where it is written in C and belongs to a reviewed extension.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

FIRST_USER_OID = 16384
"""Objects below were made by initdb (manual, "System Catalog Initial Data", OID assignment)."""

SYSTEM_SCHEMAS = ("pg_catalog", "information_schema")

CHANGED = "this transaction has changed the schema, and the catalog shows only what is committed"

IN_SQL = " (in SQL)"
"""Ends the name of a function whose body the planner may put in the place of a call."""

T = TypeVar("T")


class Column(NamedTuple):
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


class Part(NamedTuple):
    """An expression that belongs to a relation or domain: of a ``policy``, ``policy for writing``, ``default``, ``generated`` or
    ``virtual`` column, ``check``, ``index``, ``statistics`` or ``partition``.

    ``functions`` are the functions of users' own that it depends on, seen or unseen in the text. An empty ``text`` could not be read.
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
    depends on. An empty ``definition`` of a view could not be read. ``children`` are partitions and tables that inherit."""

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
    """A type of users' own. ``kind``: base, enum, domain, composite, array, range, multirange or other; ``parts`` are the OIDs of a
    domain's base type, of a composite's columns, of an array's element, of a range's subtype or of a multirange's range; ``checks`` are
    a domain's. A range with functions of its own is ``other``."""

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


@dataclass(frozen=True, slots=True)
class Comparison:
    """A function of users' own that sorting, grouping and comparing values of a type may call, unseen, by an operator class.
    ``is_default``: the type's own, so that nothing need name it."""

    type_oid: int
    function: str
    is_default: bool = False


def _unseen(casts: Iterable[Cast], comparisons: Iterable[Comparison]) -> Iterator[str]:
    for cast in casts:
        if cast.is_implicit and max(cast.source, cast.target) < FIRST_USER_OID:
            yield f"a value of the type {cast.source_name} may be converted by {cast.function}"
    for comparison in comparisons:
        if comparison.is_default and comparison.type_oid < FIRST_USER_OID:
            yield f"a value of a built-in type may be compared by {comparison.function}"


def _by_name(items: Iterable[T]) -> dict[str, tuple[T, ...]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item)  # type: ignore[attr-defined]
    return {name: tuple(same) for name, same in found.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One database's catalog at one moment. Two are equal where their ``version`` is: a digest of everything in them.

    ``search_path`` is what sessions start with. It says how a name is told; what a statement may do is judged by every relation,
    function, operator and type of that name in any schema, for a session's path may have become another. ``unseen`` says what may be called
    for values of PostgreSQL's own types, and so by any query. ``unsettled_because`` says
    why the catalog is no word on the moment, so that no query is a read; it is empty where the catalog is. ``locked`` holds relations
    that even readers wait for, and the processes that have locked them.
    """

    version: str
    search_path: tuple[str, ...]
    relations: Mapping[int, Relation]
    types: Mapping[int, Type]
    functions: Mapping[str, tuple[Function, ...]]
    operators: Mapping[str, tuple[Operator, ...]]
    casts: tuple[Cast, ...] = ()
    event_triggers: tuple[Trigger, ...] = ()
    comparisons: Mapping[int, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    unsettled_because: str = ""
    is_path_known: bool = True
    is_of_now: bool = False
    locked: tuple[tuple[int, int], ...] = ()
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
        comparisons: Iterable[Comparison] = (),
        locked: Iterable[tuple[int, int]] = (),
    ) -> "Schema":
        """A schema with its indexes."""
        held, known = tuple(relations), tuple(types)
        held_casts, compared = tuple(casts), tuple(comparisons)
        return cls(
            version=version,
            search_path=search_path,
            relations={relation.oid: relation for relation in held},
            types={type_.oid: type_ for type_ in known},
            functions=_by_name(functions),
            operators=_by_name(operators),
            casts=held_casts,
            event_triggers=tuple(event_triggers),
            comparisons={comparison.type_oid: comparison.function for comparison in compared},
            locked=tuple((relation, session) for relation, session in locked),
            unseen=tuple(_unseen(held_casts, compared)),
            _relations_by_name=_by_name(held),
            _types_by_name=_by_name(known),
        )

    @property
    def _key(self) -> tuple[object, ...]:
        return (self.version, self.unsettled_because, self.is_path_known, self.is_of_now, self.locked)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @classmethod
    def unread(cls, why: str) -> "Schema":
        """What is known where the catalog cannot be read: nothing, so that no query is a read."""
        return cls.of("", ()).unsettled(why)

    @property
    def is_read(self) -> bool:
        """False where it could not be read."""
        return bool(self.version)

    def unsettled(self, why: str = CHANGED) -> "Schema":
        """This catalog where it is no word on the moment, as in a transaction that has changed it: nothing is a read."""
        return replace(self, unsettled_because=why)

    def off_path(self) -> "Schema":
        """This catalog for a session whose search path may be another than that of a new one: names are told in every way they may mean."""
        return replace(self, is_path_known=False)

    def of_now(self) -> "Schema":
        """This catalog, read a moment ago: the server refuses what is not in it."""
        return replace(self, is_of_now=True)

    def later(self) -> "Schema":
        """This catalog for a statement that has to wait for another: what is not in it may be made meanwhile."""
        return replace(self, is_of_now=False) if self.is_of_now else self

    def seen_by(self, session: int) -> "Schema":
        """This catalog for the server's process of this id, which need not wait for its own locks."""
        if all(holder != session for _, holder in self.locked):
            return self
        return replace(self, locked=tuple((relation, holder) for relation, holder in self.locked if holder != session))

    def is_locked(self, relation: Relation) -> bool:
        """Whether another session has locked a relation so that even readers wait, and may be changing it."""
        return any(oid == relation.oid for oid, _ in self.locked)

    def relations_named(self, schema: str, name: str) -> tuple[Relation, ...]:
        """Every relation that a name may mean; ``schema`` is empty where the text has none. pg_temp stands for any session's."""
        return _in_schema(self._relations_by_name.get(name, ()), schema)

    def told(self, schema: str, name: str) -> tuple[str, ...]:
        """How the relation is called in full: the first on the search path, and temporary ones of any session beside it; each of them
        where none is on the path or the path is not known; none where none is known."""
        found = self.relations_named(schema, name)
        if not schema and self.is_path_known:
            temporary = [relation for relation in found if _is_in(relation.schema, "pg_temp")]
            for place in ("pg_catalog", *self.search_path):
                first = [relation for relation in found if relation.schema == place]
                if first:
                    return tuple(relation.full_name for relation in (*first, *temporary))
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
