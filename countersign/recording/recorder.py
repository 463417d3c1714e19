"""Writes one session's recording."""

import os
from collections.abc import Callable
from pathlib import Path

import orjson

from countersign.model import Session
from countersign.model.clock import to_text

FLUSH_BYTES = 64 * 1024


class RecordingFailed(Exception):
    """The recording cannot be kept, so the session must not go on."""


class Recorder:
    """An open recording. ``monotonic`` answers seconds; only differences of it are used."""

    def __init__(self, directory: Path, session: Session, monotonic: Callable[[], float]) -> None:
        """Raises ``RecordingFailed``. A file that is there already, or a link in its place, is refused."""
        self._monotonic = monotonic
        self._start = monotonic()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.open(directory / f"{session.id}.jsonl", flags, 0o600)
        except OSError as error:
            raise RecordingFailed(f"the recording cannot be opened: {error.strerror}") from error
        self.add(
            "session",
            session_id=session.id,
            identity=session.identity.name,
            target=session.target.name,
            database=session.database,
            client_address=session.client_address,
            started_at=to_text(session.started_at),
        )

    def add(self, kind: str, **fields: object) -> None:
        """Add an event. Raises ``RecordingFailed``."""
        line = orjson.dumps({"t": round(self._monotonic() - self._start, 6), "type": kind, **fields}) + b"\n"
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending. Raises ``RecordingFailed``."""
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise RecordingFailed(f"the recording cannot be written: {error.strerror}") from error

    def close(self, reason: str) -> None:
        """Write the end and close the file. Raises ``RecordingFailed``."""
        try:
            self.add("closed", reason=reason)
            self.flush()
        finally:
            os.close(self._file)
