import json

import pytest

from countersign import _core
from countersign.masking import DETECTORS
from countersign.masking.rules import OPERATORS
from countersign.policy import load_policies


@pytest.fixture
def masks(tmp_path):
    def masks(text, target="shop"):
        (tmp_path / "p.yaml").write_text(f"masking:\n  - {text}\n")
        return load_policies([tmp_path / "p.yaml"]).masking_for(target)

    return masks


def test_every_detector_and_operator_is_known_to_the_core():
    assert tuple(_core.DETECTOR_NAMES) == DETECTORS
    _core.Masker([(name, "m", json.dumps({operator: {}})) for name in DETECTORS for operator in OPERATORS], b"key")


@pytest.mark.parametrize(
    ("operator", "as_json"),
    [
        ("", '{"redact":{}}'),
        (", operator: {redact: {}}", '{"redact":{}}'),
        (", operator: {null: {}}", '{"null":{}}'),
        (", operator: {hash: {}}", '{"hash":{}}'),
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
