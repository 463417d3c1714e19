"""The published schema and the loader say the same of a file, as far as a schema can."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from countersign.cli.main import app
from countersign.policy import PolicyError, load_policies
from countersign.policy.load import DEFAULT_FILE
from countersign.policy.schema import policy_schema
from countersign.yaml_lines import Section

SCHEMA = policy_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
ROOT = Path(__file__).parents[3]
SUBJECTS = {"groups": ["g"], "names": ["n"], "kinds": ["user"]}
REVIEWERS = {"groups": ["g"], "names": ["n", "m"]}
STEP = {"approvals": 1, "reviewers": REVIEWERS, "escalate_after": "10m", "escalate_to": {"groups": ["h"]}}
WHOLE = {
    "rules": [
        {
            "name": "one",
            "description": "d",
            "action": "review",
            "targets": ["t"],
            "subjects": SUBJECTS,
            "effects": ["read"],
            "when": "true",
            "message": "m",
            "review": {"timeout": "30m", "on_timeout": "deny", "approvals": 2, "reviewers": REVIEWERS},
        },
        {"name": "two", "action": "review", "review": {"timeout": "1.5h", "steps": [STEP], "break_glass": REVIEWERS}},
        {"name": "three", "action": "review", "review": {"on_timeout": "safe_subset", "safe_subset": ["four"], **STEP}},
        {"name": "four", "action": "allow"},
    ],
    "masking": [
        {"name": "one", "targets": ["t"], "columns": ["a.b.c"], "labels": ["l"], "exempt": SUBJECTS, "paths": ["$.a"]},
        {"name": "two", "detect": ["email", "own"], "operator": {"partial": {"keep_first": 1, "keep_last": 4}}},
        {"name": "three", "columns": ["a.b.c"], "operator": {"range": {"width": 10, "to": "month"}}},
    ],
    "detectors": [
        {
            "name": "own",
            "pattern": "a[0-9]",
            "context": ["code"],
            "checksum": "none",
            "examples": {"match": ["code a1"], "no_match": ["b"]},
        }
    ],
}
OTHERS = [None, -1, 1000, "", "x", [], [""], [1], {"x": "y"}]
BEYOND_A_SCHEMA = {
    "name",
    "safe_subset",
    "escalate_after",
    "escalate_to",
    "when",
    "timeout",
    "columns",
    "paths",
    "pattern",
    "detect",
    "examples",
    "match",
    "no_match",
    "context",
}
"""Keys whose values mean something that only the loader knows: expressions, durations, patterns and what they find, other files' names."""
BEYOND_ITS_REACH = {("rules", 3), ("rules", 3, "action")}
"""What another rule names."""


def loads(document, path):
    path.write_text(json.dumps(document))
    try:
        load_policies([path], None)
    except PolicyError:
        return False
    return True


def places(value, way=()):
    """The way to every value, but for the texts of lists: lists are changed whole."""
    if way and (isinstance(way[-1], str) or isinstance(value, dict)):
        yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*way, key))


def changed(way, other):
    document = copy.deepcopy(WHOLE)
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = other
    return document


def without(way):
    document = changed(way, None)
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    del holder[way[-1]]
    return document


def test_it_is_a_schema_and_the_command_prints_it():
    Draft202012Validator.check_schema(SCHEMA)
    done = CliRunner().invoke(app, ["policy", "schema"])
    assert (done.exit_code, json.loads(done.output)) == (0, SCHEMA)


def test_every_key_that_the_loader_takes_is_in_the_schema_and_the_other_way_round(tmp_path, monkeypatch):
    taken = {}
    finish = Section.finish

    def noting(section, *also):
        if section.file != str(DEFAULT_FILE):
            taken.setdefault(section.where.split(" '")[0], set()).update(section._known)
        finish(section, *also)

    monkeypatch.setattr(Section, "finish", noting)
    assert loads(WHOLE, tmp_path / "p.yaml")
    rule, mask, detector = (SCHEMA["$defs"][name]["properties"] for name in ("rules", "masking", "detectors"))
    subjects = set(SCHEMA["$defs"]["subjects"]["properties"])
    assert taken == {
        "a policy file": set(SCHEMA["properties"]),
        "rule": set(rule),
        "subjects": subjects,
        "exempt": subjects,
        "review": set(rule["review"]["properties"]),
        "an item of": set(SCHEMA["$defs"]["steps"]["properties"]),
        **{key: set(rule["review"]["properties"][key]["properties"]) for key in ("reviewers", "escalate_to", "break_glass")},
        "mask rule": set(mask),
        "detector": set(detector),
        "examples": set(detector["examples"]["properties"]),
    }


@pytest.mark.parametrize("way", list(places(WHOLE)), ids=lambda way: ".".join(map(str, way)))
def test_both_take_and_refuse_the_same_values(way, tmp_path):
    path = tmp_path / "p.yaml"
    texts = [key for key in way if isinstance(key, str)]
    for document in [without(way), *(changed(way, other) for other in OTHERS)]:
        loaded, valid = loads(document, path), VALIDATOR.is_valid(document)
        assert valid or not loaded, f"the schema refuses what loads: {document}"
        assert loaded or not valid or texts[-1] in BEYOND_A_SCHEMA or way in BEYOND_ITS_REACH or way[0] == "detectors", (
            f"the schema takes {document}"
        )


@pytest.mark.parametrize(
    "wrong", [{"rules": [{"name": "a", "action": "deny", "review": {}}]}, {"rule": []}, {"masking": [{"name": "a"}]}, []]
)
def test_what_does_not_go_together_is_refused_by_both(wrong, tmp_path):
    assert not VALIDATOR.is_valid(wrong) and not loads(wrong, tmp_path / "p.yaml")


def test_the_policies_that_are_shipped_and_shown_are_valid():
    default = yaml.safe_load(DEFAULT_FILE.read_text())
    for rule in default["rules"]:
        rule.pop("unless_named", None)  # a key of this file alone: in any other it is refused
    shown = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)]
    shown = [document for document in shown if isinstance(document, dict) and document.keys() & {"rules", "masking"}]
    demo = yaml.safe_load(next(ROOT.glob("countersign/demo/*/shop.yaml")).read_text().replace("@TIMEOUT@", "30m"))
    assert shown
    for document in [default, demo, *shown]:
        VALIDATOR.validate(document)


def policies_of_tests():
    """The policies that tests write out as texts, as far as they load."""
    for file in sorted(ROOT.glob("tests/**/*.py")):
        for text in re.findall(r'"""(.*?)"""', file.read_text(), re.DOTALL):
            if re.match(r"\s*(rules|masking|detectors):", text):
                yield file.name, text


def test_the_policies_of_the_tests_are_valid_where_they_load(tmp_path):
    tried = 0
    for name, text in policies_of_tests():
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        if loads(document, tmp_path / "p.yaml"):
            tried += 1
            assert VALIDATOR.is_valid(document), name
    assert tried > 5
