import postgast
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.model import Effect
from countersign.protocols.postgres.inspector import inspect_sql
from countersign.protocols.postgres.inspector.commands import COMMANDS, NO_COMMANDS, READ_ELSEWHERE
from countersign.protocols.postgres.schema import Schema

READS = """
SELECT 1
SELECT a, count(*) FROM s.t WHERE x = lower('a') GROUP BY 1 HAVING count(*) > 1 ORDER BY 2 LIMIT 3
SELECT t.*, row_number() OVER (PARTITION BY a ORDER BY b) FROM t LEFT JOIN u USING (id)
WITH x AS (SELECT 1 AS a) SELECT * FROM x UNION SELECT 2
SELECT CASE WHEN a IS NULL THEN 0 ELSE a END FROM t WHERE b BETWEEN 1 AND 2 AND c = ANY(ARRAY[1, 2])
VALUES (1), (2)
TABLE t
SHOW transaction isolation level
EXPLAIN DELETE FROM t
SELECT pg_catalog.version()
SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'
COPY t TO STDOUT
SELECT now() AT TIME ZONE 'UTC', extract(year FROM now()), current_date, '{}'::jsonb -> 'a'
"""
NOT_READS = """
DELETE FROM t|write
UPDATE t SET a = 1 WHERE b|write
INSERT INTO t SELECT * FROM u|write
MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE|write
WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x|write
SELECT * INTO u FROM t|ddl,write
SELECT * FROM t FOR UPDATE|write
SELECT * FROM (SELECT * FROM t FOR SHARE) x|write
CREATE TABLE u AS SELECT 1|ddl,write
EXPLAIN ANALYZE DELETE FROM t|write
EXPLAIN (ANALYZE true) INSERT INTO t VALUES (1)|write
EXPLAIN SELECT pg_sleep(1)|unknown
PREPARE p AS DELETE FROM t|write
EXECUTE p|unknown
TRUNCATE t|write,ddl
DROP TABLE t|ddl
SELECT 1; DROP TABLE t|ddl
COPY t FROM STDIN|write
COPY (SELECT 1) TO PROGRAM 'sh'|exec,admin
COPY t TO '/tmp/x'|admin
SELECT nextval('s')|write
SELECT setval('s', 1)|write
SELECT set_config('role', 'x', false)|admin
SELECT pg_sleep(1)|unknown
SELECT pg_terminate_backend(1)|admin
SELECT pg_read_file('/etc/passwd')|admin
SELECT lo_import('/etc/passwd')|admin
SELECT ('/etc/passwd'::text).pg_read_file|admin
SELECT (ARRAY['/etc/passwd'])[1].pg_read_file|admin
SELECT x.pg_read_file FROM unnest(ARRAY['/etc/passwd']) x|admin
SELECT (0::float8).pg_sleep|unknown
SELECT ('primary_conninfo'::text).current_setting|admin
SELECT current_setting('primary_' || 'conninfo')|admin
SELECT query_to_xml('delete from t', true, true, '')|exec
SELECT dblink('', 'delete from t')|exec
SELECT * FROM pg_notify('a', 'b')|write
SELECT pg_advisory_lock(1)|write
SELECT my.lower('a')|unknown
SELECT 'a'::my_domain|unknown
SELECT 1 OPERATOR(my.+) 2|unknown
SELECT a FROM t ORDER BY a USING OPERATOR(my.<)|unknown
SELECT most_common_vals FROM pg_stats|admin
SELECT query FROM pg_stat_activity|admin
SELECT * FROM pg_authid|admin
SET role x|admin
SET search_path = evil|admin
SET standard_conforming_strings = off|admin
SET SESSION AUTHORIZATION x|admin
SET client_encoding = 'LATIN1'|admin
DO $$ BEGIN END $$|unknown
CALL p()|unknown
LOCK TABLE t|write
NOTIFY a|write
VACUUM|admin
GRANT SELECT ON t TO u|admin
ALTER SYSTEM SET a = 1|admin
LOAD 'x'|exec
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'|ddl,exec
PREPARE TRANSACTION 'x'|admin
SELEC 1|unknown
SELECT 'unterminated|unknown
"""


@pytest.mark.parametrize("sql", READS.strip().splitlines())
def test_reads_are_read(sql):
    assert inspect_sql(sql).effects == {Effect.READ}


@pytest.mark.parametrize("line", NOT_READS.strip().splitlines())
def test_i3_what_is_more_than_a_read_is_seen(line):
    sql, effects = line.rsplit("|", 1)
    found = inspect_sql(sql)
    assert {Effect(effect) for effect in effects.split(",")} <= found.effects
    assert any(statement.reasons for statement in found.statements)


@pytest.mark.parametrize(
    "sql", ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "SET TIME ZONE 'UTC'", "RESET ALL", "", "-- x"]
)
def test_session_state_is_harmless(sql):
    assert inspect_sql(sql).effects == {Effect.SESSION}


@pytest.mark.parametrize("sql", ["SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "SELECT 1\0; DROP TABLE t", "x" * (2 << 20)])
def test_i3_what_is_too_deep_too_long_or_holds_nul_is_unknown(sql):
    assert Effect.UNKNOWN in inspect_sql(sql).effects


@given(st.text(max_size=200))
def test_i3_any_text_gives_a_reading(sql):
    assert inspect_sql(sql).effects


def test_a_summary_says_what_a_hurried_reviewer_must_not_miss():
    assert (
        inspect_sql("DELETE FROM public.orders").statements[0].summary == "deletes rows of public.orders without WHERE: every row"
    )


def test_a_cte_hides_a_table_of_its_name_only_where_it_is_visible():
    sql = "SELECT * FROM customers, (WITH customers AS (SELECT 1) SELECT * FROM customers) x"
    assert inspect_sql(sql).statements[0].reads == ("customers",)


def only(sql):
    (statement,) = inspect_sql(sql).statements
    return statement


def test_every_command_of_the_grammar_has_an_entry():
    node = type(postgast.parse("SELECT 1").stmts[0].stmt)
    commands = {field.name for field in node.DESCRIPTOR.fields if field.message_type.name.endswith("Stmt")}
    assert commands == set(COMMANDS) | set(READ_ELSEWHERE) | set(NO_COMMANDS)


def test_every_effect_beyond_a_read_has_a_reason():
    assert all(why for _, effects, why in COMMANDS.values() if effects - {Effect.READ, Effect.SESSION})


@pytest.mark.parametrize(
    ("sql", "read", "written"),
    [
        (
            "SELECT c.name, o.id FROM s.customers c JOIN orders o USING (id)",
            {"s.customers.id", "orders.id", "s.customers.name"},
            set(),
        ),
        ("SELECT name FROM customers ORDER BY ssn", {"customers.name", "customers.ssn"}, set()),
        ("SELECT name AS n FROM customers ORDER BY n", {"customers.name"}, set()),
        ("SELECT * FROM customers", {"customers.*"}, set()),
        ("SELECT row_to_json(c) FROM customers c", {"customers.*"}, set()),
        ("SELECT x.s FROM (SELECT ssn AS s FROM customers) x", {"customers.ssn"}, set()),
        ("WITH w AS (SELECT ssn FROM customers) SELECT * FROM w", {"customers.ssn"}, set()),
        ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.y)", {"b.x", "a.y"}, set()),
        ("SELECT x FROM a, b", {"x"}, set()),
        ("INSERT INTO t (a, b) SELECT c, d FROM u", {"u.c", "u.d"}, {"t.a", "t.b"}),
        ("INSERT INTO t VALUES (1)", set(), {"t.*"}),
        ("UPDATE t SET a = b WHERE c = 1 RETURNING d", {"t.b", "t.c", "t.d"}, {"t.a"}),
        ("DELETE FROM t WHERE c = 1", {"t.c"}, {"t.*"}),
        ("WITH w AS (UPDATE t SET a = 1) SELECT 1", set(), {"t.a"}),
        ("COPY t (a) TO STDOUT", {"t.a"}, set()),
        ("COPY t FROM STDIN", set(), {"t.*"}),
        ("MERGE INTO t USING u ON t.a = u.b WHEN MATCHED THEN UPDATE SET c = u.d", {"t.a", "u.b", "u.d"}, {"t.c"}),
        ("EXPLAIN UPDATE t SET a = b", {"t.b"}, set()),
    ],
)
def test_columns_are_told(sql, read, written):
    found = only(sql)
    assert (set(found.columns_read), set(found.columns_written)) == (read, written)


@pytest.mark.parametrize(
    ("sql", "has_where"),
    [
        ("DELETE FROM t", False),
        ("DELETE FROM t WHERE a = 1", True),
        ("DELETE FROM t WHERE true", False),
        ("UPDATE t SET a = 1 WHERE 1 = 1", False),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", True),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", False),
        ("EXPLAIN ANALYZE DELETE FROM t", False),
        ("PREPARE p AS DELETE FROM t", False),
        ("COPY (DELETE FROM t RETURNING a) TO STDOUT", False),
        ("SELECT 1", None),
        ("INSERT INTO t VALUES (1)", None),
    ],
)
def test_a_missing_where_is_seen_wherever_it_is_missing(sql, has_where):
    assert only(sql).has_where is has_where


@pytest.mark.parametrize(
    ("sql", "field", "value"),
    [
        ("SET ROLE x", "settings", ("role",)),
        ("SET SESSION AUTHORIZATION x", "settings", ("session_authorization",)),
        ("SET LOCAL search_path = a", "settings", ("search_path",)),
        ("RESET ROLE", "settings", ("role",)),
        ("RESET ALL", "settings", ("all",)),
        ("DISCARD ALL", "settings", ("all",)),
        ("BEGIN READ WRITE", "settings", ("transaction_read_only",)),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "settings", ("default_transaction_read_only",)),
        ("SELECT set_config('Role', 'x', false)", "settings", ("role",)),
        ("LOCK TABLE a, s.b IN SHARE MODE", "locks", ("SHARE a", "SHARE s.b")),
        ("LOCK a", "locks", ("ACCESS EXCLUSIVE a",)),
        ("SELECT * FROM a JOIN b ON true FOR UPDATE", "locks", ("FOR UPDATE a", "FOR UPDATE b")),
        ("SELECT * FROM a FOR KEY SHARE", "locks", ("FOR KEY SHARE a",)),
        ("SELECT * FROM s.a x JOIN b USING (i) FOR NO KEY UPDATE OF x", "locks", ("FOR NO KEY UPDATE s.a",)),
        ("SELECT * FROM (SELECT * FROM a, b y) x, c FOR SHARE OF x", "locks", ("FOR SHARE a", "FOR SHARE b")),
        ("SELECT * FROM a TABLESAMPLE system (1) FOR UPDATE", "locks", ("FOR UPDATE a",)),
        ("COPY t FROM STDIN", "copy", "stdin"),
        ("COPY (SELECT 1) TO STDOUT", "copy", "stdout"),
        ("COPY t TO PROGRAM 'x'", "copy", "program"),
        ("COPY t FROM '/x'", "copy", "file"),
        ("PREPARE p AS SELECT 1", "named", "p"),
        ("EXECUTE p(1)", "named", "p"),
        ("DECLARE c CURSOR FOR SELECT 1", "named", "c"),
        ("FETCH 3 FROM c", "named", "c"),
        ("MOVE c", "kind", "MOVE"),
        ("ANALYZE t", "kind", "ANALYZE"),
        ("REVOKE SELECT ON t FROM x", "kind", "REVOKE"),
        ("CREATE MATERIALIZED VIEW m AS SELECT 1", "kind", "CREATE MATERIALIZED VIEW"),
        ("CREATE DATABASE d", "summary", "CREATE DATABASE d"),
        ("DROP TABLE s.t", "summary", "DROP TABLE s.t"),
    ],
)
def test_a_statement_tells(sql, field, value):
    assert getattr(only(sql), field) == value


@pytest.mark.parametrize(
    "sql", ['SELECT "coalesce"(1, 2)', "SELECT \"trim\"('x')", 'SELECT "current_date"()', "SELECT 'x'::\"integer\""]
)
def test_i3_a_keyword_in_quotes_is_the_name_of_something_of_the_users_own(sql):
    assert Effect.UNKNOWN in inspect_sql(sql).effects


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT current_setting('jit') AS cur, set_config('jit', $1, false) AS new",
        "SELECT pg_advisory_unlock_all()",
        "SELECT pg_catalog.set_config('statement_timeout', '0', false)",
        "SELECT setseed(0.5)",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET enable_seqscan = off",
    ],
)
def test_what_drivers_do_to_their_session_is_harmless(sql):
    assert inspect_sql(sql).effects <= {Effect.SESSION, Effect.READ}


def test_a_reading_says_that_nobody_asked_the_catalog():
    assert not inspect_sql("SELECT 1").catalog_asked
    assert inspect_sql("SELECT 1", Schema.of("v", ())).catalog_asked
