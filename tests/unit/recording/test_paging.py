"""A recording in pages."""

import pytest

from countersign.recording import ChunkInfo, RecordingDamaged
from countersign.recording.paging import read_page, search


class Recorded:
    """Three chunks of four events each, two of which are at one time; chunk ``damaged`` cannot be read."""

    def __init__(self, damaged=None):
        self.damaged = damaged
        self.read_chunks = []

    def index(self):
        return [
            ChunkInfo(number, number * 4_000_000, number * 4_000_000 + 3_000_000, 4, 100, number == 2, None) for number in range(3)
        ]

    def read(self, chunk):
        if chunk.number == self.damaged:
            raise RecordingDamaged(f"chunk {chunk.number}")
        self.read_chunks.append(chunk.number)
        times = [chunk.number * 4.0 + offset for offset in (0, 1, 1, 3)]
        return [{"t": t, "type": "command", "text": f"{chunk.number}-{at}"} for at, t in enumerate(times)]

    def events(self):
        for chunk in self.index():
            yield from self.read(chunk)


def texts(page):
    return [event["text"] for event in page.events]


def test_pages_of_any_size_hold_every_event_once():
    whole = texts(read_page(Recorded(), 0.0, "", 100))
    for limit in range(1, 14):
        told, after = [], ""
        while after is not None:
            page = read_page(Recorded(), 0.0, after, limit)
            assert len(page.events) <= limit
            told += texts(page)
            after = page.following
        assert told == whole and len(told) == 12


def test_what_stands_before_is_not_read():
    recorded = Recorded()
    page = read_page(recorded, 5.0, "", 100)
    assert texts(page)[0] == "1-1" and recorded.read_chunks == [1, 2]
    recorded = Recorded()
    assert texts(read_page(recorded, 0.0, "2.1", 1)) == ["2-1"] and recorded.read_chunks == [2]


def test_damage_is_told_with_what_stands_before_it():
    page = read_page(Recorded(damaged=1), 0.0, "", 100)
    assert (len(page.events), page.following, page.problem) == (4, None, "chunk 1")


@pytest.mark.parametrize("cursor", ["1", "1.", ".1", "-1.0", "1.x", "²." + "1", "1" * 40 + ".1"])
def test_a_cursor_that_no_page_named_is_refused(cursor):
    with pytest.raises(ValueError, match="no page said"):
        read_page(Recorded(), 0.0, cursor, 1)


def test_a_search_says_where_a_text_stands():
    assert [(hit["t"], hit["excerpt"]) for hit in search(Recorded(), "2-")] == [
        (8.0, "2-0"),
        (9.0, "2-1"),
        (9.0, "2-2"),
        (11.0, "2-3"),
    ]
