"""How fast the masking engine searches what a server sends, by itself: no sockets, one core.

    python benchmarks/masking.py [--seconds N] [--json]

Prepared buffers go through the core as a session's reads do, in pieces of 256 kB. The table shows MB/s of what comes in (1 MB is
1,000,000 bytes), the best of the repetitions within the given time. Exit codes: 0 done, 2 wrong usage.
"""

import argparse
import hashlib
import json
import struct
import sys
import time
from collections.abc import Callable, Iterable

from countersign._core import DETECTOR_NAMES, BackendDecoder, Masker, RowPlan

ROWS = 60_000
PIECE_BYTES = 256 * 1024
LIMIT_BYTES = 1 << 30
REDACT = '{"redact":{}}'
KINDS = ("other", "other", "other", "text", "text")
COPY_FORMATS = {
    "text": ("text", ord("\t"), ord('"'), ord('"'), b"\\N", False),
    "csv": ("csv", ord(","), ord('"'), ord('"'), b"", False),
    "binary": ("binary", 0, 0, 0, b"", False),
}
CHOICES = {"two": ("email", "payment_card"), "all": DETECTOR_NAMES}

Values = tuple[bytes, ...]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the masking engine alone.")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each number is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.seconds <= 0:
        parser.error("seconds must be more than 0")
    found = {what: {name: measure(options.seconds) for name, measure in row.items()} for what, row in _measures().items()}
    print(json.dumps(found, ensure_ascii=False, indent=1) if options.json else "\n".join(_table(found)))
    return 0


def _measures() -> dict[str, dict[str, Callable[[float], float]]]:
    """For each kind of input, and for each choice of detectors, what measures it."""
    clean, rare, dense = _letters(0), _letters(1000), _letters(1)
    one = {name: (name,) for name in DETECTOR_NAMES}
    inputs: dict[str, tuple[bytes, tuple[str, ...], str | None]] = {
        "rows without hits": (_rows(clean), KINDS, None),
        "rows, 0.1 % with an address": (_rows(rare), KINDS, None),
        "rows, each with an address": (_rows(dense), KINDS, None),
        "rows of JSON": (_rows(_documents()), ("other", "json"), None),
        "COPY text": (_copy(map(_text_line, rare)), KINDS, "text"),
        "COPY csv": (_copy(map(_csv_line, rare)), KINDS, "csv"),
        "COPY binary": (_copy(_binary_tuples(rare)), KINDS, "binary"),
    }
    return {
        what: {name: _speed(data, kinds, detectors, copy) for name, detectors in (CHOICES | one).items()}
        for what, (data, kinds, copy) in inputs.items()
    }


def _speed(data: bytes, kinds: tuple[str, ...], detectors: Iterable[str], copy: str | None) -> Callable[[float], float]:
    masker = Masker([(name, name, REDACT) for name in detectors], b"key")
    plan = RowPlan([("detect", kind, False, "", REDACT) for kind in kinds], masker)
    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]

    def run(seconds: float) -> float:
        best, end = 0.0, time.perf_counter() + seconds
        while not best or time.perf_counter() < end:
            decoder = BackendDecoder(LIMIT_BYTES)
            decoder.set_row_plan(plan)
            if copy is not None:
                decoder.set_copy(plan, COPY_FORMATS[copy])
            start = time.perf_counter()
            for piece in pieces:
                decoder.feed(piece)
                while decoder.next() is not None:
                    pass
            best = max(best, len(data) / (time.perf_counter() - start) / 1e6)
        return best

    return run


# -- what is searched
def _letters(every: int) -> list[Values]:
    """Rows like those of benchmarks/postgres.py; one in ``every`` holds an address, none where it is 0."""
    return [
        (
            b"%d" % i,
            b"2026-01-%02d %02d:%02d:%02d+00" % (i // 86400 % 28 + 1, i // 3600 % 24, i // 60 % 60, i % 60),
            b"%d.%02d" % (i // 100, i % 100),
            hashlib.md5(b"%d" % i, usedforsecurity=False).hexdigest().encode(),
            b"We thank you for your order no. %d and write to " % i
            + (b"somebody%d@example.com" % i if every and i % every == 0 else b"the address that we hold"),
        )
        for i in range(ROWS)
    ]


def _documents() -> list[Values]:
    """JSON with an escape in each document, and an address in one of a thousand."""
    return [
        (
            b"%d" % i,
            json.dumps(
                {
                    "id": i,
                    "name": f"Ana {i}",
                    "tags": ["new", "paid"],
                    "note": f'the "{i}th" order\nwrite to the address we hold',
                    "mail": f"ana{i}@example.com" if i % 1000 == 0 else None,
                }
            ).encode(),
        )
        for i in range(ROWS)
    ]


def _tuple(values: Values) -> bytes:
    return struct.pack(">h", len(values)) + b"".join(struct.pack(">i", len(value)) + value for value in values)


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack(">I", len(payload) + 4) + payload


def _rows(rows: Iterable[Values]) -> bytes:
    return b"".join(_message(b"D", _tuple(values)) for values in rows)


def _copy(payloads: Iterable[bytes]) -> bytes:
    return b"".join(_message(b"d", payload) for payload in payloads)


def _text_line(values: Values) -> bytes:
    return b"\t".join(values) + b"\n"


def _csv_line(values: Values) -> bytes:
    return b",".join(values) + b"\n"


def _binary_tuples(rows: Iterable[Values]) -> Iterable[bytes]:
    header = b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for values in rows:
        yield header + _tuple(values)
        header = b""


def _table(found: dict[str, dict[str, float]]) -> list[str]:
    names = ["two", "all", *DETECTOR_NAMES]
    head = ["| MB/s | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---|" + "--:|" * len(names)]
    return head + [f"| {what} | " + " | ".join(f"{row[name]:,.0f}" for name in names) + " |" for what, row in found.items()]


if __name__ == "__main__":
    sys.exit(main())
