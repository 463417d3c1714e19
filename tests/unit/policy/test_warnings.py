"""What can hardly be meant is told, with its line, and keeps no policy from being used."""

import pytest

from countersign.model.identity import Person
from countersign.policy import load_policies
from countersign.policy.warnings import idle_rules, undecidable, unknown_subjects

DBA = "review: {reviewers: {groups: [dba]}}"


@pytest.fixture
def load(tmp_path):
    def load(*rules):
        (tmp_path / "p.yaml").write_text("rules:\n" + "".join(f"  - {rule}\n" for rule in rules))
        return load_policies([tmp_path / "p.yaml"])

    return load


def told(problems):
    return [f"{problem.line}: {problem.message} ({problem.hint})" for problem in problems]


@pytest.mark.parametrize(
    ("rules", "warning"),
    [
        (["{name: a, action: deny, when: \"target.labels.env == 'prod'\"}"], ":2: rule 'a' asks for the key 'env' of target.labels"),
        (["{name: a, action: deny, when: \"target.labels['env'] == 'x'\"}"], "asks for the key 'env' of target.labels, and denies"),
        (["{name: a, action: deny, when: '1 > 2'}"], "the condition of rule 'a' is always false (hint: the rule never matches)"),
        (["{name: a, action: deny, when: 'true'}"], "is always true (hint: leave it out)"),
        (["{name: d, action: deny, targets: [s*]}", "{name: a, action: allow, targets: [shop], effects: [read]}"], ":3: rule 'a' never decides"),
        (["{name: a, action: review, effects: [ddl]}", "{name: d, action: deny, effects: [ddl, admin]}"], ":2: rule 'a' never decides"),
    ],
)  # fmt: skip
def test_what_can_hardly_be_meant_is_told(load, rules, warning):
    (found,) = load(*rules).warnings
    assert warning in found


@pytest.mark.parametrize(
    "rules",
    [
        ["{name: a, action: deny, when: \"'env' in target.labels && target.labels.env == 'prod'\"}"],
        ["{name: a, action: deny, when: \"has(target.labels.env) && target.labels['env'] == 'prod'\"}"],
        ["{name: d, action: deny, targets: [shop]}", "{name: a, action: allow, effects: [read]}"],
        ["{name: d, action: deny, subjects: {groups: [x]}}", "{name: a, action: allow, subjects: {groups: [y]}, effects: [read]}"],
        ["{name: d, action: deny, when: \"command.text == ''\"}", "{name: a, action: allow, effects: [read]}"],
        ["{name: d, action: deny}", "{name: e, action: deny}"],
        ["{name: d, action: deny, effects: [ddl]}", "{name: a, action: review, effects: [ddl, write]}"],
    ],
)
def test_what_may_well_be_meant_is_not(load, rules):
    assert load(*rules).warnings == ()


def test_a_rule_about_targets_that_there_are_not_is_told(load):
    policy = load("{name: a, action: deny, targets: [shp]}", "{name: b, action: deny, targets: [sh*, other]}")
    assert told(idle_rules(policy, ["shop"])) == ["2: rule 'a' never matches: no target is called 'shp' (targets are shop)"]


@pytest.mark.parametrize(
    ("rule", "people", "warning"),
    [
        (DBA, [], "step 1 of rule 'a' needs 1 approvals, and nobody is among its reviewers"),
        (DBA, [Person("ann", "ann", ("leads",))], "nobody is among its reviewers"),
        (DBA, [Person("ann", "ann", ("dba", "auditors"))], "nobody is among its reviewers"),
        (DBA, [Person("ann", "ann", ("dba",))], ""),
        (
            "review: {reviewers: {groups: [dba]}, approvals: 2}",
            [Person("ann", "ann", ("dba",))],
            "2 approvals, and 1 of the people",
        ),
        ("review: {reviewers: {names: [ann]}}", [Person("ann", "ann")], ""),
        ("review: {approvals: 2}", [Person("ann", "ann", ("reviewers",))], ""),
        ("review: {approvals: 3}", [Person("ann", "ann", ("reviewers",))], "3 approvals, and 2 of the people"),
    ],
)
def test_a_review_that_nobody_can_approve_is_told(load, rule, people, warning):
    found = told(undecidable(load(f"{{name: a, action: review, {rule}}}"), people))
    assert warning in found[0] if warning else not found


@pytest.mark.parametrize(
    ("subjects", "warning"),
    [
        ("{groups: [agents]}", None),
        ("{names: [crew]}", None),
        ("{groups: [agnets]}", "2: rule 'r' is for the group 'agnets', and nobody is in that (did you mean 'agents'?)"),
        (
            "{names: [nobody-here]}",
            "2: rule 'r' is for the identity 'nobody-here', and nobody is called that (countersign keys list",
        ),
    ],
)
def test_a_rule_for_somebody_whom_nobody_knows_is_told(load, subjects, warning):
    policy = load(f"{{name: r, subjects: {subjects}, action: allow}}")
    found = told(unknown_subjects(policy, {"agents", "dba"}, {"crew"}))
    assert (found == []) if warning is None else (len(found) == 1 and warning in found[0])
    assert not [one for one in unknown_subjects(policy, {"agents", "agnets"}, None)]
