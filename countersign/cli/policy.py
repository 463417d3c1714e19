"""``countersign policy``."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, fail, print_json, settings
from countersign.model import Identity, IdentityKind, Session
from countersign.reviews.preview import terminal_safe
from countersign.reviews.service import command_json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """What the rules say."""


@app.command("explain")
def explain(
    sql: str,
    target: Annotated[str, typer.Option(help="The target's name.")],
    identity: Annotated[str, typer.Option(help="Who asks.")] = "someone",
    groups: Annotated[str, typer.Option(help="The identity's groups, comma-separated.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """How a statement is read, and the verdict on it. Neither gateway nor target needs to run."""
    from countersign.protocols.postgres.reading import query_command  # slow to import, and needed here only

    loaded = settings(config)
    known = {settings_of.target.name: settings_of.target for settings_of in loaded.targets}
    if target not in known:
        fail(f"there is no target {target!r}; known: {', '.join(known)}")
    raw = sql.encode("utf-8", "surrogateescape")
    who = Identity(identity, IdentityKind.SERVICE_ACCOUNT, tuple(word for word in groups.split(",") if word))
    session = Session("se-explain", who, known[target], "local", datetime.now(UTC))
    command = query_command(raw, raw, grammar_agrees=True)
    verdict = loaded.policy.decide(who, known[target], session, command)
    shown = command_json(command)
    if as_json:
        print_json(
            {
                "effects": shown["effects"],
                "statements": shown["statements"],
                "verdict": verdict.action.value,
                "rule": verdict.rule,
                "message": verdict.message,
            }
        )
        return
    for statement in command.statements:
        why = f" ({'; '.join(statement.reasons)})" if statement.reasons else ""
        typer.echo(terminal_safe(f"{statement.kind}: {statement.summary}: {', '.join(sorted(statement.effects))}{why}"))
    typer.echo(f"verdict: {verdict.action} by rule {verdict.rule!r}")
