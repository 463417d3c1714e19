"""A denied and a held command at every position of a transaction, of a message with several statements, and of a pipeline.

The same steps are taken with the gateway and with the database itself, where a text that no server accepts stands for a command that
is denied, and the plain statement for one that is approved. Results, the states that the client is told, the server's own and what is
in the table afterwards must be the same.
"""

import queue
import select
import threading

import psycopg
import pytest
from psycopg import pq

POLICY = """
rules:
  - {name: never, when: "command.text.contains('must not')", action: deny}
  - {name: ask, when: "command.text.contains('must wait')", action: review}
  - {name: everything, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}
masking:
  - {name: ssn, columns: [public.customers.ssn]}
"""
MARK = "the marked command"
FIRST, SECOND = "INSERT INTO steps VALUES (1)", "INSERT INTO steps VALUES (2)"
READ = "SELECT array_agg(n ORDER BY n) FROM steps"
DENIED = "INSERT INTO steps VALUES (99) /* must not */"
HELD = "INSERT INTO steps VALUES (99) /* must wait */"
REJECTED = "no server accepts this"
REFUSALS = {"42501", "42601"}
STATES = {
    pq.TransactionStatus.IDLE: "idle",
    pq.TransactionStatus.INTRANS: "idle in transaction",
    pq.TransactionStatus.INERROR: "idle in transaction (aborted)",
}

SINGLE = {
    "alone": [MARK],
    "between others": [FIRST, MARK, SECOND],
    "first in a transaction": ["BEGIN", MARK, FIRST, "COMMIT"],
    "in the middle of a transaction": ["BEGIN", FIRST, MARK, SECOND, "COMMIT"],
    "last in a transaction": ["BEGIN", FIRST, MARK, "COMMIT"],
    "in a transaction that is rolled back": ["BEGIN ISOLATION LEVEL SERIALIZABLE", FIRST, MARK, "ROLLBACK", SECOND],
    "behind a savepoint": ["BEGIN", FIRST, "SAVEPOINT s", MARK, "ROLLBACK TO s", SECOND, "COMMIT"],
    "behind a savepoint and nothing else": ["BEGIN", "SAVEPOINT s", MARK, "ROLLBACK TO s", SECOND, "COMMIT"],
    "inside two savepoints": ["BEGIN", "SAVEPOINT a", FIRST, "SAVEPOINT b", MARK, "ROLLBACK TO b", "RELEASE a", "COMMIT"],
    "before a savepoint is released": ["BEGIN", "SAVEPOINT s", MARK, "RELEASE s", "COMMIT"],
    "before a transaction that follows": ["BEGIN", MARK, "COMMIT AND CHAIN", FIRST, "COMMIT"],
    "behind an empty command": ["", MARK, ""],
}
TOGETHER = {
    "first": [f"{MARK}; {FIRST}; {SECOND}"],
    "in the middle": [f"{FIRST}; {MARK}; {SECOND}"],
    "last": [f"{FIRST}; {SECOND}; {MARK}"],
    "in a transaction of the same message": [f"BEGIN; {FIRST}; {MARK}; COMMIT", SECOND],
    "in a transaction that the message leaves open": [f"BEGIN; {MARK}", FIRST, "COMMIT"],
    "at the end of a transaction that was open": ["BEGIN", FIRST, f"{MARK}; COMMIT", "ROLLBACK"],
    "in an open transaction, with a savepoint": ["BEGIN", f"SAVEPOINT s; {MARK}", "ROLLBACK TO s", FIRST, "COMMIT"],
}
PIPELINES = {
    "alone": [[MARK]],
    "first": [[MARK, FIRST, SECOND], [READ]],
    "in the middle": [[FIRST, MARK, SECOND], [READ]],
    "last": [[FIRST, SECOND, MARK], [READ]],
    "in a segment of its own": [[FIRST], [MARK], [SECOND, READ]],
    "first in a transaction": [["BEGIN", MARK, FIRST, "COMMIT"], ["ROLLBACK", READ]],
    "in the middle of a transaction": [["BEGIN", FIRST, MARK, SECOND, "COMMIT"], ["ROLLBACK"], [READ]],
    "last in a transaction": [["BEGIN", FIRST, SECOND, MARK], ["COMMIT"], [READ]],
    "in a transaction over several segments": [["BEGIN", FIRST], [MARK], [SECOND], ["COMMIT"], [READ]],
    "behind a savepoint": [["BEGIN", FIRST, "SAVEPOINT s"], [MARK], ["ROLLBACK TO s", SECOND, "COMMIT"], [READ]],
    "behind an error": [["SELECT 1/0", FIRST], [MARK, SECOND], [READ]],
    "between empty segments": [[], [MARK], [], [READ]],
}


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("positions"), database.port, database.password, policy=POLICY)
    with psycopg.connect(database.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS steps (n int)")
    yield running
    running.stop()


def next_result(server):
    """What libpq's PQgetResult answers, without blocking the other threads of this process meanwhile."""
    while server.is_busy():
        select.select([server.socket], [], [], 30)
        server.consume_input()
    return server.get_result()


def seen(connection, result):
    """One result as the client sees it. Why a command was refused is another matter than that it was."""
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    rows = [[result.get_value(row, i) for i in range(result.nfields)] for row in range(result.ntuples)]
    status = pq.ExecStatus(result.status).name
    return status, result.command_status, rows, "refused" if code in REFUSALS else code


def state(connection, direct):
    """The transaction's state as the client was told, having asked the server whether that is so."""
    told = connection.pgconn.transaction_status
    backend = connection.info.backend_pid
    (found,) = direct.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (backend,)).fetchone()
    assert found == STATES[told]
    return pq.TransactionStatus(told).name


def take(connection, direct, steps, *, extended):
    """Take steps one by one; extended: as Parse, Bind, Execute and Sync."""
    server = connection.pgconn
    found = []
    for step in steps:
        if extended:
            server.send_query_params(step.encode(), None)
        else:
            server.send_query(step.encode())
        while (result := next_result(server)) is not None:
            found.append(seen(connection, result))
        found.append(state(connection, direct))
    return found


def pipeline(connection, direct, segments, *, flush):
    """Send segments, each closed by a Sync, before anything is read; flush: with a Flush behind every command."""
    server = connection.pgconn
    server.enter_pipeline_mode()
    for segment in segments:
        for step in segment:
            server.send_query_params(step.encode(), None)
            if flush:
                server.send_flush_request()
        server.pipeline_sync()
    found, open_segments = [], len(segments)
    while open_segments:
        result = next_result(server)
        if result is None:
            continue
        open_segments -= result.status == pq.ExecStatus.PIPELINE_SYNC
        found.append(seen(connection, result))
    server.exit_pipeline_mode()
    return [*found, state(connection, direct)]


def marked(steps, text):
    return [marked(step, text) if isinstance(step, list) else step.replace(MARK, text) for step in steps]


@pytest.fixture
def run(gateway, direct):
    """Take steps with one of the two and return what was seen, and what is in the table afterwards."""

    def over(uri, dialogue, steps, text, **how):
        direct.execute("TRUNCATE steps")
        with psycopg.connect(uri, autocommit=True) as connection:
            found = dialogue(connection, direct, marked(steps, text), **how)
        return found, direct.execute(READ).fetchone()

    return over


@pytest.fixture
def compare(gateway, database, run):
    """The same with both; what is held is decided as ``decide`` says ('approve' or 'deny')."""

    def both(dialogue, steps, *, decide="", **how):
        stand_in = HELD if decide == "approve" else REJECTED
        expected = run(database.uri, dialogue, steps, stand_in, **how)
        if not decide:
            assert run(gateway.uri(), dialogue, steps, DENIED, **how) == expected
            return
        answers = queue.Queue()
        held = threading.Thread(target=lambda: answers.put(run(gateway.uri(), dialogue, steps, HELD, **how)), daemon=True)
        held.start()
        review = gateway.pending()
        gateway.cli("reviews", decide, review["id"], *(("--reason", "not now") if decide == "deny" else ()))
        assert answers.get(timeout=20) == expected

    return both


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("position", SINGLE)
def test_denied_one_by_one(compare, position, extended):
    compare(take, SINGLE[position], extended=extended)


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_denied_in_a_failed_transaction(gateway, run, extended):
    # By the extended protocol the server refuses to analyse the statement before there is anything to judge.
    found, kept = run(gateway.uri(), take, ["BEGIN", "SELECT 1/0", MARK, "ROLLBACK", FIRST], DENIED, extended=extended)
    assert found[4] == ("FATAL_ERROR", b"", [], "25P02" if extended else "refused")
    assert found[1::2] == ["INTRANS", "INERROR", "INERROR", "IDLE", "IDLE"]
    assert kept == ([1],)


@pytest.mark.parametrize("position", TOGETHER)
def test_denied_in_one_message(compare, position):
    compare(take, TOGETHER[position], extended=False)


@pytest.mark.parametrize("flush", [False, True], ids=["", "flushed"])
@pytest.mark.parametrize("position", PIPELINES)
def test_denied_in_a_pipeline(compare, position, flush):
    compare(pipeline, PIPELINES[position], flush=flush)


@pytest.mark.parametrize("decide", ["approve", "deny"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("position", SINGLE)
def test_held_one_by_one(compare, position, extended, decide):
    compare(take, SINGLE[position], extended=extended, decide=decide)


@pytest.mark.parametrize("decide", ["approve", "deny"])
@pytest.mark.parametrize("position", TOGETHER)
def test_held_in_one_message(compare, position, decide):
    compare(take, TOGETHER[position], extended=False, decide=decide)


@pytest.mark.parametrize("decide", ["approve", "deny"])
@pytest.mark.parametrize("position", PIPELINES)
def test_held_in_a_pipeline(compare, position, decide):
    compare(pipeline, PIPELINES[position], flush=False, decide=decide)
