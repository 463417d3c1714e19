"""What is old goes: the gateway removes once a day what its configuration does not keep any longer.

Hashes stay, and so does everything that an export has not confirmed yet: what it has not sent would be lost to whoever relies on it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

import structlog

from countersign.audit.delivery import Cursors
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.recording import Library
from countersign.store import StoredAuditLog, StoredSessions

log = structlog.get_logger(__name__)

EVERY_S = 24 * 3600.0
RETRY_S = 600.0
PAUSE_S = 0.05
"""Between two steps, each of which takes the store's writer for some milliseconds."""
AT_ONCE = 500
"""About how many recordings the store is asked at once."""
GATEWAY = Identity("gateway", IdentityKind.SERVICE_ACCOUNT, authentication="audit.keep_bodies")
"""In whose name bodies are removed."""


async def each_day(remove: Callable[[], Awaitable[int]]) -> None:
    """For ever; sooner again where it failed."""
    while True:
        try:
            await remove()
            pause = EVERY_S
        except Exception as error:  # tried again: nothing is lost by keeping it longer
            log.error("retention_failed", error=str(error))
            pause = RETRY_S
        await asyncio.sleep(pause)


class RecordingRetention:
    """Removes recordings of sessions that ended longer ago than ``keep``, never that of one that runs. Made before any session begins."""

    def __init__(
        self,
        library: Library,
        sessions: StoredSessions,
        audit: StoredAuditLog,
        keep: timedelta,
        clock: Callable[[], datetime],
        living: Collection[str] = (),
    ) -> None:
        """``living``: the gateways whose sessions may run still."""
        self._library = library
        self._sessions = sessions
        self._left_open = sessions.left_open(living)
        self._audit = audit
        self._keep = keep
        self._clock = clock

    async def run(self) -> None:
        """For ever: now, and each day."""
        await each_day(self.remove)

    async def remove(self) -> int:
        """Once. How many were removed, each on record before it goes. Raises ``AuditUnavailable`` and ``PlaceProblem``."""
        removed, before = 0, self._clock() - self._keep
        ids = await asyncio.to_thread(self._library.ids)
        for start in range(0, len(ids), AT_ONCE):
            for session_id in await self._sessions.ended(ids[start : start + AT_ONCE], before, self._left_open):
                await self._audit.append(AuditEvent("recording.removed", {"session_id": session_id, "by": "retention"}))
                await asyncio.to_thread(self._library.delete, session_id)
                removed += 1
                await asyncio.sleep(PAUSE_S)
        if removed:
            log.info("recordings_removed", recordings=removed, before=before.isoformat())
        return removed


class Retention:
    """Removes bodies of records that are older than ``keep_bodies``. ``exports`` are the names of the cursors that it waits for."""

    def __init__(
        self,
        audit: StoredAuditLog,
        cursors: Cursors,
        exports: Sequence[str],
        keep_bodies: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._audit = audit
        self._cursors = cursors
        self._exports = exports
        self._keep_bodies = keep_bodies
        self._clock = clock

    async def run(self) -> None:
        """For ever: now, and each day."""
        await each_day(self.remove)

    async def remove(self) -> int:
        """Once. How many records lost their bodies. Raises ``AuditUnavailable``."""
        before = self._clock() - self._keep_bodies
        confirmed = {name: await self._confirmed(name) for name in self._exports}
        up_to = min(confirmed.values(), default=None)
        removed, _ = await self._audit.forget(before, GATEWAY, up_to=up_to, pause_s=PAUSE_S)
        if removed:
            log.info("audit_bodies_removed", records=removed, before=before.isoformat())
        if up_to is not None and await self._audit.holds_old(before, behind=up_to):
            late = [name for name, reached in confirmed.items() if reached == up_to]
            log.warning("audit_bodies_wait_for_export", exports=late, confirmed=up_to)
        return removed

    async def _confirmed(self, export: str) -> int:
        position = await self._cursors.position(export)
        return position.confirmed if position else 0
