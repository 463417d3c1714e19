"""Reads recordings."""

from collections.abc import Iterator
from pathlib import Path

import orjson


class RecordingNotFound(Exception):
    """No recording has this id, or several do."""


def list_recordings(directory: Path) -> list[str]:
    """The ids of the recorded sessions, oldest file first."""
    files = sorted(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    return [path.stem for path in files]


def read_recording(directory: Path, id_or_prefix: str) -> Iterator[dict[str, object]]:
    """The events of one session, in order; a last line that was cut off by a crash is left out.

    Raises ``RecordingNotFound``.
    """
    wanted = id_or_prefix if id_or_prefix.startswith("se-") else f"se-{id_or_prefix}"
    found = [name for name in list_recordings(directory) if name.startswith(wanted)]
    if wanted in found:
        found = [wanted]
    if len(found) != 1 or wanted == "se-":
        several = "several recordings begin with" if found else "there is no recording of session"
        raise RecordingNotFound(f"{several} {id_or_prefix}")
    return _events(directory / f"{found[0]}.jsonl")


def _events(path: Path) -> Iterator[dict[str, object]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield orjson.loads(line)
