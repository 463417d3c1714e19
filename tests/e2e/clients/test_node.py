"""node-postgres: prepared statements, pg-cursor (which reads a portal piece by piece) and pg-copy-streams."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"


@pytest.fixture
def speak(twins, need_program):
    """Run one of ``node/dialogues.js`` with an address."""
    node = need_program("node")
    if not (FOLDER / "node_modules").is_dir():
        pytest.skip("node-postgres is missing: run `make tests/e2e/clients/node`, or `npm ci` in that folder")

    def run(name):
        def dialogue(address):
            done = subprocess.run(
                [node, "dialogues.js", name], cwd=FOLDER, env=address.environment, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr[-3000:]
            return json.loads(done.stdout)

        return dialogue

    return run


@pytest.fixture
def talk(twins, speak):
    """Hold one of the dialogues direct and through the gateway."""
    return lambda name, opaque=False: twins.same(speak(name), opaque=opaque)


def test_every_type_and_the_start(talk):
    said = talk("types")
    assert dict(said["statuses"])["application_name"] == "node test"
    assert said["found"][0]["rowCount"] == 3
    assert len(said["found"][0]["columns"]) == 51


def test_errors(talk):
    found = talk("errors")["found"]
    assert found[0]["code"] == "42703"
    assert [part["command"] for part in found[14]] == ["SELECT", "SELECT", "INSERT"]


def test_the_words_of_functions(talk):
    said = talk("functions", opaque=True)
    assert said["found"][2]["detail"] == "d"
    assert said["notices"][0]["hint"] == "cover your ears"


def test_prepared_statements(talk):
    found = talk("prepared")["found"]
    assert found[3]["rows"] == [{"label": "item 3", "twice": 6}]
    assert found[5]["code"] == "22012"
    assert found[-2]["rows"] == [{"word": "last"}]


def test_transactions(talk):
    assert talk("transactions")["found"][13]["rows"] == [{"i": 1}, {"i": 2}]


def test_cursors(talk):
    found = talk("cursors")["found"]
    assert found[0][0] == {"id": 6, "loud": "item 6!"}
    assert found[-1] == 3000 * 3001 // 2


def test_copies(talk):
    found = talk("copies")["found"]
    assert base64.b64decode(found[5]).startswith(b"PGCOPY")
    assert found[6] == 5000
    assert found[7]["where"] == 'COPY arrived, line 2, column i: "x"'


def test_notifications(talk):
    assert talk("notifications")["found"] == [["news", "one", True], ["news", "two", True]]


def test_cancelling(talk):
    cancelled, sleeping, limited = talk("cancelling")["found"]
    assert cancelled == [{"done": True}]
    assert sleeping["message"] == "canceling statement due to user request"
    assert limited["code"] == "57014"


def test_big_values(talk):
    assert talk("big")["found"] == [True, 3000000, 3000]


def test_a_pool(talk):
    assert talk("pool")["found"][29] == str(29 * 50)


def test_a_masked_table_is_masked(twins, speak):
    direct, through = (said["found"] for said in twins.both(speak("masked")))
    assert direct[0][0] == {"ssn": "123-45-6781"}
    assert through[0] == [{"ssn": "***-**-6781"}, {"ssn": "***-**-6782"}]
    assert through[1] == [[1, "***-**-6781", None, "write to [redacted]"], [2, "***-**-6782", None, "nothing here"]]
    assert "123-45" not in through[2]
    assert through[2].count("\n") == 2
