"""Which output columns are masked, and how. Pure.

By origin: RowDescription names the table and attribute a column comes from, whatever the statement calls it. An output without
an origin (an expression, an aggregate) is masked whole where its statement touches a masked relation, unless the inspector can say
that no masked column is in it. What cannot be resolved is masked.
"""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from countersign._core import Masker, RowPlan
from countersign.masking import MaskRule
from countersign.model import Identity
from countersign.protocols.postgres.lineage import OutputReading

DERIVED = "derived-from-masked"
UNRESOLVED = "unresolved-origin"
REDACT = '{"redact":{}}'
FIRST_USER_OID = 16384
"""Objects below were made by initdb (manual, "System Catalog Initial Data", OID assignment)."""

SAMPLING_CATALOGS = frozenset({"pg_statistic", "pg_stats", "pg_statistic_ext_data", "pg_stats_ext", "pg_stats_ext_exprs"})
"""System relations that hold samples of users' data."""

SELECT, DDL = "SELECT", "DDL"
EVENTS = (SELECT, "INSERT", "UPDATE", "DELETE", "TRUNCATE", DDL)
"""What can be done to a relation. DDL: whatever reads or computes its rows in order to change it."""

REFERRING_ACTIONS = {"c": "DELETE", "n": "UPDATE", "d": "UPDATE"}
"""What ON DELETE does to the rows that refer: CASCADE, SET NULL, SET DEFAULT (manual, ``pg_constraint.confdeltype``)."""

TEXT_TYPES = frozenset({18, 19, 25, 705, 1042, 1043})
KINDS = {114: "json", 3802: "jsonb", 20: "int8", **dict.fromkeys(TEXT_TYPES, "text")}


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """One column of a RowDescription."""

    name: str
    table_oid: int
    attribute: int
    type_oid: int
    binary: bool


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column of a target's relation, as its catalog names it."""

    table_oid: int
    attribute: int
    schema: str
    table: str
    column: str
    generated: bool = False
    """Computed from others, so that COPY leaves it out."""


@dataclass(frozen=True, slots=True)
class MaskedColumns:
    """What a target's catalog and the mask rules say together.

    ``rules`` maps (table OID, attribute) to a rule's name and operator; ``known`` holds every relation that was looked at;
    ``names`` maps the name of each relation that carries masked data to the names of its masked columns.
    """

    rules: Mapping[tuple[int, int], tuple[str, str]]
    known: frozenset[int]
    known_names: frozenset[str]
    names: Mapping[str, frozenset[str]]
    generated: frozenset[tuple[int, int]] = frozenset()
    plain_types: frozenset[str] = frozenset()
    """Users' types, by name, to which a cast keeps the value: enumerations, domains, ranges and rows, where no cast function is
    of a user's making."""
    show_rows: frozenset[tuple[str, str]] = frozenset()
    """(relation's name, event): where the server may say values of masked columns, in an error."""
    run_code: frozenset[tuple[str, str]] = frozenset()
    """(relation's name, event): where functions of users' own may run, as a trigger, a rule, a policy, a default or a check."""
    own_functions: frozenset[str] = frozenset()
    """Names of functions of users' own."""
    checked_types: frozenset[str] = frozenset()
    """Names of the domains whose checks call functions of users' own."""
    has_event_triggers: bool = False


@dataclass(slots=True)
class Catalog:
    """The raw facts of a target's catalog: columns, which view reads which column, which table inherits which, and which code of users'
    own runs where."""

    columns: list[CatalogColumn]
    view_uses: list[tuple[int, int, int]] = field(default_factory=list)
    """(view OID, used relation's OID, used attribute or 0 for the whole relation)."""
    inherits: list[tuple[int, int]] = field(default_factory=list)
    """(child OID, parent OID)."""
    plain_types: frozenset[str] = frozenset()
    code: list[tuple[int, str]] = field(default_factory=list)
    """(relation's OID, event): code that is attached to the relation itself."""
    cascades: list[tuple[int, int, str, str]] = field(default_factory=list)
    """(referenced OID, referring OID, ON DELETE, ON UPDATE) of foreign keys; their actions as pg_constraint writes them."""
    own_functions: frozenset[str] = frozenset()
    checked_types: frozenset[str] = frozenset()
    has_event_triggers: bool = False

    def with_changes(self, changes: "Catalog") -> "Catalog":
        """What a transaction sees that has made these changes. Whatever was, stays beside it: a relation that is renamed or a column
        that is dropped goes on being masked as it was until the change is committed. Of ``changes``, ``plain_types`` are those that
        are plain no more."""
        return replace(
            self,
            columns=self.columns + changes.columns,
            view_uses=self.view_uses + changes.view_uses,
            inherits=self.inherits + changes.inherits,
            plain_types=self.plain_types - changes.plain_types,
        )


def resolve(catalog: Catalog, rules: Sequence[MaskRule]) -> MaskedColumns:
    """Match the rules' columns, then carry them to partitions and to views, until nothing more is found."""
    masked: dict[tuple[int, int], tuple[str, str]] = {}
    by_table: dict[int, list[CatalogColumn]] = {}
    for column in catalog.columns:
        by_table.setdefault(column.table_oid, []).append(column)
        name = f"{column.schema}.{column.table}.{column.column}"
        for rule in rules:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.columns):
                masked.setdefault((column.table_oid, column.attribute), (rule.name, rule.operator_json))
        if rules and column.table in SAMPLING_CATALOGS and column.table_oid < FIRST_USER_OID:
            masked.setdefault((column.table_oid, column.attribute), (DERIVED, REDACT))
    before = -1
    while before != len(masked):
        before = len(masked)
        _carry_to_children(catalog, by_table, masked)
        _carry_to_views(catalog, by_table, masked)
    names: dict[str, set[str]] = {}
    for column in catalog.columns:
        if (column.table_oid, column.attribute) in masked:
            names.setdefault(column.table, set()).add(column.column)
    called = {column.table_oid: column.table for column in catalog.columns}
    ways = _ways(catalog)
    show_rows = _reached({(oid, event) for oid, _ in masked for event in EVENTS}, ways)
    run_code = _reached(set(catalog.code), ways)
    return MaskedColumns(
        rules=masked,
        known=frozenset(by_table),
        known_names=frozenset(column.table for column in catalog.columns),
        names={table: frozenset(columns) for table, columns in names.items()},
        plain_types=catalog.plain_types,
        generated=frozenset((column.table_oid, column.attribute) for column in catalog.columns if column.generated),
        show_rows=frozenset((called[oid], event) for oid, event in show_rows if oid in called),
        run_code=frozenset((called[oid], event) for oid, event in run_code if oid in called),
        own_functions=catalog.own_functions,
        checked_types=catalog.checked_types,
        has_event_triggers=catalog.has_event_triggers,
    )


def _ways(catalog: Catalog) -> dict[tuple[int, str], set[tuple[int, str]]]:
    """For an event on a relation, the events on others that bring it about: through views, parents and foreign keys."""
    ways: dict[tuple[int, str], set[tuple[int, str]]] = {}

    def leads(cause: tuple[int, str], effect: tuple[int, str]) -> None:
        ways.setdefault(effect, set()).add(cause)

    for view, used, _ in catalog.view_uses:
        for event in EVENTS:
            leads((view, event), (used, event))
        leads((view, DDL), (used, SELECT))  # REFRESH MATERIALIZED VIEW
    for child, parent in catalog.inherits:
        for event in EVENTS:
            leads((parent, event), (child, event))
        for event in ("INSERT", "DELETE"):  # a row may move from one partition to another
            leads((parent, "UPDATE"), (child, event))
    for parent, child, on_delete, on_update in catalog.cascades:
        leads((parent, "TRUNCATE"), (child, "TRUNCATE"))
        if on_delete in REFERRING_ACTIONS:
            leads((parent, "DELETE"), (child, REFERRING_ACTIONS[on_delete]))
        if on_update in REFERRING_ACTIONS:
            leads((parent, "UPDATE"), (child, "UPDATE"))
    return ways


def _reached(start: set[tuple[int, str]], ways: Mapping[tuple[int, str], set[tuple[int, str]]]) -> set[tuple[int, str]]:
    found, waiting = set(start), list(start)
    while waiting:
        for cause in ways.get(waiting.pop(), ()):
            if cause not in found:
                found.add(cause)
                waiting.append(cause)
    return found


def _carry_to_children(
    catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: dict[tuple[int, int], tuple[str, str]]
) -> None:
    for child, parent in catalog.inherits:
        inherited = {c.column: masked[parent, c.attribute] for c in by_table.get(parent, []) if (parent, c.attribute) in masked}
        for column in by_table.get(child, []):
            if column.column in inherited:
                masked.setdefault((child, column.attribute), inherited[column.column])


def _carry_to_views(
    catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: dict[tuple[int, int], tuple[str, str]]
) -> None:
    """A view that uses a masked column is masked: a column of the same name by the same rule, every other one whole, for the
    catalog does not say which of them the masked one went into."""
    for view, used, attribute in catalog.view_uses:
        sources = {a: rule for (table, a), rule in masked.items() if table == used and attribute in (0, a)}
        if not sources:
            continue
        named = {c.column: sources[c.attribute] for c in by_table.get(used, []) if c.attribute in sources}
        for column in by_table.get(view, []):
            masked.setdefault((view, column.attribute), named.get(column.column, (DERIVED, REDACT)))


def names_column(rules: Sequence[MaskRule], column: str) -> bool:
    """Whether a rule may name a column of this name, in whatever table."""
    return any(fnmatch.fnmatchcase(column, pattern.rsplit(".", 1)[-1]) for rule in rules for pattern in rule.columns)


@dataclass(frozen=True, slots=True)
class TargetMasking:
    """A target's mask rules, made ready. ``masker`` is None where no rule concerns the target."""

    rules: tuple[MaskRule, ...]
    masker: Masker | None
    leaves_out: bool = False
    """Rules of the target are not among these, for they are for somebody who is exempt: what is shown by them is never kept (I5)."""

    @property
    def has_columns(self) -> bool:
        """True where a rule names columns, so that the catalog must be known."""
        return any(rule.columns for rule in self.rules)

    @property
    def detects(self) -> bool:
        """True where a rule looks at content."""
        return any(rule.detect for rule in self.rules)


UNMASKED = TargetMasking((), None, leaves_out=True)
"""For the answer to one command whose real values a reviewer has let be seen."""


class TargetMasks:
    """What a target's mask rules come to for each identity."""

    def __init__(self, rules: Sequence[MaskRule], hash_key: bytes) -> None:
        """Raises ``ValueError`` where the engine does not know a detector or an operator."""
        self._hash_key = hash_key
        self._made: dict[tuple[MaskRule, ...], TargetMasking] = {}
        self.whole = prepare(rules, hash_key)

    def of(self, identity: Identity) -> TargetMasking:
        """The rules from which an identity is not exempt."""
        rules = tuple(rule for rule in self.whole.rules if not rule.exempt.include(identity))
        if len(rules) == len(self.whole.rules):
            return self.whole
        if rules not in self._made:
            self._made[rules] = replace(prepare(rules, self._hash_key), leaves_out=True)
        return self._made[rules]


def prepare(rules: Sequence[MaskRule], hash_key: bytes) -> TargetMasking:
    """Raises ``ValueError`` where the engine does not know a detector or an operator."""
    if not rules:
        return TargetMasking((), None)
    detect = [(detector, rule.name, rule.operator_json) for rule in rules for detector in rule.detect]
    return TargetMasking(tuple(rules), Masker(detect, hash_key))


def plan_rows(
    columns: Sequence[OutputColumn],
    masking: TargetMasking,
    masked: MaskedColumns | None,
    reading: OutputReading | None,
    fresh: Collection[str] = (),
) -> tuple[RowPlan, list[str]]:
    """The engine's plan for rows of this shape, and for each column the rule that masks it (or '').

    ``reading`` is the inspector's word on the statement; None where it has none, which taints the outputs. ``fresh``: tables that are too
    new for the catalog and known to hold nothing masked.
    """
    plan: list[tuple[str, str, bool, str, str]] = []
    for index, column in enumerate(columns):
        rule = _rule_for(column, index, len(columns), masked, reading, fresh) if masking.has_columns else None
        kind = KINDS.get(column.type_oid, "other")
        if rule is not None:
            plan.append(("mask", kind, column.binary, *rule))
        else:
            plan.append(("detect" if masking.detects else "pass", kind, column.binary, "", REDACT))
    return RowPlan(plan, masking.masker), [entry[3] if entry[0] == "mask" else "" for entry in plan]


def _rule_for(
    column: OutputColumn,
    index: int,
    width: int,
    masked: MaskedColumns | None,
    reading: OutputReading | None,
    fresh: Collection[str],
) -> tuple[str, str] | None:
    if masked is None:
        return (UNRESOLVED, REDACT)
    if column.table_oid:
        if column.table_oid not in masked.known and column.table_oid >= FIRST_USER_OID:
            return None if reading is not None and _reads_fresh(reading, masked, fresh) else (UNRESOLVED, REDACT)
        if column.attribute <= 0 and any(table == column.table_oid for table, _ in masked.rules):
            return (DERIVED, REDACT)  # a whole-row reference has an origin table and attribute 0
        return masked.rules.get((column.table_oid, column.attribute))
    if not is_tainted(masked, reading) or _is_clean(index, width, masked, reading):
        return None
    return (DERIVED, REDACT)


def _reads_fresh(reading: OutputReading, masked: MaskedColumns, fresh: Collection[str]) -> bool:
    """Whether a relation that the catalog does not know can only be one of the fresh ones."""
    names = {relation.rsplit(".", 1)[-1] for relation in reading.relations}
    return not names.isdisjoint(fresh) and names <= masked.known_names.union(fresh)


def is_tainted(masked: MaskedColumns, reading: OutputReading | None) -> bool:
    """True unless every relation that the statement reads is known to carry nothing masked."""
    if reading is None or not reading.types <= masked.plain_types:
        return True
    names = {relation.rsplit(".", 1)[-1] for relation in reading.relations}
    system = {name for name in names if name.startswith("pg_") and name not in SAMPLING_CATALOGS}
    return not names <= (masked.known_names | system) or not names.isdisjoint(masked.names)


def _is_clean(index: int, width: int, masked: MaskedColumns, reading: OutputReading | None) -> bool:
    if (
        reading is None
        or not reading.types <= masked.plain_types
        or not reading.is_simple
        or reading.outputs is None
        or len(reading.outputs) != width
    ):
        return False
    used = reading.outputs[index]
    relations = {relation.rsplit(".", 1)[-1] for relation in reading.relations}
    return used is not None and all(used.isdisjoint(masked.names.get(relation, ())) for relation in relations)
