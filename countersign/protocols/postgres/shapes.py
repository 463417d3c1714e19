"""The shape of a PostgreSQL command, for grants: its text with the literals lifted out, bound to how it was read. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict

from countersign import _core
from countersign.model import Command, Effect, Parameter
from countersign.model.grant import Literal, LiteralKind, Shape

GRANTABLE = frozenset({Effect.READ, Effect.WRITE})
"""What may be approved for more than one command."""
WHOLE_NUMBERS = (0, 20, 21, 23)
"""``pg_type``: not said, bigint, smallint, integer."""
TEXTS = (0, 25, 1042, 1043)
"""``pg_type``: not said, text, character, character varying."""
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


def shape_of(command: Command, settings: Mapping[str, str]) -> Shape | None:
    """None where a command is none of those that can be granted: more than reads and writes of tables, unmasked values, a name that stands
    for another text, or a text that could be read in several ways. ``settings`` are those that the session began with; it must not have
    changed where names are looked for since."""
    sql = command.text.encode()
    if not command.effects or not command.effects <= GRANTABLE or command.asks_unmasked or command.is_cut:
        return None
    if any(statement.named or statement.copy for statement in command.statements):
        return None
    places = _core.shape_constants(sql)
    if places is None:
        return None
    hashed = hashlib.sha256(b"countersign shape v1\0")
    reading = [asdict(statement) | {"effects": sorted(statement.effects), "summary": ""} for statement in command.statements]
    types = [parameter.type_oid for parameter in command.parameters]
    decides = {"reading": reading, "attributes": dict(command.attributes), "types": types, "settings": dict(settings)}
    for part in (
        command.protocol.encode(),
        _core.shape_key(sql, False),
        json.dumps(decides, sort_keys=True, default=sorted).encode(),
    ):
        hashed.update(len(part).to_bytes(8, "big") + part)
    literals = [_literal(sql[start:end].decode()) for start, end in places]
    return Shape(hashed.hexdigest(), _shown(sql, places, len(command.parameters)), (*literals, *map(_bound, command.parameters)))


def _shown(sql: bytes, places: list[tuple[int, int]], parameters: int) -> str:
    shown, at = b"", 0
    for number, (start, end) in enumerate(places, 1):
        shown += sql[at:start] + f"⟨{number}⟩".encode()
        at = end
    bound = ", ".join(f"${number} = ⟨{len(places) + number}⟩" for number in range(1, parameters + 1))
    return (shown + sql[at:]).decode() + (f"  ({bound})" if bound else "")


def _literal(written: str) -> Literal:
    if written.startswith("'"):
        return Literal(LiteralKind.TEXT, written[1:-1].replace("''", "'"))
    return Literal(LiteralKind.NUMBER, str(int(written)))


def _bound(parameter: Parameter) -> Literal:
    if parameter.raw is None:
        return Literal(LiteralKind.NULL, "")
    if parameter.type_oid in WHOLE_NUMBERS and WHOLE_NUMBER.fullmatch(parameter.shown) and _is_shown_whole(parameter):
        return Literal(LiteralKind.NUMBER, str(int(parameter.shown)))
    if parameter.type_oid in TEXTS and _is_utf8(parameter.raw):
        return Literal(LiteralKind.TEXT, parameter.raw.decode())
    return Literal(LiteralKind.OTHER, f"{parameter.type_oid} {'binary' if parameter.binary else 'text'} {parameter.raw.hex()}")


def _is_shown_whole(parameter: Parameter) -> bool:
    """A number in binary is decoded to what is shown; in text it must be what stands there."""
    assert parameter.raw is not None
    if not parameter.binary:
        return parameter.raw == parameter.shown.encode()
    return parameter.type_oid != 0 and int.from_bytes(parameter.raw, "big", signed=True) == int(parameter.shown)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
