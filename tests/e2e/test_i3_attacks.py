"""An agent that has read our source attacks the reading of statements (I3), live, under the default policy: reads run, all else is held.

It owns a role that may create things, and everything here that is made ahead was approved once. Each attempt must be held, or fail, or
leave the server exactly as it was.
"""

import select
import struct
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

from countersign.demo.database import DemoDatabase

MADE = Path(__file__).with_name("attacks.sql").read_text()
CONTRIB = "dblink file_fdw postgres_fdw pg_trgm isn lo adminpack tablefunc xml2 pgcrypto hstore".split()
STATE = """
SELECT (SELECT string_agg(concat_ws(' ', oid, xmin, relname), ',' ORDER BY oid) FROM pg_class WHERE oid >= 16384 AND relkind NOT IN ('t', 'i')),
  (SELECT string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
  (SELECT string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid) FROM pg_type WHERE oid >= 16384),
  (SELECT string_agg(concat_ws(' ', oid, xmin, rolname), ',' ORDER BY oid) FROM pg_authid),
  (SELECT string_agg(concat_ws(' ', oid, xmin, nspname), ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_'),
  (SELECT string_agg(concat_ws(' ', setdatabase, setrole, setconfig), ',') FROM pg_db_role_setting),
  (SELECT string_agg(concat_ws(' ', oid, lomowner), ',') FROM pg_largeobject_metadata),
  (SELECT string_agg(name, ',' ORDER BY name) FROM pg_ls_dir('.') name),
  (SELECT md5(pg_read_file('postgresql.auto.conf'))),
  (SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_extension),
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' OR (mode <> 'AccessShareLock' AND relation >= 16384)),
  (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander')
"""
"""Everything that an attempt could have changed, but for the rows. Not a word of it is for the agent's own session."""
RELATIONS = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm', 'S') AND nspname IN ('public', 'front') AND relname NOT IN ('partial_index', 'checked') ORDER BY c.oid
"""
"""But for those whose mere planning calls what is behind them."""


FAR_AWAY = """
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
CREATE USER MAPPING FOR app SERVER far;
CREATE FOREIGN TABLE far_away (a int) SERVER far;
CREATE VIEW over_far_away AS SELECT a FROM far_away;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE file_rows (line text) SERVER files OPTIONS (program 'touch /tmp/countersign-attack');
GRANT SELECT ON far_away, over_far_away, file_rows TO app;
"""


class Target:
    """A server with everything that was approved earlier, a bystander's session, and eyes that see all of it."""

    def __init__(self, **options):
        self.server = DemoDatabase(**options)
        where = {"host": str(self.server.folder), "port": self.server.port, "dbname": "shop", "autocommit": True}
        self.superuser = psycopg.connect(user="postgres", **where)
        available = {row[0] for row in self.superuser.execute("SELECT name FROM pg_available_extensions")}
        for name in CONTRIB:
            if name in available:
                self.superuser.execute(f"CREATE EXTENSION {name}")
        self.has_contrib = "dblink" in available
        self.superuser.execute("CREATE ROLE other; GRANT other TO app; GRANT CREATE ON DATABASE shop TO app")
        with psycopg.connect(self.server.uri, autocommit=True) as owner:
            owner.execute(MADE)
        if self.has_contrib:
            self.superuser.execute(FAR_AWAY)
        self.bystander = psycopg.connect(user="postgres", application_name="bystander", **where)
        self.bystander.execute("LISTEN gossip")

    def state(self):
        told = [notice.payload for notice in self.bystander.notifies(timeout=0)]
        names = [name for (name,) in self.superuser.execute(RELATIONS)]
        rows = {name: self.superuser.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        return [*self.superuser.execute(STATE).fetchone(), told, rows]

    def close(self):
        self.superuser.close()
        self.bystander.close()
        self.server.close()


@pytest.fixture(scope="module")
def target():
    made = Target(major=16)
    yield made
    made.close()


@pytest.fixture(scope="module")
def contrib(localhost):
    """The system's own server, which has the extensions of contrib and is older: its grammar knows less SQL than ours."""
    made = Target(tls=localhost)
    yield made
    made.close()


def running(gateway_class, target, folder, options=""):
    return gateway_class(folder, target.server.port, target.server.password, policy="rules: []\n", target=options)


@pytest.fixture(scope="module")
def gateway(target, gateway_class, tmp_path_factory):
    made = running(gateway_class, target, tmp_path_factory.mktemp("attacks"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def old_gateway(contrib, gateway_class, tmp_path_factory):
    made = running(gateway_class, contrib, tmp_path_factory.mktemp("contrib"))
    yield made
    made.stop()


class Agent:
    """A session of the agent's. What is held is taken back at once, as a client that gives up would."""

    def __init__(self, connection):
        self.connection = connection
        self._server = self.connection.pgconn
        self._held = False
        self._server.notice_handler = self._notice

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def _notice(self, notice):
        self._held |= b"held for review" in (notice.error_field(77) or b"")

    def query(self, sql):
        """A simple Query: ``held``, the SQLSTATE of an error, or ``ran``."""
        self._server.send_query(sql.encode() if isinstance(sql, str) else sql)
        return self._outcome()

    def extended(self, sql, *values):
        """The same by Parse, Bind and Execute."""
        self._server.send_query_params(sql.encode(), [value.encode() for value in values] or None)
        return self._outcome()

    def parse(self, sql):
        """A Parse alone."""
        self._server.send_prepare(b"", sql.encode())
        return self._outcome()

    def _outcome(self):
        self._held, state, cancelled = False, "ran", False
        while True:
            while self._server.is_busy():
                if self._held and not cancelled:
                    cancelled = True
                    self._server.get_cancel().cancel()
                assert select.select([self._server.socket], [], [], 10)[0], "no answer"
                self._server.consume_input()
            result = self._server.get_result()
            if result is None:
                return "held" if self._held else state
            if result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT):
                self._drain(result.status)
            elif result.status == ExecStatus.FATAL_ERROR and state == "ran":
                state = (result.error_field(67) or b"?").decode()

    def _drain(self, status):
        if status == ExecStatus.COPY_IN:
            self._server.put_copy_end(b"no")
        else:
            while self._server.get_copy_data(0)[0] > 0:
                pass


def lines(text):
    return [line.strip() for line in text.strip().splitlines() if line.strip() and not line.strip().startswith("#")]


HELD = lines(r"""
    # who one is
    SET ROLE other
    SET SESSION AUTHORIZATION other
    SET LOCAL ROLE other
    SELECT set_config('role', 'other', false)
    SELECT set_config('ro' || 'le', 'other', false)
    SELECT set_config(name, 'other', false) FROM (VALUES ('role')) x(name)
    RESET ROLE
    # what names mean
    SET search_path = front, public
    SET SCHEMA 'front'
    SELECT set_config('search_path', 'front', false)
    SELECT * FROM public.looks_plain
    SELECT * FROM nested
    SELECT count(*) FROM shadowed
    SELECT count(*) FROM front.shadowed
    SELECT abs(-1)
    SELECT lower('x')
    SELECT U&"l\006Fwer"('x')
    SELECT 1 WHERE 'a' <~> 'b'
    SELECT p.wish FROM plain p
    SELECT (p).wish FROM plain p
    SELECT ('x'::text).lower
    # types
    SELECT '5'::harmful
    SELECT '{5}'::harmful[]
    SELECT '(5,x)'::pair
    SELECT * FROM holds WHERE arr = '{5}'
    SELECT coalesce(p, '(6,x)') FROM holds
    SELECT coalesce(h, '({1},,2,x)') FROM holds h
    SELECT greatest(arr, '{12}') FROM holds
    SELECT arr FROM holds UNION SELECT '{9}'
    SELECT jsonb_populate_record(h, '{"d": 5}') FROM holds h
    SELECT * FROM json_to_record('{"a": 5}') AS x (a harmful)
    SELECT * FROM XMLTABLE('/r' PASSING '<r a="1"/>' COLUMNS a harmful PATH '@a')
    SELECT JSON_VALUE('1', '$' RETURNING harmful)
    SELECT * FROM JSON_TABLE('[1]', '$' COLUMNS (a harmful PATH '$'))
    SELECT to_json(m) FROM moods
    SELECT row_to_json(x) FROM moods x
    SELECT length(r) FROM rowly r
    SELECT length(array_agg(m)) FROM moods
    SELECT m::int FROM moods
    # what belongs to relations
    SELECT * FROM guarded
    SELECT * FROM partial_index WHERE a = 1
    SELECT * FROM checked
    EXPLAIN SELECT * FROM looks_plain
    COPY looks_plain TO STDOUT
    COPY (SELECT * FROM looks_plain) TO STDOUT
    # functions that users make, of every kind
    SELECT writer('x')
    SELECT pg_temp.writer('x')
    SELECT total(a) FROM plain
    SELECT total(a) OVER () FROM plain
    SELECT ordered(0.5) WITHIN GROUP (ORDER BY a) FROM plain
    SELECT * FROM ROWS FROM (writer('x'), generate_series(1, 2)) x
    SELECT * FROM plain ORDER BY writer('x')
    SELECT * FROM plain LIMIT (SELECT count(*) FROM looks_plain)
    SELECT 1 FROM plain GROUP BY a HAVING bool_and(writer('x'))
    WITH x AS (SELECT writer('x')) SELECT 1
    SELECT CASE WHEN a > 0 THEN writer('x') END FROM plain
    SELECT count(*) FILTER (WHERE writer('x')) FROM plain
    CALL proc()
    DO $$BEGIN PERFORM writer('x'); END$$
    SELECT * FROM generate_series(1, 2) TABLESAMPLE bernoulli (1)
    # writes in other clothes
    WITH x AS (DELETE FROM plain RETURNING *) SELECT * FROM x
    WITH x AS (UPDATE plain SET a = 0) SELECT 1
    EXPLAIN ANALYZE DELETE FROM plain
    EXPLAIN (ANALYZE true, COSTS off) INSERT INTO plain VALUES (9)
    EXPLAIN (ANALYZE, ANALYZE false, ANALYZE) DELETE FROM plain
    PREPARE p AS DELETE FROM plain
    DECLARE c CURSOR WITH HOLD FOR SELECT writer('x')
    SELECT 1; DELETE FROM plain
    SELECT 1 /* ; */; /* DELETE */ DELETE FROM plain -- SELECT 1
    SELECT $a$ $a$; DELETE FROM plain; SELECT $b$ $b$
    SELECT $$;$$; DELETE FROM plain
    SELECT '/*'; DELETE FROM plain; SELECT '*/'
    SELECT E'\''; DELETE FROM plain; --'
    BEGIN; DELETE FROM plain; COMMIT
    INSERT INTO ruled VALUES (1)
    MERGE INTO plain USING (SELECT 1 AS a) x ON plain.a = x.a WHEN MATCHED THEN DELETE
    SELECT * INTO more FROM plain
    CREATE TEMP TABLE plain (a int)
    CREATE TEMP VIEW plain AS SELECT writer('x')
    TABLE ruled FOR UPDATE
    SELECT * FROM plain FOR KEY SHARE
    SELECT * FROM (SELECT * FROM plain FOR UPDATE) x
    SELECT * FROM locking
    LOCK TABLE plain IN ACCESS SHARE MODE
    TRUNCATE plain
    UPDATE pg_settings SET setting = 'other' WHERE name = 'role'
    DELETE FROM pg_class
    REFRESH MATERIALIZED VIEW mat
    # sequences, locks, messages, other sessions
    SELECT nextval('seq')
    SELECT setval('seq', 100)
    SELECT pg_catalog."nextval"('seq'::regclass)
    SELECT ('seq'::regclass).nextval
    SELECT pg_advisory_lock(1)
    SELECT pg_try_advisory_lock_shared(1, 2)
    SELECT pg_notify('gossip', 'x')
    NOTIFY gossip, 'x'
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bystander'
    SELECT pg_terminate_backend(pid) FROM pg_locks
    SELECT pg_cancel_backend(1)
    SELECT pg_sleep(0.1)
    SELECT pg_sleep_for('1 ms')
    # files, programs, other servers
    COPY plain TO PROGRAM 'touch /tmp/countersign-attack'
    COPY (SELECT 1) TO '/tmp/countersign-attack'
    COPY plain FROM '/etc/passwd'
    SELECT pg_read_file('PG_VERSION')
    SELECT ('PG_VERSION'::text).pg_read_file
    SELECT * FROM pg_ls_dir('.')
    SELECT pg_stat_file('PG_VERSION')
    SELECT lo_import('/etc/passwd')
    SELECT lo_export(1, '/tmp/countersign-attack')
    SELECT lo_create(0)
    SELECT lo_from_bytea(0, '\x00')
    LOAD 'plpgsql'
    ALTER SYSTEM SET work_mem = '8MB'
    SELECT pg_reload_conf()
    SELECT pg_switch_wal()
    SELECT query_to_xml('DELETE FROM plain', true, true, '')
    SELECT xpath('/', query_to_xml('SELECT writer(''x'')', true, true, ''))
    SELECT table_to_xml('looks_plain', true, true, '')
    SELECT * FROM ts_stat('SELECT writer(''x'')::text::tsvector')
    SELECT cursor_to_xml('c', 1, true, true, '')
    SELECT pg_create_restore_point('x')
    SELECT pg_logical_emit_message(true, 'a', 'b')
    SELECT pg_export_snapshot()
    SELECT pg_current_xact_id()
    # rights and labels
    GRANT ALL ON plain TO PUBLIC
    ALTER ROLE app SET search_path = front
    ALTER DATABASE shop SET search_path = front
    SECURITY LABEL ON TABLE plain IS 'x'
    COMMENT ON TABLE plain IS 'x'
    CREATE EXTENSION hstore SCHEMA front
    PREPARE TRANSACTION 'x'
    VACUUM plain
    ANALYZE plain
    DISCARD TEMP; DELETE FROM plain
    # how the server reads
    SET standard_conforming_strings = off
    SET client_encoding = 'SJIS'
    SET NAMES 'LATIN1'
    SELECT set_config('standard_conforming_strings', 'off', false)
    SET jit_dump_bitcode = on
    SET session_preload_libraries = 'x'
    SET local_preload_libraries = 'x'
    SET dynamic_library_path = '/tmp'
    SET default_tablespace = 'x'
    SET session_replication_role = replica
    SET xmloption = document
    SET check_function_bodies = off
    SET plpgsql.variable_conflict = use_column
""")
"""Each must be held; some would fail on the server for other reasons."""


@pytest.fixture
def unchanged(target):
    before = target.state()
    yield
    assert target.state() == before


@pytest.mark.parametrize("sql", HELD)
def test_i3_an_attempt_is_held_and_changes_nothing(gateway, unchanged, sql):
    with Agent(gateway.connect()) as agent:
        assert agent.query(sql) == "held"
        if ";" not in sql:
            assert agent.extended(sql) in ("held", "42601")
            agent.parse(sql)


RUNS = lines(r"""
    SELECT * FROM plain; SELECT * FROM fair_view
    SELECT 'DELETE FROM plain', $$; DELETE FROM plain$$, "a" FROM plain -- DELETE FROM plain
    SELECT /* /* nested */ DELETE FROM plain; */ 1
    EXPLAIN DELETE FROM plain
    EXPLAIN (ANALYZE false) UPDATE plain SET a = 0
    BEGIN; SELECT * FROM plain; ROLLBACK
    BEGIN READ WRITE; SET LOCAL statement_timeout = 1; COMMIT
    LISTEN gossip
    DISCARD ALL
    RESET ALL
    SELECT pg_advisory_unlock_all()
    SELECT currval('seq')
    SELECT * FROM seq
    SELECT * FROM pg_class
    SELECT "pg_class" FROM pg_class
    DECLARE c CURSOR WITH HOLD FOR SELECT * FROM plain
    FETCH ALL FROM nothing
    DEALLOCATE ALL
    SELECT * FROM shades WHERE s = 'light'
    SELECT * FROM nowhere
    SELECT repeat('x', 1000000)
    SELECT * FROM plain WHERE a = ANY('{1,2}')
    COPY plain TO STDOUT
    COPY (TABLE plain) TO STDOUT (FORMAT csv)
""")
"""What only looks like an attack, and runs, or is refused by the server."""


@pytest.mark.parametrize("sql", RUNS)
def test_what_only_looks_like_an_attack_runs_and_changes_nothing(gateway, unchanged, sql):
    with Agent(gateway.connect()) as agent:
        assert agent.query(sql) != "held"


ANALYSED = lines("""
    SELECT '{5}'::harmful[]
    SELECT _harmful('{5}')
    SELECT '(5,x)'::pair
    INSERT INTO holds (arr) VALUES ('{6}')
    UPDATE holds SET p = '(5,x)'
    SELECT * FROM holds WHERE arr = '{5}'
    SELECT coalesce(h, '({1},,2,x)') FROM holds h
    SELECT takes('{5}')
    EXPLAIN SELECT '{5}'::harmful[]
    CALL proc_of('{5}')
""")


@pytest.mark.parametrize("sql", ANALYSED)
def test_i3_a_parse_that_would_run_a_check_is_held_as_a_command(gateway, unchanged, sql):
    with Agent(gateway.connect()) as agent:
        assert agent.parse(sql) == "held"
        assert agent.query("SELECT 1") == "ran"


def test_i3_a_parse_in_a_transaction_that_has_made_a_check_is_held(gateway, target, unchanged, in_background):
    with gateway.connect(autocommit=False) as connection:
        made = in_background(connection, "CREATE DOMAIN fresh AS int CHECK (writer('fresh'))")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        made.join()
        with Agent(connection) as agent:
            assert agent.parse("SELECT '{1}'::fresh[]") == "held"


# -- a server that is older than the grammar here, and contrib's extensions

OLD = lines("""
    SELECT JSON_VALUE('1', '2')
    SELECT JSON_SCALAR('1')
    SELECT JSON_ARRAY(1)
    SELECT JSON_OBJECT(1, 2)
    SELECT merge_action()
    SELECT json(1)
    SELECT dblink('dbname=shop', 'DELETE FROM plain')
    SELECT * FROM dblink('dbname=shop', 'DELETE FROM plain') AS x (a int)
    SELECT dblink_exec('dbname=shop', 'DELETE FROM plain')
    SELECT dblink_connect('a', 'dbname=shop')
    SELECT * FROM far_away
    SELECT * FROM over_far_away
    SELECT * FROM file_rows
    SELECT set_limit(0.1)
    SELECT isn_weak(true)
    SELECT lo_oid(1)
    SELECT pg_file_write('countersign-attack', 'x', false)
    SELECT * FROM crosstab('SELECT 1, 2, 3') AS x (a int, b int)
    SELECT * FROM connectby('plain', 'a', 'a', '1', 0) AS x (a int, b int, c int)
    SELECT pgp_sym_decrypt('x', 'y')
    SELECT * FROM xpath_table('a', 'b', 'plain', '/', 'true') AS x (a int)
""")


@pytest.mark.parametrize("sql", OLD)
def test_i3_an_attempt_on_an_older_server_or_by_an_extension_is_held(old_gateway, contrib, sql):
    assert contrib.has_contrib, "the system's PostgreSQL has no contrib: install the package postgresql-contrib"
    before = contrib.state()
    with Agent(old_gateway.connect()) as agent:
        assert agent.query(sql) == "held"
        agent.parse(sql)
    assert contrib.state() == before


# -- the protocol


def message(kind, *parts):
    body = b"".join(parts)
    return kind + struct.pack(">I", len(body) + 4) + body


def parse(sql, name=b""):
    return message(b"P", name, b"\0", sql, b"\0", struct.pack(">H", 0))


def bind(portal=b"", statement=b""):
    return message(b"B", portal, b"\0", statement, b"\0", struct.pack(">HHH", 0, 0, 0))


def execute(portal=b"", rows=0):
    return message(b"E", portal, b"\0", struct.pack(">I", rows))


def close(kind, name=b""):
    return message(b"C", kind, name, b"\0")


def describe(kind, name=b""):
    return message(b"D", kind, name, b"\0")


SYNC, FLUSH = message(b"S"), message(b"H")
READ, WRITE = b"SELECT 1", b"DELETE FROM plain"

DIALOGUES = {
    "one name, parsed twice": [parse(READ, b"a") + parse(WRITE, b"a") + bind(b"", b"a") + execute() + SYNC],
    "the unnamed statement replaced between Parse and Bind": [parse(READ) + parse(WRITE) + bind() + execute() + SYNC],
    "a name closed and taken again": [
        parse(READ, b"b") + SYNC,
        close(b"S", b"b") + parse(WRITE, b"b") + bind(b"", b"b") + execute() + SYNC,
    ],
    "a portal bound again to another statement": [
        parse(READ, b"c") + parse(WRITE, b"d") + bind(b"p", b"c") + close(b"P", b"p") + bind(b"p", b"d") + execute(b"p") + SYNC
    ],
    "a portal of the failed pipeline before": [parse(WRITE) + bind(b"q") + SYNC, execute(b"q") + SYNC],
    "pipelined behind what is held": [parse(WRITE) + bind() + execute() + parse(WRITE) + bind() + execute() + SYNC],
    "Execute without a Bind of its own": [parse(WRITE) + execute() + SYNC],
    "a statement of the segment that failed": [
        parse(b"SELECT 1/0") + bind() + execute() + parse(WRITE, b"e") + SYNC,
        bind(b"", b"e") + execute() + SYNC,
    ],
    "Flush instead of Sync": [parse(WRITE) + FLUSH + bind() + FLUSH + execute() + FLUSH + SYNC],
    "a Query in an unfinished segment": [parse(READ) + bind() + message(b"Q", WRITE, b"\0")],
    "Describe of a portal, and Execute without its verdict": [
        parse(WRITE) + bind(b"r") + describe(b"P", b"r") + execute(b"r") + SYNC
    ],
    "Execute twice, row by row": [
        parse(b"SELECT writer(a::text) FROM plain") + bind(b"s") + execute(b"s", 1) + execute(b"s", 1) + SYNC
    ],
    "SQL's EXECUTE of what the protocol has renamed": [
        parse(READ, b"f") + SYNC,
        close(b"S", b"f") + parse(WRITE, b"f") + SYNC,
        message(b"Q", b"EXECUTE f\0"),
    ],
    "EXECUTE in one text with a PREPARE": [
        message(b"Q", b"PREPARE g AS SELECT 1; DEALLOCATE g; PREPARE g AS DELETE FROM plain; EXECUTE g\0")
    ],
    "FETCH from a portal of the protocol": [parse(WRITE) + bind(b"t") + message(b"Q", b"FETCH ALL FROM t\0") + SYNC],
    "a function by its OID": [message(b"F", struct.pack(">IHHIsH", 1574, 0, 1, 3, b"seq", 0))],
    "two statements in one Parse": [parse(b"SELECT 1; DELETE FROM plain") + bind() + execute() + SYNC],
    "copy data behind a COPY that is held": [message(b"Q", b"COPY plain FROM STDIN\0") + message(b"d", b"9\tz\n") + message(b"c")],
    "a savepoint around it": [
        message(b"Q", b"BEGIN\0"),
        message(b"Q", b"SAVEPOINT a\0"),
        message(b"Q", WRITE, b"\0"),
        message(b"Q", b"COMMIT\0"),
    ],
    "ten thousand statements": [message(b"Q", b"SELECT 1;" * 9999 + WRITE, b"\0")],
    "nested a thousand times": [message(b"Q", b"SELECT " + b"(SELECT " * 1000 + b"writer('x')" + b")" * 1000, b"\0")],
    "nested a hundred thousand times": [message(b"Q", b"SELECT " + b"(" * 100_000 + b"writer('x')" + b")" * 100_000, b"\0")],
}
"""What is sent at once, and then each next once the server is ready again."""


@pytest.mark.parametrize("name", DIALOGUES)
def test_i3_a_dialogue_of_the_protocol_lets_nothing_slip(gateway, unchanged, wire, name):
    with gateway.connect() as connection:
        client = wire(connection)
        for sent in DIALOGUES[name]:
            client.send(sent)
            _until_ready_or_held(client, connection)
        client.close()
        with gateway.connect() as another:
            assert another.execute("SELECT 1").fetchone() == (1,)


def _until_ready_or_held(client, connection):
    """Hear the answer out; what is held is taken back."""
    while (heard := client.receive())[0] not in ("Z", ""):
        if heard[0] == "N" and b"held for review" in heard[1]:
            connection.pgconn.get_cancel().cancel()


BROKEN = {
    "a NUL within a Query": message(b"Q", b"SELECT 1\0; DELETE FROM plain\0"),
    "a NUL within a Parse": message(b"P", b"\0SELECT 1\0DELETE FROM plain\0", struct.pack(">H", 0)),
    "a Query without its end": message(b"Q", b"DELETE FROM plain"),
    "a Bind that promises more than it holds": parse(WRITE)
    + message(b"B", b"\0\0", struct.pack(">HHI", 0, 9, 5))
    + execute()
    + SYNC,
    "a message of no kind": message(b"!", b"DELETE FROM plain\0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_i3_what_is_malformed_ends_the_session_and_nothing_else(gateway, unchanged, wire, name):
    with gateway.connect() as connection:
        client = wire(connection)
        client.send(BROKEN[name])
        _until_ready_or_held(client, connection)
        client.close()


# -- what changes under a shape that was judged


@pytest.fixture
def built(target, gateway_class, tmp_path):
    """A gateway where a second account may change the schema without a review."""
    policy = "rules: [{name: builder, subjects: {names: [builder]}, effects: [read, ddl, write, unknown, session], action: allow}]"
    made = gateway_class(tmp_path, target.server.port, target.server.password, policy=policy)
    key = made.cli("keys", "create", "builder").stdout.strip()
    yield made, made.uri(key=key, user="builder")
    made.stop()
    with psycopg.connect(target.server.uri, autocommit=True) as owner:
        owner.execute("CREATE OR REPLACE VIEW fair_view AS SELECT a, upper(b) FROM plain")


REDEFINED = "CREATE OR REPLACE VIEW fair_view AS SELECT a, upper(b) AS upper FROM plain WHERE writer('redefined')"


@pytest.mark.parametrize("ask", ["query", "extended"])
def test_i3_a_view_that_another_session_redefines_is_judged_anew(built, target, ask):
    gateway, builder = built
    before = target.state()[-1]["deeds"]
    with Agent(gateway.connect()) as agent, psycopg.connect(builder, autocommit=True) as other:
        for _ in range(5):
            assert getattr(agent, ask)("SELECT * FROM fair_view") == "ran"
        other.execute(REDEFINED)
        assert getattr(agent, ask)("SELECT * FROM fair_view") == "held"
        other.execute("CREATE OR REPLACE VIEW fair_view AS SELECT a, upper(b) FROM plain")
        assert getattr(agent, ask)("SELECT * FROM fair_view") == "ran"
    assert target.state()[-1]["deeds"] == before


def test_i3_a_relation_that_another_session_is_about_to_swap_is_no_read(built, target):
    """The server would let it wait for the lock, and then look the name up again."""
    gateway, builder = built
    with Agent(gateway.connect()) as agent, psycopg.connect(builder) as other:
        for _ in range(5):
            assert agent.query("SELECT a FROM swapped") == "ran"
        other.execute("ALTER TABLE swapped RENAME TO was_swapped")
        other.execute("ALTER VIEW looks_plain RENAME TO swapped")
        assert agent.query("SELECT a FROM swapped") == "held"
        other.rollback()
        assert agent.query("SELECT a FROM swapped") == "ran"


def test_i3_what_does_not_exist_yet_is_no_read_behind_another_statement(gateway, unchanged):
    with Agent(gateway.connect()) as agent:
        assert agent.query("SELECT * FROM not_yet") == "42P01"
        assert agent.query("SELECT 1; SELECT * FROM not_yet") == "held"
