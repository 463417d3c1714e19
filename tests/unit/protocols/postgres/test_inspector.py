import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.model import Effect
from countersign.protocols.postgres.inspector import inspect_sql
from countersign.protocols.postgres.lineage import clean_outputs

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
SELECT nextval('s')|unknown
SELECT setval('s', 1)|unknown
SELECT set_config('role', 'x', false)|unknown
SELECT pg_sleep(1)|unknown
SELECT pg_terminate_backend(1)|unknown
SELECT pg_read_file('/etc/passwd')|unknown
SELECT lo_import('/etc/passwd')|unknown
SELECT query_to_xml('delete from t', true, true, '')|unknown
SELECT dblink('', 'delete from t')|unknown
SELECT * FROM pg_notify('a', 'b')|unknown
SELECT pg_advisory_lock(1)|unknown
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
    clean_outputs(sql)


def test_a_summary_says_what_a_hurried_reviewer_must_not_miss():
    assert (
        inspect_sql("DELETE FROM public.orders").statements[0].summary == "deletes rows of public.orders without WHERE: every row"
    )


def test_a_cte_hides_a_table_of_its_name_only_where_it_is_visible():
    sql = "SELECT * FROM customers, (WITH customers AS (SELECT 1) SELECT * FROM customers) x"
    assert inspect_sql(sql).statements[0].reads == ("customers",)
    assert clean_outputs(sql)[0].relations == {"customers"}


@pytest.mark.parametrize(
    ("sql", "outputs"),
    [
        ("SELECT count(*), count(ssn), ssn IS NULL, upper(name), 1 FROM c", [set(), set(), set(), {"name"}, set()]),
        ("SELECT c, row_to_json(c), c.ssn || '', (SELECT 1) FROM c", [None, None, {"ssn"}, None]),
        ("SELECT text(x), x.name FROM c x", [None, {"name"}]),
    ],
)
def test_what_an_output_can_reveal(sql, outputs):
    found = clean_outputs(sql)[0].outputs
    assert [None if output is None else set(output) for output in found] == outputs


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM c AS c(a)",
        "SELECT x FROM (SELECT ssn x FROM c) s",
        "WITH w AS (SELECT 1) SELECT 1 FROM w",
        "SELECT 1 UNION SELECT 2",
        "SELECT f FROM unnest(ARRAY[1]) f",
    ],
)
def test_nothing_is_said_of_outputs_that_renaming_may_hide(sql):
    assert clean_outputs(sql)[0].outputs is None
