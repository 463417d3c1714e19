"""Bodies of old records go for good; the log verifies, and nobody can remove more than a record says."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from countersign import _core
from countersign.audit import Encoded, LogKey, verify
from countersign.audit.merkle import includes, inclusion_proof
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.retention import GATEWAY, Retention
from countersign.store import Database, LogFile, StoredAuditLog, StoredCheckpoints, StoredCursors, StoreError

KEY = LogKey("countersign/test", bytes(range(32)))
ADMINISTRATOR = Identity("root", IdentityKind.USER)
START = datetime(2026, 11, 24, tzinfo=UTC)


class Scene:
    def __init__(self, path):
        self.path, self.now = path, START
        self.database = Database.open(path, lambda: self.now)
        self.log = StoredAuditLog(self.database)
        self.checkpoints = StoredCheckpoints(self.database, lambda: self.now, KEY)

    async def days(self, *names):
        for name in names:
            for number in range(3):
                await self.log.append(AuditEvent("thing", {"secret": f"{name} {number}"}))
            await self.checkpoints.make()
            self.now += timedelta(days=1)

    def verified(self):
        return verify(LogFile(self.path), key=KEY.verifier)


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "store.db")
    yield made
    made.database.close()


async def test_old_bodies_go_and_the_log_still_verifies_and_proves(scene):
    await scene.days("monday", "tuesday", "wednesday")
    assert await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR) == (6, True)
    newest = await scene.checkpoints.make()
    found = scene.verified()
    assert (found.problem, found.records, found.without_body, found.signed) == ("", 10, 6, 10)
    [*others, record] = scene.log.records()
    assert [one.body["secret"] for one in others] == ["wednesday 0", "wednesday 1", "wednesday 2"]
    assert (record.kind, record.body["up_to"], record.body["by"]) == ("audit.retention", 6, "root")
    log = LogFile(scene.path)
    proof = inclusion_proof(6, newest.size, log.subtree)
    assert includes(bytes.fromhex(others[0].hash), 6, newest.size, proof, newest.root)
    with pytest.raises(StoreError, match="removed by retention"):
        log.entry(1)
    assert await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR) == (0, True)


async def test_what_was_removed_is_nowhere_in_the_file(scene):
    await scene.days("monday", "tuesday")
    await scene.log.forget(START + timedelta(hours=1), ADMINISTRATOR)
    scene.database.close()
    with closing(sqlite3.connect(scene.path)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = b"".join(path.read_bytes() for path in scene.path.parent.iterdir())
    assert b"monday" not in kept and b"tuesday 2" in kept
    scene.database = Database.open(scene.path, lambda: scene.now)


async def test_what_no_checkpoint_covers_stays(scene):
    await scene.log.append(AuditEvent("thing", {}))
    scene.now += timedelta(days=9)
    assert await scene.log.forget(scene.now, ADMINISTRATOR) == (0, True)


async def test_i8_bodies_that_somebody_else_removed_are_a_problem(scene):
    await scene.days("monday", "tuesday", "wednesday")
    await scene.log.forget(START + timedelta(hours=1), ADMINISTRATOR)
    with closing(sqlite3.connect(scene.path)) as other, other:
        other.execute("UPDATE audit_batches SET entries = NULL WHERE first_seq = 4")
    assert scene.verified().problem == "the body of record 4 was removed, and no record of retention says so"


@pytest.mark.parametrize("change", ["hashes = x'00'", "entries = 'x'", "entries = NULL, time = 'x'", "entries = NULL, count = 2"])
async def test_the_store_refuses_every_other_change_of_a_record(scene, change):
    await scene.days("monday")
    with closing(sqlite3.connect(scene.path)) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(f"UPDATE audit_batches SET {change}")


async def test_a_long_log_is_forgotten_in_steps_that_each_say_so_and_between_which_others_write(scene, monkeypatch):
    monkeypatch.setattr("countersign.store.audit.FORGET_BYTES", 1)
    await scene.days("monday", "tuesday", "wednesday")
    assert await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR, at_most_s=-1) == (1, False)
    forgotten, is_done = await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR)
    assert (forgotten, is_done) == (5, True)
    await scene.checkpoints.make()
    found = scene.verified()
    assert (found.problem, found.without_body) == ("", 6)
    assert [one.body["up_to"] for one in scene.log.records() if one.kind == "audit.retention"] == [1, 2, 3, 4, 5, 6]


async def test_the_gateway_removes_what_its_configuration_does_not_keep_and_no_export_lacks(scene):
    await scene.days("monday", "tuesday", "wednesday")
    cursors = StoredCursors(scene.database)
    keeps_a_day = Retention(scene.log, cursors, ["export:siem", "export:file"], timedelta(days=1, hours=12), lambda: scene.now)
    assert await keeps_a_day.remove() == 0
    await cursors.confirm("export:siem", 9)
    await cursors.confirm("export:file", 4)
    assert await keeps_a_day.remove() == 4
    assert await scene.log.holds_old(START + timedelta(days=1, hours=12), behind=4)
    await cursors.confirm("export:file", 9)
    assert await keeps_a_day.remove() == 2
    assert {one.body["by"] for one in scene.log.records() if one.kind == "audit.retention"} == {GATEWAY.name}
    assert [one.body["secret"] for one in scene.log.records() if one.kind == "thing"] == [f"wednesday {n}" for n in range(3)]
    await scene.checkpoints.make()
    assert scene.verified().problem == ""


async def test_what_is_freed_is_used_again(scene):
    """The file does not shrink, nor does it grow while no more is written than is forgotten."""
    await _fill(scene)
    await scene.checkpoints.make()
    scene.now += timedelta(days=1)
    size = scene.path.stat().st_size
    for _ in range(5):
        await scene.log.forget(scene.now, ADMINISTRATOR)
        await _fill(scene)
        await scene.checkpoints.make()
        scene.now += timedelta(days=1)
    assert scene.path.stat().st_size < 1.5 * size


async def _fill(scene):
    """Some megabytes."""
    run = _core.Run([Encoded("thing", b'{"text":"%b"}' % (b"x" * 2000))] * 512)
    for _ in range(4):
        await scene.database.write(run)
