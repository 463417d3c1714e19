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
    """An event at its place in the log. ``hash`` (hex) is that of its entry as a leaf of the log's tree."""

    seq: int
    time: str
    kind: str
    body: Mapping[str, object]
    hash: str
