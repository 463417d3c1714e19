"""Unit tests of policies, in YAML beside them. Pure but for reading the files.

A file names its ``policies``, relative to itself, and ``tests``: each says who sends what to which target, and what verdict is expected, by
which rule.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from countersign.model import Action, Command, Identity, IdentityKind, Moment, Session, Target, Verdict
from countersign.policy.errors import PolicyError
from countersign.policy.explain import explain
from countersign.policy.load import load_policies
from countersign.policy.rules import Policy, Rule
from countersign.yaml_lines import Mapping, Problem, Section, parse

THEN = datetime(2000, 1, 1, tzinfo=UTC)
BUILT_IN = ("no-rule", "policy-error")
"""What a verdict names where no rule spoke."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test. ``rule`` is empty where any will do."""

    name: str
    session: Session
    sql: str
    expected: Action
    rule: str
    file: str
    line: int
    moment: Moment
    masked: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """``probes_masked`` and ``moves_masked`` as the test states them: no catalog is asked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case."""

    case: Case
    command: Command
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether verdict and rule are the expected ones."""
        return self.verdict.action is self.case.expected and self.case.rule in ("", self.verdict.rule)


@dataclass(frozen=True, slots=True)
class Trial:
    """A file's outcomes, the rules of its policies, and those of them that matched at least one case."""

    outcomes: tuple[Outcome, ...]
    rules: tuple[Rule, ...]
    reached: frozenset[str]


def run_file(path: Path, read: Callable[[str], Command]) -> Trial:
    """``read`` makes a command of SQL. Raises ``PolicyError`` with every problem of the file, or of the policies that it names."""
    policy, cases = _load(path)
    outcomes: list[Outcome] = []
    reached: set[str] = set()
    for case in cases:
        command = read(case.sql)
        command = replace(command, attributes={**command.attributes, **dict(case.masked)})
        asked = (case.session.identity, case.session.target, case.session, command, case.moment)
        outcomes.append(Outcome(case, command, policy.decide(*asked)))
        reached |= {told.rule.name for told in explain(policy, *asked) if told.matches}
    return Trial(tuple(outcomes), policy.rules, frozenset(reached))


def _load(path: Path) -> tuple[Policy, list[Case]]:
    problems: list[Problem] = []
    section = _section(path, problems)
    if section is None:
        raise PolicyError(problems)
    named = section.numbered_texts("policies")
    if "policies" not in section.mapping:
        section.complain("", "a test file needs 'policies'", "the files to test, relative to this one")
    for line, name in named:
        if not (path.parent / name).is_file():
            section.complain_at(line, f"there is no policy file {name!r} beside this one")
    if problems:
        raise PolicyError(problems)
    policy = load_policies([path.parent / name for _, name in named], None)
    known = [*(rule.name for rule in (*policy.rules, *policy.defaults)), *BUILT_IN]
    cases = [case for item in section.sections("tests") if (case := _case(item, known))]
    if not section.mapping.get("tests"):
        section.complain("tests", "there are no 'tests'")
    section.finish()
    if problems:
        raise PolicyError(problems)
    return policy, cases


def _section(path: Path, problems: list[Problem]) -> Section | None:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        problems.append(Problem(str(path), 1, f"cannot be read: {error.strerror}"))
        return None
    except UnicodeDecodeError:
        problems.append(Problem(str(path), 1, "is not UTF-8"))
        return None
    document, wrong = parse(text, str(path))
    problems.extend(wrong)
    if isinstance(document, Mapping):
        return Section(str(path), document, problems, "a test file")
    if not wrong:
        problems.append(Problem(str(path), 1, "a test file is a mapping with 'policies' and 'tests'"))
    return None


def _case(item: Section, known: Sequence[str]) -> Case | None:
    before = len(item.problems)
    sql = item.take("sql", str, "", required=True)
    name = item.take("name", str, "") or " ".join(sql.split())[:80]
    item.where = f"test {name!r}" if name else item.where
    expected = _one_of(item, "expect", [action.value for action in Action], "")
    rule = item.take("rule", str, "")
    if rule and rule not in known:
        close = get_close_matches(rule, known, 1)
        item.complain("rule", f"no policy of this file has a rule {rule!r}", f"did you mean {close[0]!r}?" if close else "")
    identity, target = _identity(item), _target(item)
    now = _time(item)
    session = Session(
        "se-test",
        identity,
        target,
        item.take("client_address", str, "192.0.2.1"),
        now,
        item.take("database", str, target.name),
        item.take("application", str, ""),
    )
    masked = tuple((key, names) for key in ("probes_masked", "moves_masked") if (names := item.texts(key)))
    moment = Moment(now, item.take("transaction_open", bool, False))
    item.finish()
    if len(item.problems) > before:
        return None
    return Case(name, session, sql, Action(expected), rule, item.file, item.line(), moment, masked)


def _time(item: Section) -> datetime:
    written = item.take("time", str, "")
    if not written:
        return THEN
    try:
        found = datetime.fromisoformat(written)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        item.complain("time", f"'time' is {written!r}", "'2026-11-25T22:30:00+01:00', with its zone")
        return THEN
    return found


def _identity(item: Section) -> Identity:
    section = item.section("identity")
    if section is None:
        if "identity" not in item.mapping:
            item.complain("", f"{item.where} needs 'identity'", "{name: crew, groups: [agents]}")
        return Identity("", IdentityKind.SERVICE_ACCOUNT)
    section.where = "identity"
    name = section.take("name", str, "", required=True)
    kind = _one_of(section, "kind", [kind.value for kind in IdentityKind], IdentityKind.SERVICE_ACCOUNT.value)
    groups = section.texts("groups", may_be_empty=True)
    identity = Identity(name, IdentityKind(kind or "service_account"), groups, section.take("on_behalf_of", str, ""))
    section.finish()
    return identity


def _target(item: Section) -> Target:
    """A name, or a mapping with labels."""
    value = item.take("target", (str, Mapping), "", required=True, word="a name, or a mapping such as {name: shop}")
    if not isinstance(value, Mapping):
        return Target(value, "postgres")
    section = Section(item.file, value, item.problems, "target")
    name = section.take("name", str, "", required=True)
    labels = section.take("labels", Mapping, Mapping(), word="a mapping")
    for label, text in labels.items():
        if not isinstance(text, str):
            section.complain_at(labels.lines[label], f"label {label!r} must be text")
    section.finish()
    return Target(name, "postgres", dict(labels))


def _one_of(item: Section, key: str, known: Sequence[str], default: str) -> str:
    """``default``: empty where it must be given."""
    value: str = item.take(key, str, default, required=not default)
    if value and value not in known:
        item.complain(key, f"{key!r} is {value!r}", f"one of {', '.join(known)}")
        return default
    return value


def unreached(trials: Sequence[Trial]) -> Iterator[Rule]:
    """The rules of all these policies that no case of any file reached, each once."""
    reached = {(Path(rule.file).resolve(), rule.name) for trial in trials for rule in trial.rules if rule.name in trial.reached}
    rules = {(Path(rule.file).resolve(), rule.name): rule for trial in trials for rule in trial.rules}
    return (rule for key, rule in rules.items() if key not in reached)


def junit_xml(outcomes: Sequence[Outcome]) -> bytes:
    """The outcomes as JUnit's XML, which CI systems show."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    suite = Element("testsuite", name="countersign policy test", tests=str(len(outcomes)), failures=str(len(failed)))
    for outcome in outcomes:
        case, verdict = outcome.case, outcome.verdict
        told = SubElement(suite, "testcase", name=_printable(case.name), classname=_printable(case.file), line=str(case.line))
        if not outcome.passed:
            wanted = f"{case.expected}{f' by rule {case.rule!r}' if case.rule else ''}"
            got = f"expected {wanted}, got {verdict.action} by rule {verdict.rule!r}"
            SubElement(told, "failure", message=_printable(got))
    return bytes(tostring(suite, encoding="utf-8", xml_declaration=True))


def _printable(text: str) -> str:
    """Without what XML 1.0 has no place for (section 2.2)."""
    return "".join(
        letter
        if letter in "\t\n" or (letter >= " " and not "\ud800" <= letter <= "\udfff" and letter not in "\ufffe\uffff")
        else "\ufffd"
        for letter in text
    )
