"""Which commands a grant covers: shapes of texts and their readings, ranges of literals, and what makes none at all."""

import pytest

from countersign.model import Command, Effect, Parameter
from countersign.model.grant import Literal, LiteralKind, Range
from countersign.protocols.postgres.inspector import inspect_sql
from countersign.protocols.postgres.schema import Schema
from countersign.protocols.postgres.shapes import shape_of
from countersign.reviews.errors import ReviewError
from countersign.reviews.grants import parse_range, range_from, range_json, shape_from, shape_json


def number(value):
    return Literal(LiteralKind.NUMBER, str(value))


def text(value):
    return Literal(LiteralKind.TEXT, value)


def command(sql, *parameters, **more):
    reading = inspect_sql(sql, Schema.unread("")) if more.pop("read", False) else None
    effects = reading.effects if reading else frozenset({Effect.WRITE})
    statements = reading.statements if reading else ()
    return Command("postgres", sql.encode(), sql, more.pop("effects", effects), statements, parameters, **more)


def shape(sql, *parameters, settings=None, **more):
    return shape_of(command(sql, *parameters, **more), settings or {})


def bound(raw, oid=0, *, binary=False, shown=None):
    return Parameter(raw, binary, oid, shown if shown is not None else (raw or b"").decode())


def test_a_shape_lifts_literals_and_parameters_out_in_order():
    found = shape("UPDATE t SET a = 'it''s', b = $1 WHERE c = 7 AND d = $2", bound(b"12", 23), bound(None, 25))
    assert found.text == "UPDATE t SET a = ⟨1⟩, b = $1 WHERE c = ⟨2⟩ AND d = $2  ($1 = ⟨3⟩, $2 = ⟨4⟩)"
    assert found.literals == (text("it's"), number(7), number(12), Literal(LiteralKind.NULL, ""))
    assert shape_from(shape_json(found)) == found


def test_what_differs_in_literals_only_has_one_key_and_nothing_else_has():
    one = shape("UPDATE t SET a = 'x' WHERE id = 1").key
    assert shape("UPDATE t SET a = 'y; DROP TABLE t' WHERE id = 22").key == one
    others = [
        shape("UPDATE t SET b = 'x' WHERE id = 1"),
        shape("UPDATE t SET a = 'x' WHERE id = 1 OR true"),
        shape("UPDATE t SET a = 'x' WHERE id = -1"),
        shape("UPDATE t SET a = 'x'"),
        shape("UPDATE t SET a = 'x' WHERE id = 1", attributes={"sql.probes_masked": True}),
        shape("UPDATE t SET a = 'x' WHERE id = 1", settings={"search_path": "mine"}),
        shape("UPDATE t SET a = 'x' WHERE id = 1", bound(b"1")),
    ]
    assert one not in {other.key for other in others}


def test_a_parameter_of_another_type_makes_another_shape():
    assert shape("DELETE FROM t WHERE a = $1", bound(b"1", 23)).key != shape("DELETE FROM t WHERE a = $1", bound(b"1", 25)).key


@pytest.mark.parametrize(
    ("parameter", "literal"),
    [
        (bound(b"17", 23), number(17)),
        (bound(b"-17", 20), number(-17)),
        (bound(b"\0\0\0\x11", 23, binary=True, shown="17"), number(17)),
        (bound(b"open", 25), text("open")),
        (bound(b"open", 0), text("open")),
        (bound(b" 17", 23), Literal(LiteralKind.OTHER, "23 text 203137")),
        (bound(b"1e3", 23), Literal(LiteralKind.OTHER, "23 text 316533")),
        (bound(b"\0\0\0\x11", 23, binary=True, shown="18"), Literal(LiteralKind.OTHER, "23 binary 00000011")),
        (bound(b"1.5", 1700), Literal(LiteralKind.OTHER, "1700 text 312e35")),
        (bound(b"\xff", 25, shown="?"), Literal(LiteralKind.OTHER, "25 text ff")),
    ],
)
def test_a_parameter_is_taken_for_what_the_server_will_read(parameter, literal):
    assert shape("DELETE FROM t WHERE a = $1", parameter).literals == (literal,)


@pytest.mark.parametrize(
    "made",
    [
        shape("DROP TABLE t", effects=frozenset({Effect.DDL})),
        shape("DELETE FROM t", effects=frozenset({Effect.WRITE, Effect.UNKNOWN})),
        shape("DELETE FROM t", effects=frozenset()),
        shape("DELETE FROM t", asks_unmasked=True),
        shape("DELETE FROM t WHERE a = E'x'"),
        shape("DELETE FROM t -- all"),
        shape("DELETE FROM t WHERE a = $$x$$"),
        shape("DELETE FROM t WHERE a = 'x" + "y" * 9000 + "'"),
        shape("EXECUTE purge(1)", read=True),
    ],
)
def test_i3_what_is_more_than_plain_reads_and_writes_has_no_shape(made):
    assert made is None


@pytest.mark.parametrize(
    ("written", "literal", "inside", "outside"),
    [
        ("any", text("x"), [text(""), number(3), Literal(LiteralKind.NULL, "")], []),
        ("1..100", number(5), [number(1), number(100)], [number(0), number(101), text("5"), Literal(LiteralKind.NULL, "")]),
        ("-5..-1", number(5), [number(-5)], [number(0)]),
        ("1|2|03", number(5), [number(1), number(3)], [number(4), text("1")]),
        ("open|closed", text("x"), [text("open")], [text("openx"), text("open|closed"), text("OPEN"), number(1)]),
        ("1..100", text("x"), [text("1..100")], [number(5), text("5")]),
    ],
)
def test_a_range_holds_what_it_says(written, literal, inside, outside):
    allowed = parse_range(written, literal, 1)
    assert range_from(range_json(allowed)) == allowed
    assert all(allowed.holds(one) for one in inside) and not any(allowed.holds(one) for one in outside)


@pytest.mark.parametrize(
    ("written", "literal", "told"),
    [
        ("1..x", number(1), "no range of whole numbers"),
        ("9..1", number(1), "is empty"),
        ("", number(1), "neither 'any' nor a range"),
        ("١", number(1), "neither 'any' nor a range"),
        ("1", Literal(LiteralKind.OTHER, "x"), "it can stay as it is, or be 'any'"),
        ("|".join("a" for _ in range(101)), text("a"), "at most 100 values"),
    ],
)
def test_a_range_that_is_none_is_refused_in_words(written, literal, told):
    with pytest.raises(ReviewError, match=told):
        parse_range(written, literal, 1)


def test_a_null_is_within_any_and_itself_only():
    null = Literal(LiteralKind.NULL, "")
    assert Range(values=(null,)).holds(null) and not Range(values=(null,)).holds(text("")) and Range(any=True).holds(null)
