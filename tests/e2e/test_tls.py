"""TLS towards the client and towards the target, each checked by the other side."""

import asyncio
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import asyncpg
import pg8000.dbapi
import psycopg
import pytest

from countersign.demo.database import DemoDatabase, system_binaries


@pytest.fixture(scope="module")
def secured(database, localhost, gateway_class, tmp_path_factory):
    """A gateway with TLS towards its clients."""
    cert, key = localhost
    target = f"tls: {{cert_file: {cert}, key_file: {key}}}"
    running = gateway_class(
        tmp_path_factory.mktemp("secured"), database.port, database.password, policy="rules: []\n", target=target
    )
    yield running
    running.stop()


@pytest.fixture
def strict(authority):
    """What a client asks of TLS with the gateway: everything."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["postgresql"])
    return context


def told(connection) -> bytes:
    """Everything that comes until the connection ends."""
    connection.settimeout(10)
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def test_both_ways_with_full_verification(authority, localhost, make_gateway):
    cert, key = localhost
    with DemoDatabase(tls=localhost) as server:
        gateway = make_gateway(
            upstream_port=server.port,
            password=server.password,
            policy="rules: []\n",
            target=f"tls: {{cert_file: {cert}, key_file: {key}}}",
            upstream_host="localhost",
            upstream_more=f", tls: verify-full, ca_file: {authority.file}",
        )
        uri = gateway.uri().replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={authority.file}"
        with psycopg.connect(uri) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)


def test_a_target_whose_certificate_nobody_vouches_for_is_refused(localhost, make_gateway):
    with DemoDatabase(tls=localhost) as server:
        gateway = make_gateway(
            upstream_port=server.port,
            password=server.password,
            policy="rules: []\n",
            upstream_host="localhost",
            upstream_more=", tls: verify-full",
        )
        with pytest.raises(psycopg.OperationalError, match="no secure connection to the target"):
            psycopg.connect(gateway.uri())


def test_a_target_without_tls_is_refused_where_tls_is_demanded(make_gateway):
    gateway = make_gateway(policy="rules: []\n", upstream_more=", tls: require")
    with pytest.raises(psycopg.OperationalError, match="does not offer TLS"):
        psycopg.connect(gateway.uri())


@pytest.mark.parametrize("auth", ["md5", "trust"])
def test_older_ways_to_authenticate_at_the_target_work(auth, make_gateway):
    with DemoDatabase(auth=auth) as server:
        gateway = make_gateway(upstream_port=server.port, password=server.password, policy="rules: []\n")
        with psycopg.connect(gateway.uri()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


# -- clients that begin with TLS
def test_psycopg_with_direct_negotiation(secured, authority):
    more = f"?sslmode=verify-full&sslrootcert={authority.file}&sslnegotiation=direct"
    with psycopg.connect(secured.uri().replace("127.0.0.1", "localhost") + more) as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_asyncpg_with_direct_negotiation(secured, strict):
    async def dialogue():
        connection = await asyncpg.connect(
            host="localhost", port=secured.port, user="crew", password=secured.key, database="shop", ssl=strict, direct_tls=True
        )
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    assert asyncio.run(dialogue()) == 1


def test_direct_negotiation_byte_by_byte(secured, strict):
    """The handshake's first record in pieces: what was read before it was known for TLS is not lost."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    inside = strict.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", secured.port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                inside.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    connection.sendall(bytes([byte]))
                incoming.write(connection.recv(65536))
        assert inside.selected_alpn_protocol() == "postgresql"
        inside.write(struct.pack(">II", 8, 80877103))  # no TLS inside TLS: as PostgreSQL, the answer is N
        connection.sendall(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(connection.recv(65536))
            try:
                answer = inside.read(10)
            except ssl.SSLWantReadError:
                continue
        assert answer == b"N"


@pytest.mark.parametrize("protocols", [[], ["http/1.1"]])
def test_direct_negotiation_without_the_protocol_s_name_is_refused(secured, authority, protocols):
    context = ssl.create_default_context(cafile=str(authority.file))
    if protocols:
        context.set_alpn_protocols(protocols)
    plain = socket.create_connection(("127.0.0.1", secured.port), 10)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        assert b"C08P01\0" in (answer := told(connection))
        assert b"ALPN" in answer


def test_direct_negotiation_with_a_target_without_tls_is_broken_off(gateway, strict):
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as plain, pytest.raises(OSError):
        strict.wrap_socket(plain, server_hostname="localhost")


def test_the_protocol_s_name_is_agreed_on_behind_an_ssl_request_too(secured, strict):
    with socket.create_connection(("127.0.0.1", secured.port), 10) as plain:
        plain.sendall(struct.pack(">II", 8, 80877103))
        assert plain.recv(1) == b"S"
        with strict.wrap_socket(plain, server_hostname="localhost") as connection:
            assert connection.selected_alpn_protocol() == "postgresql"


def test_older_clients_without_it_are_welcome_behind_an_ssl_request(secured, authority):
    psql = [system_binaries() / "psql", "-XAtc", "SELECT 1"]
    uri = secured.uri().replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={authority.file}"
    assert subprocess.run([*psql, uri], capture_output=True, text=True, timeout=30).stdout == "1\n"
    context = ssl.create_default_context(cafile=str(authority.file))
    connection = pg8000.dbapi.connect("crew", "localhost", "shop", secured.port, secured.key, ssl_context=context)
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    assert list(cursor.fetchone()) == [1]
    connection.close()


def test_a_failed_handshake_leaves_no_connection_behind(secured, eventually):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", secured.port), 10) as plain:
            plain.sendall(b"\x16\x03\x01\xff\xff" + b"x" * 100)
            plain.shutdown(socket.SHUT_WR)
            told(plain)
    open_files = Path(f"/proc/{secured.process.pid}/fd")
    with psycopg.connect(secured.uri()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    eventually(lambda: sum("socket" in str(file.readlink()) for file in open_files.iterdir()) < 20, "sockets are closed")
