"""Whoever owns the store's file changes it in every way that comes to mind; whoever holds the log's key and one checkpoint sees it."""

import asyncio
import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from countersign import _core
from countersign.audit import Checkpoint, LogKey, verify
from countersign.audit.merkle import leaf_hash
from countersign.model import AuditEvent
from countersign.store import Database, LogFile, StoredAuditLog, StoredCheckpoints

KEY = LogKey("countersign/test", bytes(range(32)))
ROUNDS = 400
TRIGGERS = ("audit_batches_keep", "audit_batches_stay", "audit_checkpoints_keep", "audit_checkpoints_stay")


def now():
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A store with 60 records in rows of many sizes, five checkpoints, the last over all of it."""
    path = tmp_path_factory.mktemp("sound") / "store.db"

    async def fill():
        database = Database.open(path, now)
        log, checkpoints = StoredAuditLog(database), StoredCheckpoints(database, now, KEY)
        for part in range(5):
            for number in range(12):
                event = AuditEvent("command", {"number": number, "part": part, "text": "SELECT 'é'"})
                if number % 3:
                    log.hand_over(event)
                else:
                    await log.append(event)
            await log.append(AuditEvent("end", {}))
            await checkpoints.make()
        held = await checkpoints.latest()
        database.close()
        return held

    held = asyncio.run(fill())
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        for trigger in TRIGGERS:
            store.execute(f"DROP TRIGGER {trigger}")
        store.execute("PRAGMA journal_mode=DELETE")
    return path, held


def flip(value, chance):
    """The value, a little different."""
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 7])
    if isinstance(value, bytes):
        at = chance.randrange(len(value))
        return value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :]
    at = chance.randrange(len(value))
    return value[:at] + chance.choice([c for c in "aB7+/\n" if c != value[at]]) + value[at + 1 :]


def change_a_value(store, chance):
    table, key = chance.choice([("audit_batches", "first_seq"), ("audit_checkpoints", "size")])
    columns = {
        "audit_batches": ["first_seq", "count", "time", "edge", "hashes", "entries"],
        "audit_checkpoints": ["note"],
    }[table]
    column = chance.choice(columns)
    where, value = chance.choice(store.execute(f"SELECT {key}, {column} FROM {table}").fetchall())
    store.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {key} = ?", (flip(value, chance), where))


def change_a_type(store, chance):
    column = chance.choice(["time", "edge", "hashes", "entries"])
    (where,) = chance.choice(store.execute("SELECT first_seq FROM audit_batches").fetchall())
    store.execute(f"UPDATE audit_batches SET {column} = ? WHERE first_seq = ?", (chance.choice(["x", b"", 7, 1.5]), where))


def remove_a_body(store, chance):
    store.execute("UPDATE audit_batches SET entries = NULL WHERE first_seq = ?", (pick(store, chance),))


def pick(store, chance):
    return chance.choice(store.execute("SELECT first_seq FROM audit_batches").fetchall())[0]


def delete_rows(store, chance):
    store.execute("DELETE FROM audit_batches WHERE first_seq = ?", (pick(store, chance),))


def cut_off(store, chance):
    first = chance.choice(store.execute("SELECT first_seq FROM audit_batches").fetchall()[1:])[0]
    store.execute("DELETE FROM audit_batches WHERE first_seq >= ?", (first,))
    if chance.random() < 0.7:
        store.execute("DELETE FROM audit_checkpoints WHERE size >= ?", (first,))


def swap_rows(store, chance):
    rows = store.execute("SELECT count, time, edge, hashes, entries, first_seq FROM audit_batches").fetchall()
    one, other = chance.sample(rows, 2)
    for values, place in ((one[:5], other[5]), (other[:5], one[5])):
        query = "UPDATE audit_batches SET count = ?, time = ?, edge = ?, hashes = ?, entries = ? WHERE first_seq = ?"
        store.execute(query, (*values, place))


def insert_a_row(store, chance):
    values = chance.choice(store.execute("SELECT count, time, edge, hashes, entries FROM audit_batches").fetchall())
    taken = {row[0] for row in store.execute("SELECT first_seq FROM audit_batches")}
    place = chance.choice([n for n in range(-2, 70) if n not in taken])
    store.execute(
        "INSERT INTO audit_batches (first_seq, count, time, edge, hashes, entries) VALUES (?,?,?,?,?,?)", (place, *values)
    )


def within_a_row(store, chance):
    """Remove, repeat or exchange records inside of one row, the hashes with them."""
    where, hashes, entries = chance.choice(
        store.execute("SELECT first_seq, hashes, entries FROM audit_batches WHERE count > 1").fetchall()
    )
    lines = list(zip(entries.split(b"\n"), (hashes[at : at + 32] for at in range(0, len(hashes), 32)), strict=True))
    how, at = chance.choice(["remove", "repeat", "exchange"]), chance.randrange(len(lines) - 1)
    if how == "remove":
        del lines[at]
    elif how == "repeat":
        lines.insert(at, lines[at])
    else:
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    changed = (len(lines), b"".join(h for _, h in lines), b"\n".join(line for line, _ in lines), where)
    store.execute("UPDATE audit_batches SET count = ?, hashes = ?, entries = ? WHERE first_seq = ?", changed)


def write_anew(store, chance):
    """Change one record and make everything after it fit: hashes, edges, and checkpoints signed with another key or taken away."""
    victim = chance.randrange(1, 61)
    rows = store.execute("SELECT first_seq, count, entries FROM audit_batches ORDER BY first_seq").fetchall()
    size, edge, roots = 0, b"", {}
    for first_seq, count, entries in rows:
        lines = entries.split(b"\n")
        if first_seq <= victim < first_seq + count:
            lines[victim - first_seq] = lines[victim - first_seq].replace(b"SELECT", b"UPDATE").replace(b'"end"', b'"fin"')
        hashes = b"".join(map(leaf_hash, lines))
        edge = _core.tree_extend(size, edge, hashes)
        size += count
        roots[size] = _core.tree_root(size, edge)
        query = "UPDATE audit_batches SET edge = ?, hashes = ?, entries = ? WHERE first_seq = ?"
        store.execute(query, (edge, hashes, b"\n".join(lines), first_seq))
    if chance.random() < 0.5:
        store.execute("DELETE FROM audit_checkpoints")
        return
    other = LogKey.generate(chance.choice([KEY.name, "countersign/other"]))
    for (signed,) in store.execute("SELECT size FROM audit_checkpoints").fetchall():
        note = Checkpoint.sign(other, signed, roots[signed]).note
        store.execute("UPDATE audit_checkpoints SET note = ? WHERE size = ?", (note, signed))


def swap_checkpoints(store, chance):
    """Notes that are good, at the sizes of others, while the log is cut to what the smaller one says."""
    small, large = sorted(chance.sample(store.execute("SELECT size, note FROM audit_checkpoints").fetchall(), 2))
    store.execute("UPDATE audit_checkpoints SET note = ? WHERE size = ?", (small[1], large[0]))
    store.execute("DELETE FROM audit_checkpoints WHERE size > ?", (large[0],))
    store.execute("DELETE FROM audit_batches WHERE first_seq > ?", (small[0],))


MANIPULATIONS = [
    change_a_value,
    change_a_value,
    change_a_type,
    remove_a_body,
    delete_rows,
    cut_off,
    swap_rows,
    insert_a_row,
    within_a_row,
    write_anew,
    swap_checkpoints,
]


def test_the_store_that_is_manipulated_below_verifies(sound):
    path, held = sound
    found = verify(LogFile(path), key=KEY.verifier, held=[held])
    assert (found.ok, found.records, found.signed) == (True, 65, 65), found.problem


@pytest.mark.parametrize("manipulate", dict.fromkeys(MANIPULATIONS), ids=lambda one: one.__name__)
def test_every_manipulation_of_the_file_is_found(sound, tmp_path, manipulate):
    path, held = sound
    chance = random.Random(manipulate.__name__)
    for number in range(ROUNDS // len(MANIPULATIONS) * MANIPULATIONS.count(manipulate)):
        changed = tmp_path / f"{number}.db"
        shutil.copy(path, changed)
        with closing(sqlite3.connect(changed, isolation_level=None)) as store:
            manipulate(store, chance)
        found = verify(LogFile(changed), key=KEY.verifier, held=[held])
        assert not found.ok, f"round {number} of {manipulate.__name__} was not found"
        assert "record" in found.problem or "checkpoint" in found.problem
