"""What names mean at one place of a query. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, union, unknown
from countersign.protocols.postgres.lineage.world import SYSTEM_COLUMNS, World

MOST_STEPS = 50_000
"""Nodes looked at, constants left out, so that no text keeps the gateway busy: what takes more is not understood."""


class TooComplex(Exception):
    """A statement that takes too many steps to read."""


@dataclass(slots=True)
class Gathered:
    """What was found on the way. ``probes``: masked columns that decide which rows are seen, or in which order; ``moves``: masked columns
    that are copied to where they are not masked; ``unknown``: what could not be understood; ``relations``: names without their schemas."""

    probes: set[str] = field(default_factory=set)
    moves: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)

    def take(self, other: "Gathered") -> None:
        """All of another."""
        self.probes |= other.probes
        self.moves |= other.moves
        self.unknown |= other.unknown
        self.relations |= other.relations

    @property
    def reveals(self) -> Reveals:
        """What is known once it is known which rows there are."""
        return Reveals(frozenset(self.probes), frozenset(self.unknown))


class Frame:
    """One FROM: its rows, as they stand beside each other, and by the names that they can be called by."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._named: dict[str, list[Row]] = {}

    def call(self, alias: str, row: Row) -> None:
        """Let a row be called by a name."""
        if alias:
            self._named.setdefault(alias, []).append(row)

    def called(self, alias: str) -> list[Row]:
        """The rows of that name; more than one where tables of different schemas are called alike."""
        return self._named.get(alias, [])

    def take_names(self, other: "Frame") -> None:
        """Let the rows of another be called as they were there."""
        for alias, rows in other._named.items():
            self._named.setdefault(alias, []).extend(rows)

    def replaced(self, old: Row, new: Row) -> "Frame":
        """The same frame with another row in the place of one."""
        frame = Frame()
        frame.rows = [new if row is old else row for row in self.rows]
        for alias, rows in self._named.items():
            frame._named[alias] = [new if row is old else row for row in rows]
        return frame

    def star(self) -> Row:
        """All rows beside each other."""
        whole = Row()
        for row in self.rows:
            whole = whole.beside(row)
        return whole

    def bare(self, name: str) -> tuple[list[Reveals], list[Reveals]]:
        """What a column of this name reveals: of those that certainly have it, and of those that may have it."""
        certain = [found for row in self.rows if (found := row.certain(name)) is not None]
        possible = [found for row in self.rows if (found := row.possible(name)) is not None]
        if not certain and name in SYSTEM_COLUMNS and any(row.is_stored for row in self.rows):
            certain = [NOTHING]
        return certain, possible


class Cte(Protocol):
    """A CTE in sight."""

    def row(self, namer: "Scope") -> Row:
        """Its columns; the namer gathers what decides about its rows."""


@dataclass(frozen=True, slots=True)
class Scope:
    """``frames``: the innermost FROM first. ``windows``: what the query's named windows reveal. ``steps`` counts down."""

    world: World
    gathered: Gathered
    steps: list[int]
    frames: tuple[Frame, ...] = ()
    ctes: Mapping[str, Cte] = field(default_factory=dict)
    windows: Reveals = NOTHING

    def step(self) -> None:
        """Count one. Raises ``TooComplex``."""
        self.steps[0] -= 1
        if self.steps[0] < 0:
            raise TooComplex

    def within(self, frame: Frame) -> "Scope":
        """A scope in which the frame's columns are seen first."""
        return replace(self, frames=(frame, *self.frames))

    def apart(self) -> "Scope":
        """The same scope, gathering apart."""
        return replace(self, gathered=Gathered())

    def probe(self, *parts: Reveals) -> None:
        """These decide about rows."""
        for part in parts:
            self.gathered.probes |= part.columns
            self.gathered.unknown |= part.unknown

    def doubt(self, why: str) -> Reveals:
        """Something that is not understood; nothing is in doubt where there is no reason."""
        if not why:
            return NOTHING
        self.gathered.unknown.add(why)
        return unknown(why)

    # -- names
    def column(self, parts: list[str]) -> Reveals:
        """What a reference to a column, or to a whole row, reveals."""
        return self._bare(parts[0]) if len(parts) == 1 else self._qualified(parts[-2], parts[-1])

    def rows_called(self, alias: str) -> list[Row]:
        """The rows of a name in the innermost FROM that has it."""
        return next((rows for frame in self.frames if (rows := frame.called(alias))), [])

    def _bare(self, name: str) -> Reveals:
        found: list[Reveals] = []
        for frame in self.frames:
            certain, possible = frame.bare(name)
            if certain and not found:
                return certain[0] if len(certain) == 1 else union(certain)
            found += certain + possible
            if certain:
                break
        found += [row.whole for row in self.rows_called(name)]
        return union(found) if found else self.doubt(f"the name {name} is not known here")

    def _qualified(self, alias: str, name: str) -> Reveals:
        rows = self.rows_called(alias)
        if not rows:
            return self.doubt(f"the name {alias}.{name} is not known here")
        return _joined(self._field(row, name) for row in rows)

    def _field(self, row: Row, name: str) -> Reveals:
        if (certain := row.certain(name)) is not None:
            return certain
        if row.is_stored and name in SYSTEM_COLUMNS:
            return NOTHING
        possible = row.possible(name)
        if possible is not None:
            return possible | row.whole | self.calls(name)
        return row.whole | self.calls(name)

    def calls(self, name: str) -> Reveals:
        """``row.name`` where there is no such column is ``name(row)``: a function, or a cast to a type."""
        return self.doubt(self.world.field_problem(name))


def _joined(parts: Iterable[Reveals]) -> Reveals:
    found: Iterator[Reveals] = iter(parts)
    first = next(found)
    others = list(found)
    return union([first, *others]) if others else first
