"""Rules and what they say together. Pure."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from countersign.masking import ColumnLabels, MaskRule
from countersign.model import NOBODY, Action, Command, Effect, Identity, ReviewTerms, Session, Subjects, Target, Verdict
from countersign.policy.cel import Condition, ConditionError, bind, context_of

STRICTNESS = {Action.ALLOW: 0, Action.REVIEW: 1, Action.DENY: 2}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Empty ``targets``, ``subjects`` and ``effects`` match everything. A rule with ``unless_named`` speaks beside every other,
    except where one of the user's that matches names that variable in its condition, and so knows what it does.

    An allowing rule matches a command with an ``unknown`` effect, or with none at all, which is as little understood,
    only where ``effects`` lists ``unknown`` (I3).
    """

    name: str
    action: Action
    targets: tuple[str, ...] = ()
    subjects: Subjects = NOBODY
    effects: tuple[str, ...] = ()
    condition: Condition | None = None
    message: str = ""
    terms: ReviewTerms | None = None
    file: str = ""
    line: int = 0
    unless_named: str = ""

    def matches(self, identity: Identity, target: Target, command: Command, bound: Any) -> bool:
        """Raises ``ConditionError``."""
        not_understood = not command.effects or Effect.UNKNOWN in command.effects
        if self.action is Action.ALLOW and not_understood and Effect.UNKNOWN.value not in self.effects:
            return False
        if self.targets and not any(fnmatch.fnmatchcase(target.name, pattern) for pattern in self.targets):
            return False
        if self.subjects and not self.subjects.include(identity):
            return False
        if self.effects and not self._has_effect(command):
            return False
        return self.condition is None or self.condition.holds(bound)

    def _has_effect(self, command: Command) -> bool:
        """An allowing rule must cover every effect of the command; the others speak as soon as one effect is theirs."""
        effects = {effect.value for effect in command.effects}
        if self.action is Action.ALLOW:
            return bool(effects) and effects <= set(self.effects)
        return not effects.isdisjoint(self.effects)


@dataclass(frozen=True, slots=True)
class Policy:
    """Every rule in force. ``digest`` is a SHA-256 (hex) of the files it came from; ``labelled`` are each target's column labels.
    ``warnings`` say what can hardly be meant."""

    rules: tuple[Rule, ...]
    defaults: tuple[Rule, ...]
    masks: tuple[MaskRule, ...] = ()
    digest: str = ""
    labelled: Mapping[str, ColumnLabels] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """Each file that it came from, with its SHA-256 (hex)."""

    def decide(self, identity: Identity, target: Target, session: Session, command: Command) -> Verdict:
        """The verdict on one command. Never raises: a condition that fails denies, in its rule's name."""
        try:
            bound = bind(context_of(identity, target, session, command))
        except ConditionError:
            return Verdict(Action.DENY, "policy-error", "the policy could not read this command", policy_digest=self.digest)
        verdict = self._strictest(self.rules, identity, target, command, bound)
        verdict = verdict or self._strictest(self.defaults, identity, target, command, bound)
        verdict = verdict or Verdict(Action.DENY, "no-rule", "no rule matches this command", policy_digest=self.digest)
        if verdict.action is not Action.ALLOW:
            return verdict
        standing = [rule for rule in self.defaults if rule.unless_named and not self._knows(rule, identity, target, command, bound)]
        return self._strictest(standing, identity, target, command, bound) or verdict

    def _knows(self, standing: Rule, identity: Identity, target: Target, command: Command, bound: Any) -> bool:
        """Whether a rule of the user's that matches names what another is about. The conditions have been asked before, without error."""
        return any(
            rule.condition is not None
            and rule.condition.names(standing.unless_named)
            and rule.matches(identity, target, command, bound)
            for rule in self.rules
        )

    @property
    def looks_at_text(self) -> bool:
        """True where a condition may tell commands of one shape apart by their constants."""
        return any(rule.condition is not None and rule.condition.looks_at_text for rule in (*self.rules, *self.defaults))

    def _strictest(self, rules: Sequence[Rule], identity: Identity, target: Target, command: Command, bound: Any) -> Verdict | None:
        best: Rule | None = None
        for rule in rules:
            # A rule that cannot change the verdict any more is asked all the same: its error must deny.
            try:
                matched = rule.matches(identity, target, command, bound)
            except ConditionError:
                message = f"the condition of rule {rule.name!r} could not be evaluated"
                return Verdict(Action.DENY, rule.name, message, policy_digest=self.digest)
            if matched and (best is None or STRICTNESS[rule.action] > STRICTNESS[best.action]):
                best = rule
        return None if best is None else Verdict(best.action, best.name, best.message, best.terms, self.digest)

    def masking_for(self, target: str) -> tuple[MaskRule, ...]:
        """The mask rules that concern a target, with its labels written out as columns."""
        labelled = self.labelled.get(target, {})
        return tuple(written for rule in self.masks_on(target) if (written := rule.on(labelled)))

    def masks_on(self, target: str) -> tuple[MaskRule, ...]:
        """The same as they are written."""
        return tuple(rule for rule in self.masks if not rule.targets or any(fnmatch.fnmatchcase(target, p) for p in rule.targets))
