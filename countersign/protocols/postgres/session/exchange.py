"""One statement with parameters on a connection of the gateway's own, for what a held command would touch.

What the server says in words is not passed on: it may quote values.
"""

from collections.abc import Awaitable, Callable, Sequence

from countersign import _core
from countersign._core import RowPlan
from countersign.model import Parameter
from countersign.model.blast import NoBlastRadius
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.session.inquiry import PASSED
from countersign.protocols.postgres.session.target import TargetConnection

REASONS = {
    "42501": "the role of previews has no right to it",
    "55P03": "something that it needs is locked",
    "57014": "it took too long",
    "42P01": "a relation is not there, for the connection of previews",
    "40001": "it met a change made by others",
    "40P01": "it met a change made by others",
}

Rows = list[list[bytes | None]]
Planner = Callable[[bytes], Awaitable[RowPlan]]


async def as_they_are(description: bytes) -> RowPlan:
    """The plan for rows that only the gateway sees."""
    return RowPlan([PASSED] * len(_core.decode_row_description(description)), None)


async def exchange(
    connection: TargetConnection,
    sql: str,
    parameters: Sequence[Parameter] = (),
    *,
    take: Callable[[Rows], None] | None = None,
    plan: Planner = as_they_are,
    limit: int = 0,
) -> str:
    """The command tag, '' where only so many rows were asked for and there are more. ``take`` is given the rows as they come, made by the
    ``plan`` for their RowDescription; else they are let go.

    Raises ``NoBlastRadius`` where the server refuses, after which the connection may be used on; and the errors of a broken wire.
    """
    connection.wire.send(
        messages.parse(b"", sql.encode(), [parameter.type_oid for parameter in parameters])
        + messages.bind(b"", b"", [(parameter.binary, parameter.raw) for parameter in parameters])
        + messages.describe_portal(b"")
        + messages.FLUSH
    )
    asked_rows = False
    tag, refusal = "", ""
    while True:
        while (event := connection.decoder.next()) is None:
            connection.decoder.feed(await connection.wire.receive())
        kind, data, count = event
        match chr(kind):
            case "T" | "n":
                if kind == ord("T"):
                    connection.decoder.set_row_plan(await plan(data))
                connection.wire.send(messages.execute(b"", limit) + messages.SYNC)
                asked_rows = True
            case "D" if take is not None:
                take(_core.decode_rows(data, count))
            case "C":
                tag = data[5:-1].decode("ascii", "replace")
            case "E":
                code = dict(_core.decode_fields(data)).get("C", b"").decode("ascii", "replace")
                refusal = REASONS.get(code, "the server refuses it") + f" (SQLSTATE {code})"
                if not asked_rows:
                    connection.wire.send(messages.SYNC)
            case "Z" if refusal:
                raise NoBlastRadius(refusal)
            case "Z":
                return tag
