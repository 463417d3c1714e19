"""Takes samples of the rows that a held command would change, within the transaction of a dry run and each undone at once."""

import time
from collections.abc import Sequence

from countersign import _core
from countersign._core import RowPlan
from countersign.model import Parameter
from countersign.model.blast import NoBlastRadius, Sample, Values
from countersign.protocols.postgres.lineage import lineages
from countersign.protocols.postgres.masking import Masking, OutputColumn, TargetMasking, plan_rows
from countersign.protocols.postgres.samples import KEY, ROWS, Changed, NoSample, before, changed_by, paired, returning
from countersign.protocols.postgres.session.catalog import CatalogUnavailable, TargetCatalog
from countersign.protocols.postgres.session.exchange import Rows, exchange
from countersign.protocols.postgres.session.inquiry import fetch
from countersign.protocols.postgres.session.target import TargetConnection

SAMPLES_TIMEOUT_S = 3.0
"""For all samples of one dry run."""

SAVE, UNDO = "SAVEPOINT countersign_sample", "ROLLBACK TO SAVEPOINT countersign_sample"
LIMIT = "SELECT pg_catalog.set_config('statement_timeout', $1, true)"
NO_KEY = "what stood there before an UPDATE is shown only of tables with a primary key"


class SampleTaker:
    """Shows some rows that statements change, masked by all rules of the target. ``notes`` say why some are not shown."""

    def __init__(self, connection: TargetConnection, masking: TargetMasking, catalog: TargetCatalog) -> None:
        self._connection = connection
        self._masking = masking
        self._catalog = catalog
        self._end_s = time.monotonic() + SAMPLES_TIMEOUT_S
        self.notes: list[str] = []

    async def take(self, kind: str, text: str, parameters: Sequence[Parameter]) -> Sample | None:
        """Some rows of one statement, which has not run afterwards; None where there are none or they cannot be shown. Raises the errors
        of a broken wire, and ``InquiryFailed``."""
        remaining_s = self._end_s - time.monotonic()
        if remaining_s <= 0:
            self._note("there was no time for the rows of all statements")
            return None
        try:
            changed = changed_by(kind, text)
        except NoSample as problem:
            self._note(str(problem))
            return None
        await fetch(self._connection, SAVE)
        try:
            await fetch(self._connection, LIMIT, [f"{remaining_s * 1000:.0f}ms"])
            return await self._shown(kind, text, changed, parameters)
        except (NoSample, NoBlastRadius, CatalogUnavailable) as problem:
            self._note(f"no rows are shown: {problem}" if not isinstance(problem, CatalogUnavailable) else "no rows are shown")
            return None
        finally:
            await fetch(self._connection, UNDO)

    async def _shown(self, kind: str, text: str, changed: Changed, parameters: Sequence[Parameter]) -> Sample | None:
        key = [name for (name,) in await fetch(self._connection, KEY, [changed.table])] if kind == "UPDATE" else []
        after = await self._rows(returning(text, changed, key), parameters, len(key))
        if not after.values:
            return None
        found: dict[Values, Values] = {}
        if key:
            await fetch(self._connection, UNDO)
            asked = [
                Parameter(raw=value, type_oid=type_oid, binary=False, shown="")
                for row in after.keys
                for value, type_oid in zip(row, after.key_types, strict=True)
            ]
            earlier = await self._rows(before(changed, key, len(after.keys)), asked, len(key))
            found = {
                _text(one): values for one, values in zip(earlier.keys, earlier.values, strict=True) if earlier.keys.count(one) == 1
            }
        elif kind == "UPDATE":
            self._note(NO_KEY)
        rows = paired(kind, after.values, found, [_text(one) for one in after.keys])
        return Sample(after.names, after.masked, rows)

    async def _rows(self, sql: str, parameters: Sequence[Parameter], own: int) -> "_Taken":
        taken = _Taken(own)

        async def plan(description: bytes) -> RowPlan:
            columns = [
                OutputColumn(field[0].decode("utf-8", "replace"), field[1], field[2], field[3], binary=False)
                for field in _core.decode_row_description(description)
            ]
            masked, lineage = None, None
            if self._masking.has_columns:
                oids = {column.table_oid for column in columns if column.table_oid}
                masked = await self._catalog.masked(oids, self._masking.rules)
                read = lineages(sql, masked.world)
                lineage = read[0] if len(read) == 1 else None
            made, how = plan_rows(columns, self._masking, masked, lineage, own=own)
            taken.describe(columns, how)
            return made

        await exchange(self._connection, sql, parameters, take=taken.add, plan=plan, limit=ROWS)
        return taken

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class _Taken:
    """Rows of one request, the gateway's own columns at their end apart."""

    def __init__(self, own: int) -> None:
        self._own = own
        self.names: tuple[str, ...] = ()
        self.masked: tuple[bool, ...] = ()
        self.key_types: list[int] = []
        self.values: list[Values] = []
        self.keys: list[list[bytes | None]] = []

    def describe(self, columns: Sequence[OutputColumn], how: Sequence[Masking | None]) -> None:
        width = len(columns) - self._own
        self.names = tuple(column.name for column in columns[:width])
        self.masked = tuple(one is not None for one in how[:width])
        self.key_types = [column.type_oid for column in columns[width:]]

    def add(self, rows: Rows) -> None:
        for row in rows:
            width = len(row) - self._own
            self.values.append(_text(row[:width]))
            self.keys.append(row[width:])


def _text(row: Sequence[bytes | None]) -> Values:
    return tuple(None if value is None else value.decode("utf-8", "replace") for value in row)
