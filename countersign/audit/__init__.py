"""The tamper-evident log: one record for each thing that happened, each covering the hash of the one before.

A record's hash is SHA-256 over the previous hash and the RFC 8785 form of the entry, so an altered, removed,
reordered or inserted record breaks the chain at a place that ``verify`` names. What the chain alone cannot show is
a log cut off at its end or rewritten whole by somebody who owns the store: keep the head that ``verify`` prints.
"""

from countersign.audit.chain import GENESIS, Encoded, canonical, encode, link, seal
from countersign.audit.contract import AuditLog, AuditUnavailable
from countersign.audit.verify import Verification, verify

__all__ = ["GENESIS", "AuditLog", "AuditUnavailable", "Encoded", "Verification", "canonical", "encode", "link", "seal", "verify"]
