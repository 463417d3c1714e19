"""What a policy says that can hardly be meant. Pure: nothing here keeps a policy from being used."""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from countersign.model import Action, Step
from countersign.model.identity import ADMINISTRATORS, AUDITORS, REVIEWERS, Person
from countersign.policy.cel import VARIABLES, ConditionError, bind
from countersign.policy.index import names_target
from countersign.policy.names import bare_names
from countersign.policy.rules import Policy, Rule
from countersign.yaml_lines import Problem

MAPS = ("target.labels", "identity.claims")
"""Variables of which a missing key is an error, which denies."""


def warnings_of(rules: Sequence[Rule]) -> Iterator[Problem]:
    """Of the rules by themselves."""
    for rule in rules:
        yield from _of_condition(rule)
        if problem := _shadowed(rule, rules):
            yield problem


def _of_condition(rule: Rule) -> Iterator[Problem]:
    if rule.condition is None:
        return
    expression = rule.condition.expression
    for name in bare_names(expression):
        message = f"rule {rule.name!r} compares {name.variable} with {name.constant!r}, which names nothing that exists"
        yield Problem(rule.file, rule.line, message, f"names are {name.form}")
    for variable in MAPS:
        for key in _unasked_keys(expression, variable):
            message = f"rule {rule.name!r} asks for the key {key!r} of {variable}, and denies where there is none"
            yield Problem(rule.file, rule.line, message, f"ask first: {key!r} in {variable} && …")
    if not any(re.search(rf"(?<![\w.]){re.escape(variable)}\b", expression) for variable in VARIABLES):
        try:
            always = rule.condition.holds(bind({}))
        except ConditionError:
            return
        message = f"the condition of rule {rule.name!r} is always {str(always).lower()}"
        yield Problem(rule.file, rule.line, message, "leave it out" if always else "the rule never matches")


def _unasked_keys(expression: str, variable: str) -> list[str]:
    """The keys of a map that are used and never asked about."""
    name = re.escape(variable)
    used = re.findall(rf"{name}(?:\.(\w+)|\[\s*['\"]([^'\"]+)['\"]\s*\])", expression)
    asked = re.findall(rf"['\"]([^'\"]+)['\"]\s+in\s+{name}\b|has\(\s*{name}\.(\w+)\s*\)", expression)
    known = {first or second for first, second in asked}
    return [key for key in dict.fromkeys(first or second for first, second in used) if key not in known]


def _shadowed(rule: Rule, rules: Sequence[Rule]) -> Problem | None:
    """A rule that never decides: another one is stricter, has no condition, and matches whatever this one does."""
    for other in rules:
        stricter = other.action is Action.DENY and rule.action is not Action.DENY
        if other is not rule and stricter and other.condition is None and _covers(other, rule):
            message = f"rule {rule.name!r} never decides: rule {other.name!r} denies all that it matches"
            return Problem(rule.file, rule.line, message, f"{other.file}:{other.line}")
    return None


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether the one matches every command that the other does, as far as targets, subjects and effects say."""
    targets = not wide.targets or (bool(narrow.targets) and all(names_target(wide.targets, name) for name in narrow.targets))
    subjects = not wide.subjects or wide.subjects == narrow.subjects
    effects = not wide.effects or (bool(narrow.effects) and set(narrow.effects) <= set(wide.effects))
    return targets and subjects and effects


def idle_rules(policy: Policy, targets: Sequence[str]) -> Iterator[Problem]:
    """Rules about targets that there are not."""
    for rule in policy.rules:
        if rule.targets and not any(names_target(rule.targets, name) for name in targets):
            message = f"rule {rule.name!r} never matches: no target is called {' or '.join(map(repr, rule.targets))}"
            yield Problem(rule.file, rule.line, message, f"targets are {', '.join(targets) or 'none'}")


def unknown_subjects(policy: Policy, groups: Collection[str], names: Collection[str] | None) -> Iterator[Problem]:
    """Rules for groups and identities of which there are none, where these are all; of ``names`` None says that others may come."""
    for rule in policy.rules:
        asked = [("the group", group, groups) for group in rule.subjects.groups]
        asked += [("the identity", name, names) for name in rule.subjects.names if names is not None]
        for what, name, known in asked:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "countersign keys list says who there is"
                nobody = "nobody is in that" if known is groups else "nobody is called that"
                yield Problem(rule.file, rule.line, f"rule {rule.name!r} is for {what} {name!r}, and {nobody}", hint)


def undecidable(policy: Policy, people: Sequence[Person]) -> Iterator[Problem]:
    """Reviews that nobody can approve: ``people`` are all there are, but for whoever owns the gateway's files."""
    everybody = [Person("", "", (ADMINISTRATORS,)), *people]
    for rule in policy.rules:
        for number, step in enumerate(rule.terms.steps if rule.terms else (), 1):
            able = [person for person in everybody if AUDITORS not in person.groups and _may_approve(step, person)]
            if len(able) < step.approvals:
                there = f"{len(able)} of the people may give them" if able else "nobody is among its reviewers"
                message = f"step {number} of rule {rule.name!r} needs {step.approvals} approvals, and {there}"
                yield Problem(rule.file, rule.line, message, "'people' in the configuration says who is in which group")


def _may_approve(step: Step, person: Person) -> bool:
    groups = set(person.groups)
    if not step.reviewers:
        return bool(groups & {ADMINISTRATORS, REVIEWERS})
    return any(person.name in who.names or groups & set(who.groups) for who in (step.reviewers, step.escalate_to))
