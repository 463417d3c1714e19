"""The thread that lets the log's index follow the log. It is in nobody's way: it takes the processor's idle time, and a quarter of that."""

import contextlib
import os
import sqlite3
import threading
import time

import structlog

from countersign.store.log_index import IndexUnusable, LogIndex

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How often one looks for what is new."""
REST = 3.0
"""For how long to rest behind each step, in steps."""
RETRY_S = 30.0
LEAST_NICE = 19


class Indexing:
    """Runs from ``start`` to ``stop``. What goes wrong is tried again, and searches read the log through meanwhile."""

    def __init__(self, index: LogIndex) -> None:
        self._index = index
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-index", daemon=True)

    def start(self) -> None:
        """Begin to follow the log."""
        self._thread.start()

    def stop(self) -> None:
        """Return when nothing is written any more, which takes a step at most."""
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # on Linux a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST_NICE)
        pause = 0.0
        while not self._ends.wait(pause):
            pause = self._step()

    def _step(self) -> float:
        """How long to wait for the next one."""
        start = time.perf_counter()
        try:
            records = self._index.advance()
        except (sqlite3.Error, OSError, IndexUnusable) as error:
            log.warning("audit_index_behind", cause=str(error))
            return RETRY_S
        return REST * (time.perf_counter() - start) if records else EVERY_S
