"""The gateway is killed with SIGKILL under load, again and again: what the target executed is in the audit log, and the log verifies."""

import os
import random
import threading
import time

import psycopg
import pytest

from countersign.audit import LogKey, record_of, verify
from countersign.store import LogFile

ROUNDS = int(os.environ.get("COUNTERSIGN_KILL_ROUNDS", "0"))
"""How many rounds; 0: as many as fit into ``BUDGET_S``."""
BUDGET_S = 25.0
AGENTS = 4


class Agent:
    """Writes lines, each one named nowhere else, until its connection breaks."""

    def __init__(self, gateway, name):
        self._connection = gateway.connect()
        self._name = name
        self.answered: list[str] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        number = 0
        try:
            while True:
                line = f"{self._name}-{number}"
                if number % 3:
                    self._connection.execute("INSERT INTO log VALUES (%s)", [line], prepare=bool(number % 2))
                    self.answered.append(line)
                else:
                    self._connection.execute(f"SELECT '{line}'")
                number += 1
        except psycopg.Error:
            self._connection.close()


@pytest.mark.timeout(max(120, ROUNDS * 20))
def test_i1_every_command_that_ran_is_on_record_after_kill_9_at_any_moment(make_gateway, direct, eventually):
    gateway = make_gateway()
    direct.execute("TRUNCATE log")
    chance, end, rounds, answered = random.Random(9), time.monotonic() + BUDGET_S, 0, set()
    while rounds < ROUNDS if ROUNDS else time.monotonic() < end or rounds < 3:
        agents = [Agent(gateway, f"line-{rounds}-{number}") for number in range(AGENTS)]
        eventually(lambda agents=agents: any(agent.answered for agent in agents), "an agent writes")
        threading.Event().wait(chance.random() * 0.3)  # a moment as good as any other
        gateway.kill()
        for agent in agents:
            agent.thread.join(20)
            assert not agent.thread.is_alive()
            answered.update(agent.answered)
        eventually(lambda: nobody_else(direct), "the target notices that its clients are gone")
        check(gateway, direct, answered)
        gateway.start()
        rounds += 1
    gateway.stop()
    check(gateway, direct, answered)


def nobody_else(direct):
    query = "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    return direct.execute(query).fetchone()[0]


def check(gateway, direct, answered):
    log = LogFile(gateway.folder / "countersign.db")
    key = LogKey.parse((gateway.folder / "audit.key").read_text())
    found = verify(log, key=key.verifier)
    assert found.ok, found.problem
    recorded = set()
    for batch in log.batches():
        for record in map(record_of, batch.lines):
            if record.kind == "command":
                recorded.update(parameter["shown"] for parameter in record.body["command"]["parameters"])
    executed = {line for (line,) in direct.execute("SELECT line FROM log")}
    assert executed <= recorded, f"ran without a record: {sorted(executed - recorded)[:5]}"
    assert answered <= executed
