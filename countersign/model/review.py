"""A held command and its life."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from countersign.model.verdict import ReviewTerms


class ReviewState(StrEnum):
    """``pending → approved / denied / expired / cancelled``; an approved one then ``executed / failed``."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    EXECUTED = "executed"
    FAILED = "failed"


class DecisionKind(StrEnum):
    """A reviewer's yes or no, a yes taken back, or a yes past all steps."""

    APPROVE = "approve"
    DENY = "deny"
    TAKE_BACK = "take_back"
    FORCE = "force"


@dataclass(frozen=True, slots=True)
class Decision:
    """One reviewer's word on the digest that they saw. ``step`` counts from 0.

    An approval may hold ``at_most_rows`` only; a denial may carry a ``proposal``, a text that would be let through instead.
    """

    reviewer: str
    authentication: str
    kind: DecisionKind
    reason: str
    digest: str
    decided_at: datetime
    step: int = 0
    at_most_rows: int | None = None
    proposal: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """A held command. ``command`` is its stored JSON form (text, effects, statements, parameters as shown).

    ``decisions`` are all that were made, in order. ``marks`` are the moments that have been told (``escalated:0``, ``overdue``), each once.
    """

    id: str
    state: ReviewState
    command_id: str
    session_id: str
    target: str
    identity: str
    on_behalf_of: str
    digest: str
    rule: str
    command: dict[str, object]
    terms: ReviewTerms
    created_at: datetime
    expires_at: datetime
    updated_at: datetime
    outcome: str = ""
    released_at: datetime | None = None
    decisions: tuple[Decision, ...] = ()
    marks: tuple[str, ...] = ()
    gateway: str = ""
    """Which gateway holds the command."""
