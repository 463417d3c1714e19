"""Masks what a server says in words: ErrorResponse and NoticeResponse quote values ("Key (email)=(...) already exists"). Pure."""

from countersign._core import decode_fields
from countersign.protocols.postgres.masking import TargetMasking
from countersign.protocols.postgres.messages import response_fields

SPEAKS_OF_THE_STATEMENT = ("42", "25", "40", "55", "57", "08", "0A", "26", "34", "3D", "3F", "53", "54")
"""SQLSTATE classes whose texts name what the client itself wrote (syntax, names, privileges, transaction and connection state), not
values of rows (manual, appendix "PostgreSQL Error Codes")."""

WITHHELD = b"the server's text is withheld, for it may quote masked values; the SQLSTATE is the server's"
KEPT = frozenset("SVCPFLRnsctd")
"""Severity, code, positions and names of objects: nothing of a row's values."""
CODE = "C"


def mask_response(raw: bytes, masking: TargetMasking, sensitive: bool) -> bytes:
    """The response with its texts masked. ``sensitive``: column rules apply to the target and a command is being answered.

    Raises ``ProtocolError`` where it is malformed.
    """
    if masking.masker is None:
        return raw
    fields = decode_fields(raw)
    code = dict(fields).get(CODE, b"").decode("ascii", "replace")
    masked = []
    for name, value in fields:
        if name in KEPT:
            masked.append((name, value))
        elif sensitive and not code.startswith(SPEAKS_OF_THE_STATEMENT):
            if name == "M":
                masked.append((name, WITHHELD))
        else:
            masked.append((name, masking.masker.mask_text(value)[0]))
    return response_fields(raw[:1], masked)
