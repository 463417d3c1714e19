"""An authenticated client that does not play by the rules: every answer is an error, nothing reaches the target, the gateway lives."""

import socket
import struct

import pytest


def message(kind: bytes, payload: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(payload) + 4) + payload


SYNC = message(b"S")
BIND = message(b"B", b"\0nowhere\0\0\0\0\0\0\0")


@pytest.fixture
def raw(gateway, wire):
    with gateway.connect() as connection:
        made = wire(connection)
        yield made
        made.close()
    with gateway.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    "attack",
    [
        message(b"G", b""),
        b"Q" + struct.pack(">I", 0),
        b"Q" + struct.pack(">I", 0xFFFFFFFF),
        message(b"Q", b"SELECT 1\0; DROP TABLE orders\0"),
        message(b"Q", b"SELECT 1"),
        message(b"P", b"a\0SELECT 1\0\xff\xff"),
        message(b"B", b"\0\0\0\x01\0\x01\0\x01\xff\xff\xff\xfe\0\0"),
        message(b"D", b"Xname\0"),
        message(b"p", b"password\0"),
    ],
)
def test_malformed_messages_end_the_session_with_a_word(raw, attack):
    raw.send(attack)
    found = raw.until_ready()
    assert found[0][0] == "E"
    assert b"SFATAL\0" in found[0][1]
    assert found[-1][0] == ""


@pytest.mark.parametrize(("decision", "answers"), [("approve", ["V", "Z"]), ("deny", ["E", "Z"])])
def test_a_function_call_is_held_like_anything_unknown(raw, gateway, decision, answers):
    raw.send(message(b"F", struct.pack(">IHHH", 861, 0, 0, 0)))  # current_database()
    review = gateway.pending()
    assert review["command"]["effects"] == ["unknown"]
    gateway.cli("reviews", decision, review["id"], *(["--reason", "no"] if decision == "deny" else []))
    assert [kind for kind, _ in raw.until_ready() if kind != "N"] == answers
    raw.send(message(b"Q", b"SELECT 1\0"))
    assert [kind for kind, _ in raw.until_ready()] == ["T", "D", "C", "Z"]


@pytest.mark.parametrize("attack", [BIND, message(b"E", b"nowhere\0\0\0\0\0")])
def test_statements_and_portals_that_nobody_knows_are_the_server_s_error(raw, attack):
    raw.send(attack + SYNC)
    found = raw.until_ready()
    assert [kind for kind, _ in found] == ["E", "Z"]
    assert b"does not exist" in found[0][1]


def test_a_query_behind_an_error_in_an_unfinished_segment_is_ignored_as_by_the_server(raw, gateway):
    raw.send(BIND + message(b"Q", b"INSERT INTO log VALUES ('smuggled')\0") + SYNC)
    assert [kind for kind, _ in raw.until_ready()] == ["E", "Z"]
    raw.send(message(b"Q", b"SELECT count(*) FROM log WHERE line = 'smuggled'\0"))
    found = raw.until_ready()
    assert found[1][1].endswith(b"0")


def test_copy_data_outside_of_copy_is_ignored_as_by_the_server(raw):
    raw.send(message(b"d", b"1\tx\n") + message(b"c") + message(b"Q", b"SELECT 1\0"))
    assert [kind for kind, _ in raw.until_ready()] == ["T", "D", "C", "Z"]


def test_i3_text_that_is_not_utf8_is_held(raw, gateway):
    raw.send(message(b"Q", b"SELECT '\xff'\0"))
    review = gateway.pending()
    assert review["command"]["effects"] == ["unknown"]
    gateway.cli("reviews", "deny", review["id"], "--reason", "no")
    assert "E" in [kind for kind, _ in raw.until_ready()]


def test_an_unread_flood_behind_a_held_command_does_not_hide_that_the_client_left(gateway, wire, eventually):
    connection = gateway.connect()
    raw = wire(connection)
    raw.send(message(b"Q", b"DELETE FROM orders\0"))
    review = gateway.pending()
    raw._socket.settimeout(2)
    with pytest.raises(TimeoutError):
        for _ in range(400):
            raw._socket.sendall(message(b"Q", b"SELECT '" + b"x" * 60_000 + b"'\0"))
    raw._socket.shutdown(socket.SHUT_RDWR)
    raw.close()
    connection.close()
    eventually(lambda: gateway.review(review["id"])["state"] == "cancelled", "the review is cancelled")
