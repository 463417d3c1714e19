"""The ``countersign`` command."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import structlog
import typer

from countersign import __version__
from countersign.audit import AuditUnavailable
from countersign.cli import audit, channels, grants, keys, masking, policy, replay, reviews
from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, ask, call, fail, print_json, print_table, settings
from countersign.client import ClientError
from countersign.config import Config, ConfigError, load_config
from countersign.model.identity import STANDING_GROUPS
from countersign.policy.warnings import unknown_subjects
from countersign.yaml_lines import Problem

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The gateway for agents.")
app.add_typer(keys.app, name="keys", help="API keys of agents and pipelines.")
app.add_typer(reviews.app, name="reviews", help="Held commands.")
app.add_typer(grants.app, name="grants", help="Approvals that hold for more than one command.")
app.add_typer(channels.app, name="channels", help="Who is told of reviews.")
app.add_typer(audit.app, name="audit", help="The tamper-evident log.")
app.add_typer(policy.app, name="policy", help="What the rules say.")
app.add_typer(masking.app, name="masking", help="What is masked, and what should be.")
targets_app = typer.Typer(no_args_is_help=True)
sessions_app = typer.Typer(no_args_is_help=True)
app.add_typer(targets_app, name="targets", help="What is protected.")
app.add_typer(sessions_app, name="sessions", help="Who is or was connected.")
app.command("replay")(replay.replay)


def main() -> None:
    """The entry point: exit code 0 done, 1 refused or failed, 2 wrong usage."""
    app()


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def serve(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the gateway until it is told to stop."""
    loaded = settings(config)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    import uvloop

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # every session takes two descriptors or more
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        uvloop.run(_serve(loaded))
    except (AuditUnavailable, OSError, ValueError) as error:
        fail(str(error))


async def _serve(config: Config) -> None:
    from countersign.app import Gateway  # slow to import, and needed here only

    gateway = Gateway(config)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    in_terminal = sys.stderr.isatty()

    def hang_up() -> None:
        """Load the policies anew; but where the gateway's terminal has gone, stop."""
        (stop if in_terminal and not os.isatty(sys.stderr.fileno()) else gateway.reload).set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hang_up)
    await gateway.start()
    for target, (host, port) in gateway.listeners.items():
        typer.echo(f"target {target} listens on {host}:{port}", err=True)
    for channel, (host, port) in gateway.hooks.items():
        typer.echo(f"channel {channel} takes decisions on {host}:{port}", err=True)
    typer.echo(f"console on {gateway.console_url} (countersign login prints a sign-in link)", err=True)
    typer.echo("ready", err=True)
    await stop.wait()
    typer.echo("stopping", err=True)
    await gateway.stop()


@app.command()
def check(
    config: ConfigOption = DEFAULT_CONFIG,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration and its policies, and name everything that is wrong, or can hardly be meant."""
    try:
        loaded = load_config(config)
    except ConfigError as error:
        if as_json:
            problems = [{"file": p.file, "line": p.line, "message": p.message, "hint": p.hint} for p in error.problems]
            print_json({"ok": False, "problems": problems, "warnings": []})
            raise typer.Exit(1) from error
        fail(f"{len(error.problems)} problem(s)\n{error}")
    warnings = [*loaded.warnings, *map(str, _unknown_subjects(loaded))]
    fails = strict and bool(warnings)
    if as_json:
        print_json({"ok": not fails, "problems": [], "warnings": warnings})
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
    if fails:
        raise typer.Exit(1)
    if as_json:
        return
    rules = f"{len(loaded.policy.rules)} rules, {len(loaded.policy.masks)} mask rules"
    typer.echo(f"{config}: sound ({len(loaded.targets)} targets, {rules})")


def _unknown_subjects(config: Config) -> Iterator[Problem]:
    """Whom rules name and the gateway does not know; nothing where it has no store yet, or none that can be asked."""
    if config.store.server is None and not config.store.path.exists():
        return
    try:
        keys = ask(config.path, lambda client: client.get("keys"))["keys"]
    except (AuditUnavailable, ClientError, OSError):
        return
    if not keys or config.identity.oidc:  # a provider's people come with groups of their own
        return
    rules = [rule for issuer in config.identity.tokens for rule in issuer.rules]
    shown = [target.tls.certificates for target in config.targets if target.tls and target.tls.certificates]
    by_certificate = [group for one in shown for group in one.groups or ()]
    named = (
        *(key["groups"] for key in keys),
        *(rule.groups for rule in rules),
        *(person.groups for person in config.people),
        by_certificate,
        STANDING_GROUPS,
    )
    names = {key["identity"] for key in keys} | {rule.name for rule in rules} | {person.name for person in config.people}
    yield from unknown_subjects(config.policy, {group for one in named for group in one}, None if by_certificate else names)


@app.command()
def login(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print a link that signs you in to the console, once."""
    typer.echo(call(config, lambda client: client.post("console-links"))["url"])


@app.command()
def whoami(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Who the gateway takes you for."""
    identity = call(config, lambda client: client.get("me"))["identity"]
    if as_json:
        print_json(identity)
    else:
        typer.echo(f"{identity['name']} ({', '.join(identity['groups'])})")


@targets_app.command("list")
def list_targets(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Every target and where it listens."""
    found = call(config, lambda client: client.get("targets"))["targets"]
    if as_json:
        print_json(found)
    else:
        print_table(["target", "type", "listens on", "status"], [list(target.values()) for target in found], "no targets")


@sessions_app.command("list")
def list_sessions(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Sessions, newest first."""
    found = call(config, lambda client: client.get("sessions"))["sessions"]
    if as_json:
        print_json(found)
        return
    columns = ["id", "identity", "target", "client_address", "started_at", "ended_at"]
    print_table(columns, [[session[name] or "-" for name in columns] for session in found], "no sessions")


@app.command()
def demo(
    decide: Annotated[str, typer.Option(help="approve, deny or timeout: run unattended. Without it you decide.")] = "",
    directory: Annotated[Path | None, typer.Option("--dir", help="Keep everything that the demo makes here.")] = None,
) -> None:
    """Run the whole story on real parts: a database, a gateway, a CrewAI crew, and you."""
    if decide not in ("", "approve", "deny", "timeout"):
        raise typer.BadParameter("approve, deny or timeout", param_hint="--decide")
    try:
        from countersign.demo import story
    except ImportError as error:
        fail(f"the demo needs its extra: pip install 'countersign[demo]' ({error.name} is missing)")
    raise typer.Exit(story.run(decide, directory))
