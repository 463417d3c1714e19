"""COPY ... TO STDOUT: what its rows are and how they are written, so that they can be masked (manual, "COPY"). Pure and total.

COPY has no RowDescription. The same rows as a query are described in its place, and that description makes the plan.
"""

from dataclasses import dataclass
from typing import Any

import postgast

from countersign.protocols.postgres.inspector import inner
from countersign.protocols.postgres.naming import written
from countersign.protocols.postgres.remembering import remembered

CopyFormat = tuple[str, int, int, int, bytes, bool]
"""Format, delimiter, quote, escape, null string, and whether a header line comes first: as the core takes them."""


@dataclass(frozen=True, slots=True)
class CopyOut:
    """One COPY to the client. ``rows_sql`` is a query with the same columns; ``all_columns``: it lists a relation's every column, of
    which COPY leaves out the generated ones. ``problem`` says why it cannot be masked, or is ''."""

    rows_sql: str = ""
    all_columns: bool = False
    format: CopyFormat = ("text", 9, 0, 0, b"\\N", False)
    problem: str = ""


class _Unreadable(Exception):
    """An option that is not understood."""


@remembered(256)
def copies_out(sql: str) -> tuple[CopyOut, ...]:
    """Every COPY to the client in a text, in order. Empty where the text cannot be parsed."""
    try:
        trees = [inner(raw.stmt) for raw in postgast.parse(sql).stmts]
    except Exception:  # the inspector says the same of it
        return ()
    return tuple(_copy_out(tree) for kind, tree in trees if kind == "copy_stmt" and is_to_client(tree))


def is_to_client(tree: Any) -> bool:
    """True for COPY ... TO STDOUT."""
    return not tree.is_from and not tree.is_program and not tree.filename


def _copy_out(tree: Any) -> CopyOut:
    if tree.HasField("query"):
        rows_sql = written(tree.query)
    else:
        columns = [inner(node)[1].sval for node in tree.attlist]
        rows_sql = f"SELECT {', '.join(map(_quoted, columns)) or '*'} FROM {_relation(tree.relation)}"  # noqa: S608  # only described, never run
    if not rows_sql:
        return CopyOut(problem="its query cannot be described on its own")
    try:
        return CopyOut(rows_sql, tree.HasField("relation") and not tree.attlist, _format(tree.options))
    except _Unreadable as error:
        return CopyOut(problem=str(error))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _relation(relation: Any) -> str:
    parts = (relation.catalogname, relation.schemaname, relation.relname)
    return ".".join(_quoted(part) for part in parts if part)


def _format(options: Any) -> CopyFormat:
    given = {option.def_elem.defname: option.def_elem for option in options}
    if len(given) != len(options):
        raise _Unreadable("an option is given twice")
    for name in given:
        if name not in ("format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding", "freeze"):
            raise _Unreadable(f"its option {name} is not understood")
    if "encoding" in given and _text(given["encoding"]).lower() not in ("utf8", "utf-8", "unicode"):
        raise _Unreadable("only the encoding UTF8 can be masked")
    name = _text(given["format"]).lower() if "format" in given else "text"
    if name not in ("text", "csv", "binary"):
        raise _Unreadable(f"its format {name} is not understood")
    in_csv = name == "csv"
    delimiter = _byte(given, "delimiter", b"," if in_csv else b"\t")
    quote = _byte(given, "quote", b'"')
    escape = _byte(given, "escape", bytes([quote]))
    null = _text(given["null"]).encode() if "null" in given else b"" if in_csv else b"\\N"
    return (name, delimiter, quote, escape, null, "header" in given and _is_on(given["header"]))


def _text(option: Any) -> str:
    kind, value = inner(option.arg)
    if kind != "string":
        raise _Unreadable(f"its option {option.defname} is not understood")
    return str(value.sval)


def _byte(given: dict[str, Any], name: str, default: bytes) -> int:
    value = _text(given[name]).encode() if name in given else default
    if len(value) != 1:
        raise _Unreadable(f"its option {name} is not one byte")
    return value[0]


def _is_on(option: Any) -> bool:
    kind, value = inner(option.arg)
    match kind:
        case "":
            return True
        case "boolean":
            return bool(value.boolval)
        case "integer":
            return bool(value.ival)
        case "string" if str(value.sval).lower() in ("true", "on", "1"):
            return True
        case "string" if str(value.sval).lower() in ("false", "off", "0"):
            return False
        case _:
            raise _Unreadable("its option header is not understood")
