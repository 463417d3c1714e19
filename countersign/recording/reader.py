"""Reads recordings."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from countersign.recording.chunks import ChunkDamaged, KeyMissing, RecordingKey, open_chunk
from countersign.recording.places import ChunkInfo, Place, PlaceProblem, place_of
from countersign.recording_settings import RecordingSettings


class RecordingNotFound(Exception):
    """No recording has this id, or several do."""


class RecordingDamaged(Exception):
    """A recording is not what was written. The text says where."""


class RecordingLocked(Exception):
    """A recording is sealed, and its key is not at hand."""


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What a recording says of its session."""

    session_id: str
    identity: str
    target: str
    database: str
    application: str
    client_address: str
    started_at: str


class Library:
    """The recordings of a place. ``keys`` open those that are sealed. Methods raise ``PlaceProblem`` where the place does not answer."""

    def __init__(self, place: Place, keys: Sequence[RecordingKey] = ()) -> None:
        self._place = place
        self._keys = keys

    def ids(self) -> list[str]:
        """The ids of the recorded sessions, oldest first."""
        return list(self._place.sessions())

    def open(self, id_or_prefix: str) -> "Recording":
        """By id or unique prefix, with or without its ``se-``. Raises ``RecordingNotFound``."""
        wanted = id_or_prefix if id_or_prefix.startswith("se-") else f"se-{id_or_prefix}"
        found = [name for name in self.ids() if name.startswith(wanted)]
        if wanted in found:
            found = [wanted]
        if len(found) != 1 or wanted == "se-":
            several = "several recordings begin with" if found else "there is no recording of session"
            raise RecordingNotFound(f"{several} {id_or_prefix}")
        return Recording(self._place, found[0], self._keys)

    def delete(self, session_id: str) -> None:
        """Remove a recording; that of a session that runs must not be."""
        self._place.delete(session_id)


def library_of(settings: RecordingSettings) -> Library:
    """The recordings that a configuration leads to. Raises ``OSError``, ``KeyError`` or ``ValueError`` where a key has gone."""
    secrets = [secret for secret in (settings.key, *settings.older_keys) if secret is not None]
    return Library(place_of(settings), [RecordingKey.parse(secret.reveal()) for secret in secrets])


class Recording:
    """One recording, live or not. Methods raise ``RecordingDamaged``, ``RecordingLocked`` and ``PlaceProblem``."""

    def __init__(self, place: Place, session_id: str, keys: Sequence[RecordingKey]) -> None:
        self._place = place
        self._keys = keys
        self.session_id = session_id

    @property
    def info(self) -> RecordingInfo:
        """What its first event says."""
        event = next(self.events(), None)
        if event is None or event.get("type") != "session":
            raise RecordingDamaged(f"recording {self.session_id} does not begin with its session")
        return RecordingInfo(**{name: str(event.get(name, "")) for name in RecordingInfo.__dataclass_fields__})

    def index(self) -> list[ChunkInfo]:
        """Its chunks in order, by their headers alone."""
        try:
            chunks = self._place.chunks(self.session_id)
        except ChunkDamaged as error:
            raise RecordingDamaged(f"recording {self.session_id}: {error}") from error
        for expected, chunk in enumerate(chunks):
            if chunk.number != expected:
                raise RecordingDamaged(f"recording {self.session_id}: chunk {expected} is missing")
        return chunks

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will come. A recording that a crash cut off never is."""
        chunks = self.index()
        return bool(chunks) and chunks[-1].is_last

    @property
    def length_s(self) -> float:
        """Seconds from its beginning to its last event so far."""
        chunks = self.index()
        return chunks[-1].last_us / 1_000_000 if chunks else 0.0

    def events(self, from_s: float = 0.0) -> Iterator[dict[str, Any]]:
        """The events from a time on, in order; chunks before it are not read."""
        for chunk in self.index():
            if chunk.last_us >= from_s * 1_000_000:
                yield from (event for event in self.read(chunk) if event["t"] >= from_s)

    def read(self, chunk: ChunkInfo) -> list[dict[str, Any]]:
        """The events of one chunk."""
        where = f"recording {self.session_id}, chunk {chunk.number}"
        try:
            header, lines = open_chunk(self._place.read(self.session_id, chunk), self._keys)
            if (header.session_id, header.number) != (self.session_id, chunk.number):
                raise ChunkDamaged("it is another chunk")
            return [orjson.loads(line) for line in lines.splitlines()]
        except KeyMissing as error:
            raise RecordingLocked(f"{where}: {error}") from error
        except (ChunkDamaged, orjson.JSONDecodeError) as error:
            raise RecordingDamaged(f"{where}: {error}") from error

    def follow(
        self, poll_s: float = 0.3, from_s: float = 0.0, until: Callable[[], bool] = lambda: False
    ) -> Iterator[dict[str, Any]]:
        """The same, and what comes, until the session is over or ``until`` says so."""
        read = 0
        while True:
            chunks = self.index()
            for chunk in chunks[read:]:
                if chunk.last_us >= from_s * 1_000_000:
                    yield from (event for event in self.read(chunk) if event["t"] >= from_s)
            read = len(chunks)
            if (chunks and chunks[-1].is_last) or until():
                return
            time.sleep(poll_s)


__all__ = ["Library", "PlaceProblem", "Recording", "RecordingDamaged", "RecordingInfo", "RecordingLocked", "RecordingNotFound"]
