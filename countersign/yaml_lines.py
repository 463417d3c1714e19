"""YAML that remembers where everything stood, so that every complaint names a line. Safe tags only, no duplicate keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file."""

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" + (f" (hint: {self.hint})" if self.hint else "")


class Mapping(dict[str, Any]):
    """A YAML mapping; ``lines`` holds the line of each key, ``line`` its own."""

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
        self.lines: dict[str, int] = {}


class Sequence(list[Any]):
    """A YAML sequence; ``lines`` holds the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class _Broken(yaml.YAMLError):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str, file: str) -> tuple[Any, list[Problem]]:
    """The document as Mapping, Sequence and plain scalars, and what is wrong with its YAML."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return (_construct(loader, node, 0) if node else None), []
    except _Broken as error:
        return None, [Problem(file, error.line, str(error))]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, [Problem(file, line, f"not valid YAML: {error.problem or error.context}")]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, [Problem(file, 1, f"not valid YAML: {error}")]


def _construct(loader: yaml.SafeLoader, node: yaml.Node, depth: int) -> Any:
    line = node.start_mark.line + 1
    if depth > 40:
        raise _Broken(line, "nested too deeply")
    if isinstance(node, yaml.MappingNode):
        mapping = Mapping()
        mapping.line = line
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node)
            key_line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise _Broken(key_line, f"the key {key!r} is not a word")
            if key in mapping:
                raise _Broken(key_line, f"the key {key!r} is given twice")
            mapping[key] = _construct(loader, value_node, depth + 1)
            mapping.lines[key] = key_line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        sequence = Sequence()
        for item in node.value:
            sequence.append(_construct(loader, item, depth + 1))
            sequence.lines.append(item.start_mark.line + 1)
        return sequence
    return loader.construct_object(node)


@dataclass(slots=True)
class Section:
    """A mapping being read: takes keys by type, collects problems, and in the end complains of what nobody asked for."""

    file: str
    mapping: Mapping
    problems: list[Problem]
    where: str
    _known: set[str] = field(default_factory=set)

    def line(self, key: str = "") -> int:
        """The line of a key, or of the section."""
        return self.mapping.lines.get(key, self.mapping.line)

    def complain(self, key: str, message: str, hint: str = "") -> None:
        """Add a problem at a key."""
        self.problems.append(Problem(self.file, self.line(key), message, hint))

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None, *, required: bool = False, word: str = "") -> Any:
        """The key's value if it is of this kind; otherwise the default, with a complaint."""
        self._known.add(key)
        if key not in self.mapping:
            if required:
                self.complain("", f"{self.where} needs {key!r}")
            return default
        value = self.mapping[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            expected = word or (kind.__name__.lower() if isinstance(kind, type) else "another kind of value")
            expected = {"str": "text", "int": "a whole number", "bool": "true or false"}.get(expected, expected)
            self.complain(key, f"{key!r} must be {expected}")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self.take(key, Sequence, Sequence(), word="a list")
        for line, value in zip(values.lines, values, strict=True):
            if not isinstance(value, str) or not value:
                self.problems.append(Problem(self.file, line, f"{key!r} holds {value!r}, which is not text"))
        return tuple(value for value in values if isinstance(value, str) and value)

    def section(self, key: str) -> "Section | None":
        """A mapping below this one."""
        value = self.take(key, Mapping, None, word="a mapping")
        return Section(self.file, value, self.problems, key) if value is not None else None

    def sections(self, key: str) -> Iterator["Section"]:
        """A list of mappings below this one."""
        values = self.take(key, Sequence, Sequence(), word="a list")
        for line, value in zip(values.lines, values, strict=True):
            if isinstance(value, Mapping):
                yield Section(self.file, value, self.problems, f"an item of {key!r}")
            else:
                self.problems.append(Problem(self.file, line, f"every item of {key!r} must be a mapping"))

    def finish(self, also_known: Iterable[str] = ()) -> None:
        """Complain of keys that nobody took."""
        known = self._known | set(also_known)
        for key in self.mapping:
            if key not in known:
                close = get_close_matches(key, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
                self.complain(key, f"unknown key {key!r} in {self.where}", hint)
