"""Turns what was found into a Statement."""

from typing import Any

from countersign.model import Effect, Statement
from countersign.protocols.postgres.inspector.finding import Finding


def statement_of(kind: str, found: Finding, summary: str, **more: Any) -> Statement:
    """The statement that a finding makes. Whatever reads, or does nothing else, reads."""
    effects = set(found.effects)
    if found.reads or not effects:
        effects.add(Effect.READ)
    return Statement(
        kind=kind,
        effects=frozenset(effects),
        summary=summary,
        reads=tuple(found.reads),
        writes=tuple(found.writes),
        functions=tuple(found.functions),
        reasons=tuple(found.reasons),
        columns_read=tuple(found.columns_read),
        columns_written=tuple(found.columns_written),
        settings=tuple(found.settings),
        locks=tuple(found.locks),
        triggers=tuple(found.triggers),
        has_where=found.has_where,
        **more,
    )
