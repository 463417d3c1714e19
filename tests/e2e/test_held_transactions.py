"""While a human thinks, the target is not left in a transaction that has only just begun; the client sees nothing of that."""

import asyncio
import struct
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import pytest

from countersign.demo.database import DemoDatabase

ACTIVITY = """
SELECT a.xact_start IS NOT NULL OR a.state = 'idle in transaction (aborted)', count(l.locktype) FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'relation'
WHERE a.usename = 'app' AND a.application_name = 'agent' GROUP BY 1
"""
IDLE, IN_TRANSACTION = [(False, 0)], [(True, 0)]


def message(kind, payload=b""):
    return kind + struct.pack(">I", len(payload) + 4) + payload


def extended(sql, name=b""):
    parse = message(b"P", name + b"\0" + sql + b"\0\0\0")
    return parse + message(b"B", b"\0" + name + b"\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0")


SYNC = message(b"S")


@pytest.fixture(scope="module", params=[16, 18])
def server(request):
    with DemoDatabase(major=request.param) as made:
        with psycopg.connect(made.uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 100) i")
        yield made


@pytest.fixture(scope="module")
def shop(server, gateway_class, tmp_path_factory):
    policy = "rules:\n  - {name: mine, effects: [write], when: \"command.text.contains('allowed')\", action: allow}\n"
    running = gateway_class(tmp_path_factory.mktemp("gateway"), server.port, server.password, policy=policy)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def nothing_pending(shop):
    yield
    for review in shop.json("reviews", "list"):
        shop.cli("reviews", "deny", review["id"], "--reason", "left over", ok=False)


@pytest.fixture
def activity(server, eventually):
    """Wait until the target shows this of the agent's session."""
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="shop", autocommit=True) as watcher:
        yield lambda state: eventually(lambda: watcher.execute(ACTIVITY).fetchall() == state, f"the target shows {state}")


@pytest.fixture
def direct_to(server):
    with psycopg.connect(server.uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def in_thread():
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def agent(shop):
    connection = shop.connect(autocommit=False, application_name="agent")
    yield connection
    connection.close()


@pytest.fixture
def raw(shop, wire):
    with shop.connect(application_name="agent") as connection:
        made = wire(connection)
        yield made
        made.close()


def state(connection, key="transaction_isolation"):
    return connection.execute(f"SHOW {key}").fetchone()[0]


def test_a_held_command_leaves_the_target_idle_and_runs_inside_the_clients_transaction(
    agent, shop, activity, in_background, direct_to
):
    agent.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    held = in_background(agent, "DELETE FROM orders WHERE id = 1")
    review = shop.pending()
    activity(IDLE)
    assert agent.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE
    shop.cli("reviews", "approve", review["id"])
    assert held.join().rows == 1
    assert agent.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert state(agent) == "repeatable read"
    assert direct_to.execute("SELECT count(*) FROM orders WHERE id = 1").fetchone() == (1,)
    agent.rollback()
    assert direct_to.execute("SELECT count(*) FROM orders WHERE id = 1").fetchone() == (1,)


def test_the_second_transaction_of_a_session_is_given_back_like_the_first(agent, shop, activity, in_background):
    for number in (1, 2, 3):
        held = in_background(agent, f"DELETE FROM orders WHERE id = 10{number}")
        review = shop.pending()
        activity(IDLE)
        shop.cli("reviews", "approve", review["id"])
        assert held.join().rows == 0
        agent.rollback()


def test_a_denied_command_fails_the_clients_transaction_as_the_server_would(agent, shop, activity, in_background):
    held = in_background(agent, "DELETE FROM orders")
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", "deny", review["id"], "--reason", "no")
    assert isinstance(held.join().error, psycopg.errors.InsufficientPrivilege)
    assert agent.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        agent.execute("SELECT 1")
    agent.rollback()
    assert agent.execute("SELECT 1").fetchone() == (1,)


def test_a_held_command_that_is_cancelled_fails_the_transaction(agent, shop, activity, in_background):
    held = in_background(agent, "DELETE FROM orders")
    shop.pending()
    activity(IDLE)
    agent.cancel()
    assert isinstance(held.join().error, psycopg.errors.QueryCanceled)
    assert agent.info.transaction_status == psycopg.pq.TransactionStatus.INERROR


def test_what_only_prepares_the_transaction_is_done_again(agent, shop, activity, in_background):
    agent.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    agent.execute("SET LOCAL lock_timeout = '7s'")
    agent.execute("SAVEPOINT mine")
    held = in_background(agent, "DELETE FROM orders WHERE id = 2")
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", "approve", review["id"])
    assert held.join().rows == 1
    assert (state(agent), state(agent, "lock_timeout")) == ("serializable", "7s")
    agent.execute("ROLLBACK TO mine")
    assert agent.execute("SELECT count(*) FROM orders WHERE id = 2").fetchone() == (1,)


@pytest.mark.parametrize(
    "before",
    ["SELECT 1", "SELECT 1; SELECT 2", "BEGIN", "SET LOCAL timezone = 'UTC'", "DECLARE c CURSOR FOR SELECT 1", "LISTEN news"],
)
def test_a_transaction_that_has_done_anything_stays_open(agent, shop, activity, in_background, before):
    agent.execute(before)
    held = in_background(agent, "DELETE FROM orders WHERE id = 3")
    review = shop.pending()
    activity(IN_TRANSACTION)
    shop.cli("reviews", "deny", review["id"], "--reason", "no")
    held.join()


def test_a_failed_transaction_is_left_to_the_client(agent, shop, activity, in_background):
    agent.execute("SAVEPOINT mine")
    with pytest.raises(psycopg.errors.DivisionByZero):
        agent.execute("SELECT 1 / 0")
    held = in_background(agent, "DELETE FROM orders WHERE id = 3")
    review = shop.pending()
    activity(IN_TRANSACTION)
    shop.cli("reviews", "approve", review["id"])
    assert isinstance(held.join().error, psycopg.errors.InFailedSqlTransaction)


def test_the_client_leaves_and_nothing_is_begun_again(agent, shop, activity, in_background, eventually):
    held = in_background(agent, "DELETE FROM orders")
    review = shop.pending()
    activity(IDLE)
    agent.close()
    held.join()
    eventually(lambda: shop.review(review["id"])["state"] == "cancelled", "the review is cancelled")
    activity([])


def test_the_time_of_a_transaction_is_that_of_its_execution(agent, shop, activity, in_background):
    held = in_background(agent, "INSERT INTO orders VALUES (1000)")
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", "approve", review["id"])
    held.join()
    started, written = agent.execute("SELECT now(), statement_timestamp() - now() < '5s'").fetchone()
    assert written
    assert started == agent.execute("SELECT now()").fetchone()[0]


def test_the_commands_of_a_transaction_are_on_record_once(agent, shop, in_background):
    before = len([one for one in shop.audit("command") if one["body"]["command"]["text"] == "BEGIN"])
    held = in_background(agent, "DELETE FROM orders WHERE id = 4")
    shop.cli("reviews", "approve", shop.pending()["id"])
    held.join()
    assert len([one for one in shop.audit("command") if one["body"]["command"]["text"] == "BEGIN"]) == before + 1


# -- the extended protocol
@pytest.mark.parametrize(("decision", "answers", "status"), [("approve", "2CZ", b"T"), ("deny", "EZ", b"E")])
@pytest.mark.parametrize("sync", [b"", SYNC])
def test_a_begin_in_the_same_pipeline_is_given_back(raw, shop, activity, decision, answers, status, sync):
    raw.send(extended(b"BEGIN") + sync + extended(b"DELETE FROM orders WHERE id = 5") + SYNC)
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", decision, review["id"], *(["--reason", "no"] if decision == "deny" else []))
    found = [one for part in ([raw.until_ready()] if not sync else [raw.until_ready(), raw.until_ready()]) for one in part]
    shown = "".join(kind for kind, _ in found if kind != "N")
    assert shown == "12C" + ("Z" if sync else "") + "1" + answers
    assert found[-1][1] == status
    raw.send(message(b"Q", b"ROLLBACK\0"))
    assert raw.until_ready()[-1] == ("Z", b"I")


def test_a_held_bind_keeps_no_transaction_and_no_lock_open(raw, shop, activity):
    raw.send(extended(b"DELETE FROM orders WHERE id = 6", b"mine") + SYNC)
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", "approve", review["id"])
    assert [kind for kind, _ in raw.until_ready() if kind != "N"] == ["1", "2", "C", "Z"]


def test_a_command_behind_others_of_its_pipeline_waits_inside_their_transaction(raw, shop, activity, direct_to):
    raw.send(extended(b"INSERT INTO orders VALUES (2000) /* allowed */") + extended(b"DELETE FROM orders WHERE id = 7") + SYNC)
    review = shop.pending()
    activity([(True, 1)])
    shop.cli("reviews", "deny", review["id"], "--reason", "no")
    assert [kind for kind, _ in raw.until_ready() if kind != "N"] == ["1", "2", "C", "1", "E", "Z"]
    assert direct_to.execute("SELECT count(*) FROM orders WHERE id = 2000").fetchone() == (0,)


def test_a_begin_that_is_bound_and_not_run_begins_nothing(raw, shop, activity):
    begin = message(b"P", b"\0BEGIN\0\0\0") + message(b"B", b"p\0\0\0\0\0\0\0\0")
    raw.send(begin + extended(b"DELETE FROM orders WHERE id = 8") + SYNC)
    review = shop.pending()
    shop.cli("reviews", "approve", review["id"])
    found = raw.until_ready()
    assert [kind for kind, _ in found if kind != "N"] == ["1", "2", "1", "2", "C", "Z"]
    assert found[-1] == ("Z", b"I")


def test_asyncpg_holds_inside_a_transaction(shop, activity, in_thread):
    async def dialogue():
        connection = await asyncpg.connect(shop.uri(), server_settings={"application_name": "agent"})
        try:
            async with connection.transaction(isolation="repeatable_read"):
                done = await connection.execute("DELETE FROM orders WHERE id = $1", 9)
                return done, await connection.fetchval("SHOW transaction_isolation")
        finally:
            await connection.close()

    running = in_thread(lambda: asyncio.run(dialogue()))
    review = shop.pending()
    activity(IDLE)
    shop.cli("reviews", "approve", review["id"])
    assert running.result(20) == ("DELETE 1", "repeatable read")
