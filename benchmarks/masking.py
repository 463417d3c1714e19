"""How fast the masking engine searches what a server sends, by itself: no sockets, one core.

    python benchmarks/masking.py [--seconds N] [--json]

Prepared buffers go through the core as a session's reads do, in pieces of 256 kB. The tables show MB of what comes in (1 MB is 1,000,000
bytes) for each second of processor time, the best of the repetitions within the given time, so that what else runs on the machine
counts as little as it can; then how the speed changes with the number of detectors, with the length of values, with the amount of data
and with text that is made to be slow (twice as much of it should take twice as long). Last, a result of 1,000,000 rows with five
columns, two of them masked, beside the same with none. Exit codes: 0 done, 2 wrong usage.
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
CHOICES = {"two": ("email", "payment_card"), "15": DETECTOR_NAMES[:15], "all": DETECTOR_NAMES}
COUNTS = (1, 2, 4, 8, 15, 30, 60, len(DETECTOR_NAMES))
LENGTHS = (4, 16, 64, 256, 1024, 16_384, 1_000_000)
AMOUNTS = (1_000_000, 4_000_000, 16_000_000)
HOSTILE = {
    "digits": b"7",
    "dashes": b"-",
    "letters": b"a",
    "eyJ": b"eyJ",
    "tokens nearly": b"eyJaaaaaaaa.eyJ-",
    "digits and spaces": b"4 ",
    "cards nearly": b"4242 4242 4242 4241 ",
    "dates": b"born 2024-13-01 ",
    "at signs": b"a@",
    "keys nearly": b"-----BEGIN ",
    "colons": b"a:",
    "characters that fold": "\u00ad4".encode(),
}

Values = tuple[bytes, ...]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the masking engine alone.")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each number is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.seconds <= 0:
        parser.error("seconds must be more than 0")
    found = {
        title: {what: {name: measure(options.seconds) for name, measure in row.items()} for what, row in measures.items()}
        for title, measures in _tables().items()
    }
    found["1,000,000 rows of five columns, ns of processor time a row"] = _big_result()
    print(json.dumps(found, ensure_ascii=False, indent=1) if options.json else "\n".join(_printed(found)))
    return 0


Measures = dict[str, dict[str, Callable[[float], float]]]


def _tables() -> dict[str, Measures]:
    return {
        "MB/s": _measures(),
        "MB/s by the number of detectors": _by_count(),
        "MB/s by the length of values, all detectors": _by_length(),
        "MB/s by the amount of data, all detectors": _by_amount(),
        "MB/s of hostile text in values of so many bytes, all detectors": _hostile(),
    }


def _by_count() -> Measures:
    data = _rows(_letters(0)[:20_000])
    return {"rows without hits": {str(count): _speed(data, KINDS, DETECTOR_NAMES[:count], None) for count in COUNTS}}


def _by_length() -> Measures:
    words = b"we thank you for your order and write to the address that we hold no. 12 of 2026 "
    made = {}
    for length in LENGTHS:
        value = (words * (length // len(words) + 1))[:length]
        made[f"{length:,}"] = _speed(_rows([(value,)] * max(1, 4_000_000 // (length + 11))), ("text",), DETECTOR_NAMES, None)
    return {"bytes a value": made}


def _by_amount() -> Measures:
    rows = _letters(0)
    data = _rows(rows)
    return {
        "bytes": {
            f"{amount:,}": _speed((data * (amount // len(data) + 1))[:amount], KINDS, DETECTOR_NAMES, None) for amount in AMOUNTS
        }
    }


def _hostile() -> Measures:
    return {
        what: {
            f"{length:,}": _speed(_rows([((piece * (length // len(piece) + 1))[:length],)]), ("text",), DETECTOR_NAMES, None)
            for length in (500_000, 1_000_000)
        }
        for what, piece in HOSTILE.items()
    }


def _big_result() -> dict[str, dict[str, float]]:
    data = _rows(_letters(0))
    rows = 1_000_000 // ROWS + 1
    masked = ("other", "other", "mask", "text", "mask")
    took = {"unmasked": 0.0, "two masked": 0.0}
    for _ in range(3):
        for name, modes in (("unmasked", ("other",) * 5), ("two masked", masked)):
            masker = Masker([], b"key" * 11)
            plan = RowPlan([("mask" if mode == "mask" else "pass", "text", False, "m", REDACT) for mode in modes], masker)
            seconds = sum(_once(data, plan, None) for _ in range(rows))
            took[name] = min(took[name] or seconds, seconds)
    each = {name: seconds / (rows * ROWS) * 1e9 for name, seconds in took.items()}
    return {"ns": each, "ratio": {"two masked": took["two masked"] / took["unmasked"]}}


def _measures() -> dict[str, dict[str, Callable[[float], float]]]:
    """For each kind of input, and for each choice of detectors, what measures it."""
    clean, rare, dense = _letters(0), _letters(1000), _letters(1)
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
        what: {name: _speed(data, kinds, detectors, copy) for name, detectors in CHOICES.items()}
        for what, (data, kinds, copy) in inputs.items()
    }


def _speed(data: bytes, kinds: tuple[str, ...], detectors: Iterable[str], copy: str | None) -> Callable[[float], float]:
    masker = Masker([(name, name, REDACT) for name in detectors], b"key" * 11)
    plan = RowPlan([("detect", kind, False, "", REDACT) for kind in kinds], masker)

    def run(seconds: float) -> float:
        best, end = 0.0, time.thread_time() + seconds
        while not best or time.thread_time() < end:
            best = max(best, len(data) / _once(data, plan, copy) / 1e6)
        return best

    return run


def _once(data: bytes, plan: RowPlan, copy: str | None) -> float:
    """Seconds of processor time that the data takes."""
    decoder = BackendDecoder(LIMIT_BYTES)
    decoder.set_row_plan(plan)
    if copy is not None:
        decoder.set_copy(plan, COPY_FORMATS[copy])
    start = time.thread_time()
    for at in range(0, len(data), PIECE_BYTES):
        decoder.feed(data[at : at + PIECE_BYTES])
        while decoder.next() is not None:
            pass
    return time.thread_time() - start


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


def _printed(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    return [line for title, rows in found.items() for line in _table(title, rows)]


def _table(title: str, rows: dict[str, dict[str, float]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = [f"| {title} | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    cell = {name: (lambda value: f"{value:,.2f}" if value < 10 else f"{value:,.0f}") for name in names}
    lines = [
        f"| {what} | " + " | ".join(cell[name](row[name]) if name in row else "" for name in names) + " |"
        for what, row in rows.items()
    ]
    return [*head, *lines, ""]


if __name__ == "__main__":
    sys.exit(main())
