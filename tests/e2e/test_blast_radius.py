"""What a reviewer is told of what a held command would touch, by a target that runs nothing of it, or takes it back."""

import contextlib
import json

import psycopg
import pytest

POLICY = """
rules:
  - {name: changes-wait, effects: [write], action: review}
  - {name: settings-are-free, when: "command.kinds == ['SET']", action: allow}
masking:
  - {name: ssn, columns: [public.customers.ssn]}
"""
EVERYTHING_WAITS = "rules:\n  - {name: all, when: 'true', action: review}\n"


@pytest.fixture(autouse=True)
def parcels(direct):
    """A hundred rows of this file's own: other tests have changed what all share."""
    direct.execute("CREATE TABLE parcels (id int PRIMARY KEY, status text)")
    direct.execute("INSERT INTO parcels SELECT i, 'open' FROM generate_series(1, 100) i")
    direct.execute("ANALYZE parcels")
    yield
    direct.execute("DROP TABLE parcels CASCADE")


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(policy=POLICY)


@pytest.fixture
def held(in_background):
    @contextlib.contextmanager
    def held(gateway, sql, parameters=None, connection=None):
        """The review of a command that is held meanwhile, and denied at the end."""
        crew = connection or gateway.connect()
        asking = in_background(crew, sql, parameters)
        review = gateway.pending()
        try:
            yield review
        finally:
            gateway.cli("reviews", "deny", review["id"], "--reason", "too many", ok=False)
            assert "too many" in str(asking.join().error)
            crew.close()

    return held


def reach(gateway, review):
    return gateway.json("reviews", "show", review["id"])["blast_radius"]


def refusal(gateway, review):
    refused = gateway.cli("reviews", "dry-run", review["id"], ok=False)
    assert refused.returncode == 1
    return refused.stderr


def test_a_held_command_is_estimated_and_then_counted_and_neither_runs_it(gateway, direct, held):
    with held(gateway, "DELETE FROM parcels WHERE id <= 40") as review:
        estimated = reach(gateway, review)
        (statement,) = estimated["statements"]
        assert not estimated["is_exact"] and statement["kind"] == "DELETE" and 35 <= statement["rows"] <= 45
        assert {one["relation"] for one in statement["touched"]} == {"parcels"}
        assert statement["touched"][0]["how"] == "Delete"
        counted = gateway.json("reviews", "dry-run", review["id"])
        assert counted["is_exact"] and [one["rows"] for one in counted["statements"]] == [40]
        assert "touches   exactly 40 rows (DELETE)" in gateway.cli("reviews", "dry-run", review["id"]).stdout
        assert direct.execute("SELECT count(*) FROM parcels").fetchone() == (100,)
    assert direct.execute("SELECT count(*) FROM parcels").fetchone() == (100,)


def test_i1_a_dry_run_is_on_record_before_it_begins_and_with_what_it_found(gateway, held):
    with held(gateway, "UPDATE parcels SET status = 'x' WHERE id IN (1, 2, 3)") as review:
        gateway.cli("reviews", "dry-run", review["id"])
        records = gateway.json("audit", "search", "--about", review["id"])
        before = next(record for record in records if record["kind"] == "review.dry_run")
        done = next(record for record in records if record["kind"] == "review.dry_run_done")
        assert before["seq"] < done["seq"]
        assert done["body"]["rows"] == [3] and done["body"]["by"] and done["body"]["digest"] == review["digest"]


@pytest.mark.parametrize("marker", ["%b", "%t"])
def test_parameters_count(gateway, held, marker):
    sql = f"UPDATE parcels SET status = {marker} WHERE id < {marker}"
    with held(gateway, sql, ("late", 8)) as review:
        assert reach(gateway, review)["statements"][0]["kind"] == "UPDATE"
        assert gateway.json("reviews", "dry-run", review["id"])["statements"][0]["rows"] == 7


def test_each_statement_of_a_text_counts(gateway, held):
    sql = "BEGIN; DELETE FROM parcels WHERE id = 1; SELECT 1; UPDATE parcels SET status = 'y' WHERE id < 4; COMMIT"
    with held(gateway, sql) as review:
        counted = gateway.json("reviews", "dry-run", review["id"])
        assert [(one["kind"], one["rows"]) for one in counted["statements"]] == [("DELETE", 1), ("SELECT", 1), ("UPDATE", 2)]


@pytest.mark.parametrize(
    ("setup", "undo", "sql", "why"),
    [
        ("", "", "DROP TABLE log", "plans no"),
        (
            "CREATE FUNCTION spy() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION spy()",
            "DELETE FROM parcels WHERE id = spy()",
            "not all that it can do is understood",
        ),
        (
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';"
            "CREATE TRIGGER noted BEFORE DELETE ON parcels FOR EACH ROW EXECUTE FUNCTION note()",
            "DROP FUNCTION note() CASCADE",
            "DELETE FROM parcels",
            "not all that it can do is understood",
        ),
        (
            "CREATE FUNCTION fits(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';"
            "CREATE DOMAIN fitting AS int CHECK (fits(VALUE)); CREATE TABLE of_domain (a fitting)",
            "DROP TABLE of_domain; DROP DOMAIN fitting; DROP FUNCTION fits",
            "INSERT INTO of_domain VALUES (1)",
            "not all that it can do is understood",
        ),
        ("", "", "EXPLAIN ANALYZE DELETE FROM parcels", "plans no"),
        ("", "", "DELETE FROM parcels WHERE id = pg_sleep(60)::text::int", "not all that it can do is understood"),
    ],
)
def test_what_cannot_be_planned_without_running_code_is_not_asked(make_gateway, direct, held, setup, undo, sql, why):
    if setup:
        direct.execute(setup)
    try:
        gateway = make_gateway(policy=EVERYTHING_WAITS)
        with held(gateway, sql) as review:
            assert why in reach(gateway, review)["problem"]
            assert why in refusal(gateway, review)
    finally:
        if undo:
            direct.execute(undo)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT setval('numbers', 500)",
        "SELECT pg_catalog.nextval('numbers')",
        "SELECT * FROM moving",
        "INSERT INTO moved (b) VALUES (1)",
        "SELECT pg_advisory_lock(5)",
    ],
)
def test_i4_what_no_rollback_takes_back_is_not_run_before_it_is_approved(make_gateway, direct, held, sql):
    direct.execute("CREATE SEQUENCE numbers; CREATE VIEW moving AS SELECT setval('numbers', 600)")
    direct.execute("CREATE TABLE moved (a bigint DEFAULT setval('numbers', 700) + nextval('numbers'), b int)")
    try:
        gateway = make_gateway(policy=EVERYTHING_WAITS)
        with held(gateway, sql) as review:
            assert "a rollback would not take it back" in refusal(gateway, review)
            assert direct.execute("SELECT last_value, is_called FROM numbers").fetchone() == (1, False)
    finally:
        direct.execute("DROP TABLE moved; DROP VIEW moving; DROP SEQUENCE numbers")


def test_an_insert_that_takes_numbers_by_default_is_counted(make_gateway, direct, held):
    direct.execute("CREATE TABLE numbered (a serial, b int)")
    try:
        gateway = make_gateway(policy=EVERYTHING_WAITS)
        with held(gateway, "INSERT INTO numbered (b) VALUES (1), (2)") as review:
            counted = gateway.json("reviews", "dry-run", review["id"])
            assert counted["statements"][0]["rows"] == 2 and any("sequence" in note for note in counted["notes"])
    finally:
        direct.execute("DROP TABLE numbered")


def test_what_was_put_behind_a_held_command_since_is_not_run(gateway, direct, held):
    with held(gateway, "INSERT INTO parcels VALUES (101, 'late')") as review:
        assert gateway.json("reviews", "dry-run", review["id"])["statements"][0]["rows"] == 1
        direct.execute("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        direct.execute("CREATE TRIGGER noted BEFORE INSERT ON parcels FOR EACH ROW EXECUTE FUNCTION note()")
        try:
            assert "the trigger noted of public.parcels runs" in refusal(gateway, review)
        finally:
            direct.execute("DROP FUNCTION note() CASCADE")


def test_i5_what_the_server_says_of_values_is_not_told(gateway, held):
    with held(gateway, "UPDATE customers SET id = ssn::int WHERE id = 7") as review:
        told = refusal(gateway, review)
        assert "SQLSTATE 22P02" in told and "123-45" not in told + json.dumps(reach(gateway, review))
    gateway.stop()
    assert "123-45-6717" not in gateway.everything_kept()


def test_what_only_the_session_sees_is_said(gateway, held):
    crew = gateway.connect(autocommit=False)
    crew.execute("SELECT count(*) FROM parcels")
    with held(gateway, "DELETE FROM parcels WHERE id = 1", connection=crew) as review:
        assert any("within a transaction" in note for note in reach(gateway, review)["notes"])


def test_a_moved_search_path_is_an_obstacle(gateway, held):
    crew = gateway.connect()
    crew.execute("SET search_path = public")
    with held(gateway, "DELETE FROM parcels WHERE id = 1", connection=crew) as review:
        assert "names mean" in reach(gateway, review)["problem"]


def test_locked_rows_are_not_waited_for(gateway, direct, held):
    with direct.transaction():
        direct.execute("SELECT FROM parcels WHERE id = 5 FOR UPDATE")
        with held(gateway, "DELETE FROM parcels WHERE id = 5") as review:
            assert "is locked" in refusal(gateway, review)


def test_a_role_of_its_own_sees_no_more_than_it_may(make_gateway, database, held):
    where = {"host": str(database.folder), "port": database.port, "user": "postgres", "dbname": "shop", "autocommit": True}
    with psycopg.connect(**where) as superuser:
        superuser.execute("CREATE ROLE previewer; GRANT previewer TO app; GRANT SELECT ON parcels TO previewer")
    try:
        gateway = make_gateway(policy=POLICY, target="previews: {role: previewer}")
        with held(gateway, "DELETE FROM parcels WHERE id = 5") as review:
            assert "has no right" in reach(gateway, review)["problem"]
    finally:
        with psycopg.connect(**where) as superuser:
            superuser.execute("DROP OWNED BY previewer; DROP ROLE previewer")


def test_previews_can_be_switched_off(make_gateway, held):
    gateway = make_gateway(policy=POLICY, target="previews: off")
    with held(gateway, "DELETE FROM parcels WHERE id = 5") as review:
        assert "this target is not asked" in reach(gateway, review)["problem"]
        assert "this target is not asked" in refusal(gateway, review)


def test_nothing_is_asked_for_what_is_decided(gateway, direct, in_background):
    with gateway.connect() as crew:
        asking = in_background(crew, "DELETE FROM parcels WHERE id = 1000")
        review = gateway.pending()
        gateway.cli("reviews", "approve", review["id"])
        asking.join()
        assert reach(gateway, review) is None
        assert "executed already" in refusal(gateway, review)


@pytest.fixture
def people(direct):
    direct.execute("CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, note text)")
    direct.execute("INSERT INTO people SELECT i, 'name ' || i, '123-45-678' || i, NULL FROM generate_series(1, 9) i")
    yield
    direct.execute("DROP TABLE people")


MASKED = POLICY.replace("[public.customers.ssn]", "[public.people.ssn]") + "  - {name: emails, detect: [email]}\n"


SAMPLES = [
    (
        "UPDATE people SET name = upper(name) WHERE id <= 7",
        5,
        {"before": ["1", "name 1", "[redacted]", None], "after": ["1", "NAME 1", "[redacted]", None]},
    ),
    ("DELETE FROM people p WHERE p.id = 2 -- gone", 1, {"before": ["2", "name 2", "[redacted]", None], "after": None}),
    (
        "INSERT INTO people VALUES (11, 'a@example.com', '1', '\u202e')",
        1,
        {"before": None, "after": ["11", "[redacted]", "[redacted]", "\\u202e"]},
    ),
    (
        "UPDATE people SET note = ssn, name = 'x' FROM generate_series(1, 1) WHERE id = 3;",
        1,
        {"before": ["3", "name 3", "[redacted]", None], "after": ["3", "x", "[redacted]", "[redacted]"]},
    ),
]


def test_i5_a_dry_run_shows_some_rows_masked_before_and_after(make_gateway, direct, people, held):
    gateway = make_gateway(policy=MASKED)
    for sql, rows, row in SAMPLES:
        with held(gateway, sql) as review:
            counted = gateway.json("reviews", "dry-run", review["id"])
            sample = counted["statements"][0]["sample"]
            assert sample["columns"] == ["id", "name", "ssn", "note"]
            assert len(sample["rows"]) == rows and sample["rows"][0] == row
            assert "123-45" not in json.dumps(counted)
    assert direct.execute("SELECT count(*), count(note), bool_and(name LIKE 'name%') FROM people").fetchone() == (9, 0, True)
    kept = gateway.everything_kept()
    assert "123-45" not in kept and "NAME 1" not in kept


def test_rows_that_cannot_be_shown_are_counted_all_the_same(gateway, direct, held):
    direct.execute("CREATE TABLE keyless (a int)")
    direct.execute("INSERT INTO keyless VALUES (1)")
    try:
        with held(gateway, "UPDATE keyless SET a = 2; DELETE FROM parcels WHERE id = 1 RETURNING id") as review:
            counted = gateway.json("reviews", "dry-run", review["id"])
            changed, deleted = counted["statements"]
            assert changed["sample"]["rows"] == [{"before": None, "after": ["2"]}] and changed["rows"] == 1
            assert deleted["sample"] is None and deleted["rows"] == 1
            assert any("primary key" in note for note in counted["notes"])
            assert any("RETURNING of its own" in note for note in counted["notes"])
    finally:
        direct.execute("DROP TABLE keyless")
