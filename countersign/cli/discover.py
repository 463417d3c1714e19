"""``countersign masking discover``."""

import asyncio
import contextlib
import fnmatch
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from countersign._core import Masker
from countersign.cli.proposals import as_json, as_yaml, place_of, proposed_rules, quoted, renamed
from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, err, fail, print_json, settings
from countersign.config import Upstream
from countersign.masking import DETECTORS, MaskRule
from countersign.masking.discovery import Column, Discovery, Proposal

REDACT = '{"redact":{}}'


def discover(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target's name.")],
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of each table, at most.")] = 1000,
    schema: Annotated[list[str] | None, typer.Option(help="Only this schema, or a glob. Can be given again.")] = None,
    min_share: Annotated[float, typer.Option(min=0.01, max=1.0, help="How many of a column's values must be of a kind.")] = 0.3,
    database: Annotated[str, typer.Option(help="The database.  [default: called like the target, or its user]")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json_: JsonOption = False,
) -> None:
    """Sample a target's tables and propose mask rules, with counts as evidence and never a value."""
    loaded = settings(config)
    known = {one.target.name: one.upstream for one in loaded.targets}
    if target not in known:
        fail(f"there is no target {target!r}; known: {', '.join(known)}")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    databases = [database] if database else [target, known[target].user]
    name, found = _sampled(known[target], databases, sample, schema or (), min_share)
    if found.not_read and not found.tables_read:
        fail("\n".join([f"nothing in database {name!r} could be read", *_not_read(found)]))
    masked = _set_apart(found, loaded.policy.masking_for(target))
    rules = renamed(proposed_rules(target, found), {rule.name for rule in loaded.policy.masks})
    if json_:
        print_json(as_json(rules, target, name, found, masked, {"sample": sample, "min_share": min_share}))
    else:
        sys.stdout.write(as_yaml(rules, target, _head(target, name, found, sample), _tail(found, masked)))
    if not sys.stdout.isatty():
        typer.echo("\n".join(_not_read(found)), err=True, nl=bool(found.not_read))


def _sampled(
    upstream: Upstream, databases: Sequence[str], rows: int, schemas: Sequence[str], min_share: float
) -> tuple[str, Discovery]:
    from countersign.protocols.postgres.session import sampling  # slow to import, and needed here only
    from countersign.protocols.postgres.session.target import Dialer

    masker = Masker([(detector, detector, REDACT) for detector in DETECTORS], secrets.token_bytes(32))
    try:
        with _progress() as moved:
            looking = sampling.discover(
                Dialer(upstream), databases, masker, rows=rows, schemas=schemas, min_share=min_share, moved=moved
            )
            return asyncio.run(looking)
    except sampling.SamplingFailed as error:
        fail(str(error))


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal. Takes how many tables are done, and of how many."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TextColumn("tables"))
    with Progress(*columns, console=err, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _set_apart(found: Discovery, rules: Sequence[MaskRule]) -> list[tuple[Proposal, str]]:
    """Take from what was found what rules mask already, and say which rule does."""
    masked = [(proposal, rule) for proposal in found.proposals if (rule := _masked_by(proposal.column, proposal.path, rules))]
    found.proposals = [proposal for proposal in found.proposals if not _masked_by(proposal.column, proposal.path, rules)]
    detected = {detector for rule in rules for detector in rule.detect}
    found.mentions = [m for m in found.mentions if m.detector not in detected and not _masked_by(m.column, "", rules)]
    return masked


def _masked_by(column: Column, path: str, rules: Sequence[MaskRule]) -> str:
    """The rule that masks a column, or a path within it; '' where none does."""
    name = f"{column.schema}.{column.table}.{column.name}"
    for rule in rules:
        is_meant = any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.columns) or (rule.paths and not rule.columns)
        if is_meant and (not rule.paths or path in rule.paths):
            return rule.name
    return ""


def _head(target: str, database: str, found: Discovery, sample: int) -> list[str]:
    return [
        f"Proposed for target {target}, database {quoted(database)}: {found.tables_read:,} tables, {found.rows_read:,} rows read,"
        f" at most {sample:,} of each table.",
        "Save it as a policy file that 'policies' of the configuration names, keep what is right, and run: countersign check",
        *([] if found.proposals or found.mentions else ["Nothing was found that is not masked already."]),
    ]


def _tail(found: Discovery, masked: Sequence[tuple[Proposal, str]]) -> list[str]:
    already = [f"already masked: {quoted(place_of(proposal))} by rule {quoted(rule)}" for proposal, rule in masked]
    return already + _not_read(found)


def _not_read(found: Discovery) -> list[str]:
    return [f"not read: {quoted(name)}: {reason}" for name, reason in found.not_read]
