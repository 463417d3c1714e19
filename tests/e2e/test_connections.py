"""Many connections, idle ones, strangers, and targets that go away."""

import concurrent.futures
import signal
import socket
from pathlib import Path

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

NO_RULES = "rules: []\n"


def sockets_of(gateway) -> int:
    found = 0
    for file in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        try:
            found += "socket:" in str(file.readlink())
        except FileNotFoundError:
            continue
    return found


def keepalive_timers(port: int) -> list[bool]:
    """Whether each established connection from or to a port has one (``proc(5)``, /proc/net/tcp: timer 02)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[5].startswith("02:") for row in rows if row[3] == "01" and row[1].endswith(f":{port:04X}")]


def test_idle_connections_are_kept_alive_on_both_sides(make_gateway, eventually):
    gateway = make_gateway(policy=NO_RULES)
    with gateway.connect() as connection:
        connection.execute("SELECT 1")
        eventually(lambda: keepalive_timers(gateway.port) == [True], "the client's connection has a timer")
        ours = Path(f"/proc/{gateway.process.pid}/net/tcp").read_text()
        assert "02:" in ours


def test_a_thousand_connects_leave_nothing_behind(make_gateway, eventually):
    gateway = make_gateway(policy=NO_RULES)
    gateway.connect().close()
    before = sockets_of(gateway)

    def one(_: int) -> int:
        with gateway.connect() as connection:
            return connection.execute("SELECT 1").fetchone()[0]

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        assert sum(pool.map(one, range(1000))) == 1000
    eventually(lambda: sockets_of(gateway) <= before, "all sockets are closed")


def test_strangers_are_bounded_and_told_so(make_gateway, eventually):
    gateway = make_gateway(policy=NO_RULES)
    strangers = [socket.create_connection(("127.0.0.1", gateway.port), 10) for _ in range(500)]
    try:
        with socket.create_connection(("127.0.0.1", gateway.port), 10) as refused:
            told = refused.recv(1000)
        assert b"SFATAL\0" in told
        assert b"C53300\0" in told
        assert b"from 127.0.0.1 wait to be authenticated" in told
    finally:
        for stranger in strangers:
            stranger.close()

    def welcome():
        try:
            gateway.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    assert eventually(welcome, "there is room again")


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, {"57P01"}), (signal.SIGQUIT, {"57P02", "57P01", "08006"})])
def test_a_target_that_restarts_ends_its_sessions_and_takes_new_ones(make_gateway, eventually, restart, how, code):
    with DemoDatabase() as server:
        gateway = make_gateway(upstream_port=server.port, password=server.password, policy=NO_RULES)
        connections = [gateway.connect() for _ in range(3)]
        for connection in connections:
            connection.execute("SELECT 1")
        restart(server, how)
        for connection in connections:
            with pytest.raises(psycopg.OperationalError) as caught:
                connection.execute("SELECT 1")
            assert connection.closed
            assert caught.value.sqlstate in code | {None}
            assert "connection" in str(caught.value)
        with gateway.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        gateway.stop()  # its log is complete only then
        assert not [line for line in gateway.log if "session_crashed" in line]


def test_a_command_held_for_a_target_that_dies_is_cancelled(make_gateway, in_background, eventually, restart):
    with DemoDatabase() as server:
        gateway = make_gateway(upstream_port=server.port, password=server.password, policy=NO_RULES)
        with gateway.connect() as connection:
            held = in_background(connection, "CREATE TABLE never (i int)")
            review = gateway.pending()
            restart(server)
            held.join()
            assert held.error is not None
        eventually(lambda: gateway.review(review["id"])["state"] == "cancelled", "the review is cancelled")


def test_as_many_files_may_be_open_as_the_system_allows(make_gateway):
    gateway = make_gateway(policy=NO_RULES)
    limits = Path(f"/proc/{gateway.process.pid}/limits").read_text()
    soft, hard = next(line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files"))
    assert soft == hard


def several(make_gateway, server, hosts: str, **more):
    return make_gateway(upstream_port=server.port, password=server.password, policy=NO_RULES, upstream_host=hosts, **more)


def test_a_host_that_cannot_be_reached_gives_way_to_the_next(make_gateway, eventually):
    with DemoDatabase() as server:
        gateway = several(make_gateway, server, "[127.0.0.9, 127.0.0.1]")
        with gateway.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        eventually(lambda: any("next_host" in line for line in gateway.log), "the gateway's word on the first host")


def test_a_host_that_refuses_the_gateway_ends_the_search(make_gateway):
    with DemoDatabase(settings={"listen_addresses": "*"}) as server:
        gateway = several(make_gateway, server, "[127.0.0.1, 127.0.0.2]")
        with pytest.raises(psycopg.OperationalError, match="no such database"):
            psycopg.connect(gateway.uri("nowhere"))
        gateway.stop()  # its log is complete only then
        assert not any("next_host" in line for line in gateway.log)


def test_where_writes_are_wanted_a_server_that_takes_none_is_passed_over(make_gateway):
    with DemoDatabase() as server:
        gateway = several(make_gateway, server, "[127.0.0.1]", upstream_more=", target_session_attrs: read-write")
        with gateway.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", autocommit=True) as direct:
            direct.execute("ALTER ROLE app SET default_transaction_read_only = on")
        with pytest.raises(psycopg.OperationalError, match="does not take writes"):
            gateway.connect()
