"""What is looked for in the log is found, wherever it stands, and nothing else."""

import csv
import io
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.audit import encode, entry, record_of
from countersign.audit.export import OcsfWriter, csv_head, csv_row, removed_hash, removed_line
from countersign.audit.search import Query
from countersign.model import AuditEvent, AuditRecord
from countersign.store import Database, StoredAuditLog


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def __call__(self):
        return self.now


def command(number, *, identity="crew", target="shop", rule="reads", effects=("read",), table="public.orders", text="SELECT 1"):
    statement = {"kind": "SELECT", "reads": [table], "writes": [], "effects": list(effects)}
    return AuditEvent(
        "command",
        {
            "command_id": f"cmd-{number}",
            "session_id": "se-1",
            "identity": identity,
            "on_behalf_of": "",
            "target": target,
            "database": "shop",
            "verdict": "allow",
            "rule": rule,
            "command": {"text": text, "effects": list(effects), "statements": [statement]},
        },
    )


@pytest.fixture
async def log(tmp_path):
    clock = Clock()
    database = Database.open(tmp_path / "store.db", clock)
    log = StoredAuditLog(database)
    await log.append(AuditEvent("session.opened", {"session_id": "se-1", "identity": "crew", "client_address": "10.0.0.7"}))
    for number in range(1200):
        log.hand_over(command(number))
    await log.append(
        command(5000, identity="ana", text="UPDATE customers SET name = 'Zoë \"Q\"'", effects=("write",), table="public.customers")
    )
    clock.now += timedelta(hours=1)
    await log.append(command(5001, target="ledger", rule="by a DBA", table="audit.orders_log"))
    await log.append(AuditEvent("review.decision", {"review_id": "rv-1", "reviewer": "ben", "identity": "crew", "target": "shop"}))
    await log.append(AuditEvent("command.finished", {"command_id": "cmd-5001", "masked": [{"rule": "ssn", "count": 1}]}))
    yield log
    database.close()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"identity": "ana"}, [1202]),
        ({"identity": "ben"}, [1204]),
        ({"target": "ledger"}, [1203]),
        ({"rule": "by a DBA"}, [1203]),
        ({"rule": "ssn"}, [1205]),
        ({"effect": "write"}, [1202]),
        ({"table": "public.customers"}, [1202]),
        ({"table": "customers"}, [1202]),
        ({"table": "orders_log"}, [1203]),
        ({"table": "log"}, []),
        ({"text": 'zoë "q"'}, [1202]),
        ({"text": "update CUSTOMERS"}, [1202]),
        ({"about": "cmd-5001"}, [1205, 1203]),
        ({"about": "rv-1"}, [1204]),
        ({"kind": "session.opened"}, [1]),
        ({"since": "2026-11-24T10"}, [1205, 1204, 1203]),
        ({"until": "2026-11-24T09", "identity": "ana"}, [1202]),
        ({"since": "2026-11-24T10", "identity": "ana"}, []),
        ({"identity": "crew", "kind": "command", "target": "ledger"}, [1203]),
        ({"identity": "cre"}, []),
    ],
)
async def test_records_are_found_by_what_they_say(log, asked, found):
    assert [record.seq for record in await log.search(Query(**asked), 50)] == found


async def test_the_newest_come_first_and_no_more_than_asked_for(log):
    assert [record.seq for record in await log.search(Query(identity="crew", kind="command", target="shop"), 3)] == [
        1201,
        1200,
        1199,
    ]
    assert len(await log.search(Query(), 5000)) == 1205


WORDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=6)


@given(WORDS, WORDS, st.integers(0, 6), st.integers(0, 6))
def test_no_hit_is_passed_over(text, rule, start, end):
    """What ``may_hold`` lets go of is no hit, whatever letters the record and the question hold."""
    event = command(1, rule=rule, text=text, identity=text or "x", table=f"public.{rule}")
    line = entry(encode(event), seq=1, time="t")
    record = record_of(line)
    for query in (
        Query(text=text[start:end]),
        Query(text=text[start:end].swapcase()),
        Query(rule=rule),
        Query(identity=text),
        Query(table=rule),
        Query(about="cmd-1"),
    ):
        assert query.may_hold(line) or not query.is_hit(record)


def test_csv_has_a_row_a_record_and_no_formulas():
    record = AuditRecord(7, "2026-11-24T09:00:00.000000Z", "command", command(1, text='=cmd()\n,"x"', identity="@sum").body, "00")
    head, row = csv.reader(io.StringIO(csv_head() + csv_row(record), newline=""))
    found = dict(zip(head, row, strict=True))
    assert (found["seq"], found["identity"], found["tables"], found["text"]) == ("7", "'@sum", "public.orders", '\'=cmd()\n,"x"')
    assert orjson.loads(found["body"]) == record.body


def test_ocsf_events_have_what_their_classes_require():
    writer = OcsfWriter()
    time = "2026-11-24T09:00:00.500000Z"
    opened = AuditRecord(1, time, "session.opened", {"session_id": "se-1", "client_address": "10.0.0.7"}, "aa")
    records = [opened, AuditRecord(2, time, "command", command(1, text="UPDATE x", effects=("write",)).body, "bb")]
    events = [orjson.loads(writer.event(record)) for record in records]
    for event in events:
        assert {"activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata"} <= event.keys()
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert event["metadata"]["version"] == "1.1.0" and event["metadata"]["product"]["vendor_name"]
        assert event["time"] == 1795510800500
    assert (events[0]["class_uid"], events[0]["activity_id"], events[0]["activity_name"]) == (0, 99, "session.opened")
    datastore = events[1]
    assert (datastore["class_uid"], datastore["actor"]["user"]["name"]) == (6005, "crew")
    assert datastore["src_endpoint"] == {"uid": "se-1", "name": "10.0.0.7"}
    assert datastore["query_info"]["query_string"] == "UPDATE x"
    assert datastore["table"] == {"name": "public.orders"}


def test_a_removed_record_s_line_gives_its_hash_back():
    assert removed_hash(removed_line(7, b"h" * 32)) == b"h" * 32
    assert removed_hash(b'{"body":{},"kind":"a","seq":7,"time":"t"}') is None
