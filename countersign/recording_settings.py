"""The settings of recordings: where they are kept, what seals them, and how much they show."""

import base64
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from countersign.object_storage import ObjectStorage, take_object_storage
from countersign.settings import Secret, take_days, take_secret
from countersign.yaml_lines import Mapping, Section

ROWS = 200
MOST_ROWS = 1_000_000
PAUSE_S = 30
MOST_PAUSE_S = 3600
HINT = "file://FOLDER or s3://BUCKET/PREFIX"


@dataclass(frozen=True, slots=True)
class RecordingSettings:
    """``rows``: how many of each command a recording shows. ``key`` seals new recordings, ``older_keys`` open those that it does not.
    ``pause_s``: how long sessions wait for a place that takes nothing. ``keep``: how long behind its session's end a recording stays; None:
    for ever."""

    place: Path | ObjectStorage
    rows: int = ROWS
    pause_s: int = PAUSE_S
    key: Secret | None = field(default=None, repr=False)
    older_keys: tuple[Secret, ...] = field(default=(), repr=False)
    keep: timedelta | None = None


def raw_key(text: str) -> bytes:
    """The 32 bytes of a key in base64, as ``openssl rand -base64 32`` prints them. Raises ``ValueError``, which does not quote it (I6)."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError("it is not 32 bytes in base64")
    return raw


def take_recordings(section: Section, directory: Path, warnings: list[str]) -> RecordingSettings:
    """What ``recordings`` says: a place, or a mapping of all."""
    default = RecordingSettings(directory / "recordings")
    if not isinstance(section.mapping.get("recordings"), Mapping):
        return RecordingSettings(_place(section, "recordings", directory, warnings))
    inner = section.section("recordings")
    if inner is None:
        return default
    settings = RecordingSettings(
        place=_place(inner, "url", directory, warnings),
        rows=_number(inner, "rows", ROWS, MOST_ROWS),
        pause_s=_number(inner, "pause_s", PAUSE_S, MOST_PAUSE_S),
        key=_key(inner, "key", directory, warnings),
        older_keys=_older_keys(inner, directory, warnings),
        keep=take_days(inner, "keep"),
    )
    inner.finish()
    return settings


def _place(section: Section, key: str, directory: Path, warnings: list[str]) -> Path | ObjectStorage:
    url: str = section.take(key, str, "file://recordings")
    if url.startswith("s3://"):
        return take_object_storage(section, key, url, directory, warnings) or directory
    if not url.startswith("file://") or url == "file://":
        section.complain(key, f"{key!r} is {url.partition(':')[0]!r}, which is no place", HINT)
    return directory / url.removeprefix("file://")


def _number(section: Section, key: str, default: int, most: int) -> int:
    number: int = section.take(key, int, default)
    if not 0 <= number <= most:
        section.complain(key, f"{key!r} is {number}", f"0 (none) to {most:,}")
    return number


def _key(section: Section, key: str, directory: Path, warnings: list[str]) -> Secret | None:
    before = len(section.problems)
    secret = take_secret(section, key, directory, warnings, "a key")
    if secret is None or len(section.problems) > before:
        return secret
    try:
        raw_key(secret.reveal())
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, ValueError) else "it cannot be read"
        section.complain(key, f"{key!r} is no key: {why}", "openssl rand -base64 32")
    return secret


def _older_keys(section: Section, directory: Path, warnings: list[str]) -> tuple[Secret, ...]:
    if "older_keys" not in section.mapping:
        section.texts("older_keys")
        return ()
    named = section.section("older_keys")
    if named is None:
        return ()
    found = tuple(secret for name in named.mapping if (secret := _key(named, name, directory, warnings)) is not None)
    named.finish()
    return found
