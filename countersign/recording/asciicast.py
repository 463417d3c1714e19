"""Recordings as asciicast, which terminal players show: https://docs.asciinema.org/manual/asciicast/v2/ and …/v3/.

Only the colours are escapes, and they are ours: what is recorded comes from the renderer, which lets nothing through that steers.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from countersign.recording.reader import RecordingInfo
from countersign.recording.render import Event, Line, Renderer, Style, mark
from countersign.reviews.preview import one_line

COLUMNS = 120
ROWS = 36
COLOURS = {Style.COMMAND: "1", Style.GOOD: "32", Style.WARNING: "33", Style.ERROR: "31", Style.NOTE: "2"}


def asciicast(info: RecordingInfo, events: Iterable[Event], version: int) -> Iterator[str]:
    """The lines of the file, each with its line end. ``version`` is 2 or 3. The first event shown is at its own time, so that times
    are those of the recording."""
    yield json.dumps(_header(info, version)) + "\n"
    renderer = Renderer(database=info.database)
    before_us = 0
    for event in events:
        # Times never go back, whatever a recording says: version 3 has no negative interval.
        now_us = max(before_us, round(float(event.get("t", 0)) * 1_000_000))
        for code, data in _shown(renderer, event):
            time_us = now_us - before_us if version == 3 else now_us
            before_us = now_us
            yield json.dumps([time_us / 1_000_000, code, data]) + "\n"


def _header(info: RecordingInfo, version: int) -> dict[str, object]:
    size: dict[str, object] = {"width": COLUMNS, "height": ROWS} if version == 2 else {"term": {"cols": COLUMNS, "rows": ROWS}}
    title = one_line(f"{info.session_id}: {info.identity} -> {info.target} ({info.database})", 200)
    header = {"version": version, **size, "title": title}
    try:
        header["timestamp"] = int(datetime.fromisoformat(info.started_at).timestamp())
    except ValueError:
        pass
    return header


def _shown(renderer: Renderer, event: Event) -> Iterator[tuple[str, str]]:
    marked = mark(event)
    if marked:
        yield "m", marked
    lines = renderer.lines(event)
    if lines:
        yield "o", "".join(_coloured(line) for line in lines)


def _coloured(line: Line) -> str:
    colour = COLOURS.get(line.style)
    return f"\x1b[{colour}m{line.text}\x1b[0m\r\n" if colour else f"{line.text}\r\n"
