"""Which columns of a database should be masked, from their names and from samples of their values. Pure.

Values are counted and dropped; what comes out are names, counts and shares. A *kind* is a detector's name or that of a hint.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from countersign._core import Masker
from countersign.masking.documents import Documents
from countersign.masking.names import Form, hint_of
from countersign.masking.rules import DETECTORS
from countersign.masking.tally import Tally

VALUE_LIMIT_BYTES = 8192
PATH_SHARE, PATH_DOCUMENTS = 0.1, 5
"""A path is named where it is in so large a share of the documents, and in so many: a rarer one may be made of data, such as names of
people."""
TEXT_SHARE, TEXT_VALUES = 0.01, 3
"""From here on what is found within longer texts is worth a content rule."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be looked at. ``is_read``: its values are sampled, not only its name."""

    schema: str
    table: str
    name: str
    form: Form
    is_array: bool = False

    @property
    def is_read(self) -> bool:
        """False for forms whose values no detector reads."""
        return self.form in (Form.TEXT, Form.JSON, Form.NUMBER, Form.NETWORK)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A column that should be masked, or a path within one. ``found``: in how many values a detector found what; ``filled``: in how many
    of them little else was; ``alike``: how many looked as the name says, where it says something."""

    column: Column
    path: str
    kind: str
    values: int
    found: dict[str, int]
    filled: int
    named: bool
    alike: int

    @property
    def share(self) -> float:
        """Of the values that speak for the kind; 0 where none was seen."""
        return (self.filled or self.alike) / self.values if self.values else 0.0


@dataclass(frozen=True, slots=True)
class Mention:
    """Something that a detector found within longer texts of a column."""

    column: Column
    detector: str
    found: int
    values: int


@dataclass(slots=True)
class Discovery:
    """What was found in one database."""

    proposals: list[Proposal] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    not_read: list[tuple[str, str]] = field(default_factory=list)
    """(table or column, reason)."""
    tables_read: int = 0
    rows_read: int = 0


class TableSample:
    """Counts what the rows of one table hold."""

    def __init__(self, columns: Sequence[Column], masker: Masker) -> None:
        self.columns = [column for column in columns if column.is_read]
        self._unread = [column for column in columns if not column.is_read]
        self._masker = masker
        self._tallies = {c.name: Tally(c.name, hint_of(c.name, c.form)) for c in columns}
        self._documents = {c.name: Documents(masker) for c in self.columns if c.form is Form.JSON and not c.is_array}
        self.rows = 0

    def add(self, rows: Sequence[Sequence[bytes | None]]) -> None:
        """Rows of ``columns``, as text."""
        self.rows += len(rows)
        for row in rows:
            for column, value in zip(self.columns, row, strict=True):
                if not value:
                    continue
                if column.name in self._documents:
                    self._documents[column.name].add(value)
                elif column.is_array:
                    self._tallies[column.name].add(value[:VALUE_LIMIT_BYTES].strip(b"{}"), self._masker)
                else:
                    self._tallies[column.name].add(value[:VALUE_LIMIT_BYTES], self._masker)

    def proposals(self, min_share: float) -> Iterator[Proposal]:
        """What should be masked: where at least ``min_share`` of the values are of a kind, or look as the column's name says."""
        for column in (*self.columns, *self._unread):
            if column.name in self._documents:
                yield from self._of_documents(column, min_share)
            elif (kind := self._tallies[column.name].kind(min_share)) is not None:
                yield _proposal(column, "", kind, self._tallies[column.name])

    def mentions(self, proposed: set[str]) -> Iterator[Mention]:
        """What is found here and there within texts of the columns that are not proposed themselves."""
        for column in self.columns:
            if column.name in proposed:
                continue
            documents = self._documents.get(column.name)
            tallies = documents.all_tallies() if documents else [self._tallies[column.name]]
            values = documents.count if documents else self._tallies[column.name].values
            within: Counter[str] = Counter()
            for tally in tallies:
                within.update(tally.within())
            for detector in DETECTORS:
                if within[detector] >= max(TEXT_VALUES, TEXT_SHARE * values):
                    yield Mention(column, detector, within[detector], values)

    def _of_documents(self, column: Column, min_share: float) -> Iterator[Proposal]:
        """Paths where all that is found can be named by paths, and else the column as a whole."""
        documents = self._documents[column.name]
        named, unnamed = documents.tallies(max(PATH_DOCUMENTS, PATH_SHARE * documents.count))
        whole = [(kind, tally) for tally in unnamed if (kind := tally.kind(min_share)) is not None]
        if whole:
            kind, tally = max(whole, key=lambda one: one[1].values)
            yield _proposal(column, "", kind, tally)
            return
        for path, tally in named.items():
            if (kind := tally.kind(min_share)) is not None:
                yield _proposal(column, path, kind, tally)


def _proposal(column: Column, path: str, kind: str, tally: Tally) -> Proposal:
    return Proposal(
        column=column,
        path=path,
        kind=kind,
        values=tally.values,
        found=dict(tally.found.most_common()),
        filled=tally.filled[kind],
        named=tally.hint is not None and tally.hint.kind == kind,
        alike=tally.alike,
    )
