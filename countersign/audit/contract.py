"""What the gate asks of an audit log."""

from typing import Protocol

from countersign.model import AuditEvent


class AuditUnavailable(Exception):
    """The log cannot take records now: whatever was to be recorded must not happen (I8)."""


class AuditLog(Protocol):
    """An append-only log."""

    async def append(self, event: AuditEvent) -> None:
        """Return once the record is committed to the store. Raises ``AuditUnavailable``."""

    def hand_over(self, event: AuditEvent) -> None:
        """Give the record to the writer, which commits it within 50 ms (I1, for plain reads).

        Raises ``AuditUnavailable`` where the writer failed lately or is too far behind.
        """
