"""What a walk over a tree gathers."""

from dataclasses import dataclass, field

from countersign.model import Effect
from countersign.protocols.postgres.schema import Schema


@dataclass(slots=True)
class Finding:
    """Ordered sets, kept as dictionaries. ``schema`` is what the target's catalog says; None where nobody asked it.

    ``exact`` is set within texts that the catalog gives back, such as a view's definition: there an unqualified name is one of
    pg_catalog's. ``path`` holds the relations that are being looked into, so that a circle ends. ``called`` holds the effects that
    functions gave, ``constructs`` the kinds of nodes seen, ``domains`` the reasons against literals that may become domains, ``literals`` those against
    literals that may become arrays, rows or ranges of domains, and ``rows`` the same of a relation's own rows, by the name that the
    query has for it.
    """

    reads: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    functions: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    effects: set[Effect] = field(default_factory=set)
    schema: Schema | None = None
    exact: bool = False
    path: frozenset[int] = frozenset()
    called: set[Effect] = field(default_factory=set)
    constructs: set[str] = field(default_factory=set)
    domains: dict[str, None] = field(default_factory=dict)
    literals: dict[str, None] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    columns_read: dict[str, None] = field(default_factory=dict)
    columns_written: dict[str, None] = field(default_factory=dict)
    settings: dict[str, None] = field(default_factory=dict)
    locks: dict[str, None] = field(default_factory=dict)
    triggers: dict[str, None] = field(default_factory=dict)
    has_where: bool | None = None
    types: dict[str, None] = field(default_factory=dict)
    """Types that are not built in and that something is cast to."""
    is_opaque: bool = False
    """Something may read what the tree does not name, or change what it names into anything."""

    def add(self, effect: Effect, reason: str, *, opaque: bool = True) -> None:
        """An effect beyond reading, and why. ``opaque``: only an unknown effect that may bring in other data."""
        self.effects.add(effect)
        self.reasons[reason] = None
        self.is_opaque |= opaque and effect is Effect.UNKNOWN

    def within(self, relation: int) -> "Finding":
        """A finding for a text that belongs to a relation of the catalog."""
        return Finding(schema=self.schema, exact=True, path=self.path | {relation})

    def take(self, other: "Finding", whose: str) -> None:
        """All of another finding, its reasons told as ``whose``."""
        for name in (
            "reads",
            "writes",
            "functions",
            "columns_read",
            "columns_written",
            "settings",
            "locks",
            "triggers",
            "domains",
            "literals",
        ):
            getattr(self, name).update(getattr(other, name))
        self.reasons.update({f"{whose} {reason}": None for reason in other.reasons})
        self.effects |= other.effects
        self.called |= other.called
        self.constructs |= other.constructs
        self.types.update(other.types)
        self.is_opaque |= other.is_opaque
