"""A process that ends when ours does, however ours ends: SIGKILL leaves nobody behind who could stop a server."""

import os
import subprocess
from pathlib import Path

# Reads from a pipe that nobody writes to, until the last holder of its other end is gone. What has had no effect after 10 s never will.
WATCH = """
read -r _
kill -s "$2" "$1" 2>/dev/null || exit 0
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
[ -z "$3" ] || rm -rf -- "$3"
"""


class Leash:
    """Sends ``signal`` (a name such as ``QUIT``) to the process ``pid`` once ours is gone, waits for it and then removes ``folder``.

    The watcher is a shell in a session of its own, so what is sent to our process group does not reach it. Call ``release`` before the
    process is waited for: its number may be another's afterwards.
    """

    def __init__(self, pid: int, signal: str, folder: Path | None = None) -> None:
        theirs, self._ours = os.pipe()  # neither is inherited, so no child of ours keeps the watcher waiting
        try:
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", WATCH, "sh", str(pid), signal, str(folder or "")],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def release(self) -> None:
        """Let the process live on; a second call does nothing."""
        if self._watcher.poll() is None:
            self._watcher.kill()
            self._watcher.wait()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
