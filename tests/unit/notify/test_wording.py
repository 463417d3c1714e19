"""A command in a message (I10): whole or marked, and never approved by less than all of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.model import Review, ReviewState, ReviewTerms
from countersign.notify.wording import cut, visible, wording
from countersign.reviews.preview import is_hidden

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def review(text, parameters=(), **more):
    command = {"text": text, "parameters": [{"shown": one, "is_null": False} for one in parameters]} | more
    return Review(
        "rv-1", ReviewState.PENDING, "c", "s", "shop", "crew", "", "d", "r", command, ReviewTerms(), NOW, NOW, NOW
    )  # fmt: skip


def test_a_plain_command_is_shown_whole():
    read = wording(review("DELETE FROM t\n WHERE id = $1", ["7"]), 100)
    assert (read.text, read.parameters, read.problems) == ("DELETE FROM t\n WHERE id = $1", ("$1 = 7",), ())


@pytest.mark.parametrize(
    ("text", "parameters", "more"),
    [
        ("DELETE FROM t" + " " * 90 + "WHERE true", [], {}),
        ("DELETE FROM t", ["x" * 100], {}),
        ("DELETE FROM t", [], {"cut": True}),
        ("DELETE FROM t -- \u200b", [], {}),
        ("DELETE FROM t WHERE a = $1", ["\u202e1"], {}),
        ("DELETE FROM оrders", [], {}),  # with a Cyrillic о, among Latin letters
        ("DELETE FROM t -- approved by the dba", [], {}),
        ("DELETE FROM t\n" + "\n" * 30 + "x", [], {}),
    ],
)
def test_what_is_not_shown_whole_or_may_mislead_is_not_to_be_approved_by_it(text, parameters, more):
    assert wording(review(text, parameters, **more), 100).problems


def test_what_no_approval_binds_is_named_or_else_not_approved_by_a_message():
    read = wording(review("CALL p()", not_bound=["procedure p"]), 100)
    assert (read.warnings, read.problems) == (("runs what no approval binds: procedure p",), ())
    assert wording(review("CALL p()", not_bound=[f"procedure p{i}" for i in range(6)]), 100).problems


@given(st.text(max_size=200), st.lists(st.text(max_size=60), max_size=5), st.integers(200, 400))
def test_no_message_is_too_long_or_hides_anything(text, parameters, limit):
    read = wording(review(text, parameters), limit)
    whole = "\n".join([read.text, *read.parameters])
    assert len(whole) <= limit + 1
    assert not any(is_hidden(letter) for letter in whole if letter not in "\n\t")
    if not read.problems:
        assert read.text == visible(text) == text
        assert len(read.parameters) == len(parameters)


def test_a_cut_says_so():
    assert cut("x" * 200, 100).endswith("… (cut here: the whole has 200 characters)")
    assert len(cut("x" * 200, 100)) == 100
    assert cut("x" * 100, 100) == "x" * 100
