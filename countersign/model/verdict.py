"""The policy's answer for one command."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a rule says. ``deny`` beats ``review`` beats ``allow``."""

    ALLOW = "allow"
    DENY = "deny"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class ReviewTerms:
    """How a held command is decided: who may, how many must, and how long it waits.

    Empty ``reviewer_groups`` and ``reviewer_names`` mean any administrator or reviewer. Seconds in ``timeout_s``.
    """

    reviewer_groups: tuple[str, ...] = ()
    reviewer_names: tuple[str, ...] = ()
    approvals: int = 1
    timeout_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, the rule that gave it, and what to tell the client. ``terms`` is set exactly for ``review``."""

    action: Action
    rule: str
    message: str = ""
    terms: ReviewTerms | None = None
    policy_digest: str = ""
