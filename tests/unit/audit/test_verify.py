import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign import _core
from countersign.audit import Batch, Checkpoint, LogKey, encode, verify
from countersign.model import AuditEvent

KEY = LogKey.generate("countersign/test")


class Log:
    """A log in memory: ``sizes`` records a batch, a checkpoint behind each batch in ``signed``."""

    def __init__(self, sizes=(3, 1, 4, 2, 1), signed=(1, 3), key=KEY, salt=""):
        self.kept, self.signed = [], []
        size, edge = 0, b""
        for number, count in enumerate(sizes):
            run = _core.Run([encode(AuditEvent("thing", {"number": n, "salt": salt})) for n in range(size, size + count)])
            for row in run.seal(size, edge, f"time {number}", 100):
                self.kept.append(Batch(row[0], row[1], f"time {number}", *row[2:]))
                edge = row[2]
            size += count
            if number in signed:
                self.signed.append(Checkpoint.sign(key, size, _core.tree_root(size, edge)).note)

    def batches(self, *, after=0):
        return iter(self.kept)

    def notes(self):
        return iter(self.signed)

    def change(self, at, **fields):
        self.kept[at] = dataclasses.replace(self.kept[at], **fields)


def test_a_sound_log_verifies_and_says_how_much_of_it_is_signed():
    found = verify(Log(), key=KEY.verifier)
    assert (found.ok, found.records, found.signed, found.without_body) == (True, 11, 10, 0)
    assert verify(Log()).signed == 0


@given(st.integers(0, 10), st.sampled_from(["alter", "remove", "swap", "insert"]))
def test_a_record_that_was_altered_removed_reordered_or_inserted_is_named(at, how):
    log = Log()
    index = next(number for number, batch in enumerate(log.kept) if at < batch.first_seq - 1 + batch.count)
    batch = log.kept[index]
    lines, place = batch.lines, at - batch.first_seq + 1
    if how == "alter":
        lines[place] = lines[place].replace(b"thing", b"other")
    elif how == "remove":
        del lines[place]
    elif how == "insert":
        lines.insert(place, lines[place].replace(b"thing", b"other"))
    elif len(lines) > 1:
        other = (place + 1) % len(lines)
        lines[place], lines[other] = lines[other], lines[place]
        at = batch.first_seq - 1 + min(place, other)
    else:
        return
    log.change(index, entries=b"\n".join(lines))
    assert f"record {at + 1} " in verify(log, key=KEY.verifier).problem + " "


def test_a_batch_that_is_gone_is_named():
    log = Log()
    del log.kept[2]
    assert verify(log).problem == "record 5 is missing (found 9 in its place)"


def test_a_log_written_anew_does_not_fit_its_checkpoints():
    log = Log(salt="forged")
    log.signed = Log().signed
    problem = verify(log, key=KEY.verifier).problem
    assert problem == (
        "the log does not fit the checkpoint over 4 records: of the records from 1 to 4 one was altered, removed or inserted"
    )


def test_a_log_written_anew_and_signed_with_another_key_is_found_by_the_key():
    forged = Log(salt="forged", key=LogKey.generate(KEY.name))
    assert "cannot be believed" in verify(forged, key=KEY.verifier).problem


def test_a_log_written_anew_without_checkpoints_is_found_by_one_that_was_kept():
    held = Checkpoint.open(Log().signed[-1], KEY.verifier)
    assert "does not fit the checkpoint over 10 records that you hold" in verify(Log(salt="forged", signed=()), held=[held]).problem


@pytest.mark.parametrize("held", [True, False])
def test_a_log_that_was_cut_off_is_found_by_a_checkpoint_wherever_it_is(held):
    log = Log()
    checkpoint = Checkpoint.open(log.signed[-1], KEY.verifier)
    del log.kept[2:]
    if held:
        log.signed.clear()
    problem = verify(log, key=KEY.verifier, held=[checkpoint] if held else []).problem
    assert problem.startswith("the log ends with record 4, but the checkpoint over 10 records ")
    assert problem.endswith("covers 10: it was cut off")


@given(st.integers(0, 4), st.sampled_from(["edge", "hashes", "count", "time", "first_seq"]))
def test_what_is_kept_beside_the_records_is_checked_too(index, field):
    log = Log()
    value = getattr(log.kept[index], field)
    log.change(
        index, **{field: value[:-1] + (b"x" if isinstance(value, bytes) else "x") if not isinstance(value, int) else value + 1}
    )
    assert not verify(log).ok


def test_bodies_that_are_gone_are_a_problem_unless_a_record_of_retention_says_so():
    log = Log()
    log.change(0, entries=None)
    assert verify(log, key=KEY.verifier).problem == "the body of record 3 was removed, and no record of retention says so"
    size, edge = 11, log.kept[-1].edge
    [row] = _core.Run([encode(AuditEvent("audit.retention", {"up_to": 3}))]).seal(size, edge, "later", 9)
    log.kept.append(Batch(row[0], row[1], "later", *row[2:]))
    found = verify(log, key=KEY.verifier)
    assert (found.ok, found.without_body, found.signed) == (True, 3, 10)
