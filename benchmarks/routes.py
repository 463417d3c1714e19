"""The three ways to the same PostgreSQL that are compared: direct, through pgbouncer, through the gateway.

Everything listens on free ports of the loopback interface and lives in temporary folders; leaving a context stops and removes it.
"""

import contextlib
import os
import pwd
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from countersign.demo.database import DemoDatabase

START_TIMEOUT_S = 30.0
TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
CREATE TABLE letters (id int PRIMARY KEY, sent timestamptz, amount numeric, reference text, body text);
INSERT INTO letters SELECT i, timestamptz '2026-01-01' + i * interval '1 second', i / 100.0, md5(i::text),
  'We thank you for your order no. ' || i || ' and write to ' ||
  CASE i % 1000 WHEN 0 THEN 'somebody' || i || '@example.com' ELSE 'the address that we hold' END FROM generate_series(1, 1000000) i;
CREATE TABLE kept_letters AS SELECT * FROM letters;
VACUUM ANALYZE letters;
VACUUM ANALYZE kept_letters
"""
# The column rules name tables that no measured statement reads but the one about masked columns, so that every other measured column is
# searched by the detectors.
POLICY = """
masking:
  - {name: ssn, columns: [public.customers.ssn], operator: {partial: {keep_last: 4}}}
  - {name: kept, columns: [public.kept_letters.reference, public.kept_letters.body], operator: {redact: {}}}
  - {name: content, detect: [email, payment_card], operator: {redact: {}}}
"""


class PeerMissing(Exception):
    """A program to compare with is not installed; the text says how to install it."""


@dataclass(frozen=True, slots=True)
class Route:
    """An address with credentials. ``pid`` is the process in the middle, 0 where there is none."""

    name: str
    port: int
    user: str
    password: str
    database: str
    pid: int = 0
    store: Path | None = None
    """The gateway's store, to count its records."""

    @property
    def conninfo(self) -> str:
        """What libpq connects with."""
        return f"host=127.0.0.1 port={self.port} user={self.user} password={self.password} dbname={self.database} sslmode=disable"

    @property
    def environment(self) -> dict[str, str]:
        """The same for libpq's programs."""
        values = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "USER": self.user,
            "PASSWORD": self.password,
            "DATABASE": self.database,
        }
        return os.environ | {f"PG{name}": value for name, value in values.items()} | {"PGSSLMODE": "disable"}


@contextlib.contextmanager
def open_routes(sessions: int, scale: int) -> Iterator[list[Route]]:
    """Direct, pgbouncer and gateway, in this order. Raises ``PeerMissing``."""
    program = _pgbouncer()
    _raise_file_limit()
    # Idle sessions through pgbouncer are not measured, so one session each for the gateway and some for everything else.
    with DemoDatabase(settings={"max_connections": str(sessions + 300)}) as server, contextlib.ExitStack() as stack:
        direct = Route("direct", server.port, server.user, server.password, server.database)
        _fill(server, direct, scale)
        pgbouncer = stack.enter_context(_run_pgbouncer(program, server))
        gateway = stack.enter_context(_run_gateway(server))
        _check_masking(gateway)
        yield [direct, pgbouncer, gateway]


def versions(routes: list[Route]) -> str:
    """The servers' versions, for the table's caption."""
    with psycopg.connect(routes[0].conninfo) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    said = subprocess.run([_pgbouncer(), "--version"], capture_output=True, text=True, check=True).stdout
    return f"PostgreSQL {row[0] if row else '?'}, {said.splitlines()[0]}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"


def commands_recorded(gateway: Route) -> int:
    """How many commands are in the gateway's audit log."""
    assert gateway.store is not None
    with contextlib.closing(sqlite3.connect(f"file:{gateway.store}?mode=ro", uri=True)) as store:
        rows = store.execute("SELECT entries FROM audit_batches")
        return sum(entries.count(b',"kind":"command","seq":') for (entries,) in rows)


# -- PostgreSQL
def _fill(server: DemoDatabase, direct: Route, scale: int) -> None:
    pgbench = server.psql.with_name("pgbench")
    subprocess.run([pgbench, "-i", "-q", "-s", str(scale)], env=direct.environment, check=True, capture_output=True)
    with psycopg.connect(direct.conninfo, autocommit=True) as connection:
        for statement in TABLES.split(";\n"):
            connection.execute(statement.encode())


# -- pgbouncer
def _pgbouncer() -> str:
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        raise PeerMissing("pgbouncer is missing: install it, on Debian with `RUNLEVEL=1 apt-get install pgbouncer`")
    return program


@contextlib.contextmanager
def open_behind_pool(scale: int, policy: str) -> Iterator[Route]:
    """A gateway whose target is a pgbouncer that lends a few of PostgreSQL's sessions for a transaction each, so that the gateway can have
    more sessions than PostgreSQL could. Raises ``PeerMissing``."""
    program = _pgbouncer()
    _raise_file_limit()
    with DemoDatabase() as server, contextlib.ExitStack() as stack:
        _fill(server, Route("direct", server.port, server.user, server.password, server.database), scale)
        pool = stack.enter_context(_run_pgbouncer(program, server, mode="transaction", clients=20_000, servers=50))
        yield stack.enter_context(_run_gateway(server, port=pool.port, policy=policy))


@contextlib.contextmanager
def _run_pgbouncer(
    program: str, server: DemoDatabase, mode: str = "session", clients: int = 2000, servers: int = 200
) -> Iterator[Route]:
    with tempfile.TemporaryDirectory(prefix="countersign-pgbouncer-") as name:
        folder, port = Path(name), _free_port()
        (folder / "users").write_text(f'"{server.user}" "{_scram_secret(server)}"\n')
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{server.database} = host=127.0.0.1 port={server.port} dbname={server.database}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = {servers}\nmax_client_conn = {clients}\n"
            "ignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n"
        )
        as_nobody = _as_nobody(folder)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, folder / "pgbouncer.ini"], stdout=log, stderr=log, **as_nobody)
        try:
            _wait_for_port(process, port, folder / "log")
            yield Route("pgbouncer", port, server.user, server.password, server.database, process.pid)
        finally:
            _stop(process)


def _scram_secret(server: DemoDatabase) -> str:
    """The secret as the server keeps it: pgbouncer then need not derive it anew for each client, which is its quickest way."""
    query = f"SELECT rolpassword FROM pg_authid WHERE rolname = '{server.user}'"
    command: list[str | Path] = [
        server.psql,
        "-X",
        "-At",
        "-h",
        server.folder,
        "-p",
        str(server.port),
        "-U",
        "postgres",
        "-c",
        query,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _as_nobody(folder: Path) -> dict[str, Any]:
    """pgbouncer refuses to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.iterdir()):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


# -- the gateway
@contextlib.contextmanager
def open_gateways(scale: int, ways: dict[str, tuple[list[str | Path], str]]) -> Iterator[list[Route]]:
    """A gateway for each name, started by the words before ``serve`` and with these lines in its configuration, over one PostgreSQL."""
    _raise_file_limit()
    with DemoDatabase() as server, contextlib.ExitStack() as stack:
        _fill(server, Route("direct", server.port, server.user, server.password, server.database), scale)
        yield [stack.enter_context(_run_gateway(server, name, words, more)) for name, (words, more) in ways.items()]


@contextlib.contextmanager
def _run_gateway(
    server: DemoDatabase,
    route: str = "gateway",
    words: Sequence[str | Path] = (),
    more: str = "",
    port: int = 0,
    policy: str = POLICY,
) -> Iterator[Route]:
    """``port``: of the target, where it is not the server itself."""
    program = Path(sys.executable).with_name("countersign")
    with tempfile.TemporaryDirectory(prefix="countersign-benchmark-") as name:
        folder = Path(name)
        config = folder / "countersign.yaml"
        (folder / "policy.yaml").write_text(policy)
        config.write_text(
            "console: {listen: 127.0.0.1:0}\nreviews: {at_once: 0, opened_in_10m: 0}\ntargets:\n  - name: shop\n    type: postgres\n    listen: 127.0.0.1:0\n    upstream:\n"
            f"      {{host: 127.0.0.1, port: {port or server.port}, user: {server.user}, password: env:SHOP_PASSWORD}}\n"
            f"policies: [policy.yaml]\n{more}"
        )
        environment = os.environ | {"SHOP_PASSWORD": server.password}
        command: list[str | Path] = [*(words or [program]), "serve", "--config", config]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            listens = _ready_port(process, folder / "log")
            create: list[str | Path] = [program, "keys", "create", "crew", "--groups", "agents", "--config", config]
            key = subprocess.run(create, capture_output=True, text=True, env=environment, check=True).stdout.strip()
            yield Route(route, listens, "crew", key, server.database, process.pid, folder / "countersign.db")
        finally:
            _stop(process)


def _ready_port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        said = log.read_text()
        found = re.search(r"^target shop.*:(\d+)$", said, re.MULTILINE)
        if found and re.search(r"^ready", said, re.MULTILINE):
            return int(found[1])
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the gateway did not start: {said[-800:]}")
        time.sleep(0.05)


def _check_masking(gateway: Route) -> None:
    """The measured session is one that masks, or the numbers mean nothing."""
    with psycopg.connect(gateway.conninfo, autocommit=True) as connection:
        row = connection.execute("SELECT body FROM letters WHERE id = 1000").fetchone()
    if row is None or "[redacted]" not in row[0]:
        raise RuntimeError(f"the gateway does not mask: {row}")


# -- processes
def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"pgbouncer did not start: {log.read_text()[-800:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _raise_file_limit() -> None:
    """A session takes three descriptors of the gateway's: client, target, recording. Children inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_sessions(wanted: int) -> int:
    """How many idle sessions the limit of open files permits, ``wanted`` at most."""
    _raise_file_limit()
    return min(wanted, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 3)
