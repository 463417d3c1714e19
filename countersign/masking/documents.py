"""Counts of what JSON documents hold, by path. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from countersign._core import Masker
from countersign.masking.names import Form, hint_of
from countersign.masking.tally import Tally

DEPTH_LIMIT = 32
PATHS_LIMIT = 500
LEAVES_LIMIT = 2000
"""Of one document."""
PLAIN_STEP = re.compile(r"\.[A-Za-z_][A-Za-z0-9_]{0,62}|\[\*\]")

Path = tuple[str, ...]
"""Steps: ``.key``, ``[*]`` for any item, and one of those below."""
KEYS = "(keys)"
"""Where keys themselves are counted, which may be data."""
REST: Path = ("(rest)",)


class _Object(list[tuple[str, Any]]):
    """An object with every key that it has, given twice or not."""


class Documents:
    """Counts of the documents of one column. Paths read as ``$.user.emails[*]``."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._tallies: dict[Path, Tally] = {}
        self.count = 0

    def add(self, document: bytes) -> None:
        """Count the texts, numbers and keys of a document; one that is nested too deeply counts for nothing."""
        self.count += 1
        try:
            value = json.loads(document, object_pairs_hook=_Object)
        except (ValueError, RecursionError):
            return
        seen: set[Path] = set()
        for number, (path, leaf) in enumerate(_leaves(value, (), 0)):
            if number >= LEAVES_LIMIT:
                break
            if leaf:
                self._count(path, leaf, seen)

    def _count(self, path: Path, leaf: str, seen: set[Path]) -> None:
        if path not in self._tallies and len(self._tallies) >= PATHS_LIMIT:
            path = REST
        if path not in self._tallies:
            names = [step[1:] for step in path if step.startswith(".")]
            name = names[-1] if names and path[-1] != KEYS else ""
            self._tallies[path] = Tally(name, hint_of(name, Form.TEXT))
        tally = self._tallies[path]
        tally.documents += path not in seen
        seen.add(path)
        tally.add(leaf.encode("utf-8", "replace")[:8192], self._masker)

    def all_tallies(self) -> list[Tally]:
        """The counts of all paths."""
        return list(self._tallies.values())

    def tallies(self, enough: float) -> tuple[dict[str, Tally], list[Tally]]:
        """The counts of each path that can be named, and of the others together.

        A path can be named if it is made of plain keys and in ``enough`` documents: a rarer one may be made of data, such as names of
        people. Others are put together by their last step if that is common, as ``mail`` is where the step before is a person's name.
        """
        named = {
            path: t for path, t in self._tallies.items() if t.documents >= enough and path and all(map(PLAIN_STEP.fullmatch, path))
        }
        others = {path: tally for path, tally in self._tallies.items() if path not in named}
        common = Counter[str]()
        for path, tally in others.items():
            common[_last(path)] += tally.documents
        often = min(enough, self.count)
        together: dict[str, Tally] = {}
        for path, tally in others.items():
            last = _last(path) if common[_last(path)] >= often else ""
            together.setdefault(last, Tally("", None)).include(tally)
        return {f"${''.join(path)}": tally for path, tally in named.items()}, list(together.values())


def _last(path: Path) -> str:
    return path[-1] if path else ""


def _leaves(value: Any, path: Path, depth: int) -> Iterable[tuple[Path, str]]:
    if depth > DEPTH_LIMIT:
        return
    if isinstance(value, _Object):
        for key, inner in value:
            yield (*path, KEYS), key
            yield from _leaves(inner, (*path, f".{key}"), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, (*path, "[*]"), depth + 1)
    elif isinstance(value, str):
        yield path, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, str(value)
