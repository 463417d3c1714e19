"""Records in the forms that others read. Pure.

JSONL is the log itself: each line is an entry, byte for byte what is hashed, so ``audit verify --export`` checks it. A record whose body
retention has removed has its number and hash there. CSV has a column for
what is most asked. OCSF is version 1.1: a command is Datastore Activity (6005), everything else a Base Event (0), and what the schema has
no place for is in ``unmapped``.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from countersign import __version__
from countersign.audit.contract import Batch
from countersign.audit.records import record_of
from countersign.audit.search import tables
from countersign.model import AuditRecord
from countersign.model.clock import from_text

OCSF_VERSION = "1.1.0"
COLUMNS = ["seq", "time", "kind", "identity", "on_behalf_of", "target", "session_id", "command_id", "review_id", "verdict", "rule"]
MORE_COLUMNS = ["effects", "tables", "text", "body"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
REMOVED = re.compile(rb'\{"hash":"([0-9a-f]{64})","seq":[0-9]+\}')
DATASTORE = 6005
QUERY, READ, UPDATE, CREATE, DELETE, OTHER = 4, 1, 2, 6, 7, 99
SUCCESS, FAILURE, UNKNOWN = 1, 2, 0


def removed_line(seq: int, leaf: bytes) -> bytes:
    """The line of a record that has no body any more."""
    return b'{"hash":"%b","seq":%d}' % (leaf.hex().encode(), seq)


def removed_hash(line: bytes) -> bytes | None:
    """The hash that such a line gives; None where it is another."""
    found = REMOVED.fullmatch(line)
    return bytes.fromhex(found[1].decode()) if found else None


def csv_head() -> str:
    """The names of the columns."""
    return _csv([*COLUMNS, *MORE_COLUMNS])


def csv_row(record: AuditRecord) -> str:
    """A record as a row. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    command: Mapping[str, Any] = _object(record.body.get("command"))
    known = {"seq": record.seq, "time": record.time, "kind": record.kind}
    cells = [str(known.get(name, record.body.get(name) or "")) for name in COLUMNS]
    more = [" ".join(command.get("effects", ())), " ".join(dict.fromkeys(tables(command))), command.get("text", "")]
    return _csv(
        [*(f"'{cell}" if cell.startswith(FORMULA) else cell for cell in (*cells, *more)), orjson.dumps(record.body).decode()]
    )


def _csv(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class Form:
    """How records are written one after the other: ``head`` stands before the first, ``end`` behind each, and ``gap`` between documents in
    one file."""

    name: str
    content_type: str
    head: bytes = b""
    end: bytes = b"\n"
    gap: bytes = b""

    def whole(self, lines: Iterable[bytes]) -> bytes:
        """The lines as a document of their own."""
        return self.head + b"".join(line + self.end for line in lines)


JSONL = Form("jsonl", "application/x-ndjson")
CSV = Form("csv", "text/csv; charset=utf-8; header=present", csv_head().encode(), b"")
OCSF = Form("ocsf", "application/x-ndjson")
FORMS = {form.name: form for form in (JSONL, CSV, OCSF)}


@dataclass(frozen=True, slots=True)
class Line:
    """A record as it is exported, without the form's end. ``entry`` is its line in the log, None where its body was removed."""

    seq: int
    entry: bytes | None
    data: bytes

    @property
    def record(self) -> AuditRecord | None:
        """The record, read from its entry."""
        return None if self.entry is None else record_of(self.entry)


class LineWriter:
    """Writes batches of the log in one form. ``chooses`` says which records; one whose body was removed can be in JSON lines only, and only
    where all are asked for. ``address_of`` answers from where a session came whose beginning was not seen, or an empty text."""

    def __init__(
        self,
        form: Form,
        chooses: Callable[[AuditRecord], bool] | None = None,
        address_of: Callable[[str], str] = lambda session_id: "",
    ) -> None:
        self._form = form
        self._chooses = chooses
        self._ocsf = OcsfWriter(address_of)

    def lines(self, batch: Batch, after: int = 0) -> Iterator[Line]:
        """The batch's records behind number ``after``. Raises ``ValueError`` where one is no record."""
        entries = batch.lines
        for index in range(max(0, after + 1 - batch.first_seq), batch.count):
            if batch.entries is not None:
                line = self._line(batch.first_seq + index, entries[index])
            elif self._form is JSONL and self._chooses is None:
                seq = batch.first_seq + index
                line = Line(seq, None, removed_line(seq, batch.hashes[index * 32 : index * 32 + 32]))
            else:
                line = None
            if line is not None:
                yield line

    def _line(self, seq: int, entry: bytes) -> Line | None:
        if self._form is JSONL and self._chooses is None:
            return Line(seq, entry, entry)
        record = record_of(entry)
        if self._form is OCSF:
            self._ocsf.see(record)
        if self._chooses is not None and not self._chooses(record):
            return None
        written = {JSONL: lambda: entry, CSV: lambda: csv_row(record).encode(), OCSF: lambda: self._ocsf.event(record)}
        return Line(seq, entry, written[self._form]())


class OcsfWriter:
    """Writes records as OCSF events. It remembers from where the sessions came that it has seen open, the last ``SESSIONS`` of them, and
    asks ``address_of`` for the others."""

    SESSIONS = 100_000

    def __init__(self, address_of: Callable[[str], str] = lambda session_id: "") -> None:
        self._addresses: dict[str, str] = {}
        self._address_of = address_of

    def see(self, record: AuditRecord) -> None:
        """Remember from where a session came that opens."""
        if record.kind == "session.opened":
            self._remember(str(record.body.get("session_id")), str(record.body.get("client_address")))

    def _remember(self, session_id: str, address: str) -> None:
        self._addresses[session_id] = address
        if len(self._addresses) > self.SESSIONS:
            del self._addresses[next(iter(self._addresses))]

    def _address(self, session_id: str) -> str:
        if session_id not in self._addresses:
            self._remember(session_id, self._address_of(session_id))
        return self._addresses[session_id]

    def event(self, record: AuditRecord) -> bytes:
        """One event, as a line of JSON without its end."""
        self.see(record)
        event = self._datastore(record) if record.kind == "command" else _base(record)
        return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)

    def _datastore(self, record: AuditRecord) -> dict[str, Any]:
        body: Mapping[str, Any] = record.body
        command, activity = _object(body.get("command")), _activity(_object(body.get("command")))
        session = str(body.get("session_id"))
        address = self._address(session)
        named = next(iter(tables(command)), "")
        status = {"allow": (SUCCESS, "Success"), "deny": (FAILURE, "Failure")}.get(str(body.get("verdict")), (UNKNOWN, "Unknown"))
        event = _envelope(record, class_uid=DATASTORE, category_uid=6, activity_id=activity)
        event |= {
            "actor": {"user": {"name": body.get("identity"), "type_id": 99, "type": "identity"}, "session": {"uid": session}},
            "src_endpoint": {"uid": session} | ({"name": address} if address else {}),
            "database": {"name": body.get("database"), "type_id": 1, "type": "Relational"},
            "dst_endpoint": {"name": body.get("target")},
            "query_info": {"query_string": command.get("text", ""), "uid": body.get("command_id")},
            "status_id": status[0],
            "status": status[1],
            "status_detail": f"{body.get('verdict')} by rule {body.get('rule')}",
            "type_id": 1,
            "unmapped": dict(body),
        }
        return event | ({"table": {"name": named}} if named else {})


def _base(record: AuditRecord) -> dict[str, Any]:
    return _envelope(record, class_uid=0, category_uid=0, activity_id=OTHER) | {
        "activity_name": record.kind,
        "message": record.kind,
        "unmapped": dict(record.body),
    }


def _envelope(record: AuditRecord, *, class_uid: int, category_uid: int, activity_id: int) -> dict[str, Any]:
    return {
        "activity_id": activity_id,
        "category_uid": category_uid,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": 1,
        "time": int(from_text(record.time).timestamp() * 1000),
        "metadata": {
            "product": {"name": "Countersign", "vendor_name": "Countersign", "version": __version__},
            "version": OCSF_VERSION,
            "uid": record.hash,
            "sequence": record.seq,
            "event_code": record.kind,
            "original_time": record.time,
        },
    }


def _activity(command: Mapping[str, Any]) -> int:
    """One number for what may have been several statements: the first one's, by its kind."""
    kinds = [str(statement.get("kind", "")) for statement in command.get("statements", ())]
    first = kinds[0].split(" ")[0] if kinds else ""
    by_kind = {
        "SELECT": QUERY,
        "UPDATE": UPDATE,
        "INSERT": CREATE,
        "CREATE": CREATE,
        "DELETE": DELETE,
        "DROP": DELETE,
        "TRUNCATE": DELETE,
    }
    return by_kind.get(first, READ if command.get("effects") == ["read"] else OTHER)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
