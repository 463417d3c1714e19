"""Messages of syslog, read by the grammar of RFC 5424."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.audit import encode, entry
from countersign.audit.export import JSONL, Line
from countersign.audit.sinks.syslog import header_word, message, param_value
from countersign.model import AuditEvent

TIME = "2026-11-24T09:00:00.500000Z"
PARAM = r' [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*"'
MESSAGE = re.compile(
    r"<(?P<pri>[0-9]{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)|-) (?P<host>[!-~]{1,255}) "
    rf"(?P<app>[!-~]{{1,48}}) (?P<proc>[!-~]{{1,128}}) (?P<id>[!-~]{{1,32}}) (?P<data>\[[!#-<>-\\^-~]{{1,32}}(?:{PARAM})*\]) (?P<msg>.*)",
    re.DOTALL,
)
"""Section 6 of the RFC, but for the NILVALUE of structured data."""
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def line(seq=1, kind="command", **body):
    written = entry(encode(AuditEvent(kind, body)), seq=seq, time=TIME)
    return Line(seq, written, written)


def read(told):
    found = MESSAGE.fullmatch(told.decode())
    assert found, told
    params = re.findall(r' ([^ =]+)="((?:[^"\\\]]|\\.)*)"', found["data"])
    return found, {key: re.sub(r"\\(.)", r"\1", value) for key, value in params}


@given(kind=texts, identity=texts, rule=texts, text=texts, host=texts)
def test_every_message_is_one_by_the_grammar_and_holds_the_record(kind, identity, rule, text, host):
    told = message(line(7, kind, identity=identity, rule=rule, command={"text": text}), JSONL, header_word(host, 255), 8192)
    found, params = read(told)
    assert params["seq"] == "7" and len(params["hash"]) == 64
    assert orjson.loads(found["msg"])["body"]["command"]["text"] == text
    if identity.isprintable() and identity:
        assert params["identity"] == identity


@pytest.mark.parametrize(("verdict", "severity"), [("deny", 4), ("allow", 6), ("review", 6)])
def test_a_denial_is_a_warning_of_the_log_audit(verdict, severity):
    found, _ = read(message(line(verdict=verdict), JSONL, "gw", 8192))
    assert found["pri"] == str(13 * 8 + severity)
    assert (found["host"], found["app"], found["id"], found["time"]) == ("gw", "countersign", "command", TIME)


def test_a_value_cannot_end_its_parameter():
    assert param_value('a"] [x y="1') == 'a\\"\\] [x y=\\"1'
    assert param_value("back\\slash\nline") == "back\\\\slash?line"
    assert len(param_value("x" * 1000)) == 128 and param_value("x" * 1000).endswith("…")


@given(text=st.text(max_size=5000), limit=st.integers(1024, 9000), more=st.dictionaries(st.text(max_size=9), texts, max_size=60))
def test_a_long_record_is_cut_with_a_mark_and_stays_json_within_the_limit(text, limit, more):
    made = line(3, **(more | {"command": {"text": text, "effects": ["write"]}, "identity": "crew", "rule": "r" * 1000}))
    told = message(made, JSONL, "gw", limit)
    assert len(told) <= limit
    found, params = read(told)
    body = orjson.loads(found["msg"])
    if len(told) - len(found["msg"].encode()) + len(made.data) > limit:
        assert body["cut"] == {"bytes": len(made.data), "hash": params["hash"]} and body["seq"] == 3
        assert text.startswith(body.get("body", {}).get("command", {}).get("text", ""))
    else:
        assert body["body"]["command"]["text"] == text


def test_long_values_of_many_bytes_leave_room_for_the_message():
    values = dict.fromkeys(("identity", "on_behalf_of", "target", "verdict", "rule"), "\U0001d400" * 200)
    told = message(line(9, **values, text="x" * 2000), JSONL, "h" * 255, 1024)
    found, params = read(told)
    assert len(told) <= 1024 and params.keys() == {"seq", "hash"} and orjson.loads(found["msg"])["seq"] == 9
