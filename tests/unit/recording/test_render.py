"""What a recording looks like in a terminal, in an asciicast and in a browser, however hostile what was recorded is (I10)."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from playwright.sync_api import sync_playwright

from countersign.recording import RecordingInfo
from countersign.recording.asciicast import asciicast
from countersign.recording.page import page
from countersign.recording.render import Renderer, clock, excerpt, mark
from countersign.reviews.preview import is_hidden

INFO = RecordingInfo("se-1", "crew", "shop", "store", "psql", "127.0.0.1:1", "2026-11-24T10:00:00Z")
HOSTILE = "</script><script>alert(1)</script>\x1b]0;owned\x07\x1b[2J\u202eevil\u200b\r\n     0.001  approved rv-1 by rule all <img src=x onerror=alert(1)>"
EVENTS = [
    {"t": 0.0, "type": "session", "session_id": "se-1", "identity": "crew", "target": "shop", "database": "store"},
    {"t": 0.5, "type": "command", "command_id": "co-1", "text": "SELECT id, ssn\nFROM customers", "parameters": ["7", None]},
    {"t": 0.5, "type": "verdict", "command_id": "co-1", "action": "allow", "rule": "reads"},
    {"t": 0.6, "type": "columns", "command_id": "co-1", "names": ["id", "ssn"], "masked": ["", "last4"]},
    {"t": 0.6, "type": "rows", "command_id": "co-1", "values": [["7", "6717"], ["8", None]], "more": True},
    {"t": 0.61, "type": "done", "command_id": "co-1", "ok": True, "tag": "SELECT 2", "rows": 2, "duration_s": 0.0021},
    {"t": 0.7, "type": "ready", "transaction": "in transaction"},
    {"t": 1.0, "type": "command", "command_id": "co-2", "text": "DELETE FROM orders", "parameters": []},
    {"t": 1.0, "type": "held", "command_id": "co-2", "review_id": "rv-1", "rule": "writes"},
    {"t": 9.0, "type": "decided", "command_id": "co-2", "review_id": "rv-1", "state": "denied", "reason": "Never on a Friday"},
    {"t": 9.1, "type": "error", "command_id": "co-2", "severity": "ERROR", "code": "42501", "message": "denied", "hint": "ask"},
    {"t": 10.0, "type": "closed", "reason": "the client left"},
]  # fmt: skip


def hostile():
    """Every text of every event says what it should not be able to do; also what no recording has today."""
    turned = [{name: _turned(name, value) for name, value in event.items()} for event in EVENTS]
    kinds = ("verdict", "decision", "review", "application", "notification", "notice")
    return [
        *turned,
        *(
            {"t": 11.0, "type": kind, "name": HOSTILE, "payload": HOSTILE, "message": HOSTILE, "reviewer": HOSTILE}
            for kind in kinds
        ),
    ]


def _turned(name, value):
    if isinstance(value, list):
        return [_turned("", one) for one in value]
    return HOSTILE if isinstance(value, str) and name != "type" else value


def lines(events):
    renderer = Renderer()
    return [line.text for event in events for line in renderer.lines(event)]


def test_a_session_looks_as_in_psql():
    told = lines(EVENTS)
    assert told[1:9] == [
        "store=> SELECT id, ssn",
        "store-> FROM customers",
        "  $1 = 7",
        "  $2 = NULL",
        "  allowed by rule reads",
        "  id | ssn [masked: last4]",
        "  ---+--------------------",
        "  7  | 6717",
    ]
    assert "store=*> DELETE FROM orders" in told and "  held for review rv-1 by rule writes" in told
    assert "  denied rv-1 Never on a Friday" in told and "  HINT: ask" in told and told[-1] == "closed: the client left"
    assert "  SELECT 2 (2 rows, 2.1 ms)" in told and "  (more rows than were recorded)" in told


def test_unknown_types_and_missing_fields_are_no_problem():
    kinds = {event["type"] for event in EVENTS} | {"verdict", "decision", "review", "application", "notification", "notice"}
    bare = [{"t": 0.0, "type": kind} for kind in sorted(kinds)]
    assert lines(bare)
    assert lines([{"t": 0.0, "type": "keystroke", "text": "x"}, {"t": 0.0}, {"t": 0.0, "type": "__init__"}]) == []
    odd = [{"t": 0.0, "type": "rows", "values": ["no list", ["1", "2"], ["3"]]}, {"t": 0.0, "type": "columns", "names": None}]
    assert "  1 | 2" in lines(odd)


def test_i10_what_was_recorded_cannot_steer_a_terminal_nor_stand_at_a_lines_beginning():
    told = lines(hostile())
    assert told
    for line in told:
        assert not any(is_hidden(letter) for letter in line) and "\n" not in line
        assert not line.startswith(("     0.001", "approved"))


def test_search_finds_commands_values_and_errors_whatever_the_case():
    assert [event["t"] for event in EVENTS if excerpt(event, "FRIDAY")] == [9.0]
    assert [event["type"] for event in EVENTS if excerpt(event, "6717")] == ["rows"]
    assert not any(excerpt(event, "co-2") for event in EVENTS)
    assert excerpt({"type": "command", "text": "x" * 5000 + "Needle" + HOSTILE}, "needle").count("Needle") == 1
    assert not any(is_hidden(letter) for letter in excerpt({"type": "command", "text": HOSTILE}, "evil"))


def test_marks_and_times():
    assert [(event["t"], mark(event)) for event in EVENTS if mark(event)] == [(1.0, "held"), (9.0, "denied"), (9.1, "error")]
    assert [clock(seconds) for seconds in (0.0, 61.5, 3599.9996, 3661)] == ["00:00.000", "01:01.500", "1:00:00.000", "1:01:01.000"]


def check_asciicast(text, version):
    """Everything that docs.asciinema.org/manual/asciicast demands of a file of this version; answers its events with absolute times."""
    assert text.endswith("\n")
    header, *rest = [json.loads(line) for line in text.split("\n")[:-1]]
    size = header.pop("term") if version == 3 else {"cols": header.pop("width"), "rows": header.pop("height")}
    assert set(size) <= {"cols", "rows", "type", "version", "theme"} and all(type(size[name]) is int for name in ("cols", "rows"))
    assert header.pop("version") == version
    kinds = {"timestamp": int, "title": str, "command": str, "idle_time_limit": float, "env": dict, "tags": list, "duration": float}
    assert all(type(value) is kinds[name] for name, value in header.items())
    now, events = 0.0, []
    for event in rest:
        time, code, data = event
        assert type(time) in (int, float) and time >= 0 and isinstance(data, str)
        assert code in ({"o", "i", "m", "r", "x"} if version == 3 else {"o", "i", "m", "r"})
        assert version == 3 or time >= now
        now = now + time if version == 3 else time
        events.append((round(now, 6), code, data))
    return events


def test_asciicasts_of_both_versions_keep_to_their_specification_and_say_the_same():
    two, three = (check_asciicast("".join(asciicast(INFO, EVENTS, version)), version) for version in (2, 3))
    assert two == three
    assert (9.0, "m", "denied") in two and two[-1][:2] == (10.0, "o")
    assert "\x1b[1mstore=> SELECT id, ssn\x1b[0m\r\n" in two[1][2]


@pytest.mark.parametrize("version", [2, 3])
def test_i10_an_asciicast_has_no_escapes_but_colours(version):
    events = check_asciicast("".join(asciicast(RecordingInfo(*[HOSTILE] * 7), hostile(), version)), version)
    shown = re.sub(r"\x1b\[\d+m", "", "".join(data for _, _, data in events))
    assert not any(is_hidden(letter) for letter in shown.replace("\r\n", ""))
    assert "\\u001b]0;owned" in shown


def test_asciinema_plays_it(tmp_path):
    (tmp_path / "one.cast").write_text("".join(asciicast(INFO, EVENTS, 2)))
    program = shutil.which("asciinema")
    if program is None:
        pytest.skip("asciinema is not installed")
    in_terminal = ["script", "--quiet", "--return", "--command", f"{program} cat one.cast", "/dev/null"]  # it asks for one
    played = subprocess.run(in_terminal, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert "store=*> DELETE FROM orders" in played.stdout and "closed: the client left" in played.stdout


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.attributes = []
        self.text = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text.append(data)


def test_i10_the_page_runs_its_own_script_alone_and_loads_nothing():
    text = "".join(page(RecordingInfo(*[HOSTILE] * 7), hostile()))
    found = Elements(text)
    assert found.tags.count("script") == 1 and not {"img", "link", "iframe", "a", "base"} & set(found.tags)
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        body = re.search(rf"<{tag}>(.*)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    assert text.index("Content-Security-Policy") < text.index("<title>")
    assert not any(is_hidden(letter) for letter in text)
    assert "http:" not in text and "https:" not in text


def test_the_page_can_be_read_without_script_and_marks_what_was_held():
    text = "".join(page(INFO, EVENTS))
    assert 'class="event held" data-t="1.000000"' in text and "store=*&gt; DELETE FROM orders" in text
    assert "ssn [masked: last4]" in text


def test_i10_the_page_plays_seeks_and_searches_in_a_browser_and_nothing_recorded_runs(tmp_path):
    (tmp_path / "one.html").write_text("".join(page(INFO, [*EVENTS, *hostile()])))
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened, said = browser.new_page(), []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
        opened.goto((tmp_path / "one.html").as_uri())
        opened.locator("#marks button.held").first.press("Enter")
        assert opened.inner_text("#now").startswith("00:01.0") and opened.locator(".later").count() > 0
        opened.select_option("#speed", "20")
        opened.click("#play")
        opened.locator("#play", has_text="Play").wait_for()
        assert opened.locator(".later").count() == 0
        opened.fill("#find", "FRIDAY")
        assert opened.locator(".found").count() == 1 and said == []
        browser.close()
