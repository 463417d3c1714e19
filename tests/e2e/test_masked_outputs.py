"""What a client sees of masked columns: each output by what it can reveal, and a notice where that cannot be told (I5)."""

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

POLICY = """
rules:
  - name: everything
    effects: [read, write, ddl, admin, exec, session, unknown]
    when: sql.moves_masked.size() >= 0
    action: allow
masking:
  - {name: ssn, columns: [public.people.ssn], operator: {partial: {keep_last: 2}}}
  - {name: number, columns: [public.counted.id]}
  - {name: part, columns: [public.visits_1.remark]}
"""
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, short text GENERATED ALWAYS AS (left(ssn, 3)) STORED);
INSERT INTO people VALUES (1, 'Ann', '123-45-6711'), (2, 'Bob', '123-45-6712');
CREATE VIEW cards AS SELECT id, name, ssn AS number, ssn LIKE '1%' AS is_one FROM people;
CREATE VIEW loud AS SELECT upper(name) AS name, 'no ' || number AS told FROM cards;
CREATE MATERIALIZED VIEW kept AS SELECT name, reverse(ssn) AS turned FROM people;
CREATE TABLE visits (id int, remark text) PARTITION BY RANGE (id);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10);
INSERT INTO visits VALUES (1, 'told in confidence');
CREATE TABLE counted (id serial, name text);
INSERT INTO counted (name) SELECT 'x' FROM generate_series(1, 41);
CREATE FUNCTION leak() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = 1';
CREATE VIEW leaking AS SELECT name, leak() AS told FROM people;
CREATE FUNCTION same(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
"""
SECRETS = ("123-45", "1176-54", "6711", "in confidence", "41")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, gateway_class):
    with DemoDatabase(major=18) as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute(SCHEMA)
        running = gateway_class(tmp_path_factory.mktemp("masked"), server.port, server.password, policy=POLICY)
        yield running
        running.stop()


@pytest.fixture
def agent(gateway):
    with gateway.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT name || '!', ssn || '!', count(*) OVER () FROM people ORDER BY id LIMIT 1", ("Ann!", "[redacted]", 2)),
        ("SELECT id, name, number, is_one FROM cards ORDER BY id LIMIT 1", (1, "Ann", "***-**-**11", None)),
        ("SELECT name, told FROM loud ORDER BY name LIMIT 1", ("ANN", "[redacted]")),
        ("SELECT name, turned FROM kept ORDER BY name LIMIT 1", ("Ann", "[redacted]")),
        ("SELECT short, lower(name) FROM people ORDER BY id LIMIT 1", ("[redacted]", "ann")),
        ("SELECT id, remark FROM visits", (1, "[redacted]")),
        ("WITH p AS (SELECT id + 1 AS n, ssn AS s FROM people) SELECT n, max(s) FROM p GROUP BY n ORDER BY n LIMIT 1",
         (2, "[redacted]")),
        ("SELECT x.n, x.s FROM people p, LATERAL (SELECT p.id * 2 AS n, left(p.ssn, 1) AS s) x ORDER BY 1 LIMIT 1",
         (2, "[redacted]")),
        ("SELECT last_value FROM counted_id_seq", (None,)),
        ("SELECT pg_sequence_last_value('counted_id_seq')", (None,)),
    ],
)  # fmt: skip
def test_an_output_is_masked_by_what_it_can_reveal(agent, sql, row):
    assert agent.execute(sql).fetchone() == row


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE people SET name = ssn WHERE id = 2 RETURNING name",
        "WITH u AS (UPDATE people SET name = ssn WHERE id = 2 RETURNING name) SELECT name FROM u",
        "INSERT INTO visits SELECT 2, ssn FROM people RETURNING remark",
        "SELECT told FROM leaking",
        "SELECT leak()",
        "SELECT l FROM leak() l",
        "SELECT CASE WHEN leak() LIKE '123-45%' THEN '123-45' END",
        "EXPLAIN (VERBOSE) SELECT name FROM people WHERE name = leak()",
        "SELECT query FROM pg_stat_activity WHERE query LIKE '%6711%'",
    ],
)
def test_i5_no_way_round_shows_it(agent, sql):
    with agent.transaction(force_rollback=True):
        shown = repr(agent.execute(sql).fetchall())
    assert not [secret for secret in SECRETS if secret in shown]


def test_i5_what_a_transaction_makes_is_not_trusted_to_keep_it(agent):
    with agent.transaction(force_rollback=True):
        agent.execute("CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people WHERE id = $1'")
        assert agent.execute("SELECT lower(id) FROM people LIMIT 1").fetchone() == ("[redacted]",)
        agent.execute("CREATE OR REPLACE VIEW loud AS SELECT ssn AS name, name AS told FROM people")
        assert "123-45" not in repr(agent.execute("SELECT * FROM loud").fetchall())


def test_a_column_that_cannot_be_resolved_is_masked_with_a_notice_once(agent):
    notices = []
    agent.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    for text in ("a", "b", "c"):
        assert agent.execute(f"SELECT name, same('{text}') AS told FROM people LIMIT 1").fetchone() == ("Ann", "[redacted]")
    assert notices == ['the column "told" is masked: the function same is not PostgreSQL\'s own and may read anything']
    agent.execute("SELECT same(name) FROM people")
    assert len(notices) == 2
    agent.execute("SELECT ssn || '' FROM people")  # it is known why
    assert len(notices) == 2
    agent.execute("SELECT same('a') AS first; SELECT same('b') AS second")
    assert [notice.split('"')[1] for notice in notices[2:]] == ["first", "second"]


def test_a_pipeline_and_a_prepared_statement_hear_the_notice_and_go_on(agent):
    notices = []
    agent.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with agent.pipeline():
        cursors = [agent.execute("SELECT same(%s), 1", (text,), prepare=True) for text in "abc"]
        assert [cursor.fetchone() for cursor in cursors] == [("[redacted]", 1)] * 3
    assert len(notices) == 1


def test_copy_hears_the_notice_too(agent):
    notices = []
    agent.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with agent.cursor().copy("COPY (SELECT id, same(name) FROM people ORDER BY id) TO STDOUT") as copy:
        assert list(copy.rows()) == [("1", "[redacted]"), ("2", "[redacted]")]
    assert len(notices) == 1
