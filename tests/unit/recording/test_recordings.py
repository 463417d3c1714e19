"""Recordings as they are stored: in chunks that name their place, sealed where there is a key, and never lost while nothing takes them."""

import asyncio
import base64
import shutil
import time
from datetime import UTC, datetime

import orjson
import pytest

from countersign.model import Identity, IdentityKind, Session, Target
from countersign.recording import (
    ChunkDamaged,
    Folder,
    KeyMissing,
    Library,
    PlaceProblem,
    RecordingDamaged,
    RecordingFailed,
    RecordingKey,
    RecordingLocked,
    RecordingNotFound,
    Recordings,
    open_chunk,
)
from countersign.recording.chunks import Sealer

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KEY = RecordingKey(bytes(range(32)))
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT)


def session(name="se-1"):
    return Session(
        id=name, identity=CREW, target=Target("shop", "postgres"), client_address="127.0.0.1:1", started_at=NOW, database="shop"
    )


def lines(*texts, start=0.0):
    events = [{"t": start + number, "type": "command", "text": text} for number, text in enumerate(texts)]
    return b"".join(orjson.dumps(event) + b"\n" for event in events)


class Failing(Folder):
    """A folder that takes nothing for a while."""

    def __init__(self, path):
        super().__init__(path)
        self.problem = ""

    def append(self, header, chunk):
        if self.problem:
            raise PlaceProblem(self.problem)
        super().append(header, chunk)


class Scene:
    def __init__(self, folder, key=None, pause_s=30.0):
        self.place = Failing(folder)
        self.on_record = []
        self.recordings = Recordings(self.place, key, self.on_record.append, pause_s=pause_s)
        self.library = Library(self.place, [key] if key else [])

    def events(self, name="se-1"):
        return list(self.library.open(name).events())

    async def until(self, condition):
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    def stored(self, kinds, name="se-1"):
        def look():
            try:
                return [event["type"] for event in self.events(name)] == kinds
            except RecordingNotFound:
                return False

        return look


@pytest.fixture
def make(tmp_path):
    made = []

    def make(**options):
        made.append(Scene(tmp_path, **options))
        return made[-1]

    yield make
    for scene in made:
        scene.place.problem = ""
        scene.recordings.close()


async def test_what_happened_is_stored_within_two_seconds_while_the_session_runs(make):
    scene = make()
    recorder = scene.recordings.open(session())
    took_s = []
    for count in range(1, 4):  # a busy machine may add a second of its own once, but not every time
        recorder.add("command", text="SELECT 1")
        began = time.monotonic()
        await scene.until(scene.stored(["session", *["command"] * count]))
        took_s.append(time.monotonic() - began)
    assert min(took_s) < 2
    recording = scene.library.open("1")
    assert not recording.is_closed and recording.info.identity == "crew"
    recorder.close("the client left")
    await scene.until(scene.stored(["session", *["command"] * 3, "closed"]))
    assert scene.library.open("se-1").is_closed


async def test_the_digest_of_every_chunk_is_put_on_record_and_of_the_last_that_it_is(make, tmp_path):
    scene = make()
    recorder = scene.recordings.open(session())
    await scene.until(scene.stored(["session"]))
    recorder.add("command", text="SELECT 1")
    recorder.close("done")
    await scene.until(lambda: len(scene.on_record) == 2)
    bodies = [event.body for event in scene.on_record]
    assert [(body["number"], body["is_last"], body["events"]) for body in bodies] == [(0, False, 1), (1, True, 2)]
    assert sum(body["bytes"] for body in bodies) == (tmp_path / "se-1.csrec").stat().st_size


async def test_only_the_chunks_of_a_time_are_read(make):
    scene = make()
    now = [0.0]
    recorder = scene.recordings.open(session(), lambda: now[0])
    for second in range(1, 6):
        await scene.until(lambda second=second: len(scene.on_record) == second)
        now[0] = second * 10.0
        recorder.add("command", text=f"at {second * 10}")
    await scene.until(lambda: len(scene.on_record) == 6)
    recording = scene.library.open("se-1")
    assert [chunk.first_us for chunk in recording.index()] == [0, 10_000_000, 20_000_000, 30_000_000, 40_000_000, 50_000_000]
    read = []
    original = scene.place.read
    scene.place.read = lambda name, chunk: read.append(chunk.number) or original(name, chunk)
    assert [event["text"] for event in recording.events(from_s=35)] == ["at 40", "at 50"]
    assert read == [4, 5] and recording.length_s == 50


async def test_following_a_live_recording_ends_with_it(make):
    scene = make()
    recorder = scene.recordings.open(session())
    await scene.until(scene.stored(["session"]))
    following = asyncio.create_task(asyncio.to_thread(lambda: [e["type"] for e in scene.library.open("se-1").follow(0.01)]))
    recorder.add("command", text="SELECT 1")
    await scene.until(scene.stored(["session", "command"]))
    recorder.close("done")
    assert await asyncio.wait_for(following, 20) == ["session", "command", "closed"]


async def test_much_becomes_several_chunks_and_one_long_event_stays_whole(make):
    scene = make()
    recorder = scene.recordings.open(session())
    recorder.add("command", text="x" * (9 << 20))
    for _ in range(9):
        recorder.add("command", text="y" * (1 << 20))
    recorder.close("done")
    await scene.until(lambda: scene.on_record and scene.on_record[-1].body["is_last"])
    assert [len(event.get("text", "")) for event in scene.events()] == [0, 9 << 20, *[1 << 20] * 9, 0]
    assert len(scene.library.open("se-1").index()) > 2


# -- a place that takes nothing
async def test_while_nothing_can_be_stored_sessions_wait_new_ones_are_refused_and_nothing_is_lost(make):
    scene = make()
    recorder = scene.recordings.open(session())
    await scene.until(scene.stored(["session"]))
    scene.place.problem = "No space left on device"
    recorder.add("command", text="SELECT 1")
    await scene.until(lambda: not recorder.is_ready)
    with pytest.raises(RecordingFailed, match="No space left"):
        scene.recordings.open(session("se-2"))
    told = []
    waiting = asyncio.create_task(recorder.ready(told.append))
    await scene.until(lambda: told)
    assert "No space left" in told[0] and not waiting.done()
    scene.place.problem = ""
    await asyncio.wait_for(waiting, 20)
    recorder.close("done")
    await scene.until(scene.stored(["session", "command", "closed"]))
    scene.recordings.open(session("se-2")).close("done")
    await scene.until(scene.stored(["session", "closed"], "se-2"))


async def test_i8_a_recorder_that_broke_lets_nothing_through_any_more(make, monkeypatch):
    scene = make(pause_s=0.2)
    recorder = scene.recordings.open(session())
    await scene.until(scene.stored(["session"]))
    recorder.add_encoded(b"what nobody can read\n")
    await scene.until(lambda: not recorder.is_ready)
    with pytest.raises(RecordingFailed, match="internal error"):
        await recorder.ready(lambda _: None)
    with pytest.raises(RecordingFailed, match="internal error"):
        scene.recordings.open(session("se-2"))


async def test_a_recording_whose_last_event_is_taken_while_it_closes_still_gets_its_end(make, monkeypatch):
    scene = make()
    recordings = scene.recordings
    recordings.close()  # from here the test is the writer
    recorder = recordings.open(session())
    add = recorder.add

    def taken_at_once(kind, **fields):
        add(kind, **fields)
        recordings._gather(at_once=True)

    monkeypatch.setattr(recorder, "add", taken_at_once)
    recorder.close("the client left")
    (opened,) = recordings._open.values()
    recordings._gather(at_once=False)
    assert opened.is_over and opened.unstored[-1][0].is_last


async def test_a_session_does_not_wait_forever(make):
    scene = make(pause_s=0.2)
    recorder = scene.recordings.open(session())
    scene.place.problem = "Input/output error"
    await scene.until(lambda: not recorder.is_ready)
    with pytest.raises(RecordingFailed, match="Input/output error"):
        await recorder.ready(lambda _: None)


async def test_a_full_disk_leaves_no_part_of_a_chunk_behind(tmp_path, monkeypatch):
    place = Folder(tmp_path)
    place.begin("se-1")
    sealer = Sealer("se-1", None)
    place.append(*sealer.seal(lines("a"), is_last=False))
    whole = (tmp_path / "se-1.csrec").read_bytes()
    second = sealer.seal(lines("b", start=2), is_last=True)
    import os

    real = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda file, data, at: real(file, data[:10], at) if at == len(whole) else _full())
    with pytest.raises(PlaceProblem, match="No space left"):
        place.append(*second)
    assert (tmp_path / "se-1.csrec").read_bytes() == whole
    monkeypatch.undo()
    place.append(*second)
    place.finish("se-1")
    assert [event["text"] for event in Library(place).open("se-1").events()] == ["a", "b"]


def _full():
    raise OSError(28, "No space left on device")


def test_a_recording_that_is_there_already_or_a_link_in_its_place_is_refused(tmp_path):
    (tmp_path / "se-1.csrec").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PlaceProblem):
        Folder(tmp_path).begin("se-1")
    assert not (tmp_path / "elsewhere").exists()


def test_a_name_that_leads_elsewhere_is_no_id(tmp_path):
    with pytest.raises(PlaceProblem):
        Folder(tmp_path / "a").delete("../b")


# -- sealed
def test_i6_a_sealed_chunk_tells_nothing_and_opens_with_its_key_alone():
    _, chunk = Sealer("se-1", KEY).seal(lines("SELECT secret"), is_last=True)
    assert b"secret" not in chunk and b"SELECT" not in chunk
    assert b"SELECT secret" in open_chunk(chunk, [RecordingKey(bytes(32)), KEY])[1]
    with pytest.raises(KeyMissing, match=KEY.id):
        open_chunk(chunk, [RecordingKey(bytes(32))])
    other = RecordingKey(bytes(32))
    forged = chunk.replace(KEY.id.encode(), other.id.encode())
    with pytest.raises(ChunkDamaged, match="seal is broken"):
        open_chunk(forged, [other])


def test_two_recordings_share_no_key():
    bodies = [Sealer("se-1", KEY).seal(lines("the same"), is_last=True)[1][-40:] for _ in range(2)]
    assert bodies[0] != bodies[1]


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_whatever_is_changed_in_a_sealed_chunk_is_noticed(at):
    _, chunk = Sealer("se-1", KEY).seal(lines("SELECT 1"), is_last=True)
    if at < len(chunk):
        changed = chunk[:at] + bytes([chunk[at] ^ 1]) + chunk[at + 1 :]
        with pytest.raises((ChunkDamaged, KeyMissing)):
            open_chunk(changed, [KEY])


def test_a_chunk_fits_no_other_place(tmp_path):
    one, two = Sealer("se-1", KEY), Sealer("se-2", KEY)
    parts = [one.seal(lines("a"), is_last=False)[1], one.seal(lines("b", start=1), is_last=True)[1]]
    other = two.seal(lines("c"), is_last=False)[1]
    library = Library(Folder(tmp_path), [KEY])
    for wrong in ([parts[1], parts[0]], [parts[1]], [other, parts[1]]):
        (tmp_path / "se-1.csrec").write_bytes(b"".join(wrong))
        with pytest.raises(RecordingDamaged, match="se-1"):
            list(library.open("se-1").events())
    (tmp_path / "se-1.csrec").write_bytes(b"".join(parts)[:-3])  # what a crash leaves
    assert [event["text"] for event in library.open("se-1").events()] == ["a"] and not library.open("se-1").is_closed
    (tmp_path / "se-1.csrec").write_bytes(b"not a recording, whoever says so")
    with pytest.raises(RecordingDamaged):
        library.open("se-1").index()
    (tmp_path / "se-1.csrec").write_bytes(b"".join(parts))
    with pytest.raises(RecordingLocked):
        list(Library(Folder(tmp_path)).open("se-1").events())
    assert len(Library(Folder(tmp_path)).open("se-1").index()) == 2


def test_ids_can_be_shortened_while_they_are_unique(tmp_path):
    for name in ("se-aa1", "se-ab2"):
        (tmp_path / f"{name}.csrec").write_bytes(Sealer(name, None).seal(lines("x"), is_last=True)[1])
    library = Library(Folder(tmp_path))
    assert library.open("ab").session_id == library.open("se-ab2").session_id == "se-ab2"
    for unclear in ("se-a", "a", "", "se-", "zz"):
        with pytest.raises(RecordingNotFound):
            library.open(unclear)
    library.delete("se-aa1")
    assert library.ids() == ["se-ab2"]


@pytest.mark.parametrize("text", ["", "short", base64.b64encode(bytes(31)).decode(), "x" * 44])
def test_a_key_that_is_none_is_refused_without_being_quoted(text):
    with pytest.raises(ValueError, match="32 bytes") as caught:
        RecordingKey.parse(text)
    assert not text or text not in str(caught.value)


def test_a_moved_folder_reads_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "se-1.csrec").write_bytes(Sealer("se-1", KEY).seal(lines("x"), is_last=True)[1])
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert [event["text"] for event in Library(Folder(tmp_path / "b"), [KEY]).open("1").events()] == ["x"]
