"""A recording in pages, for who reads it piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from countersign.recording.places import ChunkInfo
from countersign.recording.reader import Recording, RecordingDamaged
from countersign.recording.render import excerpt

PAGE = 5000
"""Events of a page at most."""
HITS = 1000
"""Hits of a search at most."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in order. ``following`` is where the next page begins, or nothing at the end of what is there. ``problem`` says where
    the recording is damaged; then these are the events before the damage."""

    events: list[dict[str, Any]]
    following: str | None
    problem: str | None


def read_page(recording: Recording, from_s: float, cursor: str, limit: int) -> Page:
    """The events from a time on, or from where a page said that the next begins. Raises ``ValueError`` where no page said so."""
    chunk_at, event_at = _position(cursor)
    events: list[dict[str, Any]] = []
    chunks: list[ChunkInfo] = recording.index()
    for chunk in chunks[chunk_at:]:
        if not cursor and chunk.last_us < from_s * 1_000_000:
            continue
        try:
            found = recording.read(chunk)
        except RecordingDamaged as error:
            return Page(events, None, str(error))
        for number, event in enumerate(found):
            if (chunk.number == chunk_at and number < event_at) or (not cursor and event["t"] < from_s):
                continue
            if len(events) == limit:
                return Page(events, f"{chunk.number}.{number}", None)
            events.append(event)
    return Page(events, None, None)


def search(recording: Recording, wanted: str) -> Iterator[dict[str, Any]]:
    """Where a text stands, whatever the case of its letters: the event's time and type, its command, and what surrounds the text."""
    for event in recording.events():
        found = excerpt(event, wanted)
        if found is not None:
            yield {"t": event["t"], "type": event["type"], "command_id": event.get("command_id", ""), "excerpt": found}


def _position(cursor: str) -> tuple[int, int]:
    if not cursor:
        return 0, 0
    chunk, _, event = cursor.partition(".")
    if not (chunk.isdecimal() and event.isdecimal() and chunk.isascii() and event.isascii() and len(cursor) < 30):
        raise ValueError("no page said that the next one begins here")
    return int(chunk), int(event)
