"""What lineage asks of a target's catalog and mask rules. Pure.

Texts that the catalog gives back, such as a view's definition, are read by ``World.exact``: there a name without a schema is one of
pg_catalog's. In a client's text it may be one of any schema, for the search path is the session's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from countersign.protocols.postgres.builtins import OPERATORS, TYPES, WORDS
from countersign.protocols.postgres.functions import HARMLESS, INFORMATION_SCHEMA, REVIEWED, SILENT
from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, unknown

READINGS_KEPT = 1024
LONGEST_KEPT = 16 << 10
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Where a row lies and which transaction wrote it: nothing of its values (manual, "System Columns")."""

QUIET = HARMLESS | SILENT | {"setseed", "pg_stat_force_next_flush"}
"""PostgreSQL's own functions whose values come from their arguments, from the catalog or from nothing at all."""

SEQUENCE_READERS = frozenset({"currval", "lastval", "nextval", "setval", "pg_sequence_last_value", "pg_get_sequence_data"})
LARGE_OBJECT_READERS = frozenset({"lo_get", "loread"})


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation by its name. ``masked``: those of its columns that are masked; ``derived``: those of them that hold something made of
    a masked column instead of the column itself."""

    schema: str
    name: str
    columns: tuple[str, ...]
    masked: frozenset[str] = frozenset()
    derived: frozenset[str] = frozenset()

    def row(self) -> Row:
        """What each column of it reveals."""
        return Row(tuple((column, self.reveals(column)) for column in self.columns), is_stored=True)

    def reveals(self, column: str) -> Reveals:
        """What this column of it reveals."""
        if column not in self.masked:
            return Reveals(is_plain=True)
        return Reveals(frozenset({f"{self.schema}.{self.name}.{column}"}), is_plain=column not in self.derived)


@dataclass(frozen=True, slots=True)
class Code:
    """Functions and operators that are not PostgreSQL's own, each with its schema: those that only compute, and those that may do
    anything."""

    functions: frozenset[tuple[str, str]] = frozenset()
    harmless_functions: frozenset[tuple[str, str]] = frozenset()
    operators: frozenset[tuple[str, str]] = frozenset()
    harmless_operators: frozenset[tuple[str, str]] = frozenset()
    types: frozenset[str] = frozenset()
    """Names of types to which a cast may run anything."""

    def joined(self, other: "Code") -> "Code":
        """Both together."""
        return Code(
            self.functions | other.functions,
            self.harmless_functions | other.harmless_functions,
            self.operators | other.operators,
            self.harmless_operators | other.harmless_operators,
            self.types | other.types,
        )


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """``relations`` by name, in every schema. ``plain_types``: users' types to which a cast keeps the value. ``fresh``: tables that are
    too new for the catalog and known to hold nothing masked. ``partly``: masked columns, in full, of which only parts are masked.
    ``readings`` keeps what was found, by the shape of the text."""

    relations: Mapping[str, tuple[Relation, ...]] = field(default_factory=dict)
    code: Code = field(default_factory=Code)
    plain_types: frozenset[str] = frozenset()
    hides_sequences: bool = False
    hides_large_objects: bool = False
    is_exact: bool = False
    fresh: frozenset[str] = frozenset()
    partly: frozenset[str] = frozenset()
    readings: dict[bytes, Any] = field(default_factory=dict)

    def exact(self) -> "World":
        """For texts of the catalog's own."""
        return replace(self, is_exact=True, readings={})

    def with_fresh(self, fresh: frozenset[str]) -> "World":
        """Behind statements that made these tables."""
        return replace(self, fresh=fresh, readings={}) if fresh else self

    def keep(self, key: bytes, reading: Any) -> None:
        """Remember what was found, for a while, unless the key is long."""
        if len(key) > LONGEST_KEPT:
            return
        if len(self.readings) >= READINGS_KEPT:
            self.readings.clear()
        self.readings[key] = reading

    def named(self, schema: str, name: str) -> tuple[Relation, ...]:
        """Every relation that a name may mean; pg_temp stands for any session's."""
        place = schema or ("pg_catalog" if self.is_exact else "")
        return tuple(relation for relation in self.relations.get(name, ()) if _is_in(relation.schema, place))

    def row(self, schema: str, name: str) -> Row:
        """The columns of whatever the name means. Where that may be several relations of different columns, their places are not known."""
        found = self.named(schema, name)
        if not schema and name in self.fresh:
            fresh = Row(rest=NOTHING, is_stored=True)
            return fresh if not found else Row.any_of([fresh, *(relation.row() for relation in found)])
        if not found:
            return Row(rest=unknown(f"{name} is not in the target's catalog"), is_stored=True)
        return Row.any_of([relation.row() for relation in found])

    # -- code
    def function_problem(self, parts: list[str]) -> str:
        """Why a function may show something that is not in its arguments; empty where it cannot."""
        name, schema = parts[-1], ".".join(parts[:-1])
        if self._is_among(self.code.functions, schema, name):
            return f"the function {name} is not PostgreSQL's own and may read anything"
        if self.hides_sequences and name in SEQUENCE_READERS:
            return f"{name} may tell the last value of a masked column"
        if self.hides_large_objects and name in LARGE_OBJECT_READERS:
            return f"{name} reads large objects, which are masked"
        if schema in ("", "pg_catalog") and name in QUIET:
            return ""
        if schema == "information_schema" and name in INFORMATION_SCHEMA:
            return ""
        if self._is_among(self.code.harmless_functions, schema, name):
            return ""
        return f"the function {name} may read anything"

    def operator_problem(self, parts: list[str]) -> str:
        """The same of an operator."""
        if not parts:
            return ""
        name, schema = parts[-1], ".".join(parts[:-1])
        if self._is_among(self.code.operators, schema, name):
            return f"the operator {name} is not PostgreSQL's own and may read anything"
        if schema in ("", "pg_catalog") and name in OPERATORS | WORDS:
            return ""
        if self._is_among(self.code.harmless_operators, schema, name):
            return ""
        return f"the operator {name} is not known"

    def type_problem(self, parts: list[str]) -> str:
        """Why a cast to a type may show something that is not in its argument; empty where it cannot."""
        if not parts:
            return ""
        name, schema = parts[-1].removeprefix("_"), ".".join(parts[:-1])
        if (name in TYPES and schema in ("", "pg_catalog")) or name in self.plain_types or schema == "information_schema":
            return ""
        return f"the type {name} is not known to keep values as they are"

    def field_problem(self, name: str) -> str:
        """The same of ``value.name`` where there is no such column: it calls a function of that name, or casts."""
        if self._is_among(self.code.functions, "", name) or name in self.code.types:
            return f"{name} is not PostgreSQL's own and may read anything"
        return self.function_problem(["pg_catalog", name]) if name in REVIEWED else ""

    def _is_among(self, known: frozenset[tuple[str, str]], schema: str, name: str) -> bool:
        if schema or self.is_exact:
            return (schema or "pg_catalog", name) in known or (schema == "pg_temp" and any(held == name for _, held in known))
        return any(held == name for _, held in known)


def _is_in(schema: str, place: str) -> bool:
    return not place or schema == place or (place == "pg_temp" and schema.startswith("pg_temp_"))


def by_name(relations: Iterable[Relation]) -> dict[str, tuple[Relation, ...]]:
    """As ``World`` takes them."""
    found: dict[str, list[Relation]] = {}
    for relation in relations:
        found.setdefault(relation.name, []).append(relation)
    return {name: tuple(same) for name, same in found.items()}
