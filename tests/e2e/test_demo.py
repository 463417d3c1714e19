"""The demo, unattended, as a user would start it: a real crew, a real gateway, a real database."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("countersign"))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("decide", ["approve", "deny", "timeout"])
def test_the_story_goes_as_told_and_what_it_made_can_be_looked_at(decide, tmp_path):
    folder = tmp_path / "kept"
    told = subprocess.run([PROGRAM, "demo", "--decide", decide, "--dir", str(folder)], capture_output=True, text=True, timeout=380)
    assert told.returncode == 0, told.stdout + told.stderr

    def look(*words: str) -> str:
        done = subprocess.run([PROGRAM, *words, "--config", str(folder / "countersign.yaml")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    state = {"approve": "executed", "deny": "denied", "timeout": "expired"}[decide]
    assert f": {state}" in look("reviews", "show", told.stdout.split("review rv-")[1].split(",")[0])
    assert "DELETE FROM orders" in look("replay", told.stdout.split("replay ")[1].split()[0])
    assert look("audit", "verify").startswith("sound: ")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("precious")
    told = subprocess.run([PROGRAM, "demo", "--decide", "deny", "--dir", str(tmp_path)], capture_output=True, text=True)
    assert told.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
