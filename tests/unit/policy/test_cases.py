import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from countersign.cli.main import app

POLICY = """rules:
  - {name: no-drops, subjects: {groups: [agents]}, effects: [ddl], action: deny, message: never}
  - {name: prod, when: "target.labels['env'] == 'prod'", effects: [write], action: deny}
  - {name: moves, when: sql.moves_masked.size() > 0, action: deny}
  - {name: forgotten, targets: [elsewhere], action: review}
"""
CREW = "identity: {name: crew, groups: [agents]}"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)

    def run(tests, *options):
        (tmp_path / "p.test.yaml").write_text(tests)
        return CliRunner().invoke(app, ["policy", "test", str(tmp_path / "p.test.yaml"), *options])

    return run


def one(rest):
    return f"policies: [p.yaml]\ntests:\n  - {{{CREW}, target: shop, {rest}}}\n"


def test_a_test_that_holds_passes(run):
    done = run(one("sql: DROP TABLE a, expect: deny, rule: no-drops"))
    assert (done.exit_code, done.output) == (0, "1 passed, 0 failed\n")


@pytest.mark.parametrize("wrong", ["expect: allow", "expect: deny, rule: forgotten"])
def test_one_that_does_not_hold_says_what_was_expected_and_what_came(run, wrong):
    done = run(one(f"sql: DROP TABLE a, name: drops, {wrong}"))
    assert done.exit_code == 1
    assert "p.test.yaml:3: drops\n  expected " in done.output
    assert "\n  got      deny by rule 'no-drops': never\n  effects  ddl\n0 passed, 1 failed\n" in done.output


def test_labels_and_masked_columns_are_what_the_test_says(run):
    done = run(
        "policies: [p.yaml]\ntests:\n"
        f"  - {{{CREW}, target: {{name: shop, labels: {{env: prod}}}}, sql: DELETE FROM a, expect: deny, rule: prod}}\n"
        f"  - {{{CREW}, target: {{name: shop, labels: {{env: test}}}}, sql: DELETE FROM a, expect: review}}\n"
        f"  - {{{CREW}, target: shop, sql: SELECT 1, moves_masked: [public.a.b], expect: deny, rule: moves}}\n"
    )
    assert done.exit_code == 0, done.output


def test_rules_that_no_test_reaches_are_listed(run):
    tests = one("sql: DROP TABLE a, expect: deny")
    listed = [line.split(": ", 1)[1] for line in run(tests, "--coverage").output.splitlines()[:-1]]
    assert listed == [f"no test reaches rule '{name}'" for name in ("prod", "moves", "forgotten")]
    told = json.loads(run(tests, "--json").output)
    assert [(rule["rule"], rule["line"]) for rule in told["unreached"]] == [("prod", 3), ("moves", 4), ("forgotten", 5)]
    assert told["tests"][0]["passed"] and told["tests"][0]["got"]["rule"] == "no-drops"


@pytest.mark.parametrize(
    ("tests", "complaint"),
    [
        ("tests: []\n", ":1: a test file needs 'policies'"),
        ("policies: [q.yaml]\n", ":1: there is no policy file 'q.yaml' beside this one"),
        ("policies: [p.yaml]\n", ":1: there are no 'tests'"),
        ("[]\n", ":1: a test file is a mapping"),
        (one("sql: SELECT 1"), ":3: test 'SELECT 1' needs 'expect'"),
        (one("expect: deny"), "needs 'sql'"),
        (one("sql: SELECT 1, expect: maybe"), ":3: 'expect' is 'maybe' (hint: one of allow, deny, review)"),
        (one("sql: SELECT 1, expect: deny, rule: no-drop"), "has a rule 'no-drop' (hint: did you mean 'no-drops'?)"),
        (one("sql: SELECT 1, expect: deny, rules: no"), "unknown key 'rules'"),
        ("policies: [p.yaml]\ntests: [{sql: SELECT 1, expect: deny, target: shop}]\n", "needs 'identity'"),
        (
            "policies: [p.yaml]\ntests: [{sql: SELECT 1, expect: deny, identity: {name: a, kind: robot}, target: a}]",
            "'kind' is 'robot'",
        ),
    ],
)
def test_what_is_wrong_in_a_file_of_tests_is_told_with_its_line(run, tests, complaint):
    done = run(tests)
    assert done.exit_code == 1 and complaint in done.output


def test_what_is_wrong_in_the_policies_is_told_too(run, tmp_path):
    (tmp_path / "p.yaml").write_text("rules: [{name: a, action: perhaps}]")
    assert "p.yaml:1: 'action' is 'perhaps'" in run(one("sql: SELECT 1, expect: deny")).output


def test_the_reference_s_example_holds(tmp_path):
    reference = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
    example = re.search(r"### Tests of policies\n.*?```yaml\n(.*?)```", reference, re.DOTALL)
    (tmp_path / "shop.yaml").write_text("rules: [{name: no-drops, effects: [ddl], action: deny}]\n")
    (tmp_path / "shop.test.yaml").write_text(example[1])
    done = CliRunner().invoke(app, ["policy", "test", str(tmp_path / "shop.test.yaml")])
    assert (done.exit_code, done.output) == (0, "2 passed, 0 failed\n")


def test_explain_says_of_every_rule_what_keeps_it_from_matching(tmp_path):
    (tmp_path / "p.yaml").write_text(
        POLICY
        + "  - {name: reading, effects: [read], action: allow}\n"
        + "  - {name: most, effects: [read, write], action: allow}\n"
        + "  - {name: theirs, subjects: {names: [eve]}, action: deny}\n"
    )
    (tmp_path / "countersign.yaml").write_text(
        "targets: [{name: shop, type: postgres, listen: '127.0.0.1:0', upstream: {host: localhost, user: app}}]\npolicies: [p.yaml]\n"
    )
    asked = ["policy", "explain", "--config", str(tmp_path / "countersign.yaml"), "--target", "shop", "DELETE FROM a WHERE b = 1"]
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).output)
    rules = {rule["rule"]: (rule["matches"], rule["condition"], rule["why"]) for rule in told["rules"]}
    assert rules["no-drops"] == (False, None, "it is about other identities")
    assert rules["prod"][:2] == (False, None) and rules["prod"][2].startswith("its condition fails, which denies the command: ")
    assert rules["moves"] == (False, False, "its condition is false")
    assert rules["forgotten"] == (False, None, "it is about other targets")
    assert rules["reading"][0] is False and rules["most"][0] is True
    assert rules["theirs"] == (False, None, "it is about other identities")
    assert (told["verdict"], told["rule"], rules["default-review"]) == ("deny", "prod", (True, True, ""))
    text = CliRunner().invoke(app, asked).output
    assert (
        "rule 'moves': deny: its condition is false\n" in text
        and "(default, where none of yours matches): review: matches\n" in text
    )


def test_results_are_written_for_ci_systems(run, tmp_path):
    tests = (
        one('sql: DROP TABLE a, name: "drops \\x01 <all>", expect: allow')
        + one("sql: SELECT 1, expect: allow").split("tests:\n")[1]
    )
    assert run(tests, "--junit", str(tmp_path / "out.xml")).exit_code == 1
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed, passed = suite
    assert failed.get("name") == "drops \ufffd <all>" and failed[0].get("message").startswith(
        "expected allow, got deny by rule 'no-drops'"
    )
    assert passed.get("name") == "SELECT 1" and len(passed) == 0


def test_too_little_coverage_fails(run):
    tests = one("sql: DROP TABLE a, expect: deny")
    assert run(tests, "--min-coverage", "25").exit_code == 0
    done = run(tests, "--min-coverage", "26")
    assert done.exit_code == 1 and "25.0 % of the rules are reached, 26 % are asked for" in done.output
