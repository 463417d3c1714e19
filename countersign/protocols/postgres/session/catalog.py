"""Reads a target's catalog, for masking and for the reading of statements, on connections of its own."""

import asyncio
import json
import time
from dataclasses import dataclass

import structlog

from countersign._core import Epoch
from countersign.masking import MaskRule
from countersign.protocols.postgres.catalog_queries import FINGERPRINT, LOCKED, PREPARE, SURROUNDINGS, queries
from countersign.protocols.postgres.catalog_rows import Rows, is_whole, masking_catalog, schema_of
from countersign.protocols.postgres.errors import TargetRefused
from countersign.protocols.postgres.masking import Catalog, MaskedColumns, TargetMasking, resolve
from countersign.protocols.postgres.schema import Schema
from countersign.protocols.postgres.session.code_queries import (
    CASCADES,
    CHECKED_TYPES,
    CODE,
    EVENT_TRIGGERS,
    OWN_FUNCTIONS,
    OWNED_SEQUENCES,
)
from countersign.protocols.postgres.session.inquiry import InquiryFailed, fetch, hang_up
from countersign.protocols.postgres.session.target import Dialer

FOR_MASKING = {
    "masking_code": CODE,
    "masking_cascades": CASCADES,
    "masking_functions": OWN_FUNCTIONS,
    "masking_types": CHECKED_TYPES,
    "masking_event_triggers": EVENT_TRIGGERS,
    "masking_sequences": OWNED_SEQUENCES,
}
SETTINGS = {"application_name": "countersign catalog", "client_encoding": "UTF8"}

log = structlog.get_logger(__name__)

FRESH_S = 10.0
"""How long a reading of the catalog holds where nothing of this gateway's has changed it: so long may a change by others go unseen."""
READ_AT_MOST_EVERY_S = 1.0
"""How often it is read for no other reason than that something is not found in it, and how often a failed reading is tried again."""


class CatalogUnavailable(Exception):
    """The catalog cannot be read: nothing that needs it may be shown or called a read. ``code`` is the SQLSTATE, where there is one."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Held:
    """A catalog as read. ``fingerprint`` is empty where something in it could not be read and is to be tried again. ``masked``: what
    is masked by each set of rules that was asked for; those of the whole target at once, those of who is exempt from some when they come.
    """

    schema: Schema
    catalog: Catalog
    masked: dict[tuple[MaskRule, ...], MaskedColumns]
    fingerprint: str

    async def masked_by(self, rules: tuple[MaskRule, ...]) -> MaskedColumns:
        """What is masked by these rules."""
        if rules not in self.masked:
            self.masked[rules] = await asyncio.to_thread(resolve, self.catalog, rules)
        return self.masked[rules]


class TargetCatalog:
    """What one database of a target holds: kept for a while, and read again at once when this gateway has changed it."""

    def __init__(self, dialer: Dialer, database: str, masking: TargetMasking) -> None:
        self._dialer = dialer
        self._database = database
        self._masking = masking
        self._held: Held | None = None
        self._read_s = 0.0
        self._expired = 0
        self._failed: tuple[float, CatalogUnavailable] | None = None
        self.generation = 0
        """Grows when the catalog is found to be another."""
        self.epoch = Epoch()
        """Moves on when what was judged by the catalog has to be judged by a fresh one."""
        self._stale: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()

    async def schema(self) -> Schema:
        """What statements are judged by. Raises ``CatalogUnavailable``."""
        return (await self._current(FRESH_S)).schema

    async def schema_now(self) -> Schema:
        """The same, read again unless that was a moment ago. Raises ``CatalogUnavailable``."""
        return (await self._current(READ_AT_MOST_EVERY_S)).schema

    async def schema_anew(self) -> Schema:
        """The same, read after this call began. Raises ``CatalogUnavailable``."""
        return (await self._current(0.0)).schema

    async def masked(self, table_oids: set[int], rules: tuple[MaskRule, ...]) -> MaskedColumns:
        """What is masked by these rules, which are the target's or some of them, having looked for these relations. Raises
        ``CatalogUnavailable``."""
        masked = await (await self._current(FRESH_S)).masked_by(rules)
        if not table_oids <= masked.known:
            masked = await (await self._current(READ_AT_MOST_EVERY_S)).masked_by(rules)
        return masked

    def masked_with(self, changes: Catalog, rules: tuple[MaskRule, ...]) -> MaskedColumns:
        """What is masked for a transaction that has made these changes, by the last reading."""
        assert self._held is not None
        return resolve(self._held.catalog.with_changes(changes), rules)

    def expire(self) -> None:
        """The target's schema may have changed: what was read, or is being read, does not hold any more."""
        self._expired += 1
        self._read_s = 0.0
        self.epoch.move_on()

    @property
    def is_fresh(self) -> bool:
        """True while what was learned from the catalog holds."""
        return self._is_younger(FRESH_S)

    def _is_younger(self, age_s: float) -> bool:
        return self._held is not None and self._read_s > 0 and time.monotonic() - self._read_s < age_s

    async def _current(self, age_s: float) -> Held:
        while not self._is_younger(age_s):
            async with self._lock:
                if not self._is_younger(age_s):
                    await self._read()
                    break  # what changed since this reading began is not for this caller to wait for
        assert self._held is not None
        return self._held

    async def _read(self) -> None:
        if self._failed is not None and time.monotonic() - self._failed[0] < READ_AT_MOST_EVERY_S:
            raise self._failed[1]
        began_s, expired = time.monotonic(), self._expired
        try:
            held = await read_catalog(self._dialer, self._database, self._masking.rules, self._held)
        except CatalogUnavailable as error:
            log.error("catalog_unavailable", database=self._database, cause=str(error.__cause__))
            self._failed = (time.monotonic(), error)
            raise
        self._failed = None
        if self._held is None or held.schema != self._held.schema:
            self.generation += 1
            self.epoch.move_on()
        self._held = held
        self._read_s = began_s if expired == self._expired else 0.0
        if self._stale is not None:
            self._stale.cancel()
        fresh_for_s = max(FRESH_S - (time.monotonic() - began_s), 0.0)
        self._stale = asyncio.get_running_loop().call_later(fresh_for_s, self.epoch.move_on)


async def read_catalog(dialer: Dialer, database: str, rules: tuple[MaskRule, ...] = (), before: Held | None = None) -> Held:
    """One database's catalog; ``before`` itself where nothing has changed since. Raises ``CatalogUnavailable``."""
    try:
        connection = await dialer.connect(database, SETTINGS)
    except TargetRefused as error:
        raise CatalogUnavailable(f"the target's catalog cannot be read: {error.public}", error.code) from error
    try:
        ((path, shown_path, version),) = await fetch(connection, SURROUNDINGS)
        await fetch(connection, PREPARE)
        await fetch(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((state,),) = await fetch(connection, FINGERPRINT)
        locked = await fetch(connection, LOCKED)
        fingerprint = f"{version} {shown_path} {path} {state} {locked}"
        if before is not None and before.fingerprint == fingerprint:
            return before
        wanted = queries(int(version)) | (FOR_MASKING if any(rule.is_of_columns for rule in rules) else {})
        rows = {name: await fetch(connection, sql) for name, sql in wanted.items()} | {"locked": locked}
    except InquiryFailed as error:
        raise CatalogUnavailable(f"the target's catalog cannot be read: {error}") from error
    finally:
        await hang_up(connection)
    # In a thread, for a big catalog takes a while to put together.
    return await asyncio.to_thread(_held, json.loads(path), rows, rules, fingerprint)


def _held(search_path: list[str], rows: Rows, rules: tuple[MaskRule, ...], fingerprint: str) -> Held:
    catalog = masking_catalog(rows) if any(rule.is_of_columns for rule in rules) else Catalog([])
    return Held(schema_of(search_path, rows), catalog, {rules: resolve(catalog, rules)}, fingerprint if is_whole(rows) else "")
