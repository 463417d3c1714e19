"""A store that is full, locked or gone, and a log that was changed: nothing goes on unrecorded, and everything goes on afterwards (I8)."""

import contextlib
import resource
import shutil
import sqlite3
from contextlib import closing

import psycopg
import pytest

FULL, UNAVAILABLE = "53100", "58030"


@contextlib.contextmanager
def little_room(gateway):
    """No file of the gateway may grow past what the store's log needs now: SQLite hears of an I/O error."""
    _, most = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
    now = (gateway.folder / "countersign.db-wal").stat().st_size  # recordings are shorter
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (now, most))
    try:
        yield
    finally:
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (most, most))


@contextlib.contextmanager
def locked(gateway):
    with closing(sqlite3.connect(gateway.folder / "countersign.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def gone(gateway):
    """The store's file is elsewhere for a while."""
    store = gateway.folder / "countersign.db"
    store.rename(store.with_name("moved.db"))
    try:
        yield
    finally:
        store.with_name("moved.db").rename(store)


def refused(connection, sql):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(sql)
    return caught.value


def until_refused(eventually, connection, sql):
    """Reads are handed to the writer: the first one after the failure may still be taken."""

    def ask():
        try:
            connection.execute(sql)
        except psycopg.Error as error:
            return error
        return None

    return eventually(ask, f"{sql} is refused")


def until_taken(eventually, connection, sql):
    def ask():
        with contextlib.suppress(psycopg.Error):
            return connection.execute(sql)

    return eventually(ask, f"{sql} is taken again")


@pytest.mark.parametrize("trouble", [little_room, locked, gone])
def test_i8_commands_are_refused_in_clear_words_and_the_session_goes_on_without_a_restart(make_gateway, eventually, trouble):
    gateway = make_gateway(policy="rules:\n  - {name: logs, effects: [read, write], action: allow}\n")
    with gateway.connect() as connection, gateway.connect() as reader:
        for number in range(20):  # by the lane
            reader.execute(f"SELECT {number}")
        with trouble(gateway):
            error = refused(connection, "INSERT INTO log VALUES ('unrecorded')")
            assert error.sqlstate == UNAVAILABLE
            assert "not run: the audit log cannot be written now" in str(error)
            assert str(gateway.folder) not in str(error) and "sqlite" not in str(error).lower()
            read = until_refused(eventually, reader, "SELECT 99")
            assert read.sqlstate == UNAVAILABLE and "the audit log cannot be written" in str(read)
            with pytest.raises(psycopg.OperationalError, match="cannot take sessions now: the audit log cannot be written"):
                gateway.connect()
            said = gateway.cli("keys", "create", "other", ok=False)
            assert said.returncode == 1 and "the audit log cannot be written" in said.stderr
        until_taken(eventually, connection, "INSERT INTO log VALUES ('recorded')")
        until_taken(eventually, reader, "SELECT 100")
    texts = [record["body"]["command"]["text"] for record in gateway.audit("command")]
    assert "SELECT 100" in texts and "INSERT INTO log VALUES ('recorded')" in texts
    gateway.stop()
    assert gateway.json("audit", "verify")["ok"]


def test_i8_a_decision_that_cannot_be_recorded_is_refused_and_the_command_stays_held(make_gateway, eventually, in_background):
    gateway = make_gateway()
    with gateway.connect() as connection:
        held = in_background(connection, "UPDATE orders SET status = 'x' WHERE id = 1")
        review = gateway.pending()
        with little_room(gateway):
            said = gateway.cli("reviews", "approve", review["id"], ok=False)
            assert said.returncode == 1 and "nothing was done: the audit log cannot be written" in said.stderr
            assert gateway.review(review["id"])["state"] == "pending"
            assert held.error is None and held.rows == -1
        eventually(lambda: gateway.cli("reviews", "approve", review["id"], ok=False).returncode == 0, "the decision is taken")
        assert held.join().error is None and held.rows == 1


@pytest.fixture
def small_disk(mount_disk):
    return mount_disk("2m")


def test_i8_a_full_disk_is_said_and_room_on_it_is_enough_to_go_on(make_gateway, eventually, small_disk):
    gateway = make_gateway()
    gateway.stop()
    for name in ("countersign.db", "audit.key"):
        shutil.copy(gateway.folder / name, small_disk)
    gateway.config.write_text(f"store: sqlite:///{small_disk}/countersign.db\n" + gateway.config.read_text())
    gateway.start()
    with gateway.connect() as connection:
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        long = f"SELECT '{'x' * 100_000}'"
        error = until_refused(eventually, connection, long)
        assert error.sqlstate == FULL and "its store is full" in str(error)
        ballast.unlink()
        until_taken(eventually, connection, "SELECT 1")
    gateway.stop()
    assert gateway.json("audit", "verify")["ok"]


def test_i8_a_log_that_was_changed_stops_everything_but_what_looks_at_it(make_gateway, eventually):
    gateway = make_gateway()
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
        gateway.cli("audit", "checkpoint", "--now")
        with closing(sqlite3.connect(gateway.folder / "countersign.db", isolation_level=None)) as store:
            for name in ("audit_batches_keep", "audit_checkpoints_keep"):
                store.execute(f"DROP TRIGGER {name}")
            store.execute("UPDATE audit_batches SET edge = zeroblob(length(edge))")
        connection.execute("SELECT 2")
        said = gateway.cli("audit", "checkpoint", "--now", ok=False)
        assert said.returncode == 1 and "does not fit what was signed" in said.stderr
        error = refused(connection, "SELECT 3")
        assert error.sqlstate == UNAVAILABLE and "the audit log is stopped" in str(error)
        with pytest.raises(psycopg.OperationalError, match="the audit log is stopped"):
            gateway.connect()
        assert gateway.audit("audit.distrusted")
    gateway.stop()
    assert any("log_distrusted" in line for line in gateway.log)
    assert "it was changed" in gateway.cli("serve", ok=False).stderr


def test_i8_without_its_key_a_log_that_was_signed_does_not_go_on_and_no_key_is_made(make_gateway):
    gateway = make_gateway()
    gateway.stop()
    key = gateway.folder / "audit.key"
    key.rename(key.with_name("kept.key"))
    failed = gateway.cli("serve", ok=False)
    assert failed.returncode == 1 and "put its file back" in failed.stderr
    assert not key.exists()
    key.with_name("kept.key").rename(key)
    gateway.start()
