"""What sections of the configuration have in common: secrets by reference, files that must exist, one of some words, addresses."""

import ipaddress
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from countersign.yaml_lines import Section

DAYS = re.compile(r"([1-9][0-9]{0,4})d")
DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Where a secret comes from; it never holds it, so that no dump of the settings shows it (I6)."""

    kind: str
    reference: str

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> str:
        """The secret, read now. Raises ``OSError``, ``KeyError`` or ``ValueError`` (not UTF-8) where it has gone."""
        if self.kind == "env":
            return os.environ[self.reference]
        return Path(self.reference).read_text(encoding="utf-8").rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on; port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """True for addresses of this machine only, folders of Unix sockets among them. No name but ``localhost`` is one."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def take_secret(section: Section, key: str, directory: Path, warnings: list[str], word: str = "a secret") -> Secret | None:
    """A secret that is given as ``env:NAME`` or ``file:PATH``; it must be there, and its value is never quoted."""
    if key not in section.mapping:
        section.take(key, str)
        return None
    text: str | None = section.take(key, str, None, word="env:NAME or file:PATH")
    if text is None:
        return None
    kind, _, reference = text.partition(":")
    if kind == "env" and reference:
        if reference not in os.environ:
            section.complain(key, f"the environment variable {reference} is not set")
        return Secret(kind, reference)
    if kind == "file" and reference:
        path = directory / reference
        if is_file(path):
            warn_if_readable(path, warnings)
        else:
            section.complain(key, f"there is no file {path}")
        return Secret(kind, str(path))
    # The value itself is not quoted: it may be the secret.
    section.complain(key, f"{word} does not stand in the configuration", "env:NAME or file:PATH")
    return None


def take_days(section: Section, key: str) -> timedelta | None:
    """A number of days such as ``400d``; None where it is left out."""
    text: str = section.take(key, str, "", word="a number of days such as 400d")
    if key not in section.mapping:
        return None
    read = DAYS.fullmatch(text)
    if not read:
        section.complain(key, f"{key!r} is {text!r}", "a number of days such as 400d")
        return None
    return timedelta(days=int(read[1]))


def take_listen(section: Section, key: str) -> Listen | None:
    """An address to listen on."""
    text = section.take(key, str, "", required=True, word="an address such as 127.0.0.1:6432")
    if not text:
        return None
    host, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
    if not host or host.startswith("/") or not is_port:
        section.complain(key, f"{key!r} is {text!r}", "an address such as 127.0.0.1:6432")
        return None
    return Listen(host.strip("[]"), int(port))


def take_duration(section: Section, key: str) -> timedelta | None:
    """A time such as ``90s``, ``10m``, ``2h`` or ``1d``; None where it is left out."""
    text: str = section.take(key, str, "", word="a time such as 10m")
    if key not in section.mapping:
        return None
    read = DURATION.fullmatch(text)
    if not read:
        section.complain(key, f"{key!r} is {text!r}", "a time such as 90s, 10m, 2h or 1d")
        return None
    return timedelta(seconds=int(read[1]) * UNIT_S[read[2]])


def take_file(section: Section, key: str, directory: Path, *, required: bool = False) -> Path | None:
    """The path of a file that exists."""
    text: str = section.take(key, str, "", required=required)
    if not text:
        return None
    path = directory / text
    if not is_file(path):
        section.complain(key, f"there is no file {path}")
        return None
    return path


def take_one_of(section: Section, key: str, words: Sequence[str]) -> str:
    """One of some words, the first where the key is left out."""
    word: str = section.take(key, str, words[0])
    if word not in words:
        section.complain(key, f"{key!r} is {word!r}", f"one of {', '.join(words)}")
    return word


def is_file(path: Path) -> bool:
    """False too where the system will not even say, as for a name that is too long or a folder that is closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def warn_if_readable(path: Path, warnings: list[str]) -> None:
    """Warn of a file that others than its owner may read."""
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        warnings.append(f"{path} can be read by others than its owner")
