"""Bodies of old records go for good; the log verifies, and nobody can remove more than a record says."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from countersign.audit import LogKey, verify
from countersign.audit.merkle import includes, inclusion_proof
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.store import Database, LogFile, StoredAuditLog, StoredCheckpoints, StoreError

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
    assert await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR) == 6
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
    assert await scene.log.forget(START + timedelta(days=1, hours=1), ADMINISTRATOR) == 0


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
    assert await scene.log.forget(scene.now, ADMINISTRATOR) == 0


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
