"""A primary that dies and a standby that takes its place, behind one target of the gateway."""

import subprocess

import psycopg
import pytest

from countersign.demo.database import DemoDatabase, binaries
from countersign.demo.leash import Leash

STANDBY_HOST = "127.0.0.2"
ALLOW = "rules: [{name: everything, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}]\n"


class Standby:
    """A copy of a server that follows it, on the same port of another address of this machine."""

    def __init__(self, primary: DemoDatabase) -> None:
        self._primary = primary
        self.folder = primary.folder / "standby"
        as_owner = {"cwd": primary.folder, "check": True, "capture_output": True, **primary._as}
        copy = ["-D", self.folder, "-h", primary.folder, "-p", str(primary.port), "-U", "postgres", "-c", "fast", "-R"]
        subprocess.run([self._program("pg_basebackup"), *copy], **as_owner)
        settings = {
            "listen_addresses": STANDBY_HOST,
            "port": str(primary.port),
            "max_connections": "200",  # no fewer than the primary has
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (primary.folder / "standby.log").open("wb") as log:
            command = [self._program("postgres"), "-D", self.folder, *options]
            self._process = subprocess.Popen(command, cwd=primary.folder, stdout=log, stderr=log, **primary._as)
        self._leash = Leash(self._process.pid, "QUIT")

    def _program(self, name):
        return self._primary.psql.with_name(name)

    def connect(self):
        return psycopg.connect(host=str(self.folder), port=self._primary.port, user="postgres", dbname="shop", autocommit=True)

    def is_ready(self):
        ask = [self._program("pg_isready"), "-q", "-h", self.folder, "-p", str(self._primary.port)]
        return subprocess.run(ask, check=False, **self._primary._as).returncode == 0

    def close(self):
        self._leash.release()
        self._process.send_signal(3)  # SIGQUIT: immediate shutdown
        self._process.wait(20)


@pytest.fixture
def pair(eventually):
    assert (binaries() / "pg_basebackup").exists()
    with DemoDatabase() as primary:
        with psycopg.connect(primary.uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 100) i")
        standby = Standby(primary)
        try:
            eventually(standby.is_ready, "the standby is ready")
            yield primary, standby
        finally:
            standby.close()


def test_new_sessions_go_to_the_server_that_takes_writes(make_gateway, pair, in_background, eventually):
    primary, standby = pair
    for hosts in (f"[127.0.0.1, {STANDBY_HOST}]", f"[{STANDBY_HOST}, 127.0.0.1]"):
        gateway = make_gateway(
            upstream_port=primary.port,
            password=primary.password,
            policy="rules: []\n" if hosts.startswith("[127.0.0.1") else ALLOW,
            upstream_host=hosts,
            upstream_more=", target_session_attrs: read-write",
        )
        with gateway.connect() as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        if hosts.startswith("[127.0.0.1"):
            holding = gateway
        else:
            writing = gateway
    connection, writer = holding.connect(), writing.connect()
    writer.execute("INSERT INTO orders VALUES (1000)")
    with standby.connect() as watching:
        eventually(lambda: watching.execute("SELECT count(*) FROM orders").fetchone() == (101,), "the standby has it")
    held = in_background(connection, "DELETE FROM orders")
    review = holding.pending()
    primary.stop_hard()
    assert held.join().error is not None
    eventually(lambda: holding.review(review["id"])["state"] == "cancelled", "the review is cancelled")
    with pytest.raises(psycopg.OperationalError):
        writer.execute("INSERT INTO orders VALUES (1001)")
    with pytest.raises(psycopg.OperationalError, match="does not take writes|cannot be reached"):
        writing.connect()  # nobody has promoted it yet
    with standby.connect() as promoting:
        promoting.execute("SELECT pg_promote()")
    for gateway in (holding, writing):
        with gateway.connect() as connection:
            assert connection.execute("SELECT pg_is_in_recovery(), count(*) FROM orders").fetchone() == (False, 101)
    with writing.connect() as writer:
        assert writer.execute("INSERT INTO orders VALUES (1001)").rowcount == 1
