"""One entry of the tamper-evident log."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happened, before it has a place in the log. ``body`` holds JSON values only."""

    kind: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An event at its place in the log: ``hash`` covers ``previous_hash`` and the canonical entry."""

    seq: int
    time: str
    kind: str
    body: Mapping[str, object]
    previous_hash: str
    hash: str
