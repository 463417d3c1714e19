"""PostgreSQL as the judge (I3): what the server refuses inside a READ ONLY transaction is never classed as a read."""

import psycopg
import pytest

from countersign.model import Effect
from countersign.protocols.postgres.inspector import inspect_sql

STATEMENTS = """
SELECT 1
SELECT * FROM customers
SELECT * FROM customers FOR UPDATE
SELECT * FROM customers FOR KEY SHARE
SELECT * FROM (SELECT id FROM customers FOR SHARE) x
SELECT * INTO judge_copy FROM orders
CREATE TABLE judge_t AS SELECT 1
CREATE TABLE judge_t (a int)
CREATE VIEW judge_v AS SELECT 1
CREATE INDEX ON orders (status)
CREATE SEQUENCE judge_s
CREATE SCHEMA judge_x
CREATE TYPE judge_e AS ENUM ('a')
CREATE DOMAIN judge_d AS int
CREATE FUNCTION judge_f() RETURNS int LANGUAGE sql AS 'select 1'
CREATE MATERIALIZED VIEW judge_m AS SELECT 1
ALTER TABLE orders ADD COLUMN x int
ALTER TABLE orders RENAME TO other
DROP TABLE orders
DROP VIEW contacts
TRUNCATE orders
INSERT INTO log VALUES ('x')
INSERT INTO log SELECT 'x' RETURNING *
UPDATE orders SET status = 'x'
UPDATE orders SET status = 'x' FROM customers WHERE orders.id = customers.id
DELETE FROM orders
DELETE FROM orders USING customers WHERE orders.id = customers.id
MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DELETE
WITH x AS (DELETE FROM orders RETURNING *) SELECT count(*) FROM x
WITH x AS (INSERT INTO log VALUES ('x') RETURNING *) SELECT * FROM x
WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x WHERE n < 3) SELECT * FROM x
EXPLAIN ANALYZE DELETE FROM orders
EXPLAIN (ANALYZE, FORMAT json) UPDATE orders SET status = 'x'
EXPLAIN DELETE FROM orders
SELECT nextval('judge_seq')
SELECT setval('judge_seq', 1)
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
SELECT txid_current()
COMMENT ON TABLE orders IS 'x'
GRANT SELECT ON orders TO public
REVOKE SELECT ON orders FROM public
LOCK TABLE orders IN EXCLUSIVE MODE
NOTIFY judge
LISTEN judge
REFRESH MATERIALIZED VIEW judge_mv
CLUSTER orders
REINDEX TABLE orders
ANALYZE orders
DO $$ BEGIN DELETE FROM orders; END $$
COPY log FROM STDIN
PREPARE judge_p AS DELETE FROM orders
DECLARE judge_c CURSOR FOR SELECT 1
SHOW search_path
SET search_path = public
VALUES (1)
TABLE orders
"""


@pytest.mark.parametrize("sql", STATEMENTS.strip().splitlines())
def test_i3_what_the_server_refuses_as_a_write_is_no_read(direct, sql):
    direct.execute("CREATE SEQUENCE IF NOT EXISTS judge_seq")
    direct.execute("CREATE MATERIALIZED VIEW IF NOT EXISTS judge_mv AS SELECT 1")
    refused = False
    direct.execute("BEGIN READ ONLY")
    try:
        direct.execute(sql)
    except psycopg.errors.ReadOnlySqlTransaction:
        refused = True
    except psycopg.Error:
        pass
    finally:
        direct.execute("ROLLBACK")
    if refused:
        assert not inspect_sql(sql).effects <= {Effect.READ, Effect.SESSION}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_notify('a', 'b')",
        "SELECT set_config('work_mem', '1MB', false)",
        "SELECT pg_terminate_backend(0)",
        "SELECT pg_sleep(0)",
        "SELECT query_to_xml('select 1', true, true, '')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM orders",
    ],
)
def test_i3_what_read_only_lets_through_and_is_no_read_all_the_same(sql):
    assert not inspect_sql(sql).effects <= {Effect.READ, Effect.SESSION}
