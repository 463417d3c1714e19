"""Small things about the grammar's trees."""

from collections.abc import Iterator
from typing import Any


def inner(node: Any) -> tuple[str, Any]:
    """A Node's kind, as its field is called, and the node itself."""
    kind = node.WhichOneof("node")
    return (kind, getattr(node, kind)) if kind else ("", None)


def words(nodes: Any) -> list[str]:
    """The texts of a list of String nodes, such as a qualified name; what is no String is left out."""
    return [item.sval for kind, item in map(inner, nodes) if kind == "string"]


def enum_name(tree: Any, field: str) -> str:
    """The name of an enumeration's value."""
    values = tree.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(values[getattr(tree, field)].name)


def relation_name(relation: Any) -> str:
    """``schema.table``, or ``table`` where the text names no schema."""
    return ".".join(part for part in (relation.schemaname, relation.relname) if part)


def constant(node: Any) -> str | None:
    """The text of a constant, cast or not; None for anything else."""
    kind, item = inner(node)
    if kind == "type_cast":
        return constant(item.arg)
    if kind == "string":
        return str(item.sval)
    if kind != "a_const" or item.isnull:
        return None
    value = item.WhichOneof("val")
    held: Any = getattr(item, value) if value else None
    match value:
        case "sval":
            return str(held.sval)
        case "ival":
            return str(held.ival)
        case "fval":
            return str(held.fval)
        case "boolval":
            return str(held.boolval).lower()
        case _:
            return None


def children(message: Any) -> Iterator[tuple[str, Any]]:
    """Every message within a message, one level down, with the name of its field."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for item in value if descriptor.is_repeated else (value,):
                yield descriptor.name, item


def descendants(message: Any) -> Iterator[Any]:
    """A message and everything below it, Node wrappers left out."""
    if type(message).__name__ != "Node":
        yield message
    for _, item in children(message):
        yield from descendants(item)


def possible_rows(message: Any, parent: str = "") -> Iterator[str]:
    """Names that may stand for a relation's whole row: the last of every column reference, but for ``x.*`` where it is x's columns."""
    name = type(message).__name__
    if name == "ColumnRef":
        said = words(message.fields)
        if said and (parent != "ResTarget" or len(said) == len(message.fields)):
            yield said[-1]
        return
    for _, item in children(message):
        yield from possible_rows(item, parent if name == "Node" else name)
