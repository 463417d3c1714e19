import asyncio
import os
import time
from datetime import UTC, datetime

import pytest

from countersign.model import Identity, IdentityKind, Session, Target
from countersign.recording import Recorder, RecordingFailed, read_recording
from countersign.recording.recorder import FLUSH_BYTES

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def session():
    crew = Identity("crew", IdentityKind.SERVICE_ACCOUNT)
    return Session(
        id="se-1", identity=crew, target=Target("shop", "postgres"), client_address="127.0.0.1:1", started_at=NOW, database="shop"
    )


@pytest.fixture
def recorder(tmp_path, session):
    return Recorder(tmp_path, session, time.monotonic)


def kinds(folder):
    return [event["type"] for event in read_recording(folder, "se-1")]


async def test_events_are_in_the_file_soon_after_a_flush_without_another_event(recorder, tmp_path):
    recorder.add("command", text="SELECT 1")
    recorder.flush()
    end = time.monotonic() + 10
    while kinds(tmp_path) != ["session", "command"]:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
    recorder.close("done")


async def test_closing_writes_everything_at_once(recorder, tmp_path):
    recorder.add("command", text="SELECT 1")
    recorder.flush()
    recorder.close("done")
    assert kinds(tmp_path) == ["session", "command", "closed"]
    await asyncio.sleep(0.06)  # a timer that was left behind would write to a closed file
    assert kinds(tmp_path) == ["session", "command", "closed"]


async def test_much_is_written_without_waiting(recorder, tmp_path):
    recorder.add("command", text="x" * FLUSH_BYTES)
    assert kinds(tmp_path) == ["session", "command"]
    recorder.close("done")


async def test_a_full_disk_ends_the_session_at_its_next_flush(recorder):
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._file)
    os.close(full)
    recorder.add("command", text="SELECT 1")
    recorder.flush()
    with pytest.raises(RecordingFailed, match="No space left"):
        while True:
            await asyncio.sleep(0.005)
            recorder.flush()
    with pytest.raises(RecordingFailed):
        recorder.close("done")


def test_a_file_that_is_there_already_is_refused(recorder, tmp_path, session):
    with pytest.raises(RecordingFailed):
        Recorder(tmp_path, session, time.monotonic)
