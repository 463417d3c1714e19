"""Which masked columns each output of a statement can reveal, over PostgreSQL's own grammar and the target's catalog. Pure and total.

The words: an output ``reveals`` a column where its value can depend on it, be it by a condition. A statement ``probes`` a column that
decides which rows are seen or in which order, and ``moves`` one that it copies to where it is not masked. What is not understood is
``unknown``, and may be anything: the answer errs to one side only.

``statements`` reads whole statements by ``queries``, ``sources`` (FROM) and ``expressions``; ``scope`` says what names mean, ``world`` what
the target's catalog says, ``reveals`` holds the values.
"""

from countersign.protocols.postgres.lineage.reveals import NOTHING, Reveals, Row, unknown
from countersign.protocols.postgres.lineage.statements import ANYTHING, Lineage, expression, lineages
from countersign.protocols.postgres.lineage.world import Code, Relation, World, by_name

__all__ = [
    "ANYTHING",
    "NOTHING",
    "Code",
    "Lineage",
    "Relation",
    "Reveals",
    "Row",
    "World",
    "by_name",
    "expression",
    "lineages",
    "unknown",
]
