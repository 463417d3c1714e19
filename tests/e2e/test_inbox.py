"""The inbox in a real terminal, over a real gateway."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest

FOCUSED = re.compile(rb"w\x1b\[[0-9;]*m\x1b?[^w]{0,40}hy \(may be empty\)")
"""The field for the reason with the cursor on its first letter: only from then on it takes keys."""


class Terminal:
    """A program in a terminal of 120 columns and 40 rows."""

    def __init__(self, command, environment):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = environment | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.shown = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
            while chunk := os.read(self.ours, 65536):
                self.shown += chunk

    def type(self, keys):
        os.write(self.ours, keys.encode())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        self._reader.join(5)
        os.close(self.ours)


@pytest.fixture
def terminal(gateway):
    running = Terminal(gateway.command("reviews", "watch"), gateway.environment)
    yield running
    running.close()


def test_a_held_command_is_seen_and_approved_in_the_terminal(gateway, terminal, in_background, eventually):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 41")
        review = gateway.pending()
        eventually(lambda: review["digest"][:40].encode() in terminal.shown, "the review in full")
        terminal.type("a")
        eventually(lambda: FOCUSED.search(terminal.shown), "the question")
        terminal.type("fine\r")
        assert held.join().rows == 1
    (decision,) = gateway.review(review["id"])["decisions"]
    assert (decision["kind"], decision["reason"], decision["digest"]) == ("approve", "fine", review["digest"])
    terminal.type("q")
    assert terminal.process.wait(20) == 0
