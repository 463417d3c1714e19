"""Records in the forms that others read. Pure.

JSONL is the log itself: each line is an entry, byte for byte what is hashed, so ``audit verify --export`` checks it. A record whose body
retention has removed has its number and hash there. CSV has a column for
what is most asked. OCSF is version 1.1: a command is Datastore Activity (6005), everything else a Base Event (0), and what the schema has
no place for is in ``unmapped``.
"""

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

import orjson

from countersign import __version__
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


class OcsfWriter:
    """Writes records as OCSF events. It remembers from where the sessions came that it has seen open, the last ``SESSIONS`` of them."""

    SESSIONS = 100_000

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def event(self, record: AuditRecord) -> bytes:
        """One event, as a line of JSON without its end."""
        if record.kind == "session.opened":
            self._addresses[str(record.body.get("session_id"))] = str(record.body.get("client_address"))
            if len(self._addresses) > self.SESSIONS:
                del self._addresses[next(iter(self._addresses))]
        event = self._datastore(record) if record.kind == "command" else _base(record)
        return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)

    def _datastore(self, record: AuditRecord) -> dict[str, Any]:
        body: Mapping[str, Any] = record.body
        command, activity = _object(body.get("command")), _activity(_object(body.get("command")))
        session = str(body.get("session_id"))
        address = self._addresses.get(session, "")
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
