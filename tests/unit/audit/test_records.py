import dataclasses
import datetime
import uuid
from enum import Enum, IntEnum, StrEnum

import orjson
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from countersign import _core
from countersign.audit import canonical, encode, entry, record_of
from countersign.audit.merkle import Tree, leaf_hash
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
    st.lists(
        st.tuples(
            st.sampled_from(["command", 'a"b', "é\n\x1f\x7f", "\U00010000"]),
            st.dictionaries(st.sampled_from(["a", "é", "\uffee", "\U00010000"]), st.text() | st.integers(0, 9)),
        ),
        max_size=9,
    ),
    st.integers(0, 2**40),
    st.integers(1, 4),
)
def test_the_core_writes_the_entries_hashes_and_edges_that_python_writes(events, size, records_a_row):
    tree = Tree()
    tree.size, tree.peaks = size, [bytes([bit]) * 32 for bit in range(size.bit_count())]
    encoded = [encode(AuditEvent(kind, body)) for kind, body in events]
    expected = [entry(one, seq=seq, time="2026-11-24T00:00:00.000000Z") for seq, one in enumerate(encoded, size + 1)]
    rows = _core.Run(encoded).seal(size, b"".join(tree.peaks), "2026-11-24T00:00:00.000000Z", records_a_row)
    found = []
    for first_seq, count, edge, hashes, entries in rows:
        assert first_seq == tree.size + 1
        lines = entries.split(b"\n")
        assert count == len(lines) <= records_a_row
        assert hashes == b"".join(map(leaf_hash, lines))
        for line in lines:
            tree.append(leaf_hash(line))
        assert edge == b"".join(tree.peaks)
        assert _core.tree_root(tree.size, edge) == tree.root
        found += lines
    assert found == expected
    assert [rfc8785.dumps(orjson.loads(line)) for line in found] == found


@pytest.mark.parametrize(("size", "edge"), [(1, b""), (3, b"x" * 32), (0, b"x" * 32), (2, b"x" * 31)])
def test_an_edge_that_is_none_of_that_size_is_refused(size, edge):
    with pytest.raises(ValueError):
        _core.Run([("a", b"{}")]).seal(size, edge, "now", 9)
    with pytest.raises(ValueError):
        _core.tree_root(size, edge)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"body":{},"kind":"a","seq":true,"time":"t","v":1}',
        b'{"body":[],"kind":"a","seq":1,"time":"t","v":1}',
        b'{"body":{},"kind":"a","seq":1,"time":"t"}',
        b'{"body":{},"kind":"a","seq":1,"time":"t","v":2}',
    ],
)
def test_what_is_no_entry_is_no_record(line):
    with pytest.raises(ValueError):
        record_of(line)
