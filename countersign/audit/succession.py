"""Which key must have signed each checkpoint of a log whose key was exchanged. Pure.

A record ``audit.key_rotated`` names the old key and the new one. The first checkpoint that covers it is the hand-over: both have signed
it. What is smaller the old key signed, what is larger the new one. Whoever trusts one of the keys can so trust all: those that came later
by the signature of the one before, and what was signed earlier because the trusted key's signature covers the records that name its keys. So a hand-over may be missing, as it is where
only the newest checkpoint was kept, before what the trusted key itself has signed; behind it none may.
"""

import contextlib

from countersign.audit.checkpoints import Checkpoint
from countersign.audit.notes import NoteError, VerifierKey
from countersign.model import AuditRecord

ROTATED = "audit.key_rotated"
"""The kind of the records that hand over from ``old_key`` to ``new_key``."""
ROTATED_MARK = b'"kind":"audit.key_rotated"'


class Succession:
    """The keys of one log, met in order. ``is_met``: the trusted key has signed something; without a trusted one nothing is checked."""

    def __init__(self, trusted: VerifierKey | None) -> None:
        self._trusted = trusted
        self._current: VerifierKey | None = None
        self._next: list[VerifierKey] = []
        """What records name, and no checkpoint has handed over to yet."""
        self._waiting: list[Checkpoint] = []
        """What came before the first key is known: it is checked as soon as a record names it."""
        self.is_met = False

    @property
    def newest(self) -> VerifierKey | None:
        """The key that the last checkpoint hands over to, where the trusted key leads to it."""
        return self._current if self.is_met else None

    def rotated(self, record: AuditRecord) -> None:
        """A record says that the key is exchanged. Raises ``NoteError`` where that does not follow."""
        if self._trusted is None:
            return
        old, new = (VerifierKey.parse(str(record.body.get(name))) for name in ("old_key", "new_key"))
        if old == new or {old.name, new.name} != {self._trusted.name}:
            raise NoteError(f"record {record.seq} exchanges keys that are not two of the log {self._trusted.name}")
        if self._current is None:
            self._current = old
            for checkpoint in self._waiting:
                self._signed(checkpoint, old)
            self._waiting.clear()
        if old != (self._next[-1] if self._next else self._current):
            raise NoteError(f"record {record.seq} exchanges another key than the log is signed with")
        self._next.append(new)

    def check(self, checkpoint: Checkpoint) -> None:
        """The next checkpoint; all records that it covers were seen. Raises ``NoteError`` where it is not signed as it must be."""
        if self._trusted is None:
            return
        if self._current is None:
            self._first(checkpoint, self._trusted)
            return
        signers = [self._current, *self._next]
        if signers[-1] == self._trusted:
            signers = signers[-1:]
        elif len(signers) > 2:
            raise NoteError(f"the key was exchanged {len(self._next)} times before record {checkpoint.size} without a hand-over")
        for key in signers:
            self._signed(checkpoint, key)
        self._current, self._next = signers[-1], []

    def end(self) -> None:
        """No more comes. Raises ``NoteError`` where the trusted key has signed none of the checkpoints that there were."""
        for checkpoint in self._waiting:
            self._signed(checkpoint, self._trusted)
        if self._current is not None and not self.is_met:
            raise NoteError("the key that was given is none of those that the log was signed with")

    def _first(self, checkpoint: Checkpoint, trusted: VerifierKey) -> None:
        if not self._waiting:
            with contextlib.suppress(NoteError):  # it may be of a key before the trusted one; then it waits for that to be told
                self._signed(checkpoint, trusted)
                self._current = trusted
                return
        self._waiting.append(checkpoint)

    def _signed(self, checkpoint: Checkpoint, key: VerifierKey | None) -> None:
        try:
            Checkpoint.open(checkpoint.note, key)
        except NoteError as error:
            raise NoteError(f"the checkpoint over {checkpoint.size} records cannot be believed: {error}") from error
        self.is_met = self.is_met or key == self._trusted
