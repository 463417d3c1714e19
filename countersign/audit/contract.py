"""What the gate asks of an audit log, and what whoever checks it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from countersign.model import AuditEvent, Trouble


class AuditUnavailable(Exception):
    """The log cannot take records now: whatever was to be recorded must not happen (I8). The text is for whoever runs the gateway;
    everybody else is told ``trouble.public``."""

    def __init__(self, text: str, trouble: Trouble = Trouble.UNAVAILABLE) -> None:
        super().__init__(text)
        self.trouble = trouble


class AuditLog(Protocol):
    """An append-only log."""

    async def append(self, event: AuditEvent) -> None:
        """Return once the record is committed to the store. Raises ``AuditUnavailable``."""

    def hand_over(self, event: AuditEvent) -> None:
        """Give the record to the writer, which commits it within 50 ms (I1, for plain reads).

        Raises ``AuditUnavailable`` where the writer failed lately or is too far behind.
        """


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that were committed together, as the log keeps them. ``hashes`` are those of their entries, 32 bytes each; ``edge`` is the
    tree's behind them; ``entries`` are lines, or None where retention has removed them. An export has neither time nor edge."""

    first_seq: int
    count: int
    time: str | None
    edge: bytes | None
    hashes: bytes
    entries: bytes | None

    @property
    def lines(self) -> list[bytes]:
        """The entries, one each; none where they were removed."""
        return [] if self.entries is None else self.entries.split(b"\n")


class LogReader(Protocol):
    """What ``verify`` reads. Nothing in it is believed."""

    def batches(self, *, after: int = 0) -> Iterator[Batch]:
        """All batches in order that hold records behind number ``after``."""

    def notes(self) -> Iterator[str]:
        """Every checkpoint that was signed, smallest first."""
