"""Approvals that hold for more than one command: for its shape, with the values that its literals may take."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LiteralKind(StrEnum):
    """What can be said of a literal's values: a range of a ``number``, a list of ``text``, and of ``other`` only that it is equal."""

    NUMBER = "number"
    TEXT = "text"
    OTHER = "other"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a command. Of ``other`` the value is whatever tells it from every other one."""

    kind: LiteralKind
    value: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What commands have in common that differ in their literals only. ``key`` is a SHA-256 (hex) over all that decides what they do but
    for the literals: the text, how it was read, and where the session looks for names. ``text`` shows each literal as ``⟨number⟩``, from 1.
    """

    key: str
    text: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The values that a literal may take: any, or those listed, or whole numbers from ``low`` to ``high``, both included."""

    any: bool = False
    values: tuple[Literal, ...] = ()
    low: int | None = None
    high: int | None = None

    def holds(self, literal: Literal) -> bool:
        """Whether a literal is within."""
        if self.any or literal in self.values:
            return True
        if self.low is None or self.high is None or literal.kind is not LiteralKind.NUMBER:
            return False
        return self.low <= int(literal.value) <= self.high


@dataclass(frozen=True, slots=True)
class Grant:
    """An approval of a shape for one identity on one target, until ``expires_at`` and for ``uses`` commands at most. It lets through what the
    same rule holds on the same terms, and nothing else."""

    id: str
    review_id: str
    identity: str
    on_behalf_of: str
    target: str
    database: str
    rule: str
    terms_digest: str
    shape: Shape
    ranges: tuple[Range, ...]
    granted_by: str
    authentication: str
    reason: str
    created_at: datetime
    expires_at: datetime
    uses: int
    used: int = 0
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def is_live(self, now: datetime) -> bool:
        """Whether it can still be used."""
        return self.revoked_at is None and now < self.expires_at and self.used < self.uses

    def covers(self, shape: Shape) -> bool:
        """Whether a command of this shape, with its literals, is one that was approved."""
        return (
            shape.key == self.shape.key
            and len(shape.literals) == len(self.ranges)
            and all(allowed.holds(literal) for allowed, literal in zip(self.ranges, shape.literals, strict=True))
        )
