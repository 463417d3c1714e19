"""One gateway, one database, real clients: what a user of the spine would notice."""

import os
import signal
import socket
import struct
import subprocess

import psycopg
import pytest


@pytest.fixture(autouse=True)
def nothing_pending(gateway):
    yield
    for review in gateway.json("reviews", "list"):
        gateway.cli("reviews", "deny", review["id"], "--reason", "left over", ok=False)


def count(connection, sql="SELECT count(*) FROM orders"):
    return connection.execute(sql).fetchone()[0]


def test_a_read_runs_through_and_comes_back_masked(gateway):
    with gateway.connect() as connection:
        row = connection.execute("SELECT id, name, ssn, email, note, salary, extra FROM customers WHERE id = 1").fetchone()
    assert row == (1, "customer 1", "***-**-6711", "[redacted]", "card [redacted]", None, {"mail": "[redacted]"})


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ssn AS harmless FROM customers c WHERE id = %s", "***-**-6711"),
        ("SELECT ssn || '' FROM customers WHERE id = %s", "[redacted]"),
        ("SELECT c FROM customers c WHERE id = %s", None),
        ("SELECT string_agg(ssn, ',') FROM customers WHERE id = %s", "[redacted]"),
        ("SELECT x FROM (SELECT reverse(ssn) x FROM customers WHERE id = %s) s", "[redacted]"),
        ("WITH w AS (SELECT ssn s FROM customers WHERE id = %s) SELECT s || '' FROM w", "[redacted]"),
        ("SELECT tax FROM contacts WHERE id = %s", "[redacted]"),
        ("SELECT salary + 0 FROM customers WHERE id = %s", None),
        ("SELECT count(*) FROM customers WHERE id = %s", 1),
        ("SELECT upper(name) FROM customers WHERE id = %s", "CUSTOMER 1"),
    ],
)
def test_i5_expressions_over_masked_columns_are_masked(gateway, sql, expected, binary):
    with gateway.connect() as connection:
        assert connection.execute(sql, (1,), binary=binary).fetchone()[0] == expected


def test_i5_a_statement_that_sql_prepares_anew_is_masked_as_what_it_is_now(gateway):
    with gateway.connect() as connection:
        server = connection.pgconn
        server.prepare(b"again", b"SELECT 'harmless'")
        assert [server.exec_prepared(b"again", []).get_value(0, 0) for _ in range(5)] == [b"harmless"] * 5
        connection.execute("DEALLOCATE again")
        connection.execute("PREPARE again AS SELECT ssn || '' FROM customers WHERE id = 1")
        assert [server.exec_prepared(b"again", []).get_value(0, 0) for _ in range(5)] == [b"[redacted]"] * 5
        with pytest.raises(psycopg.errors.InFailedSqlTransaction), connection.transaction():
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1/0")
            connection.execute("DEALLOCATE again")
        assert server.exec_prepared(b"again", []).get_value(0, 0) == b"[redacted]"


def test_i5_error_texts_do_not_quote_masked_values(gateway):
    with gateway.connect() as connection, pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
        connection.execute("SELECT ssn::int FROM customers WHERE id = 1")
    assert "6711" not in str(caught.value)


def test_i5_originals_are_in_no_file_and_no_log(gateway):
    with gateway.connect() as connection:
        connection.execute("SELECT * FROM customers").fetchall()
    kept = gateway.everything_kept()
    assert "123-45-67" not in kept
    assert "c1@example.com" not in kept
    assert "4242 4242" not in kept


def test_i6_secrets_are_in_no_file_and_no_log(gateway, database):
    kept = gateway.everything_kept()
    assert gateway.key not in kept
    assert database.password not in kept


def test_an_approved_command_runs_once_and_its_review_says_so(gateway, direct, in_background):
    before = count(direct)
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = %s", (1,))
        review = gateway.pending()
        assert count(direct) == before
        assert gateway.cli("reviews", "approve", review["id"][:9]).stdout == f"{review['id']} is approved\n"
        assert held.join().rows == 1
    assert count(direct) == before - 1
    assert gateway.review(review["id"])["state"] == "executed"
    assert review["command"]["parameters"] == [{"shown": "1", "is_null": False}]
    assert any(review["id"] in notice for notice in held.notices)


def test_a_denied_command_is_an_ordinary_error_and_the_transaction_goes_on_as_the_server_says(gateway, direct, in_background):
    with gateway.connect(autocommit=False) as connection:
        connection.execute("SELECT 1")
        held = in_background(connection, "DROP TABLE orders")
        review = gateway.pending()
        gateway.cli("reviews", "deny", review["id"], "--reason", "keep the orders")
        error = held.join().error
        assert isinstance(error, psycopg.errors.InsufficientPrivilege)
        assert "keep the orders" in error.diag.message_primary
        assert review["id"] in error.diag.message_detail
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM orders").fetchone()[0] == count(direct)
    assert gateway.review(review["id"])["outcome"] == "keep the orders"


def test_a_rule_denies_at_once_with_its_message(gateway, direct):
    with gateway.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="tables are never emptied"):
            connection.execute("TRUNCATE orders")
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert count(direct) > 0


def test_an_allowed_write_runs_and_is_on_record(gateway, direct):
    with gateway.connect() as connection:
        connection.execute("INSERT INTO log VALUES ('one line')")
    commands = [record["body"] for record in gateway.audit("command")]
    assert any(body["rule"] == "loggers-may-insert" and body["verdict"] == "allow" for body in commands)


def test_a_review_that_nobody_decides_expires(gateway, direct, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders /* expire quickly */").join()
        assert "nobody approved" in held.error.diag.message_primary
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert count(direct) > 0


def test_i4_a_client_that_leaves_cancels_its_review(gateway, direct, in_background, eventually):
    before = count(direct)
    connection = gateway.connect()
    in_background(connection, "DELETE FROM orders WHERE id = 50")
    review = gateway.pending()
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.shutdown(socket.SHUT_RDWR)
    eventually(lambda: gateway.review(review["id"])["state"] == "cancelled", "the review is cancelled")
    late = gateway.cli("reviews", "approve", review["id"], ok=False)
    assert late.returncode == 1
    assert "cancelled already" in late.stderr
    assert count(direct) == before
    connection.close()


def test_ctrl_c_takes_a_held_command_back(gateway, in_background, direct):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 51")
        review = gateway.pending()
        connection.cancel()
        assert isinstance(held.join().error, psycopg.errors.QueryCanceled)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert gateway.review(review["id"])["state"] == "cancelled"
    assert count(direct, "SELECT count(*) FROM orders WHERE id = 51") == 1


def test_ctrl_c_reaches_a_running_command(gateway, in_background, eventually):
    with gateway.connect() as connection:
        held = in_background(connection, "SELECT pg_sleep(30)")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        eventually(lambda: gateway.audit("review.released"), "the command runs")
        connection.cancel()
        assert isinstance(held.join().error, psycopg.errors.QueryCanceled)


def test_i2_a_decision_on_another_digest_is_refused(gateway, in_background):
    import httpx

    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 52")
        review = gateway.pending()
        transport = httpx.HTTPTransport(uds=str(gateway.folder / "countersign.sock"))
        with httpx.Client(transport=transport, base_url="http://countersign") as client:
            answer = client.post(f"/api/v1/reviews/{review['id']}/approve", json={"digest": "0" * 64})
        assert answer.status_code == 409
        gateway.cli("reviews", "deny", review["id"], "--reason", "enough")
        held.join()


def test_the_second_statement_of_a_string_is_seen(gateway, in_background, direct):
    with gateway.connect() as connection:
        held = in_background(connection, "SELECT 1; DELETE FROM orders")
        review = gateway.pending()
        assert [statement["kind"] for statement in review["command"]["statements"]] == ["SELECT", "DELETE"]
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()
    assert count(direct) > 0


def test_i3_what_cannot_be_parsed_is_held(gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "SELEC 1")
        review = gateway.pending()
        assert review["command"]["effects"] == ["unknown"]
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()


def message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack(">I", len(payload) + 4) + payload


def test_i2_a_statement_name_left_over_from_a_failed_pipeline_is_not_judged_as_its_successor(gateway, direct):
    """Parse '' = DELETE; then an error, so that Parse '' = SELECT is skipped by the server; then Bind '' must be judged as DELETE."""
    before = count(direct)
    with gateway.connect() as connection:
        raw = socket.socket(fileno=os.dup(connection.fileno()))
        raw.setblocking(True)
        raw.settimeout(20)
        delete = message(b"P", b"s\0DELETE FROM orders\0\0\0")
        broken = message(b"P", b"bad\0SELECT FROM WHERE\0\0\0")
        close = message(b"C", b"Ss\0")
        innocent = message(b"P", b"s\0SELECT 1\0\0\0")
        sync = message(b"S", b"")
        run = message(b"B", b"\0s\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0")
        raw.sendall(delete + sync + broken + close + innocent + sync + run + sync)
        review = gateway.pending()
        assert review["command"]["text"] == "DELETE FROM orders"
        gateway.cli("reviews", "deny", review["id"], "--reason", "caught")
        raw.close()
    assert count(direct) == before


def test_copy_in_is_held_and_then_streams(gateway, direct, in_background):
    import threading

    with gateway.connect() as connection:

        def load() -> None:
            with connection.cursor().copy("COPY orders FROM STDIN") as copy:
                for number in range(1000, 1100):
                    copy.write_row((number, "loaded"))

        loading = threading.Thread(target=load)
        loading.start()
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        loading.join(20)
        assert count(direct, "SELECT count(*) FROM orders WHERE status = 'loaded'") == 100
    direct.execute("DELETE FROM orders WHERE status = 'loaded'")


COPIES = ["customers", "customers (id, ssn, note)", "(SELECT id, ssn, lower(ssn), note FROM customers)"]


@pytest.mark.parametrize("options", ["", "WITH (FORMAT csv, HEADER)", "WITH (FORMAT csv, FORCE_QUOTE *)", "WITH (FORMAT binary)"])
@pytest.mark.parametrize("source", COPIES)
def test_i5_copy_to_the_client_is_masked_in_every_format(gateway, direct, source, options):
    sql = f"COPY {source} TO STDOUT {options}"
    with gateway.connect() as connection, connection.cursor().copy(sql) as copy:
        masked = b"".join(map(bytes, copy))
    with direct.cursor().copy(sql) as copy:
        original = b"".join(map(bytes, copy))
    assert b"123-45-67" in original
    assert b"123-45-67" not in masked
    assert b"***-**-6711" in masked
    assert b"4242" not in masked
    if "binary" not in options:
        assert masked.count(b"\n") == original.count(b"\n")


def test_a_copy_of_what_is_not_there_is_the_servers_error(gateway):
    with gateway.connect() as connection:
        with (
            pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"),
            connection.cursor().copy("COPY nowhere TO STDOUT") as copy,
        ):
            list(copy)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_cursors_and_prepared_statements_of_sql_are_known_for_what_they_are(gateway):
    with gateway.connect(autocommit=False) as connection:
        connection.execute("DECLARE c CURSOR FOR SELECT upper(name), lower(ssn), count(*) OVER () FROM customers ORDER BY id")
        assert connection.execute("FETCH 1 FROM c").fetchone() == ("CUSTOMER 1", "[redacted]", 20)
        connection.execute("PREPARE p (int) AS SELECT upper(name), upper(ssn) FROM customers WHERE id = $1")
        assert connection.execute("EXECUTE p (2)").fetchone() == ("CUSTOMER 2", "[redacted]")
        connection.execute("DEALLOCATE p")


def test_an_executed_write_is_held_and_its_reviewer_sees_the_statement(gateway, in_background, direct):
    with gateway.connect() as connection:
        held = in_background(connection, "PREPARE kill (int) AS DELETE FROM orders WHERE id = $1")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        held.join()
        held = in_background(connection, "EXECUTE kill (60)")
        review = gateway.pending()
        assert "DELETE FROM orders" in review["command"]["text"]
        assert review["command"]["effects"] == ["read", "write"] or review["command"]["effects"] == ["write"]
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()
    assert count(direct, "SELECT count(*) FROM orders WHERE id = 60") == 1


def test_server_side_cursors_pipelines_and_prepared_statements_work(gateway):
    with gateway.connect(autocommit=False) as connection:
        with connection.cursor(name="many") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT ssn FROM customers ORDER BY id")
            assert [row[0][:6] for row in cursor] == ["***-**"] * 20
        with connection.pipeline():
            cursors = [connection.execute("SELECT id, ssn FROM customers WHERE id = %s", (i,)) for i in range(1, 11)]
        assert [cursor.fetchone()[0] for cursor in cursors] == list(range(1, 11))
        for _ in range(10):
            connection.execute("SELECT %s::int", (1,), prepare=True)


def test_psql_describes_a_table(gateway, database):
    done = subprocess.run([database.psql, "-X", gateway.uri(), "-c", r"\d customers"], capture_output=True, text=True, timeout=30)
    assert "customers_pkey" in done.stdout


def test_a_wrong_key_an_unknown_name_and_an_unknown_database_are_clear_and_alike(gateway):
    texts = []
    for uri in (gateway.uri(key="cs_wrong"), gateway.uri(user="nobody")):
        with pytest.raises(psycopg.OperationalError) as caught:
            psycopg.connect(uri)
        texts.append(str(caught.value).replace("nobody", "crew").split("FATAL:")[1])
    assert texts[0] == texts[1]
    assert "the name or the key is wrong" in texts[0]
    with pytest.raises(psycopg.OperationalError, match="no such database"):
        psycopg.connect(gateway.uri(database="nowhere"))


def test_a_revoked_key_opens_no_session(gateway):
    key = gateway.cli("keys", "create", "temp").stdout.strip()
    with psycopg.connect(gateway.uri(user="temp", key=key)):
        pass
    listed = next(entry for entry in gateway.json("keys", "list") if entry["identity"] == "temp")
    gateway.cli("keys", "revoke", listed["id"])
    with pytest.raises(psycopg.OperationalError, match="was revoked"):
        psycopg.connect(gateway.uri(user="temp", key=key))


def test_both_keys_of_a_rotation_work(gateway):
    second = gateway.cli("keys", "create", "crew").stdout.strip()
    for key in (gateway.key, second):
        with psycopg.connect(gateway.uri(key=key)):
            pass


@pytest.mark.parametrize(
    "setting",
    [
        "options=-c%20session_preload_libraries%3Dx",
        "options=-c%20role%3Dpostgres",
        "replication=database",
        "client_encoding=latin1",
    ],
)
def test_startup_parameters_that_could_change_the_rules_are_refused(gateway, setting):
    with pytest.raises(psycopg.OperationalError, match="not allowed|UTF8 only|cannot be masked"):
        psycopg.connect(f"{gateway.uri()}?{setting}")


def test_i9_bytes_behind_an_ssl_request_are_refused(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
        raw.sendall(struct.pack(">II", 8, 80877103) + b"Q\0\0\0\x0dSELECT 1\0")
        answer = raw.recv(4096)
    assert answer[:1] == b"E"


def test_replay_shows_the_session_after_masking(gateway, eventually):
    with gateway.connect() as connection:
        connection.execute("SELECT ssn FROM customers WHERE id = 7").fetchall()
        session = gateway.json("sessions", "list")[0]["id"]
    shown = eventually(
        lambda: "closed: " in (told := gateway.cli("replay", session, ok=False).stdout) and told, "the whole recording"
    )
    assert "SELECT ssn FROM customers" in shown
    assert "***-**-6717" in shown


def test_i1_kill_9_while_held_runs_nothing_and_loses_nothing(make_gateway, direct, in_background, eventually):
    gateway = make_gateway()
    before = count(direct)
    connection = gateway.connect()
    held = in_background(connection, "DELETE FROM orders")
    review = gateway.pending()
    gateway.kill()
    assert isinstance(held.join().error, psycopg.OperationalError)
    assert count(direct) == before
    gateway.start()
    after = gateway.review(review["id"])
    assert after["state"] == "cancelled"
    assert gateway.json("audit", "verify")["ok"]
    assert count(direct) == before


def test_an_unreachable_target_is_a_clear_sentence(make_gateway):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gateway = make_gateway(upstream_port=port, policy="rules: []\n")
    with pytest.raises(psycopg.OperationalError, match="target shop: the target cannot be reached"):
        psycopg.connect(gateway.uri())


def test_wrong_target_credentials_leak_nothing(make_gateway):
    gateway = make_gateway(password="not-the-password", policy="rules: []\n")
    with pytest.raises(psycopg.OperationalError, match="does not accept the gateway's credentials") as caught:
        psycopg.connect(gateway.uri())
    assert "not-the-password" not in str(caught.value) + gateway.everything_kept()


def test_a_malformed_configuration_names_file_line_and_hint(gateway, tmp_path):
    config = tmp_path / "countersign.yaml"
    config.write_text(
        "targets:\n  - name: shop\n    type: postgress\n    listen: 127.0.0.1:0\n    upstream: {host: x, user: y, password: hunter2}\n"
    )
    done = subprocess.run(
        [os.path.join(os.path.dirname(gateway.process.args[0]), "countersign"), "serve", "--config", str(config)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"{config}:3: unknown target type 'postgress' (hint: supported: postgres)" in done.stderr
    assert f"{config}:5: a password does not stand in the configuration" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_second_gateway_on_the_same_store_is_refused(gateway):
    done = gateway.cli("serve", ok=False)
    assert done.returncode == 1
    assert "another gateway is running" in done.stderr


def test_sigterm_ends_sessions_with_a_word(make_gateway):
    gateway = make_gateway()
    with gateway.connect() as connection:
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(20)
        assert gateway.process.returncode == 0
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
