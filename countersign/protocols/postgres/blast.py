"""What a held command would touch: of which commands the server may be asked, in which words, and how its plan reads. Pure.

EXPLAIN without ANALYZE plans a statement and runs nothing of it (manual, "EXPLAIN"). Planning may call functions that claim to be
IMMUTABLE, so only statements are planned in which the inspector found nothing that it does not know: a function of users' own makes one
``unknown``. The same makes them fit for a run that is rolled back: a trigger is ``exec``, a foreign table ``unknown``.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import postgast

from countersign.model import Command, Effect, Statement
from countersign.model.blast import NoBlastRadius, StatementReach, Touched
from countersign.protocols.postgres.functions import LASTING
from countersign.protocols.postgres.inspector import inner
from countersign.protocols.postgres.naming import uses

PLANNED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})
PASSED_OVER = frozenset({"BEGIN", "START", "COMMIT", "END"})
"""What stands around statements in one text and touches nothing."""
UNDERSTOOD = frozenset({Effect.READ, Effect.WRITE, Effect.SESSION})
STATEMENTS = 20
"""Of longer texts nothing is told."""
RELATIONS = 50
"""So many of a plan are told of."""

EXPLAIN = "EXPLAIN (FORMAT JSON) "


def plannable(command: Command) -> list[tuple[Statement, str]]:
    """The statements of which the server can be asked, each with its own text. Raises ``NoBlastRadius``."""
    texts = [use.text for use in uses(command.text)]
    if not texts or len(texts) != len(command.statements):
        raise NoBlastRadius("the text does not say what runs")
    if len(texts) > STATEMENTS:
        raise NoBlastRadius(f"there are more than {STATEMENTS} statements")
    found = []
    for statement, text in zip(command.statements, texts, strict=True):
        if statement.kind in PASSED_OVER:
            continue
        if statement.kind not in PLANNED:
            raise NoBlastRadius(f"the server plans no {statement.kind}")
        if not statement.effects <= UNDERSTOOD:
            raise NoBlastRadius(f"not all that it can do is understood: {'; '.join(statement.reasons)}")
        found.append((statement, text))
    if not found:
        raise NoBlastRadius("it touches nothing")
    return found


def runnable(command: Command) -> list[tuple[Statement, str]]:
    """The same statements, where a rollback takes all back that they do. Raises ``NoBlastRadius``.

    A default that gives out a sequence's next number is let through, for else hardly an INSERT could run.
    """
    statements = plannable(command)
    for statement, _ in statements:
        called = {name.rpartition(".")[2] for name in statement.functions}
        lasting = [reason for reason in statement.reasons if any(why in reason for why in LASTING)]
        if lasting or "nextval" in called:
            raise NoBlastRadius(f"a rollback would not take it back: {'; '.join(lasting) or 'calls nextval'}")
    return statements


def explain(text: str) -> str:
    """The request for a statement's plan. Raises ``NoBlastRadius`` where that would not be exactly an EXPLAIN of it."""
    request = EXPLAIN + text
    try:
        statements = postgast.parse(request).stmts
        kind, tree = inner(statements[0].stmt)
        options = [option.def_elem.defname.lower() for option in tree.options] if kind == "explain_stmt" else []
    except Exception as error:  # the grammar's own complaint, or another shape of tree: then it is not asked
        raise NoBlastRadius("the server cannot be asked for its plan") from error
    if len(statements) != 1 or kind != "explain_stmt" or options != ["format"]:
        raise NoBlastRadius("the server cannot be asked for its plan")
    return request


def read_plan(statement: Statement, text: str) -> StatementReach:
    """The plan as EXPLAIN gives it in JSON. Only names of relations and numbers are taken over: a plan's conditions may hold values.

    Raises ``NoBlastRadius``.
    """
    try:
        nodes = [node for plan in json.loads(text) for node in _nodes(plan["Plan"])]
        touched = tuple(_touched(nodes))
        changed = [_below(node) for node in nodes if node["Node Type"] == "ModifyTable"]
        rows = sum(changed) if changed else int(nodes[0]["Plan Rows"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise NoBlastRadius("the server's plan cannot be read") from error
    return StatementReach(statement.kind, rows, touched[:RELATIONS])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _below(node: dict[str, Any]) -> int:
    """The rows that a ModifyTable is given; its own ``Plan Rows`` are those of its RETURNING."""
    return sum(int(below["Plan Rows"]) for below in node.get("Plans", ()) if below.get("Parent Relationship") == "Outer")


def _touched(nodes: Sequence[dict[str, Any]]) -> Iterator[Touched]:
    for node in nodes:
        if "Relation Name" not in node:
            continue
        name = f"{node['Schema']}.{node['Relation Name']}" if "Schema" in node else node["Relation Name"]
        is_change = node["Node Type"] == "ModifyTable"
        how = node["Operation"] if is_change else node["Node Type"]
        yield Touched(name, how, _below(node) if is_change else int(node["Plan Rows"]))


def counted(statement: Statement, tag: str) -> StatementReach:
    """What a CommandComplete says of a statement that ran: ``DELETE 12``, ``INSERT 0 3``. Raises ``NoBlastRadius``."""
    number = tag.rpartition(" ")[2]
    if not number.isdigit():
        raise NoBlastRadius(f"the server answered {tag!r}")
    return StatementReach(statement.kind, int(number))
