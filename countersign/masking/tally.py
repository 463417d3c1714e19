"""Counts of what the values of one column, or at one path of a JSON column, hold. Pure."""

from collections import Counter

from countersign._core import Masker
from countersign.masking.names import Hint, looks_like

FILLS = 0.5
"""A detector's hits fill a value where they are so large a part of it."""
LEAST = 5
"""So many values must be of a kind, or all where there are fewer: checksums are met by chance, one in ten of the simple ones."""
ALIKE_SHARE = 0.5
"""So many of the values must look as the column's name says."""


class Tally:
    """Counts, and never a value. ``name`` is that of the column, or the last key of a path: some detectors believe what they see only
    beside a word for it."""

    def __init__(self, name: str, hint: Hint | None) -> None:
        self.hint = hint
        self._name = name.encode("utf-8", "replace") or None
        self.values = 0
        self.documents = 0
        """In how many documents there was such a value, where it is one path of several."""
        self.found: Counter[str] = Counter()
        self.filled: Counter[str] = Counter()
        self.alike = 0

    def add(self, value: bytes, masker: Masker) -> None:
        """Count a value that is not empty."""
        self.values += 1
        covered: Counter[str] = Counter()
        for detector, start, end in masker.explain(value, self._name):
            covered[detector] += end - start
        self.found.update(covered.keys())
        self.filled.update(detector for detector, length in covered.items() if length >= FILLS * len(value))
        if self.hint is not None and looks_like(self.hint, value.decode("utf-8", "replace")):
            self.alike += 1

    def include(self, other: "Tally") -> None:
        """Count what another has counted, elsewhere in the same documents."""
        self.values += other.values
        self.documents += other.documents
        self.found.update(other.found)
        self.filled.update(other.filled)

    def kind(self, min_share: float) -> str | None:
        """What the values are, by what they hold and otherwise by the name; None for nothing to mask."""
        for detector, filled in self.filled.most_common(1):
            if filled >= min(LEAST, self.values) and filled >= min_share * self.values:
                return detector
        if self.hint is not None and self.alike >= ALIKE_SHARE * self.values:
            return self.hint.kind
        return None

    def within(self) -> Counter[str]:
        """In how many values a detector found something within much else, for detectors that find it so for the most part."""
        inside = self.found - self.filled
        return Counter({detector: count for detector, count in inside.items() if count > self.filled[detector]})
