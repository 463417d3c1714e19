"""``countersign channels``."""

from typing import Annotated, Any

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, print_json, print_table
from countersign.reviews.preview import terminal_safe

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_channels(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Who is told of reviews, and how far each is behind."""
    found = call(config, lambda client: client.get("channels"))["channels"]
    if as_json:
        print_json(found)
        return
    rows = [
        [one["name"], one["place"], one["state"] or "-", f"{one['lag_s']} s", one["dead_letters"], one["last_error"]]
        for one in found
    ]
    print_table(["channel", "place", "state", "behind", "dead letters", "last error"], rows, "no channels")


@app.command("dead")
def dead(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What channels did not take and nobody was told, oldest first."""
    found = call(config, lambda client: client.get("channels/dead-letters"))["dead_letters"]
    if as_json:
        print_json(found)
        return
    names = ["channel", "record", "event", "review_id", "given_up_at", "error"]
    print_table(
        ["channel", "record", "event", "review", "given up", "error"], [[one[name] for name in names] for one in found], "none"
    )


@app.command("retry")
def retry(
    channel: str,
    record: Annotated[int | None, typer.Option("--record", min=1, help="Only the one of this record.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Tell a channel its dead letters once more. Exit code 1 where any is left."""
    done: dict[str, Any] = call(config, lambda client: client.post(f"channels/{channel}/retry", {"record": record}))
    typer.echo(f"{done['taken']} told, {len(done['left'])} left")
    for letter in done["left"]:
        typer.echo(terminal_safe(f"record {letter['record']} ({letter['event']}, {letter['review_id']}): {letter['error']}"))
    if done["left"]:
        raise typer.Exit(1)
