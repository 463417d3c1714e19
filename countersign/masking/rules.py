"""Mask rules."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from countersign._core import DETECTOR_GROUPS, DETECTOR_NAMES
from countersign.model import NOBODY, Subjects

DETECTORS: tuple[str, ...] = DETECTOR_NAMES
"""The core's detectors by name."""

GROUPS = {group: tuple(name for name, of in DETECTOR_GROUPS if of == group) for _, group in DETECTOR_GROUPS} | {"all": DETECTORS}
"""Names that stand for several detectors."""

OPERATORS = ("redact", "partial", "hash", "null")


LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

ColumnLabels = Mapping[str, Sequence[str]]
"""What a target's settings call its columns: the patterns of each label, such as ``pii``."""
Labelled = Mapping[str, ColumnLabels]
"""The column labels of each target, by its name."""


@dataclass(frozen=True, slots=True)
class MaskRule:
    """A rule that masks columns (``schema.table.column``, globs allowed), content that detectors find, or both.

    ``operator_json`` is the operator as the core reads it; ``targets`` are names or globs. ``labels`` stand for what a target calls so.
    ``exempt`` see what it masks.
    """

    name: str
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    detect: tuple[str, ...]
    operator_json: str
    labels: tuple[str, ...] = ()
    exempt: Subjects = NOBODY

    def on(self, labelled: ColumnLabels) -> "MaskRule | None":
        """The rule with its labels written out for a target that has these; None where nothing is left of it there."""
        if not self.labels:
            return self
        named = (column for label in self.labels for column in labelled.get(label, ()))
        columns = (*self.columns, *named)
        return replace(self, columns=columns, labels=()) if columns or self.detect else None


def column_problem(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a pattern that should name columns, and a hint; None where it does."""
    parts = pattern.split(".")
    if len(parts) == 3 and all(parts):
        return None
    hint = "schema.table.column, where * may stand for any part"
    if all(parts) and len(parts) < 3:
        hint += f"; did you mean {'.'.join(['*'] * (3 - len(parts)) + parts)!r}?"
    elif all(parts):
        hint += "; a dot within a name is written ?"
    return f"{pattern!r} does not name a column", hint
