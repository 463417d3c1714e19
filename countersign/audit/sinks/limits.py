"""Records that are longer than a receiver takes: cut with a mark, and JSON still. Pure.

Nobody may blind a receiver by one record that it refuses for its length, for what follows would wait behind it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from countersign.audit.export import OCSF, Form, Line
from countersign.audit.records import VERSION
from countersign.model import AuditRecord

SHORT_TEXT = 256


def within(line: Line, form: Form, limit_bytes: int) -> bytes:
    """The line, or where it is longer a shorter one: ``cut`` says how long it was and what the record's hash in the log is. ``limit_bytes``
    is 300 at least."""
    record = line.record if len(line.data) > limit_bytes else None
    if record is None:
        return line.data
    return shortened_event(line.data, record, limit_bytes) if form is OCSF else shortened(record, len(line.data), limit_bytes)


def shortened_event(data: bytes, record: AuditRecord, room_bytes: int) -> bytes:
    """An OCSF event whose query is kept as far as there is room, without what has no place in the schema."""
    event: dict[str, Any] = orjson.loads(data) | {"unmapped": {"cut": _cut(record, len(data))}}
    query: dict[str, Any] = event.get("query_info", {})
    while len(encoded := orjson.dumps(event, option=orjson.OPT_SORT_KEYS)) > room_bytes:
        if not query.get("query_string"):
            return shortened(record, len(data), room_bytes)
        query["query_string"] = query["query_string"][: min(len(query["query_string"]) // 2, room_bytes)]
    return encoded


def _cut(record: AuditRecord, whole_bytes: int) -> dict[str, Any]:
    return {"bytes": whole_bytes, "hash": record.hash}


def shortened(record: AuditRecord, whole_bytes: int, room_bytes: int) -> bytes:
    """The record as JSON that fits: ``cut`` says how long it was and what its hash in the log is; the text of a command is kept as far as
    there is room, long values and lists are left out."""
    body: Mapping[str, Any] = record.body
    command = body.get("command")
    kept = {key: value for key, value in body.items() if _is_short(value)}
    told: dict[str, Any] = {"body": kept, "kind": record.kind, "seq": record.seq, "time": record.time, "v": VERSION}
    told["cut"] = _cut(record, whole_bytes)
    text = str(command.get("text", "")) if isinstance(command, dict) else ""
    effects = command.get("effects", []) if isinstance(command, dict) else []
    while True:
        shown = told if not text else {**told, "body": {**kept, "command": {"effects": effects, "text": text}}}
        encoded = orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
        if len(encoded) <= room_bytes:
            return encoded
        if text:
            text = text[: min(len(text) // 2, room_bytes)]
        elif kept:
            kept.popitem()
        else:
            return orjson.dumps({"cut": told["cut"], "kind": record.kind[:SHORT_TEXT], "seq": record.seq})


def _is_short(value: object) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= SHORT_TEXT)
