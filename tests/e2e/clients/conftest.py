"""The same dialogue twice: with PostgreSQL itself, and with the gateway before an equal PostgreSQL.

Both servers are made alike, so whatever differs between the two answers is the gateway's doing. The policy allows everything and
masking is on. The gateway has two targets: ``shop`` searches every row and has mask rules for the columns of one table, which the
compared dialogues do not read; ``searched`` only searches rows, and runs reads under READ ONLY. What a user's function, a trigger or a DO block does
with a masked table nobody can tell from its call, so where mask rules name columns its outputs and words are masked, and rightly:
dialogues that call one are held with ``searched``.
"""

import asyncio
import datetime
import difflib
import inspect
import os
import pprint
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from countersign.demo.database import DemoDatabase, binaries, system_binaries

SYSTEM_MAJOR = 15
POLICY = """
rules:
  - name: everything
    effects: [read, write, ddl, admin, exec, session, unknown]
    when: sql.moves_masked.size() >= 0  # those that move masked columns too
    action: allow
masking:
  - {name: ssn, targets: [shop], columns: [public.secrets.ssn], operator: {partial: {keep_last: 4}}}
  - {name: salary, targets: [shop], columns: [public.secrets.salary]}
  - {name: content, detect: [email, payment_card, us_ssn, iban, aws_key, jwt, private_key], operator: {redact: {}}}
"""
RESET = """
    DELETE FROM items WHERE id > 50;
    DELETE FROM labels;
    INSERT INTO labels VALUES (1, 'one'), (2, 'two');
    SELECT setval('items_id_seq', 1000), setval('tickets', 100);
"""
SCHEMA = (Path(__file__).parent / "schema.sql").read_text()


@dataclass(frozen=True)
class Address:
    """Where a client connects, and as whom."""

    port: int
    password: str
    database: str
    host: str = "127.0.0.1"
    user: str = "app"

    @property
    def uri(self) -> str:
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def environment(self) -> dict[str, str]:
        """What libpq's programs, pgjdbc's and node's runners read."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.database,
            "PGSSLMODE": "disable",
            "PGTZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }

    def of(self, database: str) -> "Address":
        return replace(self, database=database)


@dataclass(frozen=True)
class Twins:
    """Two equal servers: ``direct`` is one, ``through`` and ``searched`` the other behind the gateway, ``behind`` that other one."""

    major: int
    direct: Address
    through: Address
    searched: Address
    behind: Address
    gateway: Any
    bin: Path
    servers: tuple[DemoDatabase, DemoDatabase]

    def same(self, dialogue: Callable[[Address], Any], *, opaque: bool = False) -> Any:
        """Hold a dialogue with both and return what they said, which must be the same.

        An ``opaque`` one runs code that only the server sees (functions, triggers, DO blocks).
        """
        expected = _hold(dialogue, self.direct)
        answered = _hold(dialogue, self.searched if opaque else self.through)
        if answered != expected:
            pytest.fail(f"the gateway's answers differ:\n{_differences(expected, answered)}", pytrace=False)
        return answered

    def both(self, dialogue: Callable[[Address], Any]) -> tuple[Any, Any]:
        """Hold a dialogue with both and return what the target and what the gateway said."""
        return _hold(dialogue, self.direct), _hold(dialogue, self.through)

    def program(self, name: str) -> str:
        """A program of the servers' own version."""
        return str(self.bin / name)

    def run(self, address: Address, name: str, *words: str | Path, given: str | bytes = b"", timeout: float = 60) -> "Said":
        """Run one of PostgreSQL's programs; its two outputs come in one stream, as on a terminal."""
        done = subprocess.run(
            [self.program(name), *map(str, words)],
            input=given.encode() if isinstance(given, str) else given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=address.environment,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout.decode("utf-8", "backslashreplace"))

    def create_database(self, name: str) -> None:
        """An empty database in both servers."""
        for server in self.servers:
            with superuser(server) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name} OWNER app")


@dataclass(frozen=True)
class Said:
    """A program's exit status and everything it printed."""

    status: int
    text: str


def _differences(expected: Any, answered: Any) -> str:
    lines = (
        (part.text if isinstance(part, Said) else part if isinstance(part, str) else pprint.pformat(part, width=150)).splitlines()
        for part in (expected, answered)
    )
    return "\n".join(difflib.unified_diff(*lines, "direct", "through", lineterm="", n=1))[:4000]


def _hold(dialogue: Callable[[Address], Any], address: Address) -> Any:
    if inspect.iscoroutinefunction(dialogue):
        return asyncio.run(dialogue(address))
    return dialogue(address)


def superuser(server: DemoDatabase, database: str = "postgres") -> "psycopg.Connection[Any]":
    return psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname=database, autocommit=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What the system's server needs in order to start; these tests do not use TLS."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return files


@pytest.fixture(scope="session")
def server_pair(certificate: tuple[Path, Path]) -> Iterator[Callable[[int], tuple[DemoDatabase, DemoDatabase]]]:
    """Two equal servers of a major version, started when first asked for."""
    made: dict[int, tuple[DemoDatabase, DemoDatabase]] = {}

    def pair(major: int) -> tuple[DemoDatabase, DemoDatabase]:
        if major not in made:
            options: dict[str, Any] = {"tls": certificate} if major == SYSTEM_MAJOR else {"major": major}
            made[major] = DemoDatabase(**options), DemoDatabase(**options)
        return made[major]

    yield pair
    for servers in made.values():
        for server in servers:
            server.close()


def programs(major: int) -> Path:
    """The folder of a major version's programs. Raises ``FileNotFoundError``."""
    if major != SYSTEM_MAJOR:
        return binaries(major)
    found = system_binaries()
    if found.parent.name != str(SYSTEM_MAJOR):
        raise FileNotFoundError(f"the system's PostgreSQL is {found.parent.name}, not {SYSTEM_MAJOR}")
    return found


@pytest.fixture(scope="module", params=[16, 18])
def major(request: pytest.FixtureRequest) -> int:
    """The version; a module may parametrize it otherwise."""
    return int(request.param)


def level_oids(servers: tuple[DemoDatabase, DemoDatabase]) -> None:
    """Let both servers give the next objects the same OIDs, for binary arrays of types of one's own hold them. Tests that one server
    alone has seen have used some up; a large object uses up one."""
    with superuser(servers[0]) as first, superuser(servers[1]) as second:
        given = [connection.execute("SELECT lo_creat(-1)").fetchone()[0] for connection in (first, second)]  # type: ignore[index]
        for connection, oid in zip((first, second), given, strict=True):
            connection.execute("SELECT lo_unlink(%s)", (oid,))  # a dump of the cluster has no right to read it
        behind, missing = (first, given[1] - given[0]) if given[0] < given[1] else (second, given[0] - given[1])
        behind.execute("SELECT lo_unlink(lo_creat(-1)) FROM generate_series(1, %s)", (missing,))


@pytest.fixture(scope="module")
def twins(
    major: int,
    request: pytest.FixtureRequest,
    server_pair: Callable[[int], tuple[DemoDatabase, DemoDatabase]],
    gateway_class: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Twins]:
    """A database of the module's own in two equal servers, and a gateway before the second."""
    try:
        folder = programs(major)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    servers = server_pair(major)
    database = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    for server in servers:
        with superuser(server) as connection:
            connection.execute(f"CREATE DATABASE {database} OWNER app")
    level_oids(servers)
    for server in servers:
        with psycopg.connect(server.uri.rpartition("/")[0] + f"/{database}", autocommit=True) as connection:
            connection.execute(SCHEMA)
    upstream = f"upstream: {{host: 127.0.0.1, port: {servers[1].port}, user: app, password: env:SHOP_PASSWORD}}"
    gateway = gateway_class(
        tmp_path_factory.mktemp("gateway"),
        servers[1].port,
        servers[1].password,
        policy=POLICY,
        target=f"{upstream}\n  - name: searched\n    type: postgres\n    listen: 127.0.0.1:0\n    read_only: enforce",
    )
    try:
        key = gateway.cli("keys", "create", "app", "--groups", "agents").stdout.strip()
        direct, behind = (Address(server.port, server.password, database) for server in servers)
        searched = int(next(line for line in gateway.log if line.startswith("target searched")).rsplit(":", 1)[1])
        through = [Address(port, key, database) for port in (gateway.port, searched)]
        yield Twins(major, direct, *through, behind, gateway, folder, servers)
    finally:
        gateway.stop()
        for server in servers:
            with superuser(server) as connection:
                connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture(autouse=True)
def equal_tables(request: pytest.FixtureRequest) -> None:
    """Every test begins with the rows of ``schema.sql``, whatever the one before it left in one of the servers."""
    if "twins" in request.fixturenames:
        twins = request.getfixturevalue("twins")
        for address in (twins.direct, twins.behind):
            with psycopg.connect(address.uri, autocommit=True) as connection:
                connection.execute(RESET)


@pytest.fixture(autouse=True)
def no_internal_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """The gateway logs no failure of its own while a test runs."""
    log = request.getfixturevalue("twins").gateway.log if "twins" in request.fixturenames else []
    start = len(log)
    yield
    text = "".join(line for line in log[start:] if not line.startswith(("│", "╭", "╰")))
    if "Traceback" in text or "[error " in text:
        pytest.fail(f"the gateway logged an error:\n{text}", pytrace=False)


SLEEPS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def until_asleep(twins: Twins, eventually: Callable[..., Any]) -> Callable[[], None]:
    """Wait until one of the servers runs ``SELECT pg_sleep(30)``: what is cancelled sooner is not cancelled."""

    def wait() -> None:
        with (
            psycopg.connect(twins.direct.uri, autocommit=True) as direct,
            psycopg.connect(twins.behind.uri, autocommit=True) as behind,
        ):
            eventually(lambda: any(one.execute(SLEEPS).fetchone() != (0,) for one in (direct, behind)), "a server sleeps")

    return wait


@pytest.fixture
def once_asleep(until_asleep: Callable[[], None]) -> Callable[[Callable[[], Any]], threading.Thread]:
    """Do something on a thread once a server sleeps."""

    def start(work: Callable[[], Any]) -> threading.Thread:
        def wait_and_work() -> None:
            until_asleep()
            work()

        thread = threading.Thread(target=wait_and_work, daemon=True)
        thread.start()
        return thread

    return start


@pytest.fixture(scope="session")
def need_program() -> Callable[[str], str]:
    """The path of a program outside Python, or a skip that names it."""

    def need(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is missing")
        return found

    return need
