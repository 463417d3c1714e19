"""Asks a target on the gateway's own behalf, on a connection that no client shares."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from countersign import _core
from countersign._core import ProtocolError
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.session.target import TargetConnection
from countersign.protocols.wire import WireClosed

INQUIRY_TIMEOUT_S = 60.0

_READERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda value: value == b"t",
    18: bytes,
    **dict.fromkeys((19, 25, 1042, 1043, 2205, 2206), lambda value: value.decode()),
    **dict.fromkeys((20, 21, 23, 24, 26, 28), int),
    **dict.fromkeys((22, 30), lambda value: [int(one) for one in value.split()]),
    **dict.fromkeys((1005, 1007, 1016, 1028), lambda value: [int(one) for one in value[1:-1].split(b",") if one]),
}
"""How the text of a value is read, by its type's OID (``pg_type.dat``): bool, "char", names and texts, whole numbers and OIDs, vectors
and arrays of such."""


class InquiryFailed(Exception):
    """The target did not answer, or with what was not expected. The text is for the log."""


async def fetch(connection: TargetConnection, sql: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """The rows of one query, its parameters given as text. Raises ``InquiryFailed``, after which the connection is of no use."""
    try:
        async with asyncio.timeout(INQUIRY_TIMEOUT_S):
            return await _fetch(connection, sql, parameters)
    except (WireClosed, ProtocolError, TimeoutError, ValueError) as error:
        raise InquiryFailed(str(error) or type(error).__name__) from error


async def _fetch(connection: TargetConnection, sql: str, parameters: Sequence[str]) -> list[tuple[Any, ...]]:
    connection.wire.send(
        messages.parse(b"", sql.encode())
        + messages.bind_texts(b"", b"", [parameter.encode() for parameter in parameters])
        + messages.describe_portal(b"")
        + messages.execute(b"")
        + messages.SYNC
    )
    readers: list[Callable[[bytes], Any]] = []
    rows: list[tuple[Any, ...]] = []
    while True:
        while (event := connection.decoder.next()) is None:
            connection.decoder.feed(await connection.wire.receive())
        kind, data, count = event
        match chr(kind):
            case "T":
                columns = _core.decode_row_description(data)
                readers = [_reader(column[3]) for column in columns]
                connection.decoder.set_row_plan(_core.RowPlan([PASSED] * len(columns), None))
            case "D":
                rows += [_row(row, readers) for row in _core.decode_rows(data, count)]
            case "E":
                raise InquiryFailed(dict(_core.decode_fields(data)).get("M", b"").decode("utf-8", "replace"))
            case "Z":
                return rows


PASSED = ("pass", "text", False, "", '{"redact":{}}')
"""A column of the gateway's own query."""


def _reader(type_oid: int) -> Callable[[bytes], Any]:
    reader = _READERS.get(type_oid)
    if reader is None:
        raise InquiryFailed(f"a column of type {type_oid}, which the gateway does not read")
    return reader


def _row(row: list[bytes | None], readers: list[Callable[[bytes], Any]]) -> tuple[Any, ...]:
    return tuple(None if value is None else reader(value) for value, reader in zip(row, readers, strict=True))


async def hang_up(connection: TargetConnection) -> None:
    """Say goodbye and close."""
    connection.wire.send(messages.TERMINATE)
    await connection.wire.close()
