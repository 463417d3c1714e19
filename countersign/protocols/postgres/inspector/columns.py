"""Which columns a query reads and writes, named ``schema.table.column`` or as far as is known. Pure and total.

Where it is not known which relation a bare name belongs to, the name stands alone; a star, and a row taken whole, is ``table.*`` unless
the target's catalog says which columns that is. It rather names a column too many than one too few.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from countersign.protocols.postgres.inspector.finding import Finding
from countersign.protocols.postgres.inspector.tree import children, inner, relation_name, words

QUERIES = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt")


@dataclass(frozen=True, slots=True)
class Source:
    """What a name in FROM stands for. ``relations``: full names; none for a sub-select, a function or a CTE, whose columns are told
    where they come from. ``columns``: those of each relation; None where they are not known."""

    relations: tuple[str, ...] = ()
    columns: Mapping[str, frozenset[str]] | None = None

    def star(self) -> Iterable[str]:
        """Every column of it."""
        for relation in self.relations:
            known = (self.columns or {}).get(relation)
            yield from sorted(f"{relation}.{column}" for column in known) if known else (f"{relation}.*",)

    def column(self, name: str) -> Iterable[str]:
        """The column of that name."""
        return (f"{relation}.{name}" for relation in self.relations)

    def has(self, name: str) -> bool | None:
        """Whether it has the column; None where nobody knows."""
        if not self.relations:
            return None
        return None if self.columns is None else any(name in columns for columns in self.columns.values())


Frame = dict[str, Source]


def query_columns(tree: Any, found: Finding) -> None:
    """Add the columns of a query, an INSERT, UPDATE, DELETE or MERGE to a finding."""
    _query(tree, (), frozenset(), found)


def written_columns(relation: Any, names: Iterable[str], found: Finding) -> None:
    """Add columns of a relation that are written; all of them where none is named."""
    target = source_of(relation, frozenset(), found)
    named = [full for name in names for full in target.column(name)]
    found.columns_written.update(dict.fromkeys(named or target.star()))


def read_columns(relation: Any, names: Iterable[str], found: Finding) -> None:
    """Add columns of a relation that are read; all of them where none is named."""
    source = source_of(relation, frozenset(), found)
    named = [full for name in names for full in source.column(name)]
    found.columns_read.update(dict.fromkeys(named or source.star()))


def source_of(relation: Any, ctes: frozenset[str], found: Finding) -> Source:
    """What a relation's name in a query stands for."""
    if not relation.schemaname and relation.relname in ctes:
        return Source()
    if found.schema is None:
        return Source((relation_name(relation),))
    place = relation.schemaname or ("pg_catalog" if found.exact else "")
    names = found.schema.told(place, relation.relname)
    columns = {
        candidate.full_name: frozenset(column.name for column in candidate.columns)
        for candidate in found.schema.relations_named(place, relation.relname)
        if candidate.full_name in names
    }
    return Source(names, columns) if names else Source((relation_name(relation),))


def _query(tree: Any, outer: tuple[Frame, ...], ctes: frozenset[str], found: Finding) -> None:
    name = type(tree).__name__
    if name not in QUERIES:
        return
    if tree.HasField("with_clause"):
        for node in tree.with_clause.ctes:
            cte = inner(node)[1]
            seen = ctes | {cte.ctename} if tree.with_clause.recursive else ctes
            _query(inner(cte.ctequery)[1], outer, seen, found)
            ctes = ctes | {cte.ctename}
    if name == "SelectStmt" and tree.HasField("larg"):
        _query(tree.larg, outer, ctes, found)
        _query(tree.rarg, outer, ctes, found)
        return
    frame: Frame = {}
    frames = (frame, *outer)
    for node in _sources(tree):
        _source(node, frame, frames, ctes, found)
    if name != "SelectStmt":
        _target(name, tree, frame, ctes, found)
    hidden = frozenset(inner(node)[1].name for node in tree.target_list) if name == "SelectStmt" else frozenset()
    for field, item in children(tree):
        if field in ("with_clause", "from_clause", "using_clause", "relation", "source_relation", "into_clause", "locking_clause"):
            continue
        _expression(item, frames, ctes, found, hidden if field in ("sort_clause", "group_clause") else frozenset())


def _sources(tree: Any) -> list[Any]:
    fields = tree.DESCRIPTOR.fields_by_name
    nodes = [node for field in ("from_clause", "using_clause") if field in fields for node in getattr(tree, field)]
    return nodes + ([tree.source_relation] if "source_relation" in fields else [])


def _source(node: Any, frame: Frame, frames: tuple[Frame, ...], ctes: frozenset[str], found: Finding) -> None:
    kind, item = inner(node)
    match kind:
        case "range_var":
            frame[item.alias.aliasname or item.relname] = source_of(item, ctes, found)
        case "join_expr":
            _source(item.larg, frame, frames, ctes, found)
            _source(item.rarg, frame, frames, ctes, found)
            _joined(item, frame, found)
            _expression(item.quals, frames, ctes, found, frozenset())
            if item.alias.aliasname:
                frame[item.alias.aliasname] = Source()
        case "range_subselect":
            _query(inner(item.subquery)[1], frames, ctes, found)
            frame[item.alias.aliasname] = Source()
        case "range_table_sample":
            _source(item.relation, frame, frames, ctes, found)
            for argument in item.args:
                _expression(argument, frames, ctes, found, frozenset())
        case "":
            pass
        case _:  # functions, XMLTABLE, JSON_TABLE: their arguments may name columns
            _expression(item, frames, ctes, found, frozenset())
            alias = getattr(item, "alias", None)
            frame[alias.aliasname if alias is not None else ""] = Source()


def _joined(join: Any, frame: Frame, found: Finding) -> None:
    shared = words(join.using_clause)
    for source in frame.values():
        for name in shared:
            if source.has(name) is not False:
                found.columns_read.update(dict.fromkeys(source.column(name)))
        if join.is_natural:
            found.columns_read.update(dict.fromkeys(source.star()))


def _target(name: str, tree: Any, frame: Frame, ctes: frozenset[str], found: Finding) -> None:
    """The relation that is written, and which columns of it."""
    target = source_of(tree.relation, frozenset(), found)
    frame[tree.relation.alias.aliasname or tree.relation.relname] = target
    written: list[str] = []
    lists = [tree.cols] if name == "InsertStmt" else [tree.target_list] if name == "UpdateStmt" else []
    if name == "InsertStmt" and tree.HasField("on_conflict_clause"):
        frame["excluded"] = target
        lists.append(tree.on_conflict_clause.target_list)
    if name == "MergeStmt":
        lists = [inner(node)[1].target_list for node in tree.merge_when_clauses]
        if any(not target_list for target_list in lists):
            written.extend(target.star())
    if name == "DeleteStmt" or (name == "InsertStmt" and not tree.cols):
        written.extend(target.star())
    for target_list in lists:
        for node in target_list:
            written.extend(target.column(inner(node)[1].name))
    found.columns_written.update(dict.fromkeys(written))


def _expression(node: Any, frames: tuple[Frame, ...], ctes: frozenset[str], found: Finding, hidden: frozenset[str]) -> None:
    item = inner(node)[1] if type(node).__name__ == "Node" else node
    if item is None:
        return
    name = type(item).__name__
    if name in QUERIES:
        _query(item, frames, ctes, found)
    elif name == "ColumnRef":
        _reference(item, frames, found, hidden)
    else:
        for _, part in children(item):
            _expression(part, frames, ctes, found, hidden if name in ("SortBy", "List", "GroupingSet") else frozenset())


def _reference(reference: Any, frames: tuple[Frame, ...], found: Finding, hidden: frozenset[str]) -> None:
    parts = words(reference.fields)
    if len(parts) < len(reference.fields):  # it ends in a star
        sources = [_lookup(parts[-1], frames)] if parts else list(frames[0].values())
        for source in sources:
            found.columns_read.update(dict.fromkeys(source.star() if source is not None else (f"{'.'.join(parts)}.*",)))
        return
    if len(parts) == 1 and parts[0] in hidden:
        return  # an output of this query
    names = _bare(parts[0], frames) if len(parts) == 1 else _qualified(parts, frames)
    found.columns_read.update(dict.fromkeys(names))


def _lookup(alias: str, frames: tuple[Frame, ...]) -> Source | None:
    return next((frame[alias] for frame in frames if alias in frame), None)


def _qualified(parts: list[str], frames: tuple[Frame, ...]) -> Iterable[str]:
    source = _lookup(parts[-2], frames)
    if source is not None:
        return source.column(parts[-1])
    row = _lookup(parts[0], frames)  # a field of a column, or the name of a relation that is not in sight
    return row.column(parts[1]) if row is not None else (".".join(parts),)


def _bare(name: str, frames: tuple[Frame, ...]) -> Iterable[str]:
    for frame in frames:
        certain = [source for source in frame.values() if source.has(name)]
        if certain:
            return [full for source in certain for full in source.column(name)]
        if name in frame:
            return frame[name].star()  # a row taken whole
        possible = [source for source in frame.values() if source.has(name) is None]
        if possible:
            relations = [source for source in possible if source.relations]
            if not relations:
                return ()
            return relations[0].column(name) if len(possible) == 1 else (name,)
    return (name,) if frames and any(frames) else ()
