"""``countersign keys``."""

from typing import Annotated

import typer

from countersign.cli.shared import DEFAULT_CONFIG, ConfigOption, JsonOption, call, print_json, print_table
from countersign.policy.terms import parse_duration

app = typer.Typer(no_args_is_help=True)


@app.command("create")
def create(
    name: str,
    groups: Annotated[list[str] | None, typer.Option(help="Groups, comma-separated or repeated.")] = None,
    expires: Annotated[str, typer.Option(help="How long the key lives, such as 12h or 90d.")] = "90d",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make a service account's key. The key alone is printed on stdout, once."""
    seconds = parse_duration(expires)
    if seconds is None:
        raise typer.BadParameter("a duration such as 12h or 90d", param_hint="--expires")
    words = [word.strip() for group in groups or [] for word in group.split(",") if word.strip()]
    body = {"name": name, "groups": words, "days": seconds / 86400}
    made = call(config, lambda client: client.post("keys", body))
    key = made["key"]
    note = f"key {key['id']} for {key['identity']} (groups: {', '.join(key['groups']) or 'none'}), expires {key['expires_at']}"
    typer.echo(f"{note}; it is not shown again", err=True)
    typer.echo(made["secret"])


@app.command("rotate")
def rotate(
    name: str,
    overlap: Annotated[str, typer.Option(help="For how long the older keys go on, such as 24h; 0s ends them at once.")] = "24h",
    expires: Annotated[str, typer.Option(help="How long the new key lives, such as 12h or 90d.")] = "90d",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Exchange a service account's keys for a new one, which alone is printed on stdout, once."""
    lives_s, overlap_s = parse_duration(expires), 0 if overlap in ("0", "0s") else parse_duration(overlap)
    if lives_s is None or overlap_s is None:
        raise typer.BadParameter("a duration such as 12h or 90d", param_hint="--expires" if lives_s is None else "--overlap")
    body = {"name": name, "days": lives_s / 86400, "overlap_days": overlap_s / 86400}
    made = call(config, lambda client: client.post("keys/rotate", body))
    key = made["key"]
    typer.echo(f"key {key['id']} for {key['identity']}, expires {key['expires_at']}; it is not shown again", err=True)
    typer.echo(made["secret"])


@app.command("list")
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Every key, never its secret."""
    found = call(config, lambda client: client.get("keys"))["keys"]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            key["id"],
            key["identity"],
            ",".join(key["groups"]),
            key["expires_at"],
            key["revoked_at"] or "-",
            key["last_used_at"] or "-",
        ]
        for key in found
    ]
    print_table(["key", "identity", "groups", "expires", "revoked", "last used"], rows, "no keys")


@app.command("revoke")
def revoke(key: str, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Revoke a key: no session can be opened with it, and those that it has opened end within two seconds."""
    typer.echo(f"revoked {call(config, lambda client: client.delete(f'keys/{key}'))['key']['id']}")
