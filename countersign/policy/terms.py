"""Reads the ``review`` section of a rule: who decides, in which steps, and what happens when nobody does."""

import re

from countersign.model import NOBODY, Action, OnTimeout, ReviewTerms, Step, Subjects
from countersign.policy.rules import Rule
from countersign.yaml_lines import Problem, Section

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_S = 7 * 86400.0
MOST_APPROVALS = 100


def parse_duration(text: str) -> float | None:
    """Seconds of ``45s``, ``30m``, ``2h`` and the like; None for anything else."""
    matched = DURATION.fullmatch(text)
    return float(matched[1]) * UNITS[matched[2]] if matched else None


def review_terms(item: Section, action: str) -> ReviewTerms | None:
    """The terms of a rule with this action, None where it holds nothing. What is wrong is complained of."""
    review = item.section("review")
    if action != "review":
        if review is not None:
            item.complain("review", f"'review' goes with action review, not {action!r}")
        return None
    if review is None:
        return ReviewTerms()
    timeout_s = _duration(review, "timeout") or ReviewTerms().timeout_s
    on_timeout, safe_subset = _on_timeout(review)
    break_glass = _people(review, "break_glass", "leave it out, and nobody may pass the steps")
    terms = ReviewTerms(_steps(review, timeout_s), timeout_s, on_timeout, safe_subset, break_glass)
    review.finish()
    return terms


def unknown_names(rules: list[Rule]) -> list[Problem]:
    """What safe subsets name that is no allowing rule."""
    actions = {rule.name: rule.action for rule in rules}
    found: list[Problem] = []
    for rule in rules:
        for name in rule.terms.safe_subset if rule.terms else ():
            if actions.get(name) is not Action.ALLOW:
                what = "is no rule" if name not in actions else f"has the action {actions[name].value}"
                message = f"the safe subset of rule {rule.name!r} names {name!r}, which {what}"
                found.append(Problem(rule.file, rule.line, message, "a safe subset names rules with the action allow"))
    return found


def _on_timeout(review: Section) -> tuple[OnTimeout, tuple[str, ...]]:
    choices = [choice.value for choice in OnTimeout]
    said = review.take("on_timeout", str, OnTimeout.DENY.value)
    if said not in choices:
        review.complain("on_timeout", f"'on_timeout' is {said!r}", f"one of {', '.join(choices)}")
        said = OnTimeout.DENY.value
    subset = review.texts("safe_subset")
    if said == OnTimeout.SAFE_SUBSET and not subset:
        review.complain("on_timeout", "'safe_subset' names no rule", "safe_subset: [names of allowing rules]")
    if said != OnTimeout.SAFE_SUBSET and "safe_subset" in review.mapping:
        review.complain("safe_subset", f"'safe_subset' goes with on_timeout: safe_subset, not {said!r}")
    return OnTimeout(said), subset


def _steps(review: Section, timeout_s: float) -> tuple[Step, ...]:
    """The steps, or the one whose reviewers stand in the review itself."""
    sections = list(review.sections("steps"))
    if not sections:
        if "steps" in review.mapping:
            review.complain("steps", "'steps' holds no step")
        return (_step(review, None, timeout_s),)
    found: list[Step] = []
    for section in reversed(sections):
        found.insert(0, _step(section, found[0] if found else None, timeout_s))
        section.finish()
    return tuple(found)


def _step(section: Section, following: Step | None, timeout_s: float) -> Step:
    approvals = section.take("approvals", int, 1)
    reviewers = _people(section, "reviewers", "leave it out for any administrator or reviewer")
    if not 1 <= approvals <= MOST_APPROVALS:
        section.complain("approvals", f"'approvals' is {approvals}", f"a number from 1 to {MOST_APPROVALS}")
        approvals = 1
    if reviewers.names and not reviewers.groups and approvals > len(set(reviewers.names)):
        section.complain("approvals", f"'approvals' is {approvals}, and only {len(set(reviewers.names))} people are named")
    escalate_to = _people(section, "escalate_to", "name groups or people")
    after_s = _duration(section, "escalate_after")
    if after_s is None:
        if escalate_to and "escalate_after" not in section.mapping:
            section.complain("escalate_to", "'escalate_to' needs 'escalate_after'", "escalate_after: 10m")
        return Step(reviewers, approvals)
    if after_s >= timeout_s:
        section.complain("escalate_after", "'escalate_after' is no shorter than the review's timeout, so it never comes")
    if not escalate_to and "escalate_to" not in section.mapping:
        if following is None:
            section.complain("escalate_after", "it is not said to whom", "escalate_to: {groups: [leads]}")
        else:
            escalate_to = following.reviewers
    if escalate_to and escalate_to == reviewers:
        section.complain("escalate_after", "it escalates to those who are its reviewers already")
    return Step(reviewers, approvals, after_s, escalate_to)


def _people(section: Section, key: str, instead: str) -> Subjects:
    """``instead``: what to do where the section names nobody."""
    named = section.section(key)
    if named is None:
        return NOBODY
    people = Subjects(named.texts("groups"), named.texts("names"))
    named.finish()
    if not named.mapping:
        section.complain(key, f"{key!r} names nobody", instead)
    return people


def _duration(section: Section, key: str) -> float | None:
    """Seconds; None where there is none, or none that holds up."""
    text: str | None = section.take(key, str, None)
    if text is None:
        return None
    seconds = parse_duration(text)
    if seconds is None or not 0 < seconds <= LONGEST_S:
        section.complain(key, f"{key!r} is {text!r}", "a duration such as 45s, 30m or 2h, 7d at most")
        return None
    return seconds
