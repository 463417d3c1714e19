"""Check a log record by record, without trusting whoever kept it, nor the code that wrote it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from countersign.audit.checkpoints import Checkpoint
from countersign.audit.contract import Batch, LogReader
from countersign.audit.merkle import EMPTY_ROOT, Tree, leaf_hash
from countersign.audit.notes import NoteError, VerifierKey
from countersign.audit.records import place, record_of
from countersign.audit.succession import ROTATED, ROTATED_MARK, Succession

RETENTION = "audit.retention"
"""The kind of the records that say which bodies were removed: all up to ``up_to``."""
RETENTION_MARK = b'"kind":"audit.retention"'


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` found. ``problem`` is empty for a sound log; ``records`` fit, before it if there is one; ``root`` is the tree's over
    them. ``signed`` of them are covered by a checkpoint whose signature is good, ``without_body`` have their hash only. ``key`` is the log's
    present one, to which the one that was given leads; empty where none did."""

    records: int
    root: bytes
    problem: str = ""
    signed: int = 0
    without_body: int = 0
    key: str = ""

    @property
    def ok(self) -> bool:
        """True where every record is in its place, unchanged, and every checkpoint holds."""
        return not self.problem


class _Misfit(Exception):
    """The first thing that does not fit, in words."""


def verify(
    log: LogReader,
    *,
    key: VerifierKey | None = None,
    held: Sequence[Checkpoint] = (),
    progress: Callable[[int], None] = lambda records: None,
) -> Verification:
    """Go through the whole log and stop at the first thing that does not fit.

    With ``key``, which has to come from elsewhere than the log, every checkpoint must be signed with it, or with a key that it was
    exchanged for, or that was exchanged for it (``Succession``). ``held`` are checkpoints that the verifier kept: a log that does not begin
    with what they cover was cut or rewritten.
    """
    walk = _Walk(key)
    try:
        walk.take_notes(log)
        walk.expect(held)
        for batch in log.batches():
            walk.batch(batch)
            progress(walk.tree.size)
        walk.end()
    except _Misfit as misfit:
        return Verification(walk.sound, walk.sound_root, str(misfit), min(walk.signed, walk.sound), walk.without_body)
    newest = walk.keys.newest
    return Verification(walk.tree.size, walk.tree.root, "", walk.signed, walk.without_body, str(newest or ""))


class _Walk:
    def __init__(self, key: VerifierKey | None) -> None:
        self.keys = Succession(key)
        self.tree = Tree()
        self.sound, self.sound_root = 0, EMPTY_ROOT
        self.signed = 0
        self.without_body = 0
        self._heads: list[tuple[Checkpoint, str]] = []
        """Every head that the log must have had, and its name, the next one last."""
        self._last_removed = 0
        self._removed_up_to = 0

    def take_notes(self, log: LogReader) -> None:
        for number, note in enumerate(log.notes(), 1):
            try:
                checkpoint = Checkpoint.open(note, None)
            except NoteError as error:
                raise _Misfit(f"checkpoint {number} in the log cannot be believed: {error}") from error
            self._heads.append((checkpoint, f"the checkpoint over {checkpoint.size} records"))
        self._heads.sort(key=_size, reverse=True)

    def expect(self, held: Sequence[Checkpoint]) -> None:
        self._heads += [(one, f"the checkpoint over {one.size} records that you hold") for one in held]
        self._heads.sort(key=_size, reverse=True)

    def batch(self, batch: Batch) -> None:
        self._check_heads()  # before this batch's records are looked at, which may exchange the key
        first = self.tree.size + 1
        if batch.first_seq != first:
            raise _Misfit(f"record {first} is missing (found {batch.first_seq} in its place)")
        if batch.count < 1 or len(batch.hashes) != 32 * batch.count:
            raise _Misfit(f"the hashes from record {first} on are not those of {batch.count} records")
        if batch.entries is None:
            self._last_removed = first + batch.count - 1
            self.without_body += batch.count
        else:
            self._check_entries(batch, first)
        for start in range(0, len(batch.hashes), 32):
            self._append(batch.hashes[start : start + 32])
        if batch.edge is not None and b"".join(self.tree.peaks) != batch.edge:
            raise _Misfit(f"of the records from {first} to {self.tree.size} one was altered: their hashes do not make the tree")
        if not self._heads:
            self.sound, self.sound_root = self.tree.size, self.tree.root

    def _check_entries(self, batch: Batch, first: int) -> None:
        lines = batch.lines
        for seq, line in enumerate(lines[: batch.count], first):
            start = (seq - first) * 32
            if leaf_hash(line) != batch.hashes[start : start + 32]:
                raise _Misfit(f"record {seq} was altered: its entry does not have its hash")
            if batch.time is None or not line.endswith(place(seq, batch.time)) or RETENTION_MARK in line or ROTATED_MARK in line:
                self._check_place(line, seq, batch.time)
        if len(lines) != batch.count:
            seq = first + min(len(lines), batch.count)
            raise _Misfit(f"record {seq} is missing" if len(lines) < batch.count else f"before record {seq} one was inserted")

    def _check_place(self, line: bytes, seq: int, time: str | None) -> None:
        """The same in words; and what retention says."""
        try:
            record = record_of(line)
        except ValueError as error:
            raise _Misfit(f"record {seq} was altered: it is no record") from error
        if record.seq != seq:
            raise _Misfit(f"record {record.seq} stands in the place of record {seq}: removed, reordered or inserted")
        if time is not None and record.time != time:
            raise _Misfit(f"record {seq} was altered: it is of another time than the records around it")
        up_to = record.body.get("up_to")
        if record.kind == RETENTION and isinstance(up_to, int) and up_to < seq:
            self._removed_up_to = max(self._removed_up_to, up_to)
        if record.kind == ROTATED:
            with _believed():
                self.keys.rotated(record)

    def _append(self, leaf: bytes) -> None:
        self._check_heads()
        self.tree.append(leaf)

    def _check_heads(self) -> None:
        """Compare with every head of the tree's present size."""
        while self._heads and self._heads[-1][0].size <= self.tree.size:
            head, name = self._heads.pop()
            size, root = head.size, head.root
            with _believed():
                self.keys.check(head)
            if root != self.tree.root:
                since = f"of the records from {self.sound + 1} to {size} one was altered, removed or inserted"
                raise _Misfit(f"the log does not fit {name}: {since}" if size else f"the log does not fit {name}")
            self.sound, self.sound_root = size, root
            if self.keys.is_met:
                self.signed = size

    def end(self) -> None:
        self._check_heads()
        with _believed():
            self.keys.end()
        if self._heads:
            size, name = self._heads[-1][0].size, self._heads[-1][1]
            raise _Misfit(f"the log ends with record {self.tree.size}, but {name} covers {size}: it was cut off")
        if self._last_removed > self._removed_up_to:
            raise _Misfit(f"the body of record {self._last_removed} was removed, and no record of retention says so")


def _size(head: tuple[Checkpoint, str]) -> int:
    return head[0].size


@contextmanager
def _believed() -> Iterator[None]:
    try:
        yield
    except NoteError as error:
        raise _Misfit(str(error)) from error
