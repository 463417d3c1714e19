"""Which rows a held statement would change: the requests that show some of them, in a transaction that is rolled back. Pure.

RETURNING shows what a DELETE takes away and what an INSERT or UPDATE leaves (manual, "Returning Data from Modified Rows"). What an UPDATE
finds is asked for by primary key once it has been undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import postgast

from countersign.model.blast import SampleRow, Values
from countersign.protocols.postgres.inspector import inner

ROWS = 5
RETURNING = frozenset({"INSERT", "UPDATE", "DELETE"})
"""Statements that can be asked for their rows. MERGE can from PostgreSQL 17 on only."""

KEY = """
    SELECT a.attname FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = pg_catalog.to_regclass($1) AND i.indisprimary
     ORDER BY a.attnum
"""
"""The columns of a table's primary key."""


class NoSample(Exception):
    """No rows can be shown; the text says why and may be shown."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The table that a statement changes: its name as SQL, and the name that it goes by in the statement."""

    table: str
    alias: str


def changed_by(kind: str, text: str) -> Changed:
    """Raises ``NoSample``."""
    if kind not in RETURNING:
        raise NoSample(f"a {kind} does not show its rows")
    tree = _only(text)
    if tree.HasField("returning_clause"):
        raise NoSample("the statement has a RETURNING of its own")
    relation = tree.relation
    table = ".".join(quoted(part) for part in (relation.schemaname, relation.relname) if part)
    return Changed(table, quoted(relation.alias.aliasname or relation.relname))


def returning(text: str, changed: Changed, key: Sequence[str]) -> str:
    """The statement with its rows shown, and their key behind them. Raises ``NoSample`` where that would not be the same statement."""
    own = "".join(f", {changed.alias}.{quoted(column)}" for column in key)
    request = f"{text.rstrip().rstrip(';')}\nRETURNING {changed.alias}.*{own}"
    before, after = _only(text), _only(request)
    shown = len(after.returning_clause.exprs)
    after.ClearField("returning_clause")
    if shown != 1 + len(key) or before != after:
        raise NoSample("the statement cannot be asked for its rows")
    return request


def before(changed: Changed, key: Sequence[str], rows: int) -> str:
    """The query for so many rows by their keys, which are its parameters; the key again behind each row."""
    names = [f"{changed.table}.{quoted(column)}" for column in key]
    one = [" AND ".join(f"{name} = ${row * len(key) + number}" for number, name in enumerate(names, 1)) for row in range(rows)]
    wanted = ", ".join([f"{changed.table}.*", *names])
    return f"SELECT {wanted} FROM {changed.table} WHERE {' OR '.join(f'({each})' for each in one)}"  # noqa: S608  # all quoted


def paired(kind: str, shown: Sequence[Values], found: dict[Values, Values], keys: Sequence[Values]) -> tuple[SampleRow, ...]:
    """Rows that RETURNING has shown, each with what was ``found`` under its key before an UPDATE."""
    match kind:
        case "DELETE":
            return tuple(SampleRow(values, None) for values in shown)
        case "UPDATE":
            return tuple(SampleRow(found.get(key), values) for values, key in zip(shown, keys, strict=True))
        case _:
            return tuple(SampleRow(None, values) for values in shown)


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _only(text: str) -> Any:
    try:
        (raw,) = postgast.parse(text).stmts
        return inner(raw.stmt)[1]
    except Exception as error:  # the grammar's own complaint, or several statements
        raise NoSample("the statement cannot be asked for its rows") from error
