"""Proofs are made from the log's file, whatever rows its records stand in."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from countersign.audit import LogKey
from countersign.audit.merkle import consistency_proof, grew, includes, inclusion_proof
from countersign.model import AuditEvent
from countersign.store import Database, LogFile, StoredAuditLog, StoredCheckpoints

KEY = LogKey("countersign/test", bytes(range(32)))


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A log in rows of many sizes, and a checkpoint now and then."""
    path = tmp_path_factory.mktemp("grown") / "store.db"
    chance, made = random.Random(1), []

    async def fill():
        database = Database.open(path, lambda: datetime.now(UTC))
        log, checkpoints = StoredAuditLog(database), StoredCheckpoints(database, lambda: datetime.now(UTC), KEY)
        for number in range(120):
            for _ in range(chance.choice([0, 1, 2, 40])):
                log.hand_over(AuditEvent("thing", {"number": number}))
            await log.append(AuditEvent("thing", {"number": number}))
            if chance.random() < 0.2:
                made.append(await checkpoints.make())
        made.append(await checkpoints.make())
        database.close()

    asyncio.run(fill())
    return LogFile(path), [one for one in made if one is not None]


def test_every_record_is_proved_by_every_checkpoint_that_covers_it(grown):
    log, checkpoints = grown
    hashes = b"".join(batch.hashes for batch in log.batches())
    for checkpoint in (checkpoints[0], checkpoints[len(checkpoints) // 2], checkpoints[-1]):
        for index in {*range(0, checkpoint.size, 7), checkpoint.size - 1}:
            proof = inclusion_proof(index, checkpoint.size, log.subtree)
            assert includes(hashes[index * 32 : index * 32 + 32], index, checkpoint.size, proof, checkpoint.root)


def test_growth_between_any_two_checkpoints_is_proved(grown):
    log, checkpoints = grown
    for at, old in enumerate(checkpoints):
        for new in checkpoints[at:]:
            proof = consistency_proof(old.size, new.size, log.subtree)
            assert grew(old.size, old.root, new.size, new.root, proof)
