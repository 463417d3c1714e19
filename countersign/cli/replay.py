"""``countersign replay``."""

import sys
import time
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, fail, on_record, out, print_json, settings
from countersign.recording import PlaceProblem, RecordingDamaged, RecordingLocked, RecordingNotFound, library_of
from countersign.reviews.preview import one_line, terminal_safe


def replay(
    session: str,
    config: ConfigOption = DEFAULT_CONFIG,
    speed: Annotated[float, typer.Option(help="How fast; 0 at once. On a terminal 1, otherwise 0.")] = -1,
    as_json: JsonOption = False,
) -> None:
    """Show what a session showed its client, after masking."""
    on_record(config, "recording", session)
    try:
        events: list[dict[str, Any]] = list(library_of(settings(config).recordings).open(session).events())
    except (RecordingNotFound, RecordingDamaged, RecordingLocked, PlaceProblem) as error:
        fail(str(error))
    if as_json:
        print_json(events)
        return
    pace = speed if speed >= 0 else float(sys.stdout.isatty())
    Replay(pace).run(events)


class Replay:
    """Prints events at their pace; a pause is never longer than two seconds."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._columns: list[str] = []

    def run(self, events: list[dict[str, Any]]) -> None:
        """Print all of them."""
        before = 0.0
        for event in events:
            if self._speed > 0:
                time.sleep(min(2.0, max(0.0, (event["t"] - before) / self._speed)))
            before = event["t"]
            self._show(event)

    def _show(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session":
                self._say(event, f"session {event['session_id']}: {event['identity']} -> {event['target']} ({event['database']})")
            case "command":
                self._say(event, "> " + event["text"], style="bold")
                for number, value in enumerate(event["parameters"], 1):
                    self._say(event, f"  ${number} = {value}")
            case "held":
                self._say(event, f"  held for review {event['review_id']} by rule {event['rule']}", style="yellow")
            case "decided":
                self._say(event, f"  {event['state']} {event['review_id']} {event['reason']}", style="yellow")
            case "columns":
                self._columns = [
                    f"{name} [{rule}]" if rule else name for name, rule in zip(event["names"], event["masked"], strict=True)
                ]
            case "rows":
                self._rows(event)
            case "done":
                self._say(event, f"  {event['tag']} ({event['rows']} rows, {event['duration_s'] * 1000:.1f} ms)", style="green")
            case "error" | "notice":
                style = "red" if event["type"] == "error" else "cyan"
                self._say(event, f"  {event['severity']} {event['code']}: {event['message']}", style=style)
                for word in ("detail", "hint"):
                    if event[word]:
                        self._say(event, f"  {word.upper()}: {event[word]}", style=style)
            case "closed":
                self._say(event, f"closed: {event['reason']}")

    def _say(self, event: dict[str, Any], text: str, style: str = "") -> None:
        out.print(Text(f"{event['t']:9.3f}  {terminal_safe(text)}", style=style))

    def _rows(self, event: dict[str, Any]) -> None:
        if event.get("withheld"):
            out.print("           (rows that are not kept: this client saw what is masked for others)")
            return
        table = Table(*[escape(terminal_safe(name)) for name in self._columns], box=None, pad_edge=False)
        for row in event["values"]:
            table.add_row(*[Text("NULL" if value is None else one_line(value, 60)) for value in row])
        out.print(table)
        if event["more"]:
            out.print("           (more rows than were recorded)")
