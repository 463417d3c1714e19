"""YAML that remembers where everything stood, so that every complaint names a line. Safe tags only, no duplicate keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

NODE_LIMIT = 50_000
"""Nodes in one file, each alias counted as what it stands for: a few lines of nested aliases could fill the memory."""
DEPTH_LIMIT = 40
WORD_TAGS = frozenset(f"tag:yaml.org,2002:{tag}" for tag in ("str", "null", "bool"))


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
    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


def parse(text: str, file: str) -> tuple[Any, list[Problem]]:
    """The document as Mapping, Sequence and plain scalars, and what is wrong with its YAML."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return (_Builder(loader).build(node, 0) if node else None), []
    except _Broken as error:
        return None, [Problem(file, error.line, str(error), error.hint)]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, [Problem(file, line, f"not valid YAML: {_told(error)}")]
    except yaml.YAMLError as error:
        return None, [Problem(file, 1, f"not valid YAML: {error}")]
    except RecursionError:
        return None, [Problem(file, 1, "nested too deeply")]


def _told(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, but for the name of an alias: a password that begins with ``*`` reads as one (I6)."""
    problem = error.problem or error.context or "broken"
    return "a value that begins with '*' must be quoted" if "undefined alias" in problem else problem


class _Builder:
    """Nodes into values. Raises ``_Broken`` with the line of what it refuses."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._nodes = 0

    def build(self, node: yaml.Node, depth: int) -> Any:
        line = node.start_mark.line + 1
        self._nodes += 1
        if depth > DEPTH_LIMIT or self._nodes > NODE_LIMIT:
            raise _Broken(line, "nested too deeply" if depth > DEPTH_LIMIT else "too large")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, line, depth)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, line, depth)
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, line: int, depth: int) -> Mapping:
        _refuse_tag(node, yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, line)
        mapping = Mapping()
        mapping.line = line
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            # A key is its text as written, so that {null: {}} and {on: x} mean what they say.
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in WORD_TAGS or not key_node.value:
                raise _Broken(key_line, "a key must be a word", "quote it if it should be one")
            key = key_node.value
            if key in mapping:
                raise _Broken(key_line, f"the key {key!r} is given twice")
            mapping[key] = self.build(value_node, depth + 1)
            mapping.lines[key] = key_line
        return mapping

    def _sequence(self, node: yaml.SequenceNode, line: int, depth: int) -> Sequence:
        _refuse_tag(node, yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG, line)
        sequence = Sequence()
        for item in node.value:
            sequence.append(self.build(item, depth + 1))
            sequence.lines.append(item.start_mark.line + 1)
        return sequence

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, LookupError, AttributeError) as error:
            # What PyYAML raises for !!bool abc, !!int '', 2024-13-45: it says nothing a user could use.
            kind = node.tag.rsplit(":", 1)[-1]
            raise _Broken(line, f"this is no {kind}", "quote it if it should be text") from error


def _refuse_tag(node: yaml.Node, plain: str, line: int) -> None:
    if node.tag != plain:
        raise _Broken(line, f"the tag {node.tag!r} is not allowed", "plain mappings, lists and texts only")


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
        self.complain_at(self.line(key), message, hint)

    def complain_at(self, line: int, message: str, hint: str = "") -> None:
        """Add a problem at a line."""
        self.problems.append(Problem(self.file, line, message, hint))

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
        if required and value == "":
            self.complain(key, f"{key!r} is empty")
        return value

    def texts(self, key: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
        """A list of texts. An empty one is refused where leaving the key out means everything: nobody would mean that."""
        return tuple(value for _, value in self.numbered_texts(key, may_be_empty=may_be_empty))

    def numbered_texts(self, key: str, *, may_be_empty: bool = False) -> list[tuple[int, str]]:
        """As ``texts``, each with its line."""
        values = self.take(key, Sequence, None, word="a list")
        if values is None:
            return []
        if not values and not may_be_empty:
            self.complain(key, f"{key!r} is empty", "leave it out to match everything")
        numbered = list(zip(values.lines, values, strict=True))
        for line, value in numbered:
            if not isinstance(value, str) or not value:
                self.complain_at(line, f"{key!r} holds {value!r}, which is not text")
        return [(line, value) for line, value in numbered if isinstance(value, str) and value]

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
                self.complain_at(line, f"every item of {key!r} must be a mapping")

    def finish(self, also_known: Iterable[str] = ()) -> None:
        """Complain of keys that nobody took."""
        known = self._known | set(also_known)
        for key in self.mapping:
            if key not in known:
                close = get_close_matches(key, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
                self.complain(key, f"unknown key {key!r} in {self.where}", hint)
