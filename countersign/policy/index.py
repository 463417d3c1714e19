"""Which rules concern a command, found without asking each of them, so that judging costs the same with ten rules and with ten thousand.
Conditions stay out of it. Pure."""

import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from countersign.model import Command, Identity, Target

if TYPE_CHECKING:
    from countersign.policy.rules import Rule

Key = TypeVar("Key")
Value = TypeVar("Value")

ANY = ""
"""Stands for every subject, and for every effect: neither can be called that."""
REMEMBERED = 256
"""Answers kept, and targets whose rules are. A client chooses a command's effects, so there must be an end."""

_Table = dict[tuple[str, str], dict[str, list[int]]]
"""Positions of rules, by subject and then by effect."""


class RuleIndex:
    """Rules by target, subject and effect. It answers what ``Rule.concerns`` answers of each, in the rules' order."""

    def __init__(self, rules: Sequence["Rule"]) -> None:
        self._rules = tuple(rules)
        self._tables: dict[str, _Table] = {}
        self._answers: dict[tuple[object, ...], tuple[Rule, ...]] = {}

    def concerned(self, identity: Identity, target: Target, command: Command) -> tuple["Rule", ...]:
        """The rules that match but for their conditions."""
        key = (target.name, identity.name, identity.kind, identity.groups, command.effects)
        found = self._answers.get(key)
        if found is None:
            found = self._look_up(identity, target, command)
            _remember(self._answers, key, found)
        return found

    def _look_up(self, identity: Identity, target: Target, command: Command) -> tuple["Rule", ...]:
        table = self._tables.get(target.name)
        if table is None:
            table = self._table(target)
            _remember(self._tables, target.name, table)
        positions = {
            position
            for subject in _subjects_of(identity)
            for effect in (ANY, *command.effects)
            for position in table.get(subject, {}).get(effect, ())
        }
        filed = (self._rules[position] for position in sorted(positions))
        # What is filed may match: an allowing rule must cover every effect, for one.
        return tuple(rule for rule in filed if rule.concerns(identity, target, command))

    def _table(self, target: Target) -> _Table:
        table: _Table = {}
        for position, rule in enumerate(self._rules):
            if rule.is_on(target):
                for subject in _subjects_named(rule):
                    by_effect = table.setdefault(subject, {})
                    for effect in rule.effects or (ANY,):
                        by_effect.setdefault(effect, []).append(position)
        return table


def names_target(patterns: Iterable[str], name: str) -> bool:
    """Whether one of the patterns stands for a target."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _subjects_of(identity: Identity) -> list[tuple[str, str]]:
    groups = [("group", group) for group in identity.groups]
    return [(ANY, ANY), ("name", identity.name), ("kind", identity.kind.value), *groups]


def _subjects_named(rule: "Rule") -> list[tuple[str, str]]:
    if not rule.subjects:
        return [(ANY, ANY)]
    listed = (("name", rule.subjects.names), ("kind", rule.subjects.kinds), ("group", rule.subjects.groups))
    return [(word, value) for word, values in listed for value in values]


def _remember(kept: dict[Key, Value], key: Key, value: Value) -> None:
    if len(kept) >= REMEMBERED:
        kept.clear()
    kept[key] = value
