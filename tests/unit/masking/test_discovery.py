import json

import pytest

from countersign._core import Masker
from countersign.masking import DETECTORS
from countersign.masking.discovery import Column, TableSample
from countersign.masking.names import Form

CARD = "4242424242424242"


@pytest.fixture
def found():
    masker = Masker([(name, name, '{"redact":{}}') for name in DETECTORS], b"key")

    def found(values, name="v", form=Form.TEXT, min_share=0.3):
        sample = TableSample([Column("public", "t", name, form)], masker)
        sample.add([[value if value is None else value.encode()] for value in values])
        proposals = list(sample.proposals(min_share))
        return [(p.kind, p.path) for p in proposals], [
            (m.detector, m.found) for m in sample.mentions({p.column.name for p in proposals})
        ]

    return found


def test_a_share_of_the_values_must_be_of_a_kind(found):
    mails, plain = ["a@example.com"] * 6, ["plain"] * 14
    assert found(mails + plain) == ([("email", "")], [])
    assert found(mails + plain, min_share=0.31) == ([], [])
    assert found(["a@example.com", None, ""]) == ([("email", "")], []), "what is empty does not count"


def test_few_hits_among_few_values_are_chance(found):
    assert found([CARD, CARD] + ["4242424242424241"] * 4) == ([], [])
    assert found([CARD] * 2) == ([("payment_card", "")], [])


def test_a_name_alone_must_be_borne_out_by_the_values_that_were_seen(found):
    assert found(["123456789"] * 3, "ssn") == ([("us_ssn", "")], [])
    assert found(["n/a"] * 3 + ["123456789"] * 2, "ssn") == ([], [])
    assert found([], "ssn") == ([("us_ssn", "")], [])
    assert found([], "dob", Form.DATE) == ([("date_of_birth", "")], [])


def test_what_is_small_within_a_long_text_is_a_mention(found):
    texts = [f"a text that is much longer than what is in it, which is a@example.com, and so on number {i}" for i in range(3)]
    assert found(texts) == ([], [("email", 3)])
    assert found(texts[:2]) == ([], [])
    assert found(texts + ["none"] * 400) == ([], [])


def test_a_document_s_path_is_told_where_it_is_in_many(found):
    documents = [json.dumps({"user": {"mail": f"a{i}@example.com", "age": i}, "cards": [CARD], "ok": True}) for i in range(20)]
    assert found(documents, form=Form.JSON) == ([("email", "$.user.mail"), ("payment_card", "$.cards[*]")], [])
    assert found(documents[:4], form=Form.JSON) == ([("email", "")], []), "among so few, a key may be data"


@pytest.mark.parametrize(
    "document",
    [
        lambda i: {f"person{i}": {"mail": f"a{i}@example.com"}},
        lambda i: {f"person{i}": f"a{i}@example.com"},
        lambda i: {f"a{i}@example.com": 1},
        lambda i: {"odd key": f"a{i}@example.com"},
        lambda i: f"a{i}@example.com",
        lambda i: {"a.b": {"[*]": f"a{i}@example.com"}},
    ],
)
def test_i5_a_path_that_may_be_data_is_not_told(found, document):
    assert found([json.dumps(document(i)) for i in range(20)], form=Form.JSON) == ([("email", "")], [])


def test_numbers_under_keys_of_their_own_are_no_cards_by_chance(found):
    numbers = [json.dumps({f"order{i}": 4000000000000000 + i}) for i in range(100)]
    assert found(numbers, form=Form.JSON) == ([], [])


def test_a_key_that_is_given_twice_is_read_twice(found):
    assert found(['{"a": "x@example.com", "a": "none"}'] * 20, form=Form.JSON) == ([("email", "$.a")], [])


@pytest.mark.parametrize("document", ["{", "[" * 5000, "[" * 100_000 + "]" * 100_000, "1" * 6000, '"\\ud800"', "null", "[]"])
def test_odd_documents_count_for_nothing(found, document):
    assert found([document] * 6, form=Form.JSON) == ([], [])


def test_very_many_paths_are_bounded_and_still_found(found):
    wide = [json.dumps({f"k{i}_{j}": f"a{i}@example.com" for j in range(100)}) for i in range(20)]
    assert found(wide, form=Form.JSON) == ([("email", "")], [])
