"""What a server and a network do while a session lives: timeouts, restarts, notifications, sockets that are closed on one side only."""

import contextlib
import signal
import socket
import struct
import threading
from pathlib import Path

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

POLICY = """
rules:
  - {name: mine, effects: [write, read, session], when: "command.text.contains('allowed')", action: allow}
"""
LEFT = "SELECT count(*) FROM orders WHERE id = 1"
COUNT = "SELECT count(*) FROM generate_series(1, 3000000)"


def message(kind, payload=b""):
    return kind + struct.pack(">I", len(payload) + 4) + payload


def query(sql):
    return message(b"Q", sql.encode() + b"\0")


def extended(sql):
    parse = message(b"P", b"\0" + sql.encode() + b"\0\0\0")
    return parse + message(b"B", b"\0\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0")


SYNC, TERMINATE, COPY_DONE = message(b"S"), message(b"X"), message(b"c")


def settle(connection):
    """Ask the same until the session has surely gone to the relay's thread."""
    for number in range(40):
        query = f"SELECT n, 'open' FROM generate_series(1, 100) n WHERE n = {number + 1}"
        assert connection.execute(query).fetchall() == [(number + 1, "open")]


@pytest.fixture(scope="module", params=[16, 18])
def server(request):
    with DemoDatabase(major=request.param) as made:
        with psycopg.connect(made.uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 100) i")
            connection.execute("CREATE TABLE lines (line text)")
        yield made


@pytest.fixture(scope="module")
def shop(server, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), server.port, server.password, policy=POLICY)
    yield running
    running.stop()


@pytest.fixture
def agent(shop):
    connection = shop.connect(application_name="agent")
    yield connection
    connection.close()  # whatever another thread still does with it


@pytest.fixture
def admin(server):
    with psycopg.connect(host=str(server.folder), port=server.port, user="postgres", dbname="shop", autocommit=True) as connection:
        yield connection


@pytest.fixture
def backends(admin):
    """How many sessions the target has of the agent's."""
    return lambda: admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agent'").fetchone()[0]


# -- timeouts of the target
ENDINGS = [
    ("idle_session_timeout", "", "terminating connection due to idle-session timeout"),
    (
        "idle_in_transaction_session_timeout",
        "BEGIN; INSERT INTO lines VALUES ('allowed')",
        "terminating connection due to idle-in-transaction timeout",
    ),
    ("transaction_timeout", "BEGIN; INSERT INTO lines VALUES ('allowed')", "terminating connection due to transaction timeout"),
]


@pytest.mark.parametrize(("setting", "opening", "words"), ENDINGS)
def test_i4_a_session_that_the_target_ends_while_a_command_is_held_never_runs_it(
    server, shop, agent, admin, in_background, eventually, backends, setting, opening, words
):
    if setting == "transaction_timeout" and admin.info.server_version < 170000:
        pytest.skip("PostgreSQL 17 is the first to have it")
    agent.execute(f"SET {setting} = '700ms'")
    for statement in filter(None, opening.split("; ")):
        agent.execute(statement)
    held = in_background(agent, "DELETE FROM orders WHERE id = 1").join()
    assert words in str(held.error)
    assert agent.closed
    (review,) = eventually(lambda: shop.json("reviews", "list", "--state", "cancelled"), "the review is cancelled")[:1]
    assert review["outcome"] == "the target left"
    assert shop.cli("reviews", "approve", review["id"], ok=False).returncode == 1
    assert admin.execute(LEFT).fetchone() == (1,)
    assert admin.execute("SELECT count(*) FROM lines").fetchone() == (0,)
    eventually(lambda: backends() == 0, "nothing is left at the target")


@pytest.mark.parametrize("steady", [False, True])
def test_a_session_that_the_target_ends_while_it_is_idle_is_told_why(shop, agent, steady):
    if steady:
        settle(agent)  # on the relay's thread
    agent.execute("SET idle_session_timeout = '300ms'")
    if steady:
        settle(agent)
    [(kind, fields), (end, _)] = [one for one in _until_the_end(_socket_of(agent)) if one[0] != "S"]
    assert (kind, end) == ("E", "")
    assert b"VFATAL\0" in fields and b"C57P05\0" in fields


def test_timeouts_of_the_target_do_not_run_while_a_command_is_held(shop, agent, in_background, admin):
    agent.execute("SET statement_timeout = '400ms'; SET lock_timeout = '300ms'")
    held = in_background(agent, "DELETE FROM orders WHERE id = 2")
    review = shop.pending()
    admin.execute("SELECT pg_sleep(0.6)")
    assert shop.review(review["id"])["state"] == "pending"
    shop.cli("reviews", "approve", review["id"])
    assert held.join().rows == 1


@pytest.mark.parametrize(("setting", "code"), [("statement_timeout", "57014"), ("lock_timeout", "55P03")])
def test_an_approved_command_that_runs_into_a_timeout_has_failed(shop, agent, admin, in_background, eventually, setting, code):
    agent.execute(f"SET {setting} = '300ms'")
    with admin.transaction():
        admin.execute("SELECT 1 FROM orders WHERE id = 30 FOR UPDATE")  # a lock on the table would make it another command
        held = in_background(agent, "DELETE FROM orders WHERE id = 30")
        review = shop.pending()
        shop.cli("reviews", "approve", review["id"])
        assert held.join().error.sqlstate == code
    eventually(lambda: shop.review(review["id"])["state"] == "failed", "the review has failed")
    assert agent.execute("SELECT 1").fetchone() == (1,)  # the session goes on


@pytest.mark.parametrize("steady", [False, True])
def test_a_running_read_that_is_timed_out_is_an_error_and_no_more(agent, steady):
    if steady:
        settle(agent)
        agent.execute("SET statement_timeout = '200ms'")
        for _ in range(5):
            agent.execute(COUNT.replace("3000000", "3"))
    else:
        agent.execute("SET statement_timeout = '200ms'")
    for _ in range(2):
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to statement timeout"):
            agent.execute(COUNT.replace("3000000", "90000000"))
    settle(agent)


# -- the target's sessions end
@pytest.mark.parametrize("decision", ["", "approve"])
def test_i4_a_backend_that_is_terminated_while_a_command_is_held_never_runs_it(
    shop, agent, admin, in_background, eventually, decision
):
    pid = agent.info.backend_pid
    held = in_background(agent, "DELETE FROM orders WHERE id = 1")
    review = shop.pending()
    admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    if decision:  # whoever is first, the command does not run without its session
        shop.cli("reviews", decision, review["id"], ok=False)
    assert "terminating connection due to administrator command" in str(held.join().error)
    eventually(lambda: shop.review(review["id"])["state"] in ("cancelled", "failed"), "the review is over")
    assert admin.execute(LEFT).fetchone() == (1,)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_i4_a_target_that_restarts_while_a_command_is_held_never_gets_it(make_gateway, in_background, eventually, restart, how):
    with DemoDatabase() as own:
        gateway = make_gateway(upstream_port=own.port, password=own.password, policy="rules: []\n")
        connection = gateway.connect()
        held = in_background(connection, "CREATE TABLE never (i int)")
        review = gateway.pending()
        restart(own, how)
        assert isinstance(held.join().error, psycopg.OperationalError)
        assert connection.closed
        eventually(lambda: gateway.review(review["id"])["state"] == "cancelled", "the review is cancelled")
        with gateway.connect() as connection:
            assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'never'").fetchone() == (0,)


# -- notifications
def _notified(connection, eventually):
    heard = []
    connection.add_notify_handler(lambda notify: heard.append((notify.channel, notify.payload)))

    def look():
        connection.pgconn.consume_input()
        while (notify := connection.pgconn.notifies()) is not None:
            heard.append((notify.relname.decode(), notify.extra.decode()))
        return heard

    return heard, lambda: eventually(look, "a notification")


@pytest.mark.parametrize("steady", [False, True])
def test_a_notification_reaches_an_idle_session_at_once(agent, admin, eventually, steady):
    agent.execute("LISTEN news")
    if steady:
        settle(agent)
    _, wait = _notified(agent, eventually)
    admin.execute("NOTIFY news, 'first'")
    assert wait() == [("news", "first")]
    settle(agent)


def test_a_notification_reaches_a_session_whose_command_is_held(shop, agent, admin, wire):
    """To the target the session is idle then, and so it speaks."""
    agent.execute("LISTEN news")
    line = wire(agent)
    line.send(query("DELETE FROM orders WHERE id = 4"))
    review = shop.pending()
    assert line.receive()[0] == "N"  # held: the review is there a moment before its client is told
    admin.execute("NOTIFY news, 'meanwhile'")
    kind, notification = line.receive()
    assert (kind, notification[4:]) == ("A", b"news\0meanwhile\0")
    shop.cli("reviews", "approve", review["id"])
    assert [kind for kind, _ in line.until_ready()] == ["C", "Z"]
    line.close()


def test_a_notification_waits_for_the_end_of_the_transaction_as_at_the_target(shop, agent, admin, in_background, eventually):
    agent.execute("LISTEN news")
    heard, wait = _notified(agent, eventually)
    agent.execute("BEGIN")
    agent.execute("INSERT INTO lines VALUES ('allowed')")
    held = in_background(agent, "DELETE FROM orders WHERE id = 5")
    review = shop.pending()
    admin.execute("NOTIFY news, 'later'")
    shop.cli("reviews", "deny", review["id"], "--reason", "no")
    assert held.join().error.sqlstate == "42501"
    assert heard == []
    agent.execute("ROLLBACK")
    assert wait() == [("news", "later")]


# -- sockets that are closed on one side only
def _socket_of(connection):
    made = socket.socket(fileno=connection.fileno())
    made.settimeout(20)
    copy = made.dup()
    made.detach()
    return copy


def _until_the_end(connection):
    """Every message up to the end of the stream, which is ('', b'')."""
    data = b""
    with contextlib.closing(connection), contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    found = []
    while data:
        length = 1 + struct.unpack(">I", data[1:5])[0]
        found.append((chr(data[0]), data[5:length]))
        data = data[length:]
    return [*found, ("", b"")]


def _kinds(messages):
    return "".join(kind for kind, _ in messages if kind not in "SN")


def last_words(connection, *said):
    """What comes back where a client says this and closes its side."""
    line = _socket_of(connection)
    for data in said:
        line.sendall(data)
    line.shutdown(socket.SHUT_WR)
    return _until_the_end(line)


WORDS = [
    ("nothing", b"", ""),
    ("a query", query(COUNT), "TDCZ"),
    ("several", query("SELECT 1") + query(COUNT) + query("SELECT 2"), "TDCZTDCZTDCZ"),
    ("an error", query("SELECT 1 / 0") + query("SELECT 2"), "EZTDCZ"),
    ("a write", query("INSERT INTO lines VALUES ('allowed half')"), "CZ"),
    ("a pipeline", extended(COUNT) + SYNC, "12DCZ"),
    ("a pipeline without its end", extended("INSERT INTO lines VALUES ('allowed half')"), ""),
    ("a goodbye behind it", query(COUNT) + TERMINATE, "TDCZ"),
    ("a copy", query("COPY lines FROM STDIN /* allowed */") + message(b"d", b"half\n") + COPY_DONE, "GCZ"),
    ("a copy without its end", query("COPY lines FROM STDIN /* allowed */") + message(b"d", b"half\n"), "G"),
    ("half a message", query(COUNT)[:-3], ""),
]


@pytest.mark.parametrize(("said", "answers"), [one[1:] for one in WORDS], ids=[one[0] for one in WORDS])
def test_what_a_client_asked_before_it_closed_its_side_is_answered_as_by_the_target(
    server, shop, admin, backends, eventually, said, answers
):
    admin.execute("TRUNCATE lines")
    found = []
    for uri in (server.uri, shop.uri()):
        with psycopg.connect(uri, autocommit=True, application_name="agent") as connection:
            kinds = _kinds(last_words(connection, said))
            if "Z" not in answers:
                kinds = kinds.removeprefix("1")  # the gateway asks for it at once, and the target never got to send it
        eventually(lambda: backends() == 0, "the target's session ends")
        found.append((kinds.rstrip("E"), admin.execute("SELECT line FROM lines").fetchall()))
        admin.execute("TRUNCATE lines")
    assert found[0][0] == answers
    assert found[1] == found[0]


def test_what_the_relays_thread_carries_is_answered_to_a_client_that_closed_its_side(shop):
    with shop.connect() as connection:
        for _ in range(40):
            connection.execute(COUNT.replace("3000000", "3"))
        assert _kinds(last_words(connection, query(COUNT))) == "TDCZ"


def test_i4_a_command_is_cancelled_when_its_client_closes_its_side(shop, agent, admin, backends, eventually):
    line = _socket_of(agent)
    line.sendall(query("DELETE FROM orders WHERE id = 1"))
    review = shop.pending()
    line.shutdown(socket.SHUT_WR)
    eventually(lambda: shop.review(review["id"])["state"] == "cancelled", "the review is cancelled")
    assert shop.cli("reviews", "approve", review["id"], ok=False).returncode == 1
    assert _kinds(_until_the_end(line)) in ("", "EZ")
    eventually(lambda: backends() == 0, "the target's session ends")
    assert admin.execute(LEFT).fetchone() == (1,)


def test_i4_a_command_is_cancelled_when_its_client_closed_its_side_before_it_was_held(shop, agent, admin, eventually):
    before = len(shop.json("reviews", "list", "--all"))
    last_words(agent, query("DELETE FROM orders WHERE id = 1"))
    reviews = eventually(lambda: len(found := shop.json("reviews", "list", "--all")) > before and found, "it was held")
    eventually(lambda: shop.review(reviews[0]["id"])["state"] == "cancelled", "the review is cancelled")
    assert admin.execute(LEFT).fetchone() == (1,)


class Hinge:
    """Passes connections on to a server; ``close_one_side`` ends what comes from there, while the other way stays open."""

    def __init__(self, port):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target = port
        self._pairs = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self._pumps = []

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                for ends in ((near, far), (far, near)):
                    self._pumps.append(threading.Thread(target=self._pump, args=ends, daemon=True))
                    self._pumps[-1].start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close_one_side(self):
        for near, _ in self._pairs:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_WR)

    def is_left(self):
        """True where the other side has closed every connection after that."""
        return not any(pump.is_alive() for pump in self._pumps[::2])

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join(10)
        for pair in self._pairs:
            for end in pair:
                end.close()


@pytest.mark.parametrize("at", ["idle", "steady", "running", "held"])
def test_a_target_that_closes_its_side_ends_the_session_with_a_word(server, make_gateway, in_background, eventually, at):
    hinge = Hinge(server.port)
    try:
        gateway = make_gateway(upstream_port=hinge.port, password=server.password, policy=POLICY)
        connection = gateway.connect()
        if at == "steady":
            settle(connection)
        sql = {"held": "DELETE FROM orders WHERE id = 1", "running": COUNT.replace("3000000", "90000000")}.get(at)
        under_way = in_background(connection, sql) if sql else None
        if at == "held":
            gateway.pending()
        elif at == "running":
            eventually(lambda: gateway.audit("command"), "it runs")
        hinge.close_one_side()
        if under_way is None:
            with pytest.raises(psycopg.OperationalError) as caught:
                settle(connection)
            error = caught.value
        else:
            error = under_way.join().error
        assert "the target ended the connection" in str(error)
        assert connection.closed
        eventually(hinge.is_left, "the gateway lets go of its own side")
        if at == "held":
            states = [review["state"] for review in gateway.json("reviews", "list", "--all")]
            assert states == ["cancelled"]
    finally:
        hinge.close()


# -- sockets that nothing is heard of
def _seconds_to_probe(port, pid):
    """For each established connection from or to a port of this machine: seconds until its keepalive probe (``proc(5)``, /proc/net/tcp:
    timer 02 and its clock ticks)."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    own = {link.readlink().name.removeprefix("socket:[").removesuffix("]") for link in Path(f"/proc/{pid}/fd").iterdir()}
    of_port = [row for row in rows if row[3] == "01" and row[9] in own and f"{port:04X}" in (row[1][-4:], row[2][-4:])]
    return [int(row[5].removeprefix("02:"), 16) / 100 if row[5].startswith("02:") else None for row in of_port]


@pytest.mark.parametrize("steady", [False, True])
def test_a_peer_that_vanishes_is_noticed_on_both_sides(server, shop, agent, eventually, steady):
    if steady:
        settle(agent)
    for port in (shop.port, server.port):
        found = eventually(
            lambda p=port: (seen := _seconds_to_probe(p, shop.process.pid)) and None not in seen and seen, "probes are set"
        )
        assert all(0 < seconds <= 60 for seconds in found)
