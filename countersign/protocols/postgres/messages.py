"""PostgreSQL messages that the gateway itself writes (manual, chapter "Frontend/Backend Protocol", "Message Formats"). Pure."""

import struct
from collections.abc import Mapping, Sequence

SSL_REQUEST = struct.pack(">II", 8, 80877103)
PROTOCOL_3_0 = 196608
SYNC = b"S\x00\x00\x00\x04"
FLUSH = b"H\x00\x00\x00\x04"
TERMINATE = b"X\x00\x00\x00\x04"

REFUSED_SQL = b"countersign refused this command"
"""No PostgreSQL grammar has such a statement. The server is bound to reject it, in any transaction state, and so stays the only
keeper of that state; the client gets the gateway's words in place of the server's."""


def message(kind: bytes, payload: bytes = b"") -> bytes:
    """A typed message."""
    return kind + struct.pack(">I", len(payload) + 4) + payload


def _text(value: str) -> bytes:
    # A NUL would end the field early and let the rest be read as another.
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace") + b"\0"


def _fields(severity: str, code: str, text: str, detail: str, hint: str) -> bytes:
    parts = [b"S" + _text(severity), b"V" + _text(severity), b"C" + _text(code), b"M" + _text(text)]
    if detail:
        parts.append(b"D" + _text(detail))
    if hint:
        parts.append(b"H" + _text(hint))
    return b"".join(parts) + b"\0"


def error_response(code: str, text: str, *, detail: str = "", hint: str = "", severity: str = "ERROR") -> bytes:
    """An ErrorResponse in the gateway's own words."""
    return message(b"E", _fields(severity, code, text, detail, hint))


def notice_response(text: str, *, detail: str = "", hint: str = "") -> bytes:
    """A NoticeResponse in the gateway's own words."""
    return message(b"N", _fields("NOTICE", "00000", text, detail, hint))


def response_fields(kind: bytes, fields: Sequence[tuple[str, bytes]]) -> bytes:
    """An ErrorResponse (``E``) or NoticeResponse (``N``) from its decoded fields."""
    return message(kind, b"".join(code.encode() + value + b"\0" for code, value in fields) + b"\0")


def startup_message(parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage of protocol 3.0."""
    pairs = b"".join(_text(name) + _text(value) for name, value in parameters.items())
    return struct.pack(">II", len(pairs) + 9, PROTOCOL_3_0) + pairs + b"\0"


def cancel_request(pid: int, key: bytes) -> bytes:
    """A CancelRequest."""
    return struct.pack(">III", 12 + len(key), 80877102, pid) + key


def authentication(code: int, payload: bytes = b"") -> bytes:
    """An Authentication* message: 0 Ok, 3 CleartextPassword, 10 SASL, 11 SASLContinue, 12 SASLFinal."""
    return message(b"R", struct.pack(">I", code) + payload)


def sasl_mechanisms(names: Sequence[str]) -> bytes:
    """AuthenticationSASL."""
    return authentication(10, b"".join(_text(name) for name in names) + b"\0")


def password_message(payload: bytes) -> bytes:
    """PasswordMessage or SASLResponse, as the payload says."""
    return message(b"p", payload)


def sasl_initial_response(mechanism: str, data: bytes) -> bytes:
    """SASLInitialResponse."""
    return message(b"p", _text(mechanism) + struct.pack(">i", len(data)) + data)


def backend_key_data(pid: int, key: bytes) -> bytes:
    """BackendKeyData."""
    return message(b"K", struct.pack(">I", pid) + key)


def negotiate_protocol_version(minor: int, unknown_options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: protocol 3 with this minor version is spoken, and these options are not known."""
    options = b"".join(_text(option) for option in unknown_options)
    return message(b"v", struct.pack(">II", PROTOCOL_3_0 + minor, len(unknown_options)) + options)


def query(sql: bytes) -> bytes:
    """A simple Query."""
    return message(b"Q", sql + b"\0")


def parse(name: bytes, sql: bytes, types: Sequence[int] = ()) -> bytes:
    """A Parse; of parameters whose types are not given, or 0, the server finds out."""
    return message(b"P", name + b"\0" + sql + b"\0" + struct.pack(f">H{len(types)}I", len(types), *types))


def describe_portal(name: bytes) -> bytes:
    """A Describe of a portal."""
    return message(b"D", b"P" + name + b"\0")


def describe_statement(name: bytes) -> bytes:
    """A Describe of a prepared statement."""
    return message(b"D", b"S" + name + b"\0")


def close_statement(name: bytes) -> bytes:
    """A Close of a prepared statement."""
    return message(b"C", b"S" + name + b"\0")


def close_portal(name: bytes) -> bytes:
    """A Close of a portal."""
    return message(b"C", b"P" + name + b"\0")


def bind_texts(portal: bytes, statement: bytes, values: Sequence[bytes]) -> bytes:
    """A Bind with text parameters, asking for text."""
    parameters = b"".join(struct.pack(">i", len(value)) + value for value in values)
    return message(
        b"B", portal + b"\0" + statement + b"\0" + struct.pack(">HH", 0, len(values)) + parameters + struct.pack(">H", 0)
    )


def bind(portal: bytes, statement: bytes, values: Sequence[tuple[bool, bytes | None]]) -> bytes:
    """A Bind with parameters in their formats (binary or not, the value), asking for text."""
    formats = struct.pack(f">H{len(values)}H", len(values), *(binary for binary, _ in values))
    parameters = b"".join(struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value for _, value in values)
    return message(
        b"B", portal + b"\0" + statement + b"\0" + formats + struct.pack(">H", len(values)) + parameters + struct.pack(">H", 0)
    )


def execute(portal: bytes, rows: int = 0) -> bytes:
    """An Execute for so many rows at most, 0 for all."""
    return message(b"E", portal + b"\0" + struct.pack(">i", rows))


def function_call_response(value: bytes | None) -> bytes:
    """A FunctionCallResponse."""
    return message(b"V", struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value)


def row_description(columns: Sequence[tuple[bytes, int, int, int, int, int, int]]) -> bytes:
    """A RowDescription of columns as the core decodes them."""
    fields = b"".join(name + b"\0" + struct.pack(">IhIhih", *rest) for name, *rest in columns)
    return message(b"T", struct.pack(">h", len(columns)) + fields)
