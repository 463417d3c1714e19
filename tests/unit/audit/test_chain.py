import dataclasses
import datetime
import uuid
from enum import Enum, IntEnum, StrEnum

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from countersign.audit import GENESIS, link, verify
from countersign.audit.chain import canonical
from countersign.audit.verify import entry_hash
from countersign.model import AuditEvent


class Word(StrEnum):
    READ = "read"


class Number(IntEnum):
    ONE = 1


class Odd(str, Enum):  # noqa: UP042 -- the kind that is meant
    LATIN = (b"abc", "latin-1")


@dataclasses.dataclass
class Thing:
    name: str = "x"


TEXT = st.text(alphabet=st.characters(exclude_categories=()))  # lone surrogates too
INTEGERS = st.integers() | st.integers(2**53 - 2, 2**53 + 2) | st.integers(-(2**53) - 2, -(2**53) + 2)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXT | st.sampled_from([Word.READ, Number.ONE, Odd.LATIN])
STRANGE = st.sampled_from([Thing(), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), uuid.UUID(int=1), b"x", {1}])
KEYS = TEXT | st.sampled_from(["\uffee", "\U00010000", "\ud7ff", "é", "e", "\x7f", "\u2028", 'a"b'])
VALUES = st.recursive(
    SCALARS | STRANGE,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES))
@example({"\uffee": 1, "\U00010000": 2})
@example({"a": {"b": [1.0, 1e21, -0.0, 5e-324]}})
@example({"a": [float("nan")]})
@example({"a": '\x00\x08\x1f\x7f\u2028/\\"'})
def test_the_encoding_is_rfc_8785s_or_the_body_is_refused(body):
    try:
        expected = rfc8785.dumps(body)
    except ValueError:
        with pytest.raises(ValueError):
            canonical(body)
    else:
        assert canonical(body) == expected


@pytest.mark.parametrize(
    "value", [uuid.UUID(int=1), Thing(), datetime.datetime(2026, 1, 1), {1: "a"}, "\ud800", 2**53, float("nan")]
)
def test_what_has_no_form_is_refused_and_not_written_in_some_way(value):
    with pytest.raises(ValueError):
        canonical({"a": value})


@given(
    st.sampled_from(["command", 'a"b', "é\n", "\U00010000"]),
    st.dictionaries(st.sampled_from(["a", "é", "\uffee", "\U00010000"]), st.text() | st.integers(0, 9)),
    st.integers(1, 2**53 - 1),
)
def test_a_sealed_record_has_the_hash_that_verify_computes_by_itself(kind, body, seq):
    record = link(AuditEvent(kind, body), seq=seq, time="2026-11-24T00:00:00.000000Z", previous_hash=GENESIS)
    assert record.hash == entry_hash(record.seq, record.time, record.kind, record.body, record.previous_hash)
    assert verify([dataclasses.replace(record, seq=1)]).ok is (seq == 1)
