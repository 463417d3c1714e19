"""Reads policy files. Every problem of every file is reported at once, each with its line."""

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from countersign._core import detector_problem, path_problem
from countersign.masking.rules import DETECTORS, GROUPS, OPERATORS, RANGE_UNITS, Labelled, MaskRule, column_problem
from countersign.model import Action, Effect, IdentityKind, Subjects
from countersign.policy.cel import Condition, ConditionError
from countersign.policy.errors import PolicyError
from countersign.policy.rules import Policy, Rule
from countersign.policy.terms import review_terms, unknown_names
from countersign.policy.warnings import warnings_of
from countersign.yaml_lines import Mapping, Problem, Section, parse

DEFAULT_FILE = Path(__file__).with_name("default.yaml")
NOT_FOR_ROWS = {
    "presidio": "names take milliseconds a value, so no rule looks for them in rows; countersign masking test --presidio does"
}
DETECTOR_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def load_policies(paths: Sequence[Path], labelled: Labelled | None = MappingProxyType({})) -> Policy:
    """``labelled`` holds each target's column labels; None where they are not known and so cannot be checked.

    Raises ``PolicyError`` with every problem found.
    """
    problems: list[Problem] = []
    digest = hashlib.sha256()
    rules: list[Rule] = []
    masks: list[tuple[MaskRule, str, int]] = []
    files = [(path, _read(path, problems)) for path in [*paths, DEFAULT_FILE]]
    # A rule may name a detector of a file that comes later. What is wrong with one is told when its own file is read.
    named = [named for path, data in files if (section := _section(path, data, [])) for named in _own_detectors(section)]
    _complain_of_twins("detector", [(name, file, line) for name, _, file, line in named], problems)
    own = {name: detector for name, detector, _, _ in named}
    for path, data in files:
        digest.update(len(data).to_bytes(8, "big") + data)
        found = _file(path, data, problems, labelled, own)
        rules.extend(found[0])
        masks.extend(found[1])
    _complain_of_twins("rule", [(rule.name, rule.file, rule.line) for rule in rules], problems)
    _complain_of_twins("mask rule", [(mask.name, file, line) for mask, file, line in masks], problems)
    problems.extend(unknown_names(rules))
    if problems:
        raise PolicyError(problems)
    defaults = tuple(rule for rule in rules if rule.file == str(DEFAULT_FILE))
    theirs = tuple(rule for rule in rules if rule.file != str(DEFAULT_FILE))
    warnings = tuple(str(problem) for problem in warnings_of(theirs))
    digests = tuple((str(path), hashlib.sha256(data).hexdigest()) for path, data in files)
    return Policy(theirs, defaults, tuple(mask for mask, _, _ in masks), digest.hexdigest(), labelled or {}, warnings, digests)


def _read(path: Path, problems: list[Problem]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problems.append(Problem(str(path), 1, f"cannot be read: {error.strerror}"))
        return b""


def _file(
    path: Path, data: bytes, problems: list[Problem], labelled: Labelled | None, own: dict[str, str]
) -> tuple[list[Rule], list[tuple[MaskRule, str, int]]]:
    """``own``: the policy's own detectors, as the core reads them, by name."""
    section = _section(path, data, problems)
    if section is None:
        return [], []
    rules = [rule for item in section.sections("rules") if (rule := _rule(item))]
    masks = [(mask, item.file, item.line("name")) for item in section.sections("masking") if (mask := _mask(item, labelled, own))]
    _own_detectors(section)
    section.finish()
    return rules, masks


def _section(path: Path, data: bytes, problems: list[Problem]) -> Section | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        problems.append(Problem(str(path), 1, "is not UTF-8"))
        return None
    document, wrong = parse(text, str(path))
    problems.extend(wrong)
    if document is None:
        return None
    if not isinstance(document, Mapping):
        problems.append(Problem(str(path), 1, "a policy file is a mapping with 'rules', 'masking' and 'detectors'"))
        return None
    return Section(str(path), document, problems, "a policy file")


def _own_detectors(section: Section) -> list[tuple[str, str, str, int]]:
    """Name, detector as the core reads it, file and line of each detector that a file defines; what is wrong with one is complained of."""
    return [
        (name, detector, item.file, item.line("name"))
        for item in section.sections("detectors")
        for name, detector in _detector(item)
    ]


def _detector(item: Section) -> Iterator[tuple[str, str]]:
    name = item.take("name", str, "", required=True)
    item.where = f"detector {name!r}"
    if name and not DETECTOR_NAME.fullmatch(name):
        item.complain("name", f"{name!r} is no name for a detector", "small letters, digits and _, 64 at most")
    if name in DETECTORS or name in GROUPS:
        item.complain("name", f"{name!r} is a detector that there is already")
    pattern = item.take("pattern", str, "", required=True)
    checksum = _one_of(item, "checksum", ["luhn", "mod97", "none"]) or "none"
    described = {"name": name, "pattern": pattern, "context": list(item.texts("context")), "checksum": checksum}
    detector = json.dumps(described, ensure_ascii=False, sort_keys=True)
    examples = item.section("examples")
    good = list(examples.texts("match")) if examples else []
    bad = list(examples.texts("no_match")) if examples else []
    if examples is not None:
        examples.finish()
    if pattern and (problem := detector_problem(detector, good, bad)):
        is_refused = problem.startswith("the pattern")
        hint = "the syntax is that of RE2: no look-around, no references back" if is_refused else ""
        item.complain("pattern" if is_refused else "examples", f"{item.where}: {problem}", hint)
    item.finish()
    if name and pattern:
        yield name, detector


def _complain_of_twins(what: str, named: list[tuple[str, str, int]], problems: list[Problem]) -> None:
    first: dict[str, tuple[str, int]] = {}
    for name, file, line in named:
        if name in first:
            problems.append(Problem(file, line, f"another {what} is named {name!r}: {first[name][0]}:{first[name][1]}"))
        first.setdefault(name, (file, line))


def _rule(item: Section) -> Rule | None:
    before = len(item.problems)
    name = item.take("name", str, "", required=True)
    item.where = f"rule {name!r}"
    item.take("description", str, "")
    action = _one_of(item, "action", [action.value for action in Action], required=True)
    subjects = _subjects(item, "subjects", "leave it out to match everybody")
    effects = _all_of(item, "effects", [effect.value for effect in Effect])
    rule = Rule(
        name=name,
        action=Action(action) if action else Action.DENY,
        targets=item.texts("targets"),
        subjects=subjects,
        effects=effects,
        condition=_condition(item),
        message=item.take("message", str, ""),
        terms=review_terms(item, action),
        file=item.file,
        line=item.line("name"),
        unless_named=item.take("unless_named", str, "") if item.file == str(DEFAULT_FILE) else "",
    )
    item.finish()
    return rule if len(item.problems) == before else None


def _subjects(item: Section, key: str, instead: str) -> Subjects:
    """``instead``: what to do where the section names nobody."""
    section = item.section(key)
    if section is None:
        return Subjects()
    kinds = _all_of(section, "kinds", [kind.value for kind in IdentityKind])
    subjects = Subjects(section.texts("groups"), section.texts("names"), kinds)
    section.finish()
    if not section.mapping:
        item.complain(key, f"{key!r} is empty and would match nobody you named", instead)
    return subjects


def _one_of(item: Section, key: str, known: list[str], *, required: bool = False) -> str:
    value: str = item.take(key, str, "", required=required)
    # Where it is required, an empty one has been complained of.
    if (value or (item.mapping.get(key) == "" and not required)) and value not in known:
        item.complain(key, f"{key!r} is {value!r}", f"one of {', '.join(known)}")
        return ""
    return value


def _all_of(item: Section, key: str, known: Sequence[str], hints: dict[str, str] | None = None) -> tuple[str, ...]:
    """``hints`` are for values that are not known and may well be tried."""
    numbered = item.numbered_texts(key)
    for line, value in numbered:
        if value not in known:
            item.complain_at(line, f"{key!r} holds {value!r}", (hints or {}).get(value, f"known: {', '.join(known)}"))
    return tuple(value for _, value in numbered)


def _condition(item: Section) -> Condition | None:
    expression: str | None = item.take("when", str, None)
    if expression is None:
        return None
    if not expression.strip():
        item.complain("when", "'when' is empty", "leave it out to match every command")
        return None
    try:
        return Condition(expression)
    except ConditionError as error:
        item.complain("when", f"the condition of {item.where} does not hold up: {error}", error.hint)
        return None


def _mask(item: Section, labelled: Labelled | None, own: dict[str, str]) -> MaskRule | None:
    before = len(item.problems)
    name = item.take("name", str, "", required=True)
    item.where = f"mask rule {name!r}"
    numbered = item.numbered_texts("columns")
    columns = tuple(column for _, column in numbered)
    for line, column in numbered:
        if wrong := column_problem(column):
            item.complain_at(line, *wrong)
    detect = _detectors(_all_of(item, "detect", (*DETECTORS, *GROUPS, *own), NOT_FOR_ROWS), own)
    paths = _paths(item)
    targets = item.texts("targets")
    labels = _column_labels(item, targets, labelled)
    if item.mapping.keys().isdisjoint(("columns", "labels", "detect", "paths")):
        item.complain("", f"{item.where} masks nothing", "give it 'columns', 'labels', 'detect' or 'paths'")
    exempt = _subjects(item, "exempt", "leave it out to mask for everybody")
    rule = MaskRule(name, targets, columns, detect, _operator(item), labels, exempt, paths)
    item.finish()
    return rule if len(item.problems) == before else None


def _detectors(names: Sequence[str], own: dict[str, str]) -> tuple[str, ...]:
    """The names with each group and each detector of the policy's own written out, each detector once."""
    return tuple(dict.fromkeys(detector for name in names for detector in GROUPS.get(name, (own.get(name, name),))))


def _paths(item: Section) -> tuple[str, ...]:
    numbered = item.numbered_texts("paths")
    for line, path in numbered:
        if problem := path_problem(path):
            item.complain_at(
                line, f"{path!r} is no path into JSON: {problem}", "$.user.email, $.items[*].card, $..ssn, $['first name']"
            )
    if numbered and "detect" in item.mapping:
        item.complain("detect", f"{item.where} has both 'paths' and 'detect'", "make two rules of it")
    return tuple(path for _, path in numbered)


def _column_labels(item: Section, targets: Sequence[str], labelled: Labelled | None) -> tuple[str, ...]:
    """The rule's labels. One that no target of the rule attaches to a column would mask nothing, whatever its author believed."""
    numbered = item.numbered_texts("labels")
    if labelled is None:
        return tuple(label for _, label in numbered)
    meant = [labels for name, labels in labelled.items() if not targets or any(fnmatch.fnmatchcase(name, p) for p in targets)]
    known = sorted({label for labels in meant for label in labels})
    hint = f"known: {', '.join(known)}" if known else "a target attaches them: columns: {pii: [public.customers.email]}"
    for line, label in numbered:
        if label not in known:
            item.complain_at(line, f"no target of {item.where} labels a column {label!r}", hint)
    return tuple(label for _, label in numbered)


def _operator(item: Section) -> str:
    operator: Any = item.take("operator", Mapping, None, word="a mapping such as {redact: {}}")
    if operator is None:
        return '{"redact":{}}'
    if len(operator) != 1 or next(iter(operator)) not in OPERATORS:
        item.complain("operator", f"unknown operator {dict(operator)!r}", f"one of {', '.join(OPERATORS)}, as in {{redact: {{}}}}")
        return '{"redact":{}}'
    name, options = next(iter(operator.items()))
    known = OPTIONS.get(name, ())
    if not isinstance(options, Mapping) or set(options) - set(known):
        example = "{range: {width: 10}}" if name == "range" else f"{{{name}: {{}}}}"
        item.complain("operator", f"operator {name!r} takes {', '.join(known) or 'no options'}", example)
        return '{"redact":{}}'
    for option, value in options.items():
        if problem := _option_problem(option, value):
            item.complain_at(options.lines[option], f"{option!r} of operator {name!r} is {value!r}", problem)
    if name == "range" and not options:
        item.complain("operator", "operator 'range' needs 'width', 'to' or both", "{range: {width: 10}} or {range: {to: month}}")
    return json.dumps({name: options}, sort_keys=True, separators=(",", ":"))


OPTIONS = {"partial": ("keep_first", "keep_last"), "range": ("width", "to")}
WIDEST = 1e15


def _option_problem(option: str, value: Any) -> str:
    """What an option should be instead, or ''."""
    match option:
        case "to":
            return "" if value in RANGE_UNITS else f"one of {', '.join(RANGE_UNITS)}"
        case "width":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return "" if is_number and 1e-9 <= value <= WIDEST else "a number above 0, such as 10"
        case _:
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return "" if is_number and 0 <= value <= 100 else "a whole number from 0 to 100"
