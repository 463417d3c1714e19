"""The search of the log: the newest hits, read from the log itself, with the index's help where there is one."""

from collections.abc import Callable, Iterator
from itertools import islice

import structlog

from countersign.audit import record_of
from countersign.audit.search import Query
from countersign.model import AuditRecord
from countersign.store.log_index import END, IndexUnusable, LogIndex

log = structlog.get_logger(__name__)

Rows = Callable[[int, int, str, str], Iterator[tuple[int, bytes]]]
"""First number and entries of the log's rows that hold records of a run and of a time, newest first."""


def search(rows: Rows, index: LogIndex | None, query: Query, limit: int, *, before: int | None = None) -> list[AuditRecord]:
    """The newest hits with a number below ``before``, the newest first, at most ``limit``. Raises what ``rows`` raises."""
    found: list[AuditRecord] = []
    for first, last in _spans(index, query, END if before is None else before):
        for first_seq, entries in rows(first, last, query.since, query.behind if query.until else ""):
            lines = entries.split(b"\n")[max(0, first - first_seq) : last - first_seq + 1] if query.may_hold(entries) else []
            found += _hits(lines, query, limit - len(found))
            if len(found) >= limit:
                return found
    return found


def _spans(index: LogIndex | None, query: Query, before: int) -> Iterator[tuple[int, int]]:
    """Where hits may be, newest first: everywhere, unless the index knows better."""
    if index is not None:
        try:
            for first, last in index.spans(query, before=before):
                yield first, last
                before = first
        except IndexUnusable as unusable:
            log.info("audit_index_not_used", cause=str(unusable))
        else:
            return
    yield 1, before - 1


def _hits(lines: list[bytes], query: Query, limit: int) -> list[AuditRecord]:
    """The last hits of some lines, the last one first."""
    possible = (line for line in reversed(lines) if query.may_hold(line))
    hits = (record for record in map(record_of, possible) if query.is_hit(record))
    return list(islice(hits, limit))
