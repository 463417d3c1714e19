"""A file that grows, on this machine or on storage that only takes appends."""

import asyncio
import os
import re
from pathlib import Path

from countersign.audit.export import Form
from countersign.audit.sinks.contract import Parcel, SinkError
from countersign.audit_settings import FilePlace

TAIL = 65536
NOTE_END = re.compile(rb"\n\xe2\x80\x94 [^\n]*\n\n")
"""A signature's line (C2SP signed-note) and an empty one."""


class FileSink:
    """Lines are on disk when they are taken. What an append that broke off left of a line is removed before the next one.

    ``PATH.1`` is what was last set aside, ``PATH.2`` what before it. Whoever else moves the file away is no trouble: it is made anew.
    """

    knows_repeats = False

    def __init__(self, place: FilePlace) -> None:
        self.place = f"file://{place.path}"
        self._settings = place
        self._is_whole = False
        """False where the file may end in a part of a line."""

    async def take(self, parcel: Parcel) -> None:
        """See ``Sink``."""
        await asyncio.to_thread(self._append, parcel)

    def _append(self, parcel: Parcel) -> None:
        path = self._settings.path
        try:
            if not self._is_whole:
                repair(path, parcel.form)
            self._is_whole = False
            self._rotate()
            append(path, parcel)
        except OSError as error:
            raise SinkError(f"{path}: {error.strerror}") from error
        self._is_whole = True

    def _rotate(self) -> None:
        path, limit, keep = self._settings.path, self._settings.rotate_bytes, self._settings.keep
        if not limit or not path.exists() or path.stat().st_size < limit:
            return
        for number in range(keep - 1, 0, -1):
            if (older := path.with_name(f"{path.name}.{number}")).exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))


def append(path: Path, parcel: Parcel) -> None:
    """Append a parcel, with its form's head where the file is empty; return once it is on disk. Raises ``OSError``."""
    # What was masked is masked here too, but what people asked is theirs: only the file's owner may read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        is_new = file.tell() == 0
        file.write((parcel.body if is_new else parcel.body[len(parcel.form.head) :]) + parcel.form.gap)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        _sync_folder(path.parent)


def repair(path: Path, form: Form) -> None:
    """Cut off what follows the last whole line, row or note. Raises ``OSError``."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return
    with file:
        end = ENDS.get(form.name, _end_of_lines)(path)
        if end < file.seek(0, os.SEEK_END):
            file.truncate(end)
            os.fsync(file.fileno())


def _end_of_lines(path: Path) -> int:
    """Behind the last line's end, found from the file's own end."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - TAIL)
            file.seek(start)
            if (found := file.read(position - start).rfind(b"\n")) >= 0:
                return start + found + 1
            position = start
    return 0


def _end_of_rows(path: Path) -> int:
    """Behind the last row's end (RFC 4180), which can be told from an end of line inside of quotes only from the start on."""
    end = position = quotes = 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            quotes += line.count(b'"')
            if quotes % 2 == 0 and line.endswith(b"\r\n"):
                end = position
    return end


def _end_of_notes(path: Path) -> int:
    """Behind the empty line that follows the last signature; where none is near the end, nothing is cut."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(start := max(0, size - TAIL))
        found = list(NOTE_END.finditer(file.read()))
    return start + found[-1].end() if found else size


ENDS = {"csv": _end_of_rows, "checkpoint": _end_of_notes}
"""How the end of what is whole is found, where it is not just the last line's."""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
