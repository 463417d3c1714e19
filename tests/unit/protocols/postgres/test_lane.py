"""What the core writes of a command that goes by a lane is what Python would have written of it, to the byte where it is hashed."""

import hashlib
import struct
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from countersign import _core
from countersign.audit import Encoded, entry
from countersign.audit.merkle import Tree, leaf_hash
from countersign.gate import Gate, Outcome, Ruling, Standing, _open_record, digest_of
from countersign.model import Action, AuditEvent, Command, Identity, IdentityKind, Session, Target, Verdict
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.codec import Prepared
from countersign.protocols.postgres.masking import OutputColumn
from countersign.protocols.postgres.reading import PROTOCOL, bound, query_command
from countersign.protocols.postgres.session.conversation import Planned
from countersign.protocols.postgres.session.recorded import (
    column_fields,
    columns_tail,
    command_fields,
    record_columns,
    record_done,
    record_ready,
    record_rows,
    record_verdict,
    verdict_tail,
)
from countersign.reviews.records import command_json, parameters_json

SESSION = Session(
    "se-1", Identity("crew", IdentityKind.SERVICE_ACCOUNT), Target("shop", "postgres"), "local", datetime.now(UTC), "shöp"
)
TEXT_COLUMN = (b"a", 0, 0, 25, -1, -1, 0)
PLAN = _core.RowPlan([("pass", "text", False, "", '{"redact":{}}')], None)
LIMIT = 1 << 20


class Heard:
    """Takes what a session's loops would record, in the place of a recorder: events without their times."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def add(self, kind: str, **fields: object) -> None:
        self.events.append({"type": kind, **fields})


def untimed(lines: bytes) -> list[dict[str, object]]:
    return [{name: value for name, value in orjson.loads(line).items() if name != "t"} for line in lines.splitlines()]


class Lane:
    """A lane that knows one shape, and everything it puts out."""

    def __init__(self, sql: bytes, *, simple: bool, rows: bool = True, rows_recorded: int = 200) -> None:
        self.command = query_command(messages.query(sql), sql, True)
        self.verdict = verdict = Verdict(Action.ALLOW, "réads", policy_digest="d")
        self.standing = Standing(SESSION, self.command, verdict, _open_record(SESSION, self.command, verdict))
        self.intake, self.epoch = _core.Intake(1000), _core.Epoch()
        self.lane = _core.Lane((PROTOCOL, SESSION.id, "crew", "shop", SESSION.database), b"s" * 16, LIMIT, rows_recorded)
        self.description = messages.row_description([TEXT_COLUMN]) if rows else b""
        self.planned = Planned(PLAN, ["a"], [""], [OutputColumn("a", 0, 0, 25, False)], [])
        columns = columns_tail(column_fields(self.planned)) if rows else b""
        key = _core.shape_key(sql, simple)
        self.lane.know(key, self.standing.record, verdict_tail(verdict), columns, self.description, PLAN, self.epoch.value())

    def ask(self, data: bytes, now_us: int = 5) -> tuple[bytes, list[dict[str, object]]] | None:
        taken = self.lane.client(data, now_us, self.epoch, self.intake)
        return None if taken is None else (taken[0], [orjson.loads(line) for line in taken[1].splitlines()])

    def asked(self, command: Command, message: str, sent: bytes, record: dict[str, str]) -> list[dict[str, object]]:
        """What the session's loops would record of a request, whose audit record this is."""
        heard = Heard()
        heard.add("command", **command_fields(command, message, sent))
        record_verdict(heard, Ruling(record["command_id"], record["digest"], self.verdict))
        if self.description:
            record_columns(heard, record["command_id"], self.planned)
        return heard.events

    def records(self) -> list[tuple[str, bytes, bytes]]:
        """(kind, body, entry) of what waits, as the first of a log."""
        found: list[tuple[str, bytes, bytes]] = []
        tree = Tree()
        for run in self.intake.take(1000):
            assert run is not None
            for first_seq, count, edge, hashes, entries in run.seal(tree.size, b"".join(tree.peaks), "now", 2):
                assert first_seq == tree.size + 1
                lines = entries.split(b"\n")
                assert count == len(lines)
                assert hashes == b"".join(map(leaf_hash, lines))
                for line in lines:
                    tree.append(leaf_hash(line))
                    fields = orjson.loads(line)
                    found.append((fields["kind"], rfc8785.dumps(fields["body"]), line))
                assert b"".join(tree.peaks) == edge
        return found


def bind(values: list[bytes | None], formats: list[int], statement: bytes = b"") -> bytes:
    encoded = b"".join(struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values)
    head = b"\0" + statement + b"\0" + struct.pack(f">H{len(formats)}h", len(formats), *formats)
    return messages.message(b"B", head + struct.pack(">H", len(values)) + encoded + struct.pack(">H", 0))


def parse(sql: bytes, types: list[int]) -> bytes:
    return messages.message(b"P", b"\0" + sql + b"\0" + struct.pack(f">H{len(types)}I", len(types), *types))


def complete(lane: Lane, kinds: bytes = b"") -> bytes:
    row = messages.message(b"D", struct.pack(">hi", 1, 2) + b"hi")
    return kinds + lane.description + row + messages.message(b"C", b"SELECT 1\0") + messages.message(b"Z", b"I")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0'\\"), max_size=20), st.integers(0, 999_999_999))
def test_i1_the_record_of_a_simple_query_is_the_one_that_the_gate_would_write(text, number):
    lane = Lane(b"SELECT a FROM t WHERE b = 'x' AND c = 1", simple=True)
    data = messages.query(f"SELECT a FROM t WHERE b = '{text}' AND c = {number}".encode())
    taken = lane.ask(data)
    assert taken is not None and taken[0] == data
    [(kind, body, sealed)] = lane.records()
    command = Command(
        PROTOCOL, data, data[5:-1].decode(), lane.command.effects, lane.command.statements, (), lane.command.attributes
    )
    found = orjson.loads(body)
    assert (kind, rfc8785.dumps(found)) == ("command", body)
    assert found["digest"] == digest_of(SESSION, command)
    assert found["command"] == command_json(command)
    assert sealed == entry(Encoded(kind, body), seq=1, time="now")
    assert [event["t"] for event in taken[1]] == [0.000005] * 3
    assert [event | {"t": 0} for event in taken[1]] == [
        event | {"t": 0} for event in lane.asked(command, "Query", data[5:-1], found)
    ]


VALUES = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([0, 25, 23, 1700, 16, 20, 21, 26]), st.booleans(), st.binary(max_size=10)),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: (23, True, struct.pack(">i", n))),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: (20, True, struct.pack(">q", n))),
    st.booleans().map(lambda b: (16, True, struct.pack(">?", b))),
)


@given(st.lists(VALUES, max_size=5), st.booleans())
def test_i2_parameters_and_digest_of_an_extended_query_are_those_that_a_reviewer_would_see(values, parses):
    sql = b"SELECT a FROM t WHERE b = $1"
    lane = Lane(sql, simple=False)
    types = [0 if value is None else value[0] for value in values]
    formats = (
        [int(value is not None and value[1]) for value in values] if len(values) != 1 else [int(bool(values[0] and values[0][1]))]
    )
    raws = [None if value is None else value[2] for value in values]
    prepared = Prepared(sql, types, parse(sql, types))
    bound_raw = bind(raws, formats)
    tail = messages.execute(b"") + messages.SYNC
    if not parses:
        lane.lane.set_statements([(b"", sql, types, prepared.raw)])
    taken = lane.ask((prepared.raw if parses else b"") + bound_raw + tail)
    assert taken is not None
    assert taken[0] == (prepared.raw if parses else b"") + bound_raw + messages.describe_portal(b"") + tail
    [(_, body, _)] = lane.records()
    parameters = bound(prepared, formats, raws)
    command = Command(PROTOCOL, prepared.raw + bound_raw, sql.decode(), lane.command.effects, (), parameters)
    found = orjson.loads(body)
    assert found["digest"] == digest_of(SESSION, command)
    assert found["command"]["parameters"] == parameters_json(command)
    assert rfc8785.dumps(found) == body
    command = replace(command, text=sql.decode())
    assert [event | {"t": 0} for event in taken[1]] == [event | {"t": 0} for event in lane.asked(command, "Bind", sql, found)]


class Log:
    """Takes the gate's records."""

    def hand_over(self, event: AuditEvent) -> None:
        self.event = event


def rows(*values: bytes) -> bytes:
    return b"".join(messages.message(b"D", struct.pack(">hi", 1, len(value)) + value) for value in values)


@pytest.mark.parametrize("status", [b"I", b"T", b"E"])
@pytest.mark.parametrize("values", [(b"hi",), (), (b"a", b"\xff", b'"'), (b"x" * 3000,) * 9])
@pytest.mark.parametrize("rows_recorded", [0, 2, 200])
def test_the_outcome_is_recorded_as_the_gate_and_the_loops_record_it(status, values, rows_recorded):
    lane = Lane(b"SELECT 1", simple=True, rows_recorded=rows_recorded)
    lane.ask(messages.query(b"SELECT 2"), 1_000)
    data, tag = rows(*values), f"SELECT {len(values)}"
    answer = lane.description + data + messages.message(b"C", tag.encode() + b"\0") + messages.message(b"Z", status)
    out, events, done, turned, behind = lane.lane.target(answer, 3_500, lane.intake)
    assert (out, done, turned, behind) == (answer, True, None, b"")
    (_, asked, _), (kind, body, _) = lane.records()
    record = orjson.loads(asked)
    outcome = Outcome(True, tag, 0.0025, len(values), bytes=len(data), answer_sha256=hashlib.sha256(data).hexdigest())
    heard, log = Heard(), Log()
    gate = Gate(lambda: None, log, None, None, None, lambda prefix: prefix)
    gate.record_outcome(SESSION, gate.resumed(lane.standing, record["command_id"], record["digest"]), outcome)
    assert (kind, body) == (log.event.kind, rfc8785.dumps(log.event.body))
    if values and rows_recorded:
        record_rows(heard, record["command_id"], data, len(values), rows_recorded)
    record_done(heard, record["command_id"], outcome)
    record_ready(heard, status)
    assert untimed(events) == heard.events
    assert {orjson.loads(line)["t"] for line in events.splitlines()} == {0.0035}
    assert lane.lane.take_changes() == ([(b"", None)], True, status[0])


@given(st.lists(st.integers(0, 200), max_size=5))
def test_the_digest_of_an_answer_is_the_same_however_it_is_cut(cuts):
    lane = Lane(b"SELECT 1", simple=True)
    lane.ask(messages.query(b"SELECT 1"))
    data = rows(*(b"%d" % number for number in range(12)))
    answer = lane.description + data + messages.message(b"C", b"SELECT 12\0") + messages.message(b"Z", b"I")
    ends = sorted({cut for cut in cuts if cut < len(answer)} | {0, len(answer)})
    for start, end in pairwise(ends):
        lane.lane.target(answer[start:end], 9, lane.intake)
    finished = orjson.loads(lane.records()[-1][1])
    assert (finished["answer_sha256"], finished["bytes"], finished["rows"]) == (hashlib.sha256(data).hexdigest(), len(data), 12)


def test_a_reply_that_turns_takes_its_digest_along():
    lane = Lane(b"SELECT 1", simple=True)
    lane.ask(messages.query(b"SELECT 1"))
    seen, more = rows(b"one", b"two"), rows(b"three")
    lane.lane.target(lane.description + seen, 9, lane.intake)
    turned = lane.lane.give_up()
    assert turned is not None
    digest = turned[8]
    assert (turned[6], turned[7], digest.hex()) == (2, len(seen), hashlib.sha256(seen).hexdigest())
    digest.update(more)
    assert digest.hex() == hashlib.sha256(seen + more).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        messages.query(b"SELECT 1, 2"),
        messages.query(b"DELETE FROM t"),
        messages.query(b"SELECT 1") + messages.query(b"DELETE FROM t"),
        messages.query(b"SELECT 1") + b"X",
        messages.query(b"SELECT 1; DELETE FROM t"),
        messages.query(b"SELECT 1 /* x */"),
        messages.query(b"SELECT \xff"),
        messages.query(b"SELECT 1")[:-1],
        b"",
    ],
)
def test_i3_what_is_not_exactly_one_request_of_a_known_shape_is_not_for_the_lane(data):
    lane = Lane(b"SELECT 1", simple=True)
    assert lane.ask(data) is None
    assert lane.intake.take(10) == [] and not lane.lane.is_busy()


def test_i3_nothing_goes_by_the_lane_in_another_epoch_than_it_was_judged_in():
    lane = Lane(b"SELECT 1", simple=True)
    lane.epoch.move_on()
    assert lane.ask(messages.query(b"SELECT 1")) is None
    lane.lane.renew(lane.epoch.value())
    assert lane.ask(messages.query(b"SELECT 1")) is not None


def test_i8_nothing_goes_by_the_lane_while_the_store_takes_no_records():
    lane = Lane(b"SELECT 1", simple=True)
    lane.intake.set_accepts(False)
    assert lane.ask(messages.query(b"SELECT 1")) is None
    lane.intake.set_accepts(True)
    assert lane.ask(messages.query(b"SELECT 1")) is not None


def test_a_second_request_waits_for_the_answer_to_the_first():
    lane = Lane(b"SELECT 1", simple=True)
    assert lane.ask(messages.query(b"SELECT 1")) is not None
    assert lane.ask(messages.query(b"SELECT 1")) is None


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_i5_another_description_than_known_is_not_masked_by_the_known_plan(cut):
    lane = Lane(b"SELECT 1", simple=True)
    lane.ask(messages.query(b"SELECT 1"))
    other = messages.row_description([(b"ssn", 16385, 3, 25, -1, -1, 0)])
    reply = complete(lane).replace(lane.description, other)
    out = b""
    for part in (reply[:cut], reply[cut:]):
        shown, _, done, turned, _ = lane.lane.target(part, 9, lane.intake)
        out += shown
        assert not done
        if turned is not None:
            request, *_, answered, left = turned
            assert (out, request, answered) == (b"", messages.query(b"SELECT 1"), 0)
            assert reply.startswith(left)
            return
    raise AssertionError("it was taken for the known one")


def test_an_error_goes_back_with_what_was_answered_before_it():
    lane = Lane(b"SELECT a FROM t", simple=False)
    prepared = parse(b"SELECT a FROM t", [])
    lane.ask(prepared + bind([], []) + messages.execute(b"") + messages.SYNC)
    error = messages.error_response("22012", "division by zero")
    _, _, _, turned, _ = lane.lane.target(b"1\0\0\0\x04" + b"2\0\0\0\x04" + error, 9, lane.intake)
    assert turned is not None and turned[-2:] == (2, error)
    assert turned[1] == (b"SELECT a FROM t", [], prepared)
    assert not lane.lane.is_busy()


def test_what_comes_behind_a_reply_is_handed_back():
    lane = Lane(b"SELECT 1", simple=True)
    lane.ask(messages.query(b"SELECT 1"))
    notice = messages.notice_response("hello")
    out, _, done, turned, behind = lane.lane.target(complete(lane) + notice, 9, lane.intake)
    assert (out, done, turned, behind) == (complete(lane), True, None, notice)


def test_i5_a_row_of_another_width_ends_the_lane():
    lane = Lane(b"SELECT 1", simple=True)
    lane.ask(messages.query(b"SELECT 1"))
    row = messages.message(b"D", struct.pack(">hii", 2, -1, -1))
    with pytest.raises(_core.ProtocolError):
        lane.lane.target(lane.description + row, 9, lane.intake)


def test_statements_that_the_lane_makes_and_drops_are_told():
    sql = b"SELECT a FROM t"
    lane = Lane(sql, simple=False)
    raw = parse(sql, [])
    lane.ask(raw + bind([], []) + messages.execute(b"") + messages.SYNC)
    lane.lane.target(complete(lane, b"1\0\0\0\x042\0\0\0\x04"), 9, lane.intake)
    assert lane.lane.take_changes() == ([(b"", (sql, [], raw))], True, ord("I"))
    assert lane.ask(bind([], []) + messages.execute(b"") + messages.SYNC) is not None


def test_i3_a_parameter_of_a_user_s_type_is_not_for_the_lane():
    sql = b"SELECT a FROM t WHERE b = $1"
    lane = Lane(sql, simple=False)
    request = bind([b"x"], []) + messages.execute(b"") + messages.SYNC
    assert lane.ask(parse(sql, [16384]) + request) is None
    assert lane.ask(parse(sql, [25]) + request) is not None
