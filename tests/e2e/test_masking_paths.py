"""Mask rules with paths: what they name inside of JSON is masked, what is made of such a column is masked whole, the rest is shown."""

import asyncpg
import psycopg
import pytest
from psycopg.types.json import Jsonb

POLICY = """
rules:
  - name: everything
    when: sql.moves_masked.size() >= 0  # those that move masked columns too
    effects: [read, write, ddl, admin, exec, session, unknown]
    action: allow
masking:
  - {name: contact, paths: ['$.user.email', '$.items[*].card', '$..ssn'], operator: {redact: {}}}
  - {name: body, paths: [$.user.email], columns: [public.documents.body], operator: {partial: {keep_last: 3}}}
  - {name: secret, columns: [public.documents.secret]}
"""
DOCUMENT = '{"b": 1.50, "user": {"email": "ana@b", "name": "Ana"}, "items": [{"card": 4242}, {"card": [1]}], "a": [{"ssn": "s-1"}]}'
MASKED = (
    '{"b": 1.50, "user": {"email": "[redacted]", "name": "Ana"}, "items": [{"card": "[redacted]"}, {"card": "[redacted]"}], '
    '"a": [{"ssn": "[redacted]"}]}'
)
TWISTED = '{"user":{"em\\u0061il":"ana@b","email" : "ana@b"}}'
SECRETS = ("ana@b", "4242", "s-1", "ana")
SCHEMA = """
CREATE DOMAIN document AS jsonb;
CREATE TABLE documents (id int, data jsonb, raw json, made document, body text, many jsonb[], secret text);
CREATE VIEW documents_seen AS SELECT id, data, data->'user' AS of_user FROM documents;
CREATE VIEW documents_seen_twice AS SELECT data, of_user AS again FROM documents_seen;
CREATE TABLE computed (data jsonb, part jsonb GENERATED ALWAYS AS (data->'user') STORED);
CREATE MATERIALIZED VIEW documents_kept AS SELECT data->'user' AS data FROM documents;
"""


@pytest.fixture(scope="module")
def gateway(database, tmp_path_factory, gateway_class):
    with psycopg.connect(database.uri, autocommit=True) as direct:
        direct.execute(SCHEMA)
        insert = "INSERT INTO documents VALUES (%s, %s, %s, %s, %s, ARRAY[%s]::jsonb[], 'hush')"
        direct.execute(insert, [1, DOCUMENT, DOCUMENT, DOCUMENT, DOCUMENT, DOCUMENT])
        direct.execute(insert, [2, TWISTED, TWISTED, None, "no JSON: ana@b", TWISTED])
        direct.execute("INSERT INTO computed SELECT data FROM documents; REFRESH MATERIALIZED VIEW documents_kept")
        running = gateway_class(tmp_path_factory.mktemp("paths"), database.port, database.password, policy=POLICY)
        yield running
        running.stop()
        direct.execute("DROP TABLE computed; DROP MATERIALIZED VIEW documents_kept")
        direct.execute("DROP VIEW documents_seen_twice, documents_seen; DROP TABLE documents; DROP DOMAIN document")


@pytest.fixture(scope="module")
def client(gateway):
    with gateway.connect() as connection:
        yield connection


def stored(connection, document):
    """As the server writes a jsonb."""
    return connection.execute("SELECT %s::jsonb::text", [document]).fetchone()[0]


def test_i5_only_what_a_path_names_is_replaced_and_the_rest_stays_to_the_byte(client):
    raw = client.pgconn.exec_(b"SELECT data, raw, made, body FROM documents WHERE id = 1")
    data, as_json, made, body = (raw.get_value(0, column).decode() for column in range(4))
    assert (data, as_json, made) == (stored(client, MASKED), MASKED, stored(client, MASKED))
    assert body == DOCUMENT.replace("ana@b", "**a@b")


def test_i5_no_spelling_of_a_key_hides_a_value_and_what_is_no_json_is_masked_whole(client):
    raw = client.pgconn.exec_(b"SELECT raw, body, data FROM documents WHERE id = 2")
    assert raw.get_value(0, 0).decode() == TWISTED.replace("ana@b", "[redacted]")
    assert "ana" not in raw.get_value(0, 1).decode()
    assert raw.get_value(0, 2) == b'{"user": {"email": "[redacted]"}}'


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_reads_the_documents_in_both_formats(client, binary):
    with client.cursor(binary=binary) as cursor:
        data, as_json = cursor.execute("SELECT data, raw FROM documents WHERE id = 1").fetchone()
    assert data == as_json
    assert data["user"] == {"email": "[redacted]", "name": "Ana"}


async def test_asyncpg_reads_the_documents(gateway):
    connection = await asyncpg.connect(gateway.uri())
    row = await connection.fetchrow("SELECT data, many, body FROM documents WHERE id = $1", 1)
    assert (row["data"], row["many"]) == (await connection.fetchval("SELECT $1::jsonb::text", MASKED), None)
    await connection.close()


def test_copy_in_every_format_and_cursors(client):
    expected = client.execute("SELECT data, raw, body FROM documents ORDER BY id").fetchall()
    with client.cursor() as cursor:
        for options in ("", "(FORMAT binary)"):
            with cursor.copy(f"COPY (SELECT data, raw, body FROM documents ORDER BY id) TO STDOUT {options}") as copy:
                copy.set_types(["jsonb", "json", "text"])
                assert list(copy.rows()) == expected
        with cursor.copy("COPY documents (data, raw) TO STDOUT (FORMAT csv)") as copy:
            text = b"".join(bytes(chunk) for chunk in copy).decode()
    assert not any(secret in text for secret in SECRETS)
    assert '""name"": ""Ana""' in text
    with client.transaction():
        client.execute("DECLARE seen CURSOR FOR SELECT data, raw, body FROM documents ORDER BY id")
        assert client.execute("FETCH ALL FROM seen").fetchall() == expected


@pytest.mark.parametrize(
    "derived",
    [
        "data->'user' FROM documents",
        "data::text FROM documents",
        "data #>> '{user,email}' FROM documents",
        "(jsonb_each(data)).value FROM documents",
        "value FROM documents, jsonb_each(data)",
        "jsonb_build_object('x', data) FROM documents",
        "jsonb_path_query(data, '$.user.email') FROM documents",
        "to_jsonb(d) FROM documents d",
        "d FROM documents d",
        "data || '{}' FROM documents",
        "jsonb_agg(data) FROM documents",
        "data FROM documents UNION ALL SELECT data->'user' FROM documents",
        "jsonb_pretty(data) FROM documents",
        "many FROM documents",
        "many[1] FROM documents",
        "raw->'user' FROM documents",
        "made->'user' FROM documents",
        "of_user FROM documents_seen",
        "again FROM documents_seen_twice",
        "part FROM computed",
        "data FROM documents_kept",
        "x.data FROM (SELECT data->'user' AS data FROM documents) x",
        "max(data->'user'->>'email') FROM documents",
        "body::json->'user' FROM documents WHERE id = 1",
        "row_to_json(d)::jsonb FROM documents d",
        "(jsonb_populate_record(NULL::documents, jsonb_build_object('data', data->'user'))).data FROM documents",
    ],
)
def test_i5_what_is_made_of_such_a_column_is_masked_whole(client, derived):
    shown = str(client.execute(f"SELECT {derived}").fetchall())
    assert not any(secret in shown for secret in SECRETS), shown
    assert "Ana" not in shown


def test_a_view_s_column_that_is_the_document_itself_is_shown_by_the_paths(client):
    assert client.execute("SELECT data FROM documents_seen WHERE id = 1").fetchone()[0]["user"]["name"] == "Ana"


def test_documents_of_tables_without_a_rule_of_their_own_are_masked_too(client):
    with client.transaction():
        client.execute("CREATE TABLE made_here (d document, j json)")
        client.execute("INSERT INTO made_here VALUES (%s, %s)", [DOCUMENT, DOCUMENT])
        shown = str(client.execute("SELECT d, j FROM made_here").fetchall())
        assert not any(secret in shown for secret in SECRETS)
        client.execute("DROP TABLE made_here")


def test_i5_what_is_moved_into_a_document_is_not_shown_by_its_paths(client):
    update = "UPDATE documents SET data = jsonb_build_object('x', data->'user'->'email', 'y', secret) WHERE id = 1 RETURNING data"
    with client.transaction(force_rollback=True):
        shown = str(client.execute(update).fetchall())
    assert "ana@b" not in shown
    assert "hush" not in shown


def test_what_was_masked_is_counted_by_its_rule(gateway, client):
    client.execute("SELECT raw, body FROM documents WHERE id = 1")
    counted = [entry for record in gateway.audit("command.finished") for entry in record["body"]["masked"]]
    assert {"rule": "contact", "count": 4} in counted
    assert {"rule": "body", "count": 1} in counted


def test_a_document_keeps_its_number_under_an_operator_that_has_one(make_gateway, direct):
    direct.execute('CREATE TABLE prices AS SELECT jsonb \'{"price": 1234, "name": "x"}\' AS data')
    policy = "masking:\n  - {name: price, paths: [$.price], operator: {range: {width: 100}}}\n"
    with make_gateway(policy=policy).connect() as connection:
        assert connection.execute("SELECT data FROM prices").fetchone() == ({"price": 1200, "name": "x"},)
        assert connection.execute("SELECT %s", [Jsonb({"price": 1})]).fetchone() == ({"price": 1},)
    direct.execute("DROP TABLE prices")
