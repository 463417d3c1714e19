import pytest

from countersign.model import NOBODY, OnTimeout, ReviewTerms, Step, Subjects
from countersign.policy import PolicyError, load_policies
from countersign.policy.terms import parse_duration

RULE = "rules:\n  - name: a\n    action: {}\n"


@pytest.fixture
def load(tmp_path):
    def load(*texts):
        paths = [tmp_path / f"p{number}.yaml" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return load_policies(paths)

    return load


@pytest.fixture
def refused(load, tmp_path):
    def refused(*texts):
        with pytest.raises(PolicyError) as caught:
            load(*texts)
        return str(caught.value).replace(f"{tmp_path}/", "").replace("p0.yaml:", "")

    return refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- rules\n", "1: a policy file is a mapping with 'rules', 'masking' and 'detectors'"),
        ("rule: []\n", "1: unknown key 'rule' in a policy file (hint: did you mean 'rules'?)"),
        ("rules: {}\n", "1: 'rules' must be a list"),
        ("rules:\n  - x\n", "2: every item of 'rules' must be a mapping"),
        ("rules:\n  - action: deny\n", "2: an item of 'rules' needs 'name'"),
        ("rules:\n  - action: deny\n    name: ''\n", "3: 'name' is empty"),
        ("rules:\n  - action: deny\n    name: no\n", "3: 'name' must be text"),
        ("rules:\n  - name: a\n", "2: rule 'a' needs 'action'"),
        (RULE.format("''"), "3: 'action' is empty"),
        (RULE.format("ask"), "3: 'action' is 'ask' (hint: one of allow, deny, review)"),
        (RULE.format("deny\n    mesage: x"), "4: unknown key 'mesage' in rule 'a' (hint: did you mean 'message'?)"),
        (RULE.format("deny\n    targets: shop"), "4: 'targets' must be a list"),
        (
            RULE.format("deny\n    targets: []"),
            "4: 'targets' is empty (hint: leave it out to match everything)",
        ),
        (RULE.format("deny\n    targets:\n      - shop\n      - 3"), "6: 'targets' holds 3, which is not text"),
        (RULE.format("deny\n    effects:\n      - write\n      - wrte"), "6: 'effects' holds 'wrte' (hint: known: read, "),
        (RULE.format("allow\n    effects: []"), "4: 'effects' is empty"),
        (RULE.format("allow\n    subjects: {}"), "4: 'subjects' is empty"),
        (RULE.format("allow\n    subjects:\n      groups: []"), "5: 'groups' is empty"),
        (
            RULE.format("allow\n    subjects:\n      group: [x]"),
            "5: unknown key 'group' in subjects (hint: did you mean 'groups'?)",
        ),
        (RULE.format("allow\n    subjects:\n      kinds:\n        - robot"), "6: 'kinds' holds 'robot' (hint: known: user, "),
        (RULE.format("allow\n    when: ''"), "4: 'when' is empty (hint: leave it out to match every command)"),
        (RULE.format("allow\n    when: |\n\n    message: x"), "4: 'when' is empty"),
        (RULE.format("deny\n    when: 3"), "4: 'when' must be text"),
        (RULE.format("deny\n    review: {}"), "4: 'review' goes with action review, not 'deny'"),
        (RULE.format("review\n    review:\n      timeout: 0s"), "5: 'timeout' is '0s' (hint: a duration such as"),
        (RULE.format("review\n    review:\n      timeout: 8d"), "5: 'timeout' is '8d'"),
        (RULE.format("review\n    review:\n      timeout: 30"), "5: 'timeout' must be text"),
        (
            RULE.format("review\n    review:\n      on_timeout: allow"),
            "5: 'on_timeout' is 'allow' (hint: one of deny, keep_waiting, safe_subset)",
        ),
        (RULE.format("review\n    review:\n      approvals: 0"), "5: 'approvals' is 0 (hint: a number from 1 to 100)"),
        (RULE.format("review\n    review:\n      approvals: true"), "5: 'approvals' must be a whole number"),
        (
            RULE.format("review\n    review:\n      reviewers: {}"),
            "5: 'reviewers' names nobody (hint: leave it out for any administrator or reviewer)",
        ),
        (RULE.format("review\n    review:\n      reviewers: {names: []}"), "5: 'names' is empty"),
        (RULE.format("review\n    review:\n      steps: []"), "5: 'steps' holds no step"),
        (RULE.format("review\n    review:\n      steps:\n        - escalate_after: 10m"), "6: it is not said to whom"),
        (
            RULE.format("review\n    review:\n      steps:\n        - escalate_to: {groups: [g]}"),
            "6: 'escalate_to' needs 'escalate_after'",
        ),
        (
            RULE.format("review\n    review:\n      steps:\n        - {escalate_after: 1h, escalate_to: {groups: [g]}}"),
            "6: 'escalate_after' is no shorter than the review's timeout",
        ),
        (
            RULE.format(
                "review\n    review:\n      reviewers: {groups: [g]}\n      escalate_to: {groups: [g]}\n      escalate_after: 1m"
            ),
            "7: it escalates to those who are its reviewers already",
        ),
        (
            RULE.format("review\n    review:\n      approvals: 2\n      reviewers: {names: [ann, ann]}"),
            "5: 'approvals' is 2, and only 1",
        ),
        (RULE.format("review\n    review:\n      approvals: 101"), "5: 'approvals' is 101 (hint: a number from 1 to 100)"),
        (RULE.format("review\n    review:\n      break_glass: {}"), "5: 'break_glass' names nobody"),
        (RULE.format("review\n    review:\n      on_timeout: safe_subset"), "5: 'safe_subset' names no rule"),
        (RULE.format("review\n    review:\n      safe_subset: [a]"), "5: 'safe_subset' goes with on_timeout: safe_subset"),
        (
            RULE.format("review\n    review: {on_timeout: safe_subset, safe_subset: [nowhere]}"),
            "2: the safe subset of rule 'a' names 'nowhere', which is no rule (hint: a safe subset names rules with the action allow)",
        ),
        ("masking:\n  - name: m\n", "2: mask rule 'm' masks nothing (hint: give it 'columns', 'labels', 'detect' or 'paths')"),
        ("masking:\n  - name: m\n    columns:\n      - a.b.c\n      - b.c\n", "5: 'b.c' does not name a column"),
        ("masking:\n  - name: m\n    columns:\n      - a..c\n", "4: 'a..c' does not name a column"),
        (
            "masking:\n  - name: m\n    columns: [customers.email]\n",
            "3: 'customers.email' does not name a column (hint: schema.table.column, where * may stand for any part; "
            "did you mean '*.customers.email'?)",
        ),
        ("masking:\n  - name: m\n    labels: []\n", "3: 'labels' is empty"),
        (
            "masking:\n  - name: m\n    labels:\n      - pii\n",
            "4: no target of mask rule 'm' labels a column 'pii' (hint: a target attaches them: columns: {pii: [public.customers.email]})",
        ),
        (
            "masking:\n  - name: m\n    paths:\n      - $.a\n      - a.b\n",
            "5: 'a.b' is no path into JSON: a path begins with $ (hint: $.user.email, ",
        ),
        ("masking:\n  - name: m\n    paths: ['$.a[1:2]']\n", "3: '$.a[1:2]' is no path into JSON: in brackets stand a quoted name"),
        ("masking:\n  - name: m\n    paths: []\n", "3: 'paths' is empty"),
        (
            "masking:\n  - name: m\n    paths: [$.a]\n    detect: [iban]\n",
            "4: mask rule 'm' has both 'paths' and 'detect' (hint: make two rules of it)",
        ),
        ("masking:\n  - name: m\n    detect:\n      - iban\n      - ibn\n", "5: 'detect' holds 'ibn' (hint: known: email, "),
        (
            "masking:\n  - name: m\n    detect: [presidio]\n",
            "3: 'detect' holds 'presidio' (hint: names take milliseconds a value, so no rule",
        ),
    ],
)
def test_each_problem_is_told_once_with_its_line(refused, text, told):
    assert refused(text).startswith(told)
    assert "\n" not in refused(text)


@pytest.mark.parametrize(
    ("operator", "told"),
    [
        ("redact", "'operator' must be a mapping such as {redact: {}}"),
        ("{}", "unknown operator {}"),
        ("{redact: {}, hash: {}}", "unknown operator"),
        ("{redact: {keep_last: 4}}", "operator 'redact' takes no options"),
        ("{redact: }", "operator 'redact' takes no options (hint: {redact: {}})"),
        ("{partial: {keep: 4}}", "operator 'partial' takes keep_first, keep_last"),
        ("{partial: {keep_last: -1}}", "'keep_last' of operator 'partial' is -1 (hint: a whole number from 0 to 100)"),
        ("{partial: {keep_last: true}}", "a whole number from 0 to 100"),
        ("{tokenize: {to: month}}", "operator 'tokenize' takes no options"),
        ("{range: {}}", "operator 'range' needs 'width', 'to' or both (hint: {range: {width: 10}} or {range: {to: month}})"),
        ("{range: 10}", "operator 'range' takes width, to (hint: {range: {width: 10}})"),
        ("{range: {width: 0}}", "'width' of operator 'range' is 0 (hint: a number above 0, such as 10)"),
        ("{range: {width: -5}}", "a number above 0"),
        ("{range: {width: '10'}}", "a number above 0"),
        ("{range: {width: true}}", "a number above 0"),
        ("{range: {width: .inf}}", "a number above 0"),
        ("{range: {width: .nan}}", "a number above 0"),
        (
            "{range: {to: moon}}",
            "'to' of operator 'range' is 'moon' (hint: one of minute, hour, day, week, month, quarter, year, decade)",
        ),
    ],
)
def test_an_operator_that_the_engine_would_refuse_is_found_at_load(refused, operator, told):
    text = f"masking:\n  - name: m\n    detect: [email]\n    operator: {operator}\n"
    assert refused(text).startswith("4: ")
    assert told in refused(text)


def test_a_wrong_condition_is_shown_with_a_caret_and_what_was_meant(refused):
    text = RULE.format("deny\n    when: |\n      command.text != ''\n        && command.efects.size() > 0")
    assert refused(text).splitlines() == [
        "4: the condition of rule 'a' does not hold up: undeclared reference to 'command.efects'",
        "      && command.efects.size() > 0",
        "                ^ (hint: did you mean 'command.effects'?)",
    ]


def test_a_field_of_another_namespace_is_told_where_it_is(refused):
    assert "hint: did you mean 'sql.has_where'?" in refused(RULE.format("deny\n    when: command.has_where"))
    assert "hint: did you mean 'command.writes'?" in refused(RULE.format("deny\n    when: sql.writes == []"))


def test_a_condition_that_compares_full_names_with_a_bare_one_gets_a_warning(load, tmp_path):
    policy = load(
        RULE.format("deny\n    when: \"'log' in command.writes\""), "rules: [{name: b, action: deny, when: command.asks_unmasked}]"
    )
    what = "rule 'a' compares command.writes with 'log', which names nothing that exists (hint: names are schema.table)"
    assert policy.warnings == (f"{tmp_path}/p0.yaml:2: {what}",)


def test_a_condition_must_be_true_or_false_and_says_how(refused):
    told = refused(RULE.format("deny\n    when: command.statements[0].has_where"))
    assert told.startswith("4: ")
    assert "it answers DYN, not true or false" in told
    assert "== true" in told


@pytest.mark.parametrize(
    "expression", ["command.text ==", "command.text == 3", "now() > 3", "command.nothing()", "1 +", "'", "a.b.c"]
)
def test_what_does_not_type_check_is_found_at_load(refused, expression):
    assert refused(RULE.format(f'deny\n    when: "{expression}"')).startswith("4: the condition of rule 'a'")


def test_names_are_unique_across_files_with_both_places(refused):
    told = refused(RULE.format("deny"), RULE.format("allow"))
    assert told.startswith("p1.yaml:2: another rule is named 'a': ")
    assert told.endswith("2")
    assert "another mask rule is named 'm'" in refused(
        "masking: [{name: m, detect: [email]}]", "masking: [{name: m, detect: [iban]}]"
    )


def test_a_name_of_the_shipped_policy_is_taken(refused):
    assert "another rule is named 'default-reads'" in refused("rules: [{name: default-reads, action: deny}]")


def test_a_file_that_is_missing_or_not_text_is_a_problem_among_others(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError) as caught:
        load_policies([tmp_path / "none.yaml", tmp_path / "bytes.yaml", tmp_path])
    told = str(caught.value)
    assert f"{tmp_path}/none.yaml:1: cannot be read" in told
    assert f"{tmp_path}/bytes.yaml:1: is not UTF-8" in told
    assert f"{tmp_path}:1: cannot be read" in told


def test_terms_stand_in_the_review_or_in_its_only_step(load):
    terms = ReviewTerms((Step(Subjects(("dba",), ("ann",)), 2),), timeout_s=2700.0)
    who = "reviewers: {groups: [dba], names: [ann]}, approvals: 2"
    assert load(RULE.format(f"review\n    review: {{{who}, timeout: 45m, on_timeout: deny}}")).rules[0].terms == terms
    assert load(RULE.format(f"review\n    review: {{steps: [{{{who}}}], timeout: 45m}}")).rules[0].terms == terms


STEPS = """rules:
  - name: writes
    action: review
    review:
      steps:
        - {reviewers: {groups: [dba]}, approvals: 2, escalate_after: 10m}
        - {reviewers: {groups: [leads]}, escalate_after: 5m, escalate_to: {names: [eve]}}
      timeout: 30m
      on_timeout: safe_subset
      safe_subset: [appends]
      break_glass: {groups: [administrators]}
  - {name: appends, action: allow, effects: [write]}
"""


def test_steps_escalate_to_the_next_one_unless_they_say_to_whom(load):
    leads, eve = Subjects(("leads",)), Subjects(names=("eve",))
    steps = (Step(Subjects(("dba",)), 2, 600.0, leads), Step(leads, 1, 300.0, eve))
    terms = ReviewTerms(steps, 1800.0, OnTimeout.SAFE_SUBSET, ("appends",), Subjects(("administrators",)))
    assert load(STEPS).rules[0].terms == terms


def test_a_review_without_terms_waits_half_an_hour_for_any_reviewer(load):
    assert load(RULE.format("review")).rules[0].terms == ReviewTerms((Step(NOBODY, 1),), 1800.0, OnTimeout.DENY)
    assert load(RULE.format("deny")).rules[0].terms is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("7d", 604800.0),
        ("", None),
        ("30", None),
        ("-1s", None),
        ("1 h", None),
        ("1h30m", None),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


def test_the_digest_is_that_of_the_content(load):
    first = load(RULE.format("deny"))
    assert first.digest == load(RULE.format("deny")).digest
    assert first.digest != load(RULE.format("allow")).digest
    assert len(first.digest) == 64
