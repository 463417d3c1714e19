"""Check a chain record by record, without trusting whoever kept it, nor the code that wrote it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import rfc8785

from countersign.audit.chain import GENESIS
from countersign.model import AuditRecord


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` found: ``problem`` is empty for a sound chain, ``head`` is the last hash that fits."""

    records: int
    head: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """True where every record fits the one before it."""
        return not self.problem


def verify(records: Iterable[AuditRecord], *, expected_head: str = "") -> Verification:
    """Walk the records in order and stop at the first that does not fit.

    ``expected_head`` is a hash the verifier kept from an earlier run: a log that no longer holds it was cut or rewritten.
    """
    head, count, seen = GENESIS, 0, not expected_head
    for record in records:
        problem = _misfit(record, count + 1, head)
        if problem:
            return Verification(count, head, problem)
        head, count = record.hash, count + 1
        seen = seen or head == expected_head
    if not seen:
        return Verification(count, head, f"the log does not hold the head {expected_head}: it was cut or rewritten")
    return Verification(count, head)


def _misfit(record: AuditRecord, expected_seq: int, head: str) -> str:
    if record.seq != expected_seq:
        return f"record {expected_seq} is missing (found {record.seq} in its place)"
    if record.previous_hash != head:
        return f"record {record.seq} does not follow record {record.seq - 1}: removed, reordered or inserted"
    if entry_hash(record.seq, record.time, record.kind, record.body, record.previous_hash) != record.hash:
        return f"record {record.seq} ({record.kind}) was altered"
    return ""


def entry_hash(seq: int, time: str, kind: str, body: Mapping[str, object], previous_hash: str) -> str:
    """SHA-256 (hex) over the canonical JSON (RFC 8785) of the entry, the previous hash included."""
    entry = {"seq": seq, "time": time, "kind": kind, "body": body, "previous_hash": previous_hash}
    return hashlib.sha256(rfc8785.dumps(entry)).hexdigest()  # type: ignore[arg-type]  # body holds JSON values only
