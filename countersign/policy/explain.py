"""Why a command gets its verdict, rule by rule. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from countersign.model import Command, Identity, Moment, Session, Target
from countersign.policy.cel import ConditionError
from countersign.policy.rules import Policy, Rule, Seen, UnreadableCommand

MISSES = {
    "not understood": "not everything in the command is understood, and an allowing rule takes that only where its effects list unknown",
    "target": "it is about other targets",
    "subjects": "it is about other identities",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule about one command. ``condition`` is what its condition answered: None where it has none, or was not asked. ``why`` says what
    keeps the rule from matching, or that the condition failed; empty where it matches."""

    rule: Rule
    matches: bool
    why: str = ""
    condition: bool | None = None
    is_default: bool = False


def explain(
    policy: Policy, identity: Identity, target: Target, session: Session, command: Command, moment: Moment | None = None
) -> Iterator[Explained]:
    """Every rule in its order, the user's before the defaults."""
    seen = Seen(identity, target, session, command, moment)
    for is_default, rules in ((False, policy.rules), (True, policy.defaults)):
        for rule in rules:
            if missed := rule.misses(identity, target, command):
                yield Explained(rule, False, MISSES.get(missed) or _effects_missed(rule, command), is_default=is_default)
            else:
                yield _asked(rule, seen, is_default)


def _asked(rule: Rule, seen: Seen, is_default: bool) -> Explained:
    if rule.condition is None:
        return Explained(rule, True, is_default=is_default)
    try:
        holds = seen.fits(rule)
    except (ConditionError, UnreadableCommand) as error:
        return Explained(rule, False, f"its condition fails, which denies the command: {error}", is_default=is_default)
    return Explained(rule, holds, "" if holds else "its condition is false", holds, is_default)


def _effects_missed(rule: Rule, command: Command) -> str:
    """An allowing rule must cover every effect; of the others one is enough."""
    uncovered = sorted(effect.value for effect in command.effects if effect.value not in rule.effects)
    if set(uncovered) != {effect.value for effect in command.effects}:
        return f"it allows not all of the effects: not {', '.join(uncovered)}"
    return f"it is about other effects: {', '.join(rule.effects)}"
