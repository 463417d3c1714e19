"""What a reviewer proposes instead of what they deny: it passes once, as it was written, and for nobody else."""

import psycopg
import pytest

POLICY = """
rules:
  - {name: never, when: "command.text.contains('forbidden')", action: deny, message: never ever}
masking:
  - {name: ssn, columns: [public.customers.ssn], operator: {redact: {}}}
"""
ASKED = "DELETE FROM orders WHERE id > 60"
INSTEAD = "DELETE FROM orders WHERE id = {}"


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password, policy=POLICY)
    yield running
    running.stop()


@pytest.fixture
def deny(gateway, in_background):
    def deny(connection, instead, ok=True):
        held = in_background(connection, ASKED)
        review = gateway.pending()
        done = gateway.cli("reviews", "deny", review["id"], "--reason", "too much", "--instead", instead, ok=ok)
        if done.returncode:
            gateway.cli("reviews", "deny", review["id"], "--reason", "over")
        error = held.join().error
        return done if not ok else (review["id"], error.diag.message_hint)

    return deny


def is_held(gateway, connection, in_background, sql, parameters=None):
    held = in_background(connection, sql, parameters)
    gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "held as it should be")
    return isinstance(held.join().error, psycopg.errors.InsufficientPrivilege)


@pytest.mark.parametrize("cursor", [psycopg.Cursor, psycopg.ClientCursor])
def test_it_is_in_the_hint_and_passes_once(gateway, deny, in_background, cursor):
    sql = INSTEAD.format(61 if cursor is psycopg.Cursor else 62)
    with gateway.connect() as connection:
        review_id, hint = deny(connection, sql)
        assert hint.endswith(f"instead, once, within 30 minutes: {sql}")
        assert is_held(gateway, connection, in_background, sql + " ")
        assert cursor(connection).execute(sql).rowcount == 1
        assert is_held(gateway, connection, in_background, sql)
    passed = [record["body"] for record in gateway.audit("command") if record["body"].get("proposed_in") == review_id]
    assert [body["command"]["text"] for body in passed] == [sql]
    assert next(r["body"]["proposal"] for r in gateway.audit("review.decision") if r["body"]["review_id"] == review_id) == sql


def test_i2_it_is_for_nobody_else_and_for_nothing_that_only_reads_alike(gateway, deny, in_background):
    other = gateway.cli("keys", "create", "other").stdout.strip()
    with gateway.connect() as connection:
        deny(connection, INSTEAD.format(63))
        with psycopg.connect(gateway.uri(key=other, user="other"), autocommit=True) as another:
            assert is_held(gateway, another, in_background, INSTEAD.format(63))
        assert is_held(gateway, connection, in_background, "DELETE FROM orders WHERE id = %s", (63,))
        held = in_background(connection, "SELECT set_config('search_path', 'public, pg_catalog', false)")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        held.join()
        assert is_held(gateway, connection, in_background, INSTEAD.format(63))
    with gateway.connect() as connection:
        assert connection.execute(INSTEAD.format(63)).rowcount == 1


def test_i3_what_is_put_behind_its_names_meanwhile_makes_another_command_of_it(gateway, deny, in_background, direct):
    with gateway.connect() as connection:
        deny(connection, "DELETE FROM log")
        direct.execute("CREATE FUNCTION behind() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; RETURN NULL; END'")
        direct.execute("CREATE TRIGGER later AFTER DELETE ON log FOR EACH STATEMENT EXECUTE FUNCTION behind()")
        held = in_background(connection, "CREATE TABLE makes_the_catalog_be_read_anew (id int)")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        held.join()
        assert is_held(gateway, connection, in_background, "DELETE FROM log")


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ("DELETE FROM orders /* forbidden */", "rule 'never' denies what you propose: never ever"),
        ("SELECT ssn FROM customers /* countersign: unmask */", "asks for real values of what is masked"),
        (ASKED, "that is what was asked for"),
        ("x" * 4001, "at most 4000 characters"),
    ],
)
def test_what_nobody_may_let_through_so_is_refused_and_denies_nothing(gateway, deny, instead, told):
    with gateway.connect() as connection:
        refused = deny(connection, instead, ok=False)
    assert refused.returncode == 1 and told in refused.stderr
