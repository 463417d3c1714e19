"""What a recording holds, beside what the client itself received: digests, verdicts, decisions, transaction states (docs/recordings.md)."""

import contextlib
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
from pathlib import Path

import asyncpg
import psycopg
import pytest

NOTHING = hashlib.sha256(b"").hexdigest()
PAGE = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
DOCUMENTED = {
    kind: set(re.findall(r"`(\w+)`", fields))
    for kinds, fields in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.+?) \|", PAGE, re.MULTILINE)
    for kind in re.findall(r"`(\w+)`", kinds)
}


class Tap:
    """Stands between a client and the gateway and keeps every byte of both directions."""

    def __init__(self, port):
        self._upstream = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.to_client, self.to_server = bytearray(), bytearray()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        client, _ = self._listening.accept()
        server = socket.create_connection(("127.0.0.1", self._upstream))
        back = threading.Thread(target=self._carry, args=(server, client, self.to_client), daemon=True)
        back.start()
        self._carry(client, server, self.to_server)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def _carry(source, sink, kept):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                kept += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self):
        self._listening.close()
        self._threads[0].join(20)
        assert not self._threads[0].is_alive()

    def answers(self):
        """(messages, bytes, SHA-256) of what each request was answered, where it was."""
        found, seen = [], []
        for message in messages_of(bytes(self.to_client)):
            if message[:1] in (b"D", b"d", b"V"):
                seen.append(message)
            elif message[:1] == b"Z" and seen:
                found.append(digest_of(seen))
                seen = []
        return found

    def copied(self):
        start = struct.unpack(">I", self.to_server[:4])[0]
        return digest_of([one for one in messages_of(bytes(self.to_server[start:])) if one[:1] == b"d"])


def messages_of(data):
    at = 0
    while at < len(data):
        length = 1 + struct.unpack_from(">I", data, at + 1)[0]
        yield data[at : at + length]
        at += length
    assert at == len(data)


def digest_of(messages):
    data = b"".join(messages)
    return (len([one for one in messages if one[:1] != b"V"]), len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def tap(gateway):
    made = Tap(gateway.port)
    yield made
    made.close()


def through(gateway, tap, **options):
    words = f"host=127.0.0.1 port={tap.port} user=crew dbname=shop sslmode=disable gssencmode=disable"
    return psycopg.connect(words, password=gateway.key, **({"autocommit": True} | options))


def recording(gateway, eventually, session=""):
    """The events of a session that is over, the newest one's where none is named."""
    session = session or gateway.json("sessions", "list")[0]["id"]

    def read():
        said = gateway.cli("replay", session, "--json", ok=False).stdout  # none until its first part is stored
        try:
            events = json.loads(said)
        except json.JSONDecodeError:
            events = [json.loads(line) for line in said.splitlines()]
        events = events if isinstance(events, list) else [events]
        return events if events and events[-1]["type"] == "closed" else []

    events = eventually(read, "the end of the recording")
    for event in events:
        assert event.keys() - {"t", "type"} <= DOCUMENTED[event["type"]], event
    assert [event["t"] for event in events] == sorted(event["t"] for event in events)
    return events


def of(events, *kinds):
    return [event for event in events if event["type"] in kinds]


def digests(events):
    return [(done["rows"], done["bytes"], done["answer_sha256"]) for done in of(events, "done") if done["bytes"]]


def vouched(gateway, events):
    """What the audit log says of the same commands, in the same order."""
    records = {record["body"]["command_id"]: record["body"] for record in gateway.audit("command.finished")}
    said = [records[done["command_id"]] for done in of(events, "done")]
    return [(one["rows"], one["bytes"], one["answer_sha256"]) for one in said if one["bytes"]]


def check(gateway, tap, eventually, at_least):
    tap.close()
    seen = tap.answers()
    events = recording(gateway, eventually)
    assert len(seen) >= at_least
    assert digests(events) == seen
    assert eventually(lambda: vouched(gateway, events) == seen, "the outcomes are in the audit log")
    return events


def test_the_digest_of_every_answer_is_that_of_what_psql_received(gateway, tap, eventually):
    script = """
    SELECT id, name FROM customers ORDER BY id;
    SELECT ssn, email, note FROM customers;
    SELECT i, md5(i::text) FROM generate_series(1, 100000) i;
    SELECT repeat('x', 3000000);
    COPY (SELECT id, ssn FROM customers) TO STDOUT;
    COPY (SELECT i FROM generate_series(1, 50000) i) TO STDOUT (FORMAT csv, HEADER);
    SELECT 1 AS a \\; SELECT ssn FROM customers LIMIT 3 \\; SELECT 2;
    SELECT 10 / (3 - i) FROM generate_series(1, 9) i;
    BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM customers; FETCH 7 FROM c; FETCH ALL FROM c; COMMIT;
    """
    repeated = "".join(f"SELECT id, ssn FROM customers WHERE id = {number % 20 + 1};\n" for number in range(40))
    where = f"host=127.0.0.1 port={tap.port} user=crew dbname=shop sslmode=disable gssencmode=disable"
    done = subprocess.run(
        ["psql", "-X", "-q", "-d", where],
        input=script + repeated,
        text=True,
        capture_output=True,
        env={"PGPASSWORD": gateway.key, "PATH": "/usr/bin:/bin"},
    )
    assert "division by zero" in done.stderr
    events = check(gateway, tap, eventually, 49)
    (failed,) = [one for one in of(events, "done") if not one["ok"]]
    assert (failed["error_code"], failed["rows"]) == ("22012", 2)


@pytest.mark.parametrize("binary", [False, True])
def test_the_digest_of_every_answer_is_that_of_what_psycopg_received(gateway, tap, eventually, binary):
    with through(gateway, tap) as connection:
        with connection.cursor(binary=binary) as cursor:
            for number in range(40):  # by the short way from the second or third on, prepared from the sixth
                cursor.execute("SELECT id, ssn, salary, name FROM customers WHERE id > %s ORDER BY id", [number % 20])
                assert len(cursor.fetchall()) == 20 - number % 20
            cursor.execute("SELECT i, i::text, now() FROM generate_series(1, %s::int) i", [100_000])
            cursor.execute("SELECT %s::text", ["y" * 2_000_000])
            assert len(cursor.fetchone()[0]) == 2_000_000
        with connection.transaction(), connection.cursor("named", binary=binary) as cursor:
            cursor.execute("SELECT ssn, id FROM customers")
            cursor.itersize = 6
            assert len(list(cursor)) == 20
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY customers (id, ssn) TO STDOUT (FORMAT {'binary' if binary else 'text'})") as copy,
        ):
            assert b"123-45-67" not in b"".join(bytes(part) for part in copy)
    check(gateway, tap, eventually, 45)


async def test_an_answer_in_several_executes_is_one(gateway, tap, eventually):
    connection = await asyncpg.connect(
        host="127.0.0.1", port=tap.port, user="crew", password=gateway.key, database="shop", ssl=False
    )
    async with connection.transaction():
        found = [row async for row in connection.cursor("SELECT id, ssn FROM customers", prefetch=6)]
    assert len(found) == 20
    await connection.close()
    tap.close()
    events = recording(gateway, eventually)
    seen = [message for message in messages_of(bytes(tap.to_client)) if message[:1] == b"D"]
    assert digests(events)[-1] == digest_of(seen[-20:])


def test_the_digest_of_what_a_copy_read_is_that_of_what_the_client_sent(gateway, tap, eventually):
    with through(gateway, tap) as connection, connection.cursor() as cursor, cursor.copy("COPY log FROM STDIN") as copy:
        for number in range(1000):
            copy.write(f"line {number}\n" * 50)
        copy.write("z" * 3_000_000 + "\n")
    tap.close()
    events = recording(gateway, eventually)
    (done,) = of(events, "done")
    messages, size, digest = tap.copied()
    assert done["copied_in"] == {"messages": messages, "bytes": size, "sha256": digest} and size > 3_000_000
    assert (done["tag"], done["rows"], done["bytes"], done["answer_sha256"]) == ("COPY 50001", 0, 0, NOTHING)
    record = eventually(lambda: gateway.json("audit", "search", "--kind", "command.finished", "--about", done["command_id"]), "it")[
        0
    ]
    assert record["body"]["copied_in"] == done["copied_in"]


@pytest.mark.parametrize("cap", [0, 3])
def test_rows_are_recorded_up_to_the_cap_and_counted_and_vouched_for_beyond(make_gateway, eventually, cap):
    gateway = make_gateway()
    gateway.stop()
    with gateway.config.open("a") as config:
        config.write(f"recordings: {{rows: {cap}}}\n")
    gateway.start()
    with gateway.connect(prepare_threshold=None) as connection:
        for _ in range(10):
            connection.execute("SELECT id, ssn FROM customers")
    events = recording(gateway, eventually)
    assert {one["rows"] for one in of(events, "done")} == {20}
    assert all(one["bytes"] > 0 and one["answer_sha256"] != NOTHING for one in of(events, "done"))
    assert sum(len(one["values"]) for one in of(events, "rows")) == cap * 10
    assert all(one["more"] for one in of(events, "rows"))


def test_columns_say_their_types_and_formats_and_what_masks_them(gateway, eventually):
    with gateway.connect() as connection, connection.cursor(binary=True) as cursor:
        for _ in range(8):
            cursor.execute("SELECT id, ssn, extra, now(), array[1] FROM customers")
    for columns in of(recording(gateway, eventually), "columns"):
        assert columns["types"] == ["int4", "text", "jsonb", "timestamptz", "int4[]"]
        assert columns["masked"][:2] == ["", "ssn"]
        assert columns["formats"] == ["binary"] * 5


def test_the_state_of_the_transaction_is_recorded_behind_each_command(gateway, eventually):
    with gateway.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT 1")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 2")
        connection.execute("ROLLBACK")
        for _ in range(5):
            connection.execute("SELECT 3")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("TRUNCATE orders")
    events = recording(gateway, eventually)
    found = [one["transaction"] for one in of(events, "ready")]
    assert found == ["in transaction", "in transaction", "failed", "failed", *["idle"] * 7]
    codes = [(one["code"], one["fields"].get("V")) for one in of(events, "error")]
    assert codes == [("22012", "ERROR"), ("25P02", "ERROR"), ("42501", "ERROR")]
    ids = {one["command_id"] for one in of(events, "verdict")}
    assert {one["command_id"] for one in of(events, "error", "done")} <= ids


def test_the_verdict_is_the_one_in_the_audit_log(gateway, eventually):
    with gateway.connect() as connection:
        for number in range(6):
            connection.execute("SELECT id FROM orders WHERE id = %s", [number])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("TRUNCATE orders")
    events = recording(gateway, eventually)
    records = {record["body"]["command_id"]: record["body"] for record in gateway.audit("command")}
    verdicts = of(events, "verdict")
    assert [one["action"] for one in verdicts] == ["allow"] * 6 + ["deny"]
    assert verdicts[-1]["message"] == "tables are never emptied"
    for one in verdicts:
        record = records[one["command_id"]]
        assert (record["digest"], record["verdict"], record["rule"]) == (one["digest"], one["action"], one["rule"])
        assert record["policy_digest"] == one["policy_digest"] != ""
    assert {one["message"] for one in of(events, "command")[:6]} == {"Bind"}


HELD = "UPDATE orders SET status = 'held' WHERE id = {}"


def decided(gateway, in_background, eventually, how, sql):
    """The events of a session whose command was held and came to this end; the review, as it was."""
    connection = gateway.connect()
    asked = in_background(connection, sql)
    if how is not None:
        how(connection, gateway.pending())
    asked.join()
    connection.close()
    review = gateway.review(gateway.audit("review.opened")[0]["body"]["review_id"])
    return recording(gateway, eventually, review["session_id"]), review, asked


def story_kinds(gateway, about):
    return [record["kind"] for record in gateway.json("audit", "story", about)]


def test_an_approved_command_has_its_whole_story(gateway, in_background, eventually, audit_schema):
    def approve(_, review):
        gateway.cli("reviews", "approve", review["id"])

    events, review, _ = decided(gateway, in_background, eventually, approve, HELD.format(1))
    kinds = [event["type"] for event in events if event["type"] not in ("session", "closed")]
    assert kinds == ["command", "verdict", "held", "notice", "decision", "decided", "done", "review", "ready"]
    assert {e["command_id"] for e in events if "command_id" in e} == {review["command_id"]}
    (decision,) = of(events, "decision")
    assert (decision["decision"], decision["digest"], decision["reason"]) == ("approve", review["digest"], "")
    assert decision["reviewer"] and decision["authentication"] and decision["decided_at"].startswith("20")
    assert (of(events, "decided")[0]["state"], of(events, "review")[0]["state"]) == ("approved", "executed")
    expected = [
        "command",
        "review.opened",
        "review.decision",
        "review.approved",
        "review.released",
        "command.finished",
        "review.executed",
    ]
    for about in (review["command_id"], review["id"], review["digest"]):
        assert story_kinds(gateway, about) == expected
    kinds = [kind for kind in story_kinds(gateway, review["session_id"]) if kind != "recording.chunk"]
    assert kinds == ["session.opened", *expected, "session.closed"]
    for record in gateway.json("audit", "story", review["id"]):
        body = record["body"]
        assert (body["command_id"], body["review_id"], body["session_id"], body["digest"]) == (
            review["command_id"], review["id"], review["session_id"], review["digest"],
        )  # fmt: skip
    told = gateway.cli("audit", "story", review["id"]).stdout
    for word in (HELD.format(1), "says approve", "UPDATE 1", review["digest"], "SHA-256"):
        assert word in told


def test_a_denied_an_expired_and_a_cancelled_command_have_theirs(gateway, in_background, eventually):
    def deny(_, review):
        gateway.cli("reviews", "deny", review["id"], "--reason", "not today")

    events, review, asked = decided(gateway, in_background, eventually, deny, HELD.format(2))
    assert isinstance(asked.error, psycopg.errors.InsufficientPrivilege)
    (decision,), (end,) = of(events, "decision"), of(events, "decided")
    assert (decision["decision"], decision["reason"], end["state"], end["reason"]) == ("deny", "not today", "denied", "not today")
    assert not of(events, "done", "review")
    assert of(events, "error")[0]["command_id"] == review["command_id"]

    events, review, _ = decided(gateway, in_background, eventually, None, HELD.format(3) + " /* expire quickly */")
    assert not of(events, "decision") and of(events, "decided")[0]["state"] == "expired"
    assert story_kinds(gateway, review["id"]) == ["command", "review.opened", "review.expired"]

    events, review, asked = decided(gateway, in_background, eventually, lambda connection, _: connection.cancel(), HELD.format(4))
    assert isinstance(asked.error, psycopg.errors.QueryCanceled)
    assert of(events, "decided")[0]["state"] == "cancelled" and not of(events, "done")
    assert story_kinds(gateway, review["command_id"]) == ["command", "review.opened", "review.cancelled"]


def test_a_client_that_leaves_while_its_command_is_held_has_a_cancelled_review_on_record(gateway, in_background, eventually):
    connection = gateway.connect()
    asked = in_background(connection, HELD.format(5))
    review = gateway.pending()
    with socket.socket(fileno=os.dup(connection.fileno())) as held:
        held.shutdown(socket.SHUT_RDWR)
    asked.join()
    connection.close()
    events = recording(gateway, eventually, review["session_id"])
    assert of(events, "decided")[0]["state"] == "cancelled"


def test_a_text_that_cannot_be_shown_to_the_letter_is_recorded_with_its_digest(gateway, wire, eventually):
    texts = [b"SELECT 1 /* \xff\xfe */; TRUNCATE orders", b"SELECT 1 /* " + b"y" * 1_100_000 + b" */; TRUNCATE orders"]
    with gateway.connect() as connection:
        raw = wire(connection)
        for text in texts:
            raw.send(b"Q" + struct.pack(">I", len(text) + 5) + text + b"\0")
            if text.startswith(texts[0]):
                gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "no")
            raw.until_ready()
        raw.send(b"Q" + struct.pack(">I", 13) + b"SELECT 1\0")
        raw.until_ready()
        raw.close()
    *odd, plain = of(recording(gateway, eventually), "command")
    for command, text in zip(odd, texts, strict=True):
        assert (command["sent_bytes"], command["sent_sha256"]) == (len(text), hashlib.sha256(text).hexdigest())
    assert plain["text"] == "SELECT 1" and "sent_sha256" not in plain


def test_an_execute_is_recorded_as_sent_and_as_it_reads(gateway, eventually):
    with gateway.connect() as connection:
        connection.execute("PREPARE p AS SELECT id FROM orders WHERE id = $1")
        connection.execute("EXECUTE p (7)")
    command = of(recording(gateway, eventually), "command")[-1]
    assert command["text"] == "EXECUTE p (7)"
    assert command["reads_as"].splitlines()[1:] == ["-- p is:", "-- PREPARE p AS SELECT id FROM orders WHERE id = $1"]


def test_parameters_are_recorded_with_format_and_type_and_what_is_cut_with_its_digest(gateway, eventually):
    big = "p" * 1_200_000
    with gateway.connect() as connection:
        connection.execute("SELECT %b::int, %t::text, %s::text", [5, "five", None])
        connection.execute("SELECT length(%t)", [big])
    first, second = of(recording(gateway, eventually), "command")
    assert first["parameters"] == ["5", "five", "NULL"]
    assert [one["format"] for one in first["bound"]] == ["binary", "text", "text"]
    assert first["bound"][2]["null"] is True
    (bound,) = second["bound"]
    assert (bound["bytes"], bound["sha256"]) == (len(big), hashlib.sha256(big.encode()).hexdigest())


def test_notices_and_notifications_are_recorded_as_the_client_saw_them(gateway, eventually, direct):
    with gateway.connect() as connection:
        connection.execute("LISTEN news")
        direct.execute("NOTIFY news, 'hello'")
        assert [note.payload for note in connection.notifies(timeout=10, stop_after=1)] == ["hello"]
        connection.execute("COMMIT")
    events = recording(gateway, eventually)
    (heard,) = of(events, "notification")
    # What others say could be of a masked column: there are rules for columns here.
    assert (heard["channel"], heard["payload"]) == ("news", None)
    (notice,) = of(events, "notice")
    assert (notice["severity"], notice["code"]) == ("WARNING", "25P01")


def test_what_the_client_calls_itself_is_recorded_when_it_says_so(gateway, eventually):
    with gateway.connect(application_name="agent 7") as connection:
        connection.execute("SET application_name = 'agent 8'")
        for _ in range(4):
            connection.execute("SELECT 1")
        connection.execute("RESET application_name")
    events = recording(gateway, eventually)
    assert events[0]["application"] == "agent 7"
    assert [one["name"] for one in of(events, "application")] == ["agent 8", "agent 7"]


def test_i5_a_name_that_a_query_finds_is_not_recorded(make_gateway, in_background, eventually):
    gateway = make_gateway()
    connection = gateway.connect()
    asked = in_background(connection, "SELECT set_config('application_name', ssn, false) FROM customers WHERE id = 7")
    gateway.cli("reviews", "approve", gateway.pending()["id"])
    assert asked.join().error is None
    connection.close()
    (renamed,) = of(recording(gateway, eventually), "application")
    assert renamed["name"] is None and renamed["withheld"]
    gateway.stop()
    assert "123-45-6717" not in gateway.everything_kept()


def test_i5_no_digest_is_kept_of_an_answer_that_shows_what_is_masked_for_others(make_gateway, eventually):
    policy = "rules: []\nmasking: [{name: ssn, columns: [public.customers.ssn], exempt: {groups: [agents]}}]\n"
    gateway = make_gateway(policy=policy)
    with gateway.connect() as connection:
        for _ in range(6):
            assert connection.execute("SELECT ssn FROM customers WHERE id = 7").fetchone() == ("123-45-6717",)
    events = recording(gateway, eventually)
    assert {one["answer_sha256"] for one in of(events, "done")} == {None}
    assert all(one["withheld"] for one in of(events, "rows"))
    finished = eventually(lambda: (found := gateway.audit("command.finished")) and len(found) == 6 and found, "the outcomes")
    assert {one["body"]["answer_sha256"] for one in finished} == {None}
    gateway.stop()
    row = b"D" + struct.pack(">IHI", 4 + 2 + 4 + 11, 1, 11) + b"123-45-6717"
    kept = gateway.everything_kept()
    assert hashlib.sha256(row).hexdigest() not in kept and hashlib.sha256(b"123-45-6717").hexdigest() not in kept


def test_every_record_of_a_run_is_as_documented(make_gateway, in_background, eventually, audit_schema):
    gateway = make_gateway()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(gateway.uri(key="cs_wrong"))
    for number, how in enumerate(("approve", "deny", "expire", "cancel")):
        with gateway.connect() as connection:
            sql = HELD.format(number + 10) + (" /* expire quickly */" if how == "expire" else "")
            asked = in_background(connection, sql)
            if how == "approve":
                gateway.cli("reviews", "approve", gateway.pending()["id"])
            elif how == "deny":
                gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "no")
            elif how == "cancel":
                gateway.pending()
                connection.cancel()
            asked.join()
    with gateway.connect() as connection:
        for number in range(5):
            connection.execute("SELECT ssn FROM customers WHERE id = %s", [number])
        with connection.cursor().copy("COPY log FROM STDIN") as copy:
            copy.write("x\n")
    key = gateway.json("keys", "list")[0]["id"]
    gateway.cli("keys", "revoke", key)
    gateway.stop()
    lines = [json.loads(line) for line in gateway.cli("audit", "export").stdout.splitlines()]
    assert {line["v"] for line in lines} == {1}
    assert not [problem for line in lines for problem in audit_schema.problems(line["kind"], line["body"])]
    assert {line["kind"] for line in lines} >= {
        "gateway.started", "gateway.stopped", "recording.chunk", "authentication.succeeded", "authentication.failed", "session.opened", "session.closed",
        "command", "command.finished", "review.opened", "review.decision", "review.approved", "review.denied", "review.expired",
        "review.cancelled", "review.released", "review.executed", "key.created", "key.revoked",
    }  # fmt: skip


def test_i5_a_function_call_shows_and_keeps_nothing_of_a_masked_column(make_gateway, wire, eventually, direct):
    """``currval`` and ``nextval`` of the sequence behind a masked column say what is in it, and no SQL is there to be read."""
    direct.execute("CREATE TABLE IF NOT EXISTS badges (id serial PRIMARY KEY, name text)")
    direct.execute("SELECT setval('badges_id_seq', 777000)")
    oid = direct.execute("SELECT 'nextval'::regproc::oid::int").fetchone()[0]
    gateway = make_gateway(policy="rules: []\nmasking: [{name: badge, columns: [public.badges.id]}]\n")
    argument = b"public.badges_id_seq"
    body = struct.pack(">IHHHI", oid, 1, 0, 1, len(argument)) + argument + struct.pack(">H", 0)
    with gateway.connect() as connection:
        raw = wire(connection)
        raw.send(b"F" + struct.pack(">I", len(body) + 4) + body)
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        answers = [payload for kind, payload in raw.until_ready() if kind == "V"]
        raw.close()
    assert answers == [struct.pack(">i", -1)]
    events = recording(gateway, eventually)
    assert of(events, "rows")[0]["values"] == [[None]]
    assert digests(events) == [(0, 9, hashlib.sha256(b"V" + struct.pack(">Ii", 8, -1)).hexdigest())]
    assert of(events, "command")[0]["message"] == "FunctionCall" and of(events, "command")[0]["sent_bytes"] == len(body) + 5
    assert direct.execute("SELECT last_value FROM badges_id_seq").fetchone() == (777001,)
    gateway.stop()
    assert "777001" not in gateway.everything_kept()


def test_the_gateways_last_word_is_recorded(gateway, wire, eventually):
    with gateway.connect() as connection:
        raw = wire(connection)
        raw.send(b"G" + struct.pack(">I", 4))
        assert raw.until_ready()[0][0] == "E"
        raw.close()
    (error,) = of(recording(gateway, eventually), "error")
    assert error["severity"] == "FATAL" and error["code"] == "08P01"
