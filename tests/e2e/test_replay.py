"""Replay: speed, seek, search, following a live session, keys on a terminal, exports, and pages of the API."""

import json
import os
import pty
import subprocess
import threading
import time

import httpx
import pytest

POLICY = "rules:\n  - {name: all, effects: [read, session, write], action: allow}\n"


@pytest.fixture
def recorded(make_gateway, eventually):
    """A gateway and the id of a session of it with three commands, a second behind the first."""
    gateway = make_gateway(policy=POLICY)
    with gateway.connect() as connection:
        connection.execute("SELECT 'the first'")
        time.sleep(1.3)  # a pause of the agent's, to be recorded
        connection.execute("SELECT 'the Second\x1b[2J'")
        connection.execute("SELECT 'the third'")
    session = gateway.json("sessions", "list")[0]["id"]
    eventually(lambda: "closed: " in gateway.cli("replay", session).stdout, "the whole recording")
    return gateway, session


def test_replay_begins_where_one_says_and_finds_what_one_looks_for(recorded):
    gateway, session = recorded
    later = gateway.cli("replay", session, "--from", "00:01").stdout
    assert "the Second" in later and "=> SELECT 'the first'" not in later and "\x1b" not in later
    found = gateway.cli("replay", session, "--search", "THE SECOND").stdout
    assert "command: SELECT 'the Second" in found and "rows: the Second" in found and "the third" in found
    none = gateway.cli("replay", session, "--search", "the fourth", ok=False)
    assert (none.returncode, none.stdout) == (1, "") and "nothing in the recording" in none.stderr
    wrong = gateway.cli("replay", session, "--from", "soon", ok=False)
    assert wrong.returncode == 2 and "mm:ss" in wrong.stderr


def test_replay_prints_an_event_a_line(recorded):
    gateway, session = recorded
    events = [json.loads(line) for line in gateway.cli("replay", session, "--json").stdout.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("session", "closed")
    hits = [json.loads(line) for line in gateway.cli("replay", session, "--json", "--search", "third").stdout.splitlines()]
    assert [event["type"] for event in hits[:1]] == ["command"]


def test_replay_keeps_the_pace_and_shortens_pauses(recorded):
    gateway, session = recorded
    took = []
    for words in (["--speed", "1"], ["--speed", "1", "--idle-limit", "0.01"]):
        began = time.monotonic()
        gateway.cli("replay", session, *words)
        took.append(time.monotonic() - began)
    assert took[0] > 1.2 and took[0] - took[1] > 0.8


def test_exports_are_new_files_that_the_owner_alone_may_read(recorded, tmp_path):
    gateway, session = recorded
    for name, words, begins in (
        ("one.cast", [], '{"version": 2,'),
        ("two.cast", ["--format", "asciicast-v3"], '{"version": 3,'),
        ("three.html", [], "<!doctype html>"),
    ):
        file = tmp_path / name
        gateway.cli("replay", session, "--export", str(file), *words)
        assert file.read_text().startswith(begins) and "the third" in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600
    again = gateway.cli("replay", session, "--export", str(file), ok=False)
    assert again.returncode == 1 and "File exists" in again.stderr
    unknown = gateway.cli("replay", session, "--export", str(tmp_path / "four.mp4"), ok=False)
    assert unknown.returncode == 2 and not (tmp_path / "four.mp4").exists()


def test_a_damaged_recording_is_shown_up_to_the_damage_and_not_exported(recorded, tmp_path):
    gateway, session = recorded
    gateway.stop()
    file = gateway.folder / "recordings" / f"{session}.csrec"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    shown = gateway.cli("replay", session, ok=False)
    assert shown.returncode == 1 and f"recording {session}, chunk" in shown.stderr and "session se-" in shown.stdout
    gateway.cli("replay", session, "--export", str(tmp_path / "x.html"), ok=False)
    assert not (tmp_path / "x.html").exists()


def test_follow_shows_what_comes_and_ends_with_the_session(make_gateway, eventually):
    gateway = make_gateway(policy=POLICY)
    with gateway.connect() as connection:
        connection.execute("SELECT 'before'")
        session = gateway.json("sessions", "list")[0]["id"]
        eventually(lambda: "before" in gateway.cli("replay", session, ok=False).stdout, "the recording")
        shown = Shown(gateway, "replay", session, "--follow")
        eventually(lambda: "before" in shown.text, "what was")
        connection.execute("SELECT 'while it is followed'")
        eventually(lambda: "while it is followed" in shown.text, "what comes")
        assert shown.process.poll() is None
    assert shown.process.wait(20) == 0
    shown.close()
    assert "closed: " in shown.text


def test_keys_pause_step_and_end(recorded, eventually):
    gateway, session = recorded
    shown = Shown(gateway, "replay", session, "--speed", "0.01", "--idle-limit", "0")
    eventually(lambda: "the first" in shown.text, "the first command")
    shown.press(b" ")
    eventually(lambda: "paused" in shown.text, "the pause")
    shown.press(b"\x1b[C")
    eventually(lambda: "SELECT 'the Second" in shown.text, "the next command")
    assert "\x1b[2J" not in shown.text
    shown.press(b"q")
    assert shown.process.wait(20) == 0
    shown.close()


def test_a_key_steps_back(recorded, eventually):
    gateway, session = recorded
    shown = Shown(gateway, "replay", session, "--speed", "0.01", "--idle-limit", "0")
    try:
        eventually(lambda: "the first" in shown.text, "the first command")
        shown.press(b"\x1b[C ")  # to the next command, and to wait there
        eventually(lambda: "SELECT 'the Second" in shown.text and "paused" in shown.text, "the next command")
        shown.press(b"\x1b[D")
        eventually(lambda: shown.text.count("SELECT 'the first'") == 2, "the command before")
    finally:
        shown.process.kill()
        shown.process.wait(20)
        shown.close()


def test_the_api_gives_a_recording_in_pages_and_puts_every_look_on_record(recorded):
    gateway, session = recorded
    token = gateway.cli("login").stdout.strip().partition("token=")[2]
    path = f"/api/v1/sessions/{session}/recording"
    with httpx.Client(base_url=gateway.console, trust_env=False) as client:
        client.post("/api/v1/console-session", json={"token": token}, headers={"X-Countersign": "console"}).raise_for_status()
        told, after = [], ""
        while after is not None:
            page = client.get(path, params={"limit": 4, "after": after}).raise_for_status().json()
            told += page["events"]
            after = page["next"]
        assert told == [json.loads(line) for line in gateway.cli("replay", session, "--json").stdout.splitlines()]
        assert page["is_closed"] and page["problem"] is None and page["length_s"] >= told[-1]["t"] > 1.2
        assert sum(chunk["events"] for chunk in page["index"]) == len(told)
        assert client.get(path, params={"from": 1.0}).json()["events"][0]["t"] >= 1.0
        hits = client.get(f"{path}/search", params={"q": "THIRD"}).json()
        assert hits["is_whole"] and hits["hits"][0]["type"] == "command"
        for wrong in ({"limit": 0}, {"limit": 100_000}, {"after": "x"}, {"from": -1}, {"from": "nan"}):
            assert client.get(path, params=wrong).status_code == 422, wrong
        assert client.get("/api/v1/sessions/se-none/recording").status_code == 404
    looks = [record["body"]["query"] for record in gateway.audit("audit.accessed")]
    assert {"session_id": session, "q": "THIRD"} in looks and {"session_id": session, "limit": 1000, "start_s": 1.0} in looks


class Shown:
    """A command on a terminal of its own, and what it shows."""

    def __init__(self, gateway, *words):
        self._ours, theirs = pty.openpty()
        command = gateway.command(*words)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=gateway.environment, cwd=gateway.folder
        )
        os.close(theirs)
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while chunk := os.read(self._ours, 65536):
                self.text += chunk.decode(errors="replace")
        except OSError:  # what Linux says at the end of a terminal
            return

    def press(self, keys):
        os.write(self._ours, keys)

    def close(self):
        self._reader.join(20)
        os.close(self._ours)
