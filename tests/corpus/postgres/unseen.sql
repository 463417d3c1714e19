-- Queries that write without naming what does, and their harmless likes. One statement a line.
SELECT * FROM writing_view
SELECT a FROM deep_view WHERE a = 1
SELECT * FROM locking_view
SELECT * FROM fair_view
SELECT lower('x')
SELECT upper('x')
SELECT pg_catalog.lower('x')
SELECT '{5}'::checked[]
SELECT '(5,x)'::checked_pair
SELECT '5'::checked
SELECT checked('5')
SELECT * FROM holds
SELECT * FROM holds WHERE arr = '{5}'
SELECT * FROM holds WHERE arr IN ('{5}')
SELECT coalesce(arr, '{5}') FROM holds
SELECT coalesce(p, '(5,x)') FROM holds
SELECT coalesce(h, '({1},,2,3)') FROM holds h
SELECT coalesce(h.*, '({1},,2,3)') FROM holds h
SELECT h.* FROM holds h WHERE fair = 3
SELECT d FROM holds WHERE d = '5'
SELECT CASE WHEN true THEN '{5}' ELSE arr END FROM holds
SELECT arr FROM holds UNION SELECT '{5}'
SELECT greatest(arr, '{5}') FROM holds
SELECT nullif(arr, '{5}') FROM holds
SELECT 1 WHERE '{5}' = ANY (SELECT arr FROM holds)
SELECT * FROM (VALUES ('{5}'), ((SELECT arr FROM holds))) x
SELECT jsonb_populate_record(h, '{"d": 5}') FROM holds h
SELECT jsonb_populate_record(NULL::holds, '{"d": 5}')
SELECT array_append(arr, '5') FROM holds
SELECT arr || '{5}' FROM holds
SELECT * FROM json_to_record('{"a": 5}') AS x (a checked)
SELECT to_json(s) FROM shades
SELECT to_jsonb(s) FROM shades
SELECT row_to_json(x) FROM shades x
SELECT json_agg(s) FROM shades
SELECT jsonb_object_agg('a', s) FROM shades
SELECT s FROM shades
SELECT length(array_agg(s)) FROM shades
SELECT array_agg(s) FROM shades
SELECT length(r) FROM rowly r
SELECT r.field FROM rowly r
SELECT (r).field FROM rowly r
SELECT a FROM rowly
SELECT * FROM guarded
SELECT * FROM partly WHERE a = 1
SELECT writing_sum(a) FROM t
SELECT writing_sum(a) OVER () FROM t
SELECT btrim('x')
SELECT 'x' ~~~ 1
SELECT JSON_VALUE('1', '$')
SELECT merge_action()
SELECT DISTINCT m FROM tints
SELECT m FROM tints GROUP BY m
SELECT m FROM tints UNION SELECT m FROM tints
SELECT DISTINCT 'red'::tint
SELECT count(*) FROM tints a JOIN tints b ON a.m = b.m
SELECT 'light'::shade = 'light'
SELECT 5::posint, '{5}'::posint[]
