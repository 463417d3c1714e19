import asyncio
import sqlite3
import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.audit import verify
from countersign.model import AuditEvent
from countersign.store import Database, StoredAuditLog, StoreError, schema


def now():
    return datetime.now(UTC)


sqlite_only = pytest.mark.parametrize("store_place", ["sqlite"], indirect=True)


@pytest.fixture
def database(store_place):
    opened = Database.open(store_place, now)
    yield opened
    opened.close()


@pytest.fixture
def audit(database):
    return StoredAuditLog(database)


def numbers(audit):
    return [record.body["number"] for record in audit.records()]


def event(number, **more):
    return AuditEvent("thing", {"number": number, **more})


def is_on_disk(other, number):
    rows = other.execute("SELECT entries FROM audit_batches ORDER BY first_seq DESC")
    return any(f'{{"body":{{"number":{number}}}'.encode() in entries for (entries,) in rows)


def block(path):
    """Another process that keeps the store to itself."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


@sqlite_only
async def test_append_returns_only_after_the_commit(database, audit, tmp_path):
    await audit.append(event(1))
    with sqlite3.connect(tmp_path / "store.db") as other:
        assert other.execute("SELECT count FROM audit_batches").fetchall() == [(1,)]
    other.close()


@sqlite_only
async def test_append_waits_for_the_commit(database, audit, tmp_path):
    other = block(tmp_path / "store.db")
    waiting = asyncio.ensure_future(audit.append(event(1)))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    other.execute("COMMIT")
    other.close()
    await waiting


@sqlite_only
async def test_a_record_handed_over_is_on_disk_within_50_ms_though_nobody_waits_and_more_keep_coming(database, audit, tmp_path):
    other = sqlite3.connect(tmp_path / "store.db")
    delays = []
    for number in range(10):
        start = time.monotonic()
        audit.hand_over(event(number))
        while not is_on_disk(other, number):
            audit.hand_over(event(1000))
            await asyncio.sleep(0.002)
        delays.append(time.monotonic() - start)
    other.close()
    assert sorted(delays)[5] < 0.05


async def test_records_stand_in_the_order_in_which_they_came_among_jobs_and_over_many_batches(database, audit):
    waits = []
    for number in range(3000):
        if number % 7 == 0:
            waits.append(asyncio.ensure_future(database.write(lambda transaction, n=number: transaction.append([event(n)]))))
            await asyncio.sleep(0)
        else:
            audit.hand_over(event(number))
    await asyncio.gather(*waits)
    await audit.append(event(3000))
    assert numbers(audit) == list(range(3001))
    assert verify(audit).ok


async def test_a_job_that_fails_takes_only_its_own_records_with_it(database, audit):
    def fails(transaction):
        transaction.append([event(2)])
        raise KeyError("mine")

    def refused(transaction):
        transaction.append([event(3)])
        transaction.connection.execute(schema.audit_batches.delete())

    results = await asyncio.gather(
        audit.append(event(1)), database.write(fails), database.write(refused), audit.append(event(4)), return_exceptions=True
    )
    assert isinstance(results[1], KeyError)
    assert isinstance(results[2], StoreError)
    assert results[0] is results[3] is None
    assert numbers(audit) == [1, 4]
    assert verify(audit).ok


async def test_a_caller_who_is_cancelled_stops_waiting_and_the_work_is_done(database, audit):
    waiting = asyncio.ensure_future(audit.append(event(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await audit.append(event(2))
    assert numbers(audit) == [1, 2]


@pytest.mark.parametrize("body", [{"a": "\ud800"}, {"a": float("nan")}, {"a": b"x"}, {"a": 2**60}])
async def test_a_body_that_cannot_be_recorded_is_refused_at_once(audit, body):
    with pytest.raises(StoreError):
        audit.hand_over(AuditEvent("thing", body))
    with pytest.raises(StoreError):
        await audit.append(AuditEvent("thing", body))


@sqlite_only
async def test_a_store_that_fails_refuses_keeps_what_it_took_and_recovers(database, audit, tmp_path):
    audit.hand_over(event(0))
    await audit.append(event(1))
    with sqlite3.connect(tmp_path / "store.db") as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON audit_batches BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    audit.hand_over(event(2))
    with pytest.raises(StoreError, match="disk full"):
        await audit.append(event(3))
    with pytest.raises(StoreError, match="disk full"):
        audit.hand_over(event(4))
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    while True:
        try:
            audit.hand_over(event(5))
            break
        except StoreError:
            await asyncio.sleep(0.01)
    await audit.append(event(6))
    assert numbers(audit) == [0, 1, 2, 5, 6]
    assert verify(audit).ok


async def test_two_processes_write_one_chain(database, audit, store_place):
    beside = Database.open(store_place, now)
    other = StoredAuditLog(beside)
    for number in range(20):
        await (audit if number % 2 else other).append(event(number))
    beside.close()
    assert numbers(audit) == list(range(20))
    assert verify(audit).ok


def test_closing_writes_what_is_waiting(store_place):
    database = Database.open(store_place, now)
    audit = StoredAuditLog(database)
    for number in range(5000):
        audit.hand_over(event(number))
    database.close()
    again = Database.open(store_place, now)
    assert numbers(StoredAuditLog(again)) == list(range(5000))
    again.close()


async def test_too_much_waiting_is_refused(database, audit):
    go_on, begun = threading.Event(), threading.Event()  # the writer is at work on something long
    database.hand_over(lambda _: begun.set() or go_on.wait(20))
    assert begun.wait(20)
    with pytest.raises(StoreError, match="too far behind"):
        for number in range(50_000):
            audit.hand_over(event(number))
    go_on.set()
    await audit.append(event(-1))


async def test_threads_may_hand_over_together(database, audit):
    def work(start):
        for number in range(start, start + 1000):
            audit.hand_over(event(number))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 1000, 2000, 3000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await audit.append(event(4000))
    assert sorted(numbers(audit)) == list(range(4001))
    assert verify(audit).ok


@settings(max_examples=20, deadline=None)
@given(
    bodies=st.lists(
        st.dictionaries(st.text(alphabet="aé\uffee\U00010000"), st.text(alphabet='a"\\\né\x00') | st.floats(0, 9)), max_size=5
    )
)
def test_what_is_read_back_verifies_whatever_the_bodies_hold(tmp_path_factory, bodies):
    path = tmp_path_factory.mktemp("store") / "store.db"
    database = Database.open(path, now)
    audit = StoredAuditLog(database)
    for body in bodies:
        audit.hand_over(AuditEvent("thing", body))
    database.close()
    again = Database.open(path, now)
    log = StoredAuditLog(again)
    records, found = list(log.records()), verify(log)
    again.close()
    assert [record.body for record in records] == bodies
    assert found.ok
