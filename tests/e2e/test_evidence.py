"""The audit log as an auditor has it: files, a public key, a checkpoint kept elsewhere."""

import base64
import json
import shutil
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from countersign.audit import LogKey


@pytest.fixture
def stopped(make_gateway):
    """A gateway that has done something, and has ended."""
    gateway = make_gateway()
    with gateway.connect() as connection:
        for number in range(5):
            connection.execute(f"SELECT {number}")
    gateway.stop()
    return gateway


def keep(gateway, name, *words):
    path = gateway.folder / name
    path.write_text(gateway.cli("audit", *words).stdout)
    return path


def test_a_log_is_signed_to_its_last_record_at_shutdown_and_verifies_without_gateway_and_configuration(stopped, tmp_path):
    found = stopped.json("audit", "verify")
    assert found["ok"] and found["signed"] == found["records"] > 10
    key = stopped.cli("audit", "key").stdout.strip()
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(stopped.folder / "countersign.db", elsewhere)
    said = stopped.cli("audit", "verify", "--store", str(elsewhere), "--key", key).stdout
    assert f"sound: {found['records']} records" in said and f"{found['signed']} of them" in said
    assert "no signature was checked" in stopped.cli("audit", "verify", "--store", str(elsewhere)).stdout


def test_i6_only_its_owner_may_read_the_key_and_no_command_prints_it(stopped):
    path = stopped.folder / "audit.key"
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    said = stopped.cli("audit", "key").stdout + stopped.cli("audit", "checkpoint").stdout + "".join(stopped.log)
    assert secret not in said and secret.split("+", 4)[4] not in said


def test_a_record_and_growth_are_proved_without_the_log(stopped):
    checkpoint = keep(stopped, "kept.checkpoint", "checkpoint")
    proof = keep(stopped, "one.tlog-proof", "prove", "3")
    assert "proved: record 3 is in the log" in stopped.cli("audit", "verify", "--proof", str(proof)).stdout
    stopped.start()
    with stopped.connect() as connection:
        connection.execute("SELECT 1")
    stopped.stop()
    growth = keep(stopped, "growth", "prove", "--checkpoint", str(checkpoint))
    said = stopped.cli("audit", "verify", "--proof", str(growth), "--checkpoint", str(checkpoint)).stdout
    assert "begins with the" in said
    assert stopped.cli("audit", "verify", "--checkpoint", str(checkpoint)).returncode == 0
    lines = proof.read_text().splitlines()
    lines[1] = "extra " + base64.b64encode(base64.b64decode(lines[1][6:]).replace(b"1", b"2")).decode()
    proof.write_text("\n".join(lines) + "\n")
    failed = stopped.cli("audit", "verify", "--proof", str(proof), ok=False)
    assert failed.returncode == 1 and "not in the log" in failed.stderr


def test_a_record_is_shown_and_proved_by_any_id_that_it_is_about(stopped):
    [command] = [record for record in stopped.audit("command") if record["body"]["command"]["text"] == "SELECT 3"]
    about = command["body"]["command_id"]
    assert [one["kind"] for one in stopped.json("audit", "show", about)] == ["command", "command.finished"]
    assert stopped.json("audit", "show", str(command["seq"])) == [command]
    assert command["hash"] in stopped.cli("audit", "show", str(command["seq"])).stdout
    for words, seq in [((about,), command["seq"]), ((about, "--kind", "command.finished"), None)]:
        said = stopped.cli("audit", "verify", "--proof", str(keep(stopped, "of-an-id", "prove", *words))).stdout
        assert about in said and (seq is None or f"proved: record {seq} is in the log" in said)
    assert "there is no record about cmd-none" in stopped.cli("audit", "prove", "cmd-none", ok=False).stderr
    assert "there is no record 99999" in stopped.cli("audit", "show", "99999", ok=False).stderr


def test_i8_a_gateway_does_not_go_on_with_a_log_that_does_not_fit_what_it_signed(stopped):
    with closing(sqlite3.connect(stopped.folder / "countersign.db", isolation_level=None)) as store:
        store.execute("DROP TRIGGER audit_batches_stay")
        store.execute("DELETE FROM audit_batches WHERE first_seq = (SELECT max(first_seq) FROM audit_batches)")
    failed = stopped.cli("serve", ok=False)
    assert failed.returncode == 1
    assert "were signed: it was cut off" in failed.stderr
    assert "it was cut off" in stopped.cli("audit", "verify", ok=False).stderr


def test_the_key_is_exchanged_and_every_key_checks_the_whole_log(stopped):
    old, kept = stopped.cli("audit", "key").stdout.strip(), stopped.folder / "old.key"
    was = (stopped.folder / "audit.key").read_text()
    new = stopped.cli("audit", "key", "rotate", "--keep-old", str(kept)).stdout.strip()
    assert new != old and stopped.cli("audit", "key").stdout.strip() == new
    assert kept.read_text() == was and kept.stat().st_mode & 0o777 == 0o600
    stopped.start()
    with stopped.connect() as connection:
        connection.execute("SELECT 1")
    refused = stopped.cli("audit", "key", "rotate", ok=False)
    assert refused.returncode == 1 and "another gateway is running" in refused.stderr
    stopped.stop()
    newest = stopped.cli("audit", "key", "rotate").stdout.strip()
    for key in (old, newest):
        said = stopped.cli("audit", "verify", "--key", key).stdout
        assert "sound: " in said and (f"is now {newest}" in said) == (key != newest)
    other = str(LogKey.generate(old.partition("+")[0]).verifier)
    assert "does not verify" in stopped.cli("audit", "verify", "--key", other, ok=False).stderr
    # The old key's file in the new one's place lets nothing through.
    (stopped.folder / "audit.key").write_text(was)
    assert "was not made with the key at hand" in stopped.cli("serve", ok=False).stderr


def test_i8_a_gateway_does_not_sign_with_another_key_than_before(stopped):
    (stopped.folder / "audit.key").write_text(LogKey.generate("another").text() + "\n")
    failed = stopped.cli("serve", ok=False)
    assert failed.returncode == 1
    assert "was not made with the key at hand" in failed.stderr


def test_a_store_of_the_older_layout_is_refused_in_words(make_gateway):
    gateway = make_gateway()
    gateway.stop()
    with closing(sqlite3.connect(gateway.folder / "countersign.db")) as store:
        store.execute("PRAGMA user_version = 1")
    failed = gateway.cli("serve", ok=False)
    assert failed.returncode == 1
    assert "it was made by another version of Countersign" in failed.stderr


def test_an_export_is_the_log_and_is_checked_with_the_checkpoints_alone(stopped, tmp_path):
    export = keep(stopped, "log.jsonl", "export")  # which is on record itself, and signed when the command is done
    checkpoints = keep(stopped, "all.checkpoints", "checkpoint", "--all")
    words = ("audit", "verify", "--export", str(export), "--checkpoint", str(checkpoints))
    found = stopped.json(*words)
    lines = export.read_text().splitlines()
    assert found["ok"] and found["records"] == found["signed"] == len(lines)
    kinds = [json.loads(line)["kind"] for line in lines]
    assert kinds.count("command") == 5
    at = kinds.index("command")
    for change in ("alter", "remove", "exchange", "cut"):
        changed = list(lines)
        if change == "alter":
            changed[at] = changed[at].replace("SELECT", "DELETE")
        elif change == "remove":
            del changed[at]
        elif change == "exchange":
            changed[at], changed[at + 1] = changed[at + 1], changed[at]
        else:
            del changed[-3:]
        export.write_text("".join(line + "\n" for line in changed))
        assert stopped.cli(*words, ok=False).returncode == 1


def test_the_log_is_searched_while_the_gateway_runs_and_exported_as_csv_and_ocsf(make_gateway):
    gateway = make_gateway()
    with gateway.connect() as connection:
        connection.execute("SELECT count(*) FROM orders")
        connection.execute("SELECT 'needle'")
    found = gateway.json("audit", "search", "--table", "orders", "--identity", "crew", "--effect", "read")
    assert [record["body"]["command"]["text"] for record in found] == ["SELECT count(*) FROM orders"]
    assert len(gateway.json("audit", "search", "--text", "NEEDLE")) == 1
    about = found[0]["body"]["command_id"]
    assert [record["kind"] for record in gateway.json("audit", "search", "--about", about)] == ["command.finished", "command"]
    events = [json.loads(line) for line in gateway.cli("audit", "export", "--format", "ocsf").stdout.splitlines()]
    assert "SELECT 'needle'" in [event["query_info"]["query_string"] for event in events if event["class_uid"] == 6005]
    assert gateway.cli("audit", "export", "--format", "csv").stdout.count("needle") >= 1


class WitnessServer:
    """A witness that says 500 until it is told otherwise."""

    def __init__(self):
        self.notes, self.refused, self.takes = [], 0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                if outer.takes:
                    outer.notes.append(body)
                else:
                    outer.refused += 1
                self.send_response(204 if outer.takes else 500)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret-token"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def witness():
    server = WitnessServer()
    yield server
    server.close()


def test_witnesses_get_every_checkpoint_though_one_is_down_for_a_while(stopped, witness, eventually):
    gateway = stopped
    with gateway.config.open("a") as config:
        config.write(f"audit: {{witness_file: kept/witness.notes, witness_url: {witness.url!r}}}\n")
    (gateway.folder / "kept").mkdir()
    gateway.start()
    eventually(lambda: witness.refused, "the webhook is tried")
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
    gateway.stop()
    assert "secret-token" not in "".join(gateway.log)
    assert any("delivery_failed" in line for line in gateway.log)
    witness.takes = True
    gateway.start()
    stored = gateway.cli("audit", "checkpoint", "--all").stdout
    eventually(lambda: len(witness.notes) >= 2, "the webhook gets what it missed")
    gateway.stop()
    everything = gateway.cli("audit", "checkpoint", "--all").stdout
    assert "\n".join(witness.notes) == everything and everything.startswith(stored)
    kept = gateway.folder / "kept" / "witness.notes"
    assert kept.read_text() == everything + "\n"
    assert gateway.cli("audit", "verify", "--checkpoint", str(kept)).returncode == 0
    with closing(sqlite3.connect(gateway.folder / "countersign.db", isolation_level=None)) as store:
        for table in ("audit_batches", "audit_checkpoints"):
            store.execute(f"DROP TRIGGER {table}_stay")
        last = store.execute("SELECT max(size) FROM audit_checkpoints").fetchone()[0]
        store.execute("DELETE FROM audit_checkpoints WHERE size = ?", (last,))
        store.execute("DELETE FROM audit_batches WHERE first_seq = (SELECT max(first_seq) FROM audit_batches)")
    assert gateway.cli("audit", "verify").returncode == 0
    failed = gateway.cli("audit", "verify", "--checkpoint", str(kept), ok=False)
    assert f"covers {last}: it was cut off" in failed.stderr


def test_old_bodies_are_forgotten_while_the_gateway_runs(stopped):
    stopped.start()  # which signs all that came before
    before = stopped.json("audit", "verify")["signed"]
    forgotten = int(stopped.cli("audit", "forget", "--days", "0", "--yes").stdout.split()[0])
    found = stopped.json("audit", "verify")
    assert found["ok"] and found["without_body"] == forgotten >= before > 10
    assert stopped.audit("audit.retention")[0]["body"]["up_to"] == forgotten
    assert not stopped.audit("command")
