"""Policies take effect while the gateway runs: whole, on record, or not at all.

Everything is loaded anew, as at a start. What is unsound, or would need more than other rules, changes nothing: the policy in force
stays, and the reason is logged and kept for whoever asks.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from countersign.audit import AuditLog, AuditUnavailable
from countersign.config import Config, ConfigError, load_config, policy_files
from countersign.model import AuditEvent

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the files are looked at. One that has changed is read at the first look that finds it as the look before did, for what is
still being written may be sound and yet lack the rules at its end."""

Marks = tuple[tuple[str, int, int, int], ...]
"""Path, inode, bytes and time of change (ns) of each file that there is."""


class Reload:
    """Keeps the policy in force. ``asked`` is set where somebody wants it loaded now; ``switched`` is called in the same turn of the event
    loop as the policy becomes another, and sees to it that nothing goes by what the one before allowed."""

    def __init__(
        self, config: Config, audit: AuditLog, asked: asyncio.Event, switched: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self.config = config
        self.since = clock()
        self.problem = ""
        """Why the files are not what is in force; '' where they are."""
        self._audit = audit
        self._asked = asked
        self._switched = switched
        self._clock = clock
        self._seen: Marks = ()
        self._tried: Marks = ()
        self._owed: list[AuditEvent] = []

    async def run(self) -> None:
        """For ever: at each change of a file, and when asked."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), LOOK_EVERY_S)
            try:
                await self._look()
            except Exception as error:  # looked at again; until then the policy in force stays
                self._refuse(f"the policies could not be loaded: {error}")

    async def settle(self) -> None:
        """Put on record what has changed and is not yet. Raises ``AuditUnavailable``; nothing is lost by that."""
        while self._owed:
            event = self._owed.pop(0)
            try:
                await self._audit.append(event)
            except AuditUnavailable:
                self._owed.insert(0, event)
                raise

    async def _look(self) -> None:
        try:
            await self.settle()
        except AuditUnavailable:  # while nothing can be recorded, nothing is changed
            await asyncio.sleep(LOOK_EVERY_S)
            return
        marks = await asyncio.to_thread(marks_of, self.config)
        is_still, self._seen = marks == self._seen, marks
        if self._asked.is_set():
            self._asked.clear()
            await self._load(marks, "SIGHUP")
        elif is_still and marks != self._tried:
            await self._load(marks, "file change")

    async def _load(self, marks: Marks, by: str) -> None:
        self._tried = marks
        try:
            loaded = await asyncio.to_thread(load_config, self.config.path)
        except ConfigError as error:
            self._refuse(str(error))
            return
        if await asyncio.to_thread(marks_of, self.config) != marks:
            self._tried = ()  # it was changed while it was read, and is read again when that is over
            return
        if reason := needs_restart(self.config, loaded):
            self._refuse(reason)
            return
        self.problem = ""
        before, after = identity_of(self.config), identity_of(loaded)
        if before == after:
            return
        # No other task runs between these: whoever is judged next is judged by the new policy, and by nothing learned under the old one.
        self.config = loaded
        self._switched()
        self.since = self._clock()
        self._owed.append(AuditEvent("policy.changed", {"before": before, "after": after, "by": by}))
        log.info("policy_changed", by=by, digest=loaded.policy.digest)
        for warning in loaded.policy.warnings:
            log.warning("policy_warning", warning=warning)
        with contextlib.suppress(AuditUnavailable):  # which is tried again at the next look
            await self.settle()

    def _refuse(self, reason: str) -> None:
        if reason != self.problem:  # once, however often it is tried
            log.error("policy_not_changed", reason=reason, in_force=self.config.policy.digest)
        self.problem = reason


def identity_of(config: Config) -> dict[str, object]:
    """By which digests the log knows a configuration and its policies."""
    return {
        "config_digest": config.config_digest,
        "policy_digest": config.policy.digest,
        "policies": [{"file": file, "digest": digest} for file, digest in config.policy.files],
    }


def needs_restart(now: Config, then: Config) -> str:
    """Why a configuration cannot follow another while the gateway runs, or ''."""
    alike = replace(
        then, policy=now.policy, policy_patterns=now.policy_patterns, config_digest=now.config_digest, warnings=now.warnings
    )
    if alike != now:
        return f"more than the policies changed in {now.path.name}: restart needed"
    if then.policy.masks != now.policy.masks:
        # Sessions hold plans of how rows are masked, and half of a change would show what no rule lets be seen.
        return "mask rules changed: restart needed"
    return ""


def marks_of(config: Config) -> Marks:
    """What tells that a file of the configuration or its policies has changed, come or gone."""
    return tuple(mark for path in (config.path, *policy_files(config)) for mark in _mark(path))


def _mark(path: Path) -> Marks:
    try:
        found = path.stat()
    except OSError:
        return ()
    return ((str(path), found.st_ino, found.st_size, found.st_mtime_ns),)
