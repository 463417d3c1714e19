"""The policy's answer for one command."""

from dataclasses import dataclass
from enum import StrEnum

from countersign.model.identity import NOBODY, Subjects


class Action(StrEnum):
    """What a rule says. ``deny`` beats ``review`` beats ``allow``."""

    ALLOW = "allow"
    DENY = "deny"
    REVIEW = "review"


class OnTimeout(StrEnum):
    """What becomes of a held command when nobody has decided in time."""

    DENY = "deny"
    KEEP_WAITING = "keep_waiting"
    """It stays held while its client waits, for a week at most."""
    SAFE_SUBSET = "safe_subset"
    """It runs if one of the named rules allows it and none denies it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a review: so many distinct people of these. No reviewers: whoever is in the group of administrators or of reviewers.

    ``escalate_after_s`` seconds after the step began, ``escalate_to`` may approve in it as well.
    """

    reviewers: Subjects = NOBODY
    approvals: int = 1
    escalate_after_s: float | None = None
    escalate_to: Subjects = NOBODY


@dataclass(frozen=True, slots=True)
class ReviewTerms:
    """How a held command is decided: the steps, one behind the other, and what happens after ``timeout_s`` seconds.

    ``safe_subset`` names the rules that ``SAFE_SUBSET`` asks; ``break_glass`` says who may approve or deny past all steps.
    """

    steps: tuple[Step, ...] = (Step(),)
    timeout_s: float = 1800.0
    on_timeout: OnTimeout = OnTimeout.DENY
    safe_subset: tuple[str, ...] = ()
    break_glass: Subjects = NOBODY


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, the rule that gave it, and what to tell the client. ``terms`` is set exactly for ``review``."""

    action: Action
    rule: str
    message: str = ""
    terms: ReviewTerms | None = None
    policy_digest: str = ""
