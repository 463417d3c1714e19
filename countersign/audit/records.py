"""How a record is written. Pure.

A record is encoded once, when it is handed over: what is hashed and what is stored are the same bytes. The quick encoder is used
where it is known to agree with RFC 8785, and RFC 8785's own everywhere else.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import orjson
import rfc8785

from countersign.audit.merkle import leaf_hash
from countersign.model import AuditEvent, AuditRecord

VERSION = 1
"""Of the schema in docs/audit-log.md. It moves on when a field changes its meaning or goes; new kinds and new fields do not move it."""

QUICK = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)  # fmt: skip
PLAIN = frozenset({str, int, bool, type(None)})
BEYOND_BMP = re.compile(rb"[\xf0-\xff]")


class Encoded(NamedTuple):
    """An event ready to be given its place: ``body`` is its RFC 8785 form."""

    kind: str
    body: bytes


def encode(event: AuditEvent) -> Encoded:
    """Raises ``ValueError`` where the body is not JSON, or holds what RFC 8785 has no form for."""
    return Encoded(event.kind, canonical(event.body))


def canonical(body: Mapping[str, object]) -> bytes:
    """The RFC 8785 form. Raises ``ValueError`` as ``rfc8785.dumps`` does."""
    if _is_plain(body.values()):
        try:
            encoded = orjson.dumps(body, option=QUICK)
        except orjson.JSONEncodeError:
            return rfc8785.dumps(body)  # type: ignore[arg-type]  # which finds the words for what is wrong
        # RFC 8785 sorts keys by UTF-16 units, which is the order of their UTF-8 bytes unless a key goes beyond the BMP.
        if encoded.isascii() or not BEYOND_BMP.search(encoded):
            return encoded
    return rfc8785.dumps(body)  # type: ignore[arg-type]


def _is_plain(values: Iterable[object]) -> bool:
    """True without floats, which the encoders write differently, and without types that only one of them knows."""
    if PLAIN.issuperset(map(type, values)):
        return True
    for value in values:
        kind = type(value)
        if kind is dict:
            if not _is_plain(value.values()):  # type: ignore[attr-defined]
                return False
        elif kind is list or kind is tuple:
            if not _is_plain(value):  # type: ignore[arg-type]
                return False
        elif kind not in PLAIN and not issubclass(kind, StrEnum):
            return False
    return True


def entry(encoded: Encoded, *, seq: int, time: str) -> bytes:
    """The RFC 8785 form of a record at its place, whose hash is a leaf of the tree. ``time`` holds nothing that JSON escapes."""
    return b'{"body":%b,"kind":%b%b' % (encoded.body, _quoted(encoded.kind), place(seq, time))


def place(seq: int, time: str) -> bytes:
    """How the entry at this place ends."""
    return b',"seq":%d,"time":"%b","v":%d}' % (seq, time.encode(), VERSION)


@functools.lru_cache(maxsize=256)
def _quoted(kind: str) -> bytes:
    return rfc8785.dumps(kind)


def record_of(line: bytes) -> AuditRecord:
    """The record that an entry holds. Raises ``ValueError`` where it is none."""
    fields = orjson.loads(line)
    if not isinstance(fields, dict) or fields.keys() != {"body", "kind", "seq", "time", "v"}:
        raise ValueError("not the entry of a record")
    seq, time, kind, body = fields["seq"], fields["time"], fields["kind"], fields["body"]
    of_form = type(seq) is int and isinstance(time, str) and isinstance(kind, str) and isinstance(body, dict)
    if not of_form or fields["v"] != VERSION:
        raise ValueError("not the entry of a record")
    return AuditRecord(seq=seq, time=time, kind=kind, body=body, hash=leaf_hash(line).hex())
