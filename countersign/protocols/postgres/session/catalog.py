"""Reads from a target's catalog what masking must know, on a connection of its own."""

import asyncio
import time

import structlog

from countersign.protocols.postgres.errors import TargetRefused
from countersign.protocols.postgres.masking import Catalog, CatalogColumn, MaskedColumns, TargetMasking, resolve
from countersign.protocols.postgres.session.code_queries import CASCADES, CHECKED_TYPES, CODE, EVENT_TRIGGERS, OWN_FUNCTIONS
from countersign.protocols.postgres.session.inquiry import InquiryFailed, fetch, hang_up
from countersign.protocols.postgres.session.target import Dialer

log = structlog.get_logger(__name__)

COLUMNS = """
    SELECT a.attrelid, a.attnum, n.nspname, c.relname, a.attname, a.attgenerated <> ''
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND n.nspname NOT LIKE 'pg\\_toast%'
"""
VIEW_USES = """
    SELECT DISTINCT r.ev_class, d.refobjid, d.refobjsubid
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
"""
PLAIN_TYPES = """
    SELECT t.typname
    FROM pg_catalog.pg_type t
    WHERE t.oid >= 16384 AND t.typtype IN ('e', 'd', 'r', 'm', 'c')
    EXCEPT
    SELECT t.typname
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_cast c ON t.oid IN (c.castsource, c.casttarget)
    JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc AND p.oid >= 16384 AND p.prolang <> 12
    EXCEPT
    SELECT t.typname FROM pg_catalog.pg_type t WHERE t.oid >= 16384 AND t.typtype = 'b' AND t.typcategory <> 'A'
"""
"""Types to which a cast runs nothing of a user's making. Language 12 is ``internal``: a range type comes with a cast to its
multirange in it, and only superusers can make functions in it."""
INHERITS = "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits"

FRESH_S = 30.0
RELOAD_AT_MOST_EVERY_S = 1.0


class CatalogUnavailable(Exception):
    """The catalog cannot be read: nothing that needs it may be shown."""


class TargetCatalog:
    """What one database of a target holds, kept for a while and read again when a relation is not known."""

    def __init__(self, dialer: Dialer, database: str, masking: TargetMasking) -> None:
        self._dialer = dialer
        self._database = database
        self._masking = masking
        self._masked: MaskedColumns | None = None
        self._loaded_s = 0.0
        self.generation = 0
        """Grows with every reading of the catalog."""
        self._lock = asyncio.Lock()

    async def masked(self, table_oids: set[int]) -> MaskedColumns:
        """What is masked, having looked for these relations. Raises ``CatalogUnavailable``."""
        if self._is_enough(table_oids):
            assert self._masked is not None
            return self._masked
        async with self._lock:
            if self._masked is None or not self._is_enough(table_oids):
                age = time.monotonic() - self._loaded_s
                if self._masked is None or age > RELOAD_AT_MOST_EVERY_S:
                    self._masked = resolve(await self._load(), self._masking.rules)
                    self._loaded_s = time.monotonic()
                    self.generation += 1
            return self._masked

    def expire(self) -> None:
        """The target's schema may have changed: read it again before the next answer."""
        self._loaded_s = 0.0

    @property
    def is_fresh(self) -> bool:
        """True while what was learned from the catalog holds."""
        return not self._masking.has_columns or (self._masked is not None and time.monotonic() - self._loaded_s < FRESH_S)

    def _is_enough(self, table_oids: set[int]) -> bool:
        fresh = self._masked is not None and time.monotonic() - self._loaded_s < FRESH_S
        return fresh and self._masked is not None and table_oids <= self._masked.known

    async def _load(self) -> Catalog:
        try:
            connection = await self._dialer.connect(
                self._database, {"application_name": "countersign catalog", "client_encoding": "UTF8"}
            )
            try:
                columns = [CatalogColumn(*row) for row in await fetch(connection, COLUMNS)]
                uses = await fetch(connection, VIEW_USES)
                types = frozenset(row[0] for row in await fetch(connection, PLAIN_TYPES))
                inherits = await fetch(connection, INHERITS)
                code = await fetch(connection, CODE)
                cascades = await fetch(connection, CASCADES)
                functions = frozenset(row[0] for row in await fetch(connection, OWN_FUNCTIONS))
                checked = frozenset(row[0] for row in await fetch(connection, CHECKED_TYPES))
                has_event_triggers = bool((await fetch(connection, EVENT_TRIGGERS))[0][0])
            finally:
                await hang_up(connection)
        except (TargetRefused, InquiryFailed) as error:
            log.error("catalog_unavailable", cause=str(error))
            raise CatalogUnavailable("the target's catalog cannot be read, so answers cannot be masked") from error
        return Catalog(columns, uses, inherits, types, code, cascades, functions, checked, has_event_triggers)
