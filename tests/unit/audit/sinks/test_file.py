import csv
import io

import pytest

from countersign.audit.export import FORMS, Line
from countersign.audit.feeds import NOTE
from countersign.audit.sinks import FileSink, Parcel, SinkError
from countersign.audit_settings import FilePlace

NOTES = ["log\n1\nroot\n\n— log sig\n", "log\n2\nroot\n\n— log sig\n"]


def parcel(first, *lines, form="jsonl"):
    chosen = NOTE if form == "checkpoint" else FORMS[form]
    made = [Line(seq, line, line) for seq, line in enumerate(lines, first)]
    return Parcel("disk", f"{first}-{first + len(lines) - 1}", first, first + len(lines) - 1, chosen, made)


async def test_lines_are_appended_and_only_the_owner_may_read_them(tmp_path):
    path = tmp_path / "log.jsonl"
    sink = FileSink(FilePlace(path))
    await sink.take(parcel(1, b"one", b"two"))
    await sink.take(parcel(3, b"three"))
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", [b"", b"tw", b"one\ntw", b"x" * 200_000])
async def test_what_a_crash_left_of_a_line_is_removed(tmp_path, left):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"zero\n" + left)
    await FileSink(FilePlace(path)).take(parcel(1, b"one", b"two"))
    whole = b"zero\n" + left[: left.rfind(b"\n") + 1]
    assert path.read_bytes() == whole + b"one\ntwo\n"


async def test_an_end_of_line_inside_of_a_csv_row_is_not_its_end(tmp_path):
    path = tmp_path / "log.csv"
    rows = [b'1,"a\r\nb"\r\n', b'2,"say ""hi"""\r\n']
    await FileSink(FilePlace(path)).take(parcel(1, *rows, form="csv"))
    kept = path.read_bytes()
    head = FORMS["csv"].head
    assert kept == head + b"".join(rows)
    for cut in range(len(head), len(kept)):
        path.write_bytes(kept[:cut])
        await FileSink(FilePlace(path)).take(parcel(2, rows[1], form="csv"))
        found = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        first = [["1", "a\r\nb"]] if cut >= len(head + rows[0]) else []
        assert found[1:] == [*first, ["2", 'say "hi"']]


async def test_a_part_of_a_note_is_removed(tmp_path):
    path = tmp_path / "witness.notes"
    whole = (NOTES[0] + "\n").encode()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole + whole[:cut])
        await FileSink(FilePlace(path)).take(parcel(2, NOTES[1].encode(), form="checkpoint"))
        again = whole if cut == len(whole) else b""
        assert path.read_bytes() == whole + again + (NOTES[1] + "\n").encode()


async def test_a_file_is_set_aside_when_it_is_long_and_the_oldest_goes(tmp_path):
    path = tmp_path / "log.csv"
    sink = FileSink(FilePlace(path, rotate_bytes=len(FORMS["csv"].head) + 10, keep=2))
    for number in range(1, 9):
        await sink.take(parcel(number, b"%d,xxx\r\n" % number, form="csv"))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["log.csv", "log.csv.1", "log.csv.2"]
    rows = [line for name in reversed(names) for line in (tmp_path / name).read_bytes().split(b"\r\n")[1:] if line]
    assert rows == [b"%d,xxx" % number for number in range(3, 9)]
    assert all((tmp_path / name).read_bytes().startswith(FORMS["csv"].head) for name in names)


async def test_a_file_that_cannot_be_written_is_said_and_goes_on_later(tmp_path):
    path = tmp_path / "folder" / "log.jsonl"
    sink = FileSink(FilePlace(path))
    with pytest.raises(SinkError, match="No such file"):
        await sink.take(parcel(1, b"one"))
    path.parent.mkdir()
    await sink.take(parcel(1, b"one"))
    path.rename(path.with_name("moved"))
    await sink.take(parcel(2, b"two"))
    assert path.read_bytes() == b"two\n"
