"""SCRAM bound to the TLS channel, towards clients and towards the target, with somebody in between who has a certificate too."""

import asyncio
import ssl
import struct
import subprocess
import threading

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from countersign.demo.database import DemoDatabase, system_binaries

NO_RULES = "rules: []\n"
SSL_REQUEST = struct.pack(">II", 8, 80877103)
BOTH = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
OFFER = b"R" + struct.pack(">II", 8 + len(BOTH), 10) + BOTH
LESS = b"SCRAM-SHA-256\0\0"
TAKEN_AWAY = b"R" + struct.pack(">II", 8 + len(LESS), 10) + LESS


class Between:
    """Ends TLS with a certificate of its own and passes on what it reads, to PostgreSQL or the gateway."""

    def __init__(self, port: int, certificate, *, strips: bool) -> None:
        self._onward = port
        self._strips = strips
        self._writers: list[asyncio.StreamWriter] = []
        self._server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server_side.load_cert_chain(*certificate)
        self._client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client_side.check_hostname = False
        self._client_side.verify_mode = ssl.CERT_NONE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        await writer.start_tls(self._server_side)
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._onward)
        onward_writer.write(SSL_REQUEST)
        await onward_reader.readexactly(1)
        await onward_writer.start_tls(self._client_side)
        self._writers += [writer, onward_writer]
        await asyncio.gather(self._pump(reader, onward_writer), self._pump(onward_reader, writer))

    async def _pump(self, reader, writer) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data.replace(OFFER, TAKEN_AWAY) if self._strips else data)
        except OSError:
            pass
        finally:
            writer.close()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@pytest.fixture
def between(make_authority):
    made = []

    def start(port: int, *, strips: bool = False) -> Between:
        made.append(Between(port, make_authority().certificate("localhost"), strips=strips))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def server(localhost):
    """PostgreSQL 15 with TLS."""
    with DemoDatabase(tls=localhost) as running:
        yield running


@pytest.fixture
def secured(make_gateway, server):
    def start(certificate, upstream_more=""):
        target = f"tls: {{cert_file: {certificate[0]}, key_file: {certificate[1]}}}"
        return make_gateway(
            upstream_port=server.port, password=server.password, policy=NO_RULES, target=target, upstream_more=upstream_more
        )

    return start


def bound(gateway, how="require", port=0):
    more = f"?sslmode=require&channel_binding={how}"
    return (gateway.uri() + more).replace(str(gateway.port), str(port or gateway.port))


# -- clients
def test_clients_may_insist_on_it(secured, localhost):
    gateway = secured(localhost)
    with psycopg.connect(bound(gateway)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    psql = [system_binaries() / "psql", "-XAtc", "SELECT 1", bound(gateway)]
    assert subprocess.run(psql, capture_output=True, text=True, timeout=30).stdout == "1\n"


@pytest.mark.parametrize("digest", [hashes.SHA384(), hashes.SHA512()])
def test_with_an_rsa_certificate_of_another_digest(secured, authority, digest):
    key = rsa.generate_private_key(65537, 2048)
    gateway = secured(authority.self_signed("localhost", key, digest))
    with psycopg.connect(bound(gateway)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_it_is_not_offered_with_a_certificate_that_has_no_digest(secured, authority):
    gateway = secured(authority.self_signed("localhost", ed25519.Ed25519PrivateKey.generate(), None))
    with psycopg.connect(bound(gateway, "prefer")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="channel binding"):
        psycopg.connect(bound(gateway))


@pytest.mark.parametrize("strips", [False, True])
def test_somebody_between_client_and_gateway_gets_nowhere(secured, localhost, between, strips):
    gateway = secured(localhost)
    middle = between(gateway.port, strips=strips)
    with pytest.raises(psycopg.OperationalError, match="somebody may be in between"):
        psycopg.connect(bound(gateway, "prefer", middle.port))
    assert gateway.audit("authentication.failed")
    with psycopg.connect(bound(gateway, "disable", middle.port)):  # what the binding prevents
        pass


# -- the target
@pytest.mark.parametrize("how", ["prefer", "require", "disable"])
def test_towards_the_target(secured, localhost, how):
    gateway = secured(localhost, f", tls: require, channel_binding: {how}")
    with psycopg.connect(bound(gateway)) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)


@pytest.mark.parametrize("strips", [False, True])
def test_somebody_between_gateway_and_target_gets_nowhere(make_gateway, server, between, strips, eventually):
    middle = between(server.port, strips=strips)
    gateway = make_gateway(upstream_port=middle.port, password=server.password, policy=NO_RULES, upstream_more=", tls: require")
    with pytest.raises(psycopg.OperationalError, match="target"):
        psycopg.connect(gateway.uri())
    eventually(lambda: any("channel binding" in line for line in gateway.log), "the gateway's own word on why")


def test_a_target_that_offers_less_than_required_is_refused(make_gateway, localhost, eventually):
    with DemoDatabase(tls=localhost, auth="trust") as server:
        gateway = make_gateway(
            upstream_port=server.port,
            password=server.password,
            policy=NO_RULES,
            upstream_more=", tls: require, channel_binding: require",
        )
        with pytest.raises(psycopg.OperationalError, match="target shop"):
            psycopg.connect(gateway.uri())
        eventually(lambda: any("does not ask for channel binding" in line for line in gateway.log), "the gateway's own word on why")


def test_masking_reads_the_catalog_with_the_same_care(make_gateway, server):
    """The gateway's own connection is bound as well."""
    with psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (ssn text); INSERT INTO people VALUES ('123-45-6789')")
    gateway = make_gateway(
        upstream_port=server.port,
        password=server.password,
        policy="masking:\n  - {name: ssn, columns: [public.people.ssn], operator: {partial: {keep_last: 4}}}\n",
        upstream_more=", tls: require, channel_binding: require",
    )
    with gateway.connect() as connection:
        assert connection.execute("SELECT ssn FROM people").fetchone() == ("***-**-6789",)
