"""What an expression can reveal, and the rows that a query is made of. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_


@dataclass(frozen=True, slots=True)
class Reveals:
    """``columns``: the masked columns that a value can depend on, named ``schema.table.column``. ``unknown``: why more cannot be said; a
    value of which that is so may hold anything. ``is_plain``: it is a column's value as it stands."""

    columns: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    is_plain: bool = False

    def __or__(self, other: "Reveals") -> "Reveals":
        return Reveals(self.columns | other.columns, self.unknown | other.unknown)

    @property
    def is_nothing(self) -> bool:
        """True where it holds nothing masked, for certain."""
        return not self.columns and not self.unknown


NOTHING = Reveals()


def unknown(why: str) -> Reveals:
    """What can be anything."""
    return Reveals(unknown=frozenset({why}))


def union(parts: Iterable[Reveals]) -> Reveals:
    """All together."""
    return reduce(or_, parts, NOTHING)


Named = tuple[str, Reveals]


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of something in FROM, or of a query's answer.

    ``head`` comes first and ``tail`` last. A column whose name is not certain is called ''. Between them may stand columns whose places, or names, are not known: ``loose`` those that it
    may have, ``rest`` what any other reveals; None where there is no other. ``is_stored``: it is a relation, and has system columns.
    """

    head: tuple[Named, ...] = ()
    loose: tuple[Named, ...] = ()
    rest: Reveals | None = None
    tail: tuple[Named, ...] = ()
    is_stored: bool = False

    @classmethod
    def any_of(cls, rows: Sequence["Row"]) -> "Row":
        """One of these, and it is not known which."""
        first, *others = rows
        if not others:
            return first
        names = [[name for name, _ in row.head] for row in rows]
        if all(row.is_fixed for row in rows) and all(each == names[0] for each in names):
            columns = zip(*(row.head for row in rows), strict=True)
            return Row(tuple((same[0][0], _either(reveals for _, reveals in same)) for same in columns), is_stored=first.is_stored)
        loose = tuple(column for row in rows for column in (*row.head, *row.loose, *row.tail))
        rests = [row.rest for row in rows if row.rest is not None]
        return Row(loose=loose, rest=union(rests) if rests else None, is_stored=any(row.is_stored for row in rows))

    @property
    def is_fixed(self) -> bool:
        """Whether every column and its place is known."""
        return not self.loose and self.rest is None

    @property
    def whole(self) -> Reveals:
        """What the row reveals as one value."""
        return union([*(reveals for _, reveals in (*self.head, *self.loose, *self.tail)), self.rest or NOTHING])

    @property
    def middle(self) -> Reveals:
        """What a column reveals that is neither among the first nor among the last."""
        return union([*(reveals for _, reveals in self.loose), self.rest or NOTHING])

    def certain(self, name: str) -> Reveals | None:
        """What the column of this name reveals; None where it is not certain that there is one."""
        found = [reveals for held, reveals in (*self.head, *self.tail) if held == name]
        return None if not found else found[0] if len(found) == 1 else union(found)

    def possible(self, name: str) -> Reveals | None:
        """What a column of this name reveals if there is one; None where there is none for certain."""
        found = [reveals for held, reveals in self.loose if held == name]
        found += [reveals for held, reveals in (*self.head, *self.loose, *self.tail) if not held]
        if self.rest is not None:
            found.append(self.rest)
        return union(found) if found else None

    def at(self, index: int, width: int) -> Reveals:
        """What the column at this place reveals, in an answer of so many columns."""
        if width < len(self.head) + len(self.tail) or (self.is_fixed and width != len(self.head)):
            return unknown("the answer has other columns than the statement lets expect")
        if index < len(self.head):
            return self.head[index][1]
        if index >= width - len(self.tail):
            return self.tail[index - width][1]
        return self.middle

    def beside(self, other: "Row") -> "Row":
        """This row and the other one behind it."""
        if self.is_fixed:
            return Row(self.head + other.head, other.loose, other.rest, other.tail)
        if other.is_fixed:
            return Row(self.head, self.loose, self.rest, self.tail + other.head)
        rest = None if self.rest is None and other.rest is None else (self.rest or NOTHING) | (other.rest or NOTHING)
        return Row(self.head, self.loose + self.tail + other.head + other.loose, rest, other.tail)

    def over(self, other: "Row") -> "Row":
        """The answer of a set operation: each column is of one row or the other."""
        if self.is_fixed and other.is_fixed and len(self.head) == len(other.head):
            pairs = zip(self.head, other.head, strict=True)
            return Row(tuple((name, left | right) for (name, left), (_, right) in pairs))
        either = self.whole | other.whole
        return Row(loose=tuple((name, either) for name, _ in (*self.head, *self.tail)), rest=either)

    def renamed(self, names: Sequence[str]) -> "Row":
        """The first columns called by other names."""
        if not names:
            return self
        if self.is_fixed:
            kept = self.head[len(names) :]
            return Row(tuple((new, reveals) for new, (_, reveals) in zip(names, self.head, strict=False)) + kept)
        certain = min(len(names), len(self.head))
        given = [(name, self.head[place][1] if place < certain else self.whole) for place, name in enumerate(names)]
        kept = self.head[len(names) :]
        loose = self.loose if certain == len(names) else self.loose + self.tail
        return Row(
            (*given, *kept), loose, self.whole if certain < len(names) else self.rest, self.tail if certain == len(names) else ()
        )


def _either(parts: Iterable[Reveals]) -> Reveals:
    held = list(parts)
    return Reveals(
        frozenset().union(*(one.columns for one in held)),
        frozenset().union(*(one.unknown for one in held)),
        all(one.is_plain for one in held),
    )
