"""``countersign grants``."""

from typing import Annotated, Any

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, print_json
from countersign.reviews.preview import terminal_safe

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_grants(
    config: ConfigOption = DEFAULT_CONFIG,
    everything: Annotated[bool, typer.Option("--all", help="Those used up, expired and revoked too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Approvals that hold for more than one command, newest first."""
    found = call(config, lambda client: client.get("grants", all="true" if everything else ""))["grants"]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("no grants")
    for grant in found:
        describe(grant)


def describe(grant: dict[str, Any]) -> None:
    """A grant for people: everything escaped, nothing cut."""
    ended = f", revoked by {grant['revoked_by']}" if grant["revoked_at"] else "" if grant["is_live"] else ", over"
    lines = [
        f"{grant['id']}  {grant['identity']} on {grant['target']} ({grant['database']}), rule {grant['rule']}{ended}",
        f"  used {grant['used']} of {grant['uses']}, until {grant['expires_at']}; by {grant['granted_by']} in {grant['review_id']}",
        f"  {grant['shape']}",
        *[f"    ⟨{number}⟩ {range_text(one)}" for number, one in enumerate(grant["ranges"], 1)],
    ]
    for line in lines:
        typer.echo(terminal_safe(line).replace("\n", "\\n"))


def range_text(allowed: dict[str, Any]) -> str:
    """What a literal may be, in words."""
    if allowed.get("any"):
        return "anything"
    if "from" in allowed:
        return f"a whole number from {allowed['from']} to {allowed['to']}"
    return " or ".join(_value(kind, value) for kind, value in allowed["values"])


def _value(kind: str, value: str) -> str:
    match kind:
        case "text":
            return repr(value)
        case "null":
            return "NULL"
        case "number":
            return value
    return "the value that was approved"


@app.command("revoke")
def revoke(grant: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """End a grant at once."""
    revoked = call(config, lambda client: client.delete(f"grants/{grant}"))["grant"]
    typer.echo(f"{revoked['id']} is revoked; it was used {revoked['used']} times")
