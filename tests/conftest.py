"""A real PostgreSQL, a real gateway in a process of its own, and the command line as a user types it."""

import contextlib
import json
import os
import pty
import re
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, settings

from countersign.demo.database import DemoDatabase
from countersign.demo.leash import Leash
from countersign.recording import Folder, Library, open_chunk
from countersign.settings import Secret
from countersign.store_settings import PostgresPlace
from countersign.unix_socket import reachable

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

PROGRAM = str(Path(sys.executable).with_name("countersign"))
POLICY = """
rules:
  - {name: no-truncate, when: "'TRUNCATE' in command.kinds", action: deny, message: tables are never emptied}
  - {name: quick, when: "command.text.contains('expire quickly')", action: review, review: {timeout: 1s}}
  - {name: loggers-may-insert, effects: [write, read], when: "command.writes == ['public.log']", action: allow}
masking:
  - {name: ssn, columns: [public.customers.ssn], operator: {partial: {keep_last: 4}}}
  - {name: salary, columns: [public.customers.salary]}
  - {name: content, detect: [email, payment_card, us_ssn], operator: {redact: {}}}
"""
SCHEMA = """
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, email text UNIQUE, note text, salary int, extra jsonb);
INSERT INTO customers SELECT i, 'customer ' || i, '123-45-67' || (10 + i), 'c' || i || '@example.com',
  'card 4242 4242 4242 4242', 1000 + i, jsonb_build_object('mail', 'x@example.com') FROM generate_series(1, 20) i;
CREATE TABLE orders (id int PRIMARY KEY, status text);
INSERT INTO orders SELECT i, 'open' FROM generate_series(1, 100) i;
CREATE TABLE log (line text);
CREATE VIEW contacts AS SELECT id, lower(ssn) AS tax, name FROM customers;
"""


# Longest first: workers take whole files, and one that is begun last leaves the others idle.
LONG_FILES = (
    "test_i1_kill",
    "test_demo",
    "test_spine",
    "test_i3_judge",
    "test_i3_attacks",
    "test_psycopg",
    "test_pg_dump",
    "test_console",
)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist's own order begins with the most tests, not the longest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
    """Ask again until something is true."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


class Gateway:
    """``countersign serve`` in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        upstream_port: int,
        password: str,
        policy: str = POLICY,
        target: str = "",
        upstream_host: str = "127.0.0.1",
        upstream_more: str = "",
        more: str = "",
        key: str = "",
    ) -> None:
        self.folder = folder
        self.config = folder / "countersign.yaml"
        self.environment = os.environ | {"SHOP_PASSWORD": password}
        (folder / "policy.yaml").write_text(policy)
        self.config.write_text(
            "console: {listen: 127.0.0.1:0}\nreviews: {at_once: 0, opened_in_10m: 0, denials_in_10m: 0}\ntargets:\n  - name: shop\n    type: postgres\n    listen: 127.0.0.1:0\n"
            f"    {target}\n    upstream:\n"
            f"      {{host: {upstream_host}, port: {upstream_port}, user: app, password: env:SHOP_PASSWORD{upstream_more}}}\n"
            "policies: [policy.yaml]\n" + more
        )
        self.key = key
        self.start()

    def start(self) -> None:
        command = [PROGRAM, "serve", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=self.environment)
        self._leash = Leash(self.process.pid, "KILL")  # a run of tests that is killed leaves nothing behind
        self.log: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if line.startswith("ready"):
                break
        else:
            raise AssertionError("".join(self.log))
        self.port = int(next(line for line in self.log if line.startswith("target shop")).rsplit(":", 1)[1])
        self.console = next(line for line in self.log if line.startswith("console on")).split()[2]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self.key:
            self.key = self.cli("keys", "create", "crew", "--groups", "agents").stdout.strip()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)

    def cli(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*words), text=True, capture_output=True, env=self.environment)
        assert not ok or done.returncode == 0, done.stderr
        return done

    def command(self, *words: str) -> list[str]:
        return [str(PROGRAM), *words, "--config", str(self.config)]

    def json(self, *words: str) -> Any:
        return json.loads(self.cli(*words, "--json").stdout)

    def uri(self, database: str = "shop", key: str = "", user: str = "crew") -> str:
        return f"postgresql://{user}:{key or self.key}@127.0.0.1:{self.port}/{database}"

    def connect(self, **options: Any) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.uri(), **({"autocommit": True} | options))

    def pending(self) -> dict[str, Any]:
        """The one review that is pending, once it is. Asked of the API: starting the command line anew for each look takes far longer."""
        transport = httpx.HTTPTransport(uds=reachable(self.folder / "countersign.sock"), verify=False)
        with httpx.Client(transport=transport, base_url="http://countersign/api/v1", timeout=20) as api:
            found: list[dict[str, Any]] = wait_for(
                lambda: api.get("reviews", params={"state": "pending"}).raise_for_status().json()["reviews"], "a review"
            )
        assert len(found) == 1
        return found[0]

    def review(self, review_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("reviews", "show", review_id)
        return found

    def audit(self, kind: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("audit", "search", "--limit", "5000", *(["--kind", kind] if kind else []))
        return found

    def everything_kept(self) -> str:
        """The text of every file that the gateway keeps, and of its own log."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        texts = [_recorded(path) if path.suffix == ".csrec" else path.read_bytes() for path in files]
        return b"".join(texts).decode("utf-8", "replace") + "".join(self.log)

    def recorded(self) -> str:
        """What the recordings hold, once every session is over."""
        library = Library(Folder(self.folder / "recordings"))
        wait_for(lambda: all(library.open(name).is_closed for name in library.ids()), "the ends of the recordings")
        return "".join(_recorded(path).decode() for path in self.folder.rglob("*.csrec"))

    def kill(self) -> None:
        self._leash.release()
        self.process.kill()
        self._close()

    def stop(self) -> None:
        self._leash.release()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self._close()

    def _close(self) -> None:
        self.process.wait(20)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()


class ObjectServer:
    """A server that speaks S3's protocol (moto's), with a bucket. ``stop`` and ``start`` are an outage; what was stored stays."""

    BUCKET = "evidence"
    ENVIRONMENT = MappingProxyType({"S3_KEY_ID": "AKIDEXAMPLE", "S3_SECRET": "the-secret-access-key-9f3"})
    """What ``settings`` refers to."""

    def __init__(self) -> None:
        import boto3  # slow to import
        from botocore.config import Config

        self._port = 0
        self.start()
        httpx.post(f"{self.endpoint}/moto-api/reset", trust_env=False)  # what it stores is the process's, not the server's
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.ENVIRONMENT["S3_KEY_ID"],
            aws_secret_access_key=self.ENVIRONMENT["S3_SECRET"],
            config=Config(proxies={}),
        )
        self.client.create_bucket(Bucket=self.BUCKET)

    @property
    def settings(self) -> dict[str, str]:
        """What a section of the configuration says to reach it."""
        return {"endpoint": self.endpoint, "access_key_id": "env:S3_KEY_ID", "secret_access_key": "env:S3_SECRET"}

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
        self._server.start()
        _, self._port = self._server.get_host_and_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._server.stop()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Every object by its key, in the order of keys."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.BUCKET, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return {key: self.client.get_object(Bucket=self.BUCKET, Key=key)["Body"].read() for key in keys}

    def close(self) -> None:
        self.client.close()
        self.stop()


def _recorded(path: Path) -> bytes:
    """The lines of a recording as it stands, unpacked: what is compressed would hide what it holds."""
    place = Folder(path.parent)
    return b"".join(open_chunk(place.read(path.stem, chunk), [])[1] for chunk in place.chunks(path.stem))


class InBackground:
    """A statement that may be held, run on a thread of its own."""

    def __init__(self, connection: "psycopg.Connection[Any]", sql: str, parameters: Any = None) -> None:
        self.notices: list[str] = []
        self.error: psycopg.Error | None = None
        self.rows = -1
        connection.add_notice_handler(lambda notice: self.notices.append(notice.message_primary))
        self._thread = threading.Thread(target=self._run, args=(connection, sql, parameters), daemon=True)
        self._thread.start()

    def _run(self, connection: "psycopg.Connection[Any]", sql: str, parameters: Any) -> None:
        try:
            self.rows = connection.execute(sql, parameters).rowcount
        except psycopg.Error as error:
            self.error = error

    def join(self) -> "InBackground":
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self


class Wire:
    """The socket below a connection that psycopg has brought through authentication."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.settimeout(10)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._socket.setblocking(True)
        self._socket.settimeout(10)
        self._socket.sendall(data)

    def receive(self) -> tuple[str, bytes]:
        """The next message, or ('', b'') at the end of the stream."""
        while len(self._buffer) < 5 or len(self._buffer) < 1 + struct.unpack(">I", self._buffer[1:5])[0]:
            data = self._socket.recv(65536)
            if not data:
                return "", b""
            self._buffer += data
        length = 1 + struct.unpack(">I", self._buffer[1:5])[0]
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return chr(taken[0]), taken[5:]

    def until_ready(self) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        while not found or found[-1][0] not in ("Z", ""):
            found.append(self.receive())
        return found

    def close(self) -> None:
        self._socket.close()


def _administrator(server: DemoDatabase) -> "psycopg.Connection[Any]":
    return psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="postgres", autocommit=True)


@pytest.fixture(scope="session")
def _server() -> Iterator[DemoDatabase]:
    with DemoDatabase() as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute(SCHEMA)
        with _administrator(server) as connection:
            connection.execute("CREATE DATABASE pristine TEMPLATE shop")
        yield server


@pytest.fixture(scope="module")
def database(_server: DemoDatabase) -> DemoDatabase:
    """A server whose database is as new: files of tests share the server, not what is in it."""
    with _administrator(_server) as connection:
        connection.execute("DROP DATABASE shop WITH (FORCE)")
        connection.execute("CREATE DATABASE shop TEMPLATE pristine OWNER app")
    return _server


@pytest.fixture
def direct(database: DemoDatabase) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(database.uri, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def gateway(database: DemoDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("gateway"), database.port, database.password)
    yield running
    running.stop()


@pytest.fixture
def make_gateway(database: DemoDatabase, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(**options: Any) -> Gateway:
        folder = tmp_path / f"gateway{len(made)}"
        folder.mkdir()
        made.append(Gateway(folder, **({"upstream_port": database.port, "password": database.password} | options)))
        return made[-1]

    yield make
    for running in made:
        running.stop()


@pytest.fixture
def object_server() -> Iterator[ObjectServer]:
    server = ObjectServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def gateway_class() -> type[Gateway]:
    return Gateway


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | PostgresPlace]:
    """Where a store of either kind is made."""
    if request.param == "sqlite":
        yield tmp_path / "store.db"
        return
    with made_store(request.getfixturevalue("_server"), tmp_path) as place:
        yield place


@pytest.fixture(scope="session")
def make_store(_server: DemoDatabase) -> Callable[[Path], contextlib.AbstractContextManager[PostgresPlace]]:
    """Makes a database for a store, gone when it is left."""
    return partial(made_store, _server)


@contextlib.contextmanager
def made_store(server: DemoDatabase, folder: Path) -> Iterator[PostgresPlace]:
    """An empty database for a store on a server, whose password is in a file of the folder."""
    name = f"store_{secrets.token_hex(4)}"
    with _administrator(server) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER app")
        password = folder / "store.password"
        password.touch(0o600)
        password.write_text(server.password)
        yield PostgresPlace("127.0.0.1", server.port, name, "app", Secret("file", str(password)), "disable")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def in_background() -> type[InBackground]:
    return InBackground


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return wait_for


@pytest.fixture
def with_terminal() -> Callable[..., tuple[str, str]]:
    def with_terminal(*words: str, **options: Any) -> tuple[str, str]:
        """What a command writes to stdout, which is a pipe, and to stderr, which is a terminal."""
        ours, theirs = pty.openpty()
        command = [PROGRAM, *words]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, **options) as process,
            os.fdopen(ours, "rb", 0) as terminal,
        ):
            os.close(theirs)
            shown: list[bytes] = []
            reader = threading.Thread(target=_read_terminal, args=(terminal, shown))
            reader.start()
            assert process.stdout is not None
            printed = process.stdout.read().decode()
            assert process.wait(60) == 0
            reader.join(20)
        return printed, b"".join(shown).decode()

    return with_terminal


def _read_terminal(terminal: Any, shown: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
        while chunk := terminal.read(65536):
            shown.append(chunk)


@pytest.fixture
def wire() -> type[Wire]:
    return Wire


class AuditSchema:
    """The schema of audit records, as docs/audit-log.md has it."""

    TYPES: Mapping[str, Any] = {"text": str, "integer": int, "boolean": bool, "list": list, "object": dict, "null": type(None)}

    def __init__(self) -> None:
        page = (Path(__file__).parents[1] / "docs" / "audit-log.md").read_text().split("## The kinds")[1]
        self.kinds: dict[str, dict[str, str]] = {}
        """For each kind the fields and their types."""
        for heading, text in re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", page, re.MULTILINE | re.DOTALL):
            fields = dict(re.findall(r"^\| `(\w+)` \| ([a-z ]+) \|", text, re.MULTILINE))
            self.kinds |= {kind: fields for kind in heading.split(", ")}
        for kind in [kind for kind, fields in self.kinds.items() if kind.startswith("review.") and not fields]:
            self.kinds[kind] = self.kinds["review.opened"]

    def problems(self, kind: str, body: Mapping[str, Any]) -> list[str]:
        """What of a record is not as documented."""
        if kind not in self.kinds:
            return [f"{kind}: is not documented"]
        found = [f"{name} is not documented" for name in body if name not in self.kinds[kind]]
        for name, types in self.kinds[kind].items():
            if name not in body:
                found += [] if types.startswith("optional ") else [f"{name} is missing"]
            elif type(body[name]) not in [self.TYPES[one] for one in types.removeprefix("optional ").split(" or ")]:
                found.append(f"{name} is no {types}")
        return [f"{kind}: {one}" for one in found]


@pytest.fixture(scope="session")
def audit_schema() -> AuditSchema:
    return AuditSchema()
