"""The index of the log's search answers what reading the whole log answers, whatever the records say and whatever happens to its file."""

import asyncio
import random
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign import _core
from countersign.audit import LogKey, encode, entry, search
from countersign.audit.search import Query
from countersign.model import AuditEvent, Identity, IdentityKind
from countersign.store import Database, StoredAuditLog, StoredCheckpoints
from countersign.store.indexing import Indexing
from countersign.store.log_index import PLACES, LogIndex

ADMINISTRATOR = Identity("root", IdentityKind.USER)
KEY = LogKey("countersign/test", bytes(range(32)))
START = datetime(2026, 11, 24, tzinfo=UTC)
PEOPLE = ("ana", "ben", "crew", "")
TABLES = ("public.orders", "public.people", "audit.orders", "orders", "a.b.c")
RULES = ("built-in: reads", "by a DBA", 'odd "rule"')
TEXTS = (
    "SELECT 1",
    "select a FROM orders",
    "UPDATE people SET name = 'Zoë'",
    "ὈΔΥΣΣΕΎΣ",
    "x\n\ty",
    "\u212aelvin \u0130D",
    "ab",
    "",
)


def a_record(chance):
    """A record of one kind or another, out of few words, so that questions have hits."""
    number = chance.randrange(300)
    kind = chance.choice(["command", "command", "command.finished", "review.decision", "thing"])
    if kind == "thing":
        return AuditEvent(kind, {"rule": 7, "masked": "none", "identity": None, "command": ["x"], "by": chance.choice(PEOPLE)})
    if kind == "command.finished":
        masked = [{"rule": chance.choice(RULES), "count": 1}, 3]
        return AuditEvent(kind, {"command_id": f"cmd-{number}", "session_id": "se-1", "masked": masked})
    if kind == "review.decision":
        return AuditEvent(kind, {"review_id": f"rv-{number}", "reviewer": chance.choice(PEOPLE), "identity": chance.choice(PEOPLE)})
    effects = chance.sample(["read", "write", "ddl"], chance.randrange(1, 3))
    statements = [{"reads": chance.sample(TABLES, chance.randrange(3)), "writes": chance.sample(TABLES, chance.randrange(2))}]
    return AuditEvent(
        kind,
        {
            "command_id": f"cmd-{number}",
            "session_id": f"se-{number % 7}",
            "identity": chance.choice(PEOPLE),
            "on_behalf_of": chance.choice(PEOPLE),
            "target": chance.choice(["shop", "ledger"]),
            "rule": chance.choice(RULES),
            "command": {
                "text": chance.choice(TEXTS) + str(number) + chance.choice(TEXTS),
                "effects": effects,
                "statements": statements,
            },
        },
    )


def a_question(chance):
    asked = {
        "kind": chance.choice(["command", "command.finished", "thing", "nothing"]),
        "identity": chance.choice(["ana", "ben", "crew", "nobody"]),
        "target": chance.choice(["shop", "ledger", "sho"]),
        "rule": chance.choice([*RULES, "reads"]),
        "effect": chance.choice(["read", "write", "exec"]),
        "table": chance.choice(["orders", "people", "public.orders", "b.c", "c", "rders"]),
        "text": chance.choice(["select", "SELECT 12", "zoë", "ὀδυσσεύσ", "kelvin", "i\u0307d", "b", "77", "x\n\ty1", "nowhere"]),
        "about": chance.choice(["cmd-7", "se-3", "rv-9", "cmd-"]),
        "since": chance.choice(["2026-11-24T05", "2026-11-25", "2027"]),
        "until": chance.choice(["2026-11-24T05", "2026-11-24", "2025"]),
    }
    return Query(**{name: asked[name] for name in chance.sample(list(asked), chance.choice([0, 1, 1, 2, 2, 3]))})


class Scene:
    """A log whose clock may go backwards, and its index."""

    def __init__(self, folder):
        self.path, self.now = folder / "store.db", START
        self.database = Database.open(self.path, lambda: self.now)
        self.index = LogIndex(self.path, records_a_block=16, blocks_a_segment=8)
        self.checkpoints = StoredCheckpoints(self.database, lambda: self.now, KEY)
        self.log, self.plain = StoredAuditLog(self.database, self.index), StoredAuditLog(self.database)

    async def append(self, chance, count):
        for _ in range(count):
            self.log.hand_over(a_record(chance))
            if chance.random() < 0.05:
                await self.log.append(a_record(chance))
                self.now += timedelta(minutes=chance.choice([1, 20, 90, -30]))
        await self.log.append(a_record(chance))

    def catch_up(self):
        while self.index.advance():
            pass

    async def agrees(self, chance, questions):
        for _ in range(questions):
            query, limit = a_question(chance), chance.choice([1, 5, 10_000])
            before = chance.choice([1 << 62, chance.randrange(1, 1000)])
            expected = await self.plain.search(query, limit, before=before)
            assert await self.log.search(query, limit, before=before) == expected, query


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.database.close()


@pytest.mark.parametrize("seed", range(8))
async def test_the_index_answers_what_the_log_answers(scene, seed):
    chance = random.Random(seed)
    for _ in range(3):
        await scene.append(chance, chance.choice([10, 300, 700]))
        await scene.agrees(chance, 20)
        scene.catch_up()
        await scene.agrees(chance, 60)
    assert scene.index.reaches() > 0


async def test_what_has_no_hits_is_not_read(scene):
    """A search that could read only what is indexed finds all of it there."""
    chance = random.Random(1)
    await scene.append(chance, 1000)
    await scene.log.append(AuditEvent("command", {"identity": "zed", "session_id": "se-z", "command_id": "cmd-z"}))
    await scene.append(chance, 1000)
    scene.catch_up()
    reached = scene.index.reaches()
    for query in (Query(identity="zed"), Query(about="cmd-z"), Query(kind="command", identity="zed")):
        tail, *spans = scene.index.spans(query)
        assert tail[0] == reached + 1
        assert sum(last - first + 1 for first, last in spans) < 100
    assert list(scene.index.spans(Query(identity="nobody")))[1:] == []


@pytest.mark.parametrize(
    "harm",
    ["nothing there", "not a database", "another layout", "a bit in what is turned", "a bit in a sketch", "a block gone", "a time"],
)
async def test_i8_an_index_that_is_broken_changes_no_answer_and_is_made_anew(scene, harm):
    chance = random.Random(harm)
    await scene.append(chance, 600)
    scene.catch_up()
    reached = scene.index.reaches()
    if harm == "nothing there":
        scene.index.path.unlink()
    elif harm == "not a database":
        scene.index.path.write_bytes(b"x" * 20_000)
    else:
        with closing(sqlite3.connect(scene.index.path)) as file, file:
            flipped = {"a bit in what is turned": ("turned", "bits"), "a bit in a sketch": ("sketches", "sketch")}.get(harm)
            if flipped:
                table, column = flipped
                for number, content in file.execute(f"SELECT number, {column} FROM {table}").fetchall():
                    file.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (bytes(len(content)), number))
            elif harm == "a block gone":
                file.execute("DELETE FROM blocks WHERE number = 3")
            elif harm == "a time":
                file.execute("UPDATE blocks SET first_time = '9999', last_time = '9999'")
            else:
                file.execute("PRAGMA user_version = 7")
    await scene.agrees(chance, 40)
    scene.catch_up()
    await scene.agrees(chance, 40)
    assert scene.index.reaches() == reached


async def test_i8_the_index_of_another_log_is_not_used(scene, tmp_path_factory):
    other = Scene(tmp_path_factory.mktemp("other"))
    await other.append(random.Random(1), 500)
    other.catch_up()
    other.database.close()
    await scene.append(random.Random(2), 600)
    scene.index.path.write_bytes(other.index.path.read_bytes())
    await scene.agrees(random.Random(3), 40)
    scene.catch_up()
    await scene.agrees(random.Random(4), 40)


async def test_what_the_log_forgets_the_index_forgets_and_the_rest_is_found(scene):
    chance = random.Random(5)
    await scene.append(chance, 50)
    await scene.log.append(AuditEvent("command", {"command_id": "cmd-secret", "identity": "mallory"}))
    await scene.append(chance, 600)
    scene.now += timedelta(days=2)
    await scene.append(chance, 600)
    await scene.checkpoints.make()
    scene.catch_up()
    places = _core.sketch_places([("identity", "mallory")], "cmd-secret", "")
    assert any(_has(sketch, places) for sketch in _sketches(scene))
    forgotten, is_done = await scene.log.forget(START + timedelta(days=1, hours=12), ADMINISTRATOR)
    assert forgotten > 600 and is_done
    await scene.agrees(chance, 60)
    assert not any(_has(sketch, places) for sketch in _sketches(scene))
    await scene.append(chance, 300)
    scene.catch_up()
    await scene.agrees(chance, 60)


def _sketches(scene):
    with closing(sqlite3.connect(scene.index.path)) as file:
        return [sketch for (sketch,) in file.execute("SELECT sketch FROM sketches")]


def _has(sketch, places):
    return all(sketch[place >> 3] >> (place & 7) & 1 for place in places)


async def test_only_its_owner_may_read_it(scene):
    await scene.append(random.Random(6), 100)
    scene.catch_up()
    assert scene.index.path.stat().st_mode & 0o777 == 0o600


async def test_the_thread_lets_the_index_follow_the_log(scene):
    indexing = Indexing(scene.index)
    indexing.start()
    await scene.append(random.Random(7), 400)
    async with asyncio.timeout(20):
        while scene.index.reaches() < 350:
            await asyncio.sleep(0.05)
    indexing.stop()
    await scene.agrees(random.Random(8), 40)


def test_every_letter_is_folded_as_the_search_folds_it():
    """Of every letter there is: what a text in lower case holds, its places say."""
    letters = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))
    for start in range(0, len(letters), 4):
        text = letters[start : start + 5]
        asked = set(_core.sketch_places([], "", text.lower()))
        if asked != set(_core.sketch_places([], "", text)):
            # The places of one text are those that its record sets.
            raise AssertionError(f"{text!a} is folded in another way")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.integers(0, 20), st.integers(0, 20))
def test_a_part_of_a_text_has_places_of_the_text(text, start, end):
    sketcher = _core.Sketcher(512)
    line = _line(text)
    sketcher.add(line)
    sketch = sketcher.rest()
    assert len(sketch) * 8 == PLACES
    for part in (text[start:end], text[start:end].upper(), text[start:end].lower()):
        if part.lower() in text.lower():
            assert _has(sketch, _core.sketch_places([], "", part))


@pytest.mark.parametrize("key", [*search.PEOPLE, *search.IDS])
def test_every_key_that_is_looked_at_is_indexed(key):
    sketcher = _core.Sketcher(512)
    sketcher.add(entry(encode(AuditEvent("thing", {key: "x-1"})), seq=1, time="t"))
    asked = ([("identity", "x-1")], "") if key in search.PEOPLE else ([], "x-1")
    assert _has(sketcher.rest(), _core.sketch_places(*asked, ""))


def _line(text):
    return entry(encode(AuditEvent("command", {"command": {"text": text, "effects": [], "statements": []}})), seq=1, time="t")
