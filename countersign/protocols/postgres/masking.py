"""Which output columns are masked, and how. Pure.

By origin: RowDescription names the table and attribute a column comes from, whatever the statement calls it. An output without
an origin (an expression, an aggregate) is masked whole where its ``lineage`` says that it can reveal a masked column. What cannot be
resolved is masked.
"""

import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from countersign._core import Masker, RowPlan, kind_of_type
from countersign.masking import MaskRule, paths_json
from countersign.model import Identity
from countersign.protocols.postgres.lineage import Code, Lineage, Relation, Reveals, World, by_name, expression, lineages

DERIVED = "derived-from-masked"
UNRESOLVED = "unresolved-origin"
REDACT = '{"redact":{}}'
FIRST_USER_OID = 16384
"""Objects below were made by initdb (manual, "System Catalog Initial Data", OID assignment)."""

SAMPLING_CATALOGS = frozenset({"pg_statistic", "pg_stats", "pg_statistic_ext_data", "pg_stats_ext", "pg_stats_ext_exprs"})
"""System relations that hold samples of users' data."""

LARGE_OBJECTS = ("pg_largeobject", "data")
TEXTS_OF_OTHERS = frozenset(
    {
        ("pg_stat_activity", "query"),
        ("pg_prepared_statements", "statement"),
        ("pg_cursors", "statement"),
    }
)
"""Columns that hold statements of other sessions, or of others on a pooled one, with the values that they were given."""

SEQUENCES = ("pg_sequences", "last_value")

SELECT, DDL = "SELECT", "DDL"
EVENTS = (SELECT, "INSERT", "UPDATE", "DELETE", "TRUNCATE", DDL)
"""What can be done to a relation. DDL: whatever reads or computes its rows in order to change it."""

REFERRING_ACTIONS = {"c": "DELETE", "n": "UPDATE", "d": "UPDATE"}
"""What ON DELETE does to the rows that refer: CASCADE, SET NULL, SET DEFAULT (manual, ``pg_constraint.confdeltype``)."""

JSON_TYPES = frozenset({114, 3802, 199, 3807})
"""json, jsonb, and arrays of them (``pg_type.dat``)."""


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
    holds_json: bool = False
    """Of a JSON type, or of one that is made of such."""


Masks = dict[tuple[int, int], tuple[str, str]]
"""By (relation's OID, attribute): the name of a rule, and its operator."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskedColumns:
    """What a target's catalog and the mask rules say together.

    ``known`` holds every relation that was looked at; ``world`` says the same as ``rules`` by names, for lineage.
    """

    rules: Mapping[tuple[int, int], tuple[str, str]]
    known: frozenset[int]
    known_names: frozenset[str]
    world: World
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
    code_of_relations: list[tuple[int, str]] = field(default_factory=list)
    """(relation's OID, event): code that is attached to the relation itself."""
    cascades: list[tuple[int, int, str, str]] = field(default_factory=list)
    """(referenced OID, referring OID, ON DELETE, ON UPDATE) of foreign keys; their actions as pg_constraint writes them."""
    own_functions: frozenset[str] = frozenset()
    checked_types: frozenset[str] = frozenset()
    has_event_triggers: bool = False
    definitions: Mapping[int, str] = field(default_factory=dict)
    """What views select, by their OIDs; '' where it could not be read."""
    calling: frozenset[int] = frozenset()
    """Views that call functions which may read anything."""
    computed: list[tuple[int, str, str]] = field(default_factory=list)
    """(relation's OID, generated column, its expression or '')."""
    sequences: list[tuple[int, int, int]] = field(default_factory=list)
    """(sequence's OID, relation's OID, attribute) of sequences that belong to a column."""
    code: Code = field(default_factory=Code)

    def with_changes(self, changes: "Catalog") -> "Catalog":
        """What a transaction sees that has made these changes. Whatever was, stays beside it: a relation that is renamed or a column
        that is dropped goes on being masked as it was until the change is committed. Of ``changes``, ``plain_types`` are those that
        are plain no more. A view that is another now is known by what it uses only."""
        changed = {view for view, _, _ in changes.view_uses}
        return replace(
            self,
            columns=self.columns + changes.columns,
            view_uses=self.view_uses + changes.view_uses,
            inherits=self.inherits + changes.inherits,
            plain_types=self.plain_types - changes.plain_types,
            definitions={view: text for view, text in self.definitions.items() if view not in changed},
            code=self.code.joined(changes.code),
        )


def resolve(catalog: Catalog, rules: Sequence[MaskRule]) -> MaskedColumns:
    """Match the rules' columns, then carry them to partitions, generated columns, sequences and views, until nothing more is found."""
    by_table: dict[int, list[CatalogColumn]] = {}
    for column in catalog.columns:
        by_table.setdefault(column.table_oid, []).append(column)
    masked = _named_by_rules(catalog, rules)
    if rules:
        _carry(catalog, by_table, masked)
    called = {column.table_oid: column.table for column in catalog.columns}
    ways = _ways(catalog)
    show_rows = _reached({(oid, event) for oid, _ in masked for event in EVENTS}, ways)
    run_code = _reached(set(catalog.code_of_relations), ways)
    return MaskedColumns(
        rules=masked,
        known=frozenset(by_table),
        known_names=frozenset(column.table for column in catalog.columns),
        world=_world(catalog, by_table, masked),
        plain_types=catalog.plain_types,
        generated=frozenset((column.table_oid, column.attribute) for column in catalog.columns if column.generated),
        show_rows=frozenset((called[oid], event) for oid, event in show_rows if oid in called),
        run_code=frozenset((called[oid], event) for oid, event in run_code if oid in called),
        own_functions=catalog.own_functions,
        checked_types=catalog.checked_types,
        has_event_triggers=catalog.has_event_triggers,
    )


def _named_by_rules(catalog: Catalog, rules: Sequence[MaskRule]) -> Masks:
    """The columns that rules name, and those of PostgreSQL's own that hold users' values."""
    masked: Masks = {}
    for column in catalog.columns:
        place = (column.table_oid, column.attribute)
        name = f"{column.schema}.{column.table}.{column.column}"
        if rule := _named(column, name, rules):
            masked[place] = rule
        holds_values = column.table in SAMPLING_CATALOGS or (column.table, column.column) in TEXTS_OF_OTHERS
        if rules and holds_values and column.table_oid < FIRST_USER_OID:
            _put(masked, place, (DERIVED, REDACT))
    return masked


def _world(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks) -> World:
    """What lineage asks. A relation that has changed within a transaction stands in it by each of its names."""
    relations: dict[tuple[int, str, str], list[CatalogColumn]] = {}
    for column in catalog.columns:
        relations.setdefault((column.table_oid, column.schema, column.table), []).append(column)
    hidden = {
        (column.table, column.column) for oid, number in masked for column in by_table.get(oid, ()) if column.attribute == number
    }
    return World(
        by_name(_relation(schema, table, columns, masked) for (_, schema, table), columns in relations.items()),
        catalog.code,
        catalog.plain_types,
        hides_sequences=any((table, number) in masked for _, table, number in catalog.sequences),
        hides_large_objects=LARGE_OBJECTS in hidden,
        partly=frozenset(
            f"{column.schema}.{column.table}.{column.column}"
            for column in catalog.columns
            if _place(column) in masked and _is_by_paths(masked[_place(column)][1])
        ),
    )


def _relation(schema: str, table: str, columns: list[CatalogColumn], masked: Masks) -> Relation:
    hidden = {column.column: masked[column.table_oid, column.attribute][0] for column in columns if _place(column) in masked}
    derived = frozenset(column for column, rule in hidden.items() if rule == DERIVED)
    return Relation(schema, table, tuple(dict.fromkeys(column.column for column in columns)), frozenset(hidden), derived)


def _place(column: CatalogColumn) -> tuple[int, int]:
    return (column.table_oid, column.attribute)


def _named(column: CatalogColumn, name: str, rules: Sequence[MaskRule]) -> tuple[str, str] | None:
    """The first rule for the whole of a column; else the path rules for what is in it, in the form of ``paths_json``."""
    concerned = [rule for rule in rules if any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.columns)]
    for rule in concerned:
        if not rule.paths:
            return rule.name, rule.operator_json
    concerned += [rule for rule in rules if rule.paths and not rule.columns and column.holds_json]
    return (", ".join(rule.name for rule in concerned), paths_json(concerned)) if concerned else None


def _is_by_paths(operator: str) -> bool:
    return operator.startswith("[")


def _put(masked: Masks, place: tuple[int, int], rule: tuple[str, str]) -> None:
    """Mask a column that is not masked yet, or of which only what paths name was."""
    if place not in masked or (_is_by_paths(masked[place][1]) and not _is_by_paths(rule[1])):
        masked[place] = rule


def _whole(rule: tuple[str, str]) -> tuple[str, str]:
    """The rule for what is made of a column: no path needs to fit it."""
    return (DERIVED, REDACT) if _is_by_paths(rule[1]) else rule


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


# -- from column to column


def _carry(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks) -> None:
    """Carry masks on until nothing more is found."""
    users: dict[int, set[int]] = {}
    for view, used, _ in catalog.view_uses:
        users.setdefault(used, set()).add(view)
    before: Masks = {}
    while before != masked:
        before = dict(masked)
        _carry_to_kin(catalog, by_table, masked)
        _carry_to_sequences(catalog, by_table, masked)
        world = _world(catalog, by_table, masked).exact()
        _carry_to_computed(catalog, by_table, masked, world)
        for view in catalog.calling.union(*(users.get(oid, ()) for oid in {oid for oid, _ in masked})):
            _carry_to_view(catalog, by_table, masked, view, world)


def _carry_to_kin(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks) -> None:
    """From a parent to its children and back: what is stored in the one is read from the other."""
    for child, parent in catalog.inherits:
        for source, heir in ((parent, child), (child, parent)):
            inherited = {c.column: masked[_place(c)] for c in by_table.get(source, ()) if _place(c) in masked}
            for column in by_table.get(heir, ()):
                if column.column in inherited:
                    _put(masked, _place(column), inherited[column.column])


def _carry_to_sequences(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks) -> None:
    """The sequence of a masked column tells its last value."""
    owned = [sequence for sequence, table, number in catalog.sequences if (table, number) in masked]
    for sequence in owned:
        masked.update({_place(column): (DERIVED, REDACT) for column in by_table.get(sequence, ()) if _place(column) not in masked})
    for column in catalog.columns if owned else ():
        if (column.table, column.column) == SEQUENCES and column.table_oid < FIRST_USER_OID:
            masked.setdefault(_place(column), (DERIVED, REDACT))


def _is_masked_whole(masked: Masks, column: CatalogColumn) -> bool:
    return _place(column) in masked and not _is_by_paths(masked[_place(column)][1])


def _carry_to_computed(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks, world: World) -> None:
    """Generated columns."""
    for table, name, text in catalog.computed:
        column = next((column for column in by_table.get(table, ()) if column.column == name), None)
        if column is None or _is_masked_whole(masked, column) or not any(_place(other) in masked for other in by_table[table]):
            continue
        if not text or not expression(text, column.schema, column.table, world).is_nothing:
            masked[_place(column)] = (DERIVED, REDACT)


def _carry_to_view(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks, view: int, world: World) -> None:
    """A view's column that is a masked one as it stands is masked by the same rule; one that can reveal a masked one otherwise is
    masked whole. So is every column of a view that cannot be read, where it uses a masked one."""
    columns = by_table.get(view, [])
    found = _outputs(catalog.definitions.get(view, ""), len(columns), world)
    if found is None:
        _carry_to_unread_view(catalog, by_table, masked, view)
        return
    rules = {
        f"{c.schema}.{c.table}.{c.column}": masked[_place(c)]
        for used in _used_by(catalog, view)
        for c in by_table.get(used, ())
        if _place(c) in masked
    }
    for column, reveals in zip(columns, found, strict=True):
        if not reveals.is_nothing:
            _put(masked, _place(column), _rule_of(reveals, rules))


def _used_by(catalog: Catalog, view: int) -> Iterable[int]:
    return {used for user, used, _ in catalog.view_uses if user == view}


def _rule_of(reveals: Reveals, rules: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    (name, *others) = sorted(reveals.columns) or [""]
    is_same = reveals.is_plain and not others and not reveals.unknown
    return rules.get(name, (DERIVED, REDACT)) if is_same else (DERIVED, REDACT)


def _outputs(definition: str, width: int, world: World) -> list[Reveals] | None:
    """What each column of a view reveals; None where it cannot be read."""
    read = lineages(definition, world) if definition else ()
    if len(read) != 1 or read[0].row is None or not read[0].row.is_fixed or len(read[0].row.head) != width:
        return None
    return [reveals for _, reveals in read[0].row.head]


def _carry_to_unread_view(catalog: Catalog, by_table: Mapping[int, list[CatalogColumn]], masked: Masks, view: int) -> None:
    uses = [(used, attribute) for user, used, attribute in catalog.view_uses if user == view]
    named: dict[str, tuple[str, str]] = {}
    for used, attribute in uses:
        named |= {
            c.column: _whole(masked[_place(c)])
            for c in by_table.get(used, ())
            if attribute in (0, c.attribute) and _place(c) in masked
        }
    for column in by_table.get(view, ()) if named or view in catalog.calling else ():
        _put(masked, _place(column), named.get(column.column, (DERIVED, REDACT)))


def names_column(rules: Sequence[MaskRule], column: str) -> bool:
    """Whether a rule may name a column of this name, in whatever table."""
    if any(rule.paths and not rule.columns for rule in rules):
        return True
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
        """True where a rule depends on columns, so that the catalog must be known."""
        return any(rule.is_of_columns for rule in self.rules)

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


@dataclass(frozen=True, slots=True)
class Masking:
    """How one output is masked: by which rule, with which operator; ``why`` it cannot be resolved, where that is the reason."""

    rule: str
    operator: str
    why: str = ""


def plan_rows(
    columns: Sequence[OutputColumn],
    masking: TargetMasking,
    masked: MaskedColumns | None,
    lineage: Lineage | None,
    fresh: Collection[str] = (),
    own: int = 0,
) -> tuple[RowPlan, list[Masking | None]]:
    """The engine's plan for rows of this shape, and for each column how it is masked, None where it is not.

    ``lineage`` is that of the statement that the rows come from; None where it is not known, so that what has no origin is masked.
    ``fresh``: tables that are too new for the catalog and known to hold nothing masked. ``own``: so many columns at the end are for the
    gateway itself, which shows them to nobody, and stay as they are.
    """
    plan: list[tuple[str, str, bool, str, str]] = []
    found: list[Masking | None] = []
    for index, column in enumerate(columns):
        kind = kind_of_type(column.type_oid)
        if index >= len(columns) - own:
            plan.append(("pass", kind, column.binary, column.name, REDACT))
            found.append(None)
            continue
        how = _masking_of(column, index, len(columns), masked, lineage, fresh) if masking.has_columns else None
        if how is not None:
            plan.append(("paths" if _is_by_paths(how.operator) else "mask", kind, column.binary, how.rule, how.operator))
        else:
            plan.append(("detect" if masking.detects else "pass", kind, column.binary, column.name, REDACT))
        found.append(how)
    return RowPlan(plan, masking.masker), found


def _masking_of(
    column: OutputColumn,
    index: int,
    width: int,
    masked: MaskedColumns | None,
    lineage: Lineage | None,
    fresh: Collection[str],
) -> Masking | None:
    if masked is None:
        return Masking(UNRESOLVED, REDACT, "the target's catalog is not known")
    if not column.table_oid:
        return _by_lineage(index, width, lineage)
    if column.table_oid not in masked.known:
        if lineage is not None and _reads_fresh(lineage, masked, fresh):
            return None
        return Masking(UNRESOLVED, REDACT, "its table is not in the target's catalog")
    if column.attribute <= 0 and any(table == column.table_oid for table, _ in masked.rules):
        return Masking(DERIVED, REDACT)  # a whole-row reference has an origin table and attribute 0
    rule = masked.rules.get((column.table_oid, column.attribute))
    if rule is not None:
        return Masking(*(_whole(rule) if lineage is not None and lineage.moves else rule))
    # What RETURNING gives of a column is what has just been put there.
    return _by_lineage(index, width, lineage) if lineage is not None and lineage.moves else None


def _by_lineage(index: int, width: int, lineage: Lineage | None) -> Masking | None:
    if lineage is None:
        return Masking(UNRESOLVED, REDACT, "it is not known which statement it comes from")
    reveals = lineage.reveals(index, width)
    if reveals.is_nothing:
        return None
    return Masking(DERIVED, REDACT) if reveals.columns else Masking(UNRESOLVED, REDACT, min(reveals.unknown))


def _reads_fresh(lineage: Lineage, masked: MaskedColumns, fresh: Collection[str]) -> bool:
    """Whether a relation that the catalog does not know can only be one of the fresh ones."""
    return not lineage.relations.isdisjoint(fresh) and lineage.relations <= masked.known_names.union(fresh)
