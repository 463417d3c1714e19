"""What a statement does with masked columns beside showing them: policies see what it asks of them and where it takes them."""

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

POLICY = """
rules:
  - {name: writers, effects: [read, write, ddl], action: allow}
  - {name: archive, effects: [read, write], when: "sql.moves_masked.size() > 0 && command.writes == ['public.vault']", action: allow}
  - {name: no-probing, when: "sql.probes_masked.exists(c, c == 'public.people.ssn')", action: deny, message: ask for it instead}
masking:
  - {name: ssn, columns: [public.people.ssn]}
"""
SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text);
INSERT INTO people VALUES (1, 'Ann', '123-45-6711'), (2, 'Bob', '987-65-4321');
CREATE TABLE log (line text);
CREATE TABLE vault (line text);
CREATE VIEW cards AS SELECT id, ssn AS number FROM people;
"""
GUESSES = [f"SELECT id FROM people WHERE ssn LIKE '{digit}%'" for digit in range(10)]


@pytest.fixture(scope="module")
def server():
    with DemoDatabase(major=18) as made:
        with psycopg.connect(made.uri, autocommit=True) as connection:
            connection.execute(SCHEMA)
        yield made


@pytest.fixture(scope="module")
def gateway(server, tmp_path_factory, gateway_class):
    running = gateway_class(tmp_path_factory.mktemp("probes"), server.port, server.password, policy=POLICY)
    yield running
    running.stop()


@pytest.fixture
def agent(gateway):
    with gateway.connect() as connection:
        yield connection


def refused(connection, sql, parameters=None):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="ask for it instead"):
        connection.execute(sql, parameters)


@pytest.mark.parametrize(
    "sql",
    [
        *GUESSES[:2],
        "SELECT count(*) FROM people WHERE substr(ssn, 1, 1) > '5'",
        "SELECT id FROM people ORDER BY ssn",
        "SELECT name FROM people p WHERE EXISTS (SELECT FROM people q WHERE q.ssn = '123-45-6711' AND q.id = p.id)",
        "WITH w AS (SELECT id FROM people WHERE ssn < '5') SELECT * FROM w",
        "EXPLAIN SELECT id FROM people WHERE ssn < '5'",
        "DELETE FROM people WHERE ssn LIKE '1%'",
        "INSERT INTO log SELECT name FROM people WHERE ssn LIKE '1%'",
        "SELECT c.id FROM people c JOIN (VALUES ('123-45-6711')) v(x) ON v.x = c.ssn",
        "COPY (SELECT id FROM people WHERE ssn LIKE '1%') TO STDOUT",
        "DECLARE k CURSOR WITH HOLD FOR SELECT id FROM people WHERE ssn LIKE '1%'",
        "CREATE INDEX ON people (ssn)",
        "SELECT 1; SELECT id FROM people WHERE ssn LIKE '1%'",
    ],
)
def test_a_search_by_predicates_is_denied_by_a_rule(agent, sql):
    refused(agent, sql)


def test_so_is_one_with_parameters_prepared_or_not(agent):
    for guess in ("1%", "2%", "3%"):
        refused(agent, "SELECT id FROM people WHERE ssn LIKE %s", (guess,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            agent.execute("SELECT id FROM people WHERE ssn LIKE %s", (guess,), prepare=True)


def test_and_by_a_statement_that_was_prepared_by_name(agent):
    refused(agent, "PREPARE p(text) AS SELECT id FROM people WHERE ssn LIKE $1")


def test_what_was_learned_of_a_shape_does_not_hide_a_probe(agent):
    """Places in ORDER BY are constants that decide what is probed."""
    for _ in range(20):
        assert len(agent.execute("SELECT id, ssn FROM people ORDER BY 1").fetchall()) == 2
    refused(agent, "SELECT id, ssn FROM people ORDER BY 2")
    for _ in range(20):
        refused(agent, "SELECT DISTINCT ON (1) id, ssn FROM people")


def test_other_questions_are_answered_and_masked(agent):
    assert agent.execute("SELECT id, ssn, ssn IS NULL FROM people WHERE name = 'Ann'").fetchone() == (1, "[redacted]", False)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO log SELECT ssn FROM people",
        "INSERT INTO log SELECT number FROM cards",
        "UPDATE people SET name = ssn",
        "CREATE TABLE copied AS SELECT * FROM people",
        "CREATE TEMP TABLE copied AS SELECT lower(ssn) AS s FROM people",
        "SELECT * INTO copied FROM people",
        "CREATE MATERIALIZED VIEW copied AS SELECT number FROM cards",
        "ALTER TABLE people RENAME COLUMN ssn TO remark",
        "MERGE INTO log USING people ON false WHEN NOT MATCHED THEN INSERT VALUES (ssn)",
        "WITH w AS (INSERT INTO log SELECT ssn FROM people) SELECT 1",
    ],
)
def test_a_copy_of_masked_columns_is_held_although_a_rule_allows_writes(gateway, in_background, sql):
    with gateway.connect() as connection:
        running = in_background(connection, sql)
        review = gateway.pending()
        assert review["rule"] == "default-moves-masked"
        assert gateway.review(review["id"])["command"]["attributes"]["moves_masked"] in (
            ["public.people.ssn"],
            ["public.cards.number"],
        )
        gateway.cli("reviews", "deny", review["id"], "--reason", "no copies")
        assert "no copies" in str(running.join().error)


def test_a_rule_that_names_the_moves_may_let_them_run(agent, server):
    assert agent.execute("INSERT INTO vault SELECT ssn FROM people").rowcount == 2
    with psycopg.connect(server.uri) as direct:
        assert direct.execute("SELECT count(*) FROM vault").fetchone() == (2,)


def test_other_writes_run(agent):
    assert agent.execute("INSERT INTO log SELECT name FROM people").rowcount == 2
    assert agent.execute("UPDATE people SET ssn = upper(ssn) WHERE id = 1").rowcount == 1


def test_the_record_tells_what_was_probed(gateway, agent):
    refused(agent, GUESSES[3])
    told = [event["body"]["command"] for event in gateway.audit("command")]
    assert [one["attributes"]["probes_masked"] for one in told if one["text"] == GUESSES[3]] == [["public.people.ssn"]]


def test_explain_says_so_ahead_where_it_asks_the_catalog(gateway):
    moving = gateway.json("policy", "explain", "--live", "--target", "shop", "INSERT INTO log SELECT ssn FROM people")
    assert (moving["verdict"], moving["rule"]) == ("review", "default-moves-masked")
    assert moving["sql"]["moves_masked"] == ["public.people.ssn"]
    probing = gateway.json("policy", "explain", "--live", "--target", "shop", GUESSES[0])
    assert (probing["verdict"], probing["rule"]) == ("deny", "no-probing")
