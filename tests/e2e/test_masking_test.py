"""``countersign masking test`` as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("countersign"))
VALUES = b"ann@example.com\ncard 4242 4242 4242 4242 of ann\r\nplain\n\n\xff\xfe 123-45-6789\n\x1b[31mred\n"
CONFIG = """
targets:
  - {name: shop, type: postgres, listen: '127.0.0.1:0', upstream: {host: localhost, user: app}}
  - {name: hr, type: postgres, listen: '127.0.0.1:0', upstream: {host: localhost, user: app}}
policies: [policy.yaml]
"""
POLICY = """
masking:
  - {name: cards, targets: [shop], detect: [payment_card], operator: {partial: {keep_last: 4}}}
  - {name: people, targets: [hr], detect: [us_ssn]}
  - {name: mail, detect: [email]}
  - {name: column, columns: [public.people.name]}
"""


@pytest.fixture
def run(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "COUNTERSIGN_CONFIG"}

    def run(*words, values=b"", code=0):
        command = [PROGRAM, "masking", "test", *words]
        done = subprocess.run(command, input=values, capture_output=True, cwd=tmp_path, env=environment, timeout=60)
        assert done.returncode == code, done.stderr
        return done.stdout.decode(), done.stderr.decode()

    return run


@pytest.fixture
def configured(tmp_path):
    (tmp_path / "countersign.yaml").write_text(CONFIG)
    (tmp_path / "policy.yaml").write_text(POLICY)


def test_without_a_configuration_every_detector_is_tried(run, tmp_path):
    (tmp_path / "values").write_bytes(VALUES)
    out, err = run("values")
    assert out.splitlines() == [
        "line  masked                  found by",
        "   1  [redacted]              email",
        "   2  card [redacted] of ann  payment_card",
        "   3  plain                   -",
        "   4                          -",
        "   5  \\xff\\xfe [redacted]     us_ssn",
        "   6  \\u001b[31mred           -",
    ]
    assert "no configuration: every detector, redacting" in err
    assert "3 of 6 values masked: email 1, payment_card 1, us_ssn 1" in err


def test_json_has_one_object_a_line_and_never_the_value(run):
    out, err = run("--json", "-", values=VALUES)
    assert [json.loads(line) for line in out.splitlines()][:2] == [
        {"line": 1, "masked": "[redacted]", "detectors": ["email"], "rules": ["email"]},
        {"line": 2, "masked": "card [redacted] of ann", "detectors": ["payment_card"], "rules": ["payment_card"]},
    ]
    assert len(out.splitlines()) == 6
    assert "example" not in out + err and "4242" not in out + err and "6789" not in out + err


def test_the_rules_of_a_configuration_say_what_and_how(run, configured):
    out, err = run("--json", "-", values=VALUES)
    assert json.loads(out.splitlines()[1]) == {
        "line": 2,
        "masked": "card **** **** **** 4242 of ann",
        "detectors": ["payment_card"],
        "rules": ["cards"],
    }
    assert "by the content rules of countersign.yaml: cards, people, mail" in err
    out, _ = run("-", "--target", "hr", values=VALUES)
    assert "email (rule 'mail')" in out and "us_ssn (rule 'people')" in out
    assert "4242 4242 4242 4242" in out, "the rule is of another target, and so the value is shown as the client would see it"


def test_an_answer_comes_while_the_pipe_stays_open(tmp_path):
    command = [PROGRAM, "masking", "test", "--json", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as process:
        process.stdin.write(b"ann@example.com\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["masked"] == "[redacted]"
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(20) == 0


def test_many_lines_are_all_tried(run, tmp_path):
    with (tmp_path / "many").open("w") as file:
        file.writelines(f"{number} user{number}@example.com\n" for number in range(50_000))
    out, err = run("--json", "many")
    assert out.count("\n") == 50_000 and "example" not in out
    assert "50,000 of 50,000 values masked: email 50,000" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("none",), 1, "none cannot be read: No such file or directory"),
        (("/",), 1, "/ cannot be read: Is a directory"),
        (("-", "--config", "none.yaml"), 1, "none.yaml:1: cannot be read"),
        ((), 2, "Missing argument"),
        (("-", "--target", "shop"), 2, "there is no countersign.yaml here"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(run, words, code, told):
    assert told in run(*words, code=code)[1]


def test_a_target_that_there_is_not_is_refused_with_those_there_are(run, configured):
    assert "there is no target 'shpo'; known: shop, hr" in run("-", "--target", "shpo", code=1)[1]


def test_rules_that_look_at_no_content_are_no_reassurance(run, configured, tmp_path):
    (tmp_path / "policy.yaml").write_text("masking:\n  - {name: column, columns: [public.people.name]}\n")
    assert "no mask rule of countersign.yaml looks at content" in run("-", values=VALUES, code=1)[1]


def test_names_are_looked_for_where_asked(run, tmp_path):
    spacy = pytest.importorskip("spacy", reason="the extra 'presidio' is not installed")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Anna Schmidt"}])
    pipeline.to_disk(tmp_path / "model")
    values = b"ann@example.com of Anna Schmidt\nAnna Schmidt\nplain\n"
    out, err = run("--json", "-", "--presidio", "--model", "model", values=values)
    first, second, third = map(json.loads, out.splitlines())
    assert (first["masked"], first["detectors"]) == ("[redacted] of [redacted]", ["email", "person"])
    assert (second["masked"], second["rules"], third["detectors"]) == ("[redacted]", ["presidio"], [])
    assert "2 of 3 values masked: person 2, email 1" in err
    assert "Anna Schmidt" in run("-", values=values)[0], "nobody asked for names"
    assert "no spaCy model" in run("-", "--model", "no_such_model", values=values, code=1)[1]


def test_a_terminal_sees_how_far_a_long_file_is(tmp_path, with_terminal):
    (tmp_path / "long").write_text("a line of some length without anything in it\n" * 120_000)
    printed, shown = with_terminal("masking", "test", "--json", "long", cwd=tmp_path, env=os.environ | {"TERM": "xterm"})
    assert printed.count("\n") == 120_000
    assert "tried" in shown and "0 of 120,000 values masked" in shown
