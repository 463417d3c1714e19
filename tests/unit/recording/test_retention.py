"""Recordings go when they are older than what is kept, each on record before it goes, and never that of a session that runs."""

from datetime import UTC, datetime, timedelta

import pytest

from countersign.model import Identity, IdentityKind, Session, Target
from countersign.recording import Folder, Library, PlaceProblem
from countersign.recording.verify import KINDS, check_recordings
from countersign.retention import RecordingRetention
from countersign.store import Database, StoredAuditLog, StoredSessions

START = datetime(2026, 11, 24, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT)


class Scene:
    def __init__(self, folder):
        self.now = START
        self.database = Database.open(folder / "store.db", lambda: self.now)
        self.audit = StoredAuditLog(self.database)
        self.sessions = StoredSessions(self.database, lambda: self.now)
        self.place = Folder(folder / "recordings")
        self.library = Library(self.place)

    async def open(self, name):
        session = Session(name, CREW, Target("shop", "postgres"), "127.0.0.1:1", self.now, "shop", "psql")
        await self.sessions.opened(session)
        self.record(name)
        return session

    def record(self, name):
        self.place.begin(name)
        self.place.finish(name)

    def retention(self):
        return RecordingRetention(self.library, self.sessions, self.audit, timedelta(days=90), lambda: self.now)

    def removals(self):
        return [one.body for one in self.audit.records() if one.kind == "recording.removed"]


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.database.close()


async def test_only_recordings_of_sessions_that_ended_long_ago_go(scene):
    retention = scene.retention()
    old, runs = await scene.open("se-old"), await scene.open("se-runs")
    scene.record("se-unknown")
    await scene.sessions.closed(old, "client left")
    scene.now += timedelta(days=60)
    young = await scene.open("se-young")
    await scene.sessions.closed(young, "client left")
    assert await retention.remove() == 0
    scene.now += timedelta(days=40)
    assert await retention.remove() == 1
    assert sorted(scene.library.ids()) == ["se-runs", "se-unknown", "se-young"]
    assert scene.removals() == [{"session_id": "se-old", "by": "retention"}]
    await scene.sessions.closed(runs, "client left")
    assert await retention.remove() == 0
    scene.now += timedelta(days=91)
    assert await retention.remove() == 2
    assert scene.library.ids() == ["se-unknown"]
    checked = check_recordings(scene.place, [one for one in scene.audit.records() if one.kind in KINDS])
    assert checked.problems == ("recording se-unknown: nothing of it is on record",)


async def test_what_a_crash_cut_off_goes_with_its_age(scene):
    await scene.open("se-cut-off")
    retention = scene.retention()  # of the next gateway
    await scene.open("se-runs")
    scene.now += timedelta(days=89)
    assert await retention.remove() == 0
    scene.now += timedelta(days=2)
    assert await retention.remove() == 1
    assert scene.library.ids() == ["se-runs"]


async def test_a_removal_is_on_record_before_it_happens_and_tried_again_where_it_failed(scene, monkeypatch):
    await scene.sessions.closed(await scene.open("se-old"), "client left")
    scene.now += timedelta(days=91)
    retention = scene.retention()

    def fails(session_id):
        assert scene.removals() == [{"session_id": session_id, "by": "retention"}]
        raise PlaceProblem("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(scene.library, "delete", fails)
        with pytest.raises(PlaceProblem):
            await retention.remove()
    assert scene.library.ids() == ["se-old"]
    assert await retention.remove() == 1 and scene.library.ids() == []
