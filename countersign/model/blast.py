"""What a held command would touch, as far as the target can say before it runs."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Touched:
    """A relation that a statement's plan goes to, how (``Seq Scan``, ``Delete``), and how many rows of it the target reckons with."""

    relation: str
    how: str
    rows: int


Values = tuple[str | None, ...]
"""One row as text, masked; None for NULL."""


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row that a statement changes: what stood there, and what would stand there. None where there is nothing, or it is not known."""

    before: Values | None
    after: Values | None


@dataclass(frozen=True, slots=True)
class Sample:
    """Some of the rows that a statement changes, as a run that was rolled back showed them. ``masked``: which columns a rule masks, whoever
    asks: nobody is exempt here."""

    columns: tuple[str, ...]
    masked: tuple[bool, ...]
    rows: tuple[SampleRow, ...]


@dataclass(frozen=True, slots=True)
class StatementReach:
    """One statement of a command. ``rows`` are those that it changes, or gives where it only reads."""

    kind: str
    rows: int
    touched: tuple[Touched, ...] = ()
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What the statements of a command would touch, in order. ``is_exact``: rows were counted by a run that was rolled back; otherwise
    they are the target's estimates. ``notes`` are for the reviewer."""

    statements: tuple[StatementReach, ...]
    is_exact: bool
    notes: tuple[str, ...] = ()


class NoBlastRadius(Exception):
    """It cannot be told; the text says why and may be shown."""


TIMES, ROWS = 10, 1_000
"""An estimate that is so many times another one and so many rows beyond it tells of another thing. Less is within what estimates stray."""


def has_grown(before: BlastRadius, now: BlastRadius) -> bool:
    """Whether a command would touch far more than its reviewers were told."""
    rows = zip(before.statements, now.statements, strict=True)
    return any(after.rows > TIMES * was.rows and after.rows - was.rows >= ROWS for was, after in rows)


class Surveyor(Protocol):
    """Tells what one held command would touch. The first two raise ``NoBlastRadius``."""

    async def estimate(self) -> BlastRadius:
        """By the target's plan; nothing of the command runs."""

    async def dry_run(self) -> BlastRadius:
        """By running it in a transaction that is always rolled back."""

    async def has_grown(self) -> bool:
        """Whether the target now reckons with far more than the estimate that was shown; False where none was, or none can be had now."""
