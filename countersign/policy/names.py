"""Finds what a condition compares names with and can never be equal to: names are full, ``schema.table``. Pure.

It reads tokens, not meaning, and is for warnings only: it knows the ways in which people write such comparisons, and no others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

DOTS = {
    "command.tables": (1, "schema.table"),
    "command.reads": (1, "schema.table"),
    "command.writes": (1, "schema.table"),
    "sql.columns_read": (2, "schema.table.column"),
    "sql.columns_written": (2, "schema.table.column"),
}
"""What names are full, with how many dots they have at least, and how they are made."""

FIELDS = {name.partition(".")[2]: name for name in DOTS}
"""The same of one of ``command.statements``, whatever the condition calls it."""

_TOKEN = re.compile(
    r"""//[^\n]*|[rRbB]*(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*|[=!]=|\d+|\S"""
)
_MACRO = re.compile(r"(.+)\.(?:exists|exists_one|all|filter|map)")
_COMPARES = ("==", "!=", "in")


@dataclass(frozen=True, slots=True)
class BareName:
    """A constant that is compared with full names and is none. ``form`` is how those are made."""

    variable: str
    constant: str
    form: str


def bare_names(expression: str) -> list[BareName]:
    """Every such constant of a condition, each once."""
    tokens = [re.sub(r"\s+", "", token) if token[0].isalpha() else token for token in _TOKEN.findall(expression)]
    tokens = [token for token in tokens if not token.startswith("//")]
    variables = _bound(tokens)
    found = []
    for at, token in enumerate(tokens):
        if token not in _COMPARES:
            continue
        left, right = tokens[:at][::-1], tokens[at + 1 :]
        for here, there in ((left, right), (right, left)):
            variable = _variable(here, variables)
            if variable:
                dots, form = DOTS[variable]
                found += [BareName(variable, text, form) for text in _constants(there) if text.count(".") < dots]
    return list(dict.fromkeys(found))


def _bound(tokens: list[str]) -> dict[str, str]:
    """What the variables of macros stand for: a full name, or a statement as ``?``."""
    bound: dict[str, str] = {}
    for macro, bracket, name in zip(tokens, tokens[1:], tokens[2:], strict=False):
        matched = _MACRO.fullmatch(macro)
        if not matched or bracket != "(":
            continue
        if matched[1] == "command.statements":
            bound[name] = "?"
        elif _named(matched[1], bound):
            bound[name] = _named(matched[1], bound)
    return bound


def _named(path: str, bound: dict[str, str]) -> str:
    """The variable of ``DOTS`` that a path or a macro's variable is about; empty where it is about none."""
    if path in DOTS:
        return path
    first, _, field = path.partition(".")
    if not field:
        return bound.get(path, "").removeprefix("?")
    return FIELDS.get(field, "") if bound.get(first) == "?" else ""


def _variable(side: list[str], bound: dict[str, str]) -> str:
    """The same of one side of a comparison, read away from it; one of a list, as ``command.writes[0]``, too."""
    match side:
        case ["]", str(), "[", path, *_] | [path, *_] if path[0].isalpha():
            return _named(path, bound)
        case _:
            return ""


def _constants(side: list[str]) -> Iterator[str]:
    """The text or the list of texts on one side of a comparison."""
    if side and side[0][-1] in "'\"":
        yield _text(side[0])
    elif side and side[0] in "[]":
        end = "]" if side[0] == "[" else "["
        for token in side[1:]:
            if token == end:
                return
            if token[-1] in "'\"":
                yield _text(token)


def _text(token: str) -> str:
    return token.lstrip("rRbB")[1:-1]
