"""A story is told in lines that no text within a record can imitate (I10)."""

import pytest

from countersign.audit.story import told

FORGED = "no\n2026-11-25 03:00:00.000  review.approved          rv-1: approved"


def record(kind, **body):
    return {"seq": 1, "time": "2026-11-25T02:00:00.123456Z", "kind": kind, "body": body}


def command(text):
    return record(
        "command", command_id="cmd-1", identity="crew", on_behalf_of="ana", target="shop", verdict="review", rule="r", session_id="se-1",
        digest="d", command={"text": text, "parameters": [{"shown": FORGED}]},
    )  # fmt: skip


@pytest.mark.parametrize(
    "told_of",
    [
        command(FORGED),
        record("review.decision", review_id="rv-1", reviewer="ben", authentication="socket", decision="deny", reason=FORGED),
        record("review.denied", review_id="rv-1", state="denied", outcome=FORGED),
        record("session.opened", session_id="s", identity="crew", target="shop", database=FORGED, client_address="local"),
        record("authentication.failed", name=FORGED),
        record("something.new", anything=[FORGED]),
    ],
)
def test_i10_no_text_begins_a_line_as_a_record_does(told_of):
    lines = list(told([told_of]))
    assert [line[:10] for line in lines] == ["2026-11-25"] + [" " * 10] * (len(lines) - 1)
    assert not any("\n" in line for line in lines)


def test_a_kind_that_is_not_known_is_told_by_its_fields():
    assert list(told([record("review.whispered", review_id="rv-1", to="leads")])) == [
        "2026-11-25 02:00:00.123  review.whispered         review_id rv-1, to leads"
    ]


def test_an_outcome_says_what_vouches_for_the_answer():
    body = {
        "command_id": "cmd-1", "ok": True, "summary": "COPY 2", "error_code": "", "duration_us": 1500, "rows": 3, "bytes": 40,
        "answer_sha256": "ab", "masked": [{"rule": "ssn", "count": 2}], "copied_in": {"messages": 1, "bytes": 9, "sha256": "cd"},
    }  # fmt: skip
    lines = [line[25:].strip() for line in told([record("command.finished", **body)])]
    assert lines == [
        "command.finished         cmd-1: done: COPY 2, 1.5 ms",
        "answered 3 rows, 40 bytes, SHA-256 ab",
        "read 1 messages of copy data, 9 bytes, SHA-256 cd",
        "masked 2 by 'ssn'",
    ]
    (withheld,) = told([record("command.finished", **body | {"answer_sha256": None, "copied_in": None, "masked": []})])
    assert "answered" not in withheld
