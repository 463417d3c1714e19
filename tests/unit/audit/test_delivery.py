"""Deliveries over a real store, to a sink that does what the test says."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from countersign.audit import LogKey
from countersign.audit.delivery import Delivery, Position, backoff_s
from countersign.audit.feeds import RecordFeed, chooser
from countersign.audit.sinks import SinkError
from countersign.audit_settings import ExportSettings, FilePlace, Only
from countersign.model import AuditEvent, AuditRecord, Identity, IdentityKind
from countersign.store import Database, StoredAuditLog, StoredCheckpoints, StoredCursors

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
PLACE = FilePlace(None)
NAME = "export:siem"


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Sink:
    """Keeps parcels, once ``errors`` is used up. Where ``dies``, it keeps the parcel and nobody hears of it."""

    place = "file:///somewhere"

    def __init__(self, errors=(), *, dies=False, knows_repeats=False):
        self.errors, self.dies, self.knows_repeats = list(errors), dies, knows_repeats
        self.parcels = []
        self.asked = asyncio.Event()

    async def take(self, parcel):
        self.asked.set()
        if self.errors:
            raise self.errors.pop(0)
        self.parcels.append(parcel)
        if self.dies:
            raise asyncio.CancelledError

    @property
    def seqs(self):
        return [line.seq for parcel in self.parcels for line in parcel.lines]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path, clock):
    database = Database.open(tmp_path / "c.db", clock)
    yield database
    database.close()


@pytest.fixture
def audit(database):
    return StoredAuditLog(database)


@pytest.fixture
def delivery_to(database, audit, clock):
    def delivery_to(sink, *, from_now=False, **options):
        feed = RecordFeed(ExportSettings("siem", PLACE, **options), audit, lambda session_id: "")
        return Delivery(feed, sink, StoredCursors(database), clock, from_now=from_now)

    return delivery_to


async def append(audit, count, kind="command", **body):
    for number in range(count):
        await audit.append(AuditEvent(kind, {"number": number} | body))


async def finish(delivery):
    delivery.finish()
    await delivery.run()


async def test_everything_is_delivered_once_in_parcels_without_a_gap(audit, delivery_to, database):
    await append(audit, 25)
    sink = Sink()
    await finish(delivery_to(sink, batch=10))
    assert sink.seqs == list(range(1, 26))
    assert [(one.first, one.last) for one in sink.parcels] == [(1, 10), (11, 20), (21, 25)]
    assert sink.parcels[0].body.count(b"\n") == 10
    again = Sink()
    await append(audit, 2)
    await finish(delivery_to(again))
    assert again.seqs == [26, 27]


async def test_long_records_make_short_parcels(audit, delivery_to):
    await append(audit, 1, text="x" * 2_000_000)
    await append(audit, 5, text="x" * 400_000)
    sink = Sink()
    await finish(delivery_to(sink))
    assert [(one.first, one.last) for one in sink.parcels] == [(1, 1), (2, 3), (4, 5), (6, 6)]


async def test_what_the_sink_did_not_confirm_is_given_again_by_another_gateway_too(audit, delivery_to, database):
    await append(audit, 5)
    dying = Sink(dies=True, knows_repeats=True)
    with pytest.raises(asyncio.CancelledError):
        await finish(delivery_to(dying, batch=3))
    assert await StoredCursors(database).position(NAME) == Position(0, 3)
    await append(audit, 5)
    sink = Sink(knows_repeats=True)
    await finish(delivery_to(sink, batch=10))  # which would cut otherwise
    assert dying.parcels == sink.parcels[:1]
    assert [(one.first, one.last) for one in sink.parcels] == [(1, 3), (4, 10)]


async def test_a_new_export_begins_at_the_beginning_or_now_and_goes_on_where_it_was(audit, delivery_to):
    await append(audit, 5)
    sink = Sink()
    await finish(delivery_to(sink, from_now=True))
    assert sink.seqs == []
    await append(audit, 1)
    await finish(delivery_to(sink, from_now=True))
    assert sink.seqs == [6]


async def test_a_sink_that_is_down_is_asked_again_and_its_lag_is_told(audit, delivery_to, clock):
    await append(audit, 3)
    clock.now += timedelta(seconds=90)
    sink = Sink([SinkError("it is down"), SinkError("it is still down"), ValueError("what nobody expected: s3cret")])
    delivery = delivery_to(sink)
    running = asyncio.create_task(delivery.run())
    await sink.asked.wait()
    while (found := await delivery.status()).state == "ok":
        pass
    assert (found.lag_records, found.lag_s, found.cursor, found.last_error) == (3, 90.0, 0, "it is down")
    while sink.errors:
        await asyncio.sleep(0)
    while (found := await delivery.status()).last_error in ("it is down", "it is still down"):
        pass
    assert found.state == "ok" or found.last_error == "failed inside: ValueError"
    delivery.finish()
    await running
    found = await delivery.status()
    assert (found.lag_records, found.lag_s, found.cursor, found.state, found.last_error) == (0, 0.0, 3, "ok", "")
    assert sink.seqs == [1, 2, 3]


async def test_who_refuses_is_stuck_and_nothing_is_dropped(audit, delivery_to):
    await append(audit, 3)
    sink = Sink([SinkError("it answers 400", stuck=True)])
    delivery = delivery_to(sink)
    running = asyncio.create_task(delivery.run())
    await sink.asked.wait()
    while (found := await delivery.status()).state == "ok":
        pass
    assert (found.state, found.cursor, found.last_error) == ("stuck", 0, "it answers 400")
    delivery.finish()
    await running
    assert sink.seqs == [1, 2, 3]


async def test_only_what_is_asked_for_is_exported_and_the_cursor_passes_over_the_rest(audit, delivery_to, database):
    await append(audit, 2, "session.opened")
    await append(audit, 2, "command", command={"effects": ["read"]})
    await append(audit, 2, "command", command={"effects": ["read", "write"]})
    await append(audit, 1, "review.opened")
    await append(audit, 3, "session.closed")
    sink = Sink()
    await finish(delivery_to(sink, only=Only(("command", "review.*"), ("write",))))
    assert sink.seqs == [5, 6, 7]
    assert (await StoredCursors(database).position(NAME)).confirmed == 10


@pytest.mark.parametrize(
    ("only", "kind", "is_chosen"),
    [
        (Only(("review.*",)), "review.decision", True),
        (Only(("review.*",)), "review", False),
        (Only(("review.*",)), "reviews.x", False),
        (Only(("command",)), "command.finished", False),
        (Only(effects=("write",)), "session.opened", True),
        (Only(effects=("write",)), "command", False),
    ],
)
def test_kinds_and_effects(only, kind, is_chosen):
    record = AuditRecord(1, "t", kind, {"command": {"effects": ["read"]}}, "00")
    assert chooser(only)(record) is is_chosen


async def test_a_body_that_retention_removed_leaves_its_hash(audit, delivery_to, clock, database):
    await append(audit, 3)
    await StoredCheckpoints(database, clock, LogKey("countersign/test", bytes(range(32)))).make()
    by = Identity("ben", IdentityKind.USER, (), "unix_socket")
    assert await audit.forget(NOW + timedelta(days=1), by) == (3, True)
    sink = Sink()
    await finish(delivery_to(sink))
    assert sink.seqs == [1, 2, 3, 4]
    assert sink.parcels[0].body.startswith(b'{"hash":"')


def test_waiting_grows_to_a_minute_and_is_never_the_same_for_all():
    longest = [backoff_s(failures, lambda: 1.0) for failures in range(1, 12)]
    assert longest[:3] == [0.5, 1.0, 2.0] and longest[-1] == 60.0
    assert backoff_s(10**6, lambda: 0.0) == 30.0
