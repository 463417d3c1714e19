"""Masks what a server says in words: ErrorResponse and NoticeResponse quote values ("Key (email)=(...) already exists"). Pure."""

from collections.abc import Collection

from countersign._core import decode_fields
from countersign.protocols.postgres.masking import TargetMasking
from countersign.protocols.postgres.messages import response_fields
from countersign.protocols.postgres.speech import Speech

OF_THE_SERVER_S_STATE = ("25", "40", "53", "55", "57")
"""SQLSTATE classes whose messages name transactions, locks, limits and shut-downs, not values (manual, appendix "PostgreSQL Error
Codes"). Class 42 is not here: ``'...'::regclass`` quotes its value with it. A function of a user's own can raise any."""

NAMES_OBJECTS = frozenset({b"aclcheck_error", b"CreatePortal", b"EvaluateParams"})
"""The server's routines (field R) whose messages name an object that exists or that the command itself names."""

NAMES_WHAT_IT_SEEKS = frozenset({b"RangeVarGetRelidExtended", b"FetchPreparedStatement", b"PerformPortalFetch"})
"""Routines whose messages name, in quotes, what does not exist. ``'...'::regclass`` comes to the first of them too."""

SAYS_NOTHING_OF_ROWS = frozenset(
    b"""
    ProcessInterrupts DeadLockReport CreateExtension BeginTransactionBlock EndTransactionBlock UserAbortTransactionBlock
    PreventInTransactionBlock PreventCommandIfReadOnly exec_simple_query exec_parse_message exec_bind_message exec_execute_message
    exec_describe_statement_message exec_describe_portal_message
    """.split()
)
"""Routines that speak of the server's state and of the protocol, whoever's code is running. No code of users' own can pretend to be one: RAISE and its like
name the routine of their language."""

FIXED = frozenset({b"division by zero", b"smallint out of range", b"integer out of range", b"bigint out of range"})
"""Messages that are the same whatever the values were."""

WITHHELD = b"the server's text is withheld, for it may quote masked values; the SQLSTATE is the server's"
KEPT = frozenset("SVCPFLRnsctd")
"""Severity, code, positions and names of objects: nothing of a row's values."""
EXPLAINS = frozenset("DH")
"""DETAIL and HINT."""


def mask_response(raw: bytes, masking: TargetMasking, speech: Speech, named: Collection[str] = ()) -> bytes:
    """The response with its texts masked. ``speech``: what they may hold; ``named``: what the statement itself calls by name.

    Raises ``ProtocolError`` where it is malformed.
    """
    if masking.masker is None:
        return raw
    fields = decode_fields(raw)
    shown = _shown(dict(fields), speech, named)
    masked = []
    for name, value in fields:
        if name in KEPT:
            masked.append((name, value))
        elif name in shown:
            masked.append((name, masking.masker.mask_text(value)[0]))
        elif name == "M":
            masked.append((name, WITHHELD))
    return response_fields(raw[:1], masked)


def _shown(fields: dict[str, bytes], speech: Speech, named: Collection[str]) -> frozenset[str]:
    """The texts that may be shown, by their fields (manual, "Error and Notice Message Fields")."""
    if speech is Speech.PLAIN:
        return frozenset(fields)
    if "P" in fields and "W" not in fields:
        # A place in the client's own text: it was analysed and not run. What is run within a function has an internal place instead, and
        # a value that is itself parsed (``ssn::regtype``) a context.
        return EXPLAINS | {"M"}
    if fields.get("R") in SAYS_NOTHING_OF_ROWS or fields.get("M") in FIXED:
        return frozenset("M")
    if fields.get("R") in NAMES_WHAT_IT_SEEKS and _quoted(fields.get("M", b"")) in named:
        return frozenset("M")
    code = fields.get("C", b"").decode("ascii", "replace")
    if speech is Speech.ROWS and (code.startswith(OF_THE_SERVER_S_STATE) or fields.get("R") in NAMES_OBJECTS):
        return EXPLAINS | {"M"} if code.startswith("40") else frozenset("MH")
    return frozenset()


def _quoted(message: bytes) -> str | None:
    """The last part of the one name that stands in double quotes. None where there are more: a name may hold quotes itself."""
    parts = message.decode("utf-8", "replace").split('"')
    return parts[1].rsplit(".", 1)[-1] if len(parts) == 3 else None
