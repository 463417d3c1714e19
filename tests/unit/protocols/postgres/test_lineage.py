"""What each output of a statement can reveal, which masked columns it probes, and which it moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.protocols.postgres.lineage import ANYTHING, Code, Relation, World, by_name, lineages

SSN = "public.customers.ssn"
WORLD = World(
    by_name(
        [
            Relation("public", "customers", ("id", "name", "ssn", "note"), frozenset({"ssn"})),
            Relation("public", "orders", ("id", "customer", "total")),
            Relation("public", "people", ("id", "tax"), frozenset({"tax"}), frozenset({"tax"})),
            Relation("archive", "orders", ("id", "customer", "total", "ssn"), frozenset({"ssn"})),
            Relation("hr", "staff", ("id", "name", "pay"), frozenset({"pay"})),
            Relation("pg_catalog", "pg_class", ("oid", "relname")),
        ]
    ),
    Code(functions=frozenset({("public", "leak"), ("public", "lower")}), operators=frozenset({("public", "+")})),
    plain_types=frozenset({"mood"}),
)
PLAIN = World(WORLD.relations)


def outputs(sql, world=PLAIN, width=None):
    """For each output: its masked columns, ``?`` beside them where something is not understood."""
    (read,) = lineages(sql, world)
    count = width or len(read.row.head) + len(read.row.tail)
    found = [read.reveals(place, count) for place in range(count)]
    return [" ".join([*(name.rsplit(".", 1)[1] for name in sorted(one.columns)), *(["?"] if one.unknown else [])]) for one in found]


REVEALING = [
    ("SELECT * FROM customers", ["", "", "ssn", ""]),
    ("SELECT upper(ssn), ssn::bytea, ssn || '', name || '' FROM customers", ["ssn", "ssn", "ssn", ""]),
    ("SELECT count(*), count(ssn), ssn IS NULL, ssn IS NOT NULL FROM customers GROUP BY ssn", ["", "", "", ""]),
    ("SELECT count(DISTINCT ssn), count(nullif(ssn, 'x')), (ssn || '') IS NULL FROM customers", ["ssn", "ssn", "ssn"]),
    ("SELECT count(y), y IS NULL FROM (SELECT nullif(ssn, 'x') AS y FROM customers) x", ["ssn", "ssn"]),
    ("SELECT count(y), y IS NULL FROM (SELECT ssn AS y FROM customers) x", ["", ""]),
    ("SELECT count(tax), tax IS NULL FROM people", ["tax", "tax"]),
    ("SELECT count(*) FILTER (WHERE ssn = 'x'), sum(id) FILTER (WHERE id > 1) FROM customers", ["ssn", ""]),
    ("SELECT c, (c).id, (c).ssn, c.*::text, row_to_json(c) FROM customers c", ["ssn", "", "ssn", "ssn", "ssn"]),
    ("SELECT (c.*).ssn, (c).* FROM customers c", ["ssn", "", "", "ssn", ""]),
    ("SELECT CASE WHEN ssn LIKE '1%' THEN 1 END, CASE id WHEN 1 THEN ssn END, coalesce(name, ssn) FROM customers", ["ssn"] * 3),
    ("SELECT (SELECT id FROM customers WHERE ssn = 'x'), EXISTS (SELECT FROM customers WHERE ssn = 'x')", ["ssn", "ssn"]),
    ("SELECT id = ANY (SELECT id FROM customers), ARRAY(SELECT ssn FROM customers) FROM orders", ["", "ssn"]),
    ("SELECT EXISTS (SELECT ssn FROM customers)", [""]),
    ("SELECT 1 WHERE EXISTS (SELECT FROM customers WHERE ssn = 'x')", [""]),
    ("SELECT (SELECT ssn), (SELECT name) FROM customers", ["ssn", ""]),
    ("WITH w AS (SELECT id, ssn || '' AS s FROM customers) SELECT s, id FROM w", ["ssn", ""]),
    ("WITH w(a, b) AS (SELECT id, ssn FROM customers) SELECT * FROM w", ["", "ssn"]),
    ("WITH a AS (SELECT ssn AS v FROM customers), b AS (SELECT v || '' AS v FROM a) SELECT v FROM b", ["ssn"]),
    ("WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM customers", [""]),
    ("WITH customers AS (SELECT ssn FROM customers) SELECT ssn FROM customers", ["ssn"]),
    ("WITH RECURSIVE a AS (SELECT v FROM b), b AS (SELECT ssn AS v FROM customers) SELECT v FROM a", ["ssn"]),
    ("WITH RECURSIVE r(a, b) AS (SELECT 1, '' UNION ALL SELECT a + 1, (SELECT ssn FROM customers) FROM r) SELECT * FROM r", ["", "ssn"]),
    ("WITH RECURSIVE r(a, b, c) AS (SELECT id, name, ssn FROM customers UNION SELECT a, c, b FROM r) SELECT a, b, c FROM r",
     ["", "ssn", "ssn"]),
    ("WITH RECURSIVE r(a) AS (SELECT ssn FROM customers UNION SELECT a FROM r) SEARCH DEPTH FIRST BY a SET o SELECT o FROM r", ["ssn"]),
    ("WITH RECURSIVE r(a) AS (SELECT ssn FROM customers UNION SELECT a FROM r) CYCLE a SET m USING p SELECT m, p FROM r",
     ["ssn", "ssn"]),
    ("WITH u AS (UPDATE customers SET note = ssn RETURNING note, id) SELECT note, id FROM u", ["ssn", ""]),
    ("SELECT x.y, x.z FROM customers c, LATERAL (SELECT c.ssn || '' AS y, c.id + 1 AS z) x", ["ssn", ""]),
    ("SELECT v FROM (SELECT name FROM customers) AS x(v)", [""]),
    ("SELECT a, c, d FROM customers AS x(a, b, c, d)", ["", "ssn", ""]),
    ("SELECT x.ssn FROM (customers c CROSS JOIN orders o) AS x(a, b, ssn, c, d)", ["ssn"]),
    ("SELECT ssn FROM customers UNION ALL SELECT 'x'", ["ssn"]),
    ("SELECT 'x' UNION SELECT ssn FROM customers", ["ssn"]),
    ("SELECT id, 'a' FROM customers EXCEPT SELECT id, ssn FROM customers", ["", "ssn"]),
    ("VALUES (1, (SELECT ssn FROM customers)), (2, 'x')", ["", "ssn"]),
    ("SELECT b FROM (VALUES (1, (SELECT ssn FROM customers))) AS v(a, b)", ["ssn"]),
    ("SELECT c.id, ssn || '' FROM customers c JOIN orders o USING (id)", ["", "ssn"]),
    ("SELECT * FROM customers JOIN hr.staff USING (id)", ["", "", "ssn", "", "", "pay"]),
    ("SELECT * FROM customers NATURAL JOIN hr.staff", ["", "", "ssn", "", "pay"]),
    ("SELECT j.id FROM customers JOIN hr.staff USING (id) AS j", [""]),
    ("SELECT row_number() OVER (ORDER BY ssn), rank() OVER w, sum(id) OVER () FROM customers WINDOW w AS (PARTITION BY ssn)",
     ["ssn", "ssn", ""]),
    ("SELECT string_agg(name, '' ORDER BY ssn), array_agg(name) FROM customers", ["ssn", ""]),
    ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM customers", ["ssn"]),
    ("SELECT ssn, id FROM customers GROUP BY GROUPING SETS ((ssn), (id), ())", ["ssn", ""]),
    ("SELECT g, g + 1 FROM generate_series(1, 3) g", ["", ""]),
    ("SELECT u FROM customers, unnest(string_to_array(ssn, NULL)) u", ["ssn"]),
    ("SELECT e.value, e.key FROM customers c, json_each(to_json(c)) e", ["ssn", "ssn"]),
    ("SELECT v FROM json_to_record((SELECT to_json(c) FROM customers c)) AS x(v text)", ["ssn"]),
    ("SELECT v FROM customers c, xmltable('/a' PASSING xmlelement(name a, c.ssn) COLUMNS v text) x", ["ssn"]),
    ("SELECT v FROM customers c, json_table(to_json(c)::jsonb, '$' COLUMNS (v text PATH '$.ssn')) x", ["ssn"]),
    ("SELECT xmlforest(ssn, name), xmlelement(name a, name), json_object('a': ssn) FROM customers", ["ssn", "", "ssn"]),
    ("SELECT (ARRAY[ssn, name])[1], (ARRAY[name])[length(ssn)], ROW(ssn), ROW(id) FROM customers", ["ssn", "ssn", "ssn", ""]),
    ("SELECT ctid, c.xmin FROM customers c", ["", ""]),
    ("SELECT c.upper, (c).upper FROM customers c", ["ssn", "ssn"]),
    ("UPDATE customers SET note = ssn RETURNING note, name, old.note, new.note", ["ssn", "", "", "ssn"]),
    ("UPDATE customers SET (note, name) = (SELECT ssn, 'x') RETURNING name", ["ssn"]),
    ("UPDATE public.orders o SET total = 1 FROM customers c RETURNING o.*, c.ssn, lower(c.ssn)", ["", "", "", "ssn", "ssn"]),
    ("DELETE FROM customers RETURNING WITH (OLD AS before) before.ssn, id", ["ssn", ""]),
    ("INSERT INTO public.orders SELECT id, 1, ascii(ssn) FROM customers RETURNING *", ["", "", "ssn"]),
    ("MERGE INTO public.orders o USING customers c ON true WHEN MATCHED THEN UPDATE SET total = ascii(c.ssn) RETURNING o.*",
     ["", "", "ssn"]),
    ("SELECT id + 1, ssn || '' FROM orders", ["", "ssn"]),
    ("SELECT id + 1, ssn || '' FROM public.orders", ["", "?"]),
    ("SELECT relname || '' FROM pg_class", [""]),
    ("SELECT $1, $2 || name FROM customers", ["", ""]),
    ("SELECT nowhere.ssn, ssn FROM missing", ["?", "?"]),
    ("SELECT now()::text, current_user, version()", ["", "", ""]),
    ("SELECT note::mood, note::evil FROM customers", ["?", "?"]),
    ("TABLE customers", ["", "", "ssn", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "revealed"), REVEALING)
def test_what_an_output_reveals(sql, revealed):
    assert outputs(sql) == revealed


@pytest.mark.parametrize(
    ("sql", "revealed"),
    [
        ("SELECT leak(), id - 1 FROM customers", ["?", ""]),
        ("SELECT lower(name), pg_catalog.lower(name), upper(name) FROM customers", ["?", "", ""]),
        ("SELECT id + 1, id OPERATOR(pg_catalog.+) 1, id - 1 FROM customers", ["?", "", ""]),
        ("SELECT (c).leak, name::mood FROM customers c", ["ssn ?", ""]),
        ("EXPLAIN SELECT leak()", ["?"]),
        ("EXPLAIN SELECT 1 FROM customers WHERE ssn = 'x'", [""]),
    ],
)
def test_what_is_not_postgresql_s_own_may_reveal_anything(sql, revealed):
    assert outputs(sql, WORLD, len(revealed)) == revealed


def test_a_star_of_unknown_width_leaves_the_columns_around_it_known():
    read = "SELECT 1, * , ssn || '' , id FROM customers, json_each('{}')"
    assert outputs(read, width=9) == ["", "", "", "ssn", "", "", "", "ssn", ""]
    assert outputs("SELECT o.*, ssn || '' FROM orders o, customers", width=4)[-1] == "ssn"


def test_an_answer_of_another_width_than_expected_is_not_understood():
    assert outputs("SELECT 1, 2", width=3) == ["?", "?", "?"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM customers WHERE ssn LIKE '1%'",
        "SELECT id FROM customers GROUP BY id HAVING max(ssn) > '1'",
        "SELECT id FROM customers ORDER BY ssn",
        "SELECT id, ssn FROM customers ORDER BY 2",
        "SELECT id, ssn AS s FROM customers ORDER BY s DESC LIMIT 1",
        "SELECT id, upper(ssn) FROM customers GROUP BY 1, 2",
        "SELECT count(*) FROM customers GROUP BY ssn",
        "SELECT count(*) FROM customers GROUP BY ROLLUP (ssn)",
        "SELECT DISTINCT ssn FROM customers",
        "SELECT DISTINCT ON (ssn) id FROM customers",
        "SELECT o.id FROM public.orders o JOIN customers c ON c.ssn = '1'",
        "SELECT o.id FROM customers c JOIN customers o USING (ssn)",
        "SELECT id FROM customers c NATURAL JOIN customers o",
        "SELECT count(*) FILTER (WHERE ssn = 'x') FROM customers",
        "SELECT rank() OVER (ORDER BY ssn) FROM customers",
        "SELECT id FROM customers LIMIT (SELECT ascii(ssn) FROM customers LIMIT 1)",
        "SELECT id FROM public.orders WHERE id IN (SELECT id FROM customers WHERE ssn = 'x')",
        "SELECT id FROM public.orders WHERE '1' IN (SELECT ssn FROM customers)",
        "WITH w AS (SELECT id FROM customers WHERE ssn = 'x') SELECT id FROM w",
        "WITH w AS (SELECT id FROM customers WHERE ssn = 'x') SELECT 1",
        "SELECT 'x' INTERSECT SELECT ssn FROM customers",
        "SELECT 'x' UNION SELECT ssn FROM customers",
        "SELECT generate_series(1, ascii(ssn)) FROM customers",
        "SELECT 1 FROM customers c, generate_series(1, ascii(c.ssn))",
        "SELECT id FROM customers TABLESAMPLE system ((SELECT ascii(ssn) FROM customers))",
        "UPDATE customers SET note = 'x' WHERE ssn = 'y'",
        "DELETE FROM customers WHERE customers = ROW(1, 'a', 'b', 'c')",
        "DELETE FROM public.orders USING customers c WHERE c.ssn = 'x'",
        "MERGE INTO public.orders o USING customers c ON c.ssn = 'x' WHEN MATCHED THEN DELETE",
        "INSERT INTO customers VALUES (1) ON CONFLICT (ssn) DO NOTHING",
        "EXPLAIN SELECT id FROM customers WHERE ssn = 'x'",
        "DECLARE k CURSOR FOR SELECT id FROM customers WHERE ssn = 'x'",
        "PREPARE p AS SELECT id FROM customers WHERE ssn = $1",
        "COPY (SELECT id FROM customers WHERE ssn = 'x') TO STDOUT",
        "CREATE INDEX ON customers (ssn)",
        "CREATE INDEX ON customers (lower(ssn))",
        "CREATE INDEX ON customers (id) WHERE ssn = 'x'",
        "ALTER TABLE customers ADD CHECK (ssn <> 'x')",
        "ALTER TABLE customers ADD UNIQUE (ssn)",
        "CREATE POLICY p ON customers USING (ssn = 'x')",
        "CREATE TABLE x (a text REFERENCES customers (ssn))",
        "ALTER TABLE public.orders ADD FOREIGN KEY (total) REFERENCES customers (ssn)",
    ],
)
def test_what_decides_about_rows_is_a_probe(sql):
    assert lineages(sql, PLAIN)[0].probes == {SSN}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM customers WHERE id = 1 ORDER BY name",
        "SELECT upper(ssn) AS s FROM customers ORDER BY id",
        "SELECT 1, ssn FROM customers ORDER BY 1",
        "SELECT id FROM customers WHERE ssn IS NOT NULL",
        "SELECT count(*) FROM customers",
        "UPDATE customers SET ssn = 'x' WHERE id = 1",
        "INSERT INTO customers VALUES (1, 'a', 'b', 'c')",
        "SELECT 1",
        "COPY customers TO STDOUT",
    ],
)
def test_what_looks_at_no_masked_value_is_none(sql):
    (read,) = lineages(sql, PLAIN)
    assert not read.probes and not read.moves


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO public.orders SELECT id, 1, ascii(ssn) FROM customers",
        "INSERT INTO public.orders (total) VALUES ((SELECT ascii(ssn) FROM customers))",
        "INSERT INTO missing SELECT ssn FROM customers",
        "INSERT INTO customers (id, name) SELECT * FROM (SELECT id, ssn FROM customers) x",
        "INSERT INTO customers VALUES (1) ON CONFLICT (id) DO UPDATE SET note = customers.ssn",
        "CREATE TABLE x AS SELECT ssn FROM customers",
        "CREATE TEMP TABLE x AS TABLE customers",
        "CREATE MATERIALIZED VIEW x AS SELECT lower(ssn) FROM customers",
        "CREATE VIEW x AS SELECT ssn FROM customers",
        "SELECT ssn INTO x FROM customers",
        "UPDATE customers SET note = ssn",
        "UPDATE customers SET note = CASE WHEN ssn LIKE '1%' THEN 'a' END",
        "UPDATE public.orders SET total = ascii(c.ssn) FROM customers c",
        "MERGE INTO public.orders o USING customers c ON true WHEN NOT MATCHED THEN INSERT VALUES (1, 2, ascii(c.ssn))",
        "WITH w AS (INSERT INTO public.orders SELECT 1, 2, ascii(ssn) FROM customers) SELECT 1",
        "EXPLAIN ANALYZE CREATE TABLE x AS SELECT ssn FROM customers",
        "COPY customers TO '/tmp/x'",
        "COPY (SELECT ssn FROM customers) TO PROGRAM 'cat'",
        "ALTER TABLE customers ALTER note TYPE text USING ssn",
        "ALTER TABLE customers ADD g text GENERATED ALWAYS AS (lower(ssn)) STORED",
        "ALTER TABLE customers RENAME ssn TO s",
        "ALTER TABLE customers RENAME TO people",
        "ALTER TABLE customers SET SCHEMA hr",
        "SELECT pg_notify('x', ssn) FROM customers",
        "SELECT 1 FROM customers WHERE pg_try_advisory_lock(ascii(ssn))",
        "SELECT lo_from_bytea(0, ssn::bytea) FROM customers",
        "ALTER TABLE people NO INHERIT customers",
        "ALTER TABLE visits DETACH PARTITION customers",
        "ALTER TABLE customers ALTER ssn DROP EXPRESSION",
        "CREATE RULE r AS ON INSERT TO customers DO ALSO INSERT INTO public.orders SELECT 1, 2, ascii(new.ssn)",
    ],
)
def test_what_takes_values_elsewhere_is_a_move(sql):
    assert lineages(sql, PLAIN)[0].moves == {"public.people.tax" if "NO INHERIT" in sql else SSN}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE customers SET ssn = lower(ssn)",
        "INSERT INTO customers SELECT * FROM customers",
        "INSERT INTO hr.staff (pay) SELECT ascii(ssn) FROM customers",
        "CREATE TABLE x AS SELECT id, count(ssn) FROM customers GROUP BY id",
        "COPY customers (id) TO '/tmp/x'",
        "ALTER TABLE customers RENAME note TO remark",
        "ALTER TABLE customers ALTER ssn TYPE varchar USING lower(ssn)",
    ],
)
def test_what_stays_masked_is_not_moved(sql):
    assert not lineages(sql, PLAIN)[0].moves


def test_i8_what_takes_too_long_to_read_may_be_anything():
    (read,) = lineages("SELECT " + ", ".join(["id"] * 60_000) + " FROM customers", PLAIN)
    assert read.row is None and read.probes == read.moves == ANYTHING
    assert not lineages("INSERT INTO public.orders VALUES " + ", ".join(["(1, 2, 3)"] * 20_000), PLAIN)[0].moves


def test_recursion_within_recursion_ends():
    nested = "SELECT ssn FROM customers"
    for depth in range(12):
        nested = f"WITH RECURSIVE r{depth} AS (SELECT 'x' AS ssn UNION ALL ({nested})) SELECT ssn FROM r{depth}"
    (read,) = lineages(nested, PLAIN)
    assert not read.reveals(0, 1).is_nothing


@given(st.text(max_size=200))
def test_any_text_can_be_asked_about(sql):
    lineages(sql, PLAIN)
