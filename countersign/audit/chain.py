"""How one record is chained to the one before it. Pure."""

import hashlib
from collections.abc import Mapping

import rfc8785

from countersign.model import AuditEvent, AuditRecord

GENESIS = hashlib.sha256(b"countersign audit log v1").hexdigest()
"""The ``previous_hash`` of the first record."""


def entry_hash(seq: int, time: str, kind: str, body: Mapping[str, object], previous_hash: str) -> str:
    """SHA-256 (hex) over the canonical JSON (RFC 8785) of the entry, the previous hash included."""
    entry = {"seq": seq, "time": time, "kind": kind, "body": body, "previous_hash": previous_hash}
    return hashlib.sha256(rfc8785.dumps(entry)).hexdigest()  # type: ignore[arg-type]  # body holds JSON values only


def link(event: AuditEvent, *, seq: int, time: str, previous_hash: str) -> AuditRecord:
    """Give an event its place in the log."""
    return AuditRecord(
        seq=seq,
        time=time,
        kind=event.kind,
        body=event.body,
        previous_hash=previous_hash,
        hash=entry_hash(seq, time, event.kind, event.body, previous_hash),
    )
