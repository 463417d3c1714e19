"""``countersign audit``."""

from typing import Annotated

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, fail, print_json, print_table

app = typer.Typer(no_args_is_help=True)


@app.command("verify")
def verify(
    config: ConfigOption = DEFAULT_CONFIG,
    head: Annotated[str, typer.Option(help="A head that you kept from an earlier run: the log must still hold it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check that no record was altered, removed, reordered or inserted."""
    found = call(config, lambda client: client.get("audit/verify", head=head))
    if as_json:
        print_json(found)
        raise typer.Exit(0 if found["ok"] else 1)
    if not found["ok"]:
        fail(f"the log does not verify: {found['problem']}")
    typer.echo(f"sound: {found['records']} records, head {found['head']}")


@app.command("search")
def search(
    config: ConfigOption = DEFAULT_CONFIG,
    kind: Annotated[str, typer.Option(help="Only this kind, such as command or review.decision.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The newest records, newest first."""
    found = call(config, lambda client: client.get("audit", kind=kind, limit=limit))["records"]
    if as_json:
        print_json(found)
        return
    rows = [[record["seq"], record["time"], record["kind"], record["body"]] for record in found]
    print_table(["seq", "time", "kind", "body"], rows, "no records")
