"""The reading of a statement by the target's own catalog, through the gateway, on two major versions."""

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

POLICY = """
rules:
  - {name: reads-only, effects: [write, ddl, admin, exec, unknown], action: deny, message: only reads}
  - {name: schema-changes, effects: [ddl, read], when: "'CREATE VIEW' in command.kinds || 'DROP VIEW' in command.kinds", action: deny}
"""
MADE = """
CREATE SCHEMA other;
CREATE FUNCTION harm(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE TABLE plain (id int PRIMARY KEY, name text, kind text);
INSERT INTO plain SELECT i, 'n' || i, 'k' FROM generate_series(1, 5) i;
CREATE VIEW plain_view AS SELECT id, upper(name) AS name FROM plain;
CREATE VIEW harmful_view AS SELECT harm(id) AS id FROM plain;
CREATE VIEW nested_view AS SELECT * FROM harmful_view;
CREATE TABLE guarded (id int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY watch ON guarded USING (harm(id) > 0);
CREATE TABLE watched (id int);
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER seen AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION trig();
CREATE TABLE ruled (id int);
CREATE RULE also AS ON INSERT TO ruled DO ALSO DELETE FROM watched;
CREATE TABLE child (id int REFERENCES plain ON DELETE CASCADE);
CREATE TABLE orphan (id int REFERENCES plain ON DELETE SET NULL);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN harmful AS int CHECK (harm(VALUE) > 0);
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE fair_pair AS (a posint, b mood);
CREATE TYPE evil_pair AS (a harmful, b text);
CREATE TABLE moods (m mood, p posint);
INSERT INTO moods VALUES ('ok', 1);
CREATE FUNCTION equal(pair, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN PERFORM harm(1); RETURN true; END';
CREATE OPERATOR === (LEFTARG = pair, RIGHTARG = int, FUNCTION = equal);
CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS 'SELECT ROW($1, NULL)::pair';
CREATE CAST (int AS pair) WITH FUNCTION to_pair(int);
CREATE TYPE shade AS ENUM ('light');
CREATE FUNCTION shade_text(shade) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN harm(1)::text; END';
CREATE CAST (shade AS text) WITH FUNCTION shade_text(shade) AS IMPLICIT;
CREATE TABLE shades (s shade);
CREATE FUNCTION lower(int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN harm($1)::text; END';
CREATE FUNCTION other.btrim(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION fieldlike(plain) RETURNS int LANGUAGE sql AS 'SELECT harm(1)';
CREATE TABLE constant_index (a int);
CREATE INDEX sly ON constant_index (a) WHERE harm(1) > 5;
CREATE TABLE computed_index (a int);
CREATE INDEX fair ON computed_index (harm(a));
CREATE TABLE parted (a int) PARTITION BY RANGE (a);
CREATE TABLE other.part PARTITION OF parted FOR VALUES FROM (0) TO (9);
CREATE TRIGGER deep AFTER DELETE ON other.part FOR EACH ROW EXECUTE FUNCTION trig();
CREATE TABLE twice (a int);
CREATE TABLE other.twice (a int);
CREATE TABLE defaulted (id serial, a int DEFAULT harm(3));
"""
BY_SUPERUSER = """
CREATE FUNCTION evtrig() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION evtrig();
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER srv FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE far_away (a int) SERVER srv;
GRANT SELECT ON far_away TO app;
"""
READS = [
    "SELECT * FROM plain",
    "SELECT * FROM plain_view WHERE name ILIKE 'n%'",
    "SELECT 'ok'::mood, 5::posint, ROW(1, 'ok')::fair_pair, 'ok' = ANY(enum_range(NULL::mood))",
    "SELECT m, p FROM moods WHERE m = 'ok' ORDER BY m",
    "SELECT a FROM computed_index",
    "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'",
    "SELECT table_name FROM information_schema.tables",
    "COPY plain TO STDOUT",
]
NOT_READS = {
    "SELECT * FROM harmful_view": "the view public.harmful_view calls public.harm",
    "SELECT * FROM nested_view": "the view public.harmful_view calls public.harm",
    "COPY (SELECT * FROM nested_view) TO STDOUT": "the view public.harmful_view calls public.harm",
    "EXPLAIN SELECT * FROM nested_view": "the view public.harmful_view calls public.harm",
    "SELECT harm(1)": "public.harm, a function made by users in plpgsql, called immutable",
    "SELECT * FROM guarded": "whose policy watch calls public.harm",
    "INSERT INTO watched VALUES (1)": "the trigger seen of public.watched runs public.trig",
    "INSERT INTO ruled VALUES (1)": "the rule also of public.ruled also deletes rows of public.watched",
    "DELETE FROM plain WHERE id = 1": "a foreign key deletes rows of public.child too",
    "DELETE FROM plain WHERE id = 2": "a foreign key updates public.orphan too",
    "DELETE FROM parted": "the trigger deep of other.part runs public.trig",
    "INSERT INTO defaulted DEFAULT VALUES": "the default a of public.defaulted calls public.harm",
    "SELECT 1::harmful": "the domain public.harmful has the check",
    "SELECT (1::int).harmful": "the domain public.harmful has the check",
    "SELECT ROW(1, 'x')::evil_pair": "the domain public.harmful has the check",
    "SELECT NULL::pair === 1": "public.===, made by users of public.equal",
    "SELECT 1::pair": "the cast by public.to_pair may be chosen",
    "SELECT length(s) FROM shades": "public.shades.s may be converted by public.shade_text",
    "SELECT lower(5)": "which may be public.lower",
    "SELECT btrim(name) FROM plain": "which may be other.btrim",
    "SELECT p.fieldlike FROM plain p": "fieldlike may be a call of public.fieldlike",
    "SELECT * FROM constant_index": "whose index sly calls public.harm",
    "SELECT a FROM far_away": "a foreign table",
    "CREATE TABLE more (a int)": "the event trigger ev may run public.evtrig",
}


@pytest.fixture(scope="module", params=[16, 18])
def server(request):
    with DemoDatabase(major=request.param) as made:
        with psycopg.connect(made.uri, autocommit=True) as connection:
            connection.execute(MADE)
        where = {"host": str(made.folder), "port": made.port, "user": "postgres", "dbname": "shop", "autocommit": True}
        with psycopg.connect(**where) as connection:
            connection.execute(BY_SUPERUSER)
        yield made


@pytest.fixture(scope="module")
def guarded(server, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("catalog"), server.port, server.password, policy=POLICY)
    yield running
    running.stop()


def outcome(connection, sql):
    try:
        if sql.startswith("COPY"):
            with connection.cursor() as cursor, cursor.copy(sql) as copy:
                list(copy)
        else:
            connection.execute(sql)
    except psycopg.Error as error:
        return error.diag.message_primary
    return "ran"


def test_i3_the_catalog_says_what_is_a_read(guarded):
    with guarded.connect() as connection:
        ran = {sql: outcome(connection, sql) for sql in READS}
        denied = {sql: outcome(connection, sql) for sql in NOT_READS}
    assert ran == dict.fromkeys(READS, "ran")
    assert denied == dict.fromkeys(NOT_READS, "denied by Countersign: only reads")
    told = {}
    for record in guarded.audit("command"):
        command = record["body"]["command"]
        told[command["text"]] = " / ".join(reason for statement in command["statements"] for reason in statement["reasons"])
        assert command["attributes"]["catalog_asked"]
    assert {sql: why for sql, why in NOT_READS.items() if why not in told[sql]} == {}


def test_relations_are_named_with_their_schema_and_every_one_where_the_path_may_have_moved(guarded):
    with guarded.connect() as connection:
        outcome(connection, "SELECT 1 FROM twice AS first_way")
    with guarded.connect() as connection:
        outcome(connection, "SELECT 2 FROM other.twice AS second_way")
    reads = {r["body"]["command"]["text"]: r["body"]["command"]["statements"][0]["reads"] for r in guarded.audit("command")}
    assert reads["SELECT 1 FROM twice AS first_way"] == ["public.twice"]
    assert reads["SELECT 2 FROM other.twice AS second_way"] == ["other.twice"]


def test_i3_a_change_by_others_is_seen_soon(guarded, server, eventually):
    with psycopg.connect(server.uri, autocommit=True) as direct, guarded.connect() as connection:
        direct.execute("CREATE VIEW swapped AS SELECT id FROM plain")
        assert outcome(connection, "SELECT * FROM swapped") == "ran", "what is just made is looked for at once"
        direct.execute("CREATE OR REPLACE VIEW swapped AS SELECT harm(id) AS id FROM plain")
        eventually(lambda: outcome(connection, "SELECT * FROM swapped") != "ran", "the new view is seen")
        direct.execute("DROP VIEW swapped")


def test_i3_a_change_through_the_gateway_is_seen_at_once(make_gateway, server):
    policy = "rules:\n  - {name: changes, effects: [ddl, write, session, read, exec], action: allow}\n"
    policy += "  - {name: rest, effects: [unknown], action: deny, message: not read}\n"
    gateway = make_gateway(policy=policy, upstream_port=server.port, password=server.password)
    with gateway.connect() as one, gateway.connect() as two:
        one.execute("CREATE VIEW fresh AS SELECT id FROM plain")
        assert outcome(two, "SELECT * FROM fresh") == "ran"
        for _ in range(3):  # learned by now
            assert outcome(two, "SELECT * FROM fresh") == "ran"
        one.execute("ALTER VIEW fresh RENAME TO stale")
        one.execute("ALTER VIEW harmful_view RENAME TO fresh")
        assert outcome(two, "SELECT * FROM fresh") == "denied by Countersign: not read"
        one.execute("ALTER VIEW fresh RENAME TO harmful_view")
        one.execute("DROP VIEW stale")
        one.execute("BEGIN")
        one.execute("ALTER VIEW harmful_view RENAME TO inside")
        assert outcome(one, "SELECT * FROM plain") == "denied by Countersign: not read"
        one.execute("ROLLBACK")
        assert outcome(one, "SELECT * FROM plain") == "ran"
        swap = "ALTER TABLE plain RENAME TO plain_; ALTER VIEW harmful_view RENAME TO plain; SELECT * FROM plain"
        assert outcome(one, swap) == "denied by Countersign: not read"


def test_i8_where_the_catalog_cannot_be_read_nothing_is_a_read_and_nobody_is_let_in(make_gateway, server, eventually):
    gateway = make_gateway(
        policy="rules:\n  - {name: rest, effects: [unknown], action: deny, message: not read}\n",
        upstream_port=server.port,
        password=server.password,
    )
    where = {"host": str(server.folder), "port": server.port, "user": "postgres", "dbname": "shop", "autocommit": True}
    with gateway.connect() as connection, psycopg.connect(**where) as superuser:
        assert outcome(connection, "SELECT 1") == "ran"
        superuser.execute("REVOKE SELECT ON pg_catalog.pg_trigger FROM PUBLIC")
        try:
            eventually(lambda: outcome(connection, "SELECT 1") == "denied by Countersign: not read", "what was read is too old")
            assert outcome(connection, "SHOW jit") == "ran"
            with pytest.raises(psycopg.OperationalError, match="catalog cannot be read: permission denied for table pg_trigger"):
                gateway.connect()
        finally:
            superuser.execute("GRANT SELECT ON pg_catalog.pg_trigger TO PUBLIC")


def test_explain_asks_a_live_catalog_and_says_where_it_cannot(guarded, server):
    said = guarded.json("policy", "explain", "--live", "--database", "shop", "--target", "shop", "SELECT * FROM harmful_view")
    assert said["effects"] == ["read", "unknown"] and said["catalog_asked"] and said["verdict"] == "deny"
    assert said["sql"]["catalog_asked"] and said["sql"]["has_where"] and said["sql"]["columns_written"] == []
    offline = guarded.json("policy", "explain", "--target", "shop", "SELECT * FROM harmful_view")
    assert offline["effects"] == ["read"] and not offline["catalog_asked"]
    missing = guarded.cli("policy", "explain", "--live", "--database", "nowhere", "--target", "shop", "SELECT 1", ok=False)
    assert missing.returncode == 1 and "there is no such database on the target" in missing.stderr


@pytest.mark.parametrize(
    ("type_name", "value", "is_read"), [("mood", b"ok", True), ("posint", b"5", True), ("harmful", b"5", False)]
)
def test_i3_a_parameter_that_is_declared_to_be_of_a_user_s_type_is_read_as_a_cast_to_it(guarded, server, type_name, value, is_read):
    with psycopg.connect(server.uri) as direct:
        oid = direct.execute("SELECT %s::regtype::oid", [type_name]).fetchone()[0]
    with guarded.connect() as connection:
        for declared in (25, 25, 25, 25, oid, oid):
            answer = connection.pgconn.exec_params(b"SELECT 1 WHERE $1 IS NOT NULL", [value], param_types=[declared])
            denied = answer.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42501"
            assert denied == (declared == oid and not is_read)


def test_i3_a_statement_that_sql_prepares_casts_its_arguments_to_the_types_it_names(guarded):
    with guarded.connect() as connection:
        connection.execute("PREPARE fair(posint) AS SELECT 1 WHERE $1 IS NOT NULL")
        connection.execute("EXECUTE fair(5)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only reads"):
            connection.execute("PREPARE sly(harmful) AS SELECT 1 WHERE $1 IS NOT NULL")
