"""Writes one session's recording."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import orjson

from countersign.model import Session
from countersign.model.clock import to_text

FLUSH_BYTES = 64 * 1024
FLUSH_S = 0.03
"""How long events may wait for others to be written with them: a write for each answer costs more than the events."""


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
        self._timer: asyncio.TimerHandle | None = None
        self._failure: RecordingFailed | None = None
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
            application=session.application,
        )

    def add(self, kind: str, **fields: object) -> None:
        """Add an event. Raises ``RecordingFailed``."""
        event = {"t": round(self._monotonic() - self._start, 6), "type": kind, **fields}
        self.add_encoded(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    def add_encoded(self, lines: bytes) -> None:
        """Add whole events that are encoded already, with their times. Raises ``RecordingFailed``."""
        self._pending.append(lines)
        self._pending_bytes += len(lines)
        if self._pending_bytes >= FLUSH_BYTES:
            self._write()

    @property
    def age_us(self) -> int:
        """Microseconds since the recording began."""
        return int((self._monotonic() - self._start) * 1_000_000)

    def lend(self) -> int | None:
        """A descriptor of the recording's own, at whose end others may write; None where none is left. Raises ``RecordingFailed``."""
        self._write()
        try:
            return os.dup(self._file)
        except OSError:
            return None

    def flush(self) -> None:
        """Have what is pending written within ``FLUSH_S``. Raises ``RecordingFailed`` where it could not be lately."""
        if self._failure is not None:
            raise self._failure
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._write_on_time)

    def close(self, reason: str) -> None:
        """Write the end and close the file. Raises ``RecordingFailed``."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self.add("closed", reason=reason)
            self._write()
        finally:
            os.close(self._file)

    # -- within
    def _write_on_time(self) -> None:
        self._timer = None
        try:
            self._write()
        except RecordingFailed as failure:
            self._failure = failure  # the session hears of it with its next flush

    def _write(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise RecordingFailed(f"the recording cannot be written: {error.strerror}") from error
