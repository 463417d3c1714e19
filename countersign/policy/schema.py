"""The JSON Schema of policy files, for editors and for checks before ``countersign check``. The loader decides: it also reads conditions,
patterns, names and labels, of which a schema knows nothing. Pure."""

from typing import Any

from countersign.masking.rules import DETECTORS, GROUPS, OPERATORS, RANGE_UNITS
from countersign.model import Action, Effect, IdentityKind, OnTimeout
from countersign.policy.terms import MOST_APPROVALS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string"}
WORD = {"type": "string", "minLength": 1}
WORDS = {"type": "array", "minItems": 1, "items": WORD}
DURATION = {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["45s", "30m", "2h"]}


def policy_schema() -> dict[str, Any]:
    """The schema of one file."""
    lists = {"rules": _rule(), "masking": _mask(), "detectors": _detector()}
    return {
        "$schema": DIALECT,
        "title": "A policy file of Countersign",
        **_mapping({key: {"type": "array", "items": {"$ref": f"#/$defs/{key}"}} for key in lists}),
        "$defs": lists | {"subjects": _subjects(), "steps": _step()},
    }


def _rule() -> dict[str, Any]:
    action = _choice(Action)
    keys = {
        "name": WORD,
        "description": TEXT,
        "action": {"enum": action},
        "targets": WORDS,
        "subjects": {"$ref": "#/$defs/subjects"},
        "effects": _some_of(_choice(Effect)),
        "when": {"type": "string", "pattern": r"\S", "description": "a CEL condition"},
        "message": TEXT,
        "review": _review(),
    }
    only_reviews = {"if": {"required": ["review"]}, "then": {"properties": {"action": {"const": Action.REVIEW.value}}}}
    return _mapping(keys, "name", "action") | only_reviews


def _review() -> dict[str, Any]:
    """Reviewers and approvals stand in the review itself, or in its steps."""
    keys = {
        "timeout": DURATION,
        "on_timeout": {"enum": _choice(OnTimeout)},
        "safe_subset": WORDS,
        "break_glass": _people(),
        "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/steps"}},
        **_step_keys(),
    }
    in_one_place = {"not": {"anyOf": [{"required": [key]} for key in _step_keys()]}}
    subset = {"properties": {"on_timeout": {"const": OnTimeout.SAFE_SUBSET.value}}, "required": ["on_timeout"]}
    return _mapping(keys) | {
        "allOf": [
            {"if": {"required": ["steps"]}, "then": in_one_place},
            {"if": subset, "then": {"required": ["safe_subset"]}, "else": {"not": {"required": ["safe_subset"]}}},
        ]
    }


def _step() -> dict[str, Any]:
    return _mapping(_step_keys()) | {"dependentRequired": {"escalate_to": ["escalate_after"]}}


def _step_keys() -> dict[str, Any]:
    approvals = {"type": "integer", "minimum": 1, "maximum": MOST_APPROVALS}
    return {"reviewers": _people(), "approvals": approvals, "escalate_after": DURATION, "escalate_to": _people()}


def _people() -> dict[str, Any]:
    return _mapping({"groups": WORDS, "names": WORDS}) | {"minProperties": 1}


def _subjects() -> dict[str, Any]:
    return _mapping({"groups": WORDS, "names": WORDS, "kinds": _some_of(_choice(IdentityKind))}) | {"minProperties": 1}


def _mask() -> dict[str, Any]:
    known = {"enum": [*DETECTORS, *GROUPS]}
    own = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "description": "a detector of the policy's own"}
    keys = {
        "name": WORD,
        "targets": WORDS,
        "columns": WORDS,
        "labels": WORDS,
        "detect": {"type": "array", "minItems": 1, "items": {"anyOf": [known, own]}},
        "paths": WORDS,
        "exempt": {"$ref": "#/$defs/subjects"},
        "operator": {"oneOf": [_operator(name) for name in OPERATORS]},
    }
    masks_something = {"anyOf": [{"required": [key]} for key in ("columns", "labels", "detect", "paths")]}
    return _mapping(keys, "name") | masks_something | {"not": {"required": ["paths", "detect"]}}


def _operator(name: str) -> dict[str, Any]:
    length = {"type": "integer", "minimum": 0, "maximum": 100}
    width = {"type": "number", "minimum": 1e-9, "maximum": 1e15}
    taken: dict[str, dict[str, Any]] = {
        "partial": {"keep_first": length, "keep_last": length},
        "range": {"width": width, "to": {"enum": list(RANGE_UNITS)}},
    }
    needed = {"minProperties": 1} if name == "range" else {}
    return _mapping({name: _mapping(taken.get(name, {})) | needed}, name)


def _detector() -> dict[str, Any]:
    keys = {
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "not": {"enum": [*DETECTORS, *GROUPS]}},
        "pattern": WORD,
        "context": WORDS,
        "checksum": {"enum": ["luhn", "mod97", "none"]},
        "examples": _mapping({"match": WORDS, "no_match": WORDS}),
    }
    return _mapping(keys, "name", "pattern")


def _mapping(keys: dict[str, Any], *required: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "object", "properties": keys, "additionalProperties": False}
    return made | ({"required": list(required)} if required else {})


def _choice(values: type[Action] | type[Effect] | type[IdentityKind] | type[OnTimeout]) -> list[str]:
    return [value.value for value in values]


def _some_of(values: list[str]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": {"enum": values}}
