"""The life of a review: its states as one table, and what decisions and time make of it. Pure: no clock, no store.

======== ========= =====================================================
from     to        when
======== ========= =====================================================
pending  approved  every step has its distinct approvals, ``break_glass`` was used, or a rule of the safe subset let it run
pending  denied    one reviewer denied
pending  expired   nobody decided in time
pending  cancelled the client or the target left, or the gateway stopped
approved executed  the target ran it
approved failed    the target refused it, or its outcome is not known
approved expired   it was approved and not run in time
approved cancelled the client left, or an approval was taken back, before it ran
======== ========= =====================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from countersign.model import Decision, DecisionKind, Identity, IdentityKind, OnTimeout, Review, ReviewState, ReviewTerms, Step
from countersign.model.identity import ADMINISTRATORS, AUDITORS, REVIEWERS

TRANSITIONS: dict[ReviewState, frozenset[ReviewState]] = {
    ReviewState.PENDING: frozenset({ReviewState.APPROVED, ReviewState.DENIED, ReviewState.EXPIRED, ReviewState.CANCELLED}),
    ReviewState.APPROVED: frozenset({ReviewState.EXECUTED, ReviewState.FAILED, ReviewState.EXPIRED, ReviewState.CANCELLED}),
    ReviewState.DENIED: frozenset(),
    ReviewState.EXPIRED: frozenset(),
    ReviewState.CANCELLED: frozenset(),
    ReviewState.EXECUTED: frozenset(),
    ReviewState.FAILED: frozenset(),
}

KEPT_WAITING = timedelta(days=7)
"""How long ``keep_waiting`` keeps a command at most."""
APPROVAL_HOLDS = timedelta(minutes=1)
"""How long an approved command has to be run."""
OVERDUE = "overdue"


def ends_at(terms: ReviewTerms, opened_at: datetime) -> datetime:
    """When a review expires that nobody decides."""
    timeout = timedelta(seconds=terms.timeout_s)
    return opened_at + (max(timeout, KEPT_WAITING) if terms.on_timeout is OnTimeout.KEEP_WAITING else timeout)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a review is: the step in which it stands (the number of steps where all are done), since when, and by whose approvals."""

    step: int
    since: datetime
    approvers: tuple[str, ...] = ()


def progress(review: Review) -> Progress:
    """Steps are done one behind the other; an approval taken back takes the review back to its step."""
    standing = standing_approvals(review)
    since = review.created_at
    for number, step in enumerate(review.terms.steps):
        here = [decision for decision in standing if decision.step == number]
        if len({decision.reviewer for decision in here}) < step.approvals:
            return Progress(number, since, tuple(decision.reviewer for decision in here))
        since = max(since, here[-1].decided_at)
    return Progress(len(review.terms.steps), since)


def standing_approvals(review: Review) -> list[Decision]:
    """The approvals that nobody has taken back, in order: one a person at most."""
    standing: dict[str, Decision] = {}
    for decision in review.decisions:
        if decision.kind is DecisionKind.APPROVE:
            standing[decision.reviewer] = decision
        elif decision.kind is DecisionKind.TAKE_BACK:
            standing.pop(decision.reviewer, None)
    return list(standing.values())


def at_most_rows(review: Review) -> int | None:
    """For how many rows at most a review is approved: the least of its approvals' bounds; None where none has one."""
    return min((one.at_most_rows for one in standing_approvals(review) if one.at_most_rows is not None), default=None)


def may_decide(review: Review, reviewer: Identity, kind: DecisionKind, now: datetime) -> str:
    """Why this identity may not decide so; empty where it may (I7)."""
    if reviewer.kind is not IdentityKind.USER:
        return "only people decide reviews"
    if reviewer.name in {review.identity, review.on_behalf_of}:
        return "whoever asked, or is asked for, is no reviewer of it"
    if AUDITORS in reviewer.groups:
        return "auditors decide nothing"
    match kind:
        case DecisionKind.APPROVE:
            at = progress(review)
            here = review.terms.steps[at.step : at.step + 1]
            is_theirs = any(is_reviewer(step, reviewer, escalated=is_escalated(step, at, now)) for step in here)
        case DecisionKind.DENY:
            is_theirs = review.terms.break_glass.include(reviewer) or any(
                is_reviewer(step, reviewer, escalated=True) for step in review.terms.steps
            )
        case DecisionKind.FORCE:
            is_theirs = review.terms.break_glass.include(reviewer)
        case DecisionKind.TAKE_BACK:
            is_theirs = any(decision.reviewer == reviewer.name for decision in standing_approvals(review))
    return "" if is_theirs else _REFUSED[kind]


_REFUSED = {
    DecisionKind.APPROVE: "this review is for other reviewers",
    DecisionKind.DENY: "this review is for other reviewers",
    DecisionKind.FORCE: "no rule lets you break the glass of this review",
    DecisionKind.TAKE_BACK: "there is no approval of yours to take back",
}


def is_reviewer(step: Step, reviewer: Identity, *, escalated: bool) -> bool:
    """Whether a step is this person's to approve."""
    if not step.reviewers:
        return not {ADMINISTRATORS, REVIEWERS}.isdisjoint(reviewer.groups) or (escalated and step.escalate_to.include(reviewer))
    return step.reviewers.include(reviewer) or (escalated and step.escalate_to.include(reviewer))


def escalates_at(step: Step, at: Progress) -> datetime | None:
    """When the step in which a review stands has waited so long that others may approve in it as well."""
    return None if step.escalate_after_s is None else at.since + timedelta(seconds=step.escalate_after_s)


def is_escalated(step: Step, at: Progress, now: datetime) -> bool:
    """Whether it has."""
    escalates = escalates_at(step, at)
    return escalates is not None and now >= escalates


def refused_now(review: Review, reviewer: Identity, kind: DecisionKind) -> str:
    """What in a review's state stands against a decision of one who may make it; empty where nothing does."""
    if kind is DecisionKind.TAKE_BACK and review.state is ReviewState.APPROVED:
        return f"review {review.id} runs already" if review.released_at is not None else ""
    if review.state is not ReviewState.PENDING:
        return f"review {review.id} is {review.state} already"
    has_approved = any(decision.reviewer == reviewer.name for decision in standing_approvals(review))
    if kind is DecisionKind.APPROVE and has_approved:
        return f"{reviewer.name} has approved this review already, and counts once"
    return ""


def decided(review: Review, decision: Decision, now: datetime) -> Review:
    """A review behind one more decision, which was checked: one denial ends it, approvals count distinct people of each step."""
    after = replace(review, decisions=(*review.decisions, decision), updated_at=now)
    match decision.kind:
        case DecisionKind.DENY:
            return replace(after, state=ReviewState.DENIED, outcome=decision.reason)
        case DecisionKind.FORCE:
            return _approved(after, now, f"forced by {decision.reviewer}: {decision.reason}")
        case DecisionKind.TAKE_BACK if review.state is ReviewState.APPROVED:
            return replace(after, state=ReviewState.CANCELLED, outcome=f"{decision.reviewer} took the approval back before it ran")
        case DecisionKind.APPROVE if progress(after).step == len(after.terms.steps):
            return _approved(after, now, "")
    return after


def _approved(review: Review, now: datetime, outcome: str) -> Review:
    return replace(review, state=ReviewState.APPROVED, outcome=outcome, expires_at=now + APPROVAL_HOLDS)


# -- time
def next_at(review: Review) -> datetime | None:
    """When time next changes something of a review; None where it never does."""
    if review.state is ReviewState.APPROVED:
        return None if review.released_at is not None else review.expires_at
    if review.state is not ReviewState.PENDING:
        return None
    return min([at for at, mark in _moments(review) if mark not in review.marks] + [review.expires_at])


def _moments(review: Review) -> Iterator[tuple[datetime, str]]:
    at = progress(review)
    if escalates := escalates_at(review.terms.steps[at.step], at):
        yield escalates, f"escalated:{at.step}"
    if review.terms.on_timeout is OnTimeout.KEEP_WAITING:
        yield review.created_at + timedelta(seconds=review.terms.timeout_s), OVERDUE


def passed(review: Review, now: datetime, let_by: str) -> Review:
    """What the time now makes of a review. ``let_by`` is the rule of the safe subset that would let its command run, if any does."""
    if next_at(review) is None:
        return review
    if now >= review.expires_at:
        if review.state is ReviewState.PENDING and review.terms.on_timeout is OnTimeout.SAFE_SUBSET and let_by:
            return _approved(replace(review, updated_at=now), now, f"nobody decided in time; rule {let_by!r} lets it run")
        return replace(review, state=ReviewState.EXPIRED, outcome="nobody decided in time", updated_at=now)
    if review.state is not ReviewState.PENDING:
        return review
    come = tuple(mark for at, mark in _moments(review) if now >= at and mark not in review.marks)
    return replace(review, marks=review.marks + come, updated_at=now) if come else review
