from datetime import UTC, datetime

import pytest

from countersign import _core
from countersign.masking import DETECTORS
from countersign.model import Action, Command, Effect, Identity, IdentityKind, Session, Target
from countersign.policy import PolicyError, load_policies

CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",))
SHOP = Target("shop", "postgres", {"env": "production"})
SESSION = Session("se-1", CREW, SHOP, "local", datetime(2026, 11, 23, tzinfo=UTC))


def decide(tmp_path, text, *effects):
    (tmp_path / "p.yaml").write_text(text)
    command = Command("postgres", b"", "DELETE FROM t", frozenset(effects))
    return load_policies([tmp_path / "p.yaml"]).decide(CREW, SHOP, SESSION, command)


def problems(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(PolicyError) as caught:
        load_policies([tmp_path / "p.yaml"])
    return [(problem.line, problem.message, problem.hint) for problem in caught.value.problems]


def test_without_a_rule_reads_run_and_everything_else_is_reviewed(tmp_path):
    assert decide(tmp_path, "", Effect.READ, Effect.SESSION).action is Action.ALLOW
    for effect in set(Effect) - {Effect.READ, Effect.SESSION}:
        assert decide(tmp_path, "", effect, Effect.READ).action is Action.REVIEW


def test_i3_no_effect_at_all_is_no_read(tmp_path):
    assert decide(tmp_path, "").action is Action.REVIEW


def test_deny_beats_review_beats_allow_and_the_first_of_equals_names_the_verdict(tmp_path):
    rules = "rules: [{name: a, action: allow}, {name: r1, action: review}, {name: r2, action: review}"
    assert decide(tmp_path, rules + "]", Effect.WRITE).rule == "r1"
    assert decide(tmp_path, rules + ", {name: d, action: deny}]", Effect.WRITE).rule == "d"


def test_i3_an_allow_rule_lets_unknown_pass_only_where_it_says_so(tmp_path):
    assert decide(tmp_path, "rules: [{name: a, action: allow}]", Effect.UNKNOWN).action is Action.REVIEW
    allowed = "rules: [{name: a, action: allow, effects: [unknown, write]}]"
    assert decide(tmp_path, allowed, Effect.UNKNOWN).action is Action.ALLOW
    assert decide(tmp_path, allowed, Effect.UNKNOWN, Effect.EXEC).action is Action.REVIEW


def test_i8_a_condition_that_cannot_be_evaluated_denies(tmp_path):
    verdict = decide(tmp_path, "rules: [{name: a, when: \"target.labels['nowhere'] == 'x'\", action: allow}]", Effect.READ)
    assert (verdict.action, verdict.rule) == (Action.DENY, "a")


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("rules:\n  - {name: a, action: alow}", 2, "'action' is 'alow'", "one of allow"),
        ("rules:\n  - {name: a, actoin: deny, action: deny}", 2, "unknown key 'actoin'", "did you mean 'action'?"),
        ("rules:\n  - name: a\n    action: deny\n    when: command.efects == []", 4, "does not hold up", ""),
        ("rules:\n  - name: a\n    action: deny\n    when: command.text", 4, "not true or false", ""),
        ("rules:\n  - {name: a, action: deny}\n  - {name: a, action: deny}", 3, "another rule is named 'a'", ""),
        ("rules:\n  - {name: a, action: review, review: {timeout: soon}}", 2, "'timeout' is 'soon'", "30m"),
        ("rules:\n  - {name: a, action: review, review: {approvals: 0}}", 2, "'approvals' is 0", "a number from 1"),
        ("rules: []\nrules: []", 2, "given twice", ""),
        ("rules: [", 1, "not valid YAML", ""),
        ("masking:\n  - {name: m, columns: [ssn]}", 2, "does not name a column", "schema.table.column"),
        ("masking:\n  - {name: m, detect: [emial]}", 2, "'emial'", "known: email"),
        ("masking:\n  - {name: m, detect: [email], operator: {explode: {}}}", 2, "unknown operator", "redact"),
    ],
)
def test_every_problem_names_its_line(tmp_path, text, line, message, hint):
    found = problems(tmp_path, text)
    assert any(at == line and message in said and hint in help_ for at, said, help_ in found), found


def test_all_problems_are_reported_at_once(tmp_path):
    assert len(problems(tmp_path, "rules:\n  - {name: a, action: x}\n  - {action: deny}\nmasking:\n  - {name: m}")) >= 3


def test_the_detectors_of_policy_and_core_are_the_same():
    assert _core.DETECTOR_NAMES == DETECTORS
