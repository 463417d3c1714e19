import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.masking import DETECTORS, MaskRule
from countersign.masking.trial import LineTooLong, lines, try_values
from countersign.protocols.postgres.masking import prepare


class Pieces:
    """A stream that gives these pieces, one a read."""

    def __init__(self, pieces):
        self._pieces = list(pieces)

    def read1(self, size):
        return self._pieces.pop(0) if self._pieces else b""


def all_of(batches):
    return [line for batch in batches for line in batch]


@given(st.lists(st.binary(min_size=1, max_size=6)))
def test_a_text_has_the_same_lines_wherever_it_is_split(pieces):
    whole = b"".join(pieces)
    expected = [line.removesuffix(b"\r") for line in whole.split(b"\n")]
    if not expected[-1] and not whole.endswith(b"\r"):
        expected.pop()  # what ends in a line's end has no line behind it
    assert all_of(lines(Pieces(pieces))) == expected


def test_what_a_pipe_has_given_is_not_held_back():
    batches = lines(Pieces([b"a\nb\nc", b"d\n"]))
    assert next(batches) == [b"a", b"b"]
    assert next(batches) == [b"cd"]


def test_a_line_without_end_does_not_fill_the_memory():
    with pytest.raises(LineTooLong, match="line 3 is longer than 1 MiB"):
        all_of(lines(Pieces([b"a\nb\n", *[b"x" * 65536] * 17]), 1 << 20))
    assert all_of(lines(io.BufferedReader(io.BytesIO(b"x" * (1 << 20))), 1 << 20)) == [b"x" * (1 << 20)]


def test_a_value_says_the_rule_that_masks_it_which_is_the_first_of_its_detector():
    rules = [
        MaskRule("keep", (), (), ("us_ssn",), '{"partial":{"keep_last":4}}'),
        MaskRule("all", (), (), ("email", "us_ssn"), '{"redact":{}}'),
    ]
    masker = prepare(rules, b"key").masker
    (both, none) = try_values([b"123-45-6789, ann@example.com", b"\xffplain"], 7, masker, rules)
    assert (both.line, both.masked, both.found) == (7, "***-**-6789, [redacted]", (("us_ssn", "keep"), ("email", "all")))
    assert (none.line, none.masked, none.found) == (8, "\\xffplain", ())


EXAMPLES = [b"ann@example.com", b"4242 4242 4242 4242", b"123-45-6789", b"DE89370400440532013000"]


@given(st.binary(max_size=20), st.sampled_from(EXAMPLES), st.binary(max_size=20))
def test_i5_no_found_value_is_in_what_is_told(before, value, after):
    rules = [MaskRule(name, (), (), (name,), '{"redact":{}}') for name in DETECTORS]
    (tried,) = try_values([before + b" | " + value + b" | " + after], 1, prepare(rules, b"key").masker, rules)
    assert value.decode() not in json.dumps([tried.masked, tried.found])
    assert tried.found


def test_the_name_of_a_column_is_a_word_for_its_values():
    rules = [MaskRule(name, (), (), (name,), '{"redact":{}}') for name in DETECTORS]
    masker = prepare(rules, b"key").masker
    (unnamed,) = try_values([b"123-45-6789 and 123456789"], 1, masker, rules)
    (named,) = try_values([b"123456789"], 1, masker, rules, column="customer_ssn")
    assert "123456789" in unnamed.masked
    assert (named.masked, named.found) == ("[redacted]", (("us_ssn", "us_ssn"),))
