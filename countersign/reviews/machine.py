"""The life of a review as one table. Pure: no clock, no store.

======== ========= =====================================================
from     to        when
======== ========= =====================================================
pending  approved  enough distinct reviewers approved
pending  denied    one reviewer denied
pending  expired   nobody decided in time
pending  cancelled the client or the target left, or the gateway stopped
approved executed  the target ran it
approved failed    the target refused it, or its outcome is not known
approved expired   it was approved and not run in time
approved cancelled the client left before it ran
======== ========= =====================================================
"""

from countersign.model import Decision, DecisionKind, Identity, IdentityKind, Review, ReviewState, ReviewTerms
from countersign.model.identity import ADMINISTRATORS

TRANSITIONS: dict[ReviewState, frozenset[ReviewState]] = {
    ReviewState.PENDING: frozenset({ReviewState.APPROVED, ReviewState.DENIED, ReviewState.EXPIRED, ReviewState.CANCELLED}),
    ReviewState.APPROVED: frozenset({ReviewState.EXECUTED, ReviewState.FAILED, ReviewState.EXPIRED, ReviewState.CANCELLED}),
    ReviewState.DENIED: frozenset(),
    ReviewState.EXPIRED: frozenset(),
    ReviewState.CANCELLED: frozenset(),
    ReviewState.EXECUTED: frozenset(),
    ReviewState.FAILED: frozenset(),
}


def may_decide(review: Review, reviewer: Identity) -> str:
    """Why this identity may not decide this review; empty where it may (I7)."""
    if reviewer.kind is not IdentityKind.USER:
        return "only people decide reviews"
    if reviewer.name in {review.identity, review.on_behalf_of}:
        return "whoever asked, or is asked for, is no reviewer of it"
    if _is_named(review.terms, reviewer):
        return ""
    return "this review is for other reviewers"


def _is_named(terms: ReviewTerms, reviewer: Identity) -> bool:
    anyone = not terms.reviewer_groups and not terms.reviewer_names
    groups = {*terms.reviewer_groups, ADMINISTRATORS}
    return anyone or reviewer.name in terms.reviewer_names or not groups.isdisjoint(reviewer.groups)


def state_after(terms: ReviewTerms, decisions: tuple[Decision, ...]) -> ReviewState:
    """Where a pending review stands after these decisions: one denial ends it, approvals count distinct people."""
    if any(decision.kind is DecisionKind.DENY for decision in decisions):
        return ReviewState.DENIED
    approvers = {decision.reviewer for decision in decisions}
    return ReviewState.APPROVED if len(approvers) >= terms.approvals else ReviewState.PENDING
