"""What ``countersign masking discover`` prints: mask rules with their evidence. Names, counts and shares, never a value."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from countersign.masking.discovery import Column, Discovery, Mention, Proposal
from countersign.reviews.preview import is_hidden

PLAIN = re.compile(r"[a-z_][a-z0-9_.-]*")
WORDS = frozenset("y n yes no on off true false null".split())
"""Plain words that YAML reads as something else than a text."""
GLOBS = {"*": "[*]", "?": "[?]", "[": "[[]", ".": "?"}
"""Within a name: what would be a glob stands for itself, and a dot, which parts the names of a pattern, for any letter."""


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """A mask rule to be, and what speaks for each of its columns, paths or detectors."""

    name: str
    columns: tuple[tuple[str, str], ...]
    """(pattern, evidence)."""
    detect: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()


def pattern_of(column: Column) -> str:
    """The pattern of a mask rule that means this column and, if its names are odd, little else."""
    return ".".join("".join(GLOBS.get(letter, letter) for letter in name) for name in (column.schema, column.table, column.name))


def place_of(proposal: Proposal) -> str:
    """The column, and the path within it."""
    return " ".join(filter(None, (pattern_of(proposal.column), proposal.path)))


def proposed_rules(target: str, found: Discovery) -> list[ProposedRule]:
    """A rule for each kind of data, in order of their names, then one for each JSON column, then one for content."""
    rules = []
    whole = [proposal for proposal in found.proposals if not proposal.path]
    for kind in sorted({proposal.kind for proposal in whole}):
        columns = [(pattern_of(p.column), evidence(p)) for p in whole if p.kind == kind]
        rules.append(ProposedRule(f"{target}-{kind}", tuple(columns)))
    within: dict[str, list[Proposal]] = {}
    for proposal in found.proposals:
        if proposal.path:
            within.setdefault(pattern_of(proposal.column), []).append(proposal)
    for number, (pattern, proposals) in enumerate(within.items(), 1):
        paths = tuple((proposal.path, evidence(proposal)) for proposal in proposals)
        rules.append(ProposedRule(f"{target}-json-{number}", ((pattern, ""),), paths=paths))
    by_detector: dict[str, list[Mention]] = {}
    for mention in found.mentions:
        by_detector.setdefault(mention.detector, []).append(mention)
    if by_detector:
        rules.append(ProposedRule(f"{target}-content", (), tuple((d, _mentioned(m)) for d, m in by_detector.items())))
    return rules


def evidence(proposal: Proposal) -> str:
    """Why a column is proposed."""
    if not proposal.values:
        return "by its name; " + ("no value was seen" if proposal.column.is_read else "values of its type are not looked at")
    if not proposal.filled:
        return f"by its name; {proposal.alike:,} of {proposal.values:,} values look like it"
    said = f"{proposal.kind} in {proposal.filled:,} of {proposal.values:,} values"
    return said + ("; so its name says" if proposal.named else "")


def _mentioned(mentions: Sequence[Mention]) -> str:
    return "within texts: " + ", ".join(f"{quoted(pattern_of(m.column))} {m.found:,} of {m.values:,}" for m in mentions)


def renamed(rules: Sequence[ProposedRule], taken: Container[str]) -> list[ProposedRule]:
    """The rules under names that no other rule has."""
    return [replace(rule, name=next(name for name in _names(rule.name) if name not in taken)) for rule in rules]


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def as_yaml(rules: Sequence[ProposedRule], target: str, head: Sequence[str], tail: Sequence[str]) -> str:
    """A policy file's ``masking``, with comments before, beside and behind."""
    lines = [f"# {line}" for line in head]
    lines.append("masking:" if rules else "masking: []")
    for rule in rules:
        lines += [f"  - name: {quoted(rule.name)}", f"    targets: [{quoted(target)}]"]
        for key, entries in (("columns", rule.columns), ("paths", rule.paths), ("detect", rule.detect)):
            lines += [f"    {key}:"] * bool(entries)
            lines += [f"      - {quoted(text)}" + (f"  # {why}" if why else "") for text, why in entries]
        lines.append("    operator: {redact: {}}")
    lines += [f"# {line}" for line in tail]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text on one line, as YAML reads it again; quoted where anything in it could be taken for something else."""
    if PLAIN.fullmatch(text) and text not in WORDS:
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if is_hidden(letter) or letter in "\n\t" or not letter.isprintable():
        return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
    return letter


def as_json(
    rules: Sequence[ProposedRule],
    target: str,
    database: str,
    found: Discovery,
    masked: Sequence[tuple[Proposal, str]],
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "target": target,
        "database": database,
        **limits,
        "tables_read": found.tables_read,
        "rows_read": found.rows_read,
        "proposals": [_proposal_json(proposal) for proposal in found.proposals],
        "mentions": [
            {"column": pattern_of(m.column), "detector": m.detector, "found": m.found, "values": m.values} for m in found.mentions
        ],
        "already_masked": [
            {"column": pattern_of(proposal.column), "path": proposal.path, "rule": rule} for proposal, rule in masked
        ],
        "not_read": [{"name": name, "reason": reason} for name, reason in found.not_read],
        "masking": [_rule_json(rule, target) for rule in rules],
    }


def _proposal_json(proposal: Proposal) -> dict[str, Any]:
    return {
        "schema": proposal.column.schema,
        "table": proposal.column.table,
        "column": proposal.column.name,
        "path": proposal.path,
        "kind": proposal.kind,
        "values": proposal.values,
        "found": proposal.found,
        "filled": proposal.filled,
        "alike": proposal.alike,
        "named": proposal.named,
        "share": round(proposal.share, 4),
    }


def _rule_json(rule: ProposedRule, target: str) -> dict[str, Any]:
    lists = {key: [text for text, _ in getattr(rule, key)] for key in ("columns", "paths", "detect")}
    filled = {key: texts for key, texts in lists.items() if texts}
    return {"name": rule.name, "targets": [target], **filled, "operator": {"redact": {}}}
