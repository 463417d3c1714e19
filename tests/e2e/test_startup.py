"""The first packets of a connection, byte by byte, next to what PostgreSQL 18 answers to the same."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading

import psycopg
import pytest

from countersign._core import BackendDecoder
from countersign.config import Upstream
from countersign.demo.database import DemoDatabase
from countersign.protocols.postgres.session.target import Dialer, TargetConnection
from countersign.protocols.wire import Wire

SSL_REQUEST = struct.pack(">II", 8, 80877103)
GSSENC_REQUEST = struct.pack(">II", 8, 80877104)


def startup(minor: int, major: int = 3, **parameters: str) -> bytes:
    pairs = b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in parameters.items())
    return struct.pack(">IHH", len(pairs) + 9, major, minor) + pairs + b"\0"


def cancel(pid: int, key: bytes) -> bytes:
    return struct.pack(">III", 12 + len(key), 80877102, pid) + key


class Line:
    """A socket that reads messages."""

    def __init__(self, port: int, opening: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self._buffer = b""
        self.socket.sendall(opening)

    def read(self, count: int) -> bytes:
        """This many bytes, or fewer at the end of the stream."""
        while len(self._buffer) < count:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                break
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def message(self) -> tuple[str, bytes]:
        """The next message, or ('', b'') at the end of the stream."""
        head = self.read(5)
        return (chr(head[0]), self.read(struct.unpack(">I", head[1:])[0] - 4)) if len(head) == 5 else ("", b"")

    def messages(self) -> dict[str, bytes]:
        """The first message of each kind up to ReadyForQuery or the end."""
        found: dict[str, bytes] = {}
        while not found or not {"Z", ""} & set(found):
            kind, payload = self.message()
            found.setdefault(kind, payload)
        return found

    def fields(self) -> dict[str, str]:
        """The fields of an ErrorResponse, which must come next."""
        kind, payload = self.message()
        assert kind == "E"
        return {part[:1].decode(): part[1:].decode() for part in payload.rstrip(b"\0").split(b"\0")}

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def postgres():
    """PostgreSQL 18, which lets anybody in, so that a start-up is one packet."""
    with DemoDatabase(major=18, auth="trust") as server:
        yield server


def password_asked(minor: int) -> dict[str, str]:
    """The libpq options that make psycopg insist on a minor version."""
    return {"min_protocol_version": f"3.{minor}", "max_protocol_version": f"3.{minor}"}


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 9999])
@pytest.mark.parametrize("options", [{}, {"_pq_.one": "1", "_pq_.two": "2"}])
def test_versions_and_extensions_are_negotiated_as_by_postgresql(gateway, postgres, minor, options):
    with Line(postgres.port, startup(minor, user="app", database="shop", **options)) as direct:
        expected = direct.messages().get("v")
    with Line(gateway.port, startup(minor, user="crew", database="shop", **options)) as through:
        kind, payload = through.message()
        assert (payload if kind == "v" else None) == expected
        assert (through.message()[0] if kind == "v" else kind) == "R"


@pytest.mark.parametrize("major", [4, 9])
def test_later_protocols_are_refused_in_postgresql_s_words(gateway, postgres, major):
    told = []
    for port in (postgres.port, gateway.port):
        with Line(port, startup(0, major, user="crew")) as line:
            fields = line.fields()
            told.append((fields["S"], fields["C"], fields["M"]))
    assert told[1] == told[0]


@pytest.mark.parametrize("major", [0, 1, 2])
def test_earlier_protocols_are_refused(gateway, major):
    with Line(gateway.port, startup(0, major, user="crew")) as line:
        assert "server supports 3.0 to 3.2" in line.fields()["M"]
        assert line.message() == ("", b"")


@pytest.mark.parametrize(("minor", "length"), [(0, 4), (2, 32)])
def test_cancel_keys_are_as_long_as_the_version_has_room_for(gateway, postgres, minor, length):
    with Line(postgres.port, startup(minor, user="app", database="shop")) as direct:
        assert len(direct.messages()["K"]) == 4 + length
    with psycopg.connect(gateway.uri(), **password_asked(minor)) as connection:
        assert connection.pgconn.full_protocol_version == 30000 + minor
        with pytest.raises(psycopg.errors.QueryCanceled):
            cancelled(connection)


def cancelled(connection: "psycopg.Connection") -> None:
    """Run something long and cancel it, again and again until it has begun."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.1):
            connection.cancel_safe()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000000)")
    finally:
        over.set()
        asking.join(20)
        connection.rollback()


@pytest.mark.parametrize("minor", [0, 2])
def test_a_wrong_key_cancels_nothing(gateway, minor):
    with psycopg.connect(gateway.uri(), **password_asked(minor)) as connection:
        pid = connection.pgconn.backend_pid
        for key in (b"\0" * 4, b"\0" * 32, b"\0" * 256):
            with Line(gateway.port, cancel(pid, key)) as line:
                assert line.message() == ("", b"")
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_target_s_long_key_is_given_back_to_it(postgres):
    with Line(postgres.port, startup(2, user="app", database="shop")) as line:
        key = line.messages()["K"]
        line.socket.sendall(b"Q" + struct.pack(">I", 24) + b"SELECT pg_sleep(60)\0")

        async def ask() -> None:
            upstream = Upstream("127.0.0.1", postgres.port, "app", None, "disable", None)
            connection = TargetConnection(Wire(), BackendDecoder(1000), pid=struct.unpack(">I", key[:4])[0], cancel_key=key[4:])
            await Dialer(upstream).cancel(connection)

        line.socket.settimeout(0.2)
        for _ in range(50):  # the first may come before the query has begun
            asyncio.run(ask())
            with contextlib.suppress(TimeoutError):
                assert line.message()[0] == "T"
                assert line.fields()["C"] == "57014"
                return
        pytest.fail("it was never cancelled")


# -- clients that do not play by the rules
def refused(line: Line, code: str) -> str:
    """A FATAL error with this code, and then the end."""
    fields = line.fields()
    assert (fields["S"], fields["C"]) == ("FATAL", code)
    assert line.message() == ("", b"")
    return fields["M"]


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
@pytest.mark.parametrize("behind", [startup(0, user="crew"), b"\x16\x03\x01", b"x"])
def test_bytes_pipelined_behind_a_request_for_encryption_are_refused(gateway, request_, behind):
    with Line(gateway.port, request_ + behind) as line:
        refused(line, "08P01")


def test_i9_a_second_startup_is_refused_and_reaches_nothing(gateway, direct):
    with Line(gateway.port, startup(0, user="crew", database="shop", application_name="second")) as line:
        assert line.message()[0] == "R"
        line.socket.sendall(startup(0, user="crew", database="shop", application_name="second"))
        refused(line, "08P01")
    seen = direct.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'second'").fetchone()
    assert seen == (0,)


def test_either_encryption_may_be_asked_for_once(gateway):
    with Line(gateway.port, GSSENC_REQUEST) as line:
        assert line.read(1) == b"N"
        line.socket.sendall(SSL_REQUEST)
        assert line.read(1) == b"N"
        line.socket.sendall(startup(0, user="crew"))
        assert line.message()[0] == "R"
    for request_ in (SSL_REQUEST, GSSENC_REQUEST):
        with Line(gateway.port, request_) as line:
            assert line.read(1) == b"N"
            line.socket.sendall(request_)
            refused(line, "08P01")


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack(">I", 0),
        struct.pack(">I", 7),
        struct.pack(">I", 10_001),
        struct.pack(">II", 9, 196608) + b"x",
        struct.pack(">II", 8, 196608),
        startup(0, user="crew") + b"x",
        startup(0, user="crew")[:-1] + b"user\0root\0\0",
        startup(0, user="crew", USER="root"),
        startup(0, user="crew", database="shop", DATABASE="postgres"),
        struct.pack(">II", 12, 80877103) + b"more",
        struct.pack(">III", 12, 80877102, 1),
        struct.pack(">III", 12 + 300, 80877102, 1) + b"k" * 300,
    ],
)
def test_malformed_startups_are_refused(gateway, packet):
    with Line(gateway.port, packet) as line:
        refused(line, "08P01")


@pytest.mark.parametrize("parameters", [{"user": ""}, {"database": "shop"}])
def test_a_startup_without_a_user_is_refused(gateway, parameters):
    with Line(gateway.port, startup(0, **parameters)) as line:
        assert "no user name" in line.fields()["M"]


@pytest.mark.parametrize("early", [b"Q\0\0\0\x0dSELECT 1\0", b"p\0\0\xff\xff", b"\0", b"X\0\0\0\x04"])
def test_i9_anything_but_a_password_during_authentication_ends_it(gateway, early):
    with Line(gateway.port, startup(0, user="crew", database="shop")) as line:
        assert line.message()[0] == "R"
        line.socket.sendall(early)
        refused(line, "08P01")


@pytest.fixture(scope="module")
def tls_gateway(database, localhost, gateway_class, tmp_path_factory):
    """A gateway with TLS towards its clients."""
    running = gateway_class(
        tmp_path_factory.mktemp("tls-gateway"),
        database.port,
        database.password,
        policy="rules: []\n",
        target=f"tls: {{cert_file: {localhost[0]}, key_file: {localhost[1]}}}",
    )
    yield running
    running.stop()


def inside(gateway, authority) -> Line:
    """A line inside TLS."""
    line = Line(gateway.port, SSL_REQUEST)
    assert line.read(1) == b"S"
    context = ssl.create_default_context(cafile=str(authority.file))
    line.socket = context.wrap_socket(line.socket, server_hostname="localhost")
    return line


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
def test_no_other_encryption_is_begun_inside_tls(tls_gateway, authority, request_):
    with inside(tls_gateway, authority) as line:
        line.socket.sendall(request_)
        refused(line, "08P01")


def test_cleartext_behind_an_answered_ssl_request_is_no_startup(tls_gateway):
    with Line(tls_gateway.port, SSL_REQUEST) as line:
        assert line.read(1) == b"S"
        line.socket.sendall(startup(0, user="crew", database="shop"))
        assert b"R\0\0\0" not in line.read(10_000)


def test_a_cancel_request_may_come_inside_tls(tls_gateway, authority):
    with psycopg.connect(tls_gateway.uri() + "?sslmode=require", autocommit=True) as connection:
        with inside(tls_gateway, authority) as line:
            line.socket.sendall(cancel(connection.pgconn.backend_pid, b"\0" * 4))
            assert line.message() == ("", b"")
        with pytest.raises(psycopg.errors.QueryCanceled):
            cancelled(connection)
