-- Queries in every form that the manual's "SQL Commands" and "Queries" know. One statement a line.
SELECT
SELECT 1
SELECT ALL a FROM t
SELECT DISTINCT b FROM t
SELECT DISTINCT ON (b) b, a FROM t ORDER BY b, a DESC NULLS LAST
SELECT a AS x, b "y z" FROM t AS tt (a, b)
SELECT * FROM ONLY t
SELECT t.* FROM t
SELECT (t).a FROM t
SELECT (t.*).b FROM t
SELECT t FROM t
SELECT row_to_json(t) FROM t
SELECT a FROM t WHERE b LIKE 'r%' AND NOT b ILIKE 'x%' OR b SIMILAR TO '%(1|2)'
SELECT a FROM t WHERE b ~ '^r' AND b !~* 'q' AND b ~~ 'r%'
SELECT a FROM t WHERE a BETWEEN SYMMETRIC 9 AND 3 OR a NOT BETWEEN 1 AND 2
SELECT a FROM t WHERE a IN (1, 2, 3) AND a NOT IN (SELECT a FROM u WHERE e IS NULL)
SELECT a FROM t WHERE a = ANY (ARRAY[1, 2]) AND a <> ALL ('{3,4}'::int[])
SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)
SELECT a FROM t WHERE (a, b) = (SELECT a, e FROM u LIMIT 1)
SELECT a FROM t WHERE (a, b) IN (SELECT a, e FROM u)
SELECT a FROM t WHERE ROW(a, b) IS NOT NULL AND b IS DISTINCT FROM 'x' AND (a > 1) IS NOT TRUE
SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a > 1 THEN 1 END FROM t
SELECT coalesce(b, 'x'), nullif(a, 1), greatest(a, 2), least(a, 2) FROM t
SELECT a FROM t GROUP BY a HAVING count(*) > 0
SELECT a, b, count(*) FROM t GROUP BY GROUPING SETS ((a), (b), ())
SELECT a, b, grouping(a, b) FROM t GROUP BY CUBE (a, b)
SELECT a, b FROM t GROUP BY DISTINCT ROLLUP (a, b)
SELECT b, string_agg(a::text, ',' ORDER BY a) FILTER (WHERE a > 3) FROM t GROUP BY b
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), mode() WITHIN GROUP (ORDER BY b) FROM t
SELECT rank() OVER w, sum(a) OVER (PARTITION BY b ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM t WINDOW w AS (ORDER BY a)
SELECT sum(a) OVER (ORDER BY a RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING), ntile(3) OVER (), lag(a, 1, 0) OVER (ORDER BY a) FROM t
SELECT a FROM t UNION SELECT a FROM u
SELECT a FROM t UNION ALL SELECT a FROM u ORDER BY 1
(SELECT a FROM t INTERSECT SELECT a FROM u) EXCEPT ALL (SELECT 1)
SELECT a FROM t ORDER BY a USING < OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY
SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES
SELECT a FROM t ORDER BY b COLLATE "C" LIMIT ALL OFFSET 1
SELECT * FROM t JOIN u USING (a)
SELECT * FROM t JOIN u USING (a) AS j
SELECT * FROM t NATURAL JOIN u
SELECT * FROM t LEFT JOIN u ON t.a = u.a RIGHT JOIN parted p ON p.a = u.a FULL JOIN v ON v.a = t.a
SELECT * FROM t CROSS JOIN u
SELECT * FROM t, LATERAL (SELECT e FROM u WHERE u.a = t.a) x
SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS x (n, s)
SELECT * FROM (SELECT 1) x
SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS g (n, o)
SELECT * FROM ROWS FROM (generate_series(1, 3), unnest(ARRAY['a'])) AS r
SELECT * FROM json_to_record('{"a": 1}') AS x (a int, b text)
SELECT * FROM jsonb_to_recordset('[{"a": 1}]') AS x (a int)
SELECT * FROM unnest(ARRAY[1], ARRAY['x']) AS x (a, b)
SELECT * FROM t TABLESAMPLE SYSTEM (50) REPEATABLE (1)
SELECT * FROM t TABLESAMPLE BERNOULLI (50)
SELECT * FROM XMLTABLE('/r' PASSING '<r a="1"/>' COLUMNS a int PATH '@a', n FOR ORDINALITY)
SELECT xmlelement(name x, xmlattributes(a AS y), b), xmlforest(a), xmlpi(name p), xmlroot(xmlparse(content '<a/>'), version '1.0') FROM t LIMIT 1
SELECT xmlconcat('<a/>', '<b/>'), xmlserialize(content '<a/>'::xml AS text), '<a/>'::xml IS DOCUMENT
WITH x AS (SELECT a FROM t) SELECT * FROM x
WITH x AS MATERIALIZED (SELECT a FROM t), y AS NOT MATERIALIZED (SELECT a FROM x) SELECT * FROM y
WITH RECURSIVE x (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 5) SELECT * FROM x
WITH RECURSIVE x (n) AS (SELECT 1 UNION SELECT n + 1 FROM x WHERE n < 5) SEARCH BREADTH FIRST BY n SET o CYCLE n SET is_cycle USING path SELECT * FROM x
VALUES (1, 'x'), (2, 'y')
TABLE t
TABLE ONLY t
SELECT a::text, CAST(a AS numeric(10, 2)), int '1', interval '1' day, timestamp with time zone 'epoch', b::varchar(3), '{1,2}'::int[] FROM t
SELECT 'ok'::mood, 1::posint, ROW(1, 'x')::pair, '[1,2)'::span
SELECT 'pg_class'::regclass, 't'::regclass::oid, 'int4'::regtype, 'now'::regproc, 'x'::pg_catalog."char"
SELECT a[1], a[1:2] FROM (SELECT ARRAY[1, 2, 3] AS a) x
SELECT ARRAY(SELECT a FROM t), ARRAY[[1, 2], [3, 4]], (ARRAY[1, 2])[1]
SELECT c -> 'k', c ->> 'k', c #> '{k}', c @> '{}', c ? 'k', c || '{}', c - 'k', c['k'] FROM t
SELECT JSON_OBJECT('a': 1), JSON_ARRAY(1, 2), JSON_ARRAYAGG(a), JSON_OBJECTAGG(a: b) FROM t
SELECT JSON_ARRAY(SELECT a FROM t), '{}' IS JSON OBJECT
SELECT JSON_VALUE(c, '$.k' RETURNING int DEFAULT 0 ON EMPTY), JSON_QUERY(c, '$.k' WITH WRAPPER), JSON_EXISTS(c, '$.k') FROM t
SELECT JSON('{}'), JSON_SCALAR(1), JSON_SERIALIZE('{}')
SELECT * FROM t, JSON_TABLE(c, '$' COLUMNS (n FOR ORDINALITY, k int PATH '$.k', NESTED PATH '$.x[*]' COLUMNS (y text PATH '$'))) j
SELECT now() AT TIME ZONE 'UTC', current_date, current_time, current_timestamp(3), localtime, localtimestamp, current_user, session_user, current_role, current_catalog, current_schema
SELECT extract(year FROM d), date_trunc('day', d), d + interval '1 day', d AT LOCAL, (d, d) OVERLAPS (d, d) FROM t
SELECT overlay('abc' PLACING 'x' FROM 2), position('b' IN 'abc'), substring('abc' FROM 2 FOR 1), trim(BOTH 'x' FROM 'xax'), normalize('a', NFC), 'a' IS NORMALIZED, collation for ('a')
SELECT $$dollar$$, $tag$x$tag$, E'\n', U&'\0061', B'1010', X'1F', 0x1F, 1_000, 1e3
SELECT "t"."a" FROM "t"
SELECT 1 OPERATOR(pg_catalog.+) 2, 'a' COLLATE pg_catalog."default"
SELECT relname FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid)
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.tables JOIN information_schema.key_column_usage USING (table_name)
SELECT * FROM pg_catalog.pg_settings
SELECT * FROM pg_stat_user_tables
SELECT * FROM v
SELECT * FROM mv
SELECT last_value FROM s
SELECT * FROM parted
SELECT ctid, xmin, tableoid::regclass FROM t
SELECT * FROM pg_locks
SELECT pg_get_viewdef('v'::regclass), pg_get_functiondef('f'::regproc), pg_get_indexdef('t_b'::regclass), obj_description('t'::regclass)
SELECT f(1)
SELECT agg(a) FROM t
SELECT 1 #+# 2
SELECT writer()
SELECT * FROM writer()
SELECT a FROM t WHERE writer() = 1
SELECT a FROM t ORDER BY writer()
SELECT a FROM t LIMIT writer()
SELECT count(*) FILTER (WHERE writer() = 1) FROM t
SELECT CASE WHEN true THEN writer() END
SELECT (SELECT writer())
SELECT ARRAY[writer()]
WITH x AS (SELECT writer()) SELECT * FROM x
VALUES (writer())
SELECT sum(a) OVER (ORDER BY writer()) FROM t
SELECT * FROM t JOIN u ON writer() = 1
SELECT * FROM t TABLESAMPLE SYSTEM (writer())
SELECT JSON_OBJECT('a': writer())
SELECT xmlelement(name x, writer())
SELECT nextval('s')
SELECT pg_catalog.nextval('s')
SELECT nextval('s') FROM generate_series(1, 3)
SELECT setval('s', 10)
SELECT setval('s', 10, false)
SELECT lo_create(0)
SELECT lo_creat(-1)
SELECT lo_from_bytea(0, '\x00')
SELECT lo_put(1, 0, '\x00')
SELECT lo_unlink(1)
SELECT lo_truncate(0, 0)
SELECT lowrite(0, '\x00')
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT pg_notify('x', 'y')
SELECT pg_import_system_collations('pg_catalog')
SELECT pg_logical_emit_message(true, 'a', 'b')
SELECT brin_summarize_new_values('t_b')
SELECT * FROM t FOR UPDATE
SELECT * FROM t FOR NO KEY UPDATE
SELECT * FROM t FOR SHARE
SELECT * FROM t FOR KEY SHARE
SELECT * FROM t FOR UPDATE OF t NOWAIT
SELECT * FROM t, u FOR UPDATE OF u SKIP LOCKED
SELECT * FROM t FOR SHARE OF t FOR UPDATE
SELECT * FROM (SELECT a FROM t FOR UPDATE) x
SELECT (SELECT a FROM t LIMIT 1 FOR UPDATE)
WITH x AS (SELECT a FROM t FOR SHARE) SELECT * FROM x
SELECT * FROM v FOR UPDATE
SELECT a INTO copy_1 FROM t
SELECT a INTO TEMP copy_2 FROM t
SELECT a INTO UNLOGGED TABLE copy_3 FROM t
WITH x AS (SELECT 1) SELECT * INTO copy_4 FROM x
SELECT 1 INTO copy_5 UNION SELECT 2
INSERT INTO t VALUES (100)
INSERT INTO t (a, b) VALUES (100, 'x'), (101, DEFAULT)
INSERT INTO t DEFAULT VALUES
INSERT INTO t AS tt (a) SELECT a + 100 FROM u
INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING
INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.a > 1 RETURNING *
INSERT INTO t (a) OVERRIDING USER VALUE VALUES (200)
INSERT INTO t (a) TABLE u
INSERT INTO t (a) VALUES (201) RETURNING a, b
INSERT INTO v (a) VALUES (202)
INSERT INTO parted VALUES (5, 'x')
WITH x AS (SELECT 300 AS a) INSERT INTO t (a) SELECT a FROM x
UPDATE t SET b = 'x'
UPDATE ONLY t SET b = DEFAULT WHERE a = 1
UPDATE t SET (b, c) = ('x', '{}') WHERE a = 1
UPDATE t SET (b) = (SELECT e FROM u WHERE u.a = t.a)
UPDATE t SET b = u.e FROM u WHERE u.a = t.a RETURNING t.*, u.e
UPDATE t SET tags[1] = 'z'
WITH x AS (SELECT 1 AS a) UPDATE t SET b = 'y' FROM x WHERE x.a = t.a
DELETE FROM t
DELETE FROM ONLY t WHERE a = 1
DELETE FROM t USING u WHERE u.a = t.a RETURNING *
WITH x AS (SELECT 1 AS a) DELETE FROM t USING x WHERE x.a = t.a
MERGE INTO t USING u ON t.a = u.a WHEN MATCHED AND u.a > 3 THEN DELETE WHEN MATCHED THEN UPDATE SET b = u.e WHEN NOT MATCHED THEN INSERT (a) VALUES (u.a)
MERGE INTO t USING (SELECT 1 AS a) x ON t.a = x.a WHEN MATCHED THEN DO NOTHING
MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED BY SOURCE THEN DELETE
MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 'x' RETURNING merge_action(), t.*
WITH x AS (INSERT INTO t (a) VALUES (400) RETURNING a) SELECT * FROM x
WITH x AS (UPDATE t SET b = 'x' RETURNING a) SELECT * FROM x
WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x
WITH x AS (DELETE FROM u) SELECT 1
WITH x AS (DELETE FROM u RETURNING a), y AS (INSERT INTO t (a) SELECT a + 1000 FROM x) SELECT 1
WITH x AS (MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE RETURNING t.a) SELECT * FROM x
EXPLAIN SELECT * FROM t
EXPLAIN DELETE FROM t
EXPLAIN (COSTS off, FORMAT yaml, SETTINGS) SELECT 1
EXPLAIN (VERBOSE, SUMMARY, BUFFERS off) UPDATE t SET b = 'x'
EXPLAIN (GENERIC_PLAN) SELECT * FROM t WHERE a = $1
EXPLAIN CREATE TABLE explained AS SELECT 1
EXPLAIN ANALYZE SELECT * FROM t
EXPLAIN ANALYZE DELETE FROM u
EXPLAIN (ANALYZE) INSERT INTO t (a) VALUES (500)
EXPLAIN (ANALYZE on, WAL, TIMING off) UPDATE t SET b = 'y'
EXPLAIN (ANALYZE 1) DELETE FROM u
EXPLAIN (ANALYZE 'true') DELETE FROM u
EXPLAIN (ANALYZE false) DELETE FROM u
EXPLAIN (ANALYZE false, ANALYZE true) DELETE FROM u
EXPLAIN ANALYZE VERBOSE CREATE TABLE explained AS SELECT 1
EXPLAIN ANALYZE SELECT writer()
EXPLAIN ANALYZE SELECT nextval('s')
EXPLAIN (ANALYZE, SERIALIZE) SELECT * FROM t
EXPLAIN SELECT f(1)
SELECT 1; SELECT 2
SELECT 1; DELETE FROM u
BEGIN; DELETE FROM u; COMMIT
SELECT 1 /* DELETE */ -- x
SELECT 'DELETE FROM t'
