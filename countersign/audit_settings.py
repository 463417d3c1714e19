"""The section ``audit`` of the configuration: the log's key, and to whom checkpoints and records are given."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from countersign.model import Effect
from countersign.object_storage import ObjectStorage, take_object_storage
from countersign.settings import Secret, is_loopback, take_days, take_file, take_one_of, take_secret
from countersign.yaml_lines import Section

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
KIND = re.compile(r"[a-z_]+(\.[a-z_]+)*(\.\*)?")
SIZE = re.compile(r"([1-9][0-9]{0,5})(KiB|MiB|GiB)")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SYSLOG_TLS_PORT = 6514
"""RFC 5425, section 4.1."""
MESSAGE_LIMITS = (1024, 2**20)
MESSAGE_LIMIT = 8192
"""What RFC 5425, section 4.3.1, asks every receiver to take."""
BATCH, BATCH_LIMIT = 1000, 10_000
KEEP, KEEP_LIMIT = 10, 1000
PLACES = "file://PATH, syslog+tls://HOST:PORT, https://HOST/PATH or s3://BUCKET/PREFIX"
WITNESS_PLACES = "file://PATH, https://HOST/PATH or s3://BUCKET/PREFIX"
FORMATS = {
    "file": ("jsonl", "ocsf", "csv"),
    "syslog": ("jsonl", "ocsf"),
    "webhook": ("jsonl", "ocsf"),
    "objects": ("jsonl", "ocsf", "csv"),
}


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file that lines are appended to. At ``rotate_bytes`` it is set aside, and ``keep`` of those stay; 0: it only grows."""

    path: Path
    rotate_bytes: int = 0
    keep: int = KEEP


@dataclass(frozen=True, slots=True)
class SyslogPlace:
    """A collector of syslog (RFC 5424), over TLS (RFC 5425) or, on this machine, in the clear. ``message_limit`` is in bytes."""

    host: str
    port: int
    tls: bool
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    message_limit: int = MESSAGE_LIMIT


@dataclass(frozen=True, slots=True)
class WebhookPlace:
    """A URL that is sent POST requests; what stands behind its host may be a secret. ``secret`` signs, ``authorization`` is a header.
    ``message_limit`` is in bytes, for each record; 0: there is none."""

    url: str = field(repr=False)
    secret: Secret | None = None
    authorization: Secret | None = None
    ca_file: Path | None = None
    message_limit: int = 0


Place = FilePlace | SyslogPlace | WebhookPlace | ObjectStorage


@dataclass(frozen=True, slots=True)
class Only:
    """Which records are exported. ``kinds`` may end in ``.*``; empty means all. ``effects`` choose among commands alone."""

    kinds: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """One continuous export of the log. ``from_now`` is asked only where it has no cursor yet."""

    name: str
    place: Place
    format: str = "jsonl"
    only: Only = Only()
    from_now: bool = False
    batch: int = BATCH


@dataclass(frozen=True, slots=True)
class WitnessSettings:
    """Somebody else who keeps the log's checkpoints. ``name`` is what the cursor goes by."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The key that signs the audit log's checkpoints, where they are published, where records are exported to, and how long they are kept."""

    key_path: Path
    witnesses: tuple[WitnessSettings, ...] = ()
    exports: tuple[ExportSettings, ...] = ()
    keep_bodies: timedelta | None = None
    """After how long records have their hash only; None: they keep their bodies."""


def take_audit(section: Section, directory: Path, store_path: Path, warnings: list[str]) -> AuditSettings:
    """The section, with every problem in it; left out, there is only the key beside the store."""
    beside_store = store_path.with_name("audit.key")
    audit = section.section("audit")
    if audit is None:
        return AuditSettings(beside_store)
    key_file = audit.take("key_file", str, "")
    witnesses = (*_short_witnesses(audit, directory), *_witnesses(audit, directory, warnings))
    exports = tuple(_exports(audit, directory, warnings))
    keep_bodies = take_days(audit, "keep_bodies")
    audit.finish()
    return AuditSettings(directory / key_file if key_file else beside_store, witnesses, exports, keep_bodies)


def _short_witnesses(audit: Section, directory: Path) -> Iterator[WitnessSettings]:
    if witness_file := audit.take("witness_file", str, ""):
        yield WitnessSettings(f"witness:file:{directory / witness_file}", FilePlace(directory / witness_file))
    url: str = audit.take("witness_url", str, "")
    if url and not is_web_url(url):
        # It is not quoted: its path may be a secret.
        audit.complain("witness_url", "'witness_url' is no address of a witness", "https://HOST/PATH; http:// on loopback only")
    elif url:
        parts = urlsplit(url)
        yield WitnessSettings(f"witness:webhook:{parts.scheme}://{parts.hostname}:{parts.port or ''}", WebhookPlace(url))


def _witnesses(audit: Section, directory: Path, warnings: list[str]) -> Iterator[WitnessSettings]:
    names: set[str] = set()
    for item in audit.sections("witnesses"):
        name = _name(item, "witness", names)
        place = _place(item, directory, warnings, WITNESS_PLACES)
        item.finish()
        if place is not None:
            yield WitnessSettings(f"witness:{name}", place)


def _exports(audit: Section, directory: Path, warnings: list[str]) -> Iterator[ExportSettings]:
    names: set[str] = set()
    files: set[Path] = set()
    for item in audit.sections("exports"):
        before = len(item.problems)
        name = _name(item, "export", names)
        place = _place(item, directory, warnings, PLACES)
        form = _format(item, place)
        only = _only(item)
        start = take_one_of(item, "from", ("beginning", "now"))
        batch = _number(item, "batch", BATCH, (1, BATCH_LIMIT))
        item.finish()
        if isinstance(place, FilePlace):
            if place.path in files:
                item.complain("to", "another export writes to this file")
            files.add(place.path)
        if place is not None and len(item.problems) == before:
            yield ExportSettings(name, place, form, only, start == "now", batch)


def _name(item: Section, word: str, names: set[str]) -> str:
    name: str = item.take("name", str, "", required=True)
    item.where = f"{word} {name!r}"
    if name and not NAME.fullmatch(name):
        item.complain("name", f"{name!r} is no name", "lower-case letters, digits, '_' and '-'")
    if name in names:
        item.complain("name", f"another {word} is named {name!r}")
    names.add(name)
    return name


def _place(item: Section, directory: Path, warnings: list[str], places: str) -> Place | None:
    """Where ``to`` leads; its scheme says which settings stand beside it."""
    url: str = item.take("to", str, "", required=True)
    scheme, found, rest = url.partition("://")
    if scheme == "file" and rest:
        return _file(item, directory, directory / rest)
    if scheme in ("https", "http") and found:
        return take_webhook(item, url, directory, warnings)
    if scheme == "s3" and found:
        return take_object_storage(item, "to", url, directory, warnings)
    if scheme in ("syslog+tls", "syslog+tcp") and "syslog" in places:
        return _syslog(item, url, directory)
    if url:
        # Of the URL nothing is quoted: it may hold a secret.
        item.complain("to", "'to' is no place", places)
    return None


def _file(item: Section, directory: Path, path: Path) -> FilePlace | None:
    if path.is_dir() or not path.parent.is_dir():
        item.complain("to", f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}")
        return None
    rotate = item.section("rotate")
    if rotate is None:
        return FilePlace(path)
    size: str = rotate.take("size", str, "", required=True, word="a size such as 64MiB")
    read = SIZE.fullmatch(size)
    if size and not read:
        rotate.complain("size", f"'size' is {size!r}", "a whole number and KiB, MiB or GiB, such as 64MiB")
    keep = _number(rotate, "keep", KEEP, (1, KEEP_LIMIT))
    rotate.finish()
    return FilePlace(path, int(read[1]) * UNITS[read[2]], keep) if read else None


def take_webhook(item: Section, url: str, directory: Path, warnings: list[str]) -> WebhookPlace | None:
    """The webhook of this URL, which stands at ``to``, with the settings beside it."""
    usable = is_web_url(url) and urlsplit(url).username is None
    if not usable:
        item.complain("to", "'to' is no address of a webhook", "https://HOST/PATH; http:// on loopback only; no password in it")
    secret = take_secret(item, "secret", directory, warnings)
    authorization = take_secret(item, "authorization", directory, warnings)
    ca_file = take_file(item, "ca_file", directory)
    limit = _number(item, "message_limit", 0, MESSAGE_LIMITS) if "message_limit" in item.mapping else 0
    return WebhookPlace(url, secret, authorization, ca_file, limit) if usable else None


def _syslog(item: Section, url: str, directory: Path) -> SyslogPlace | None:
    tls = url.startswith("syslog+tls")
    host, port = _host_and_port(url, SYSLOG_TLS_PORT if tls else None)
    if not host or not port:
        item.complain("to", "'to' is no address of a collector", "syslog+tls://HOST:PORT, or syslog+tcp://HOST:PORT on loopback")
    elif not tls and not is_loopback(host):
        item.complain("to", "records leave this machine over TLS only", f"syslog+tls://{host}")
    files = {key: take_file(item, key, directory) for key in ("ca_file", "cert_file", "key_file")}
    for key in files:
        if not tls and key in item.mapping:
            item.complain(key, f"{key!r} needs TLS", "to: syslog+tls://HOST:PORT")
    if ("cert_file" in item.mapping) != ("key_file" in item.mapping):
        item.complain("cert_file", "'cert_file' and 'key_file' go together")
    limit = _number(item, "message_limit", MESSAGE_LIMIT, MESSAGE_LIMITS)
    return SyslogPlace(host, port, tls, message_limit=limit, **files) if host and port else None


def _host_and_port(url: str, default: int | None) -> tuple[str, int]:
    """Empty and 0 where it is more or less than a host and a port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port if parts.port is not None else default
    except ValueError:
        return "", 0
    more = parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment
    return ("", 0) if more else (host, port or 0)


def _format(item: Section, place: Place | None) -> str:
    kinds: dict[type[object], str] = {FilePlace: "file", SyslogPlace: "syslog", WebhookPlace: "webhook"}
    return take_one_of(item, "format", FORMATS[kinds.get(type(place), "objects")])


def _only(item: Section) -> Only:
    only = item.section("only")
    if only is None:
        return Only()
    kinds, effects = only.numbered_texts("kinds"), only.numbered_texts("effects")
    for line, kind in kinds:
        if not KIND.fullmatch(kind):
            only.complain_at(line, f"{kind!r} is no kind of a record", "such as command, review.decision or review.*")
    for line, effect in effects:
        if effect not in list(Effect):
            only.complain_at(line, f"unknown effect {effect!r}", f"one of {', '.join(Effect)}")
    if not only.mapping:
        item.complain("only", "'only' chooses nothing", "only: {kinds: [command, review.*], effects: [write, ddl]}")
    only.finish()
    return Only(tuple(kind for _, kind in kinds), tuple(effect for _, effect in effects))


def _number(section: Section, key: str, default: int, limits: tuple[int, int]) -> int:
    number: int = section.take(key, int, default)
    least, most = limits
    if not least <= number <= most:
        section.complain(key, f"{key!r} is {number}", f"a whole number from {least} to {most}")
    return number


def is_web_url(url: str) -> bool:
    """True for https anywhere, and http on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host or "")))
