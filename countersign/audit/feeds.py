"""What is delivered: the log's records in one form, and its checkpoints, each in parcels that follow one another without a gap."""

import asyncio
from collections.abc import Awaitable, Callable

from countersign.audit.contract import LogReader
from countersign.audit.export import FORMS, Form, Line, LineWriter
from countersign.audit.sinks import Parcel
from countersign.audit_settings import ExportSettings, Only
from countersign.model import AuditRecord

PARCEL_BYTES = 2**20
"""A parcel has no more, unless one record alone does."""
PASSED_OVER = 20_000
"""How many records go to a parcel at most, those among them that are not asked for."""
NOTE = Form("checkpoint", "text/plain; charset=utf-8", end=b"", gap=b"\n")


def export_name(name: str) -> str:
    """What the cursor of an export goes by."""
    return f"export:{name}"


class RecordFeed:
    """Records of the log. Implements ``delivery.Feed``."""

    def __init__(self, settings: ExportSettings, log: LogReader, address_of: Callable[[str], str]) -> None:
        self.name = export_name(settings.name)
        self._settings = settings
        self._form = FORMS[settings.format]
        self._log = log
        chooses = chooser(settings.only)
        self._writer = LineWriter(self._form, chooses, address_of)

    async def after(self, seq: int, up_to: int | None) -> Parcel | None:
        """See ``Feed``."""
        return await asyncio.to_thread(self._read, seq, up_to)

    def _read(self, after: int, up_to: int | None) -> Parcel | None:
        """Only what is committed is read. A parcel that was planned is cut where it was planned to be, whatever the limits are now."""
        lines: list[Line] = []
        last, size = after, 0
        for batch in self._log.batches(after=after):
            for line in self._writer.lines(batch, last):
                size += len(line.data)
                is_full = len(lines) >= self._settings.batch or (size > PARCEL_BYTES and lines)
                if line.seq > up_to if up_to is not None else is_full:
                    return self._parcel(after, up_to or line.seq - 1, lines)
                lines.append(line)
            last = batch.first_seq + batch.count - 1
            if last >= up_to if up_to is not None else last - after >= PASSED_OVER:
                break
        last = last if up_to is None else min(last, up_to)
        return self._parcel(after, last, lines) if last > after else None

    def _parcel(self, after: int, last: int, lines: list[Line]) -> Parcel:
        suffix = "ocsf.jsonl" if self._form.name == "ocsf" else self._form.name
        name = f"{after + 1:020d}-{last:020d}.{suffix}"
        return Parcel(self._settings.name, name, after + 1, last, self._form, lines)


class CheckpointFeed:
    """Signed checkpoints, one to a parcel. ``after`` answers the size and the note of the first behind a size. Implements
    ``delivery.Feed``."""

    def __init__(self, name: str, after: Callable[[int], Awaitable[tuple[int, str] | None]]) -> None:
        self.name = name
        self._after = after

    async def after(self, seq: int, up_to: int | None) -> Parcel | None:
        """See ``Feed``."""
        if (found := await self._after(seq)) is None:
            return None
        size, note = found
        return Parcel("checkpoints", f"{size:020d}.checkpoint", size, size, NOTE, [Line(size, None, note.encode())])


def chooser(only: Only) -> Callable[[AuditRecord], bool] | None:
    """Whether a record is asked for; None where all are."""
    if not only.kinds and not only.effects:
        return None

    def chooses(record: AuditRecord) -> bool:
        if only.kinds and not any(_is_kind(record.kind, kind) for kind in only.kinds):
            return False
        command = record.body.get("command")
        if not only.effects or record.kind != "command" or not isinstance(command, dict):
            return True
        return any(effect in command.get("effects", ()) for effect in only.effects)

    return chooses


def _is_kind(kind: str, wanted: str) -> bool:
    return kind == wanted or (wanted.endswith(".*") and kind.startswith(wanted[:-1]))
