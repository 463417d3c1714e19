"""What every command needs: the configuration, a client, and how to end."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import httpx
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from countersign.audit import AuditUnavailable
from countersign.client import Client, ClientError
from countersign.config import Config, ConfigError, admin_socket_of, load_config
from countersign.reviews.preview import one_line, terminal_safe
from countersign.unix_socket import reachable

T = TypeVar("T")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="COUNTERSIGN_CONFIG", help="The configuration file.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_CONFIG = Path("countersign.yaml")

out = Console()
err = Console(stderr=True)


def fail(text: str) -> NoReturn:
    """End with exit code 1 and one sentence."""
    typer.echo(f"countersign: {terminal_safe(text)}", err=True)
    raise typer.Exit(1)


def settings(path: Path, *, with_policies: bool = True) -> Config:
    """The configuration, or the end. A command that only asks the gateway does not need its policies, which may be broken just now."""
    try:
        return load_config(path, with_policies=with_policies)
    except ConfigError as error:
        fail(str(error))


def ask(path: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do some work with a client. Raises ``ClientError`` and ``AuditUnavailable``."""

    async def run() -> T:
        async with connected(path) as client:
            return await work(client)

    return asyncio.run(run())


def call(path: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do some work with a client, and end in one sentence where it is refused."""
    try:
        return ask(path, work)
    except (ClientError, AuditUnavailable) as error:
        fail(str(error))


def on_record(path: Path, how: str, what: str) -> None:
    """Put on record that files of the gateway's evidence are read. Where it runs and does not take the record, that is the end; a store
    that nobody serves and that cannot be written, as an auditor may have it, is read all the same."""

    async def note(client: Client) -> None:
        await client.post("audit/accesses", {"how": how, "what": what})

    async def run() -> None:
        async with connected(path) as client:
            await note(client)

    try:
        asyncio.run(run())
    except ClientError as error:
        fail(str(error))
    except AuditUnavailable as error:
        err.print(f"this access is not on record: {terminal_safe(str(error))}", markup=False)


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    """A client of the running gateway; where none runs, of the same API over its store, in this process."""
    try:
        socket = admin_socket_of(path)
    except ConfigError as error:
        fail(str(error))
    if socket.exists():
        transport = httpx.AsyncHTTPTransport(uds=reachable(socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://countersign", timeout=60) as http:
            if await _answers(http):
                yield Client(http)
                return
    config = settings(path, with_policies=False)
    if config.store.server is None and not config.store.path.exists() and not config.path.exists():
        raise AuditUnavailable("there is neither a gateway nor a store")
    # Only here, for it is slow to import and a running gateway makes it needless.
    from countersign.api.access import SOCKET_UID
    from countersign.api.app import create_api
    from countersign.app import offline

    async with offline(config) as services:
        app = create_api(services)

        async def as_owner(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, SOCKET_UID: os.getuid()}, receive, send)

        transport_in_process = httpx.ASGITransport(app=as_owner)
        async with httpx.AsyncClient(transport=transport_in_process, base_url="http://countersign") as http:
            yield Client(http)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        await http.get("/healthz")
    except httpx.RemoteProtocolError:
        fail("the gateway hung up: it does not know this account ('people' in its configuration names those who may ask)")
    except httpx.HTTPError:
        return False
    return True


def print_json(value: Any) -> None:
    """JSON on stdout, alone."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def print_table(titles: list[str], rows: list[list[Any]], empty: str) -> None:
    """A table for people; nothing in it can move the cursor."""
    if not rows:
        out.print(empty, markup=False)
        return
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell), 100)) for cell in row))
    out.print(table)
