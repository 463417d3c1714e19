"""Rules and what they say together. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from countersign.masking import ColumnLabels, MaskRule
from countersign.model import NOBODY, Action, Command, Effect, Identity, Moment, ReviewTerms, Session, Subjects, Target, Verdict
from countersign.policy.cel import Condition, ConditionError, bind, context_of
from countersign.policy.index import RuleIndex, names_target

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

    def concerns(self, identity: Identity, target: Target, command: Command) -> bool:
        """Whether it matches but for its condition."""
        return not self.misses(identity, target, command)

    def misses(self, identity: Identity, target: Target, command: Command) -> str:
        """What keeps it from concerning a command: ``not understood``, ``target``, ``subjects`` or ``effects``; empty where nothing does."""
        not_understood = not command.effects or Effect.UNKNOWN in command.effects
        if self.action is Action.ALLOW and not_understood and Effect.UNKNOWN.value not in self.effects:
            return "not understood"
        if not self.is_on(target):
            return "target"
        if self.subjects and not self.subjects.include(identity):
            return "subjects"
        return "effects" if self.effects and not self._has_effect(command) else ""

    def is_on(self, target: Target) -> bool:
        """Whether it is about a target."""
        return not self.targets or names_target(self.targets, target.name)

    def _has_effect(self, command: Command) -> bool:
        """An allowing rule must cover every effect of the command; the others speak as soon as one effect is theirs."""
        effects = {effect.value for effect in command.effects}
        if self.action is Action.ALLOW:
            return bool(effects) and effects <= set(self.effects)
        return not effects.isdisjoint(self.effects)


class UnreadableCommand(Exception):
    """A command that cannot be shown to conditions at all."""


class Seen:
    """A command as conditions see it, made when the first of them asks."""

    def __init__(
        self, identity: Identity, target: Target, session: Session, command: Command, moment: Moment | None = None
    ) -> None:
        self._seen = (identity, target, session, command, moment)
        self._bound: Any = None

    def fits(self, rule: Rule) -> bool:
        """Whether a rule's condition holds. Raises ``ConditionError`` for the condition, ``UnreadableCommand`` for the command."""
        if rule.condition is None:
            return True
        if self._bound is None:
            try:
                self._bound = bind(context_of(*self._seen))
            except ConditionError as error:
                raise UnreadableCommand(str(error)) from error
        return rule.condition.holds(self._bound)


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
    varies: bool = field(init=False)
    """True where a condition may tell commands of one shape apart, by their constants or by the moment."""
    _theirs: RuleIndex = field(init=False, repr=False, compare=False)
    _ours: RuleIndex = field(init=False, repr=False, compare=False)
    _standing: tuple[tuple[Rule, RuleIndex], ...] = field(init=False, repr=False, compare=False)
    """Each default that speaks beside every other rule, with the user's rules that know what it is about."""

    def __post_init__(self) -> None:
        asking = [rule.condition for rule in (*self.rules, *self.defaults) if rule.condition is not None]
        standing = tuple((rule, self._knowing(rule.unless_named)) for rule in self.defaults if rule.unless_named)
        object.__setattr__(self, "varies", any(condition.varies for condition in asking))
        object.__setattr__(self, "_theirs", RuleIndex(self.rules))
        object.__setattr__(self, "_ours", RuleIndex(self.defaults))
        object.__setattr__(self, "_standing", standing)

    def _knowing(self, variable: str) -> RuleIndex:
        return RuleIndex([rule for rule in self.rules if rule.condition is not None and rule.condition.names(variable)])

    def decide(
        self, identity: Identity, target: Target, session: Session, command: Command, moment: Moment | None = None
    ) -> Verdict:
        """The verdict on one command. Never raises: a condition that fails denies, in its rule's name, as one about time does that is
        not told the moment."""
        seen = Seen(identity, target, session, command, moment)
        try:
            verdict = self._strictest(self._theirs.concerned(identity, target, command), seen)
            verdict = verdict or self._strictest(self._ours.concerned(identity, target, command), seen)
            verdict = verdict or Verdict(Action.DENY, "no-rule", "no rule matches this command", policy_digest=self.digest)
            if verdict.action is not Action.ALLOW:
                return verdict
            standing = [
                rule
                for rule, knowing in self._standing
                if rule.concerns(identity, target, command)
                # The conditions of those that know have been asked before, without error.
                and not any(seen.fits(known) for known in knowing.concerned(identity, target, command))
            ]
            return self._strictest(standing, seen) or verdict
        except UnreadableCommand:
            return Verdict(Action.DENY, "policy-error", "the policy could not read this command", policy_digest=self.digest)

    def lets(self, names: Sequence[str], session: Session, command: Command, moment: Moment) -> str:
        """The first of the rules of these names that allows a command by itself, where no rule denies it; empty where none does."""
        identity, target = session.identity, session.target
        if self.decide(identity, target, session, command, moment).action is Action.DENY:
            return ""
        seen = Seen(identity, target, session, command, moment)
        named = (rule for rule in self.rules if rule.name in names and rule.action is Action.ALLOW)
        return next((rule.name for rule in named if rule.concerns(identity, target, command) and seen.fits(rule)), "")

    def _strictest(self, concerned: Sequence[Rule], seen: Seen) -> Verdict | None:
        best: Rule | None = None
        for rule in concerned:
            # A rule that cannot change the verdict any more is asked all the same: its error must deny.
            try:
                matched = seen.fits(rule)
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
        return tuple(rule for rule in self.masks if not rule.targets or names_target(rule.targets, target))
