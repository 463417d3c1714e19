"""``read_only: enforce``: the server is the second lock. What is admitted as a read cannot write, whatever the reading of it missed;
what is admitted as more than a read runs as ever, and the client sees no difference."""

import asyncio
import struct

import asyncpg
import psycopg
import pytest

from countersign.demo.database import DemoDatabase

POLICY = "rules:\n  - {name: all, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}\n"
SCHEMA = """
CREATE TABLE log (line text);
CREATE TABLE items (id int PRIMARY KEY, name text);
INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 20) i;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION noted(line text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES (line); RETURN line; END$$;
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES ('a'); COMMIT; INSERT INTO log VALUES ('b'); END$$;
"""
SPOILED = """
CREATE OR REPLACE FUNCTION pg_catalog.lpad(text, int) RETURNS text LANGUAGE sql VOLATILE
AS $$INSERT INTO public.log VALUES ('smuggled'); SELECT $1$$
"""
"""A superuser's own version of a built-in function in SQL: it reads as PostgreSQL's harmless one, so every statement with it is
misjudged."""


def message(kind, payload=b""):
    return kind + struct.pack(">I", len(payload) + 4) + payload


def extended(sql, portal=b"", limit=0):
    parse = message(b"P", b"\0" + sql + b"\0\0\0")
    return parse + message(b"B", portal + b"\0\0\0\0\0\0\0\0") + run(portal, limit)


def run(portal=b"", limit=0):
    return message(b"E", portal + b"\0" + struct.pack(">i", limit))


def query(sql):
    return message(b"Q", sql + b"\0")


SYNC = message(b"S")


@pytest.fixture(scope="module", params=[16, 18])
def server(request):
    with DemoDatabase(major=request.param) as made:
        with psycopg.connect(made.uri, autocommit=True) as connection:
            connection.execute(SCHEMA)
        with psycopg.connect(host=str(made.folder), port=made.port, user="postgres", dbname="shop", autocommit=True) as connection:
            connection.execute(SPOILED)
        yield made


@pytest.fixture(scope="module")
def shop(server, gateway_class, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    running = gateway_class(folder, server.port, server.password, policy=POLICY, target="read_only: enforce")
    yield running
    running.stop()


@pytest.fixture
def direct_to(server):
    with psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("TRUNCATE log, children; DELETE FROM parents; DELETE FROM items WHERE id > 20")
        yield connection


@pytest.fixture
def agent(shop, direct_to):
    with shop.connect() as connection:
        yield connection


@pytest.fixture
def raw(shop, wire, direct_to):
    with shop.connect() as connection:
        made = wire(connection)
        yield made
        made.close()


def lines(connection):
    return [row[0] for row in connection.execute("SELECT line FROM log ORDER BY 1")]


# -- the second lock
def test_i3_without_the_option_a_misjudged_command_writes(server, gateway_class, tmp_path, direct_to):
    plain = gateway_class(tmp_path, server.port, server.password, target="read_only: off")
    try:
        with plain.connect() as connection:
            connection.execute("SELECT lpad('x', 3)")
        assert lines(direct_to) == ["smuggled"]
    finally:
        plain.stop()


EVIL = "SELECT lpad('x', 3)"
WAYS = [
    [EVIL],
    ["SELECT 1", EVIL],
    ["INSERT INTO items VALUES (21)", EVIL],
    [f"{EVIL}; SELECT 1"],
    [f"BEGIN; {EVIL}; COMMIT"],
    ["BEGIN", EVIL, "COMMIT"],
    ["BEGIN READ WRITE", EVIL, "COMMIT"],
    ["BEGIN", "INSERT INTO items VALUES (21)", EVIL, "COMMIT"],
    ["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 1", EVIL, "ROLLBACK TO a", EVIL, "COMMIT"],
    ["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 1 / 0", "ROLLBACK TO a", EVIL, "COMMIT"],
    ["BEGIN", "SELECT 1", "COMMIT AND CHAIN", EVIL, "COMMIT"],
    ["BEGIN", f"DECLARE c CURSOR FOR {EVIL}", "FETCH c", "COMMIT"],
    ["BEGIN", f"DECLARE c CURSOR FOR {EVIL}", "INSERT INTO items VALUES (21)", "FETCH c", "COMMIT"],
    [f"PREPARE p AS {EVIL}", "INSERT INTO items VALUES (21)", "EXECUTE p", "DEALLOCATE p"],
    [f"COPY ({EVIL}) TO STDOUT"],
    [f"EXPLAIN ANALYZE {EVIL}"],
    ["SET default_transaction_read_only = off", EVIL],
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", EVIL],
    ["SELECT set_config('default_transaction_read_only', 'off', false)", EVIL],
    ["RESET ALL", EVIL],
    ["SELECT 1", "RESET ALL; " + EVIL, EVIL],
    ["SELECT 1", "SELECT 1; RESET ALL", EVIL],
    ["BEGIN", "SELECT 1; RESET ALL", EVIL, "COMMIT", EVIL],
    ["BEGIN; RESET ALL; COMMIT; BEGIN; " + EVIL + "; COMMIT"],
    ["DISCARD ALL", EVIL],
    ["SELECT 1", "DISCARD ALL", EVIL],
    ["BEGIN", "SET TRANSACTION READ WRITE", EVIL, "COMMIT"],
    ["SELECT set_config('transaction_read_only', 'off', true), lpad('x', 3)"],
    ["SELECT current_setting('transaction_read_only'), lpad('x', 3)"],
    ["SET default_transaction_read_only = off; " + EVIL],
    ["BEGIN READ WRITE; " + EVIL + "; COMMIT"],
    ["BEGIN", "SAVEPOINT a; " + EVIL, "COMMIT"],
    ["BEGIN", "SELECT 1", "COMMIT; BEGIN; " + EVIL, "COMMIT"],
    ["BEGIN", "SELECT 1 / 0", "ROLLBACK; BEGIN; " + EVIL, "COMMIT"],
    ["SHOW transaction_read_only", EVIL],
    ["SELECT noted('mine')", EVIL],
    ["CALL twice()", EVIL],
    ["DO $$BEGIN SET default_transaction_read_only = off; END$$", EVIL],
]


@pytest.mark.parametrize("binary", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("way", WAYS, ids=" / ".join)
def test_i3_a_misjudged_command_cannot_write(agent, direct_to, way, binary):
    """Twice over, so that what is known of a shape is used the second time."""
    for _ in range(2):
        for sql in way:
            try:
                if sql.startswith("COPY"):
                    with agent.cursor().copy(sql) as copy:
                        list(copy)
                else:
                    agent.execute(sql, binary=binary)
            except psycopg.Error:
                pass
        agent.rollback()
        assert "smuggled" not in lines(direct_to)


@pytest.mark.parametrize(
    "data",
    [
        extended(b"INSERT INTO items VALUES (21)") + extended(EVIL.encode()) + SYNC,
        extended(b"SET application_name = 'x'") + extended(EVIL.encode()) + SYNC,
        extended(b"BEGIN") + extended(EVIL.encode()) + extended(b"COMMIT") + SYNC,
        extended(b"BEGIN") + extended(b"SELECT 1") + extended(b"COMMIT") + extended(EVIL.encode()) + SYNC,
        extended(b"BEGIN") + extended(b"INSERT INTO items VALUES (21)") + extended(b"COMMIT") + extended(EVIL.encode()) + SYNC,
        extended(b"SET default_transaction_read_only = off") + extended(EVIL.encode()) + SYNC,
        extended(b"DISCARD ALL") + extended(EVIL.encode()) + SYNC,
        extended(b"BEGIN") + SYNC + message(b"P", b"evil\0" + EVIL.encode() + b"\0\0\0") + message(b"B", b"p\0evil\0\0\0\0\0\0\0")
        + extended(b"INSERT INTO items VALUES (21)") + run(b"p") + extended(b"COMMIT") + SYNC,
        message(b"P", b"\0INSERT INTO items VALUES (21)\0\0\0") + query(EVIL.encode()),
    ],
)  # fmt: skip
def test_i3_a_misjudged_command_in_a_pipeline_cannot_write(raw, direct_to, data):
    raw.send(data)
    while raw.receive()[0] not in ("Z", ""):
        pass
    raw.send(SYNC)
    raw.until_ready()
    assert lines(direct_to) == []


# -- no difference for the client
DIALOGUES = {
    "autocommit": ["SELECT 1", "INSERT INTO log VALUES ('a')", "SELECT count(*) FROM log", "SELECT noted('b')", "SELECT * FROM log"],
    "block": ["BEGIN", "SELECT count(*) FROM log", "INSERT INTO log VALUES ('a')", "SELECT * FROM log", "UPDATE log SET line = 'b'", "COMMIT"],
    "rolled back": ["SELECT 1", "BEGIN", "SELECT 1", "INSERT INTO log VALUES ('a')", "ROLLBACK", "SELECT * FROM log", "INSERT INTO log VALUES ('c')"],
    "savepoints": ["BEGIN", "SELECT 1", "SAVEPOINT a", "SELECT 2", "INSERT INTO log VALUES ('a')", "SELECT 1 / 0", "SELECT 3", "ROLLBACK TO a",
                   "SELECT * FROM log", "INSERT INTO log VALUES ('b')", "RELEASE a", "SELECT * FROM log", "COMMIT"],
    "isolation": ["BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM log", "INSERT INTO log VALUES ('a')", "SHOW transaction_isolation",
                  "COMMIT", "BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "SHOW transaction_isolation",
                  "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "ROLLBACK"],
    "modes shown": ["SHOW transaction_read_only", "SELECT 1", "SHOW default_transaction_read_only", "BEGIN", "SELECT 1",
                    "SHOW transaction_read_only", "SELECT current_setting('transaction_read_only')", "COMMIT",
                    "SELECT current_setting('default_transaction_read_only')", "SELECT 1"],
    "its own wish": ["SET default_transaction_read_only = on", "SELECT 1", "INSERT INTO log VALUES ('a')", "SHOW transaction_read_only",
                     "SET default_transaction_read_only = off", "SELECT 1", "INSERT INTO log VALUES ('b')"],
    "characteristics": ["SELECT 1", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SELECT 1", "DELETE FROM log", "BEGIN", "DELETE FROM log",
                        "ROLLBACK", "BEGIN READ WRITE", "SELECT 1", "DELETE FROM log", "COMMIT", "RESET ALL", "SELECT 1", "DELETE FROM log"],
    "a wish rolled back": ["SELECT 1", "BEGIN", "SET default_transaction_read_only = on", "SELECT 1", "ROLLBACK", "SELECT 1",
                           "INSERT INTO log VALUES ('a')", "SHOW default_transaction_read_only"],
    "read only blocks": ["BEGIN READ ONLY", "SELECT 1", "SHOW transaction_read_only", "DELETE FROM log", "ROLLBACK", "DELETE FROM log"],
    "a transaction turned read only": ["BEGIN", "SELECT 1", "SET TRANSACTION READ ONLY", "SELECT 1", "DELETE FROM log", "COMMIT", "DELETE FROM log"],
    "a pool's reset": ["SELECT 1", "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL", "SELECT 1",
                       "SHOW default_transaction_read_only", "INSERT INTO log VALUES ('a')", "SELECT 1", "RESET ALL; SELECT 1 / 0",
                       "INSERT INTO log VALUES ('b')", "SET default_transaction_read_only = on", "SELECT 1; RESET ALL", "DELETE FROM log"],
    "discard": ["SET default_transaction_read_only = on", "SELECT 1", "DISCARD ALL", "SELECT 1", "INSERT INTO log VALUES ('a')",
                "SHOW default_transaction_read_only"],
    "cursors": ["BEGIN", "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY 1", "FETCH 2 c", "INSERT INTO log VALUES ('a')", "FETCH 2 c",
                "SAVEPOINT a", "FETCH 1 c", "ROLLBACK TO a", "FETCH 1 c", "CLOSE c", "COMMIT"],
    "a cursor that writes": ["BEGIN", "DECLARE c CURSOR FOR SELECT noted('x') FROM items", "SELECT 1", "FETCH 2 c", "SELECT * FROM log", "COMMIT"],
    "held cursors": ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY 1", "FETCH 1 c", "COMMIT", "FETCH 2 c", "CLOSE c"],
    "settings": ["BEGIN", "SELECT 1", "SET LOCAL lock_timeout = '3s'", "SELECT 1", "SHOW lock_timeout", "COMMIT", "SHOW lock_timeout",
                 "SET timezone = 'Asia/Tokyo'", "SELECT 1", "SHOW timezone"],
    "several in one": ["INSERT INTO log VALUES ('a'); SELECT * FROM log", "SELECT 1; SELECT 2", "BEGIN; INSERT INTO log VALUES ('b'); SELECT 1; COMMIT",
                       "BEGIN; SELECT 1; COMMIT", "BEGIN; SET LOCAL lock_timeout = 5", "INSERT INTO log VALUES ('c')", "COMMIT"],
    "not in a block": ["SELECT 1", "VACUUM log", "CALL twice()", "SELECT * FROM log", "CREATE INDEX CONCURRENTLY noticed ON log (line)",
                       "DROP INDEX noticed", "BEGIN", "SELECT 1", "VACUUM log", "ROLLBACK"],
    "deferred": ["BEGIN", "INSERT INTO children VALUES (1)", "SELECT 1", "INSERT INTO parents VALUES (1)", "SELECT 1", "COMMIT", "BEGIN",
                 "INSERT INTO children VALUES (2)", "SELECT 1", "COMMIT", "BEGIN", "INSERT INTO children VALUES (3)", "SELECT 1",
                 "SET CONSTRAINTS ALL IMMEDIATE", "ROLLBACK"],
    "temporary": ["CREATE TEMP TABLE mine AS SELECT 1 AS a", "SELECT * FROM mine", "BEGIN", "SELECT * FROM mine", "INSERT INTO mine VALUES (2)",
                  "SELECT count(*) FROM mine", "COMMIT", "DROP TABLE mine"],
    "warnings": ["SELECT 1", "COMMIT", "ROLLBACK", "BEGIN", "SELECT 1", "BEGIN", "SELECT 1", "COMMIT", "SET LOCAL lock_timeout = 1"],
    "chains": ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", "COMMIT AND CHAIN", "SELECT 1", "INSERT INTO log VALUES ('a')",
               "SHOW transaction_isolation", "ROLLBACK AND CHAIN", "SELECT 1", "INSERT INTO log VALUES ('b')", "COMMIT", "SELECT * FROM log"],
    "prepared": ["PREPARE a AS SELECT count(*) FROM log", "PREPARE b AS INSERT INTO log VALUES ($1)", "EXECUTE a", "EXECUTE b('x')", "BEGIN", "EXECUTE a",
                 "EXECUTE b('y')", "EXECUTE a", "COMMIT", "DEALLOCATE ALL"],
}  # fmt: skip


def hold(uri, statements, binary):
    told = []
    threshold = None if "DISCARD ALL" in statements else 2
    with psycopg.connect(uri, autocommit=True, prepare_threshold=threshold) as connection:
        connection.add_notice_handler(lambda notice: told.append((notice.sqlstate, notice.message_primary)))
        for sql in statements * 2:
            try:
                cursor = connection.execute(sql, binary=binary)
                found = [cursor.statusmessage, cursor.fetchall() if cursor.description else None]
            except psycopg.Error as error:
                found = [error.sqlstate, error.diag.message_primary]
            shown = connection.info.parameter_status("default_transaction_read_only")
            told.append((sql, *found, connection.info.transaction_status, shown))
    return told


@pytest.mark.parametrize("binary", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_the_client_sees_no_difference(server, shop, direct_to, name, binary):
    expected = hold(server.uri, DIALOGUES[name], binary)
    direct_to.execute("TRUNCATE log, children; DELETE FROM parents")
    assert hold(shop.uri(), DIALOGUES[name], binary) == expected


PIPELINES = {
    "reads": extended(b"SELECT 1") + extended(b"SELECT 2"),
    "a write behind reads": extended(b"SELECT 1") + extended(b"SELECT 2") + extended(b"INSERT INTO log VALUES ('a')"),
    "a read behind a write": extended(b"INSERT INTO log VALUES ('a')") + extended(b"SELECT line FROM log"),
    "a failure behind writes": extended(b"INSERT INTO log VALUES ('a')") + extended(b"SELECT 1 / 0") + extended(b"SELECT 1"),
    "a block": extended(b"BEGIN") + extended(b"SELECT 1") + extended(b"INSERT INTO log VALUES ('a')") + extended(b"SELECT line FROM log")
    + extended(b"COMMIT") + extended(b"SELECT 2"),
    "a block that fails": extended(b"BEGIN") + extended(b"SELECT 1") + extended(b"SELECT 1 / 0") + extended(b"COMMIT") + SYNC + query(b"ROLLBACK"),
    "suspended portals": extended(b"BEGIN") + SYNC + extended(b"SELECT id FROM items ORDER BY 1", b"p", 2)
    + extended(b"INSERT INTO log VALUES ('a')") + run(b"p", 2) + SYNC + run(b"p", 2) + extended(b"INSERT INTO log VALUES ('b')") + SYNC + query(b"COMMIT"),
    "settings and a read": extended(b"SET lock_timeout = 9") + extended(b"SHOW lock_timeout") + extended(b"SELECT 1"),
}  # fmt: skip


@pytest.mark.parametrize(
    "first", [b"", query(b"INSERT INTO log VALUES ('first')"), query(b"SELECT 1")], ids=["new", "written", "read"]
)
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_are_answered_alike(server, shop, wire, direct_to, name, first):
    data = first + PIPELINES[name] + SYNC
    answers = []
    for uri in (server.uri, shop.uri()):
        direct_to.execute("TRUNCATE log")
        with psycopg.connect(uri, autocommit=True) as connection:
            raw = wire(connection)
            raw.send(data + query(b"SHOW server_version_num"))
            found = []
            while not found or found[-1] != ("C", b"SHOW\0"):
                found.append(raw.receive())
            raw.until_ready()
            raw.close()
        answers.append(
            ([one for one in found if one[0] != "E"], [one[1].count(b"\0") for one in found if one[0] == "E"], lines(direct_to))
        )
    assert answers[1] == answers[0]


def test_a_pipeline_that_writes_behind_a_read_behind_a_write_is_refused_with_a_hint(raw, direct_to):
    insert = extended(b"INSERT INTO log VALUES ('a')")
    raw.send(insert + extended(b"SELECT 1") + insert + SYNC)
    found = raw.until_ready()
    assert [kind for kind, _ in found] == ["1", "2", "C", "1", "2", "D", "C", "1", "E", "Z"]
    assert b"needs a BEGIN" in found[-2][1]
    assert lines(direct_to) == []


def test_a_held_write_runs_inside_the_block_that_was_given_back(server, gateway_class, tmp_path, direct_to, in_background):
    holding = gateway_class(tmp_path, server.port, server.password, policy="rules: []\n", target="read_only: enforce")
    try:
        with holding.connect() as connection:
            connection.execute("SELECT 1")
            connection.execute("BEGIN")
            held = in_background(connection, "INSERT INTO log VALUES ('approved')")
            holding.cli("reviews", "approve", holding.pending()["id"])
            assert held.join().rows == 1
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("SELECT lpad('x', 3)")
            connection.execute("ROLLBACK")
            assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
            connection.execute("BEGIN")
            held = in_background(connection, "INSERT INTO log VALUES ('approved')")
            holding.cli("reviews", "approve", holding.pending()["id"])
            held.join()
            connection.execute("COMMIT")
        assert lines(direct_to) == ["approved"]
    finally:
        holding.stop()


async def test_asyncpg_reads_and_writes(shop, direct_to):
    connection = await asyncpg.connect(shop.uri(), target_session_attrs="read-write")
    try:
        for number in range(3):
            assert await connection.fetchval("SELECT count(*) FROM log") == 2 * number
            await connection.execute("INSERT INTO log VALUES ($1)", "a")
            async with connection.transaction():
                assert await connection.fetchval("SELECT count(*) FROM log") == 2 * number + 1
                await connection.executemany("INSERT INTO log VALUES ($1)", [("b",)])
                async with connection.transaction():
                    assert len([row async for row in connection.cursor("SELECT id FROM items", prefetch=5)]) == 20
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.fetch("SELECT lpad($1, 3)", "x")
    finally:
        await connection.close()


def test_libpq_finds_a_server_that_takes_writes(shop):
    with psycopg.connect(shop.uri() + "?target_session_attrs=read-write") as connection:
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(shop.uri() + "?target_session_attrs=read-only")


def test_many_sessions_at_once(shop, direct_to):
    async def dialogue(number):
        connection = await psycopg.AsyncConnection.connect(shop.uri())
        async with connection:
            for _ in range(5):
                await connection.execute("SELECT count(*) FROM log")
                await connection.execute("INSERT INTO log VALUES (%s)", (str(number),))
                await connection.execute("SELECT count(*) FROM log")
                await connection.commit()

    async def all_of_them():
        await asyncio.gather(*map(dialogue, range(10)))

    asyncio.run(all_of_them())
    assert len(lines(direct_to)) == 50
