"""Continuous exports of a real gateway: to a file, a collector of syslog, a webhook and object storage, while it is killed."""

import csv
import json
import random
import re
import socketserver
import sqlite3
import threading
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest

ROUNDS = 5
SECRET, TOKEN, PATH = "secret-of-the-hook-1f8", "token-of-the-hook-9c2", "path-of-the-hook-77d"


class Hook:
    """Keeps what it is sent, or answers with ``refuses``."""

    def __init__(self):
        self.refuses, self.lines, self.ids, self.attempts = 0, [], [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.attempts += 1
                if not outer.refuses:
                    outer.lines += json.loads(body) if body.startswith(b"[") else [json.loads(line) for line in body.splitlines()]
                    outer.ids.append(self.headers["webhook-id"])
                try:
                    self.send_response(outer.refuses or 200)
                    self.end_headers()
                except OSError:
                    pass  # the gateway was killed

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{PATH}"


class Collector:
    """Keeps whole frames (RFC 5425), and of a connection that breaks what was whole."""

    def __init__(self):
        self.messages = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    while (digit := self.rfile.read(1)).isdigit():
                        length = b""
                        while digit.isdigit():
                            length, digit = length + digit, self.rfile.read(1)
                        if len(message := self.rfile.read(int(length))) == int(length):
                            outer.messages.append(message)
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"syslog+tcp://127.0.0.1:{self.server.server_address[1]}"

    @property
    def seqs(self):
        return [int(re.search(rb'\[countersign@32473 seq="([0-9]+)"', message)[1]) for message in self.messages]


def serving(made):
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def hook():
    yield from serving(Hook())


@pytest.fixture
def collector():
    yield from serving(Collector())


@pytest.fixture
def exporting(make_gateway, object_server):
    """A gateway with these exports, given as they stand in the configuration."""

    def exporting(*exports, more=""):
        gateway = make_gateway()
        gateway.kill()
        gateway.environment |= dict(object_server.ENVIRONMENT) | {"HOOK_SECRET": SECRET, "HOOK_TOKEN": TOKEN}
        with gateway.config.open("a") as config:
            config.write(f"audit:\n  exports: {json.dumps(exports)}\n{more}")
        (gateway.folder / "exports").mkdir()
        gateway.start()
        return gateway

    return exporting


def at_s3(object_server, **more):
    return {"name": "lake", "to": "s3://evidence/audit", **object_server.settings, **more}


def at_hook(hook, **more):
    return {"name": "hook", "to": hook.url, "secret": "env:HOOK_SECRET", "authorization": "env:HOOK_TOKEN", **more}


AT_FILE = {"name": "disk", "to": "file://exports/log.jsonl"}


def log_of(gateway):
    with closing(sqlite3.connect(gateway.folder / "countersign.db")) as store:
        rows = store.execute("SELECT entries FROM audit_batches ORDER BY first_seq").fetchall()
    return [line for (entries,) in rows for line in entries.split(b"\n")]


def in_order_up_to_repeats(seqs, count):
    """Every number once at least, and none before those below it were there."""
    reached = 0
    for seq in seqs:
        assert seq <= reached + 1, f"{seq} came when {reached} was the last"
        reached = max(reached, seq)
    assert reached == count


def load(gateway, stop):
    try:
        with gateway.connect() as connection:
            number = 0
            while not stop.is_set():
                connection.execute("INSERT INTO log VALUES (%s)" if number % 2 else "SELECT %s::text", [f"line {number}"])
                number += 1
    except psycopg.Error:
        pass


@pytest.mark.timeout(240)
def test_every_record_reaches_every_sink_though_the_gateway_is_killed_again_and_again(
    exporting, hook, collector, object_server, eventually
):
    small = {"batch": 40}
    syslog = {"name": "siem", "to": collector.url, **small}
    gateway = exporting({**AT_FILE, **small}, syslog, at_hook(hook, **small), at_s3(object_server, **small))
    chance, stop = random.Random(3), threading.Event()
    for round_ in range(ROUNDS):
        agents = [threading.Thread(target=load, args=(gateway, stop)) for _ in range(3)]
        for agent in agents:
            agent.start()
        reached = hook.attempts
        eventually(lambda reached=reached: hook.attempts > reached + 1, "exports are under way")
        stop.wait(chance.random() * 0.5)  # a moment as good as any other
        if round_ < ROUNDS - 1:
            gateway.kill()
        else:
            stop.set()
        for agent in agents:
            agent.join(20)
        if round_ < ROUNDS - 1:
            gateway.start()
    gateway.stop()
    log = log_of(gateway)
    assert len(log) > 500
    numbers = [json.loads(line)["seq"] for line in log]
    assert numbers == list(range(1, len(log) + 1))
    kept = (gateway.folder / "exports" / "log.jsonl").read_bytes().splitlines()
    in_order_up_to_repeats([json.loads(line)["seq"] for line in kept], len(log))
    assert set(kept) == set(log)
    in_order_up_to_repeats([line["seq"] for line in hook.lines], len(log))
    in_order_up_to_repeats(collector.seqs, len(log))
    objects = object_server.objects("audit/")
    assert b"".join(objects.values()) == b"".join(line + b"\n" for line in log), "no record twice, for no object is"
    ends = [tuple(map(int, re.findall(r"[0-9]{20}", key))) for key in objects]
    assert all(before[1] + 1 == after[0] for before, after in zip(ends, ends[1:], strict=False))
    for status in gateway.json("audit", "exports"):
        assert (status["cursor"], status["lag_records"]) == (len(log), 0)


def test_who_is_down_holds_up_nobody_and_its_lag_is_seen_everywhere(exporting, hook, object_server, eventually):
    hook.refuses = 503
    gateway = exporting(AT_FILE, at_hook(hook), at_s3(object_server))
    with gateway.connect() as connection:
        connection.execute("SELECT 'while it is down'")
    exported = gateway.folder / "exports" / "log.jsonl"
    eventually(lambda: exported.exists() and b"while it is down" in exported.read_bytes(), "the file has it")
    eventually(lambda: any(b"while it is down" in body for body in object_server.objects().values()), "the object storage has it")

    def shown():
        with urllib.request.urlopen(f"{gateway.console}/healthz") as answer:
            found = {one["name"]: one for one in json.load(answer)["exports"]}
        return found if found["hook"]["state"] == "failing" and found["disk"]["lag_records"] == 0 else None

    health = eventually(shown, "the health page tells who fails")
    assert health["hook"]["lag_records"] > 3 and health["hook"]["lag_s"] > 0 and health["disk"]["state"] == "ok"
    by_name = {one["name"]: one for one in gateway.json("audit", "exports")}
    assert "it answers 503" in by_name["hook"]["last_error"] and by_name["hook"]["cursor"] == 0
    assert by_name["lake"]["place"] == "s3://evidence/audit"
    assert "failing" in gateway.cli("audit", "exports").stdout
    eventually(lambda: any("delivery_failed" in line and "lag_records" in line for line in gateway.log), "the gateway's own word")
    hook.refuses = 0
    eventually(lambda: any("while it is down" in json.dumps(line) for line in hook.lines), "it gets what it missed")
    in_order_up_to_repeats([line["seq"] for line in hook.lines], hook.lines[-1]["seq"])


def test_i6_a_refusal_is_loud_drops_nothing_and_no_secret_is_told(exporting, hook, object_server, eventually):
    hook.refuses = 400
    wrong = at_s3(object_server) | {"name": "nowhere", "to": "s3://no-such-bucket/x"}
    gateway = exporting(at_hook(hook), wrong)
    eventually(lambda: {one["state"] for one in gateway.json("audit", "exports")} == {"stuck", "failing"}, "both are seen")
    told = gateway.cli("audit", "exports").stdout + gateway.cli("audit", "exports", "--json").stdout
    gateway.stop()
    assert any("delivery_stuck" in line for line in gateway.log)
    hook.refuses = 0
    gateway.start()
    eventually(lambda: hook.lines, "it goes on")
    gateway.stop()
    in_order_up_to_repeats([line["seq"] for line in hook.lines], len(log_of(gateway)))
    for secret in (SECRET, TOKEN, PATH, *object_server.ENVIRONMENT.values()):
        kept = gateway.everything_kept().replace(gateway.config.read_text(), "")
        assert secret not in told + kept


def test_forms_and_filters_and_rotation(exporting, hook, object_server, eventually):
    gateway = exporting(
        {
            "name": "writes",
            "to": "file://exports/writes.csv",
            "format": "csv",
            "only": {"kinds": ["command"], "effects": ["write"]},
        },
        {"name": "small", "to": "file://exports/small.jsonl", "rotate": {"size": "1KiB", "keep": 3}, "batch": 1},
        at_hook(hook, format="ocsf", only={"kinds": ["command", "session.*"]}),
        at_s3(object_server, format="ocsf"),
        {"name": "new", "to": "file://exports/new.jsonl", "from": "now"},
    )
    with gateway.connect() as connection:
        for number in range(5):
            connection.execute(f"SELECT {number}")
        connection.execute("INSERT INTO log VALUES ('a\r\nb')")
    gateway.stop()
    log = [json.loads(line) for line in log_of(gateway)]
    exports = gateway.folder / "exports"
    with (exports / "writes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["INSERT INTO log VALUES ('a\r\nb')"]
    assert sorted(file.name for file in exports.glob("small*")) == [
        "small.jsonl",
        *(f"small.jsonl.{number}" for number in (1, 2, 3)),
    ]
    chosen = [one for one in log if one["kind"] == "command" or one["kind"].startswith("session.")]
    assert [event["metadata"]["sequence"] for event in hook.lines] == [one["seq"] for one in chosen]
    asked = [event for event in hook.lines if event["class_uid"] == 6005]
    assert all(event["src_endpoint"]["name"].startswith("127.0.0.1") for event in asked) and len(asked) == 6
    events = [json.loads(line) for body in object_server.objects().values() for line in body.splitlines()]
    printed = [json.loads(line) for line in gateway.cli("audit", "export", "--format", "ocsf").stdout.splitlines()]
    printed = [
        event for event in printed if event.get("activity_name") != "audit.accessed"
    ]  # our own looks, behind the gateway's end
    assert events == printed and [event["metadata"]["sequence"] for event in events] == [one["seq"] for one in log]
    new = [json.loads(line) for line in (exports / "new.jsonl").read_bytes().splitlines()]
    assert new[0]["seq"] > 1 and new[-1]["seq"] == len(log)


def test_checkpoints_are_published_to_object_storage_and_show_a_log_that_was_cut(exporting, object_server, tmp_path):
    witness = {"name": "vault", "to": "s3://evidence/checkpoints", **object_server.settings}
    gateway = exporting(more=f"  witnesses: {json.dumps([witness])}\n")
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
    gateway.stop()
    objects = object_server.objects("checkpoints/")
    assert "\n".join(body.decode() for body in objects.values()) == gateway.cli("audit", "checkpoint", "--all").stdout
    assert all(re.fullmatch(r"checkpoints/[0-9]{20}\.checkpoint", key) for key in objects)
    kept = tmp_path / "kept"
    kept.write_bytes(b"\n".join(objects.values()))
    assert gateway.cli("audit", "verify", "--checkpoint", str(kept)).returncode == 0
    with closing(sqlite3.connect(gateway.folder / "countersign.db", isolation_level=None)) as store:
        for table in ("audit_batches", "audit_checkpoints"):
            store.execute(f"DROP TRIGGER {table}_stay")
        store.execute("DELETE FROM audit_checkpoints WHERE size = (SELECT max(size) FROM audit_checkpoints)")
        store.execute("DELETE FROM audit_batches WHERE first_seq = (SELECT max(first_seq) FROM audit_batches)")
    assert gateway.cli("audit", "verify").returncode == 0
    assert "it was cut off" in gateway.cli("audit", "verify", "--checkpoint", str(kept), ok=False).stderr
    shown = gateway.json("audit", "exports")
    assert [(one["kind"], one["name"], one["place"]) for one in shown] == [("witness", "vault", "s3://evidence/checkpoints")]
