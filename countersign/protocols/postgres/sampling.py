"""What is asked of a database in order to sample it. Pure.

Only stored rows are read, and no code of users' own may run by that: no views; no foreign tables, which lead to other servers; no casts
from users' types; ``row_security`` off, so that a table whose policies would hide rows is refused instead of their code being run.
"""

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from countersign.masking.discovery import Column
from countersign.masking.names import Form

FIRST_USER_OID = 16384
TEXT_LIMIT_LETTERS = 8192
DOCUMENT_LIMIT_BYTES = 65536
BIG = 10
"""A table of so many times the rows that are wanted is sampled by pages all over it."""
SPREAD = 10
"""From pages for so many times the rows, of each of which one in so many is taken: rows of one page are often alike."""

FORMS = {
    **dict.fromkeys((18, 19, 25, 142, 1042, 1043, 3614), Form.TEXT),
    **dict.fromkeys((114, 3802), Form.JSON),
    **dict.fromkeys((20, 21, 23, 700, 701, 1700), Form.NUMBER),
    **dict.fromkeys((1082, 1114, 1184), Form.DATE),
    **dict.fromkeys((650, 774, 829, 869), Form.NETWORK),
    17: Form.BYTES,
    2950: Form.UUID,
}
"""By the OID of the built-in type (``pg_type.dat``)."""

READ_ONLY = "SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)"
BEGIN = "BEGIN TRANSACTION READ ONLY"
ROLLBACK = "ROLLBACK"
PREPARE = """
    SELECT pg_catalog.set_config('search_path', '', true), pg_catalog.set_config('lock_timeout', '2s', true),
      pg_catalog.set_config('statement_timeout', '20s', true), pg_catalog.set_config('row_security', 'off', true),
      pg_catalog.set_config('jit', 'off', true), pg_catalog.set_config('max_parallel_workers_per_gather', '0', true),
      pg_catalog.set_config('standard_conforming_strings', 'on', true)
"""
TABLES = r"""
    WITH RECURSIVE base(oid, of) AS (
      SELECT t.oid, t.oid FROM pg_catalog.pg_type t WHERE t.typtype <> 'd'
      UNION ALL
      SELECT t.oid, b.of FROM pg_catalog.pg_type t JOIN base b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
    ), part(root, oid) AS (
      SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'p' AND NOT c.relispartition
      UNION ALL
      SELECT p.root, i.inhrelid FROM part p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
    ), tree AS (
      SELECT p.root, pg_catalog.sum(greatest(c.reltuples, 0)) AS tuples, pg_catalog.bool_or(c.relkind = 'f') AS leads_away
      FROM part p JOIN pg_catalog.pg_class c ON c.oid = p.oid WHERE c.relkind <> 'p' GROUP BY p.root
    )
    SELECT n.nspname, c.relname, c.relkind::text, coalesce(tree.tuples, c.reltuples)::bigint, coalesce(tree.leads_away, c.relkind = 'f'),
      c.relrowsecurity, (
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
          a.attname, b.of::bigint, coalesce(e.of, 0)::bigint, pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'), t.typcategory::text
        ) ORDER BY a.attnum)::text
        FROM pg_catalog.pg_attribute a
        JOIN base b ON b.oid = a.atttypid
        JOIN pg_catalog.pg_type t ON t.oid = b.of
        LEFT JOIN base e ON e.oid = t.typelem AND t.typcategory = 'A'
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      )
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN tree ON tree.root = c.oid
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
    ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a partitioned one or a materialized view. ``tuples``: how many rows the server believes it to have, below 0 if it has no
    idea. ``casts``: which columns may be asked for as text in SQL, in the order of ``columns``."""

    schema: str
    name: str
    kind: str
    tuples: int
    leads_away: bool
    has_policies: bool
    columns: tuple[Column, ...]
    casts: tuple[bool, ...]
    closed: tuple[str, ...]
    """Columns that the gateway's role may not read."""
    unknown: tuple[str, ...]
    """Columns of types that could hold anything and are not looked into."""

    @property
    def shown(self) -> str:
        """``schema.table``, for people."""
        return f"{self.schema}.{self.name}"


def table_of(row: Sequence[Any]) -> Table:
    """A row of ``TABLES``."""
    schema, name, kind, tuples, leads_away, has_policies, columns_json = row
    columns: list[Column] = []
    casts: list[bool] = []
    closed: list[str] = []
    unknown: list[str] = []
    for column, type_oid, element_oid, is_open, category in json.loads(columns_json or "[]"):
        form = _form(element_oid or type_oid, category)
        if form is None:
            unknown += [column] * (category in "CU" or element_oid >= FIRST_USER_OID)
            continue
        if not is_open:
            closed.append(column)
            continue
        columns.append(Column(schema, name, column, form, is_array=bool(element_oid)))
        # Of arrays too the type itself counts: there may be a cast from an array of a domain that calls a function of a user's.
        casts.append(type_oid < FIRST_USER_OID)
    return Table(schema, name, kind, tuples, leads_away, has_policies, tuple(columns), tuple(casts), tuple(closed), tuple(unknown))


def _form(type_oid: int, category: str) -> Form | None:
    """``S`` are the texts of extensions, such as citext (manual, "typcategory Codes")."""
    if type_oid >= FIRST_USER_OID:
        return Form.TEXT if category == "S" else None
    return FORMS.get(type_oid)


def in_schemas(table: Table, schemas: Sequence[str]) -> bool:
    """Whether a table is in one of these schemas, or globs; in any, where there are none."""
    return not schemas or any(fnmatch.fnmatchcase(table.schema, pattern) for pattern in schemas)


def sample_query(table: Table, rows: int, *, by_pages: bool) -> str:
    """At most so many rows of the columns that are read: from pages all over the table, or the first ones."""
    wanted = ", ".join(
        _expression(column, may_cast) for column, may_cast in zip(table.columns, table.casts, strict=True) if column.is_read
    )
    # The rows of a child table are sampled as its own.
    only = "ONLY " if table.kind == "r" else ""
    percent = min(100.0, 100 * SPREAD * rows / max(table.tuples, 1))
    pages = f" TABLESAMPLE pg_catalog.system ({percent:.6f}) WHERE pg_catalog.random() < {1 / SPREAD}" if by_pages else ""
    return f"SELECT {wanted} FROM {only}{_quoted(table.schema)}.{_quoted(table.name)}{pages} LIMIT {rows:d}"  # noqa: S608  # all quoted


def is_big(table: Table, rows: int) -> bool:
    """Whether a sample of so many rows should come from all over the table."""
    return table.tuples > BIG * rows


def _expression(column: Column, may_cast: bool) -> str:
    name = _quoted(column.name)
    if column.form in (Form.NUMBER, Form.NETWORK):
        return name
    if not may_cast:
        return f"CASE WHEN pg_catalog.pg_column_size({name}) <= {DOCUMENT_LIMIT_BYTES} THEN {name} END"
    text = f"{name}::pg_catalog.text"
    if column.form is Form.JSON and not column.is_array:
        return f"CASE WHEN pg_catalog.octet_length({text}) <= {DOCUMENT_LIMIT_BYTES} THEN {text} END"
    return f"pg_catalog.left({text}, {TEXT_LIMIT_LETTERS})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
