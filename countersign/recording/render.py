"""Events of a recording as lines of text that a terminal or a browser may show.

What is recorded is hostile: an event is any number of lines, none of which holds a line break or anything hidden (I10), and what a
session said never stands at the beginning of a line, so that it cannot pass for what the gateway says. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.cells import cell_len

from countersign.reviews.preview import one_line, terminal_safe

Event = Mapping[str, Any]

CELL = 60
# The fields in which people look for something; all others are ids, numbers and digests.
SEARCHED = (
    "text", "reads_as", "parameters", "names", "values", "message", "detail", "hint", "code", "reason", "rule", "review_id",
    "reviewer", "state", "tag", "error", "channel", "payload", "name",
)  # fmt: skip


class Style(StrEnum):
    """What a line is, for who colours it."""

    PLAIN = "plain"
    COMMAND = "command"
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Line:
    """One line, safe to show."""

    text: str
    style: Style = Style.PLAIN


class Renderer:
    """Turns the events of one session, in order from any time on, into lines as psql would show them. Values are cut at ``cell`` letters,
    with a mark. ``database`` is for the prompt of a part that does not have the session's beginning. Types it does not know it passes over; fields that are not there are empty."""

    def __init__(self, cell: int = CELL, database: str = "") -> None:
        self._cell = cell
        self._columns: dict[str, list[str]] = {}
        self._database = one_line(database, 30)
        self._mark = ""
        self._shown: dict[str, Callable[[Event], Iterator[Line]]] = {
            "session": self._session,
            "application": self._application,
            "command": self._command,
            "verdict": self._verdict,
            "held": self._held,
            "decision": self._decision,
            "decided": self._decided,
            "review": self._review,
            "columns": self._names,
            "rows": self._rows,
            "error": self._problem,
            "notice": self._problem,
            "notification": self._notification,
            "done": self._done,
            "ready": self._ready,
            "closed": self._closed,
        }

    def lines(self, event: Event) -> list[Line]:
        """What one event looks like."""
        show = self._shown.get(str(event.get("type")))
        return list(show(event)) if show else []

    def _session(self, event: Event) -> Iterator[Line]:
        self._database = one_line(_text(event, "database"), 30)
        who = f"{_text(event, 'identity')} -> {_text(event, 'target')} ({_text(event, 'database')})"
        yield from _block(f"session {_text(event, 'session_id')}: ", f"{who} {_text(event, 'started_at')}", Style.NOTE)
        if event.get("application"):
            yield from _block("the client calls itself ", _text(event, "application"), Style.NOTE)

    def _application(self, event: Event) -> Iterator[Line]:
        name = "something that is not kept" if event.get("withheld") else _text(event, "name")
        yield from _block("the client calls itself ", name, Style.NOTE)

    def _command(self, event: Event) -> Iterator[Line]:
        first, more = f"{self._database}={self._mark}> ", f"{self._database}-{self._mark}> "
        for number, line in enumerate(_lines(_text(event, "text"))):
            yield Line((more if number else first) + line, Style.COMMAND)
        if event.get("reads_as"):
            yield from _block("  reads as ", _text(event, "reads_as"), Style.NOTE)
        for number, value in enumerate(_list(event, "parameters"), 1):
            yield Line(f"  ${number} = {one_line(_cell(value), 10 * self._cell)}", Style.NOTE)

    def _verdict(self, event: Event) -> Iterator[Line]:
        said = {"allow": "allowed", "deny": "denied", "review": "to be reviewed"}.get(
            _text(event, "action"), _text(event, "action")
        )
        why = f"{said} by rule {_text(event, 'rule')}" if event.get("rule") else said
        style = Style.NOTE if event.get("action") == "allow" else Style.ERROR if event.get("action") == "deny" else Style.WARNING
        yield from _block("  ", f"{why}: {_text(event, 'message')}" if event.get("message") else why, style)

    def _held(self, event: Event) -> Iterator[Line]:
        yield from _block("  ", f"held for review {_text(event, 'review_id')} by rule {_text(event, 'rule')}", Style.WARNING)

    def _decision(self, event: Event) -> Iterator[Line]:
        who = f"{_text(event, 'reviewer')} ({_text(event, 'authentication')})"
        yield from _block("  ", f"{who} says {_text(event, 'decision')}: {_text(event, 'reason')}", Style.WARNING)

    def _decided(self, event: Event) -> Iterator[Line]:
        style = Style.GOOD if event.get("state") == "approved" else Style.ERROR
        words = (_text(event, name) for name in ("state", "review_id", "reason"))
        yield from _block("  ", " ".join(word for word in words if word), style)

    def _review(self, event: Event) -> Iterator[Line]:
        words = (_text(event, name) for name in ("state", "outcome"))
        yield from _block(f"  review {one_line(_text(event, 'review_id'), 60)}: ", " ".join(words), Style.NOTE)

    def _names(self, event: Event) -> Iterator[Line]:
        names = _list(event, "names")
        rules = [*_list(event, "masked"), *[""] * len(names)]
        self._columns[_text(event, "command_id")] = [
            one_line(f"{_cell(name)} [masked: {_cell(rule)}]" if rule else _cell(name), self._cell)
            for name, rule in zip(names, rules, strict=False)
        ]
        yield from ()

    def _rows(self, event: Event) -> Iterator[Line]:
        if event.get("withheld"):
            yield Line("  (rows that are not kept: this client saw what is masked for others)", Style.NOTE)
            return
        names = self._columns.get(_text(event, "command_id"), [])
        rows = [[one_line(_cell(value), self._cell) for value in row] for row in _list(event, "values") if isinstance(row, list)]
        width = max((len(row) for row in [names, *rows]), default=0)
        table = [[*row, *[""] * (width - len(row))] for row in [names, *rows]]
        widths = [max(cell_len(row[at]) for row in table) for at in range(width)]
        for number, row in enumerate(table):
            yield Line("  " + " | ".join(value + " " * (widths[at] - cell_len(value)) for at, value in enumerate(row)).rstrip())
            if number == 0:
                yield Line("  " + "-+-".join("-" * one for one in widths))
        if event.get("more"):
            yield Line("  (more rows than were recorded)", Style.NOTE)

    def _problem(self, event: Event) -> Iterator[Line]:
        style = Style.ERROR if event.get("type") == "error" else Style.NOTE
        head = f"  {one_line(_text(event, 'severity'), 20)} {one_line(_text(event, 'code'), 10)}: "
        yield from _block(head, _text(event, "message"), style)
        for word in ("detail", "hint"):
            if event.get(word):
                yield from _block(f"  {word.upper()}: ", _text(event, word), style)

    def _notification(self, event: Event) -> Iterator[Line]:
        payload = "that is not kept" if event.get("payload") is None else _text(event, "payload")
        yield from _block("  ", f"notification of {_text(event, 'channel')}, payload {payload}", Style.NOTE)

    def _done(self, event: Event) -> Iterator[Line]:
        self._columns.pop(_text(event, "command_id"), None)
        took = event.get("duration_s")
        time = f", {took * 1000:.1f} ms" if isinstance(took, int | float) else ""
        tail = f" ({_text(event, 'rows') or 0} rows{time})"
        style = Style.GOOD if event.get("ok", True) else Style.ERROR
        yield from _block("  ", (_text(event, "tag") or _text(event, "error_code")) + tail, style)

    def _ready(self, event: Event) -> Iterator[Line]:
        self._mark = {"in transaction": "*", "failed": "!"}.get(_text(event, "transaction"), "")
        yield from ()

    def _closed(self, event: Event) -> Iterator[Line]:
        yield from _block("closed: ", _text(event, "reason"), Style.NOTE)


def excerpt(event: Event, wanted: str, width: int = 200) -> str | None:
    """Where an event holds a text, whatever the case of its letters: what stands around it, on one safe line. Nothing where it does not."""
    needle = wanted.casefold()
    for text in _searched(event):
        at = text.casefold().find(needle)
        if at >= 0:
            start = max(0, at - width // 4)
            cut = " ".join(terminal_safe(text[start : start + width]).split())
            return ("…" if start else "") + cut + ("…" if start + width < len(text) else "")
    return None


def mark(event: Event) -> str | None:
    """What a timeline marks an event as: ``held``, ``approved``, ``denied`` or ``error``."""
    kind, state = event.get("type"), event.get("state")
    if kind == "verdict":
        return "denied" if event.get("action") == "deny" else None
    if kind == "decided":
        return "approved" if state == "approved" else "denied"
    return kind if kind in ("held", "error") else None


def clock(seconds: float) -> str:
    """Seconds as ``mm:ss.mmm``, with hours where there are any."""
    whole = round(seconds * 1000)
    hours, minutes = divmod(whole // 60_000, 60)
    return f"{f'{hours}:' if hours else ''}{minutes:02}:{whole // 1000 % 60:02}.{whole % 1000:03}"


def _searched(event: Event) -> Iterator[str]:
    for name in SEARCHED:
        yield from _texts(event.get(name))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _text(event: Event, name: str) -> str:
    value = event.get(name)
    return "" if value is None else str(value)


def _list(event: Event, name: str) -> list[Any]:
    value = event.get(name)
    return value if isinstance(value, list) else []


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value)


def _lines(text: str) -> list[str]:
    return terminal_safe(text).split("\n")


def _block(head: str, text: str, style: Style) -> Iterator[Line]:
    """The text behind its head; further lines stand below, indented."""
    for number, line in enumerate(_lines(text)):
        yield Line(terminal_safe(head).replace("\n", " ") + line if number == 0 else f"    {line}", style)


__all__ = ["CELL", "Event", "Line", "Renderer", "Style", "clock", "excerpt", "mark"]
