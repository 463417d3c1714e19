"""What content rules would do to values, one value a line. Pure: bytes in, findings out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from countersign._core import Masker
from countersign.masking.free_text import FreeText, without_names
from countersign.masking.rules import MaskRule, detector_name

CHUNK_BYTES = 1 << 16
LINE_LIMIT_BYTES = 1 << 26


class Readable(Protocol):
    """A stream that gives what is there, as ``io.BufferedReader`` does."""

    def read1(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class LineTooLong(Exception):
    """A line beyond the limit. The text says which."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A value after masking, and which detectors found something in it, each with its rule. The value itself is not kept."""

    line: int
    masked: str
    found: tuple[tuple[str, str], ...]


def lines(stream: Readable, limit_bytes: int = LINE_LIMIT_BYTES) -> Iterator[list[bytes]]:
    """The lines without their ends, in batches as they come, so that a pipe is answered at once. Raises ``LineTooLong`` and what the
    stream raises."""
    held: list[bytes] = []
    number = 1
    while chunk := stream.read1(CHUNK_BYTES):
        first, *others = chunk.split(b"\n")
        held.append(first)
        if sum(map(len, held)) > limit_bytes:
            raise LineTooLong(f"line {number:,} is longer than {limit_bytes >> 20:,} MiB")
        if not others:
            continue
        batch = [b"".join(held), *others[:-1]]
        held = [others[-1]] if others[-1] else []
        number += len(batch)
        yield [line.removesuffix(b"\r") for line in batch]
    if held:
        yield [b"".join(held).removesuffix(b"\r")]


def try_values(
    values: Iterable[bytes],
    first_line: int,
    masker: Masker,
    rules: Sequence[MaskRule],
    names: FreeText | None = None,
    column: str = "",
) -> Iterator[Tried]:
    """Each value as a client would see it in an answer, in a column of this name. Bytes that are not UTF-8 are shown as ``\\xff``. With
    ``names`` what is left is searched for names and places, which no answer is."""
    context = column.encode("utf-8", "replace") or None
    rule_of: dict[str, str] = {}
    for rule in rules:
        for detector in rule.detect:
            rule_of.setdefault(detector_name(detector), rule.name)  # of several rules the first one masks
    for line, value in enumerate(values, first_line):
        detectors = dict.fromkeys(name for name, _, _ in masker.explain(value, context))
        masked = (masker.mask_text(value, context)[0] if detectors else value).decode("utf-8", "backslashreplace")
        found = [(name, rule_of.get(name, "")) for name in detectors]
        if names is not None:
            masked, kinds = without_names(masked, names)
            found += [(kind, "presidio") for kind in kinds]
        yield Tried(line, masked, tuple(found))
