"""What discover prints reads back as it is meant, whatever things are called."""

import fnmatch

import yaml
from hypothesis import given
from hypothesis import strategies as st

from countersign.cli.proposals import as_yaml, pattern_of, proposed_rules, quoted
from countersign.masking.discovery import Column, Discovery, Mention, Proposal
from countersign.masking.names import Form
from countersign.masking.rules import column_problem

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(NAMES | st.sampled_from(["yes", "null", "1.5", "a: b", "# x", "- a", "~", "0x1", "*a", "&a", "!a"]))
def test_a_text_is_read_again_as_it_was(text):
    assert yaml.safe_load(f"- {quoted(text)}  # why") == [text]
    assert "\n" not in quoted(text)


@given(NAMES, NAMES, NAMES)
def test_a_pattern_is_sound_and_matches_its_column(schema, table, name):
    pattern = pattern_of(Column(schema, table, name, Form.TEXT))
    assert column_problem(pattern) is None
    assert fnmatch.fnmatchcase(f"{schema}.{table}.{name}", pattern)


@given(NAMES, NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=3))
def test_a_policy_holds_exactly_what_was_found_whatever_it_is_called(table, name, not_read):
    column = Column("public", table, name, Form.TEXT)
    found = Discovery(
        [Proposal(column, "", "email", 3, {"email": 3}, 3, True, 3), Proposal(column, "$.a", "iban", 3, {"iban": 3}, 3, False, 0)],
        [Mention(column, "phone", 3, 9)],
    )
    tail = [f"not read: {quoted(what)}" for what, _ in not_read]
    printed = yaml.safe_load(as_yaml(proposed_rules("shop", found), "shop", ["head"], tail))
    assert [rule["name"] for rule in printed["masking"]] == ["shop-email", "shop-json-1", "shop-content"]
    assert printed["masking"][1]["paths"] == ["$.a"]
    assert printed["masking"][0]["columns"] == [pattern_of(column)]
    assert printed["masking"][2]["detect"] == ["phone"]
    assert all(rule["targets"] == ["shop"] and rule["operator"] == {"redact": {}} for rule in printed["masking"])
