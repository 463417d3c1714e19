"""How one record is chained to the one before it. Pure.

A record is encoded once, when it is handed over: what is hashed and what is stored are the same bytes. The quick encoder is used
where it is known to agree with RFC 8785, and RFC 8785's own everywhere else; ``verify`` knows nothing of the quick one.
"""

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import orjson
import rfc8785

from countersign.model import AuditEvent, AuditRecord

GENESIS = hashlib.sha256(b"countersign audit log v1").hexdigest()
"""The ``previous_hash`` of the first record."""

QUICK = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)  # fmt: skip
PLAIN = frozenset({str, int, bool, type(None)})
BEYOND_BMP = re.compile(rb"[\xf0-\xff]")


class Encoded(NamedTuple):
    """An event ready to be chained: ``body`` is its RFC 8785 form."""

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


def seal(entry: Encoded, *, seq: int, time: str, previous_hash: str) -> str:
    """The record's hash: SHA-256 (hex) over the RFC 8785 form of the whole entry, the previous hash included.

    ``time`` and ``previous_hash`` hold nothing that JSON escapes.
    """
    parts = (entry.body, _quoted(entry.kind), previous_hash.encode(), seq, time.encode())
    return hashlib.sha256(b'{"body":%b,"kind":%b,"previous_hash":"%b","seq":%d,"time":"%b"}' % parts).hexdigest()


@functools.lru_cache(maxsize=256)
def _quoted(kind: str) -> bytes:
    return rfc8785.dumps(kind)


def link(event: AuditEvent, *, seq: int, time: str, previous_hash: str) -> AuditRecord:
    """Give an event its place in the log. Raises ``ValueError`` as ``encode`` does."""
    return AuditRecord(
        seq=seq,
        time=time,
        kind=event.kind,
        body=event.body,
        previous_hash=previous_hash,
        hash=seal(encode(event), seq=seq, time=time, previous_hash=previous_hash),
    )
