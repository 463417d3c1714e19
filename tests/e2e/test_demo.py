"""The demo, unattended, as a user would start it: a real crew, a real gateway, a real database."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROGRAM = str(Path(sys.executable).with_name("countersign"))


# What a shell may hold that is about other servers.
ELSEWHERE = {"PGSERVICE": "nosuch", "PGSSLMODE": "verify-full", "PGOPTIONS": "-c nosuch.setting", "PGHOST": "/nowhere"}
ELSEWHERE |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("decide", ["approve", "deny", "timeout"])
def test_the_story_goes_as_told_and_what_it_made_can_be_looked_at(decide, tmp_path):
    command = [PROGRAM, "demo", "--decide", decide, "--dir", str(tmp_path / "kept here")]
    told = subprocess.run(command, capture_output=True, text=True, timeout=380, env=os.environ | ELSEWHERE)
    assert told.returncode == 0, told.stdout + told.stderr

    def look(words: str) -> str:
        advice = next(line for line in told.stdout.splitlines() if f"countersign {words}" in line)
        done = subprocess.run(advice, shell=True, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    state = {"approve": "executed", "deny": "denied", "timeout": "expired"}[decide]
    assert f": {state}" in look("reviews show")
    assert "DELETE FROM orders" in look("replay")
    assert look("audit verify").startswith("sound: ")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious")
    told = subprocess.run([PROGRAM, "demo", "--decide", "deny", "--dir", str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_demo_that_is_told_to_stop_leaves_no_process_and_no_folder(name, tmp_path, eventually):
    folder, temporary, said = tmp_path / "kept", tmp_path / "temporary", tmp_path / "said"
    temporary.mkdir()
    with said.open("w") as out:
        demo = subprocess.Popen(
            [PROGRAM, "demo", "--dir", str(folder)],
            stdout=out,
            stderr=out,
            env=os.environ | {"TMPDIR": str(temporary)},
            start_new_session=True,
        )
    eventually(lambda: any(temporary.glob("countersign-crew-*/*")), "the crew runs", 60)
    upstream = yaml.safe_load((folder / "countersign.yaml").read_text())["targets"][0]["upstream"]
    socket.create_connection((upstream["host"], upstream["port"]), 5).close()
    demo.send_signal(signal.Signals[name])
    assert demo.wait(60) == 128 + signal.Signals[name]
    assert not list(temporary.iterdir())
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)  # the gateway and the crew are of its group
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((upstream["host"], upstream["port"]), 5)
    assert "Traceback" not in said.read_text()
    assert folder.is_dir()


def test_a_folder_that_the_demo_made_goes_with_a_demo_that_is_stopped(tmp_path, eventually):
    temporary, said = tmp_path / "temporary", tmp_path / "said"
    temporary.mkdir()
    with said.open("w") as out:
        demo = subprocess.Popen([PROGRAM, "demo"], stdout=out, stderr=out, env=os.environ | {"TMPDIR": str(temporary)})
    eventually(said.read_text, "the story begins")
    assert any(temporary.glob("countersign-demo-*"))
    demo.terminate()
    assert demo.wait(60) == 128 + signal.SIGTERM
    assert not list(temporary.iterdir())


def test_a_demo_that_is_killed_leaves_no_process_and_no_temporary_folder(tmp_path, eventually):
    folder, temporary = tmp_path / "kept", tmp_path / "temporary"
    temporary.mkdir()
    with (tmp_path / "said").open("w") as out:
        demo = subprocess.Popen(
            [PROGRAM, "demo", "--dir", str(folder)],
            stdout=out,
            stderr=out,
            env=os.environ | {"TMPDIR": str(temporary)},
            start_new_session=True,
        )
    eventually(lambda: any(temporary.glob("countersign-crew-*/*")), "the crew runs", 60)
    demo.kill()
    demo.wait(20)
    eventually(lambda: not list(temporary.iterdir()), "the server and its folder, and the crew's, are gone", 40)
    eventually(lambda: not members(demo.pid), "the gateway and the crew are gone", 40)


def members(group):
    """The processes of a group that still run; nobody may ever wait for those that have ended."""
    stats = []
    for process in (path for path in Path("/proc").iterdir() if path.name.isdigit()):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            stats.append((process / "stat").read_text().rpartition(")")[2].split())
    return [stat for stat in stats if stat[2] == str(group) and stat[0] != "Z"]
