"""CEL conditions: compiled and type-checked at load, evaluated fail-closed. Pure."""

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from cel_expr_python import cel

from countersign.model import Command, Identity, Moment, Session, Statement, Target

_TEXTS = cel.Type.List(cel.Type.STRING)
_TEXT_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
_ANY_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)

VARIABLES: dict[str, Any] = {
    "identity.name": cel.Type.STRING,
    "identity.kind": cel.Type.STRING,
    "identity.groups": _TEXTS,
    "identity.on_behalf_of": cel.Type.STRING,
    "identity.claims": _TEXT_MAP,
    "identity.authentication.method": cel.Type.STRING,
    "identity.authentication.age": cel.Type.DURATION,
    "target.name": cel.Type.STRING,
    "target.type": cel.Type.STRING,
    "target.labels": _TEXT_MAP,
    "command.kind": cel.Type.STRING,
    "command.text": cel.Type.STRING,
    "command.effects": _TEXTS,
    "command.kinds": _TEXTS,
    "command.tables": _TEXTS,
    "command.reads": _TEXTS,
    "command.writes": _TEXTS,
    "command.functions": _TEXTS,
    "command.objects": _TEXTS,
    "command.asks_unmasked": cel.Type.BOOL,
    "command.statements": cel.Type.List(_ANY_MAP),
    "sql.has_where": cel.Type.BOOL,
    "sql.columns_read": _TEXTS,
    "sql.columns_written": _TEXTS,
    "sql.settings": _TEXTS,
    "sql.locks": _TEXTS,
    "sql.triggers": _TEXTS,
    "sql.copy": _TEXTS,
    "sql.probes_masked": _TEXTS,
    "sql.moves_masked": _TEXTS,
    "sql.catalog_asked": cel.Type.BOOL,
    "session.id": cel.Type.STRING,
    "session.client_address": cel.Type.STRING,
    "session.database": cel.Type.STRING,
    "session.started": cel.Type.TIMESTAMP,
    "session.transaction_open": cel.Type.BOOL,
    "session.application": cel.Type.STRING,
    "context.application": cel.Type.STRING,
    "time.now": cel.Type.TIMESTAMP,
}
"""Everything a condition may name. Dotted names are declared whole, so that a misspelt field is found at load.
``context`` and ``session.application`` are the client's own word; everything else is the gateway's. ``sql`` holds what only SQL has: of any other command
it says that nothing is there."""

_ENV = cel.NewEnv(variables=VARIABLES)
_COMPILER_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_VARYING = re.compile(r"\b(text|statements|parameters|now|age|transaction_open)\b")
"""What differs between texts of one shape, or from one moment to the next. Any mention counts, as a field, in a string or a comment."""
NO_CONTAINER = " (in container '')"
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")


class ConditionError(Exception):
    """A condition that does not compile or does not evaluate to true or false. ``hint`` may say what was meant."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Condition:
    """A compiled condition."""

    def __init__(self, expression: str) -> None:
        """Raises ``ConditionError``."""
        self.expression = expression
        self.varies = _VARYING.search(expression) is not None
        try:
            self._program = _ENV.compile(expression)
        except Exception as error:  # the binding raises plain exceptions of several kinds
            raise _explained(expression, str(error)) from error
        if self._program.return_type() != cel.Type.BOOL:
            kind = self._program.return_type().name()
            hint = "compare it: … == true" if kind == "DYN" else ""
            raise ConditionError(f"it answers {kind}, not true or false\n    {expression.strip()}", hint)

    def names(self, variable: str) -> bool:
        """Whether a variable is spoken of."""
        return re.search(rf"(?<![\w.]){re.escape(variable)}\b", self.expression) is not None

    def holds(self, bound: Any) -> bool:
        """Whether it is true of what ``bind`` made. Raises ``ConditionError``: a missing key or an overflow is an error, never a no."""
        try:
            value = self._program.eval(bound).value()
        except Exception as error:
            raise ConditionError(str(error).strip()) from error
        if value is True or value is False:
            return bool(value)
        raise ConditionError(f"it answered {value!r}")


def _explained(expression: str, compiler_words: str) -> ConditionError:
    """The compiler's errors, each above the line of the expression it is about, with a caret at the column."""
    found = _COMPILER_ERROR.findall(compiler_words)
    if not found:
        return ConditionError(compiler_words.strip())
    lines = expression.split("\n")
    told = [
        f"{words.removesuffix(NO_CONTAINER)}\n    {lines[int(line) - 1] if int(line) <= len(lines) else ''}\n"
        f"    {' ' * (int(column) - 1)}^"
        for line, column, words in found
    ]
    undeclared = _UNDECLARED.search(compiler_words)
    close = _meant(undeclared[1]) if undeclared else ""
    return ConditionError("; ".join(told), f"did you mean {close!r}?" if close else "")


def _meant(name: str) -> str:
    """The variable that a name most likely stands for: one of that last part, or else one that is spelt alike; empty where none is."""
    same_field = [known for known in VARIABLES if "." in name and known.endswith(name[name.rindex(".") :])]
    return next(iter(same_field or get_close_matches(name, VARIABLES, 1)), "")


def bind(context: Mapping[str, Any]) -> Any:
    """A context as conditions take it, made once for all of them: that is three times as fast as once for each.

    Raises ``ConditionError``.
    """
    try:
        return _ENV.Activation(context)
    except Exception as error:
        raise ConditionError(str(error).strip()) from error


def context_of(
    identity: Identity, target: Target, session: Session, command: Command, moment: Moment | None = None
) -> dict[str, Any]:
    """What a condition sees. Without a moment, what asks for it fails."""
    statements = command.statements
    reads = _unique(name for statement in statements for name in statement.reads)
    writes = _unique(name for statement in statements for name in statement.writes)
    functions = _unique(name for statement in statements for name in statement.functions)
    return _of_moment(session, moment) | {
        "identity.name": identity.name,
        "identity.kind": identity.kind.value,
        "identity.groups": list(identity.groups),
        "identity.on_behalf_of": identity.on_behalf_of,
        "identity.claims": dict(identity.claims),
        "identity.authentication.method": identity.authentication,
        "target.name": target.name,
        "target.type": target.type,
        "target.labels": dict(target.labels),
        "command.kind": command.protocol,
        "command.text": command.text,
        "command.effects": sorted(effect.value for effect in command.effects),
        "command.kinds": [statement.kind for statement in statements],
        "command.tables": _unique([*reads, *writes]),
        "command.reads": reads,
        "command.writes": writes,
        "command.functions": functions,
        "command.objects": _unique([*reads, *writes, *functions]),
        "command.asks_unmasked": command.asks_unmasked,
        "command.statements": [_of_statement(statement) for statement in statements],
        "sql.has_where": all(statement.has_where is not False for statement in statements),
        "sql.columns_read": _unique(name for statement in statements for name in statement.columns_read),
        "sql.columns_written": _unique(name for statement in statements for name in statement.columns_written),
        "sql.settings": _unique(name for statement in statements for name in statement.settings),
        "sql.locks": _unique(lock for statement in statements for lock in statement.locks),
        "sql.triggers": _unique(name for statement in statements for name in statement.triggers),
        "sql.copy": _unique(statement.copy for statement in statements if statement.copy),
        "sql.probes_masked": _listed(command.attributes.get("probes_masked")),
        "sql.moves_masked": _listed(command.attributes.get("moves_masked")),
        "sql.catalog_asked": command.attributes.get("catalog_asked") is True,
        "session.id": session.id,
        "session.client_address": session.client_address,
        "session.database": session.database,
        "session.started": session.started_at,
        "session.application": session.application,
        "context.application": session.application,
    }


def _of_moment(session: Session, moment: Moment | None) -> dict[str, Any]:
    """Whoever asks in a session has proved who they are when it began."""
    if moment is None:
        return {}
    return {
        "time.now": moment.now,
        "identity.authentication.age": max(moment.now - session.started_at, timedelta()),
        "session.transaction_open": moment.transaction_open,
    }


def _of_statement(statement: Statement) -> dict[str, Any]:
    return {
        "kind": statement.kind,
        "effects": sorted(effect.value for effect in statement.effects),
        "reads": list(statement.reads),
        "writes": list(statement.writes),
        "functions": list(statement.functions),
        "has_where": statement.has_where is not False,
        "columns_read": list(statement.columns_read),
        "columns_written": list(statement.columns_written),
        "settings": list(statement.settings),
        "locks": list(statement.locks),
        "triggers": list(statement.triggers),
        "copy": statement.copy,
    }


def _listed(names: Any) -> list[str]:
    return list(names or ())


def _unique(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
