import os
import subprocess
import sys
from pathlib import Path

import pytest

from countersign.demo.leash import Leash

OPEN = Path("/proc/self/fd")
OWNER = """
import subprocess, sys
from pathlib import Path
from countersign.demo.leash import Leash
server = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
leash = Leash(server.pid, "TERM", Path(sys.argv[1]))
server.stdout.readline()
print(server.pid, flush=True)
sys.stdin.read()
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_on_a_leash_ends_with_an_owner_that_is_killed(tmp_path, eventually):
    folder = tmp_path / "its folder"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", OWNER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        pid = int(owner.stdout.readline())
        assert is_running(pid) and folder.exists()
        owner.kill()
    eventually(lambda: not is_running(pid), "the server ends")
    eventually(lambda: not folder.exists(), "its folder goes")


def test_what_was_released_lives_on(tmp_path):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as server:
        leash = Leash(server.pid, "KILL", tmp_path)
        leash.release()
        leash.release()
        os.kill(server.pid, 0)
        server.stdin.close()
        assert server.wait(20) == 0
    assert tmp_path.exists()


def test_an_owner_without_a_shell_is_told_and_keeps_no_pipe_open(monkeypatch):
    monkeypatch.setattr(
        "countersign.demo.leash.subprocess.Popen", lambda *words, **options: (_ for _ in ()).throw(OSError("no shell"))
    )
    before = len(list(OPEN.iterdir()))
    with pytest.raises(OSError, match="no shell"):
        Leash(1, "KILL")
    assert len(list(OPEN.iterdir())) == before
