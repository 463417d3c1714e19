-- Attempts to read a value of a masked column. {c} is the column: an SSN, an e-mail address or a card number of people, row 1.
-- One attempt a paragraph: its first line names it, each further line is a statement of its own, all in one session.

-- plain
SELECT {c} FROM people WHERE id = 1

-- another name
SELECT {c} AS id FROM people WHERE id = 1

-- another name for the table
SELECT x.{c} FROM people AS x WHERE id = 1

-- renamed by the alias
SELECT b FROM people AS p(id, b, c, d) WHERE id = 1
SELECT c FROM people AS p(id, b, c, d) WHERE id = 1
SELECT d FROM people AS p(id, b, c, d) WHERE id = 1

-- quoted and qualified
SELECT "public"."people"."{c}" FROM "public"."people" WHERE id = 1

-- star
SELECT * FROM people WHERE id = 1

-- TABLE
TABLE people

-- whole row
SELECT people FROM people WHERE id = 1

-- whole row as text
SELECT people::text FROM people WHERE id = 1

-- whole row, field of it
SELECT (p).{c} FROM people p WHERE id = 1

-- whole row through a sub-select
SELECT (SELECT p FROM people p WHERE id = 1)::text

-- ROW
SELECT ROW(id, {c}) FROM people WHERE id = 1

-- ROW star
SELECT ROW(p.*)::text FROM people p WHERE id = 1

-- concatenation
SELECT 'x' || {c} FROM people WHERE id = 1

-- concat
SELECT concat('x', {c}) FROM people WHERE id = 1

-- concat_ws of a row
SELECT concat_ws(',', p.*) FROM people p WHERE id = 1

-- format
SELECT format('%s %L %I', {c}, {c}, {c}) FROM people WHERE id = 1

-- substr, one character at a time
SELECT substr({c}, i, 1) FROM people, generate_series(1, 30) i WHERE id = 1

-- substring by pattern
SELECT substring({c} from '.{6}') FROM people WHERE id = 1

-- left and right
SELECT left({c}, 8), right({c}, 8) FROM people WHERE id = 1

-- overlay
SELECT overlay({c} placing '' from 1 for 0) FROM people WHERE id = 1

-- reverse
SELECT reverse({c}) FROM people WHERE id = 1

-- upper, lower, initcap
SELECT upper({c}), lower({c}), initcap({c}) FROM people WHERE id = 1

-- trim
SELECT btrim({c}), trim(both ' ' from {c}), rtrim({c}) FROM people WHERE id = 1

-- pad
SELECT lpad({c}, 40, '*'), rpad({c}, 40, '*') FROM people WHERE id = 1

-- repeat
SELECT repeat({c}, 2) FROM people WHERE id = 1

-- replace
SELECT replace({c}, '-', '') FROM people WHERE id = 1

-- translate
SELECT translate({c}, '0123456789', 'abcdefghij'), translate({c}, '-', '') FROM people WHERE id = 1

-- split_part
SELECT split_part({c}, '-', 1), split_part({c}, '-', 2), split_part({c}, '-', 3), split_part({c}, '@', 1) FROM people WHERE id = 1

-- string_to_array
SELECT string_to_array({c}, NULL) FROM people WHERE id = 1

-- string_to_table
SELECT string_to_table({c}, NULL) FROM people WHERE id = 1

-- regexp_replace
SELECT regexp_replace({c}, '(.)', '\1 ', 'g') FROM people WHERE id = 1

-- regexp_matches
SELECT regexp_matches({c}, '.', 'g') FROM people WHERE id = 1

-- regexp_match
SELECT (regexp_match({c}, '(.*)'))[1] FROM people WHERE id = 1

-- regexp_split_to_table
SELECT regexp_split_to_table({c}, '') FROM people WHERE id = 1

-- regexp_split_to_array
SELECT array_to_string(regexp_split_to_array({c}, ''), '.') FROM people WHERE id = 1

-- encode hex
SELECT encode({c}::bytea, 'hex') FROM people WHERE id = 1

-- encode base64
SELECT encode(convert_to({c}, 'UTF8'), 'base64') FROM people WHERE id = 1

-- encode escape
SELECT encode({c}::bytea, 'escape') FROM people WHERE id = 1

-- bytea itself
SELECT {c}::bytea FROM people WHERE id = 1

-- bytes one by one
SELECT get_byte({c}::bytea, i) FROM people, generate_series(0, 8) i WHERE id = 1

-- bits one by one
SELECT get_bit({c}::bytea, i) FROM people, generate_series(0, 71) i WHERE id = 1

-- ascii
SELECT ascii(substr({c}, i, 1)) FROM people, generate_series(1, 30) i WHERE id = 1

-- chr of ascii
SELECT string_agg(chr(ascii(substr({c}, i, 1)) + 0), '' ORDER BY i) FROM people, generate_series(1, 30) i WHERE id = 1

-- ascii shifted
SELECT ascii(substr({c}, i, 1)) + 1000 FROM people, generate_series(1, 30) i WHERE id = 1

-- bit strings
SELECT ascii(substr({c}, i, 1))::bit(8) FROM people, generate_series(1, 30) i WHERE id = 1

-- to_hex
SELECT to_hex(ascii(substr({c}, i, 1))) FROM people, generate_series(1, 30) i WHERE id = 1

-- position of a character
SELECT position('5' in {c}), strpos({c}, 'k') FROM people WHERE id = 1

-- length
SELECT length({c}), octet_length({c}), bit_length({c}) FROM people WHERE id = 1

-- digits as a number
SELECT regexp_replace({c}, '\D', '', 'g')::numeric FROM people WHERE id = 1

-- digits in arithmetic
SELECT regexp_replace('0' || {c}, '\D', '', 'g')::numeric + 1 - 1 FROM people WHERE id = 1

-- to_number
SELECT to_number({c}, '999"-"99"-"9999') FROM people WHERE id = 1

-- CASE
SELECT CASE WHEN id = 1 THEN {c} ELSE '' END FROM people

-- CASE on the value
SELECT CASE WHEN {c} LIKE '4%' THEN 'four' WHEN {c} LIKE '5%' THEN 'five' ELSE 'other' END FROM people WHERE id = 1

-- COALESCE
SELECT coalesce({c}, 'none') FROM people WHERE id = 1

-- NULLIF
SELECT nullif({c}, '') FROM people WHERE id = 1

-- GREATEST and LEAST
SELECT greatest({c}, ''), least({c}, 'zzzz') FROM people WHERE id = 1

-- comparison as output
SELECT {c} > '3', {c} = '457-55-5462', {c} ~ '^k' FROM people WHERE id = 1

-- comparison by the row
SELECT (p.*) > ROW(1, '4', '', '') FROM people p WHERE id = 1

-- cast that fails
SELECT {c}::int FROM people WHERE id = 1

-- cast that fails, date
SELECT {c}::date FROM people WHERE id = 1

-- cast that fails, inet
SELECT {c}::inet FROM people WHERE id = 1

-- cast that fails, json
SELECT {c}::json FROM people WHERE id = 1

-- cast that fails, uuid
SELECT {c}::uuid FROM people WHERE id = 1

-- cast that fails, xml
SELECT ('<' || {c})::xml FROM people WHERE id = 1

-- cast that fails, array
SELECT ('{' || {c})::text[] FROM people WHERE id = 1

-- cast that fails, in a filter
SELECT 1 FROM people WHERE ({c} || 'x')::int = 1

-- cast that fails, in an order
SELECT id FROM people ORDER BY {c}::int

-- cast to regclass
SELECT {c}::regclass FROM people WHERE id = 1

-- cast to regtype
SELECT to_regtype({c}), {c}::regtype FROM people WHERE id = 1

-- cast to regrole
SELECT quote_ident({c})::regrole FROM people WHERE id = 1

-- cast to an enumeration
SELECT enum_range({c}::pg_catalog.regtype) FROM people WHERE id = 1

-- cast to name
SELECT {c}::name, {c}::varchar(60), {c}::char(40) FROM people WHERE id = 1

-- cast to text array and back
SELECT (ARRAY[{c}])[1] FROM people WHERE id = 1

-- cast to tsvector
SELECT to_tsvector('simple', {c}) FROM people WHERE id = 1

-- tsquery
SELECT plainto_tsquery('simple', {c}) FROM people WHERE id = 1

-- ts_headline
SELECT ts_headline('simple', {c}, to_tsquery('simple', 'a')) FROM people WHERE id = 1

-- ts_debug
SELECT token FROM people, ts_debug('simple', {c}) WHERE id = 1

-- division by the value
SELECT 1 / (ascii({c}) - ascii({c})) FROM people WHERE id = 1

-- bad pattern
SELECT 'a' ~ ('(' || {c}) FROM people WHERE id = 1

-- bad time zone
SELECT now() AT TIME ZONE {c} FROM people WHERE id = 1

-- bad unit of time
SELECT date_trunc({c}, now()) FROM people WHERE id = 1

-- bad interval
SELECT {c}::interval FROM people WHERE id = 1

-- bad encoding name
SELECT convert_to('a', {c}) FROM people WHERE id = 1

-- bad format of encode
SELECT encode('a', {c}) FROM people WHERE id = 1

-- bad setting
SELECT current_setting({c}) FROM people WHERE id = 1

-- bad function for has_table_privilege
SELECT has_table_privilege({c}, 'select') FROM people WHERE id = 1

-- bad sequence
SELECT nextval({c}::regclass) FROM people WHERE id = 1

-- bad collation
SELECT pg_collation_for({c}) FROM people WHERE id = 1

-- bad JSON path
SELECT jsonb_path_query('{}', {c}::jsonpath) FROM people WHERE id = 1

-- bad XPath
SELECT xpath({c} || '[', '<a/>') FROM people WHERE id = 1

-- bad number format
SELECT to_char(1, {c}) FROM people WHERE id = 1

-- row_to_json
SELECT row_to_json(p) FROM people p WHERE id = 1

-- to_json
SELECT to_json({c}), to_jsonb({c}) FROM people WHERE id = 1

-- json_build_object
SELECT json_build_object('a', {c}) FROM people WHERE id = 1

-- json key
SELECT json_build_object({c}, 1) FROM people WHERE id = 1

-- json_object_keys
SELECT k FROM people, json_object_keys(json_build_object({c}, 1)) k WHERE id = 1

-- jsonb_each
SELECT value FROM people p, jsonb_each_text(to_jsonb(p)) WHERE id = 1

-- jsonb subscript
SELECT (to_jsonb(p))['{c}'] FROM people p WHERE id = 1

-- jsonb path
SELECT jsonb_path_query(to_jsonb(p), '$.*') FROM people p WHERE id = 1

-- jsonb_populate_record
SELECT x.{c} FROM people p, jsonb_populate_record(NULL::people, to_jsonb(p)) x WHERE p.id = 1

-- json_to_record
SELECT x.s FROM people p, json_to_record(json_build_object('s', p.{c})) AS x(s text) WHERE p.id = 1

-- json_agg
SELECT json_agg(p) FROM people p

-- json_arrayagg by hand
SELECT jsonb_agg({c}) -> 0 FROM people

-- json_object_agg
SELECT json_object_agg(id, {c}) FROM people

-- xmlelement
SELECT xmlelement(name a, {c}) FROM people WHERE id = 1

-- xmlforest
SELECT xmlforest({c} AS a) FROM people WHERE id = 1

-- xmlagg
SELECT xmlagg(xmlelement(name a, {c})) FROM people

-- query_to_xml
SELECT query_to_xml('SELECT {c} FROM people', true, false, '')

-- table_to_xml
SELECT table_to_xml('people', true, false, '')

-- database_to_xml
SELECT database_to_xml(true, false, '')

-- schema_to_xml
SELECT schema_to_xml('public', true, false, '')

-- cursor_to_xml
BEGIN
DECLARE q CURSOR FOR SELECT {c} FROM people
SELECT cursor_to_xml('q', 10, true, false, '')
COMMIT

-- XMLTABLE
SELECT x.v FROM people p, XMLTABLE('/a' PASSING xmlelement(name a, p.{c}) COLUMNS v text PATH '.') x WHERE p.id = 1

-- string_agg
SELECT string_agg({c}, ',') FROM people

-- array_agg
SELECT array_agg({c}) FROM people

-- array_to_string
SELECT array_to_string(array_agg({c}), ',') FROM people

-- unnest
SELECT unnest(array_agg({c})) FROM people

-- min and max
SELECT min({c}), max({c}) FROM people

-- mode
SELECT mode() WITHIN GROUP (ORDER BY {c}) FROM people

-- percentile_disc
SELECT percentile_disc(0) WITHIN GROUP (ORDER BY {c}) FROM people

-- any_value and friends
SELECT (array_agg({c} ORDER BY id))[1] FROM people

-- window: first_value
SELECT first_value({c}) OVER (ORDER BY id) FROM people

-- window: lag, lead, nth_value
SELECT lag({c}, 0) OVER (ORDER BY id), lead({c}, 0) OVER (ORDER BY id), nth_value({c}, 1) OVER (ORDER BY id) FROM people

-- window: aggregate
SELECT max({c}) OVER () FROM people

-- window: named
SELECT string_agg({c}, '') OVER w FROM people WINDOW w AS (ORDER BY id)

-- grouped
SELECT {c}, count(*) FROM people GROUP BY {c}

-- grouped by position
SELECT {c} || '' AS x, count(*) FROM people GROUP BY 1

-- grouping sets
SELECT {c}, id FROM people GROUP BY GROUPING SETS (({c}), (id), ())

-- DISTINCT ON
SELECT DISTINCT ON ({c}) {c} FROM people

-- sub-select in FROM
SELECT y FROM (SELECT {c} AS y FROM people WHERE id = 1) s

-- sub-select in FROM, twice
SELECT z FROM (SELECT y AS z FROM (SELECT {c} AS y FROM people WHERE id = 1) a) b

-- sub-select as an expression
SELECT (SELECT {c} FROM people WHERE id = 1)

-- ARRAY sub-select
SELECT ARRAY(SELECT {c} FROM people)

-- correlated
SELECT (SELECT o.{c} || i.n FROM (SELECT '' AS n) i) FROM people o WHERE id = 1

-- LATERAL
SELECT l.v FROM people p, LATERAL (SELECT p.{c} AS v) l WHERE p.id = 1

-- LATERAL VALUES
SELECT l.v FROM people p CROSS JOIN LATERAL (VALUES (p.{c}), ('x')) l(v) WHERE p.id = 1

-- function in FROM
SELECT f FROM people p, upper(p.{c}) f WHERE p.id = 1

-- ROWS FROM
SELECT * FROM people p, ROWS FROM (unnest(ARRAY[p.{c}]), generate_series(1, 1)) AS f(a, b) WHERE p.id = 1

-- CTE
WITH s AS (SELECT {c} AS y FROM people WHERE id = 1) SELECT y FROM s

-- CTE that is called like the table
WITH people AS (SELECT {c} || '' AS y FROM public.people WHERE id = 1) SELECT y FROM people

-- CTE with column names
WITH s(id, b) AS (SELECT id, {c} FROM people) SELECT b FROM s WHERE id = 1

-- CTE, materialized
WITH s AS MATERIALIZED (SELECT p AS r FROM people p) SELECT (r).{c} FROM s

-- recursive CTE
WITH RECURSIVE r(n, s) AS (SELECT 1, {c} FROM people WHERE id = 1 UNION ALL SELECT n + 1, s FROM r WHERE n < 3) SELECT s FROM r

-- recursive CTE that walks the characters
WITH RECURSIVE r(n, s) AS (SELECT 0, ''::text UNION ALL SELECT n + 1, substr({c}, n + 1, 1) FROM r, people WHERE id = 1 AND n < 30) SELECT s FROM r

-- UNION
SELECT 'a' UNION ALL SELECT {c} FROM people

-- UNION with the names of another
SELECT name FROM pets UNION SELECT {c} FROM people

-- INTERSECT
SELECT {c} FROM people INTERSECT SELECT {c} FROM people

-- EXCEPT
SELECT {c} FROM people EXCEPT SELECT ''

-- VALUES
VALUES ((SELECT {c} FROM people WHERE id = 1))

-- join
SELECT a.{c} FROM people a JOIN people b ON a.id = b.id WHERE a.id = 1

-- join USING the column
SELECT {c} FROM people a JOIN people b USING ({c})

-- natural join
SELECT * FROM people a NATURAL JOIN people b

-- join with an alias
SELECT j.{c} FROM (people a JOIN pets o USING (id)) AS j

-- full join, merged column
SELECT {c} FROM people a FULL JOIN people b USING ({c}) WHERE a.id = 1

-- view
SELECT * FROM contact_view WHERE id = 1

-- view, expression in it
SELECT line FROM contact_lines

-- view of a view
SELECT l2 FROM contact_lines_again

-- materialized view
SELECT * FROM contact_copy

-- view's definition
SELECT pg_get_viewdef('contact_view')

-- partition
SELECT * FROM visits_2024

-- partitioned table
SELECT secret FROM visits

-- inherited
SELECT {c} FROM ONLY people WHERE id = 1

-- generated column
SELECT shout FROM people_generated

-- SQL PREPARE
PREPARE p1 AS SELECT {c} FROM people WHERE id = $1
EXECUTE p1(1)

-- SQL PREPARE, then another of the name
PREPARE p2 AS SELECT name FROM pets
DEALLOCATE p2
PREPARE p2 AS SELECT {c} FROM people
EXECUTE p2

-- cursor
BEGIN
DECLARE c1 CURSOR FOR SELECT {c} FROM people
FETCH ALL FROM c1
COMMIT

-- scroll cursor
BEGIN
DECLARE c2 SCROLL CURSOR FOR SELECT 'v:' || {c} FROM people
FETCH LAST FROM c2
FETCH ABSOLUTE 1 FROM c2
COMMIT

-- cursor WITH HOLD
DECLARE c3 CURSOR WITH HOLD FOR SELECT {c} FROM people
FETCH 1 FROM c3
CLOSE c3

-- two cursors of a name
BEGIN
DECLARE c4 CURSOR FOR SELECT name FROM pets
CLOSE c4
DECLARE c4 CURSOR FOR SELECT {c} FROM people
FETCH c4
COMMIT

-- COPY a table
COPY people TO STDOUT

-- COPY a column
COPY people ({c}) TO STDOUT

-- COPY csv
COPY people TO STDOUT (FORMAT csv, HEADER)

-- COPY binary
COPY people TO STDOUT (FORMAT binary)

-- COPY a query
COPY (SELECT 'x' || {c} FROM people) TO STDOUT

-- COPY a query, every value quoted
COPY (SELECT {c} FROM people) TO STDOUT (FORMAT csv, FORCE_QUOTE *)

-- COPY with another delimiter
COPY people TO STDOUT (DELIMITER '5')

-- COPY DML with RETURNING
COPY (UPDATE people SET id = id RETURNING {c}) TO STDOUT

-- UPDATE RETURNING
UPDATE people SET id = id WHERE id = 1 RETURNING {c}

-- UPDATE RETURNING, an expression
UPDATE people SET id = id WHERE id = 1 RETURNING 'x' || {c}, people

-- DELETE RETURNING
BEGIN
DELETE FROM people WHERE id = 1 RETURNING *
ROLLBACK

-- INSERT SELECT RETURNING
INSERT INTO notes SELECT {c} FROM people RETURNING line

-- MERGE RETURNING
MERGE INTO people p USING pets o ON p.id = o.id WHEN MATCHED THEN DO NOTHING

-- moved by INSERT, then read
INSERT INTO notes SELECT {c} FROM people
SELECT line FROM notes

-- moved by UPDATE, then read
UPDATE pets SET name = (SELECT {c} FROM people WHERE people.id = pets.id)
SELECT name FROM pets

-- moved within the row
UPDATE people SET nick = {c}
SELECT nick FROM people

-- moved by a CTE
WITH m AS (INSERT INTO notes SELECT {c} FROM people RETURNING line) SELECT line FROM m
SELECT line FROM notes

-- CREATE TABLE AS
CREATE TABLE stolen AS SELECT {c} AS v FROM people
SELECT v FROM stolen

-- temporary table
CREATE TEMP TABLE stolen_t AS SELECT {c} AS v FROM people
SELECT v FROM stolen_t

-- SELECT INTO
SELECT {c} AS v INTO stolen_i FROM people
SELECT v FROM stolen_i

-- temporary view
CREATE TEMP VIEW look AS SELECT {c} AS v FROM people
SELECT v FROM look

-- view, then read
CREATE VIEW look_again AS SELECT reverse({c}) AS v FROM people
SELECT v FROM look_again

-- materialized view, then read
CREATE MATERIALIZED VIEW look_m AS SELECT {c} AS v FROM people
SELECT v FROM look_m

-- LIKE and INSERT
CREATE TABLE people_two (LIKE people INCLUDING ALL)
INSERT INTO people_two SELECT * FROM people
SELECT {c} FROM people_two

-- inherits
CREATE TABLE people_child () INHERITS (people)
SELECT {c} FROM people_child

-- renamed column
ALTER TABLE people_r RENAME COLUMN ssn TO code
SELECT code FROM people_r

-- renamed table
ALTER TABLE people_r RENAME TO persons
SELECT * FROM persons

-- moved to another schema
CREATE SCHEMA elsewhere
ALTER TABLE people_r SET SCHEMA elsewhere
SELECT * FROM elsewhere.people_r

-- changed type
ALTER TABLE people_r ALTER COLUMN ssn TYPE bytea USING ssn::bytea
SELECT ssn FROM people_r

-- added default from nothing
ALTER TABLE people_r ADD COLUMN copy text GENERATED ALWAYS AS (ssn) STORED
SELECT copy FROM people_r

-- function in SQL
CREATE FUNCTION peek() RETURNS text LANGUAGE sql AS 'SELECT {c} FROM people WHERE id = 1'
SELECT peek()

-- function in PL/pgSQL
DO $$ BEGIN RAISE NOTICE '%', (SELECT {c} FROM people WHERE id = 1); END $$

-- DO that raises
DO $$ BEGIN RAISE EXCEPTION '%', (SELECT {c} FROM people WHERE id = 1); END $$

-- DO that sets
DO $$ BEGIN PERFORM set_config('my.loot', (SELECT {c} FROM people WHERE id = 1), false); END $$
SHOW my.loot

-- set_config
SELECT set_config('my.loot', {c}, false) FROM people WHERE id = 1
SELECT current_setting('my.loot', true)

-- application_name
SELECT set_config('application_name', {c}, false) FROM people WHERE id = 1
SHOW application_name
SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()

-- pg_notify
LISTEN loot
SELECT pg_notify('loot', {c}) FROM people WHERE id = 1
SELECT 1

-- prepared statement's text
SELECT statement FROM pg_prepared_statements

-- advisory lock of the value
SELECT pg_advisory_lock(ascii({c})) FROM people WHERE id = 1
SELECT objid FROM pg_locks WHERE locktype = 'advisory'

-- random seed of the value
SELECT setseed(ascii({c}) / 1000.0) FROM people WHERE id = 1
SELECT random()

-- sequence of the value
SELECT setval('counter', ascii({c})) FROM people WHERE id = 1
SELECT last_value FROM counter

-- large object of the value
SELECT lo_from_bytea(424242, {c}::bytea) FROM people WHERE id = 1
SELECT lo_get(424242)

-- large object by its table
SELECT data FROM pg_largeobject

-- large object to a file
SELECT lo_export(424242, '/tmp/countersign-red-team')

-- dblink
CREATE EXTENSION IF NOT EXISTS dblink
SELECT * FROM dblink('dbname=shop', 'SELECT {c} FROM people') AS t(v text)

-- COPY to a file
COPY people TO '/tmp/countersign-red-team'

-- COPY to a program
COPY people TO PROGRAM 'cat'

-- pg_stats
SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'people'

-- pg_statistic
SELECT stavalues1, stavalues2 FROM pg_statistic WHERE starelid = 'people'::regclass

-- pg_stats as text
SELECT s::text FROM pg_stats s WHERE tablename = 'people'

-- extended statistics
SELECT most_common_vals FROM pg_stats_ext

-- pg_stat_activity
SELECT query FROM pg_stat_activity

-- defaults
SELECT column_default FROM information_schema.columns WHERE table_name = 'people'

-- EXPLAIN
EXPLAIN SELECT {c} FROM people WHERE {c} > (SELECT min({c}) FROM people)

-- EXPLAIN ANALYZE VERBOSE
EXPLAIN (ANALYZE, VERBOSE) SELECT {c} || '' FROM people

-- EXPLAIN that folds constants
EXPLAIN (VERBOSE) EXECUTE nothing

-- unique violation
INSERT INTO people_unique (ssn, email, card) SELECT ssn, email, card FROM people_unique

-- unique violation by UPDATE
UPDATE people_unique SET {c} = (SELECT {c} FROM people WHERE id = 1)

-- check violation
UPDATE people_checked SET id = -1

-- not null violation
UPDATE people_unique SET id = NULL

-- foreign key violation
DELETE FROM people_unique

-- unique index on an expression
CREATE UNIQUE INDEX ON people_twice (lower({c}))

-- exclusion by an index
CREATE UNIQUE INDEX ON people_twice ({c})

-- validate a constraint
ALTER TABLE people_r ADD CONSTRAINT odd CHECK ({c} = '')

-- domain check
SELECT {c}::short FROM people WHERE id = 1

-- partition bounds
INSERT INTO visits SELECT 3000, {c} FROM people

-- too long for a type
INSERT INTO narrow SELECT {c} FROM people

-- numeric overflow
SELECT regexp_replace('9' || {c}, '\D', '', 'g')::numeric::int FROM people WHERE id = 1

-- current row in a message
SELECT jsonb_populate_record(NULL::narrow_row, to_jsonb(p)) FROM people p WHERE id = 1

-- width_bucket
SELECT width_bucket({c}, ARRAY['0', '3', '45', '457', '457-5', '6', 'k', 'kel', 'z']) FROM people WHERE id = 1

-- similarity by levenshtein and hash
SELECT md5({c}), hashtext({c}), sha256({c}::bytea) FROM people WHERE id = 1

-- pg_column_size and friends
SELECT pg_column_size({c}), quote_literal({c}), quote_nullable({c}) FROM people WHERE id = 1

-- collation and type
SELECT pg_typeof({c}), {c} COLLATE "C" FROM people WHERE id = 1

-- JSON with the value as a number
SELECT ('[' || regexp_replace('1' || {c}, '\D', '', 'g') || ']')::jsonb FROM people WHERE id = 1

-- ranges
SELECT numrange(0, regexp_replace('0' || {c}, '\D', '', 'g')::numeric) FROM people WHERE id = 1

-- generate_series up to a digit
SELECT count(*) FROM people p, generate_series(1, ascii(p.{c})) WHERE p.id = 1

-- LIMIT by the value
SELECT n FROM generate_series(1, 200) n LIMIT (SELECT ascii({c}) FROM people WHERE id = 1)

-- TABLESAMPLE by the value
SELECT count(*) FROM pets TABLESAMPLE BERNOULLI ((SELECT 100))

-- FILTER
SELECT count(*) FILTER (WHERE {c} LIKE '4%') FROM people

-- HAVING
SELECT 1 FROM people HAVING max({c}) > '4'

-- bool_and
SELECT bool_and({c} LIKE '4%') FROM people

-- IS DISTINCT FROM
SELECT {c} IS DISTINCT FROM '457-55-5462' FROM people WHERE id = 1

-- EXISTS
SELECT EXISTS (SELECT 1 FROM people WHERE {c} LIKE '4%')

-- IN
SELECT '457-55-5462' IN (SELECT {c} FROM people)

-- = ANY
SELECT '457-55-5462' = ANY (SELECT {c} FROM people)

-- search path
SET search_path = public, pg_catalog
SELECT {c} FROM people WHERE id = 1

-- role
SET ROLE pg_read_all_data
SELECT {c} FROM people WHERE id = 1

-- several statements
SELECT 1; SELECT {c} FROM people; SELECT 2

-- several statements, described by the wrong one
SELECT name FROM pets; SELECT {c} || '' FROM people

-- comments within
SELECT/**/ {c} /* -- */ FROM /* x */ people -- y

-- Unicode escapes in a name
SELECT U&"\0073sn" FROM people WHERE id = 1

-- escapes of a setting
SET standard_conforming_strings = off
SELECT {c} FROM people WHERE id = 1

-- another encoding
SET client_encoding = 'UTF16'
SET client_encoding = 'LATIN1'
SELECT {c} FROM people WHERE id = 1

-- another output of bytea
SET bytea_output = 'escape'
SELECT {c}::bytea FROM people WHERE id = 1

-- system columns beside it
SELECT ctid, xmin, tableoid::regclass, {c} FROM people WHERE id = 1

-- the row's text by an operator
SELECT '' || p FROM people p WHERE id = 1

-- composite in an array
SELECT array_agg(p)::text FROM people p

-- composite unpacked again
SELECT (unnest(array_agg(p))).* FROM people p

-- record function
SELECT hstore FROM (SELECT p::text AS hstore FROM people p) x

-- boolean output of pattern, one per character
SELECT i, substr({c}, i, 1) = chr(48 + d) FROM people, generate_series(1, 11) i, generate_series(0, 9) d WHERE id = 1

-- locale-dependent order
SELECT rank() OVER (ORDER BY {c}) FROM people

-- cume_dist against a probe
SELECT cume_dist('45') WITHIN GROUP (ORDER BY {c}) FROM people
