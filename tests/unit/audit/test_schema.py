"""The page that documents the audit log's records says what the code writes."""

import ast
from pathlib import Path

import pytest

from countersign.audit.records import VERSION

ROOT = Path(__file__).parents[3]


def written_kinds():
    for path in (ROOT / "countersign").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "AuditEvent" and node.args:
                kind = node.args[0]
                if isinstance(kind, ast.Constant):
                    yield kind.value


def test_every_kind_that_the_code_names_is_documented(audit_schema):
    kinds = set(written_kinds())
    assert {"command", "session.opened"} <= kinds
    assert kinds <= audit_schema.kinds.keys()


def test_the_page_names_the_version():
    assert f'"v":{VERSION}}}' in (ROOT / "docs" / "audit-log.md").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"up_to": "7"}, "up_to is no integer"),
        ({"up_to": None}, "up_to is no integer"),
        ({"more": 1}, "more is not documented"),
        ({"by": ...}, "by is missing"),
    ],
)
def test_a_body_that_is_not_as_documented_is_found(audit_schema, change, said):
    body = {"up_to": 7, "records": 1, "before": "t", "by": "ben", "authentication": "socket"} | change
    body = {name: value for name, value in body.items() if value is not ...}
    assert audit_schema.problems("audit.retention", body) == [f"audit.retention: {said}"]
