"""Recordings where they are kept: a folder or object storage, sealed, checked against the log, and what happens while nothing takes them."""

import base64
import contextlib
import json
import os
import sqlite3

import psycopg
import pytest

KEY = base64.b64encode(bytes(range(32))).decode()
POLICY = "rules:\n  - {name: all, effects: [read, session, write], action: allow}\n"


@pytest.fixture
def with_recordings(make_gateway):
    """A gateway whose recordings are kept as these settings say."""

    def make(settings, environment=None):
        gateway = make_gateway(policy=POLICY)
        gateway.stop()
        gateway.config.write_text(gateway.config.read_text() + f"recordings: {settings}\n")
        gateway.environment |= environment or {}
        gateway.start()
        return gateway

    return make


def whole(gateway, eventually):
    """The replay of the only session, once it is over. Until the first part of it is stored, replay says that there is none."""
    session = gateway.json("sessions", "list")[0]["id"]
    return eventually(
        lambda: "closed: " in (told := gateway.cli("replay", session, ok=False).stdout) and told, "the whole recording"
    )


def test_a_sealed_recording_replays_with_its_key_and_tells_nothing_without(with_recordings, eventually):
    gateway = with_recordings("{key: 'env:RECORDING_KEY'}", {"RECORDING_KEY": KEY})
    with gateway.connect() as connection:
        connection.execute("SELECT 'something only the agent knows'")
    assert "something only the agent knows" in whole(gateway, eventually)
    gateway.stop()
    (file,) = (gateway.folder / "recordings").iterdir()
    assert b"something" not in file.read_bytes() and file.stat().st_mode & 0o777 == 0o600
    assert gateway.cli("audit", "verify", "--recordings").returncode == 0
    # Another key now, and the one before among the older ones.
    other = base64.b64encode(bytes(32)).decode()
    gateway.config.write_text(gateway.config.read_text().replace("env:RECORDING_KEY'", "env:NEW_KEY'"))
    gateway.environment |= {"NEW_KEY": other}
    session = file.stem
    locked = gateway.cli("replay", session, ok=False)
    assert locked.returncode == 1 and "is not among those of the configuration" in locked.stderr
    text = gateway.config.read_text().replace("env:NEW_KEY'}", "env:NEW_KEY', older_keys: {first: 'env:RECORDING_KEY'}}")
    gateway.config.write_text(text)
    assert "something only the agent knows" in gateway.cli("replay", session).stdout


def test_recordings_in_object_storage_replay_and_wait_for_it(with_recordings, object_server, eventually):
    settings = ", ".join(f"{name}: '{value}'" for name, value in object_server.settings.items())
    gateway = with_recordings(f"{{url: 's3://evidence/sessions', {settings}}}", dict(object_server.ENVIRONMENT))
    with gateway.connect() as connection:
        connection.execute("SELECT 'before'")
        object_server.stop()
        connection.execute("SELECT 'while it is away'")
        eventually(lambda: any("recordings_not_stored" in line for line in gateway.log), "the outage to be noticed", 60)
        with pytest.raises(psycopg.OperationalError, match="recordings cannot be stored"):
            gateway.connect()
        object_server.start()
        connection.execute("SELECT 'again'")
    told = whole(gateway, eventually)
    assert "before" in told and "while it is away" in told and "again" in told
    gateway.connect().close()
    checked = gateway.cli("audit", "verify", "--recordings")
    assert "are as they were stored" in checked.stdout
    gateway.stop()
    assert object_server.ENVIRONMENT["S3_SECRET"] not in gateway.everything_kept()


@pytest.mark.parametrize("kept_in", ["a folder", "object storage"])
def test_old_recordings_are_removed_at_the_start_and_the_rest_verifies(with_recordings, object_server, eventually, kept_in):
    settings = {"keep": "90d"}
    if kept_in == "object storage":
        settings |= {"url": f"s3://evidence/{kept_in.replace(' ', '-')}", **object_server.settings}
    gateway = with_recordings(json.dumps(settings), dict(object_server.ENVIRONMENT))
    for number in range(2):
        with gateway.connect() as connection:
            connection.execute(f"SELECT 'number {number}'")
    gateway.stop()
    young, old = [one["id"] for one in gateway.json("sessions", "list")]
    with contextlib.closing(sqlite3.connect(gateway.folder / "countersign.db")) as store, store:
        store.execute("UPDATE sessions SET ended_at = '2020-01-01T00:00:00.000000Z' WHERE id = ?", (old,))
    gateway.start()
    eventually(lambda: gateway.cli("replay", old, ok=False).returncode == 1, "the old recording to be removed")
    assert "number 1" in gateway.cli("replay", young).stdout
    (removed,) = gateway.json("audit", "search", "--kind", "recording.removed")
    assert removed["body"] == {"session_id": old, "by": "retention"}
    gateway.stop()
    assert "of 1 are as they were stored" in gateway.cli("audit", "verify", "--recordings").stdout


def test_what_was_done_to_a_recording_is_named(with_recordings, eventually):
    gateway = with_recordings("file://recordings")
    for number in range(3):
        with gateway.connect() as connection:
            connection.execute(f"SELECT {number}")
    gateway.stop()
    assert "of 3 are as they were stored" in gateway.cli("audit", "verify", "--recordings").stdout
    one, two, three = sorted((gateway.folder / "recordings").iterdir())
    data = bytearray(one.read_bytes())
    data[-1] ^= 1
    one.write_bytes(data)
    two.unlink()
    three.rename(three.with_name("se-0000.csrec"))
    checked = gateway.cli("audit", "verify", "--recordings", ok=False)
    assert checked.returncode == 1
    for problem in (
        f"recording {one.stem}: chunk 0 is not what was stored",
        f"recording {two.stem}: it cannot be read: No such file or directory",
        f"recording {three.stem}: it cannot be read",
        "recording se-0000: nothing of it is on record",
    ):
        assert problem in checked.stderr
    damaged = gateway.cli("replay", one.stem, ok=False)
    assert damaged.returncode == 1 and f"recording {one.stem}, chunk 0" in damaged.stderr


@pytest.fixture
def small_disk(mount_disk):
    return mount_disk("256k")


def fill(folder):
    with contextlib.suppress(OSError), (folder / "ballast").open("wb") as ballast:
        while True:
            ballast.write(os.urandom(4096))
            ballast.flush()


def test_i8_a_full_disk_makes_sessions_wait_and_they_go_on_when_there_is_room(
    with_recordings, small_disk, eventually, in_background
):
    gateway = with_recordings(f"file://{small_disk}/recordings")
    with gateway.connect() as connection:
        connection.execute("SELECT 'before'")
        fill(small_disk)
        connection.execute("SELECT %s", [os.urandom(8192).hex()])  # what no compression makes small enough
        eventually(lambda: any("recordings_not_stored" in line for line in gateway.log), "the full disk to be noticed")
        waiting = in_background(connection, "INSERT INTO log VALUES ('waited for')")
        eventually(lambda: any("No space left on device; waiting" in one for one in waiting.notices), "the client to be told")
        with pytest.raises(psycopg.OperationalError, match="recordings cannot be stored: No space left on device"):
            gateway.connect()
        (small_disk / "ballast").unlink()
        assert waiting.join().rows == 1
        assert connection.execute("SELECT count(*) FROM log WHERE line = 'waited for'").fetchone() == (1,)
        connection.execute("DELETE FROM log")
    assert "waited for" in whole(gateway, eventually)
    assert "are as they were stored" in gateway.cli("audit", "verify", "--recordings").stdout


def test_i8_a_disk_that_stays_full_ends_the_session_and_runs_nothing(with_recordings, small_disk, eventually, direct):
    gateway = with_recordings(f"{{url: 'file://{small_disk}/recordings', pause_s: 1}}")
    with gateway.connect() as connection:
        for _ in range(4):
            connection.execute("SELECT 1")  # by the fast lane
        fill(small_disk)
        connection.execute("SELECT %s", [os.urandom(8192).hex()])
        eventually(lambda: any("recordings_not_stored" in line for line in gateway.log), "the full disk to be noticed")
        with pytest.raises(psycopg.OperationalError, match="cannot be stored: No space left on device") as caught:
            connection.execute("INSERT INTO log VALUES ('never')")
        assert caught.value.sqlstate == "58030"
    assert direct.execute("SELECT count(*) FROM log WHERE line = 'never'").fetchone() == (0,)


def test_a_kill_loses_two_seconds_at_most(with_recordings, eventually):
    gateway = with_recordings("file://recordings")
    with contextlib.closing(gateway.connect()) as connection:
        connection.execute("SELECT 'two seconds ago'")
        session = gateway.json("sessions", "list")[0]["id"]
        eventually(lambda: "two seconds ago" in gateway.cli("replay", session, ok=False).stdout, "the command to be stored", 2 + 4)
        gateway.kill()
        assert "two seconds ago" in gateway.cli("replay", session).stdout
    gateway.start()
    assert "two seconds ago" in gateway.cli("replay", session).stdout
