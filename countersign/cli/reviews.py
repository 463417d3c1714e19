"""``countersign reviews``."""

import sys
from typing import Annotated, Any

import typer

from countersign.cli.review_text import reach_lines, review_lines
from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, fail, print_json, print_table
from countersign.client import Client, ClientError
from countersign.policy.terms import parse_duration
from countersign.reviews.preview import one_line

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_reviews(
    config: ConfigOption = DEFAULT_CONFIG,
    state: Annotated[str, typer.Option(help="pending, approved, denied, expired, cancelled, executed, failed.")] = "pending",
    everything: Annotated[bool, typer.Option("--all", help="Every state.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Held commands, newest first; the pending ones unless told otherwise."""
    found = call(config, lambda client: client.get("reviews", state="" if everything else state))["reviews"]
    if as_json:
        print_json(found)
        return
    rows = [
        [r["id"], r["state"], r["identity"], r["target"], ",".join(r["command"]["effects"]), r["command"]["text"]] for r in found
    ]
    print_table(["review", "state", "identity", "target", "effects", "command"], rows, "no reviews")


@app.command("show")
def show(review: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """One review in full, and what its command would touch while it is held."""
    found, reach = call(config, lambda client: _with_reach(client, review))
    if as_json:
        print_json(found | {"blast_radius": reach})
        return
    describe(found)
    if reach is not None:
        describe_reach(reach)


async def _with_reach(client: Client, review: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The review, and what its command would touch or why that cannot be told; None where it is not held."""
    found = await client.get(f"reviews/{review}")
    if found["state"] != "pending":
        return found, None
    try:
        return found, await client.get(f"reviews/{found['id']}/estimate")
    except ClientError as error:
        if error.code != "no_blast_radius":
            raise
        return found, {"problem": str(error)}


@app.command("dry-run")
def dry_run(review: str, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Count what a held command would change: it runs in a transaction that is rolled back."""

    async def run(client: Client) -> Any:
        shown = await client.get(f"reviews/{review}")
        return await client.post(f"reviews/{shown['id']}/dry-run", {"digest": shown["digest"]})

    reach = call(config, run)
    if as_json:
        print_json(reach)
    else:
        describe_reach(reach)


def describe_reach(reach: dict[str, Any]) -> None:
    """What a command would touch, for people."""
    for line in reach_lines(reach):
        typer.echo(line)


def describe(review: dict[str, Any]) -> None:
    """A review for people."""
    for line in review_lines(review):
        typer.echo(line)


@app.command("approve")
def approve(
    review: str,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    grant: Annotated[str, typer.Option("--for", metavar="30m", help="Grant the same shape for so long as well.")] = "",
    times: Annotated[int, typer.Option("--times", help="For how many commands, with --for.")] = 1,
    literal: Annotated[
        list[str] | None,
        typer.Option("--literal", metavar="N=VALUES", help="What literal N may be: any, 1..100 or open|closed; else as here."),
    ] = None,
    at_most_rows: Annotated[int | None, typer.Option("--at-most-rows", min=0, help="Undo it where it changes more rows.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Approve exactly this command, and with --for others of its shape. On a terminal it is shown and you are asked first."""
    wish = _wish(grant, times, literal or [])
    if wish and at_most_rows is not None:
        raise typer.BadParameter("a grant has no bound on rows: give --for or --at-most-rows")
    shown = call(config, lambda client: client.get(f"reviews/{review}"))
    if sys.stdin.isatty() and not yes:
        describe(shown)
        if not typer.confirm("approve exactly this command?" if wish is None else "approve this command, and grant its shape?"):
            fail("not approved")
    _decide(config, shown, "approve", reason, {"grant": wish} if wish else {"at_most_rows": at_most_rows})


def _wish(duration: str, times: int, literals: list[str]) -> dict[str, Any] | None:
    if not duration:
        if literals or times != 1:
            raise typer.BadParameter("--times and --literal go with --for")
        return None
    seconds = parse_duration(duration)
    if seconds is None:
        raise typer.BadParameter(f"--for {duration}: a duration such as 45s, 30m or 2h")
    named: dict[str, str] = {}
    for one in literals:
        number, equals, values = one.partition("=")
        if not equals or not number.isdecimal() or number in named:
            raise typer.BadParameter(f"--literal {one}: the number of a literal, = and what it may be, such as 2=1..100")
        named[number] = values
    return {"seconds": seconds, "uses": times, "literals": named}


@app.command("deny")
def deny(
    review: str,
    reason: Annotated[str, typer.Option(help="Why: the agent reads it.")],
    instead: Annotated[str, typer.Option("--instead", metavar="SQL", help="What passes once instead; the agent is told.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Deny a held command with a reason, and perhaps with what you would let through instead."""
    _decide(
        config,
        call(config, lambda client: client.get(f"reviews/{review}")),
        "deny",
        reason,
        {"proposal": instead} if instead else None,
    )


@app.command("take-back")
def take_back(
    review: str,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take your approval back, while the command has not run."""
    _decide(config, call(config, lambda client: client.get(f"reviews/{review}")), "take-back", reason)


@app.command("force")
def force(
    review: str,
    reason: Annotated[str, typer.Option(help="Why: others will ask for it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Approve past all steps, where the rule's break_glass names you. It is loud in the audit log."""
    _decide(config, call(config, lambda client: client.get(f"reviews/{review}")), "force", reason)


def _decide(config: Any, shown: dict[str, Any], kind: str, reason: str, more: dict[str, Any] | None = None) -> None:
    body = {"digest": shown["digest"], "reason": reason} | (more or {})
    decided = call(config, lambda client: client.post(f"reviews/{shown['id']}/{kind}", body))
    typer.echo(f"{decided['id']} is {decided['state']}")


@app.command("watch")
def watch(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """What is held, live: an inbox on a terminal, else a line for every move of a review."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        from countersign.cli.inbox import Inbox  # slow to import, and needed here only

        async def inbox(client: Client) -> None:
            await client.get("me")
            await Inbox(client).run_async()

        call(config, inbox)
        return

    async def follow(client: Client) -> None:
        await client.get("me")
        async for review in client.events():
            text = one_line(review["command"]["text"], 80)
            typer.echo(
                f"{review['updated_at']} {review['id']} {review['state']:<9} {review['identity']} -> {review['target']}: {text}"
            )

    try:
        call(config, follow)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
