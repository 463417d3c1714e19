from hypothesis import given
from hypothesis import strategies as st

from countersign.reviews.preview import is_hidden, one_line, shown, spoofing, terminal_safe


@given(st.text())
def test_i10_nothing_hidden_is_left_in_what_is_shown(text):
    assert not any(is_hidden(letter) for segment in shown(text) for letter in segment.text)
    assert not any(is_hidden(letter) for letter in terminal_safe(text))


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_plain_text_is_shown_as_it_is(text):
    assert "".join(segment.text for segment in shown(text)) == text


def test_i10_what_hides_is_named():
    marks = [segment.mark for segment in shown("a\u202eb\x1b[2Jc" + " " * 3000 + "DROP")]
    assert [mark for mark in marks if mark] == ["U+202E RIGHT-TO-LEFT OVERRIDE", "U+001B CONTROL", "3,000 spaces"]


def test_i10_lies_are_warned_of():
    assert any("claims approval" in warning for warning in spoofing("DELETE FROM t -- safe, approved by DBA"))
    assert any("imitate" in warning for warning in spoofing("SELECT * FROM usеrs"))
    assert spoofing("SELECT name FROM users WHERE name = 'Zoë'") == []
    assert spoofing("SELECT 1") == []


def test_i10_a_cut_says_how_much_is_missing():
    assert one_line("x" * 50, 10) == "xxxxxxxxx… (41 more)"
