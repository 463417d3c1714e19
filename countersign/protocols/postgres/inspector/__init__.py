"""Reads a SQL string on PostgreSQL's own grammar (libpg_query) and says what each statement can do. Pure and total.

Sound by an allow-list: a statement is a ``read`` only where every node of its tree, every function, operator and type in it is known
to be harmless. Whatever is not listed, and whatever cannot be parsed, is ``unknown`` (I3).

``statement`` reads one statement, by ``queries`` (the walk), ``expressions`` (functions, types, operators), ``relations`` (what the
target's catalog says of views, triggers, rules and policies), ``columns``, ``commands`` (the table of commands) and ``utilities``.
``analysis`` says what the server may run before that, while it only analyses a statement.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import postgast

from countersign.model import Effect, Statement
from countersign.protocols.postgres.inspector.analysis import analysis_problem, has_checked_types
from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.queries import walk
from countersign.protocols.postgres.inspector.statement import statement
from countersign.protocols.postgres.inspector.tree import inner, relation_name
from countersign.protocols.postgres.remembering import remembered
from countersign.protocols.postgres.schema import Schema

__all__ = ["Finding", "Reading", "analysis_problem", "has_checked_types", "inner", "inspect_sql", "relation_name", "walk"]

SCHEMA_STAYS = frozenset({Effect.READ, Effect.SESSION, Effect.WRITE})
"""Effects of what leaves the target's catalog as it is."""

TEXT_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """A SQL string as understood. ``catalog_asked``: whether the target's catalog was at hand; without it names are taken to mean
    tables and PostgreSQL's own functions, operators and types, and triggers, rules and views are not seen."""

    statements: tuple[Statement, ...]
    effects: frozenset[Effect]
    catalog_asked: bool = False


@remembered(2048)
def inspect_sql(sql: str, schema: Schema | None = None) -> Reading:
    """Never raises. A string without statements is harmless session state: the server answers EmptyQueryResponse."""
    if len(sql) > TEXT_LIMIT:
        return _unparsed(f"the text is longer than {TEXT_LIMIT} characters")
    if "\0" in sql:
        return _unparsed("the text holds a NUL")
    try:
        tree = postgast.parse(sql)
        statements = tuple(_in_order(tree.stmts, schema))
    except RecursionError:
        return _unparsed("it is nested too deeply")
    except Exception as error:  # the grammar's own complaint, or anything else that keeps it from being read
        return _unparsed(f"the grammar refuses it: {error}")
    is_asked = schema is not None and schema.is_read
    if not statements:
        return Reading((), frozenset({Effect.SESSION}), is_asked)
    return Reading(statements, frozenset().union(*(each.effects for each in statements)), is_asked)


def _in_order(nodes: Iterable[Any], schema: Schema | None) -> Iterator[Statement]:
    """Behind a statement that may change the schema, the catalog is no word on the rest of the text; behind any other, it is not on
    what others may have made until then."""
    for raw in nodes:
        read = statement(raw.stmt, schema)
        yield read
        if schema is not None:
            schema = schema.later() if read.effects <= SCHEMA_STAYS else schema.unsettled()


def _unparsed(why: str) -> Reading:
    unknown = frozenset({Effect.UNKNOWN})
    return Reading((Statement("unparsed", unknown, summary="cannot be read", reasons=(why,)),), unknown)
