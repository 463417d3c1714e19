"""The tamper-evident log: one record for each thing that happened, each a leaf of a Merkle tree.

A record's entry is the RFC 8785 form of its body, kind, number (from 1), time and the schema's version (docs/audit-log.md). Its hash is a leaf of the tree of RFC 6962; that of
record 1 has index 0. A checkpoint is the tree's size and root, signed with the log's key in the C2SP formats: whoever keeps one can tell
a log that was changed, cut off or written anew from the one that grew. What came behind the last checkpoint is not covered yet.
"""

from countersign.audit.checkpoints import Checkpoint
from countersign.audit.contract import AuditLog, AuditUnavailable, Batch, LogReader
from countersign.audit.notes import LogKey, NoteError, VerifierKey
from countersign.audit.records import Encoded, canonical, encode, entry, record_of
from countersign.audit.verify import Verification, verify

__all__ = [
    "AuditLog",
    "AuditUnavailable",
    "Batch",
    "Checkpoint",
    "Encoded",
    "LogKey",
    "LogReader",
    "NoteError",
    "Verification",
    "VerifierKey",
    "canonical",
    "encode",
    "entry",
    "record_of",
    "verify",
]
