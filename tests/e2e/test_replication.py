"""Replication through the gateway: PostgreSQL's own programs where a rule allows it, and nobody where none does."""

import subprocess

import psycopg
import psycopg2
import psycopg2.extras
import pytest
from psycopg import pq

from countersign.demo.database import DemoDatabase, binaries

PHYSICAL = """
rules:
  - name: backups
    subjects: {groups: [agents]}
    effects: [read, admin]
    action: allow
    when: >
      command.kinds.all(k, k in ['START REPLICATION SESSION', 'IDENTIFY_SYSTEM', 'SHOW', 'BASE_BACKUP', 'CREATE_REPLICATION_SLOT',
      'START_REPLICATION', 'TIMELINE_HISTORY', 'READ_REPLICATION_SLOT'])
"""
EVERYTHING = "rules: [{name: everything, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}]\n"
MASKED = EVERYTHING + "masking: [{name: content, detect: [email]}]\n"


@pytest.fixture(scope="module")
def primary():
    """A server whose role ``app`` may replicate."""
    with DemoDatabase(settings={"wal_level": "logical"}) as server:
        with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", autocommit=True) as connection:
            connection.execute("ALTER ROLE app REPLICATION")
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE items AS SELECT i, repeat('x', 100) AS text FROM generate_series(1, 50000) i")
            connection.execute("ALTER TABLE items ADD PRIMARY KEY (i)")
        yield server


@pytest.fixture
def through(make_gateway, primary):
    return lambda policy: make_gateway(upstream_port=primary.port, password=primary.password, policy=policy)


def run(program, *words, uri):
    command = [binaries() / program, *map(str, words), "-d", uri]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def opened(gateway, how: str) -> pq.PGconn:
    return pq.PGconn.connect(f"{gateway.uri()}?replication={how}".encode())


def test_pg_basebackup_copies_a_server_under_a_rule(through, primary, tmp_path):
    gateway = through(PHYSICAL)
    done = run("pg_basebackup", "-D", tmp_path / "copy", "-X", "stream", "-c", "fast", uri=gateway.uri())
    assert done.returncode == 0, done.stderr
    checked = subprocess.run([binaries() / "pg_verifybackup", tmp_path / "copy"], capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stderr
    kinds = [event["body"]["command"]["statements"][0]["kind"] for event in gateway.audit("command")]
    assert kinds.count("START REPLICATION SESSION") == 2
    assert {"BASE_BACKUP", "START_REPLICATION"} <= set(kinds)
    finished = [event["body"]["ok"] for event in gateway.audit("command.finished")]
    assert len(finished) == len(kinds)


def test_pg_receivewal_streams_the_log_under_a_rule(through, primary, tmp_path):
    gateway = through(PHYSICAL)
    with psycopg.connect(host=str(primary.folder), port=primary.port, user="postgres", autocommit=True) as connection:
        name = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0]
        connection.execute("CREATE TABLE IF NOT EXISTS written AS SELECT generate_series(1, 1000)")
        connection.execute("SELECT pg_switch_wal()")
        end = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
    done = run("pg_receivewal", "-D", tmp_path, "--no-loop", f"--endpos={end}", uri=gateway.uri())
    assert done.returncode == 0, done.stderr
    kept = [file for file in tmp_path.iterdir() if file.name.removesuffix(".partial") >= name]
    assert kept or any(tmp_path.iterdir())
    for file in tmp_path.glob("[0-9A-F]" * 24):
        assert file.read_bytes() == (primary.folder / "data" / "pg_wal" / file.name).read_bytes()


def test_logical_replication_with_psycopg2(through, primary):
    gateway = through(EVERYTHING)
    with psycopg.connect(primary.uri, autocommit=True) as direct:
        direct.execute("CREATE PUBLICATION changes FOR TABLE items")
    connection = psycopg2.connect(gateway.uri(), connection_factory=psycopg2.extras.LogicalReplicationConnection)
    with connection.cursor() as cursor:
        cursor.create_replication_slot("watched", output_plugin="pgoutput")
        cursor.start_replication("watched", options={"proto_version": "1", "publication_names": "changes"})
        with psycopg.connect(primary.uri, autocommit=True) as writer:
            writer.execute("UPDATE items SET text = 'seen by the slot' WHERE i = 1")
        told = []

        def consume(message):
            told.append(message.payload)
            message.cursor.send_feedback(flush_lsn=message.data_start)
            if message.payload.startswith(b"C"):
                raise psycopg2.extras.StopReplication

        with pytest.raises(psycopg2.extras.StopReplication):
            cursor.consume_stream(consume)
        assert any(b"seen by the slot" in line for line in told)
    connection.close()


@pytest.mark.parametrize("how", ["true", "database", "yes", "1"])
def test_without_a_rule_it_is_refused_and_not_held(through, primary, how):
    gateway = through("rules: []\n")
    connection = opened(gateway, how)
    assert connection.status == pq.ConnStatus.BAD
    assert b"nothing is held while a client connects" in connection.error_message
    assert gateway.json("reviews", "list", "--all") == []
    assert gateway.audit("command")[0]["body"]["verdict"] == "deny"


def test_a_rule_for_reads_does_not_open_it(through):
    gateway = through("rules: [{name: reads, effects: [read], action: allow}]\n")
    assert b"denied by Countersign" in opened(gateway, "true").error_message


@pytest.mark.parametrize("how", ["true", "database"])
def test_i5_it_is_refused_where_anything_is_masked(through, how):
    gateway = through(MASKED)
    assert b"cannot be masked" in opened(gateway, how).error_message


def test_what_no_rule_allows_inside_is_refused_and_the_session_lives(through):
    gateway = through(PHYSICAL)
    connection = opened(gateway, "database")
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    for sql in (b"DROP_REPLICATION_SLOT nothing", b"SELECT 1", b"drop table items", b"  UPLOAD_MANIFEST", b"/**/ IDENTIFY_SYSTEM"):
        result = connection.exec_(sql)
        assert result.status == pq.ExecStatus.FATAL_ERROR
        assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"42501"
    assert connection.exec_(b"IDENTIFY_SYSTEM").ntuples == 1
    assert connection.exec_(b"IDENTIFY_SYSTEM; SELECT 1").status == pq.ExecStatus.FATAL_ERROR
    assert connection.exec_(b"IDENTIFY_SYSTEM").ntuples == 1
    connection.finish()


def test_extended_messages_end_a_replication_session(through):
    gateway = through(EVERYTHING)
    connection = opened(gateway, "database")
    assert connection.exec_params(b"SELECT 1", []).status == pq.ExecStatus.FATAL_ERROR
    assert b"in a replication session" in connection.error_message
    connection.finish()
