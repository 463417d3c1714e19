"""Approvals for at most so many rows: of which commands the server's own count says how many rows they changed. Pure.

What exceeds its bound is undone by an error that the gateway lets the server raise behind it, in the same transaction: a command that is
its own transaction runs as the only one of a segment, which the server commits at its end.
"""

import postgast

from countersign import _core
from countersign.model import Command, Effect
from countersign.protocols.postgres.inspector import inner

CHANGES = {"insert_stmt": "INSERT", "update_stmt": "UPDATE", "delete_stmt": "DELETE", "merge_stmt": "MERGE"}
UNCOUNTED = -1
"""Stands for a number of rows that the server did not tell."""


def bound_problem(command: Command) -> str:
    """Why a command cannot be approved for at most so many rows; '' where it can."""
    if not command.effects <= {Effect.READ, Effect.WRITE} or len(command.statements) != 1:
        return "only a single INSERT, UPDATE, DELETE or MERGE of which all is understood can be bounded"
    (statement,) = command.statements
    if statement.named or statement.triggers or len(statement.writes) != 1:
        return "it changes more than the rows of one table, and the server counts only those of its own statement"
    try:
        (raw,) = postgast.parse(command.text).stmts
        kind, tree = inner(raw.stmt)
    except Exception:  # not one statement that can be read
        return "its text cannot be read as one statement"
    if CHANGES.get(kind) != statement.kind:
        return f"the server does not count the rows of {statement.kind}"
    if any(field.name in ("returning_list", "with_clause", "returning_clause") for field, _ in tree.ListFields()):
        return (
            "a command with WITH or RETURNING cannot be bounded: its rows would be seen, or others changed, before they are counted"
        )
    return ""


def counted_rows(tag: str) -> int | None:
    """The rows of a CommandComplete; None where it says none."""
    number = tag.rpartition(" ")[2]
    return int(number) if number.isascii() and number.isdigit() else None


def is_exactly(raw: bytes, sql: str) -> bool:
    """Whether a Query holds this text and nothing else, so that the text may be sent in its place."""
    return _core.decode_query(raw) == sql.encode()
