"""Approvals that hold for more than one command, through a gateway."""

import psycopg
import pytest

POLICY = """
rules:
  - {name: agents, subjects: {names: [crew, other]}, effects: [write], action: review}
  - {name: never, when: "command.text.contains('forbidden')", action: deny}
  - name: two-people
    action: review
    when: "command.text.contains('by two')"
    review: {approvals: 2}
"""
SET = "UPDATE orders SET status = '{}' WHERE id = {}"


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password, policy=POLICY)
    yield running
    running.stop()


@pytest.fixture
def grant(gateway, in_background):
    """Have one command approved, and its shape granted."""
    made = []

    def grant(sql, *words, parameters=None, ok=True):
        with gateway.connect() as connection:
            held = in_background(connection, sql, parameters)
            review = gateway.pending()
            done = gateway.cli("reviews", "approve", review["id"], *words, ok=ok)
            if done.returncode:
                gateway.cli("reviews", "deny", review["id"], "--reason", "over")
            else:
                made.append(gateway.json("grants", "list")[0]["id"])
            held.join()
        return done if not ok else made[-1]

    yield grant
    for one in made:
        gateway.cli("grants", "revoke", one, ok=False)


def is_held(gateway, connection, in_background, sql, parameters=None):
    held = in_background(connection, sql, parameters)
    review = gateway.pending()
    gateway.cli("reviews", "deny", review["id"], "--reason", "held as it should be")
    error = held.join().error
    return isinstance(error, psycopg.errors.InsufficientPrivilege)


def test_a_grant_lets_its_shape_through_within_its_ranges_and_as_often_as_it_says(gateway, grant, in_background, direct):
    made = grant(SET.format("open", 1), "--for", "30m", "--times", "2", "--literal", "1=open|closed", "--literal", "2=1..50")
    with gateway.connect() as connection:
        assert connection.execute(SET.format("closed", 50)).rowcount == 1
        assert is_held(gateway, connection, in_background, SET.format("closed", 51))
        assert is_held(gateway, connection, in_background, SET.format("stolen", 2))
        assert is_held(gateway, connection, in_background, SET.format("open", 2) + " OR true")
        assert connection.execute(SET.format("open", 2)).rowcount == 1
        assert is_held(gateway, connection, in_background, SET.format("open", 3))
    assert direct.execute("SELECT status FROM orders WHERE id = 50").fetchone() == ("closed",)
    listed = gateway.cli("grants", "list", "--all").stdout
    assert "used 2 of 2" in listed and "⟨2⟩ a whole number from 1 to 50" in listed
    story = [record["body"] for record in gateway.audit("grant.used")]
    assert [body["used"] for body in story if body["grant_id"] == made] == [2, 1]
    commands = [record["body"] for record in gateway.audit("command") if record["body"].get("grant_id") == made]
    assert {body["command_id"] for body in commands} == {body["command_id"] for body in story if body["grant_id"] == made}
    assert all(body["verdict"] == "review" and body["rule"] == "agents" for body in commands)


def test_a_grant_covers_bound_parameters_as_it_covers_literals(gateway, grant, in_background):
    sql = "UPDATE orders SET status = %s WHERE id = %s"
    grant(sql, "--for", "30m", "--times", "5", "--literal", "2=1..9", parameters=("bound", 5))
    with gateway.connect() as connection:
        assert connection.execute(sql, ("bound", 9)).rowcount == 1
        assert is_held(gateway, connection, in_background, sql, ("bound", 10))
        assert is_held(gateway, connection, in_background, sql, ("other", 9))
        assert is_held(gateway, connection, in_background, SET.format("bound", 5))


def test_i4_a_revoked_grant_lets_nothing_through_any_more(gateway, grant, in_background):
    made = grant(SET.format("r", 1), "--for", "30m", "--times", "5")
    with gateway.connect() as connection:
        connection.execute(SET.format("r", 1))
        assert "was used 1 times" in gateway.cli("grants", "revoke", made[:8]).stdout
        assert is_held(gateway, connection, in_background, SET.format("r", 1))
    again = gateway.cli("grants", "revoke", made, ok=False)
    assert again.returncode == 1 and "revoked before" in again.stderr


def test_i2_a_grant_is_for_one_identity_and_one_way_of_finding_names(gateway, grant, in_background):
    grant(SET.format("own", 1), "--for", "30m", "--times", "9", "--literal", "2=any")
    other = gateway.cli("keys", "create", "other").stdout.strip()
    with psycopg.connect(gateway.uri(key=other, user="other"), autocommit=True) as connection:
        assert is_held(gateway, connection, in_background, SET.format("own", 1))
    with gateway.connect(options="-c datestyle=German") as connection:
        assert is_held(gateway, connection, in_background, SET.format("own", 1))
    with gateway.connect() as connection:
        held = in_background(connection, "SELECT set_config('search_path', 'public, pg_catalog', false)")
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        assert held.join().error is None
        assert is_held(gateway, connection, in_background, SET.format("own", 1))
    with gateway.connect() as connection:
        assert connection.execute(SET.format("own", 2)).rowcount == 1


def test_i3_what_is_put_behind_a_name_later_makes_another_command_of_it(gateway, grant, in_background, direct):
    grant("DELETE FROM log WHERE line = 'x'", "--for", "30m", "--times", "9")
    with gateway.connect() as connection:
        connection.execute("DELETE FROM log WHERE line = 'x'")
        direct.execute("CREATE FUNCTION behind() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; RETURN NULL; END'")
        direct.execute("CREATE TRIGGER later AFTER DELETE ON log FOR EACH STATEMENT EXECUTE FUNCTION behind()")
    try:
        gateway.stop(), gateway.start()  # what others change is seen within ten seconds; a gateway that begins sees it at once
        with gateway.connect() as connection:
            assert is_held(gateway, connection, in_background, "DELETE FROM log WHERE line = 'x'")
    finally:
        direct.execute("DROP TRIGGER later ON log; DROP FUNCTION behind()")


def test_a_denial_beats_a_grant_and_another_rule_is_not_passed(gateway, grant, in_background):
    grant(SET.format("fine", 1), "--for", "30m", "--times", "9", "--literal", "1=any")
    with gateway.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(SET.format("forbidden", 1))


@pytest.mark.parametrize(
    ("sql", "words", "told"),
    [
        ("CREATE TABLE ungranted (id int)", ["--for", "1h"], "only plain reads and writes"),
        ("DELETE FROM log /* by two */", ["--for", "1h"], "only plain reads and writes"),
        ("SELECT 'by two'", ["--for", "1h"], "takes more than one approval"),
        (SET.format("a", 1), ["--for", "8d"], "7 days at most"),
        (SET.format("a", 1), ["--for", "1h", "--times", "0"], "greater than or equal to 1"),
        (SET.format("a", 1), ["--for", "1h", "--literal", "3=any"], "has no literal 3"),
        (SET.format("a", 1), ["--for", "1h", "--literal", "2=5..1"], "is empty"),
        (SET.format("a", 1), ["--for", "soon"], "a duration such as"),
        (SET.format("a", 1), ["--times", "3"], "go with --for"),
        (SET.format("a", 1), ["--for", "1h", "--literal", "x"], "such as 2=1..100"),
    ],
)
def test_what_cannot_be_granted_is_refused_in_words_and_approves_nothing(grant, gateway, sql, words, told):
    refused = grant(sql, *words, ok=False)
    assert refused.returncode in (1, 2) and told in " ".join(refused.stderr.split())
    assert "denied" in gateway.cli("reviews", "list", "--all").stdout.splitlines()[1]
