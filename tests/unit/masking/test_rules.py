import json

import pytest

from countersign import _core
from countersign.masking import DETECTORS
from countersign.masking.rules import OPERATORS, RANGE_UNITS
from countersign.policy import load_policies


@pytest.fixture
def masks(tmp_path):
    def masks(text, target="shop"):
        (tmp_path / "p.yaml").write_text(f"masking:\n  - {text}\n")
        return load_policies([tmp_path / "p.yaml"]).masking_for(target)

    return masks


def test_every_detector_and_operator_is_known_to_the_core():
    assert tuple(_core.DETECTOR_NAMES) == DETECTORS
    options = {"range": {"width": 10}}
    operators = [json.dumps({name: options.get(name, {})}) for name in OPERATORS]
    _core.Masker([(name, "m", operator) for name in DETECTORS for operator in operators], b"key")


def test_every_unit_of_a_range_is_known_to_the_core():
    for unit in RANGE_UNITS:
        _core.Masker([("email", "m", json.dumps({"range": {"to": unit}}))], b"key")


def test_every_kind_of_the_core_is_one_that_a_plan_takes():
    kinds = {_core.kind_of_type(oid) for oid in range(5000)}
    assert {"text", "jsonb", "numeric", "timestamptz", "other"} <= kinds
    _core.RowPlan([("mask", kind, False, "m", '{"redact":{}}') for kind in sorted(kinds)], _core.Masker([], b"key"))


@pytest.mark.parametrize(
    ("operator", "as_json"),
    [
        ("", '{"redact":{}}'),
        (", operator: {redact: {}}", '{"redact":{}}'),
        (", operator: {null: {}}", '{"null":{}}'),
        (", operator: {hash: {}}", '{"hash":{}}'),
        (", operator: {tokenize: {}}", '{"tokenize":{}}'),
        (", operator: {range: {width: 10}}", '{"range":{"width":10}}'),
        (", operator: {range: {width: 0.25, to: month}}", '{"range":{"to":"month","width":0.25}}'),
        (", operator: {partial: {keep_last: 4, keep_first: 1}}", '{"partial":{"keep_first":1,"keep_last":4}}'),
    ],
)
def test_the_operator_is_compact_sorted_json_that_the_core_takes(masks, operator, as_json):
    (rule,) = masks(f"{{name: m, detect: [email]{operator}}}")
    assert rule.operator_json == as_json
    _core.Masker([("email", rule.name, rule.operator_json)], b"key")


def test_a_mask_rule_concerns_all_targets_or_those_it_names(masks):
    assert masks("{name: m, columns: ['*.customers.ssn']}", "anything")[0].columns == ("*.customers.ssn",)
    assert masks("{name: m, detect: [iban], targets: ['sh*']}", "shop")
    assert not masks("{name: m, detect: [iban], targets: ['sh*']}", "billing")
