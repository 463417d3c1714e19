"""Sessions whose key counts no more are ended."""

import asyncio
from collections.abc import Callable

import structlog

from countersign.identity.keys import Keys

log = structlog.get_logger(__name__)

EVERY_S = 1.0
"""How soon a session hears that its key was revoked, wherever that was done."""


class LiveKeys:
    """Which key has opened which sessions here. ``run`` is a task."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._ends: dict[str, set[Callable[[str], None]]] = {}

    def enter(self, key_id: str, end: Callable[[str], None]) -> Callable[[], None]:
        """A session begins; ``end`` is called with the reason in words. Returns what is to be called when it is over."""
        self._ends.setdefault(key_id, set()).add(end)

        def leave() -> None:
            ends = self._ends.get(key_id, set())
            ends.discard(end)
            if not ends:
                self._ends.pop(key_id, None)

        return leave

    async def run(self) -> None:
        """For ever. While the store is away nothing is known, and nothing is let through either."""
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._ends:
                continue
            try:
                for key_id, why in (await self._keys.refused(list(self._ends))).items():
                    for end in list(self._ends.get(key_id, ())):
                        end(why)
            except Exception as error:  # whatever it is, the sessions of other keys are looked at again in a second
                log.error("keys_not_looked_at", cause=str(error) or type(error).__name__)
