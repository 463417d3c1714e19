"""The gateway is killed with SIGKILL at any moment, 200 times: what the target executed is in the audit log, and the log verifies.

Several gateways, each with a store and a database of its own, are killed side by side. What they import is imported once, by a server
that forks them (``multiprocessing``'s), for that is nine tenths of a start; all that a start does with the store and the target is done
in every round.
"""

import contextlib
import http.client
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from countersign.audit import LogKey, record_of, verify
from countersign.demo.leash import Leash
from countersign.store import LogFile

ROUNDS = int(os.environ.get("COUNTERSIGN_KILL_ROUNDS", "200"))
"""How often gateways are killed, all together."""
SIDE_BY_SIDE = 4
START_S = 60.0
MOMENTS = ("start", "load", "load", "approvals", "checkpoint", "shutdown")
"""What goes on when the gateway is killed, in turn."""
RUN = """
import os, sys
from pathlib import Path
os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
os.environ["SHOP_PASSWORD"] = password
from countersign.cli.main import serve
serve(Path(config))
"""
HELD = "UPDATE held SET line = line || %s"


class Api(http.client.HTTPConnection):
    """The REST API as the owner of the files has it. Unlike httpx it leaves no socket open where a gateway is gone."""

    GONE = (OSError, http.client.HTTPException)

    def __init__(self, path):
        super().__init__("countersign", timeout=20)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise

    def ask(self, method, path, body=None):
        self.request(method, f"/api/v1/{path}", json.dumps(body or {}), {"Content-Type": "application/json"})
        with self.getresponse() as answer:
            return json.load(answer)


class Killed:
    """A gateway over the files of one that was made before; it runs in a process that ``kill`` ends at once."""

    def __init__(self, made, folder, context):
        shutil.copytree(made.folder, folder)
        self._context = context
        self.folder, self._key = folder, made.key
        self._log = folder / "killed.log"
        config = folder / made.config.name
        self._names = {"log": str(self._log), "config": str(config), "password": made.environment["SHOP_PASSWORD"]}

    def start(self):
        self._log.unlink(missing_ok=True)
        self.process = self._context.Process(target=exec, args=(RUN, dict(self._names)), daemon=True)
        self.process.start()
        self._leash = Leash(self.process.pid, "KILL")

    def wait_until_ready(self):
        end = time.monotonic() + START_S
        while "\nready\n" not in (said := self._log.read_text() if self._log.exists() else ""):
            assert self.process.is_alive() and time.monotonic() < end, said
            time.sleep(0.005)
        self._port = int(next(line for line in said.splitlines() if line.startswith("target shop")).rpartition(":")[2])

    def connect(self, database):
        return psycopg.connect(f"postgresql://crew:{self._key}@127.0.0.1:{self._port}/{database}", autocommit=True)

    def api(self):
        return Api(self.folder / "countersign.sock")

    def kill(self):
        self._leash.release()
        self.process.kill()
        self.process.join(20)
        assert self.process.exitcode is not None


class Load:
    """Clients that work until the gateway is gone. Every line is named nowhere else."""

    def __init__(self, gateway, database, name, *, approvals):
        self._gateway, self._database, self._name = gateway, database, name
        self._approvals = approvals
        self.answered: set[str] = set()
        self.is_under_way = threading.Event()
        work = [self._write, self._write, self._read, *([self._hold, self._approve] if approvals else [])]
        self._threads = [threading.Thread(target=self._run, args=(one, number), daemon=True) for number, one in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def _run(self, work, number):
        with contextlib.suppress(psycopg.Error, *Api.GONE):
            work(number)

    def _lines(self, number):
        return (f"{self._name}-{number}-{count}." for count in itertools.count())

    def _write(self, number):
        with self._gateway.connect(self._database) as connection:
            for count, line in enumerate(self._lines(number)):
                connection.execute("INSERT INTO log VALUES (%s)", [line], prepare=bool(count % 2))
                self.answered.add(line)
                if not self._approvals:
                    self.is_under_way.set()

    def _read(self, number):
        """What the session's lane carries, for its shape is always the same."""
        with self._gateway.connect(self._database) as connection:
            for line in self._lines(number):
                connection.execute(f"SELECT '{line}'")

    def _hold(self, number):
        with self._gateway.connect(self._database) as connection:
            for line in self._lines(number):
                connection.execute(HELD, [line])
                self.answered.add(line)
                self.is_under_way.set()

    def _approve(self, number):
        with contextlib.closing(self._gateway.api()) as api:
            while True:
                for review in api.ask("GET", "reviews?state=pending")["reviews"]:
                    api.ask("POST", f"reviews/{review['id']}/approve", {"digest": review["digest"]})

    def join(self):
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


class Course:
    """The rounds of one gateway, and what they came to."""

    def __init__(self, gateway, server, database, chance):
        self._gateway, self._server, self._database, self._chance = gateway, server, database, chance
        self._uri = server.uri.rpartition("/")[0] + f"/{database}"
        self._seen, self._answered = 0, set()
        self._recorded: set[str] = set()
        with psycopg.connect(self._uri, autocommit=True) as direct:
            direct.execute("CREATE TABLE log (line text); CREATE TABLE held AS SELECT '' AS line")

    def run(self, moments):
        for number, moment in enumerate(moments):
            self._gateway.start()
            if moment == "start":
                self._pause(0.4)
                self._gateway.kill()
            else:
                self._gateway.wait_until_ready()
                self._work(number, moment)
            self._check()
        return len(self._answered)

    def _work(self, number, moment):
        load = Load(self._gateway, self._database, f"line-{self._database}-{number}", approvals=moment == "approvals")
        assert load.is_under_way.wait(60), "no write ever ran"
        with contextlib.ExitStack() as stack:
            if moment == "checkpoint":
                signed = threading.Event()
                signing = threading.Thread(target=self._sign, args=(signed,), daemon=True)
                signing.start()
                stack.callback(signing.join, 30)
                assert signed.wait(60), "no checkpoint was ever made"
                self._pause(0.05)
            elif moment == "shutdown":
                self._gateway.process.terminate()
                self._pause(0.2)
            else:
                self._pause(0.25)
            self._gateway.kill()
        load.join()
        self._answered |= load.answered

    def _sign(self, signed):
        with contextlib.suppress(*Api.GONE), contextlib.closing(self._gateway.api()) as api:
            while True:
                assert api.ask("POST", "audit/checkpoint")["note"]
                signed.set()

    def _pause(self, most_s):
        threading.Event().wait(self._chance.random() * most_s)  # a moment as good as any other

    def _check(self):
        with psycopg.connect(self._uri, autocommit=True) as direct:
            end = time.monotonic() + 30
            while direct.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone() != (1,):
                assert time.monotonic() < end, "the target never noticed that its clients are gone"
            executed = {line for (line,) in direct.execute("SELECT line FROM log")}
            (held,) = direct.execute("SELECT line FROM held").fetchone()
            executed |= {f"{line}." for line in held.split(".")[:-1]}
        log = LogFile(self._gateway.folder / "countersign.db")
        found = verify(log, key=LogKey.parse((self._gateway.folder / "audit.key").read_text()).verifier)
        assert found.ok, found.problem
        for batch in log.batches(after=self._seen):
            for record in map(record_of, batch.lines):
                self._seen = record.seq
                if record.kind == "command":
                    self._recorded.update(parameter["shown"] for parameter in record.body["command"]["parameters"])
        assert executed <= self._recorded, f"ran without a record: {sorted(executed - self._recorded)[:5]}"
        assert self._answered <= executed, f"answered and gone: {sorted(self._answered - executed)[:5]}"


@pytest.fixture
def forking():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "countersign.app", "countersign.cli.main"])
    return context


@pytest.mark.timeout(max(240, ROUNDS * 4))
def test_i1_every_command_that_ran_is_on_record_after_kill_9_at_any_moment(make_gateway, database, forking, tmp_path):
    made = make_gateway()
    made.stop()
    courses, superuser = [], {"host": str(database.folder), "port": database.port, "user": "postgres", "dbname": "postgres"}
    for number in range(SIDE_BY_SIDE):
        name = f"killed_{number}"
        with psycopg.connect(**superuser, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER app")
        gateway = Killed(made, tmp_path / name, forking)
        courses.append(Course(gateway, database, name, random.Random(number)))
    turns = list(itertools.islice(itertools.cycle(MOMENTS), ROUNDS))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        answered = list(pool.map(lambda one: one[1].run(turns[one[0] :: SIDE_BY_SIDE]), enumerate(courses)))
    assert min(answered) > ROUNDS / SIDE_BY_SIDE  # there was a load
