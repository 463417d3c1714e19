"""``countersign masking discover`` on a real database with planted data, and what it must not say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import yaml

from countersign.demo.database import DemoDatabase

PROGRAM = str(Path(sys.executable).with_name("countersign"))
CONFIG = """
targets:
  - name: shop
    type: postgres
    listen: 127.0.0.1:0
    upstream: {{host: 127.0.0.1, port: {port}, user: app, password: env:SHOP_PASSWORD}}
policies: [policies/*.yaml]
"""
POLICY = "masking:\n  - {name: known, columns: [public.t_known.email]}\n"
PLANTED = """
CREATE TABLE t_email (id int, v text);
INSERT INTO t_email SELECT i, 'planted' || i || '@example.com' FROM generate_series(1, 40) i;
CREATE TABLE t_known (id int, email text);
INSERT INTO t_known SELECT i, 'known' || i || '@example.com' FROM generate_series(1, 40) i;
CREATE TABLE t_card (id int, v varchar(30), as_number bigint);
INSERT INTO t_card SELECT i, '4242 4242 4242 4242', 5555555555554444 FROM generate_series(1, 10) i;
CREATE TABLE t_ssn (id int, v text);
INSERT INTO t_ssn SELECT i, '123-45-6' || (100 + i) FROM generate_series(1, 20) i;
CREATE TABLE t_iban (id int, v text);
INSERT INTO t_iban SELECT i, 'DE89370400440532013000' FROM generate_series(1, 20) i;
CREATE TABLE t_phone (id int, v text);
INSERT INTO t_phone SELECT i, '+49 30 9018' || (20 + i) FROM generate_series(1, 20) i;
CREATE TABLE t_aws (id int, v text);
INSERT INTO t_aws SELECT i, 'AKIAIOSFODNN7EXAMPLE' FROM generate_series(1, 5) i;
CREATE TABLE t_jwt (id int, v text);
INSERT INTO t_jwt SELECT i, 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl' FROM generate_series(1, 5) i;
CREATE TABLE t_pem (id int, v text);
INSERT INTO t_pem SELECT i, E'-----BEGIN PRIVATE KEY-----\\nMIIplanted\\n-----END PRIVATE KEY-----' FROM generate_series(1, 5) i;
CREATE DOMAIN contact AS text;
CREATE TABLE t_domain (v contact, many text[]);
INSERT INTO t_domain SELECT 'domain' || i || '@example.com', ARRAY['array' || i || '@example.com'] FROM generate_series(1, 20) i;
CREATE TABLE t_named (first_name text, "dateOfBirth" date, password bytea, home_address text, phone bigint, session_token uuid, "SSN" int);
INSERT INTO t_named SELECT 'Ploni', '1990-01-01', '\\x00', 'Hauptstrasse ' || i || ', Berlin', 491701234000 + i,
  gen_random_uuid(), 123450000 + i FROM generate_series(1, 20) i;
CREATE TABLE t_empty (email text, note text);
CREATE TABLE t_json (id int, doc jsonb, by_person json, mixed jsonb);
INSERT INTO t_json SELECT i, jsonb_build_object('user', jsonb_build_object('email', 'json' || i || '@example.com', 'age', i), 'items',
    jsonb_build_array(jsonb_build_object('card', '4242424242424242'))),
  json_build_object('person' || i, json_build_object('mail', 'key' || i || '@example.com')),
  jsonb_build_object('askey' || i || '@example.com', true) FROM generate_series(1, 30) i;
CREATE TABLE t_notes (id int, note text);
INSERT INTO t_notes SELECT i, 'a long note about the delivery of order number ' || i || ', which was late'
  || CASE WHEN i % 5 = 0 THEN ', so write to buried' || i || '@example.com as soon as it is there and ask' ELSE '' END FROM generate_series(1, 100) i;
CREATE TABLE "odd.n*me" ("we""ird
column" text, "ümlaut.[x]" text);
INSERT INTO "odd.n*me" SELECT 'odd' || i || '@example.com', 'umlaut' || i || '@example.com' FROM generate_series(1, 20) i;
CREATE TABLE t_parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE t_parts_1 PARTITION OF t_parts FOR VALUES FROM (0) TO (100);
INSERT INTO t_parts SELECT i, 'part' || i || '@example.com' FROM generate_series(1, 50) i;
CREATE MATERIALIZED VIEW stored AS SELECT v FROM t_email;
CREATE MATERIALIZED VIEW unstored AS SELECT v FROM t_email WITH NO DATA;
CREATE TABLE t_big (id int, v text);
INSERT INTO t_big SELECT i, CASE WHEN i > 20000 THEN 'big' || i || '@example.com' ELSE 'none' END FROM generate_series(1, 60000) i;
ANALYZE t_big;
CREATE SCHEMA other;
CREATE TABLE other.t (v text);
INSERT INTO other.t SELECT 'other' || i || '@example.com' FROM generate_series(1, 10) i;
"""
NEAR_MISSES = """
CREATE TABLE n_numbers (order_number bigint, luhn_by_chance text, version text, hash text, uuid uuid, at timestamptz, dotted text, place text);
INSERT INTO n_numbers SELECT 4000000000000000 + i, (4000000000000000 + i)::text, '1.' || i || '.0', md5(i::text), gen_random_uuid(), now(),
  '2024-01-' || (10 + i % 20) || ' 10:20:30', '52.5200' || i || ', 13.4050' FROM generate_series(1, 200) i;
CREATE TABLE n_names (email_verified bool, email_count int, email_template text, phone_type text, address_id int, token_count int,
  is_secret bool, product_name text, zip bytea, street text, ssn text, iban text, password_required text, ip_count int, pan text, mail text);
INSERT INTO n_names SELECT true, i, 'welcome', 'mobile', i, i, false, 'Chair', '\\x00', 'east', 'n/a', 'none', 'always', i, 'frying', 'daily'
  FROM generate_series(1, 30) i;
"""
HOSTILE = """
CREATE FUNCTION touch(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN $1; END $$;
CREATE VIEW h_view AS SELECT touch(v) AS email FROM t_email;
CREATE TABLE h_policy (email text);
INSERT INTO h_policy SELECT 'policy' || i || '@example.com' FROM generate_series(1, 10) i;
ALTER TABLE h_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE h_policy FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON h_policy USING (touch(email) IS NOT NULL);
CREATE TYPE h_pair AS (email text, n int);
CREATE FUNCTION h_text(h_pair) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN public.touch(($1).email); END $$;
CREATE CAST (h_pair AS text) WITH FUNCTION h_text(h_pair);
CREATE TABLE h_cast (email h_pair);
INSERT INTO h_cast VALUES (ROW('cast@example.com', 1));
CREATE TYPE h_mood AS ENUM ('ann@example.com');
CREATE TABLE h_enum (email h_mood);
INSERT INTO h_enum VALUES ('ann@example.com');
CREATE DOMAIN h_domain AS text;
CREATE FUNCTION h_array(h_domain[]) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN public.touch($1[1]); END $$;
CREATE CAST (h_domain[] AS text) WITH FUNCTION h_array(h_domain[]);
CREATE TABLE d_array (v h_domain[]);
INSERT INTO d_array SELECT ARRAY['array' || i || '@example.com'] FROM generate_series(1, 10) i;
CREATE FUNCTION "left"(text, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN public.touch($1); END $$;
"""
SECRETS = ("planted", "known1", "4242", "5555555555554444", "123-45-6", "DE8937", "9018", "AKIA", "eyJ", "MIIplanted", "domain1", "array1",
           "Ploni", "Hauptstrasse", "49170", "12345000", "json1", "person1", "key1", "askey", "buried", "odd1", "umlaut1", "part1", "big3",
           "other1", "policy1", "cast@", "@example", "1990-")  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with DemoDatabase(settings={"track_functions": "all"}) as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            for sql in (PLANTED, NEAR_MISSES, HOSTILE):
                connection.execute(sql)
        superuser = f"postgresql://postgres@/shop?host={server.folder}&port={server.port}"
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE t_closed (email text); CREATE TABLE t_half (id int, email text); GRANT SELECT (id) ON t_half TO app"
            )
        yield server


@pytest.fixture(scope="module")
def run(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("discover")
    (folder / "policies").mkdir()
    (folder / "policies" / "own.yaml").write_text(POLICY)
    (folder / "countersign.yaml").write_text(CONFIG.format(port=server.port))
    environment = os.environ | {"SHOP_PASSWORD": server.password}

    def run(*words, code=0):
        done = subprocess.run([PROGRAM, *words], text=True, capture_output=True, cwd=folder, env=environment, timeout=100)
        assert done.returncode == code, done.stderr
        return done

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def found(run):
    return json.loads(run("masking", "discover", "shop", "--json").stdout)


def proposals(found):
    return {(p["schema"], p["table"], p["column"], p["path"]): p for p in found["proposals"]}


def kinds(found):
    return {
        (table, column): p["kind"]
        for (schema, table, column, path), p in proposals(found).items()
        if schema == "public" and not path
    }


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("t_email", "v", "email"),
        ("t_card", "v", "payment_card"),
        ("t_card", "as_number", "payment_card"),
        ("t_ssn", "v", "us_ssn"),
        ("t_iban", "v", "iban"),
        ("t_phone", "v", "phone"),
        ("t_aws", "v", "aws_key"),
        ("t_jwt", "v", "jwt"),
        ("t_pem", "v", "private_key"),
        ("t_domain", "v", "email"),
        ("t_domain", "many", "email"),
        ("t_named", "first_name", "person_name"),
        ("t_named", "dateOfBirth", "date_of_birth"),
        ("t_named", "password", "password"),
        ("t_named", "home_address", "address"),
        ("t_named", "phone", "phone"),
        ("t_named", "session_token", "secret"),
        ("t_named", "SSN", "us_ssn"),
        ("t_empty", "email", "email"),
        ("d_array", "v", "email"),
        ("t_parts", "v", "email"),
        ("t_big", "v", "email"),
        ("stored", "v", "email"),
        ("odd.n*me", 'we"ird\ncolumn', "email"),
        ("odd.n*me", "ümlaut.[x]", "email"),
    ],
)
def test_what_is_planted_is_proposed(found, table, column, kind):
    assert kinds(found)[table, column] == kind


def test_near_misses_are_not_proposed(found):
    assert not [name for name in proposals(found) if name[1].startswith("n_")]
    assert not [mention for mention in found["mentions"] if ".n_" in mention["column"]]


def test_the_evidence_is_counts_and_shares(found):
    email = proposals(found)["public", "t_email", "v", ""]
    assert (email["values"], email["found"], email["filled"], email["share"], email["named"]) == (40, {"email": 40}, 40, 1.0, False)
    big = proposals(found)["public", "t_big", "v", ""]
    assert 0.3 < big["share"] < 0.99, "the sample comes from all over the table"
    assert big["values"] <= 1000


def test_what_lies_within_json_is_named_by_its_path_unless_the_path_is_data(found):
    paths = {(column, path): p["kind"] for (_, table, column, path), p in proposals(found).items() if table == "t_json"}
    assert paths == {
        ("doc", "$.user.email"): "email",
        ("doc", "$.items[*].card"): "payment_card",
        ("by_person", ""): "email",
        ("mixed", ""): "email",
    }


def test_what_lies_here_and_there_within_texts_becomes_a_content_rule(found):
    assert {"column": "public.t_notes.note", "detector": "email", "found": 20, "values": 100} in found["mentions"]
    assert ("t_notes", "note") not in kinds(found)
    assert next(rule for rule in found["masking"] if rule["name"] == "shop-content")["detect"] == ["email"]


def test_what_is_masked_already_is_not_proposed_again(found):
    assert {"column": "public.t_known.email", "path": "", "rule": "known"} in found["already_masked"]
    assert ("t_known", "email") not in kinds(found)


def test_what_could_not_be_read_is_told(found):
    not_read = {entry["name"]: entry["reason"] for entry in found["not_read"]}
    assert "has no right" in not_read["public.t_closed.email"]
    assert "has no right" in not_read["public.t_half.email"]
    assert "row-level security" in not_read["public.h_policy"]
    assert "without data" in not_read["public.unstored"]


def test_no_code_of_users_own_runs(run, server, eventually):
    def calls(connection):
        connection.execute("SELECT pg_stat_clear_snapshot()")
        counted = (
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE funcname IN ('touch', 'h_text', 'h_array', 'left')"
        )
        return connection.execute(counted).fetchone()[0]

    found = json.loads(run("masking", "discover", "shop", "--json", "--schema", "public").stdout)
    assert not [name for name in proposals(found) if name[1].startswith("h_")]
    with psycopg.connect(server.uri, autocommit=True) as connection:
        assert calls(connection) == 0
        with psycopg.connect(server.uri, autocommit=True) as other:
            other.execute("SELECT email FROM h_view LIMIT 1")
        eventually(lambda: calls(connection), "a call that is counted, so that the count above means something")


def test_i5_no_value_is_told_anywhere(run):
    for words in ((), ("--json",), ("--min-share", "0.01"), ("--sample", "3")):
        done = run("masking", "discover", "shop", *words)
        told = done.stdout + done.stderr
        assert not [secret for secret in SECRETS if secret in told]
    kept = "".join(path.read_text() for path in run.folder.rglob("*") if path.is_file())
    assert not [secret for secret in SECRETS if secret in kept]


def test_what_is_printed_is_a_policy_that_check_accepts_and_that_masks(run, server, gateway_class):
    printed = run("masking", "discover", "shop", "--schema", "public").stdout
    assert "- public.t_email.v  # email in 40 of 40 values" in printed
    assert "- public.t_empty.email  # by its name; no value was seen" in printed
    assert "# already masked: public.t_known.email by rule" in printed
    (run.folder / "policies" / "found.yaml").write_text(printed)
    try:
        assert "sound" in run("check").stdout
        again = run("masking", "discover", "shop").stdout
        assert yaml.safe_load(again)["masking"][0] == {
            "name": "shop-email-2",
            "targets": ["shop"],
            "columns": ["other.t.v"],
            "operator": {"redact": {}},
        }
        assert "Nothing was found that is not masked already" in run("masking", "discover", "shop", "--schema", "public").stdout
        policy = (run.folder / "policies" / "found.yaml").read_text()
    finally:
        (run.folder / "policies" / "found.yaml").unlink()
    folder = run.folder / "gateway"
    folder.mkdir()
    gateway = gateway_class(folder, server.port, server.password, policy=policy)
    try:
        with gateway.connect() as connection:
            for sql in ("SELECT v FROM t_card", 'SELECT "we""ird\ncolumn" FROM "odd.n*me"', 'SELECT "ümlaut.[x]" FROM "odd.n*me"'):
                assert set(connection.execute(sql)) == {("[redacted]",)}
            ((document,),) = connection.execute("SELECT doc FROM t_json WHERE id = 1")
            assert document == {"user": {"email": "[redacted]", "age": 1}, "items": [{"card": "[redacted]"}]}
            shown = connection.execute("SELECT note FROM t_notes WHERE id = 5").fetchone()[0]
            assert "[redacted]" in shown and "@example" not in shown
            assert connection.execute("SELECT order_number FROM n_numbers ORDER BY 1 LIMIT 1").fetchone() == (4000000000000001,)
    finally:
        gateway.stop()


def test_only_the_schemas_that_are_wanted_are_looked_at(run):
    found = json.loads(run("masking", "discover", "shop", "--json", "--schema", "oth*").stdout)
    assert list(proposals(found)) == [("other", "t", "v", "")]
    assert found["tables_read"] == 1
    told = run("masking", "discover", "shop", "--schema", "none", code=1).stderr
    assert "there is no table in none; schemas with tables: other, public" in told


def test_a_locked_table_holds_up_nothing_but_itself(run, server):
    with psycopg.connect(server.uri) as connection:
        connection.execute("LOCK TABLE t_email IN ACCESS EXCLUSIVE MODE")
        found = json.loads(run("masking", "discover", "shop", "--json").stdout)
    assert {"name": "public.t_email", "reason": "it is locked (SQLSTATE 55P03)"} in found["not_read"]
    assert ("t_card", "v") in kinds(found)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("shpo",), 1, "there is no target 'shpo'; known: shop"),
        (("shop", "--database", "none"), 1, "there is no such database on the target (database 'none'"),
        (("shop", "--sample", "0"), 2, "--sample"),
        (("shop", "--min-share", "2"), 2, "--min-share"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(run, words, code, told):
    assert told in run("masking", "discover", *words, code=code).stderr


def test_wrong_credentials_are_not_shown(run):
    environment = os.environ | {"SHOP_PASSWORD": "wrong-and-secret"}
    done = subprocess.run([PROGRAM, "masking", "discover", "shop"], text=True, capture_output=True, cwd=run.folder, env=environment)
    assert done.returncode == 1
    assert "does not accept the gateway's credentials" in done.stderr
    assert "wrong-and-secret" not in done.stderr


def test_a_terminal_sees_how_far_it_is_and_the_rules_stay_clean(run, server, with_terminal):
    environment = os.environ | {"SHOP_PASSWORD": server.password, "TERM": "xterm"}
    printed, shown = with_terminal("masking", "discover", "shop", "--schema", "other", cwd=run.folder, env=environment)
    assert "tables" in shown and "1/1" in shown
    assert printed.startswith("# Proposed for target shop") and "\x1b" not in printed
