"""The key that signs the log's checkpoints: one line in a file of its own, which only its owner may read (I6)."""

import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from countersign.audit import LogKey, NoteError
from countersign.store.database import StoreError


def load_log_key(path: Path, *, may_make: bool = False) -> LogKey:
    """The key in the file; where there is none, and the log was never signed, a new one under a name that no other log has. Raises
    ``StoreError``."""
    try:
        with contextlib.suppress(FileNotFoundError):
            return LogKey.parse(path.read_text(encoding="utf-8"))
        if not may_make:
            raise StoreError(
                f"the log was signed with a key that is not in {path}: put its file back. Without it this log cannot go on: keep the "
                "store as it is and begin another, as docs/audit-log.md says"
            )
        key = LogKey.generate(f"countersign/{secrets.token_hex(8)}")
        _write_new(path, key.text() + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the key of the audit log in {path} cannot be had: {error}") from error
    except NoteError as error:
        raise StoreError(f"{path} holds no key of an audit log: {error}") from error
    return key


def _write_new(path: Path, text: str) -> None:
    """Whole or not at all, and never over another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    finally:
        fresh.unlink()


async def exchange_log_key(path: Path, keep_old: Path | None, hand_over: Callable[[LogKey, LogKey], Awaitable[object]]) -> LogKey:
    """Put a new key in the file's place, once ``hand_over``, which is given both keys, has the log say so. The old one is written over, or
    kept in ``keep_old``, a file that must not be there yet. Raises ``StoreError``, and what ``hand_over`` raises.

    The new key is on disk before the log names it; ``settle_log_key`` ends what a crash cut off.
    """
    old = load_log_key(path)
    new = LogKey.generate(old.name)
    try:
        if keep_old is not None:
            _write_new(keep_old, old.text() + "\n")
        _write_new(_waiting(path), new.text() + "\n")
    except OSError as error:
        raise StoreError(f"the new key cannot be kept: {error}") from error
    await hand_over(old, new)
    _replace(path)
    return new


async def settle_log_key(path: Path, goes_on_with: Callable[[LogKey], Awaitable[bool]]) -> None:
    """After a crash within ``exchange_log_key``: take the new key where the log was handed over to it, and drop it where not. Raises
    ``StoreError``."""
    waiting = _waiting(path)
    if not waiting.exists():
        return
    if await goes_on_with(load_log_key(waiting)):
        _replace(path)
    else:
        _wipe(waiting)
        waiting.unlink()


def _waiting(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _replace(path: Path) -> None:
    """By the waiting one, and leave nothing of the old one in its blocks, as far as the file system writes in place."""
    try:
        with contextlib.suppress(FileNotFoundError):
            _wipe(path)
        _waiting(path).replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"the new key is in {_waiting(path)}, and cannot be put in the place of {path}: {error}") from error


def _wipe(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * os.fstat(file.fileno()).st_size)
        file.flush()
        os.fsync(file.fileno())
