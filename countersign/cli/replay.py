"""``countersign replay``."""

import json
import os
import re
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, fail, on_record, out, settings
from countersign.recording import PlaceProblem, Recording, RecordingDamaged, RecordingLocked, RecordingNotFound, library_of
from countersign.recording.asciicast import asciicast
from countersign.recording.page import page
from countersign.recording.render import Event, Line, Renderer, Style, excerpt

COLOURS = {Style.COMMAND: "bold", Style.GOOD: "green", Style.WARNING: "yellow", Style.ERROR: "red", Style.NOTE: "dim"}
FORMATS = ("asciicast-v2", "asciicast-v3", "html")
ENDINGS = {".cast": "asciicast-v2", ".html": "html", ".htm": "html"}
KEYS = {b" ": "pause", b"\x1b[C": "next", b"\x1b[D": "back", b"q": "quit"}
KEY = re.compile(rb"\x1b\[[0-9;]*[A-Za-z~]")
"""A key that comes as several bytes."""
AROUND = 3
"""How many events before and behind a hit are shown."""


def replay(
    session: str,
    config: ConfigOption = DEFAULT_CONFIG,
    speed: Annotated[float, typer.Option(help="How fast; 0 at once. On a terminal 1, otherwise 0.")] = -1,
    idle_limit: Annotated[float, typer.Option(help="The longest pause, in seconds; 0 as long as it was.")] = 2.0,
    start: Annotated[str, typer.Option("--from", help="Where to begin: seconds, mm:ss or hh:mm:ss.")] = "0",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the session runs.")] = False,
    search: Annotated[str, typer.Option(help="Show only where this stands, and what surrounds it.")] = "",
    export: Annotated[Path | None, typer.Option(help="Write a new file instead: .cast or .html.")] = None,
    file_format: Annotated[str, typer.Option("--format", help=f"Of the file: {', '.join(FORMATS)}.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Show what a session showed its client, after masking. On a terminal: space pauses, → goes to the next command, ← to the one
    before, q ends."""
    from_s = _seconds(start)
    kind = _format(export, file_format) if export else ""
    on_record(config, "recording", session)
    try:
        recording = library_of(settings(config).recordings).open(session)
        events = recording.follow(from_s=from_s) if follow else recording.events(from_s)
        if export:
            _export(recording, events, export, kind)
        elif search:
            _search(events, search, as_json)
        elif as_json:
            for event in events:
                _json(event)
        else:
            _play(recording, events, speed, idle_limit, is_live=follow)
    except (RecordingNotFound, RecordingDamaged, RecordingLocked, PlaceProblem) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _seconds(text: str) -> float:
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(not 0 <= part < 1e9 for part in parts):
        raise typer.BadParameter(f"{text} is no time: seconds, mm:ss or hh:mm:ss", param_hint="--from")
    return sum(part * 60.0**place for place, part in enumerate(reversed(parts)))


def _format(export: Path, named: str) -> str:
    kind = named or ENDINGS.get(export.suffix.lower(), "")
    if kind not in FORMATS:
        raise typer.BadParameter(f"say which of {', '.join(FORMATS)}", param_hint="--format")
    return kind


def _export(recording: Recording, events: Iterable[Event], path: Path, kind: str) -> None:
    """A new file that its owner alone may read. What cannot be written whole is not there."""
    pieces = page(recording.info, events) if kind == "html" else asciicast(recording.info, events, int(kind[-1]))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"{path} cannot be made: {error.strerror}")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            fail(f"{path} cannot be written: {error.strerror}")
        raise


def _search(events: Iterable[Event], wanted: str, as_json: bool) -> None:
    """Print hits with what surrounds them, or the hits alone as JSON lines; exit code 1 where there is none."""
    renderer = Renderer()
    before: deque[tuple[Event, list[Line]]] = deque(maxlen=AROUND)
    hits = behind = 0
    for event in events:
        found = excerpt(event, wanted)
        hits += found is not None
        if as_json:
            if found is not None:
                _json(event)
            continue
        lines = renderer.lines(event)
        if found is not None:
            if not behind:
                for earlier in before:
                    _show(*earlier)
            before.clear()
            out.print(Text(f"{event['t']:9.3f}  {event['type']}: {found}", style="reverse"), soft_wrap=True)
            _show(event, lines)
            behind = AROUND
        elif behind and lines:
            _show(event, lines)
            behind -= 1
            if not behind:
                out.print("        --")
        elif lines:
            before.append((event, lines))
    if not hits:
        fail("nothing in the recording holds this text")


def _json(event: Event) -> None:
    sys.stdout.write(json.dumps(event, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def _show(event: Event, lines: list[Line]) -> None:
    for line in lines:
        out.print(Text(f"{event['t']:9.3f}  {line.text}", style=COLOURS.get(line.style, "")), soft_wrap=True)


def _play(recording: Recording, events: Iterator[dict[str, Any]], speed: float, idle_limit: float, *, is_live: bool) -> None:
    pace = speed if speed >= 0 else float(sys.stdout.isatty() and not is_live)
    with Keys(has_any=pace > 0) as keys:
        Player(recording, keys, pace, idle_limit or float("inf")).run(events)


class Keys:
    """The keys pressed on a terminal, without their Enter; none where there is no terminal."""

    def __init__(self, *, has_any: bool) -> None:
        self._descriptor = sys.stdin.fileno() if has_any and sys.stdin.isatty() and sys.stdout.isatty() else None
        self._before: list[Any] = []
        self._typed = b""
        """What was read and is not heard yet: several keys may come at once."""

    def __enter__(self) -> "Keys":
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setcbreak(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float | None) -> str:
        """The key pressed within so many seconds, or nothing."""
        if self._descriptor is None:
            time.sleep(seconds or 0)
            return ""
        if not self._typed:
            if not select.select([self._descriptor], [], [], seconds)[0]:
                return ""
            self._typed = os.read(self._descriptor, 64)
            if not self._typed:
                return "quit"
        key = KEY.match(self._typed)
        typed = key[0] if key else self._typed[:1]
        self._typed = self._typed[len(typed) :]
        return KEYS.get(typed, "other")


class Player:
    """Prints events at their pace, and does what keys say."""

    def __init__(self, recording: Recording, keys: Keys, speed: float, longest_s: float) -> None:
        self._recording = recording
        self._keys = keys
        self._speed = speed
        self._longest_s = longest_s

    def run(self, events: Iterator[dict[str, Any]]) -> None:
        """Print them until they or the viewer end."""
        commands: deque[float] = deque(maxlen=1000)
        going: Iterator[dict[str, Any]] | None = events
        while going is not None:
            going = self._run(going, commands)

    def _run(self, events: Iterator[dict[str, Any]], commands: deque[float]) -> Iterator[dict[str, Any]] | None:
        """Print until the end, or answer from where to go on."""
        renderer = Renderer()
        before: float | None = None
        hurries = False
        for event in events:
            is_command = event["type"] == "command"
            if self._speed > 0 and before is not None and not hurries:
                key = self._pause((event["t"] - before) / self._speed)
                if key == "quit":
                    return None
                hurries = key == "next"
                if key == "back" and commands:
                    now = commands.pop()
                    return self._recording.events(commands.pop() if commands else now)
            before = event["t"]
            if is_command:
                hurries = False
                commands.append(event["t"])
            _show(event, renderer.lines(event))
        return None

    def _pause(self, seconds: float) -> str:
        """Wait, longer where the viewer says so; the key that ends it, if any."""
        end = time.monotonic() + min(self._longest_s, max(0.0, seconds))
        while (left := end - time.monotonic()) > 0:
            key = self._keys.wait(left)
            if key == "pause":
                out.print("           (paused: space goes on)", style="dim")
                while (key := self._keys.wait(None)) == "other":
                    continue
                if key == "pause":
                    continue
            if key in ("quit", "next", "back"):
                return key
        return ""


__all__ = ["replay"]
