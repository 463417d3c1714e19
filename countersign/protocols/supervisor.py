"""Keeps the tasks of a listener's sessions, so that none is lost and all can be ended."""

import asyncio
from collections.abc import Coroutine

import structlog

log = structlog.get_logger(__name__)


class Supervisor:
    """Runs sessions; one that fails takes nothing else with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, session: Coroutine[None, None, None]) -> None:
        """Run a session to its end."""
        task = asyncio.create_task(session)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End every session and wait for it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("session_crashed", error=str(error), exc_info=error)
