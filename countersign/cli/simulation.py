"""``countersign policy simulate``."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, err, fail, on_record, print_json, settings
from countersign.model import Action
from countersign.policy import PolicyError, load_policies
from countersign.policy.simulation import Simulation, recorded
from countersign.policy.simulation import simulate as simulated
from countersign.policy.terms import parse_duration
from countersign.reviews.preview import one_line, terminal_safe

if TYPE_CHECKING:
    from countersign.store import StoreLog

WIDTH = 100
NEEDED = (b'"kind":"command",', b'"kind":"session.')


def simulate(
    policies: Annotated[list[Path], typer.Option("--policies", help="A changed policy file; several times for several.")],
    since: Annotated[str, typer.Option(help="How far back, such as 24h or 7d.")] = "7d",
    store: Annotated[Path | None, typer.Option(help="A store's file.  [default: the configuration's]")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put the commands on record to a changed policy: what would be allowed, denied and held, and how many reviews a day that makes."""
    from countersign.store import StoreError, log_of  # slow to import, and needed here only

    seconds = parse_duration(since)
    if seconds is None:
        raise typer.BadParameter(f"--since {since}: a duration such as 24h or 7d")
    loaded = settings(config, with_policies=False)
    try:
        policy = load_policies(policies, {target.target.name: target.columns for target in loaded.targets})
    except PolicyError as error:
        fail(str(error))
    place = store or loaded.store.place
    if isinstance(place, Path) and not place.exists():
        fail(f"there is no store at {place}")
    if store is None:
        on_record(config, "search", f"simulate, since {since}")
    start = datetime.now(UTC) - timedelta(seconds=seconds)
    targets = {target.target.name: target.target for target in loaded.targets}
    try:
        found = simulated(policy, recorded(_records(log_of(place)), start, targets))
    except StoreError as error:
        fail(str(error))
    if as_json:
        print_json(_json(found))
    else:
        _tell(found)


def _records(log: "StoreLog") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Commands and sessions, oldest first, with a bar on a terminal."""
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("records", total=None)
        for batch in log.batches():
            progress.update(task, completed=batch.first_seq)
            for line in batch.lines if batch.entries is not None else ():
                if any(word in line for word in NEEDED):
                    record = json.loads(line)
                    yield record["kind"], record["time"], record["body"]


def _tell(found: Simulation) -> None:
    typer.echo(f"{found.commands:,} commands on record")
    for (was, now), count in sorted(found.moves.items(), key=lambda move: (move[0][0] is move[0][1], -move[1])):
        typer.echo(f"  {count:>9,}  {was} as before" if was is now else f"  {count:>9,}  {was} -> {now}")
        for one in found.examples.get((was, now), []):
            text = one_line(one.text, WIDTH)
            typer.echo(terminal_safe(f"             {one.identity} -> {one.target}: {text}  ({one.was}; now {one.now})"))
    for reason, count in found.not_judged.most_common():
        typer.echo(terminal_safe(f"  {count:>9,}  not judged: {reason}"))
    typer.echo("by rule of the changed policy:")
    for (rule, action), count in found.by_rule.most_common():
        typer.echo(terminal_safe(f"  {count:>9,}  {rule}: {action}"))
    before, after = found.reviews_a_day()
    typer.echo(f"reviews a day: {before:,.1f} before, {after:,.1f} with the changed policy (over {found.days:.1f} days)")


def _json(found: Simulation) -> dict[str, Any]:
    before, after = found.reviews_a_day()
    return {
        "commands": found.commands,
        "moves": [{"was": was.value, "now": now.value, "count": count} for (was, now), count in found.moves.items()],
        "rules": [{"rule": rule, "verdict": action.value, "count": count} for (rule, action), count in found.by_rule.most_common()],
        "not_judged": [{"reason": reason, "count": count} for reason, count in found.not_judged.most_common()],
        "examples": [
            {
                "time": one.time.isoformat(),
                "identity": one.identity,
                "target": one.target,
                "text": one.text,
                "was": one.was,
                "now": one.now,
            }
            for examples in found.examples.values()
            for one in examples
        ],
        "days": found.days,
        "reviews_a_day": {"before": before, "after": after},
        "held": sum(count for (_, now), count in found.moves.items() if now is Action.REVIEW),
    }
