"""The log's key is exchanged: whoever trusts any of its keys can follow to the others, and nobody else can bring in one."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from countersign.audit import Checkpoint, LogKey, NoteError, verify
from countersign.audit.export import FORMS, LineWriter
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.store import (
    Database,
    ExportFile,
    LogFile,
    LogMisfit,
    StoredAuditLog,
    StoredCheckpoints,
    StoreError,
    exchange_log_key,
    load_log_key,
    settle_log_key,
)

NAME = "countersign/test"
BY = Identity("os:root", IdentityKind.USER, authentication="unix_socket")
FIRST, SECOND, THIRD, OTHER = (LogKey(NAME, bytes([number]) * 32) for number in range(4))


class Scene:
    def __init__(self, path):
        self.path, self.now = path, datetime(2026, 11, 24, tzinfo=UTC)
        self.database = Database.open(path, lambda: self.now)
        self.log = StoredAuditLog(self.database)

    def signer(self, key):
        return StoredCheckpoints(self.database, lambda: self.now, key)

    async def grow(self, key):
        for number in range(3):
            await self.log.append(AuditEvent("thing", {"number": number}))
        return await self.signer(key).make()

    def problem(self, key, **more):
        return verify(LogFile(self.path), key=key.verifier, **more).problem


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "store.db")
    yield made
    made.database.close()


@pytest.fixture
async def exchanged(scene):
    """Three keys, twice handed over, each with checkpoints of its own."""
    await scene.grow(FIRST)
    await scene.grow(FIRST)
    await scene.signer(FIRST).hand_over(SECOND, BY)
    await scene.grow(SECOND)
    await scene.log.append(AuditEvent("thing", {"what": "not signed by the second key alone"}))
    await scene.signer(SECOND).hand_over(THIRD, BY)
    await scene.grow(THIRD)
    return scene


@pytest.mark.parametrize("trusted", [FIRST, SECOND, THIRD])
async def test_whoever_trusts_one_of_the_keys_can_check_all(exchanged, trusted):
    found = verify(LogFile(exchanged.path), key=trusted.verifier)
    assert (found.problem, found.records, found.signed, found.key) == ("", 15, 15, str(THIRD.verifier))


async def test_the_record_names_both_keys_and_who_did_it(exchanged):
    records = [one for one in exchanged.log.records() if one.kind == "audit.key_rotated"]
    assert [one.body["new_key"] for one in records] == [str(SECOND.verifier), str(THIRD.verifier)]
    assert records[0].body == {
        "old_key": str(FIRST.verifier),
        "new_key": str(SECOND.verifier),
        "by": "os:root",
        "authentication": "unix_socket",
    }


async def test_an_export_with_its_checkpoints_leads_from_key_to_key_too(exchanged, tmp_path):
    writer = LineWriter(FORMS["jsonl"])
    export = tmp_path / "export.jsonl"
    export.write_bytes(b"".join(line.data + b"\n" for batch in exchanged.log.batches() for line in writer.lines(batch, 0)))
    held = [Checkpoint.open(note, None) for note in exchanged.log.notes()]
    for trusted in (FIRST, SECOND, THIRD):
        found = verify(ExportFile(export), key=trusted.verifier, held=held)
        assert (found.problem, found.signed) == ("", 15)
    assert not verify(ExportFile(export), key=OTHER.verifier, held=held).ok
    # The newest key's signature covers all before it; that the first key agreed to what followed only the hand-overs say.
    assert verify(ExportFile(export), key=THIRD.verifier, held=held[-1:]).signed == 15
    assert "without a hand-over" in verify(ExportFile(export), key=FIRST.verifier, held=held[-1:]).problem
    assert "without a hand-over" in verify(ExportFile(export), key=SECOND.verifier, held=held[-1:]).problem


async def test_i8_a_key_of_another_is_none_of_them(exchanged):
    assert not verify(LogFile(exchanged.path), key=OTHER.verifier).ok
    assert "none of those" in exchanged.problem(OTHER)


async def test_i8_a_log_that_another_key_signs_without_a_record_does_not_verify(scene):
    await scene.grow(FIRST)
    with pytest.raises(LogMisfit):
        await scene.grow(OTHER)
    forge(scene, lambda notes: notes)  # drops what keeps checkpoints as they are
    await forged_checkpoint(scene, OTHER)
    assert "cannot be believed" in scene.problem(FIRST)
    assert scene.problem(OTHER)


@pytest.mark.parametrize("signers", [(OTHER,), (OTHER, OTHER), (FIRST,), (OTHER, SECOND), (SECOND,)])
async def test_i8_a_hand_over_that_not_both_keys_signed_hands_over_nothing(scene, signers):
    """Whoever can write the store, but not sign with the old key, makes a record and signs with what they have."""
    await scene.grow(FIRST)
    keys = {"old_key": str(FIRST.verifier), "new_key": str(SECOND.verifier)}
    await scene.log.append(AuditEvent("audit.key_rotated", keys | {"by": "x", "authentication": "x"}))
    await forged_checkpoint(scene, *signers)
    assert "cannot be believed" in scene.problem(FIRST)
    assert bool(scene.problem(SECOND)) == (SECOND not in signers)


async def test_i8_a_stolen_old_key_makes_no_history_that_the_new_one_vouches_for(exchanged):
    """The log is cut off before its first hand-over, and gone on with by whoever has the first key."""
    forge(exchanged, lambda notes: notes[:2])
    assert exchanged.problem(THIRD)
    await forged_checkpoint(exchanged, FIRST)
    assert exchanged.problem(THIRD) and exchanged.problem(SECOND)


async def test_i8_a_gateway_with_the_older_key_signs_nothing_behind_the_hand_over(scene):
    await scene.grow(FIRST)
    await scene.signer(FIRST).hand_over(SECOND, BY)
    with pytest.raises(LogMisfit, match="the older one"):
        await scene.grow(FIRST)
    assert await scene.grow(SECOND)


async def test_a_log_that_was_never_signed_or_was_changed_is_not_handed_over(scene):
    with pytest.raises(StoreError, match="not signed yet"):
        await scene.signer(FIRST).hand_over(SECOND, BY)
    await scene.grow(FIRST)
    with pytest.raises(LogMisfit):
        await scene.signer(OTHER).hand_over(SECOND, BY)
    assert "audit.key_rotated" not in [one.kind for one in scene.log.records()]


async def test_retention_leaves_what_says_which_key_to_believe(exchanged):
    exchanged.now += timedelta(days=9)
    assert await exchanged.log.forget(exchanged.now, BY) == (13, True)
    await exchanged.signer(THIRD).make()
    for trusted in (FIRST, SECOND, THIRD):
        found = verify(LogFile(exchanged.path), key=trusted.verifier)
        assert (found.problem, found.without_body) == ("", 13)


async def test_the_key_file_is_exchanged_and_the_old_one_is_written_over(tmp_path):
    path, seen = tmp_path / "audit.key", []
    old = load_log_key(path, may_make=True)
    was = path.open("rb")

    async def hand_over(*keys):
        seen.append(keys)

    new = await exchange_log_key(path, None, hand_over)
    assert seen == [(old, new)] and load_log_key(path) == new and new.name == old.name
    assert path.stat().st_mode & 0o777 == 0o600
    with was:
        assert not was.read().strip(b"\0")
    await exchange_log_key(path, tmp_path / "old.key", hand_over)
    assert load_log_key(tmp_path / "old.key") == new
    with pytest.raises(StoreError):
        await exchange_log_key(path, tmp_path / "old.key", hand_over)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["audit.key", "old.key"]


@pytest.mark.parametrize("is_handed_over", [True, False])
async def test_an_exchange_that_a_crash_cut_off_is_settled_as_the_log_says(tmp_path, is_handed_over):
    path = tmp_path / "audit.key"
    old, keys = load_log_key(path, may_make=True), []

    async def crash(*both):
        keys.extend(both)
        raise KeyboardInterrupt

    async def goes_on_with(key):
        return is_handed_over and key == keys[1]

    with pytest.raises(KeyboardInterrupt):
        await exchange_log_key(path, None, crash)
    await settle_log_key(path, goes_on_with)
    assert load_log_key(path) == (keys[1] if is_handed_over else old)
    assert [one.name for one in tmp_path.iterdir()] == ["audit.key"]


def test_a_note_that_is_none_is_not_cosigned():
    with pytest.raises(NoteError):
        FIRST.cosign("text")


def forge(scene, change):
    """The store's owner changes which checkpoints there are, and cuts off what is behind the last of them."""
    with closing(sqlite3.connect(scene.path)) as store, store:
        for trigger in ("audit_batches_stay", "audit_checkpoints_keep", "audit_checkpoints_stay"):
            store.execute(f"DROP TRIGGER {trigger}")
        sizes = [size for (size,) in store.execute("SELECT size FROM audit_checkpoints ORDER BY size")]
        kept = change(sizes)
        if kept != sizes:
            store.execute("DELETE FROM audit_checkpoints WHERE size > ?", (kept[-1],))
            store.execute("DELETE FROM audit_batches WHERE first_seq > ?", (kept[-1],))


async def forged_checkpoint(scene, key, *others):
    """Over the log as it is, signed by whoever."""
    await scene.log.append(AuditEvent("thing", {}))
    found = verify(LogFile(scene.path))
    note = Checkpoint.sign(key, found.records, found.root).note
    for other in others:
        note = other.cosign(note)
    with closing(sqlite3.connect(scene.path)) as store, store:
        store.execute("INSERT INTO audit_checkpoints (size, note, made_at) VALUES (?, ?, 'x')", (found.records, note))
