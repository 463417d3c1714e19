"""What was judged before goes by the relay's thread: to the client, the reviewer and the auditor that must make no difference."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

REPEATS = 40
COUNT = "SELECT count(*) FROM generate_series(1, {})"


def settle(connection):
    """Ask the same until the session has surely gone to the thread, and come back to nothing else."""
    for number in range(REPEATS):
        query = f"SELECT n, 'open' FROM generate_series(1, 100) n WHERE n = {number + 1}"
        assert connection.execute(query).fetchall() == [(number + 1, "open")]


def commands_of(gateway, session_id):
    return [record["body"] for record in gateway.audit("command") if record["body"]["session_id"] == session_id]


def outcomes_of(gateway, session_id):
    return {r["body"]["command_id"]: r["body"] for r in gateway.audit("command.finished") if r["body"]["session_id"] == session_id}


def session_of(gateway, text):
    return next(r["body"]["session_id"] for r in gateway.audit("command") if text in r["body"]["command"]["text"])


def test_i1_every_command_has_its_record_and_its_outcome_and_the_log_verifies(gateway, eventually):
    with gateway.connect() as connection:
        for number in range(200):
            connection.execute(f"SELECT /* every */ {number}") if number == 0 else connection.execute(f"SELECT {number}")
            connection.execute("SELECT %s::int", [number])
    session = session_of(gateway, "every")
    commands = eventually(lambda: (found := commands_of(gateway, session)) and len(found) == 400 and found, "400 records")
    assert sorted(int(c["command"]["text"].split()[-1]) for c in commands if "$" not in c["command"]["text"]) == list(range(200))
    shown = [c["command"]["parameters"][0]["shown"] for c in commands if "$" in c["command"]["text"]]
    assert sorted(shown, key=int) == [str(number) for number in range(200)]
    assert len({c["command_id"] for c in commands}) == len({c["digest"] for c in commands}) == 400
    outcomes = eventually(lambda: (found := outcomes_of(gateway, session)) and len(found) == 400 and found, "400 outcomes")
    assert {c["command_id"] for c in commands} == set(outcomes)
    assert {(o["ok"], o["rows"], o["summary"]) for o in outcomes.values()} == {(True, 1, "SELECT 1")}
    gateway.cli("audit", "verify")


def test_the_recording_shows_what_the_thread_carried(gateway, eventually):
    with gateway.connect() as connection:
        connection.execute("SELECT 'the recorded one'")
        for number in range(REPEATS):
            connection.execute(f"SELECT ssn, {number} FROM customers WHERE id = 1")
    session = session_of(gateway, "the recorded one")
    replayed = eventually(
        lambda: "closed: " in (shown := gateway.cli("replay", session, ok=False).stdout) and shown, "the whole recording"
    )
    assert all(f"SELECT ssn, {number} FROM customers" in replayed for number in range(REPEATS))
    assert replayed.count("6711") >= REPEATS and "123-45-6711" not in replayed


def test_i5_masked_columns_stay_masked_however_often_they_are_asked_for(gateway):
    with gateway.connect() as connection:
        for prepare in (False, True):
            for number in range(REPEATS):
                row = connection.execute(
                    "SELECT ssn, email, salary FROM customers WHERE id = %s", [number % 20 + 1], prepare=prepare
                ).fetchone()
                assert row == (f"***-**-67{number % 20 + 11}", "[redacted]", None)


def test_i5_a_relation_that_becomes_another_is_masked_by_what_it_is(gateway, direct, eventually):
    direct.execute("CREATE TABLE plain (ssn text); INSERT INTO plain VALUES ('the plain one')")
    try:
        with gateway.connect() as connection:
            # Masked until the catalog is read again: what is not known is not shown.
            eventually(lambda: connection.execute("SELECT ssn FROM plain").fetchall() == [("the plain one",)], "it is known")
            for _ in range(REPEATS):
                assert connection.execute("SELECT ssn FROM plain").fetchall() == [("the plain one",)]
            direct.execute("ALTER TABLE plain RENAME TO other; CREATE VIEW plain AS SELECT ssn FROM customers WHERE id = 1")
            for _ in range(3):
                [(value,)] = connection.execute("SELECT ssn FROM plain").fetchall()
                assert "123-45" not in value
    finally:
        direct.execute("DROP VIEW IF EXISTS plain; DROP TABLE IF EXISTS other")


def test_i3_a_write_in_between_is_held_as_ever(gateway, in_background):
    with gateway.connect() as connection:
        settle(connection)
        held = in_background(connection, "UPDATE orders SET status = 'x' WHERE id = 1")
        review = gateway.pending()
        gateway.cli("reviews", "deny", review["id"], "--reason", "not now")
        assert held.join().error.sqlstate == "42501"
        settle(connection)


def test_errors_transactions_and_names_are_the_server_s(gateway, database):
    def dialogue(uri):
        said = []
        with psycopg.connect(uri, autocommit=True) as connection:
            for number in [1] * REPEATS + [0, 2, 0, 1]:
                with contextlib.suppress(psycopg.Error):
                    said.append(connection.execute(f"SELECT 10 / {number}").fetchall())
                    continue
                said.append(connection.info.transaction_status.name)
            for _ in range(5):
                connection.execute("BEGIN")
                for number in (1, 1, 0, 1):
                    try:
                        said.append(connection.execute("SELECT 10 / %s", [number], prepare=True).fetchall())
                    except psycopg.Error as error:
                        said.append(error.sqlstate)
                    said.append(connection.info.transaction_status.name)
                connection.execute("ROLLBACK")
            connection.execute("DEALLOCATE ALL")
            said += [connection.execute("SELECT 10 / %s", [1], prepare=True).fetchall() for _ in range(REPEATS)]
        return said

    assert dialogue(gateway.uri()) == dialogue(database.uri)


def test_i4_a_cancel_reaches_what_the_thread_carries(gateway, eventually):
    with gateway.connect() as connection:
        for _ in range(REPEATS):
            connection.execute(COUNT.format(10))
        timer = threading.Timer(1, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(COUNT.format(999999999))
        timer.join()
        assert connection.execute(COUNT.format(10)).fetchone() == (10,)


def test_a_client_that_leaves_takes_its_target_s_session_along(gateway, direct, eventually):
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND application_name = 'leaver'"
    connection = psycopg.connect(gateway.uri(), autocommit=True, application_name="leaver")
    settle(connection)
    assert direct.execute(query).fetchone() == (1,)
    connection.close()
    eventually(lambda: direct.execute(query).fetchone() == (0,), "the target's session ends")


def test_a_target_that_leaves_is_told_to_the_client(gateway, direct):
    with gateway.connect() as connection:
        settle(connection)
        pid = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
        direct.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.OperationalError):
            settle(connection)


def test_stopping_the_gateway_ends_what_the_thread_carries_with_a_word(make_gateway):
    gateway = make_gateway()
    connection = gateway.connect()
    settle(connection)
    gateway.stop()
    with pytest.raises(psycopg.OperationalError, match="Countersign is stopping|terminat"):
        connection.execute("SELECT 1")
    connection.close()


def test_many_sessions_at_once_get_their_own_answers(gateway):
    def one(number):
        with gateway.connect() as connection:
            return [
                connection.execute("SELECT %s::text || '-' || %s::text", [number, step]).fetchone()[0] for step in range(REPEATS)
            ]

    with ThreadPoolExecutor(12) as pool:
        for number, answers in enumerate(pool.map(one, range(24))):
            assert answers == [f"{number}-{step}" for step in range(REPEATS)]


def test_a_client_that_does_not_read_keeps_the_target_waiting(gateway, direct):
    """60 MB of rows that nobody fetches do not pile up in the gateway."""
    query = "SELECT repeat('x', 60), n FROM generate_series(1, {}) n"
    with gateway.connect() as connection, gateway.connect() as other:
        for _ in range(REPEATS):
            connection.execute(query.format(10))
        before = resident_kb(gateway.process.pid)
        connection.pgconn.send_query(query.format(800000).encode())
        for _ in range(REPEATS):
            settle(other)
        assert resident_kb(gateway.process.pid) - before < 20_000
        connection.pgconn.set_single_row_mode()
        rows = 0
        while (result := connection.pgconn.get_result()) is not None:
            rows += result.ntuples
        assert rows == 800000
        settle(connection)


def resident_kb(pid):
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1])
