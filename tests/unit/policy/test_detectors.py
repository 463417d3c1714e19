"""Detectors that a policy brings along."""

import pytest

from countersign import _core
from countersign.masking.rules import DETECTORS, GROUPS
from countersign.policy import PolicyError, load_policies
from countersign.protocols.postgres.masking import prepare

BADGE = """detectors:
  - name: badge
    pattern: '\\bEMP-[0-9]{6}\\b'
    examples: {match: ['EMP-123456'], no_match: ['EMP-1']}
  - {name: member, pattern: '[0-9]{6}', context: [member no], checksum: none}
  - {name: voucher, pattern: '[0-9]{8}', checksum: luhn}
"""
RULE = "masking:\n  - {name: own, detect: [badge, member, voucher]}\n"


@pytest.fixture
def masked(tmp_path):
    def masked(text, *files):
        paths = []
        for index, content in enumerate(files):
            paths.append(tmp_path / f"{index}.yaml")
            paths[-1].write_text(content)
        masker = prepare(load_policies(paths).masks, b"key" * 11).masker
        return masker.mask_text(text.encode())[0].decode()

    return masked


@pytest.fixture
def problems(tmp_path):
    def problems(text):
        (tmp_path / "p.yaml").write_text(text)
        with pytest.raises(PolicyError) as caught:
            load_policies([tmp_path / "p.yaml"])
        return str(caught.value)

    return problems


@pytest.mark.parametrize("files", [(BADGE + RULE,), (RULE, BADGE)], ids=["one-file", "defined-later"])
def test_a_rule_may_name_the_policys_own_detectors(masked, files):
    assert masked("EMP-123456, EMP-1; 123456; member no 123456", *files) == "[redacted], EMP-1; 123456; member no [redacted]"
    assert masked("18018018 00000018", *files) == "18018018 [redacted]"


def test_digits_of_other_scripts_hide_nothing_from_them_either(masked):
    assert masked("EMP-12３4\u200b56", BADGE + RULE) == "[redacted]"


@pytest.mark.parametrize(
    ("detector", "line", "told"),
    [
        ("{name: a, pattern: 'x*'}", 2, "it matches the empty string"),
        ("{name: a, pattern: 'x+'}", 2, "a match has no greatest length; write {1,64}"),
        ("{name: a, pattern: 'x{2000}'}", 2, "a match may be longer than 512 bytes"),
        ("{name: a, pattern: '(?=x)y'}", 2, "look-around"),
        ("{name: a, pattern: '(?:(?:[a-z]{1,9}[0-9]{1,9}){1,9}x){1,3}(?:[a-z]{1,3}[0-9]{1,3}){1,3}y'}", 0, ""),
        ("{name: a, pattern: 'x', examples: {match: [y]}}", 2, 'the example "y" is not found'),
        ("{name: a, pattern: 'x', examples: {no_match: [x]}}", 2, 'the example "x" is found'),
        ("{name: a, pattern: 'x', checksum: crc}", 2, "one of luhn, mod97, none"),
        ("{name: email, pattern: 'x'}", 2, "there is already"),
        ("{name: A-b, pattern: 'x'}", 2, "is no name for a detector"),
        ("{name: a, pattern: 'x', patern: 'y'}", 2, "patern"),
        ("{name: a, pattern: 'x'}\n  - {name: a, pattern: 'y'}", 3, "another detector is named 'a'"),
    ],
)
def test_what_is_wrong_with_a_detector_is_told_with_its_line(problems, tmp_path, detector, line, told):
    text = f"detectors:\n  - {detector}\n"
    if not told:
        (tmp_path / "p.yaml").write_text(text)
        load_policies([tmp_path / "p.yaml"])
        return
    found = problems(text)
    assert f"p.yaml:{line}: " in found and told in found


def test_a_group_stands_for_its_detectors(tmp_path):
    (tmp_path / "p.yaml").write_text("masking:\n  - {name: m, detect: [email, contact]}\n  - {name: n, detect: [all]}\n")
    some, every = load_policies([tmp_path / "p.yaml"]).masks
    assert some.detect == GROUPS["contact"] and every.detect == DETECTORS == tuple(_core.DETECTOR_NAMES)
