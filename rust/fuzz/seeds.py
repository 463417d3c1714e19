"""Writes the kept seeds of the fuzz targets, `seeds/TARGET/NAME`: one of each message, and the ways in which they go wrong.

Run it from anywhere; it writes the same bytes every time. A file of another name (a crash kept as a test) is left alone.
"""

import struct
from pathlib import Path

SEEDS = Path(__file__).with_name("seeds")
KINDS = (
    "text padded xml json jsonb int2 int4 int8 oid numeric float4 float8 money uuid date time timestamp timestamptz inet cidr macaddr "
    "macaddr8 bytea bits other"
).split()
PASS, DETECT, MASK, PATHS, BINARY = 0, 1, 2, 3, 4


def column(mode: int, kind: str, operator: int = 0) -> bytes:
    """A column as the targets read it: mode + 4 * binary + 8 * operator, and the kind."""
    return bytes([mode + 8 * operator, KINDS.index(kind)])


REDACT_TEXT, DETECT_TEXT, PASS_TEXT = column(MASK, "text"), column(DETECT, "text"), column(PASS, "text")


def message(kind: bytes, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return kind + struct.pack(">I", len(payload) + 4) + payload


def short(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *(value & 0xFFFF for value in values))


def value(data: bytes | None) -> bytes:
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def startup_packet(*parts: bytes) -> bytes:
    payload = b"".join(parts)
    return struct.pack(">I", len(payload) + 4) + payload


def row(*values: bytes | None) -> bytes:
    return message(b"D", short(len(values)), *map(value, values))


def row_of_copy(*values: bytes) -> bytes:
    return b"".join(bytes([len(value)]) + value for value in values)


PARSE = message(b"P", b"s\0SELECT $1::int\0", short(1), struct.pack(">I", 23))
BIND = message(b"B", b"p\0s\0", short(1, 0, 1), value(b"42"), short(1, 1))
EXECUTE = message(b"E", b"p\0", struct.pack(">i", 0))
PARSE_UNNAMED = message(b"P", b"\0SELECT $1::int\0", short(0))
BIND_UNNAMED = message(b"B", b"\0\0", short(0, 1), value(b"42"), short(0))
EXECUTE_UNNAMED = message(b"E", b"\0", struct.pack(">i", 0))
PIPELINE = PARSE + BIND + message(b"D", b"Pp\0") + EXECUTE + message(b"C", b"Ss\0") + message(b"H") + message(b"S")

FRONTEND = {
    "query": message(b"Q", b"SELECT 1\0"),
    "pipeline": PIPELINE,
    "copy": message(b"d", b"1\tx\n") + message(b"c") + message(b"f", b"why\0"),
    "function-call": message(b"F", struct.pack(">I", 2201), short(0, 1), value(b"x"), short(0)),
    "password-and-terminate": message(b"p", b"secret\0") + message(b"X"),
    "null-and-binary-parameters": message(b"B", b"\0\0", short(2, 0, 1, 2), value(None), value(b"\0\0\0\x01"), short(0)),
    "many-parameters": message(b"B", b"\0\0", short(0, 300), value(None) * 300, short(0)),
    "negative-counts": message(b"P", b"\0\0", short(-1)) + message(b"B", b"\0\0", short(-1)),
    "negative-value-length": message(b"B", b"\0\0", short(0, 1), struct.pack(">i", -2), short(0)),
    "copy-streamed": message(b"d", b"x") + b"d\0\1\x80\0the beginning",
    "length-0": b"Q\0\0\0\0",
    "length-negative": b"Q\xff\xff\xff\xff",
    "length-beyond-limit": b"Q\0\1\0\0SELECT",
    "unknown-type": message(b"Q", b"\0") + b"G",
    "behind-the-nul": message(b"Q", b"SELECT 1\0; DROP TABLE t\0"),
    "no-nul": message(b"Q", b"SELECT 1") + message(b"D", b"S"),
}
BACKEND = {
    "result": message(b"T", short(1), b"a\0", struct.pack(">IhIhih", 1, 1, 25, -1, -1, 0))
    + row(b"x")
    + message(b"C", b"SELECT 1\0"),
    "three-rows": row(b"123-45-6789") + row(None) + row(b""),
    "row-of-another-width": row(b"a") + row(b"a", b"b"),
    "row-without-end": row(b"a") + b"D\0\0\0\x10\0\1\0\0\0\x40abc",
    "row-behind-its-end": message(b"D", short(1), value(b"a"), b"more"),
    "error": message(b"E", b"SERROR\0C23505\0Mduplicate key\0DKey (email)=(a@example.com) already exists.\0\0"),
    "notice-and-status": message(b"N", b"SNOTICE\0Mhi\0\0") + message(b"S", b"client_encoding\0UTF8\0") + message(b"Z", b"I"),
    "notification": message(b"A", struct.pack(">I", 7), b"channel\0payload\0"),
    "length-0": row(b"a") + b"D\0\0\0\0",
    "length-huge": row(b"a") + b"D\x7f\xff\xff\xff",
}
ROWS = {
    "text": bytes([5]) + b"hello" + b"\0",
    "email": bytes([17]) + b"ana@example.com x" + b"\0" + bytes([0]) + b"\0",
    "null": bytes([255]) + b"\0" + bytes([3]) + b"abc",
    "json-string": bytes([24]) + b'"mail: \\nana@example.com"' + b"\0",
    "json-number": bytes([25]) + b'{"card":4242424242424242 }' + b"\0",
    "array-of-numbers": bytes([40])
    + struct.pack(">iiIiii", 1, 0, 1700, 1, 1, 16)
    + short(4, 3, 0, 0, 4242, 4242, 4242, 4242)
    + b"\0",
    "json-key": bytes([23]) + b'{"ana@example.com": 1e3}' + b"\0",
}
STARTUP = {
    "ssl": startup_packet(struct.pack(">I", 80877103)),
    "gssenc": startup_packet(struct.pack(">I", 80877104)),
    "cancel": startup_packet(struct.pack(">III", 80877102, 7, 99)),
    "cancel-long-key": startup_packet(struct.pack(">II", 80877102, 7), bytes(32)),
    "session": startup_packet(struct.pack(">I", 3 << 16), b"user\0crew\0database\0shop\0\0"),
    "session-3.2": startup_packet(struct.pack(">I", 3 << 16 | 2), b"user\0crew\0_pq_.x\0y\0\0"),
    "given-twice": startup_packet(struct.pack(">I", 3 << 16), b"user\0a\0USER\0b\0\0"),
    "not-utf8": startup_packet(struct.pack(">I", 3 << 16), b"us\xffer\0a\0\0"),
    "smuggled": startup_packet(struct.pack(">I", 80877103)) + b"behind",
    "length-0": bytes(8),
    "length-huge": b"\xff\xff\xff\xff\0\3\0\0",
}
MASKING = {
    "email": b"write to ana.b+x@example.co.uk, or <o'neil@mail.example>",
    "cards": b"4242 4242 4242 4242, 3782-822463-10005; 1 4242424242424242 12; 4242424242424241",
    "ssn": b"123-45-6789 000-12-3456 123-45 6789",
    "iban": b"GB29 NWBK 6016 1331 9268 19 and DE89370400440532013000",
    "phone": b"+49 30 901820, +1 (415) 555-2671, 2024-01-15",
    "aws": b"AKIAIOSFODNN7EXAMPLE aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab",
    "jwt": b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "private-key": b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- -----BEGIN PRIVATE KEY-----",
    "one-in-another": b"ana@4242424242424242.example.com a@b.co415-555-2671",
    "identity": b"cpf 39053344705, 390.533.447-05; SSN: 078051120; 131052-308T RCCMNL83S18D969H 54362315K",
    "folds": "4242\u200b4242\u00ad4242 4242 \uff14\uff12\u0664\u0662 1\u20132".encode(),
    "addresses": b"192.168.0.1 2001:db8::1 00:1A:2b:3c:4d:5e 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "header": b"Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== postgresql://app:s3cret@db/shop api_key = 'a8f3Kq92LmZx04TrYw7B'",
    "context": b"DOB: 1985-03-12, Address: 221B Baker Street, phone: 4155552671, geboren am 12. March 1985",
    "zone": b"L898902C36UTO7408122F1204159ZE184226B<<<<<10 MORGA657054SM9IJ",
    "not-utf8": b"\xff\xfeana@example.com\xff123-45-6789\x80",
    "operator": b'{"partial":{"keep_first":1,"keep_last":4}}',
}


COPY = {
    "text": row_of_copy(b"ana@example.com", b"a\tb"),
    "null": bytes([255]) + row_of_copy(b"\\."),
    "quotes": row_of_copy(b'a,"b"', b"it's\r\n", b""),
    "many": row_of_copy(*[b"x"] * 12),
}
STEADY = {
    "query": FRONTEND["query"],
    "request": PARSE_UNNAMED + BIND_UNNAMED + EXECUTE_UNNAMED + message(b"S"),
    "described": BIND_UNNAMED + message(b"D", b"P\0") + EXECUTE_UNNAMED + message(b"S"),
    "behind-a-request": BIND_UNNAMED + EXECUTE_UNNAMED + message(b"S") + FRONTEND["query"],
}
DESCRIPTION = message(b"T", short(1), b"a\0", struct.pack(">IhIhih", 0, 0, 25, -1, -1, 0))
ANSWERS = {
    "rows": DESCRIPTION + row(b"a") + row(b"ana@example.com") + message(b"C", b"SELECT 2\0") + message(b"Z", b"I"),
    "error": DESCRIPTION + row(b"a") + BACKEND["error"] + message(b"Z", b"E"),
    "another-description": BACKEND["result"] + message(b"Z", b"I"),
    "notice-between": DESCRIPTION + BACKEND["notice-and-status"],
    "prepared": message(b"1") + message(b"2") + DESCRIPTION + row(b"a") + message(b"C", b"SELECT 1\0") + message(b"Z", b"T") + b"S",
}


def with_plan(stream: bytes, *columns: bytes, first: tuple[int, ...] = (7,), operator: int = 0) -> bytes:
    return bytes([*first, len(columns)]) + b"".join(columns) + bytes([operator]) + stream


def seeds() -> dict[str, dict[str, bytes]]:
    plans = {
        "redact": REDACT_TEXT,
        "detect": DETECT_TEXT,
        "json": column(DETECT, "json"),
        "int8": column(DETECT | BINARY, "int8"),
        "numeric": column(DETECT | BINARY, "numeric"),
        "other": column(DETECT | BINARY, "other"),
        "paths": column(PATHS, "jsonb"),
        "tokens": column(MASK | BINARY, "bytea", operator=4),
    }
    copies = {"text": 0, "csv": 1, "binary": 2, "csv-backslash": 1 + 144}
    streamed = (1, 9, 0, 0)
    backend = {name: with_plan(stream, REDACT_TEXT, first=(0, 9, 0, 0)) for name, stream in BACKEND.items()}
    backend["passes"] = with_plan(BACKEND["three-rows"], PASS_TEXT, first=streamed)
    backend["streams"] = with_plan(b"D\0\1\x80\0\0\1\0\1\x70\0the beginning", PASS_TEXT, first=streamed)
    backend["detects"] = with_plan(BACKEND["three-rows"], DETECT_TEXT, first=streamed)
    two = row(b"a", b"b") + row(None, b"4242424242424242")
    backend["two-columns"] = with_plan(two, REDACT_TEXT, DETECT_TEXT, first=streamed)
    for name, choice in copies.items():
        data = message(b"d", b"a,b\n") + message(b"d", b'"x\ty"\n') + message(b"c")
        backend[f"copy-{name}"] = with_plan(data, REDACT_TEXT, first=(0, 9, choice, 1))
    rows = {f"{name}-{plan}": with_plan(stream, column) for name, stream in ROWS.items() for plan, column in plans.items()}
    copy = {
        f"{name}-{how}": with_plan(stream, PASS_TEXT, REDACT_TEXT, DETECT_TEXT, first=(choice,))
        for name, stream in COPY.items()
        for how, choice in copies.items()
    }
    steady = {name: bytes([99, 0]) + stream for name, stream in STEADY.items()}
    for name, stream in ANSWERS.items():
        steps = 1 if name == "prepared" else 0
        steady[f"answer-{name}"] = with_plan(stream, PASS_TEXT, first=(99, steps))
        steady[f"answer-{name}-masked"] = with_plan(stream, REDACT_TEXT, first=(99, steps + 4))
    return {
        "frontend": {name: bytes([6 if name == "copy-streamed" else 4, 99]) + stream for name, stream in FRONTEND.items()},
        "backend": backend,
        "rows": rows,
        "copy": copy,
        "steady": steady,
        "startup": {name: bytes([99]) + stream for name, stream in STARTUP.items()},
        "masking": {name: bytes([index]) + text for index, (name, text) in enumerate(MASKING.items())},
    }


if __name__ == "__main__":
    for target, files in seeds().items():
        (SEEDS / target).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (SEEDS / target / name).write_bytes(data)
