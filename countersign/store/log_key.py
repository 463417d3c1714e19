"""The key that signs the log's checkpoints: one line in a file of its own, which only its owner may read (I6)."""

import contextlib
import os
import secrets
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
