"""Where chunks of recordings are kept: a folder, or object storage."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from countersign.object_storage import ObjectStorage, storage_problem
from countersign.recording.chunks import PREAMBLE, ChunkDamaged, Header, lengths_of
from countersign.recording_settings import RecordingSettings

SUFFIX = ".csrec"
ID = re.compile(r"[A-Za-z0-9-]+")
OBJECT = re.compile(r"(\d{8})-(\d+)-(\d+)-(\d+)(-last)?\.csrec")
TRIES = (OSError, KeyError, ValueError, BaseError)
"""What a place that cannot be used raises: the system, secrets that have gone, the store."""


class PlaceProblem(Exception):
    """A place does not take or give a chunk. The text holds no path and no secret."""


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """One chunk as it is kept; ``at`` is for its place alone."""

    number: int
    first_us: int
    last_us: int
    events: int
    bytes: int
    is_last: bool
    at: object


class Place(Protocol):
    """Keeps chunks. Every method raises ``PlaceProblem``; those of the writer are called by one thread for each recording."""

    def begin(self, session_id: str) -> None:
        """Make room for a recording that there is none of yet."""

    def append(self, header: Header, chunk: bytes) -> None:
        """Keep the next chunk, whole or not at all. The same may be tried again."""

    def finish(self, session_id: str) -> None:
        """Nothing more will come."""

    def sessions(self) -> Iterator[str]:
        """The ids of all recordings, oldest first as far as the place knows."""

    def chunks(self, session_id: str) -> list[ChunkInfo]:
        """What there is of a recording, in order, without reading bodies. Raises ``ChunkDamaged`` where it does not read as chunks."""

    def read(self, session_id: str, chunk: ChunkInfo) -> bytes:
        """One chunk."""

    def delete(self, session_id: str) -> None:
        """Remove a recording."""


class Folder:
    """A file for each recording, chunk behind chunk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, tuple[int, int]] = {}

    def begin(self, session_id: str) -> None:
        """See ``Place``. A file that is there already, or a link in its place, is refused."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open[session_id] = (os.open(self._file(session_id), flags, 0o600), 0)
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be opened") from error

    def append(self, header: Header, chunk: bytes) -> None:
        """See ``Place``."""
        file, end = self._open[header.session_id]
        try:
            written = 0
            while written < len(chunk):
                written += os.pwrite(file, chunk[written:], end + written)
        except OSError as error:
            with contextlib.suppress(OSError):  # what is left of a part is written over by the next try
                os.ftruncate(file, end)
            raise PlaceProblem(error.strerror or "it cannot be written") from error
        self._open[header.session_id] = (file, end + len(chunk))

    def finish(self, session_id: str) -> None:
        """See ``Place``."""
        opened = self._open.pop(session_id, None)
        if opened is None:
            return
        try:
            os.fdatasync(opened[0])
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be written") from error
        finally:
            os.close(opened[0])

    def sessions(self) -> Iterator[str]:
        """See ``Place``."""
        try:
            found = [(entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(self._path) if entry.name.endswith(SUFFIX)]
        except FileNotFoundError:  # there has been no session yet, or one was removed meanwhile
            found = [(0, path.name) for path in self._path.glob(f"*{SUFFIX}")]
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be read") from error
        yield from (name.removesuffix(SUFFIX) for _, name in sorted(found))

    def chunks(self, session_id: str) -> list[ChunkInfo]:
        """See ``Place``. A chunk at the end that a crash cut off is left out."""
        found: list[ChunkInfo] = []
        try:
            with self._file(session_id).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                at = 0
                while at + PREAMBLE.size <= size:
                    file.seek(at)
                    header_bytes, body_bytes = lengths_of(file.read(PREAMBLE.size))
                    length = PREAMBLE.size + header_bytes + body_bytes
                    if at + length > size:
                        break
                    found.append(_info(Header.parse(file.read(header_bytes)), length, at))
                    at += length
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be read") from error
        return found

    def read(self, session_id: str, chunk: ChunkInfo) -> bytes:
        """See ``Place``."""
        try:
            with self._file(session_id).open("rb") as file:
                file.seek(int(chunk.at))  # type: ignore[call-overload]  # it is this class's own
                return file.read(chunk.bytes)
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be read") from error

    def delete(self, session_id: str) -> None:
        """See ``Place``."""
        try:
            self._file(session_id).unlink(missing_ok=True)
        except OSError as error:
            raise PlaceProblem(error.strerror or "it cannot be removed") from error

    def _file(self, session_id: str) -> Path:
        if not ID.fullmatch(session_id):
            raise PlaceProblem("no id of a session")
        return self._path / f"{session_id}{SUFFIX}"


class Objects:
    """An object for each chunk, whose name says what its header says, so that a listing is the index."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage

    @cached_property
    def _store(self) -> obstore.store.S3Store:
        return self._storage.open(retries=1)

    def begin(self, session_id: str) -> None:
        """See ``Place``."""
        with _told():
            if next(iter(obstore.list(self._store, prefix=f"{session_id}/", chunk_size=1)), None):
                raise PlaceProblem("there is one of this session")

    def append(self, header: Header, chunk: bytes) -> None:
        """See ``Place``."""
        name = f"{header.session_id}/{header.number:08d}-{header.first_us}-{header.last_us}-{header.events}"
        name += f"{'-last' if header.is_last else ''}{SUFFIX}"
        with _told():
            try:
                obstore.put(self._store, name, chunk, mode="create")
            except AlreadyExistsError:
                # A try before this one may have succeeded without our hearing of it.
                if bytes(obstore.get(self._store, name).bytes()) != chunk:
                    raise PlaceProblem("another chunk stands in its place") from None

    def finish(self, session_id: str) -> None:
        """See ``Place``."""

    def sessions(self) -> Iterator[str]:
        """See ``Place``."""
        with _told():
            listed = obstore.list_with_delimiter(self._store)
            yield from (prefix.strip("/").rpartition("/")[2] for prefix in listed["common_prefixes"])

    def chunks(self, session_id: str) -> list[ChunkInfo]:
        """See ``Place``."""
        if not ID.fullmatch(session_id):
            raise PlaceProblem("no id of a session")
        found = []
        with _told():
            for page in obstore.list(self._store, prefix=f"{session_id}/"):
                for one in page:
                    named = OBJECT.fullmatch(one["path"].rpartition("/")[2])
                    if named is None:
                        raise ChunkDamaged("it holds an object that is no chunk")
                    number, first, last, events = map(int, named.groups()[:4])
                    found.append(ChunkInfo(number, first, last, events, one["size"], named[5] is not None, one["path"]))
        return sorted(found, key=lambda chunk: chunk.number)

    def read(self, session_id: str, chunk: ChunkInfo) -> bytes:
        """See ``Place``."""
        with _told():
            return bytes(obstore.get(self._store, str(chunk.at)).bytes())

    def delete(self, session_id: str) -> None:
        """See ``Place``."""
        paths = [str(chunk.at) for chunk in self.chunks(session_id)]
        with _told():
            for path in paths:
                obstore.delete(self._store, path)


def place_of(settings: RecordingSettings) -> Place:
    """The place that the settings name."""
    return Folder(settings.place) if isinstance(settings.place, Path) else Objects(settings.place)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except TRIES as error:
        raise PlaceProblem(storage_problem(error)) from error


def _info(header: Header, length: int, at: object) -> ChunkInfo:
    return ChunkInfo(header.number, header.first_us, header.last_us, header.events, length, header.is_last, at)
