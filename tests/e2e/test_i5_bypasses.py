"""Attempts to read a masked SSN by a statement that the policy lets run: each ends masked or refused, none reveals it (I5).

Only the column rule is on, so that no detector helps; the policy denies whatever is not provably a read.
"""

import psycopg
import pytest

POLICY = """
rules:
  - {name: reads-only, effects: [write, ddl, admin, exec, unknown], action: deny}
masking:
  - {name: ssn, columns: [public.customers.ssn], operator: {redact: {}}}
"""
REVEALING = ("123-45", "6711", "12345", "3132332d")
ATTEMPTS = """
SELECT ssn FROM customers LIMIT 1
SELECT substr(ssn,1,4) FROM customers LIMIT 1
SELECT customers FROM customers LIMIT 1
SELECT customers.* FROM customers LIMIT 1
SELECT (c).ssn FROM customers c LIMIT 1
SELECT (SELECT ssn FROM customers LIMIT 1)
SELECT array(SELECT ssn FROM customers LIMIT 1)
SELECT x.y FROM customers c, LATERAL (SELECT c.ssn || '' AS y) x LIMIT 1
SELECT json_agg(c) FROM customers c
SELECT row_to_json(c)::text FROM customers c LIMIT 1
SELECT ssn FROM customers UNION SELECT 'a' LIMIT 3
SELECT s FROM (VALUES ((SELECT ssn FROM customers LIMIT 1))) v(s)
SELECT a FROM customers AS c(b,c,a) LIMIT 1
WITH customers AS (SELECT ssn||'' AS z FROM public.customers) SELECT z FROM customers LIMIT 1
SELECT max(ssn) OVER () FROM customers LIMIT 1
SELECT string_agg(ssn, '') FROM customers
SELECT encode(ssn::bytea, 'hex') FROM customers LIMIT 1
SELECT j.ssn FROM (customers a JOIN orders o USING (id)) AS j LIMIT 1
SELECT coalesce(ssn, '') FROM customers LIMIT 1
SELECT to_jsonb(c) -> 'ssn' FROM customers c LIMIT 1
SELECT tax FROM contacts LIMIT 1
SELECT v.tax || '' FROM contacts v LIMIT 1
SELECT unnest(array_agg(ssn)) FROM customers
SELECT CASE WHEN true THEN ssn END FROM ONLY customers LIMIT 1
SELECT json_build_object('a', ssn) FROM customers LIMIT 1
SELECT * FROM json_to_record((SELECT row_to_json(c) FROM customers c LIMIT 1)) AS x(ssn text)
SELECT ssn::int FROM customers
SELECT ('{' || ssn || '}')::int[] FROM customers
SELECT 1/(ssn = 'x')::int FROM customers
SELECT format('%s', ssn) FROM customers LIMIT 1
SELECT most_common_vals FROM pg_stats WHERE tablename='customers'
SELECT "ssn" FROM "public"."customers" LIMIT 1
SELECT xmlelement(name a, ssn) FROM customers LIMIT 1
SELECT chr(ascii(ssn)) || chr(ascii(substr(ssn,2))) FROM customers LIMIT 1
SELECT regexp_split_to_table(ssn, '') FROM customers LIMIT 4
SELECT ascii(ssn) FROM customers LIMIT 1
SELECT first_value(c) OVER () FROM customers c LIMIT 1
SELECT text(c) FROM customers c LIMIT 1
SELECT c::text FROM customers c LIMIT 1
SELECT concat(c) FROM customers c LIMIT 1
SELECT concat(c.*) FROM customers c LIMIT 1
SELECT n.ssn FROM customers c NATURAL JOIN customers n LIMIT 1
SELECT jsonb_object_agg(id, ssn) FROM customers
SELECT (array_agg(ssn))[1] FROM customers
EXPLAIN SELECT * FROM customers WHERE ssn = (SELECT ssn FROM customers LIMIT 1)
SELECT lower(ssn) COLLATE "C" FROM customers LIMIT 1
DECLARE k CURSOR WITH HOLD FOR SELECT ssn || '' FROM customers
FETCH ALL FROM k
"""


@pytest.fixture(scope="module")
def reader(database, tmp_path_factory, gateway_class):
    running = gateway_class(tmp_path_factory.mktemp("bypass"), database.port, database.password, policy=POLICY)
    with running.connect() as connection:
        yield connection
    running.stop()


@pytest.mark.parametrize("sql", ATTEMPTS.strip().splitlines())
def test_i5_no_statement_reveals_a_masked_column(reader, sql):
    try:
        cursor = reader.execute(sql)
        answer = repr(cursor.fetchall()) if cursor.description else ""
    except psycopg.Error as error:
        answer = str(error)
    assert not [part for part in REVEALING if part in answer]


def test_the_same_column_is_really_there(direct):
    assert direct.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("123-45-6711",)


def test_a_constant_that_spells_a_name_is_no_plain_constant(reader):
    """UESCAPE decides what a name is: with one character a table of the statement's own, with another the masked one."""
    sql = "WITH \"!0063ustomers\" AS (SELECT 'x'::text AS ssn) SELECT lower(ssn) AS v FROM U&\"!0063ustomers\" UESCAPE '{}'"
    for _ in range(20):
        assert reader.execute(sql.format("?")).fetchall() == [("x",)]
    revealed = str(reader.execute(sql.format("!")).fetchall())
    assert "123-45" not in revealed and "redacted" in revealed


def test_a_constant_that_names_a_setting_is_no_plain_constant(reader):
    sql = "SELECT set_config('{}', '{}', true)"
    for _ in range(20):
        reader.execute(sql.format("extra_float_digits", "1"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(sql.format("search_path", "pg_temp"))
