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
    """A reviewer's yes or no."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """One reviewer's yes or no on the digest that they saw."""

    reviewer: str
    authentication: str
    kind: DecisionKind
    reason: str
    digest: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A held command. ``command`` is its stored JSON form (text, effects, statements, parameters as shown)."""

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
