"""Check a chain record by record, without trusting whoever kept it."""

from collections.abc import Iterable
from dataclasses import dataclass

from countersign.audit.chain import GENESIS, entry_hash
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
