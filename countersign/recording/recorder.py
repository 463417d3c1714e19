"""Writes recordings while their sessions run: one thread stores what all of them hand over.

Events wait in a ``Spool``, which the relay's thread fills too. Every second, or sooner where they are many, they become chunks. While a
chunk cannot be stored nothing is thrown away and nothing more is begun: sessions wait (``Recorder.ready``), and end if that lasts.
"""

import asyncio
import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import orjson
import structlog

from countersign._core import Spool
from countersign.audit import AuditUnavailable
from countersign.model import AuditEvent, Session
from countersign.model.clock import to_text
from countersign.recording.chunks import Header, RecordingKey, Sealer
from countersign.recording.places import Place, PlaceProblem, place_of
from countersign.recording_settings import RecordingSettings

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How old an event may be before it is stored."""
LOOK_S = 0.25
CHUNK_BYTES = 4 << 20
ENOUGH_BYTES = 1 << 20
LIMIT_BYTES = 64 << 20
"""So much may wait in the spool before sessions wait too."""
AT_ONCE = 8
"""Recordings whose chunks are stored at the same time: object storage takes tens of milliseconds for each."""
RETRY_S = 0.05
CLOSE_S = 10.0
"""How long the end of the gateway waits for a place that does not take what is left."""


class RecordingFailed(Exception):
    """The recording cannot be kept, so the session must not go on. The text may be shown."""


class Open:
    """One recording on the writer's side. Only ``is_closing`` and ``is_ending`` are set by others, around the last event."""

    def __init__(self, session: Session, sealer: Sealer) -> None:
        self.session_id = session.id
        self.sealer = sealer
        self.lines: list[bytes] = []
        self.length = 0
        self.since_s = 0.0
        self.unstored: deque[tuple[Header, bytes]] = deque()
        self.is_begun = False
        self.is_closing = False
        self.is_ending = False
        self.is_over = False
        """The last chunk is made."""


class Recordings:
    """Opens recordings and stores what they hold. ``put_on_record`` takes the digest of each chunk for the audit log.

    ``pause_s``: how long sessions wait for a place that does not take chunks.
    """

    def __init__(
        self, place: Place, key: RecordingKey | None, put_on_record: Callable[[AuditEvent], None], *, pause_s: float = 30.0
    ) -> None:
        self.spool = Spool(ENOUGH_BYTES, LIMIT_BYTES)
        self.pause_s = pause_s
        self.failure = ""
        """Why the place does not take chunks now; '' where it does."""
        self._place = place
        self._key = key
        self._put_on_record = put_on_record
        self._open: dict[int, Open] = {}
        self._count = 0
        self._digests: deque[AuditEvent] = deque()
        self._is_broken = False
        """This thread has failed where nothing is known to fail: it does not trust itself any more."""
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, "recordings")
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
        self._thread.start()

    def open(self, session: Session, monotonic: Callable[[], float] = time.monotonic) -> "Recorder":
        """Begin a recording. Raises ``RecordingFailed`` while they cannot be stored."""
        if not self.spool.accepts():
            raise RecordingFailed(f"recordings cannot be stored: {self.failure}")
        self._count += 1
        self._open[self._count] = opened = Open(session, Sealer(session.id, self._key))
        return Recorder(self, self._count, opened, session, monotonic)

    def close(self) -> None:
        """Store what is left."""
        self._closing.set()
        self.spool.ring()
        self._thread.join()
        self._pool.shutdown()

    # -- the writer's thread
    def _run(self) -> None:
        end_s = 0.0
        while True:
            self.spool.wait(LOOK_S)
            closing = self._closing.is_set()
            end_s = end_s or (time.monotonic() + CLOSE_S if closing else 0.0)
            try:
                self._gather(at_once=closing)
                self._store()
            except Exception as error:  # events may be lost, so nothing is let through until somebody has looked
                self._is_broken = True
                self._failed("internal error")
                log.critical("recordings_broken", error=str(error), advice="restart the gateway", exc_info=error)
            if closing and self._is_done(end_s):
                return

    def _is_done(self, end_s: float) -> bool:
        left = [opened.session_id for opened in self._open.values() if opened.unstored or opened.lines]
        if left and time.monotonic() < end_s:
            return False
        if left:
            log.error("recordings_lost", sessions=left, cause=self.failure)
        return True

    def _gather(self, *, at_once: bool) -> None:
        """Make chunks of what waits."""
        ending = {number for number, opened in list(self._open.items()) if opened.is_ending}  # before the last of it is taken
        now_s = time.monotonic()
        for number, lines in self.spool.take():
            opened = self._open.get(number)
            if opened is None or opened.is_over:
                log.error("events_behind_the_end", bytes=len(lines))
                continue
            if not opened.lines:
                opened.since_s = now_s
            opened.lines.append(lines)
            opened.length += len(lines)
        for number, opened in list(self._open.items()):
            is_last = number in ending
            is_due = at_once or is_last or opened.length >= ENOUGH_BYTES or now_s - opened.since_s >= EVERY_S - LOOK_S
            is_due &= (
                is_last or not opened.is_closing
            )  # its last event may be among these, and must be in the chunk that is the last
            if opened.lines and is_due and not opened.is_over:
                for chunk, is_end in _cut(b"".join(opened.lines)):
                    opened.unstored.append(opened.sealer.seal(chunk, is_last=is_last and is_end))
                opened.lines.clear()
                opened.length = 0
                opened.is_over = is_last

    def _store(self) -> None:
        waiting = [opened for opened in list(self._open.values()) if opened.unstored]
        problems = [problem for problem in self._pool.map(self._store_one, waiting) if problem]
        for number in [number for number, opened in list(self._open.items()) if opened.is_over and not opened.unstored]:
            del self._open[number]
        while self._digests:
            try:
                self._put_on_record(self._digests[0])
            except AuditUnavailable:
                break  # the gate lets nothing through meanwhile; they are kept
            self._digests.popleft()
        if problems:
            self._failed(problems[0])
        elif self.failure and not self._is_broken:
            log.info("recordings_work_again")
            self.spool.set_accepts(True)
            self.failure = ""  # last: while nothing is accepted there is a reason to tell

    def _store_one(self, opened: Open) -> str:
        """Store what a recording has to store; answer why that failed, or ''."""
        try:
            if not opened.is_begun:
                self._place.begin(opened.session_id)
                opened.is_begun = True
            while opened.unstored:
                header, chunk = opened.unstored[0]
                self._place.append(header, chunk)
                self._digests.append(chunk_event(header, chunk))
                opened.unstored.popleft()
            if opened.is_over:
                self._place.finish(opened.session_id)
        except PlaceProblem as problem:
            return str(problem)
        return ""

    def _failed(self, why: str) -> None:
        is_news = why != self.failure
        self.failure = why  # first: sessions that find nothing accepted are told why
        self.spool.set_accepts(False)
        if is_news:
            log.error("recordings_not_stored", cause=why)


class Recorder:
    """One session's recording. All methods belong to the event loop."""

    def __init__(self, recordings: Recordings, number: int, opened: Open, session: Session, monotonic: Callable[[], float]) -> None:
        self.number = number
        """In the spool."""
        self._recordings = recordings
        self._spool = recordings.spool
        self._opened = opened
        self._monotonic = monotonic
        self._start = monotonic()
        self.add(
            "session",
            session_id=session.id,
            identity=session.identity.name,
            target=session.target.name,
            database=session.database,
            client_address=session.client_address,
            application=session.application,
            started_at=to_text(session.started_at),
        )

    def add(self, kind: str, **fields: object) -> None:
        """Add an event."""
        event = {"t": round(self._monotonic() - self._start, 6), "type": kind, **fields}
        self._spool.put(self.number, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))

    def add_encoded(self, lines: bytes) -> None:
        """Add whole events that are encoded already, with their times."""
        self._spool.put(self.number, lines)

    @property
    def age_us(self) -> int:
        """Microseconds since the recording began."""
        return int((self._monotonic() - self._start) * 1_000_000)

    @property
    def is_ready(self) -> bool:
        """False while nothing may happen that has to be recorded."""
        return self._spool.accepts() and self._spool.has_room()

    async def ready(self, tell: Callable[[str], None]) -> None:
        """Wait until something may happen that has to be recorded. ``tell`` hears why, once. Raises ``RecordingFailed`` where it takes too
        long."""
        end_s = self._monotonic() + self._recordings.pause_s
        told = False
        while not self.is_ready:
            why = f"the recording of this session cannot be stored: {self._recordings.failure or 'too much of it waits'}"
            if self._monotonic() >= end_s:
                raise RecordingFailed(why)
            if not told and not self._spool.accepts():
                told = True
                tell(f"{why}; waiting for up to {self._recordings.pause_s:.0f} s")
            await asyncio.sleep(RETRY_S)

    def close(self, reason: str) -> None:
        """Say that the session is over; the rest is stored soon."""
        self._opened.is_closing = True
        try:
            self.add("closed", reason=reason)
        finally:
            self._opened.is_ending = True
            self._spool.ring()


def recordings_of(settings: RecordingSettings, put_on_record: Callable[[AuditEvent], None]) -> Recordings:
    """Those of a gateway with these settings. Raises ``OSError``, ``KeyError`` or ``ValueError`` where a key has gone."""
    key = RecordingKey.parse(settings.key.reveal()) if settings.key is not None else None
    return Recordings(place_of(settings), key, put_on_record, pause_s=settings.pause_s)


def chunk_event(header: Header, chunk: bytes) -> AuditEvent:
    """The audit event of a chunk that is stored."""
    return AuditEvent(
        "recording.chunk",
        {
            "session_id": header.session_id,
            "number": header.number,
            "sha256": hashlib.sha256(chunk).hexdigest(),
            "bytes": len(chunk),
            "events": header.events,
            "first_us": header.first_us,
            "last_us": header.last_us,
            "is_last": header.is_last,
        },
    )


def _cut(lines: bytes) -> list[tuple[bytes, bool]]:
    """Whole lines in pieces of about a chunk, each with whether it is the last."""
    pieces = []
    at = 0
    while at < len(lines):
        end = lines.rfind(b"\n", at, at + CHUNK_BYTES) + 1 or lines.index(b"\n", at) + 1
        pieces.append((lines[at:end], end == len(lines)))
        at = end
    return pieces
