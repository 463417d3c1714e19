"""Reads from a target's catalog what masking must know, on a connection of its own."""

import asyncio
import json
import time
from collections.abc import Sequence

import structlog

from countersign._core import Epoch
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

OWN_COLUMNS = b"""
    SELECT pg_catalog.json_build_array(a.attrelid, a.attnum, n.nspname, c.relname, a.attname, a.attgenerated OPERATOR(pg_catalog.<>) '')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
      AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
      AND (pg_catalog.age(c.xmin) OPERATOR(pg_catalog.<=) 0 OR pg_catalog.age(a.xmin) OPERATOR(pg_catalog.<=) 0)
"""
OWN_VIEW_USES = b"""
    SELECT pg_catalog.json_build_array(r.ev_class, d.refobjid, d.refobjsubid)
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite r ON r.oid OPERATOR(pg_catalog.=) d.objid
    WHERE d.classid OPERATOR(pg_catalog.=) 2618 AND d.refclassid OPERATOR(pg_catalog.=) 1259
      AND d.refobjid OPERATOR(pg_catalog.<>) r.ev_class AND pg_catalog.age(d.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_INHERITS = b"""
    SELECT pg_catalog.json_build_array(inhrelid, inhparent)
    FROM pg_catalog.pg_inherits i
    WHERE pg_catalog.age(i.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_CASTS = b"""
    SELECT pg_catalog.json_build_array(t.typname)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_cast c ON t.oid OPERATOR(pg_catalog.=) c.castsource OR t.oid OPERATOR(pg_catalog.=) c.casttarget
    WHERE pg_catalog.age(c.xmin) OPERATOR(pg_catalog.<=) 0
"""
OWN_CHANGES = (OWN_COLUMNS, OWN_VIEW_USES, OWN_INHERITS, OWN_CASTS)
"""What a transaction has made and only it can see: rows as young as itself. They are asked for on the client's connection, so that no
name in them is looked up along a search_path of the client's making."""

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
        self._catalog = Catalog([])
        self._masked: MaskedColumns | None = None
        self._loaded_s = 0.0
        self.generation = 0
        """Grows when the catalog turns out to be another than before."""
        self.epoch = Epoch()
        """Moves on when what was judged by the catalog has to be judged by a fresh one."""
        self._stale: asyncio.TimerHandle | None = None
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
                    self._take(await self._load())
            assert self._masked is not None
            return self._masked

    def _take(self, catalog: Catalog) -> None:
        masked = resolve(catalog, self._masking.rules)
        if (catalog, masked) != (self._catalog, self._masked):
            self.generation += 1
        self._catalog, self._masked = catalog, masked
        self._loaded_s = time.monotonic()
        if self._stale is not None:
            self._stale.cancel()
        self._stale = asyncio.get_running_loop().call_later(FRESH_S, self.epoch.move_on)

    def masked_with(self, changes: Catalog) -> MaskedColumns:
        """What is masked for a transaction that has made these changes, by the last reading."""
        return resolve(self._catalog.with_changes(changes), self._masking.rules)

    def expire(self) -> None:
        """The target's schema may have changed: read it again before the next answer."""
        self._loaded_s = 0.0
        self.epoch.move_on()

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


def read_changes(answers: Sequence[Sequence[bytes]]) -> Catalog:
    """What the four ``OWN_CHANGES`` answered. Raises ``ValueError``."""
    columns, uses, inherits, types = ([json.loads(row) for row in rows] for rows in answers)
    return Catalog(
        [CatalogColumn(int(oid), int(number), *names) for oid, number, *names in columns],
        [(int(view), int(used), int(attribute)) for view, used, attribute in uses],
        [(int(child), int(parent)) for child, parent in inherits],
        frozenset(name for (name,) in types),
    )
