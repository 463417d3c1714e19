"""Messages as long as PostgreSQL takes them: judged whole, held once, kept in part, and bounded all together."""

import json
import stat
import struct
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

ALLOW = "rules: [{name: everything, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}]\n"
WRITES = "rules: [{name: writes, effects: [write], action: allow}]\n"
MB = 1 << 20
LONG = 200 * MB
KEPT = 1 << 20
SYNC = b"S\0\0\0\4"


def message(kind, payload=b""):
    return kind + struct.pack(">I", len(payload) + 4) + payload


def extended(sql, *values, name=b""):
    parse = message(b"P", name + b"\0" + sql + b"\0\0\0")
    return parse + bind(*values, name=name)


def bind(*values, name=b""):
    given = b"".join(struct.pack(">i", len(value)) + value for value in values)
    return message(b"B", b"\0" + name + b"\0\0\0" + struct.pack(">H", len(values)) + given + b"\0\0") + message(b"E", b"\0" * 5)


def memory_mb(gateway, key="VmHWM"):
    status = Path(f"/proc/{gateway.process.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(key)).split()[1]) / 1024


def kept_bytes(gateway):
    return sum(path.stat().st_size for path in gateway.folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def table(database):
    with psycopg.connect(database.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE big (v bytea, t text)")
        yield connection
        connection.execute("DROP TABLE big")


@pytest.fixture
def empty(table):
    table.execute("TRUNCATE big")
    return table


@pytest.fixture
def open_gateway(make_gateway):
    return make_gateway(policy=ALLOW)


# -- 200 MB
@pytest.mark.parametrize("binary", [True, False])
def test_a_value_of_200_mb_is_written_and_read(make_gateway, empty, binary):
    gateway = make_gateway(policy=WRITES)
    value = bytes(range(256)) * (LONG // 256)
    with gateway.connect() as connection:
        connection.execute("SELECT v FROM big")
        before = memory_mb(gateway)
        marker = "%b" if binary else "%s"
        given = value if binary else "x" * LONG
        connection.execute(f"INSERT INTO big ({'v' if binary else 't'}) VALUES ({marker})", [given])
        assert memory_mb(gateway) - before < 2.5 * LONG / MB
        written = memory_mb(gateway)
        (read,) = connection.execute(f"SELECT {'v' if binary else 't'} FROM big", binary=binary).fetchone()
        assert read == given
        assert memory_mb(gateway) - written < 20
    assert kept_bytes(gateway) < 20 * MB
    record = next(one["body"] for one in gateway.audit("command") if "INSERT" in one["body"]["command"]["text"])
    shown = record["command"]["parameters"][0]["shown"]
    assert len(shown) < 3 * KEPT
    assert shown.endswith(f"… (cut here: 1,048,576 of {LONG:,} bytes are shown)")
    assert len(record["digest"]) == 64
    gateway.cli("audit", "verify")


def test_a_statement_of_200_mb_is_judged_whole_and_kept_in_part(make_gateway, empty):
    rule = "rules: [{name: never, when: \"command.text.contains('the very end')\", action: deny}, "
    gateway = make_gateway(policy=ALLOW.replace("rules: [", rule))
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
        before = memory_mb(gateway)
        sql = f"INSERT INTO big (t) VALUES ('{'x' * LONG}')".encode()
        result = connection.pgconn.exec_(sql)
        assert result.status == pq.ExecStatus.COMMAND_OK, result.error_message
        assert memory_mb(gateway) - before < 5.5 * LONG / MB
        result = connection.pgconn.exec_(sql[:-2] + b"the very end')")
        assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"42501"
        assert connection.execute("SELECT length(t) FROM big").fetchall() == [(LONG,)]
    assert kept_bytes(gateway) < 20 * MB
    records = [one["body"]["command"] for one in gateway.audit("command") if one["body"]["command"]["text"].startswith("INSERT")]
    assert [one["cut"] for one in records] == [True, True]
    assert all(one["text"].endswith(" characters are shown)") and len(one["text"]) < KEPT + 100 for one in records)
    assert len({one["body"]["digest"] for one in gateway.audit("command") if "cut" in one["body"]["command"]}) == 2


def test_copy_data_of_any_length_passes_in_pieces(open_gateway, empty):
    with open_gateway.connect() as connection:
        connection.execute("SELECT 1")
        before = memory_mb(open_gateway)
        with connection.cursor().copy("COPY big (t) FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + b"\0\1" + struct.pack(">I", LONG))
            connection.pgconn.put_copy_data(b"x" * LONG)  # all of it in one CopyData
            copy.write(b"\xff\xff")
        assert connection.execute("SELECT length(t) FROM big").fetchone() == (LONG,)
        assert memory_mb(open_gateway) - before < 40


# -- what people are shown
def test_i10_what_no_reviewer_could_see_whole_is_denied_instead_of_held(make_gateway, empty):
    gateway = make_gateway(policy="rules: []\n")
    with gateway.connect() as connection:
        for sql, values in [
            (f"INSERT INTO big (t) VALUES ('{'x' * KEPT}')", None),
            ("INSERT INTO big (t) VALUES (%s)", ["x" * (KEPT + 1)]),
            ("INSERT INTO big (v) VALUES (%b)", [b"\0" * (KEPT + 1)]),
        ]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no reviewer could see all of it"):
                connection.execute(sql, values)
        assert connection.execute("SELECT count(*) FROM big").fetchone() == (0,)
    assert gateway.json("reviews", "list", "--all") == []
    verdicts = [one["body"]["verdict"] for one in gateway.audit("command") if "INSERT" in one["body"]["command"]["text"]]
    assert verdicts == ["deny"] * 3


def test_i10_what_is_held_is_shown_to_its_last_character(make_gateway, empty, in_background):
    gateway = make_gateway(policy="rules: []\n")
    connection = gateway.connect()
    text = "x" * (KEPT - 4) + "END."
    held = in_background(connection, "INSERT INTO big (t) VALUES (%s)", [text])
    review = gateway.pending()
    assert review["command"]["parameters"][0]["shown"] == text
    gateway.cli("reviews", "approve", review["id"])
    assert held.join().rows == 1
    connection.close()


def test_a_share_of_each_of_many_values_is_kept(make_gateway, empty):
    gateway = make_gateway(policy=WRITES)
    with gateway.connect() as connection:
        values = ["é" * 40_000, "short", "ü" * 600_000, None]
        connection.execute("INSERT INTO big (t) SELECT unnest(ARRAY[%s, %s, %s, %s]::text[])", values)
    (record,) = [one["body"]["command"] for one in gateway.audit("command") if "INSERT" in one["body"]["command"]["text"]]
    first, second, third, fourth = [one["shown"] for one in record["parameters"]]
    assert (first, second, fourth) == ("é" * 40_000, "short", "NULL")
    assert third == "ü" * 131_072 + "… (cut here: 262,144 of 1,200,000 bytes are shown)"
    recording = gateway.recorded()
    (shown,) = [event for event in map(json.loads, recording.splitlines()) if event["type"] == "command"]
    assert shown["parameters"][2] == third


def test_a_recording_keeps_a_part_of_a_long_value(open_gateway, empty):
    empty.execute("INSERT INTO big (t) VALUES (repeat('x', 700000))")
    with open_gateway.connect() as connection:
        connection.execute("SELECT t, 1 FROM big")
    recording = open_gateway.recorded()
    assert len(recording) < 400_000


# -- bounds
def test_what_is_longer_than_postgresql_takes_ends_the_session(open_gateway, database, wire):
    for uri in (database.uri, open_gateway.uri()):
        for head in (b"Q" + struct.pack(">I", 0x3FFFFFFF), b"E" + struct.pack(">I", 10_001)):
            with psycopg.connect(uri, autocommit=True) as connection:
                line = wire(connection)
                line.send(head)
                assert line.until_ready()[-1] == ("", b"")
                line.close()


@pytest.fixture
def narrow(make_gateway, gateway_class, monkeypatch, tmp_path):
    """A gateway with room for long messages of 24 MB all together."""
    program = tmp_path / "narrow"
    program.write_text(
        f"#!{sys.executable}\nimport countersign.app\ncountersign.app.room_of_this_machine = lambda: {48 * MB}\n"
        "from countersign.cli.main import main\nmain()\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setitem(gateway_class.start.__globals__, "PROGRAM", str(program))
    return make_gateway(policy=ALLOW)


def told(messages):
    return [
        (kind, dict((one[:1], one[1:]) for one in fields.split(b"\0") if one).get(b"C")) if kind == "E" else kind
        for kind, fields in messages
        if kind not in "NS"
    ]


NO_ROOM = ("E", b"53200")


def test_a_message_for_which_there_is_no_room_is_refused_and_the_session_goes_on(narrow, empty, wire):
    insert, value = b"INSERT INTO big (t) VALUES ($1)", b"x" * (40 * MB)
    with narrow.connect() as connection:
        line = wire(connection)
        line.send(message(b"Q", b"SELECT '" + value + b"'\0"))
        assert told(line.until_ready()) == [NO_ROOM, "Z"]
        line.send(extended(insert, b"small") + SYNC)
        assert told(line.until_ready()) == ["1", "2", "C", "Z"]
        line.send(extended(insert, value) + bind(b"never") + SYNC + extended(insert, b"after") + SYNC)
        assert told(line.until_ready()) == ["1", NO_ROOM, "Z"]
        assert told(line.until_ready()) == ["1", "2", "C", "Z"]
        line.send(message(b"Q", b"BEGIN\0"))
        line.until_ready()
        line.send(message(b"Q", b"SELECT '" + value + b"'\0"))
        assert line.until_ready()[-1] == ("Z", b"E")  # as any error in a transaction
        line.send(message(b"Q", b"ROLLBACK\0"))
        assert line.until_ready()[-1] == ("Z", b"I")
        line.close()
    assert empty.execute("SELECT t FROM big ORDER BY t").fetchall() == [("after",), ("small",)]


def test_the_room_is_for_all_sessions_and_comes_back(narrow, empty, wire, eventually):
    value = b"x" * (16 * MB)
    insert = b"INSERT INTO big (t) VALUES ($1)"
    first, second = narrow.connect(), narrow.connect()
    lines = wire(first), wire(second)
    begun = extended(insert, value)
    lines[0].send(begun[:-MB])  # and no more for now
    eventually(lambda: memory_mb(narrow, "VmRSS") > 120, "it has arrived")

    def another():
        lines[1].send(extended(insert, value) + SYNC)
        return told(lines[1].until_ready())

    eventually(lambda: another() == ["1", NO_ROOM, "Z"], "the room is taken")
    lines[0].send(begun[-MB:] + SYNC)
    assert told(lines[0].until_ready()) == ["1", "2", "C", "Z"]
    eventually(lambda: another() == ["1", "2", "C", "Z"], "there is room again")
    lines[0].send(begun[:-MB])
    eventually(lambda: another() == ["1", NO_ROOM, "Z"], "the room is taken")
    lines[0].close()
    first.close()
    eventually(lambda: another() == ["1", "2", "C", "Z"], "the room of one who left is free")
    lines[1].close()
    second.close()


def test_a_long_statement_that_is_kept_takes_room_until_it_is_closed(narrow, empty, wire, eventually):
    text = b"SELECT length('" + b"x" * (6 * MB) + b"')"
    with narrow.connect() as connection:
        line = wire(connection)
        for round_number in range(3):
            answers = []
            for number in range(6):
                line.send(message(b"P", b"s%d\0" % number + text + b"\0\0\0") + SYNC)
                answers.append(told(line.until_ready()))
            assert answers[0] == ["1", "Z"] and answers[-1] == [NO_ROOM, "Z"], round_number
            line.send(b"".join(message(b"C", b"Ss%d\0" % number) for number in range(6)) + SYNC)
            line.until_ready()
        line.close()


def test_a_long_prepared_statement_is_verified_behind_a_command_that_may_have_prepared_another(open_gateway):
    with open_gateway.connect() as connection:
        text = "x" * 200_000
        assert connection.pgconn.prepare(b"long", f"SELECT '{text}'".encode()).status == pq.ExecStatus.COMMAND_OK
        connection.execute("DO 'BEGIN END'")
        result = connection.pgconn.exec_prepared(b"long", [])
        assert result.get_value(0, 0) == text.encode()
        connection.execute("DEALLOCATE long")
        assert connection.pgconn.exec_prepared(b"long", []).error_field(pq.DiagnosticField.SQLSTATE) == b"26000"
