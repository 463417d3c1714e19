"""``countersign policy``."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, fail, print_json, settings
from countersign.cli.simulation import simulate
from countersign.model import Command, Identity, IdentityKind, Moment, Session
from countersign.policy import PolicyError, Rule
from countersign.policy.cases import Outcome, junit_xml, run_file, unreached
from countersign.policy.cel import context_of
from countersign.policy.explain import Explained
from countersign.policy.explain import explain as explained
from countersign.policy.schema import policy_schema
from countersign.reviews.preview import terminal_safe
from countersign.reviews.records import command_json

if TYPE_CHECKING:
    from countersign.config import Upstream
    from countersign.masking import MaskRule
    from countersign.protocols.postgres.masking import MaskedColumns
    from countersign.protocols.postgres.schema import Schema

NO_SUCH_DATABASE = "3D000"

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
    live: Annotated[bool, typer.Option("--live", help="Ask the target's own catalog, with the gateway's credentials.")] = False,
    database: Annotated[str, typer.Option(help="The database for --live.  [default: called like the target, or its user]")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """How a statement is read, and the verdict on it. Without --live, neither gateway nor target needs to run."""
    from countersign.protocols.postgres.reading import (  # slow to import, and needed here only
        nothing_prepared,
        query_command,
        with_masked,
    )

    loaded = settings(config)
    known = {settings_of.target.name: settings_of.target for settings_of in loaded.targets}
    upstreams = {settings_of.target.name: settings_of.upstream for settings_of in loaded.targets}
    if target not in known:
        fail(f"there is no target {target!r}; known: {', '.join(known)}")
    raw = sql.encode("utf-8", "surrogateescape")
    who = Identity(identity, IdentityKind.SERVICE_ACCOUNT, tuple(word for word in groups.split(",") if word))
    session = Session("se-explain", who, known[target], "local", datetime.now(UTC))
    if live:
        rules = tuple(rule for rule in loaded.policy.masking_for(target) if not rule.exempt.include(who))
        databases = [database] if database else [target, upstreams[target].user]
        schema, masked = asyncio.run(_catalog(upstreams[target], databases, rules))
        command = with_masked(query_command(raw, raw, grammar_agrees=True, schema=schema), raw, nothing_prepared, masked.world)
    else:
        command = query_command(raw, raw, grammar_agrees=True)
    moment = Moment(session.started_at)
    verdict = loaded.policy.decide(who, known[target], session, command, moment)
    rules_told = list(explained(loaded.policy, who, known[target], session, command, moment))
    shown = command_json(command)
    context = context_of(who, known[target], session, command)
    seen = {name.removeprefix("sql."): value for name, value in context.items() if name.startswith("sql.")}
    if as_json:
        print_json(
            {
                "effects": shown["effects"],
                "statements": shown["statements"],
                "verdict": verdict.action.value,
                "rule": verdict.rule,
                "message": verdict.message,
                "rules": [_explained_json(one) for one in rules_told],
                "catalog_asked": command.attributes["catalog_asked"],
                "sql": seen,
            }
        )
        return
    for statement in command.statements:
        why = f" ({'; '.join(statement.reasons)})" if statement.reasons else ""
        typer.echo(terminal_safe(f"{statement.kind}: {statement.summary}: {', '.join(sorted(statement.effects))}{why}"))
    for name, value in seen.items():
        if isinstance(value, list) and value:
            typer.echo(terminal_safe(f"sql.{name}: {', '.join(value)}"))
    if not live:
        told = "names are taken for tables and PostgreSQL's own functions, and none for a masked column"
        typer.echo(f"the target's catalog was not asked: {told} (--live asks it)")
    for one in rules_told:
        standing = "beside every other" if one.rule.unless_named else "where none of yours matches"
        default = f" (default, {standing})" if one.is_default else ""
        typer.echo(terminal_safe(f"rule {one.rule.name!r}{default}: {one.rule.action}: {one.why or 'matches'}"))
    typer.echo(f"verdict: {verdict.action} by rule {verdict.rule!r}")


def _explained_json(one: Explained) -> dict[str, object]:
    return {
        **_rule_json(one.rule),
        "action": one.rule.action.value,
        "default": one.is_default,
        "matches": one.matches,
        "condition": one.condition,
        "why": one.why,
    }


@app.command("test")
def test(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files of tests.", show_default=False)],
    coverage: Annotated[bool, typer.Option("--coverage", help="List the rules that no test reaches.")] = False,
    min_coverage: Annotated[
        float, typer.Option("--min-coverage", min=0, max=100, help="Fail where fewer percent of the rules are reached.")
    ] = 0,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results to this file, as JUnit's XML.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run unit tests of policies. Exit code 1 where one fails. Neither gateway nor target nor configuration is needed."""
    from countersign.protocols.postgres.reading import query_command  # slow to import, and needed here only

    def read(sql: str) -> Command:
        raw = sql.encode("utf-8", "surrogateescape")
        return query_command(raw, raw, grammar_agrees=True)

    try:
        trials = [run_file(path, read) for path in files]
    except PolicyError as error:
        fail(str(error))
    outcomes = [outcome for trial in trials for outcome in trial.outcomes]
    failed = [outcome for outcome in outcomes if not outcome.passed]
    missed = list(unreached(trials))
    if as_json:
        print_json({"tests": [_outcome_json(outcome) for outcome in outcomes], "unreached": [_rule_json(rule) for rule in missed]})
    else:
        _tell(outcomes, missed if coverage else [])
    if junit is not None:
        junit.write_bytes(junit_xml(outcomes))
    rules = len({(Path(rule.file).resolve(), rule.name) for trial in trials for rule in trial.rules})
    covered = 100.0 * (rules - len(missed)) / rules if rules else 100.0
    if covered < min_coverage:
        fail(f"{covered:.1f} % of the rules are reached, {min_coverage:g} % are asked for")
    if failed:
        raise typer.Exit(1)


def _tell(outcomes: Sequence[Outcome], missed: Sequence[Rule]) -> None:
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        case, verdict = outcome.case, outcome.verdict
        by_rule = f" by rule {case.rule!r}" if case.rule else ""
        effects = ", ".join(sorted(effect.value for effect in outcome.command.effects))
        typer.echo(
            terminal_safe(
                f"{case.file}:{case.line}: {case.name}\n"
                f"  expected {case.expected}{by_rule}\n"
                f"  got      {verdict.action} by rule {verdict.rule!r}{f': {verdict.message}' if verdict.message else ''}\n"
                f"  effects  {effects or 'none'}"
            )
        )
    for rule in missed:
        typer.echo(terminal_safe(f"{rule.file}:{rule.line}: no test reaches rule {rule.name!r}"))
    typer.echo(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    case, verdict = outcome.case, outcome.verdict
    return {
        "name": case.name,
        "file": case.file,
        "line": case.line,
        "passed": outcome.passed,
        "expected": {"verdict": case.expected.value, "rule": case.rule},
        "got": {"verdict": verdict.action.value, "rule": verdict.rule, "message": verdict.message},
        "effects": sorted(effect.value for effect in outcome.command.effects),
    }


def _rule_json(rule: Rule) -> dict[str, object]:
    return {"rule": rule.name, "file": rule.file, "line": rule.line}


app.command("simulate")(simulate)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of policy files."""
    print_json(policy_schema())


@app.command("status")
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """The policy in force, since when, and why the files are not what is in force."""
    found = call(config, lambda client: client.get("health"))["policy"]
    if not found["since"]:  # nobody has loaded them yet
        found["digest"] = settings(config).policy.digest
    if as_json:
        print_json(found)
        return
    since = f"in force since {found['since']}" if found["since"] else "as its files are; no gateway runs"
    typer.echo(f"policy {found['digest']}: {since}")
    if found["problem"]:
        typer.echo(f"not taken up: {terminal_safe(found['problem'])}")


async def _catalog(upstream: "Upstream", databases: Sequence[str], rules: "tuple[MaskRule, ...]") -> "tuple[Schema, MaskedColumns]":
    """What the catalog of the first of these databases that there is says, and what is masked in it, or the end."""
    from countersign.protocols.postgres.session.catalog import CatalogUnavailable, read_catalog
    from countersign.protocols.postgres.session.target import Dialer

    for database in databases:
        try:
            held = await read_catalog(Dialer(upstream), database, rules)
            return held.schema, await held.masked_by(rules)
        except CatalogUnavailable as error:
            if error.code != NO_SUCH_DATABASE or database == databases[-1]:
                fail(f"{error} (database {database!r}; --database names another)")
    raise AssertionError("no database was asked for")
