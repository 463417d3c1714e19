"""What a held command would do is looked at again when it is approved: what has changed since is asked again, and not run."""

import itertools

import psycopg
import pytest

NUMBERS = itertools.count()


@pytest.fixture
def table(direct):
    """A table of the test's own: what was read of the catalog holds for a while."""
    name = f"drifting{next(NUMBERS)}"
    direct.execute(f"CREATE TABLE {name} (id int); INSERT INTO {name} VALUES (1)")
    direct.execute(f"CREATE TABLE victims_of_{name} (id int); INSERT INTO victims_of_{name} VALUES (1)")
    return name


@pytest.fixture
def trigger(direct, table):
    def trigger():
        body = f"BEGIN DELETE FROM victims_of_{table}; RETURN NULL; END"
        direct.execute(f"CREATE FUNCTION behind_{table}() RETURNS trigger LANGUAGE plpgsql AS '{body}'")
        direct.execute(f"CREATE TRIGGER later AFTER UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION behind_{table}()")

    return trigger


@pytest.mark.parametrize("parameters", [None, (2,)])
@pytest.mark.parametrize("autocommit", [True, False])
def test_i2_a_trigger_that_was_made_meanwhile_is_asked_about(
    gateway, in_background, eventually, direct, table, trigger, parameters, autocommit
):
    with gateway.connect(autocommit=autocommit) as connection:
        held = in_background(
            connection, f"UPDATE {table} SET id = 2" if parameters is None else f"UPDATE {table} SET id = %s", parameters
        )
        review = gateway.pending()
        assert "behind" not in str(review["command"]["statements"])
        trigger()
        gateway.cli("reviews", "approve", review["id"])
        again = eventually(lambda: (found := gateway.json("reviews", "list")) and found[0], "another review")
        assert again["id"] != review["id"] and "behind" in str(again["command"]["statements"])
        ended = gateway.review(review["id"])
        assert ended["state"] == "cancelled" and "has changed since it was shown" in ended["outcome"]
        assert held.rows == -1 and direct.execute(f"SELECT id FROM {table}").fetchone() == (1,)
        gateway.cli("reviews", "deny", again["id"], "--reason", "not with that")
        assert isinstance(held.join().error, psycopg.errors.InsufficientPrivilege)
        connection.rollback()
    assert direct.execute(f"SELECT count(*) FROM victims_of_{table}").fetchone() == (1,)


def test_what_is_approved_as_it_reads_then_is_run(gateway, in_background, eventually, direct, table, trigger):
    with gateway.connect() as connection:
        held = in_background(connection, f"UPDATE {table} SET id = 3")
        review = gateway.pending()
        trigger()
        gateway.cli("reviews", "approve", review["id"])
        again = eventually(lambda: (found := gateway.json("reviews", "list")) and found[0], "another review")
        gateway.cli("reviews", "approve", again["id"])
        assert held.join().rows == 1
    assert direct.execute(f"SELECT count(*) FROM victims_of_{table}").fetchone() == (0,)
    replayed = gateway.cli("replay", review["session_id"]).stdout
    assert replayed.count("held for review") >= 2


def test_what_reads_the_same_is_not_asked_again(gateway, in_background, direct, table):
    with gateway.connect() as connection:
        held = in_background(connection, f"UPDATE {table} SET id = 4")
        review = gateway.pending()
        direct.execute("CREATE TABLE of_no_concern (id int)")
        gateway.cli("reviews", "approve", review["id"])
        assert held.join().rows == 1
        assert gateway.json("reviews", "list") == []


def test_what_another_session_has_locked_may_be_another_thing_and_is_asked_about(gateway, in_background, eventually, direct, table):
    with gateway.connect() as connection:
        held = in_background(connection, f"UPDATE {table} SET id = 5")
        review = gateway.pending()
        with direct.transaction():
            direct.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            gateway.cli("reviews", "approve", review["id"])
            again = eventually(lambda: (found := gateway.json("reviews", "list")) and found[0], "another review")
        assert "unknown" in again["command"]["effects"] and held.rows == -1
        gateway.cli("reviews", "deny", again["id"], "--reason", "over")
        assert held.join().error is not None


def test_what_would_touch_far_more_rows_than_was_shown_is_asked_about(gateway, in_background, eventually, direct, table):
    direct.execute(f"ANALYZE {table}")
    with gateway.connect() as connection:
        held = in_background(connection, f"DELETE FROM {table} WHERE id > 0")
        review = gateway.pending()
        (shown,) = gateway.review(review["id"])["blast_radius"]["statements"]
        direct.execute(f"INSERT INTO {table} SELECT generate_series(1, 20000)")
        direct.execute(f"ANALYZE {table}")
        gateway.cli("reviews", "approve", review["id"])
        again = eventually(lambda: (found := gateway.json("reviews", "list")) and found[0], "another review")
        assert again["id"] != review["id"] and again["command"]["text"] == review["command"]["text"]
        (now,) = gateway.review(again["id"])["blast_radius"]["statements"]
        assert shown["rows"] < 1000 < 19_000 < now["rows"]
        assert "has changed since it was shown" in gateway.review(review["id"])["outcome"]
        gateway.cli("reviews", "approve", again["id"])
        assert held.join().rows == 20_001


def test_what_no_approval_binds_is_said(gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "DO $$ BEGIN PERFORM somewhere.something(); END $$")
        review = gateway.pending()
        told = gateway.cli("reviews", "show", review["id"]).stdout
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()
    assert "not bound what it sets going: DO runs code that is not read here" in told
