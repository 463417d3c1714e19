"""What the server says in words never shows a masked value, whatever makes it speak: the policy allows everything here (I5).

Only column rules are on, so that no detector helps. Each dialogue makes PostgreSQL itself quote a masked value, which is seen first.
"""

import psycopg
import pytest

POLICY = """
rules:
  - name: everything
    effects: [read, write, ddl, admin, exec, session, unknown]
    when: sql.moves_masked.size() >= 0  # those that move masked columns too
    action: allow
masking:
  - {name: ssn, columns: [public.people.ssn], operator: {redact: {}}}
  - {name: salary, columns: [public.people.salary]}
"""
SECRETS = ("123-45", "6711", "77001")
SCHEMA = """
CREATE TABLE roots (id int PRIMARY KEY, up int);
CREATE TABLE people (
    id int PRIMARY KEY, ssn text, salary int UNIQUE, note text, root int NOT NULL DEFAULT 1 REFERENCES roots ON DELETE SET NULL ON UPDATE CASCADE,
    CHECK (root < 50)
);
INSERT INTO roots VALUES (1, 0), (2, 0);
INSERT INTO people VALUES (1, '123-45-6711', 77001, 'a note', 1);
CREATE VIEW notes AS SELECT id, note, root FROM people;
CREATE TABLE diary (line text, said text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'he is %', (SELECT ssn FROM people LIMIT 1); RETURN NEW; END $$;
CREATE TRIGGER tells BEFORE INSERT ON diary FOR EACH ROW EXECUTE FUNCTION tell();
CREATE VIEW pages AS SELECT line, said FROM diary;
CREATE TABLE late (said text);
CREATE CONSTRAINT TRIGGER tells_late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TABLE known (word text PRIMARY KEY);
CREATE TABLE words (word text REFERENCES known DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE empty_book (said text);
CREATE FUNCTION said() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM people LIMIT 1';
CREATE TABLE checked (n int DEFAULT said()::int);
"""
DIALOGUES = {
    "a constraint": ["INSERT INTO people (id, ssn, salary) SELECT 2, ssn, salary FROM people"],
    "a failing row": ["UPDATE people SET root = 99"],
    "a row that fails through a view": ["UPDATE notes SET root = 99"],
    "a row that fails by a cascade": ["UPDATE roots SET id = 99 WHERE id = 1"],
    "a row that fails where its referent is deleted": ["DELETE FROM roots WHERE id = 1"],
    "a cast": ["SELECT ssn::int FROM people"],
    "a cast that looks for a relation": ["SELECT ssn::regclass FROM people"],
    "a cast that looks for a relation with quotes": [
        'SELECT (\'"people"" \' || ssn || \' ""people"\')::regclass FROM people',
    ],
    "a cast that parses a type": ["SELECT ssn::regtype FROM people"],
    "a search for a type": ["SELECT to_regtype(ssn) FROM people"],
    "a cast that looks for a role": ["SELECT ('\"' || ssn || '\"')::regrole FROM people"],
    "a cast to a search": ["SELECT ('& ' || ssn)::tsquery FROM people"],
    "a setting": ["SELECT current_setting('a' || salary) FROM people"],
    "a large object": ["SELECT lo_get(salary::oid) FROM people"],
    "a database": ["SELECT pg_database_size(ssn::name) FROM people"],
    "a schema": ["SELECT ('\"' || ssn || '\"')::regnamespace FROM people"],
    "an EXPLAIN that runs": ["EXPLAIN ANALYZE SELECT ssn::int FROM people"],
    "a query that becomes a table": ["CREATE TABLE stolen AS SELECT ssn::int FROM people"],
    "an index": ["INSERT INTO people SELECT 2, ssn, salary + 1, note, 1 FROM people", "CREATE UNIQUE INDEX ON people (ssn)"],
    "another type for a column": ["ALTER TABLE people ALTER ssn TYPE int USING ssn::int"],
    "another type for a column, looked for": ["ALTER TABLE people ALTER ssn TYPE regclass USING ssn::regclass"],
    "a DO block with any SQLSTATE": [
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = (SELECT ssn FROM people LIMIT 1); END $$",
        "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = (SELECT ssn FROM people LIMIT 1); END $$",
        "DO $$ BEGIN RAISE NOTICE USING ERRCODE = '57014', MESSAGE = (SELECT ssn FROM people LIMIT 1); END $$",
    ],
    "dynamic SQL": [
        "DO $$ BEGIN EXECUTE 'DROP TABLE IF EXISTS ' || quote_ident((SELECT ssn FROM people LIMIT 1)); END $$",
        "DO $$ BEGIN EXECUTE 'EXECUTE ' || quote_ident((SELECT ssn FROM people LIMIT 1)); END $$",
        "DO $$ BEGIN EXECUTE 'SELECT ' || quote_ident((SELECT ssn FROM people LIMIT 1)); END $$",
        "DO $$ BEGIN EXECUTE 'TABLE ' || quote_ident((SELECT ssn FROM people LIMIT 1)); END $$",
    ],
    "a trigger": ["INSERT INTO diary VALUES ('x')"],
    "a trigger behind a view": ["INSERT INTO pages VALUES ('x')"],
    "a trigger with COPY": ["COPY diary FROM STDIN"],
    "a trigger on a plan that is explained": ["EXPLAIN ANALYZE INSERT INTO diary VALUES ('x')"],
    "a default": ["INSERT INTO checked DEFAULT VALUES"],
    "a trigger at COMMIT": ["BEGIN", "INSERT INTO late VALUES ('x')", "COMMIT"],
    "a trigger made at once": ["BEGIN", "INSERT INTO late VALUES ('x')", "SET CONSTRAINTS ALL IMMEDIATE", "ROLLBACK"],
    "a constraint at COMMIT": ["BEGIN", "INSERT INTO words SELECT ssn FROM people", "COMMIT"],
    "a cursor at COMMIT": ["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT ssn::int FROM people", "COMMIT"],
    "a trigger of the same transaction": [
        "BEGIN",
        "CREATE TRIGGER tells BEFORE INSERT ON empty_book FOR EACH ROW EXECUTE FUNCTION tell()",
        "INSERT INTO empty_book VALUES ('x')",
        "ROLLBACK",
    ],
    "a cursor": ["BEGIN", "DECLARE c CURSOR FOR SELECT ssn::int FROM people", "FETCH 1 FROM c", "ROLLBACK"],
    "a prepared statement": ["PREPARE p AS SELECT ssn::int FROM people", "EXECUTE p"],
}
APART = ("a DO block with any SQLSTATE", "dynamic SQL")
"""Those whose every statement is a dialogue of its own."""

PIPELINED = {
    "a trigger at Sync": ("INSERT INTO late VALUES ('x')", "SELECT 1"),
    "a constraint at Sync": ("INSERT INTO words SELECT ssn FROM people", "SELECT 1"),
}


@pytest.fixture(scope="module")
def places(database, tmp_path_factory, gateway_class):
    """A database of these tests' own: how it is reached, with and without the gateway."""
    with psycopg.connect(
        host=str(database.folder), port=database.port, user="postgres", dbname="postgres", autocommit=True
    ) as root:
        root.execute("CREATE DATABASE spoken OWNER app")
    behind = database.uri.rpartition("/")[0] + "/spoken"
    with psycopg.connect(behind, autocommit=True) as connection:
        connection.execute(SCHEMA)
    running = gateway_class(tmp_path_factory.mktemp("spoken"), database.port, database.password, policy=POLICY)
    yield behind, running.uri("spoken")
    running.stop()


def held(uri, statements, *, pipelined=False):
    """Everything that the server says in a dialogue, which is undone."""
    said = []
    connection = psycopg.connect(uri, autocommit=True)
    connection.add_notice_handler(lambda notice: said.append(repr(words(notice))))
    try:
        if pipelined:
            said += _say_in_pipeline(connection.pgconn, statements)
        else:
            for sql in statements:
                _say(connection, sql)
    except psycopg.Error as error:
        said.append(repr(words(error.diag)) + str(error))
    finally:
        connection.close()
    return "".join(said)


def _say_in_pipeline(server, statements):
    """By libpq itself: psycopg's pipeline trips over an error that only the Sync brings."""
    server.enter_pipeline_mode()
    for sql in statements:
        server.send_query_params(sql.encode(), None)
    server.pipeline_sync()
    said = []
    while (result := server.get_result()) is None or result.status != psycopg.pq.ExecStatus.PIPELINE_SYNC:
        if result is not None and result.status == psycopg.pq.ExecStatus.FATAL_ERROR:
            fields = psycopg.pq.DiagnosticField
            said += [repr(result.error_field(field)) for field in (fields.MESSAGE_PRIMARY, fields.MESSAGE_DETAIL, fields.CONTEXT)]
    return said


def words(diag):
    return [diag.message_primary, diag.message_detail, diag.message_hint, diag.context, diag.internal_query]


def _say(connection, sql):
    if sql.startswith("COPY"):
        with connection.cursor().copy(sql) as copy:
            copy.write("x\ty\n")
    else:
        connection.execute(sql)


@pytest.fixture(autouse=True)
def same_rows(places):
    yield
    undo(places[0])


def undo(uri):
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("DELETE FROM people WHERE id > 1; DROP TABLE IF EXISTS stolen; TRUNCATE diary, late")


@pytest.mark.parametrize("name", DIALOGUES)
def test_i5_the_server_s_words_hold_no_masked_value(places, name):
    behind, through = places
    parts = [[sql] for sql in DIALOGUES[name]] if name in APART else [DIALOGUES[name]]
    assert all(any(secret in held(behind, part) for secret in SECRETS) for part in parts), "the server itself says nothing of it"
    undo(behind)
    said = [held(through, part) for part in parts]
    assert all(said)
    assert not [secret for secret in SECRETS if secret in "".join(said)]


@pytest.mark.parametrize("name", PIPELINED)
def test_i5_the_server_s_words_at_sync_hold_no_masked_value(places, name):
    behind, through = places
    assert any(secret in held(behind, PIPELINED[name], pipelined=True) for secret in SECRETS), (
        "the server itself says nothing of it"
    )
    said = held(through, PIPELINED[name], pipelined=True)
    assert said
    assert not [secret for secret in SECRETS if secret in said]


def test_what_names_only_objects_is_said_as_it_is(places):
    said = held(places[1], ["DROP TABLE IF EXISTS nowhere", "SELECT nope FROM people"])
    assert 'table "nowhere" does not exist, skipping' in said
    assert 'column "nope" does not exist' in said
    assert 'prepared statement "none" does not exist' in held(places[1], ["EXECUTE none"])
    assert 'relation "nowhere" does not exist' in held(places[1], ["COPY nowhere FROM STDIN"])
    assert "division by zero" in held(places[1], ["SELECT id / 0 FROM people"])


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE fresh (a text); INSERT INTO fresh SELECT ssn FROM people; TABLE fresh; SELECT 1/0",
        "CREATE TABLE fresh (salary text); INSERT INTO fresh VALUES ('77001'); TABLE fresh; SELECT 1/0",
        "CREATE TABLE fresh AS SELECT ssn AS a FROM people; TABLE fresh; SELECT 1/0",
        "CREATE TABLE fresh (LIKE people); INSERT INTO fresh TABLE people; TABLE fresh; SELECT 1/0",
        "CREATE TABLE fresh (a text); ALTER TABLE people RENAME TO persons; INSERT INTO fresh SELECT ssn FROM persons; TABLE fresh; SELECT 1/0",
        "CREATE TABLE fresh (a text); SELECT ssn || '' FROM people, fresh RIGHT JOIN people p ON true; SELECT 1/0",
    ],
)
def test_i5_a_table_of_the_same_message_shows_no_masked_value(places, sql):
    with psycopg.connect(places[1], autocommit=True) as connection:
        connection.pgconn.send_query(sql.encode())
        shown = []
        while result := connection.pgconn.get_result():
            shown += [result.get_value(row, column) for row in range(result.ntuples) for column in range(result.nfields)]
    assert not [secret for secret in SECRETS if secret.encode() in b"".join(value or b"" for value in shown)]


def test_a_table_of_the_same_message_is_shown_as_it_is(places):
    with psycopg.connect(places[1], autocommit=True) as connection:
        connection.pgconn.send_query(b"CREATE TABLE fresh (a text); INSERT INTO fresh VALUES ('mine'); TABLE fresh; SELECT 1/0")
        results = []
        while result := connection.pgconn.get_result():
            results.append(result)
    assert results[2].get_value(0, 0) == b"mine"
