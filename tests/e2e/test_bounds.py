"""Approvals for at most so many rows: what changes more is undone, whichever way it was sent, and says so in an ordinary error."""

import threading

import psycopg
import pytest

TOO_MANY = "undone: it changed 30 rows, and was approved for at most 29"


@pytest.fixture(scope="module", autouse=True)
def rows(database):
    with psycopg.connect(database.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE counted (id int PRIMARY KEY, n int)")
        connection.execute("INSERT INTO counted SELECT i, 0 FROM generate_series(1, 30) i")
        connection.execute("CREATE TABLE parents (id int PRIMARY KEY)")
        connection.execute("CREATE TABLE children (id int REFERENCES parents ON DELETE CASCADE)")


def approve(gateway, bound):
    review = gateway.pending()
    gateway.cli("reviews", "approve", review["id"], "--at-most-rows", str(bound))
    return review["id"]


class Approving:
    """Approves the next held command, while the test runs it."""

    def __init__(self, gateway, bound):
        self._thread = threading.Thread(target=approve, args=(gateway, bound))

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join(30)


def total(direct):
    return direct.execute("SELECT sum(n) FROM counted").fetchone()[0]


@pytest.fixture
def zero(direct):
    direct.execute("UPDATE counted SET n = 0")


@pytest.fixture(params=["simple", "extended", "prepared"])
def run(request):
    def run(connection, sql, parameters=()):
        if request.param == "simple":
            return psycopg.ClientCursor(connection).execute(sql, parameters).rowcount
        return connection.execute(sql, parameters, prepare=request.param == "prepared").rowcount

    return run


def test_what_is_within_its_bound_is_committed_and_what_is_beyond_is_undone(gateway, run, direct, zero):
    with gateway.connect() as connection:
        with Approving(gateway, 30):
            assert run(connection, "UPDATE counted SET n = n + %s", (1,)) == 30
        assert total(direct) == 30
        with Approving(gateway, 29), pytest.raises(psycopg.errors.InsufficientPrivilege, match=TOO_MANY):
            run(connection, "UPDATE counted SET n = n + %s", (1,))
        assert total(direct) == 30
        assert connection.execute("SELECT count(*) FROM counted").fetchone() == (30,)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_within_a_transaction_the_error_fails_it_and_nothing_of_it_can_be_committed(gateway, run, direct, zero):
    with gateway.connect(autocommit=False) as connection:
        connection.execute("SELECT count(*) FROM counted")
        with Approving(gateway, 29), pytest.raises(psycopg.errors.InsufficientPrivilege, match=TOO_MANY):
            run(connection, "UPDATE counted SET n = n + %s", (1,))
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.execute("COMMIT")  # the server makes a ROLLBACK of it
    assert total(direct) == 0


def test_a_savepoint_of_the_clients_brings_it_back_to_before(gateway, run, direct, zero):
    with gateway.connect(autocommit=False) as connection:
        with Approving(gateway, 1):
            run(connection, "UPDATE counted SET n = 5 WHERE id = 1")
        with Approving(gateway, 29), pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            run(connection, "UPDATE counted SET n = n + 1")
        connection.commit()
    assert total(direct) == 5


def test_nothing_that_is_pipelined_behind_it_gets_past_the_count(gateway, direct, zero):
    with gateway.connect() as connection:
        with Approving(gateway, 29), pytest.raises(psycopg.errors.InsufficientPrivilege, match=TOO_MANY), connection.pipeline():
            connection.execute("UPDATE counted SET n = n + 1")
            connection.execute("SELECT 1")
        assert total(direct) == 0
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_error_of_the_target_is_the_clients_and_the_session_goes_on(gateway, run, direct, zero):
    with gateway.connect() as connection:
        with Approving(gateway, 5), pytest.raises(psycopg.errors.UniqueViolation):
            run(connection, "INSERT INTO counted VALUES (%s, 0)", (1,))
        with Approving(gateway, 5):
            assert run(connection, "DELETE FROM counted WHERE id = %s", (-1,)) == 0
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_became_of_it_is_on_record(gateway, direct, zero, eventually):
    approved = []
    with gateway.connect() as connection:
        thread = threading.Thread(target=lambda: approved.append(approve(gateway, 29)))
        thread.start()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE counted SET n = n + 1")
        thread.join(30)
    (review_id,) = approved
    review = eventually(lambda: (found := gateway.review(review_id))["state"] == "failed" and found, "the outcome")
    assert TOO_MANY in review["outcome"]
    story = gateway.json("audit", "story", review_id)
    finished = next(one["body"] for one in story if one["kind"] == "command.finished")
    assert (finished["ok"], finished["error_code"]) == (False, "42501")
    assert next(one["body"]["at_most_rows"] for one in story if one["kind"] == "review.decision") == 29


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM counted RETURNING id", "WITH or RETURNING"),
        ("WITH gone AS (DELETE FROM counted RETURNING id) UPDATE counted SET n = 1", "WITH or RETURNING"),
        ("UPDATE counted SET n = 1; DELETE FROM counted", "a single INSERT, UPDATE, DELETE or MERGE"),
        ("DELETE FROM parents", "it changes more than the rows of one table"),
        ("CREATE TABLE uncounted (id int)", "a single INSERT, UPDATE, DELETE or MERGE"),
        ("DO 'BEGIN DELETE FROM counted; END'", "a single INSERT, UPDATE, DELETE or MERGE"),
        ("COPY counted FROM STDIN", "the server does not count the rows of COPY"),
    ],
)
def test_what_the_server_does_not_count_cannot_be_bounded(gateway, in_background, sql, told):
    with gateway.connect() as connection:
        held = in_background(connection, sql)
        review = gateway.pending()
        refused = gateway.cli("reviews", "approve", review["id"], "--at-most-rows", "5", ok=False)
        assert refused.returncode == 1 and told in " ".join(refused.stderr.split())
        gateway.cli("reviews", "deny", review["id"], "--reason", "over")
        held.join()


def test_a_bound_and_a_grant_do_not_go_together(gateway):
    refused = gateway.cli("reviews", "approve", "rv-1", "--at-most-rows", "5", "--for", "1h", ok=False)
    assert refused.returncode == 2 and "no bound on rows" in " ".join(refused.stderr.split())
