"""A recording is a run of chunks; this is how one chunk is written and read (docs/recordings.md, "Chunks"). Pure.

A chunk is ``CSREC1``, a line end and a NUL, the lengths of header and body (32 bits each, big-endian), the header (JSON, in the clear) and
the body: lines of JSON, compressed (Zstandard, RFC 8878) and, where there is a key, sealed with AES-256-GCM under a key of the recording's
own, which the header holds wrapped (RFC 3394). The header is what the seal also covers, and it names session and number, so a chunk cannot
be put in another's place.
"""

import base64
import hashlib
import secrets
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from countersign.recording_settings import raw_key

MAGIC = b"CSREC1\n\0"
PREAMBLE = struct.Struct(">8sII")
LEVEL = 1
HEADER_LIMIT_BYTES = 64 << 10
LINES_LIMIT_BYTES = 256 << 20
"""More than any chunk can hold: what claims to be longer was not written here."""


class ChunkDamaged(Exception):
    """It is not what was written. The text says what is wrong."""


class KeyMissing(Exception):
    """It is sealed, and the key is not at hand."""


@dataclass(frozen=True, slots=True, repr=False)
class RecordingKey:
    """A key that wraps those of recordings."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> "RecordingKey":
        """32 bytes in base64. Raises ``ValueError``, which does not quote it."""
        return cls(raw_key(text))

    @property
    def id(self) -> str:
        """What the key is called in headers; it tells nothing of it."""
        return hashlib.sha256(b"countersign recording key\0" + self.raw).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a chunk without reading it. Times are microseconds since the recording began."""

    session_id: str
    number: int
    first_us: int
    last_us: int
    events: int
    is_last: bool
    key_id: str = ""
    wrapped_key: str = ""

    def encoded(self) -> bytes:
        """As it stands in the chunk."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def parse(cls, data: bytes) -> "Header":
        """Raises ``ChunkDamaged``."""
        try:
            header = cls(**orjson.loads(data))
        except (ValueError, TypeError) as error:
            raise ChunkDamaged("its header cannot be read") from error
        kinds = (str, int, int, int, int, bool, str, str)
        if any(type(value) is not kind for value, kind in zip(asdict(header).values(), kinds, strict=True)):
            raise ChunkDamaged("its header cannot be read")
        return header


class Sealer:
    """Writes the chunks of one recording. Chunks have numbers of their own and are sealed once: what could not be stored is tried again as
    it is, for a second body under the same number would break the cipher."""

    def __init__(self, session_id: str, key: RecordingKey | None) -> None:
        self._session_id = session_id
        self._number = 0
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._cipher: AESGCM | None = None
        self._key_id = self._wrapped = ""
        if key is not None:
            own = secrets.token_bytes(32)
            self._cipher = AESGCM(own)
            self._key_id = key.id
            self._wrapped = base64.b64encode(aes_key_wrap(key.raw, own)).decode()

    def seal(self, lines: bytes, *, is_last: bool) -> tuple[Header, bytes]:
        """The chunk of some whole lines, with its header. There is at least one."""
        first, last = lines[: lines.index(b"\n")], lines[lines.rfind(b"\n", 0, -1) + 1 :]
        header = Header(
            self._session_id,
            self._number,
            _time_us(first),
            _time_us(last),
            lines.count(b"\n"),
            is_last,
            self._key_id,
            self._wrapped,
        )
        body = self._compressor.compress(lines)
        encoded = header.encoded()
        if self._cipher is not None:
            body = self._cipher.encrypt(_nonce(self._number), body, encoded)
        self._number += 1
        return header, PREAMBLE.pack(MAGIC, len(encoded), len(body)) + encoded + body


def lengths_of(preamble: bytes) -> tuple[int, int]:
    """The lengths of header and body. Raises ``ChunkDamaged``."""
    if len(preamble) < PREAMBLE.size:
        raise ChunkDamaged("it is cut off")
    magic, header_bytes, body_bytes = PREAMBLE.unpack_from(preamble)
    if magic != MAGIC or header_bytes > HEADER_LIMIT_BYTES:
        raise ChunkDamaged("it is not a chunk of a recording")
    return header_bytes, body_bytes


def open_chunk(chunk: bytes, keys: Sequence[RecordingKey]) -> tuple[Header, bytes]:
    """The header and the lines of a whole chunk. Raises ``ChunkDamaged`` and ``KeyMissing``."""
    header_bytes, body_bytes = lengths_of(chunk)
    if len(chunk) != PREAMBLE.size + header_bytes + body_bytes:
        raise ChunkDamaged("it is cut off")
    encoded = chunk[PREAMBLE.size : PREAMBLE.size + header_bytes]
    header = Header.parse(encoded)
    body = chunk[PREAMBLE.size + header_bytes :]
    if header.key_id:
        body = _unsealed(header, encoded, body, keys)
    try:
        parameters = zstandard.get_frame_parameters(body)
        if parameters.content_size > LINES_LIMIT_BYTES:
            raise ChunkDamaged("it claims to be longer than any")
        return header, zstandard.ZstdDecompressor().decompress(body, max_output_size=LINES_LIMIT_BYTES)
    except zstandard.ZstdError as error:
        raise ChunkDamaged("its body cannot be read") from error


def _unsealed(header: Header, encoded: bytes, body: bytes, keys: Sequence[RecordingKey]) -> bytes:
    key = next((key for key in keys if key.id == header.key_id), None)
    if key is None:
        raise KeyMissing(f"it is sealed under the key {header.key_id}, which is not among those of the configuration")
    try:
        own = aes_key_unwrap(key.raw, base64.b64decode(header.wrapped_key))
        return AESGCM(own).decrypt(_nonce(header.number), body, encoded)
    except (InvalidUnwrap, InvalidTag, ValueError) as error:
        raise ChunkDamaged("its seal is broken") from error


def _nonce(number: int) -> bytes:
    return number.to_bytes(12)


def _time_us(line: bytes) -> int:
    return round(float(orjson.loads(line)["t"]) * 1_000_000)
