"""Mask rules."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from countersign._core import DETECTOR_GROUPS, DETECTOR_NAMES
from countersign.model import NOBODY, Subjects

DETECTORS: tuple[str, ...] = DETECTOR_NAMES
"""The core's detectors by name."""

GROUPS = {group: tuple(name for name, of in DETECTOR_GROUPS if of == group) for _, group in DETECTOR_GROUPS} | {"all": DETECTORS}
"""Names that stand for several detectors."""

OPERATORS = ("redact", "partial", "hash", "tokenize", "null", "range")

RANGE_UNITS = ("minute", "hour", "day", "week", "month", "quarter", "year", "decade")
"""What ``range`` rounds dates and times down to."""


LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

ColumnLabels = Mapping[str, Sequence[str]]
"""What a target's settings call its columns: the patterns of each label, such as ``pii``."""
Labelled = Mapping[str, ColumnLabels]
"""The column labels of each target, by its name."""


def detector_name(detector: str) -> str:
    """The name of a detector of a rule: itself, or within the description of one of the policy's own."""
    return str(json.loads(detector)["name"]) if detector.startswith("{") else detector


@dataclass(frozen=True, slots=True)
class MaskRule:
    """A rule that masks columns (``schema.table.column``, globs allowed), content that detectors find, or both.

    With ``paths`` it masks what they name inside of JSON: in its columns, or where it names none in every column that holds JSON.
    ``detect`` holds names of detectors, and detectors of the policy's own as the core reads them (JSON). ``operator_json`` is the operator as the core reads it; ``targets`` are names or globs. ``labels`` stand for what a target calls so.
    ``exempt`` see what it masks.
    """

    name: str
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    detect: tuple[str, ...]
    operator_json: str
    labels: tuple[str, ...] = ()
    exempt: Subjects = NOBODY
    paths: tuple[str, ...] = ()

    @property
    def is_of_columns(self) -> bool:
        """True where it depends on what column a value is from."""
        return bool(self.columns or self.paths)

    def on(self, labelled: ColumnLabels) -> "MaskRule | None":
        """The rule with its labels written out for a target that has these; None where nothing is left of it there."""
        if not self.labels:
            return self
        named = (column for label in self.labels for column in labelled.get(label, ()))
        columns = (*self.columns, *named)
        return replace(self, columns=columns, labels=()) if columns or self.detect else None


def paths_json(rules: Sequence[MaskRule]) -> str:
    """The path rules of one column, as the core reads them."""
    entries = [{"rule": rule.name, "paths": rule.paths, "operator": json.loads(rule.operator_json)} for rule in rules]
    return json.dumps(entries, separators=(",", ":"))


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
