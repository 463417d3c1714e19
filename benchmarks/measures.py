"""What is measured. A measure answers one number for one route; the runner compares the routes within a round."""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq
from routes import Route

from countersign.demo.database import binaries

MODES = ("simple", "extended", "prepared")
CLIENTS = (1, 8, 64)
RESULT_ROWS = 1_000_000
ROWS_A_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how much."""

    seconds: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One route's numbers of one round, by the name of the table's row; ``commands`` is how many commands it sent."""

    values: dict[str, float]
    commands: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """``run`` measures one route. ``unit`` is '/s' (more is better), 's' (less is better), 'µs' (compared by difference), 'kB', or '×' (a ratio already)."""

    name: str
    unit: str
    run: Callable[[Route, Settings], Measured]
    aim: str = ""
    routes: tuple[str, ...] = ("direct", "pgbouncer", "gateway")


def measures() -> list[Measure]:
    """All of them, in the table's order. Memory comes first: a process that has served many keeps what it was given."""
    throughput = [
        Measure(f"{mode}-{clients}", "/s", _throughput(mode, clients), "≥ 0.9 × pgbouncer") for mode in MODES for clients in CLIENTS
    ]
    latency = [Measure(f"latency-{mode}", "µs", _latency(mode), "p50 ≤ 60 µs over pgbouncer") for mode in ("simple", "prepared")]
    return [
        Measure("memory", "kB", _memory, routes=("pgbouncer", "gateway")),
        *throughput,
        *latency,
        Measure("big-result", "s", _big_result, "≥ 0.85 × direct"),
        Measure("masked-columns", "×", _masked_columns, "≤ 1.2 × unmasked", routes=("gateway",)),
        Measure("connections", "/s", _connections),
    ]


# -- pgbench
def _pgbench(route: Route, folder: str, *options: str) -> str:
    command: list[str | Path] = [binaries() / "pgbench", "-n", *options]
    done = subprocess.run(command, env=route.environment, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode != 0 or _number(r"number of failed transactions: (\d+)", done.stdout) != 0:
        raise RuntimeError(f"pgbench through {route.name} failed: {done.stderr.strip()[-600:]}")
    return done.stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"pgbench did not say {pattern!r}: {text}")
    return float(found[1])


def _throughput(mode: str, clients: int) -> Callable[[Route, Settings], Measured]:
    def run(route: Route, settings: Settings) -> Measured:
        load = ("-S", "-M", mode, "-c", str(clients), "-j", str(min(clients, 2)))
        seconds = settings.seconds
        with tempfile.TemporaryDirectory() as folder:
            # The time that pgbench is given holds its connecting too, which may use it up where clients are many.
            while not _processed(said := _pgbench(route, folder, *load, "-T", str(seconds))):
                seconds *= 2
        rate = _number(r"tps = ([\d.]+) \(without initial connection time\)", said)
        what = f"pgbench -S {mode}, {clients} client{'s' if clients > 1 else ''}"
        return Measured({what: rate}, _processed(said))

    return run


def _processed(said: str) -> int:
    return int(_number(r"number of transactions actually processed: (\d+)", said))


def _latency(mode: str) -> Callable[[Route, Settings], Measured]:
    def run(route: Route, settings: Settings) -> Measured:
        with tempfile.TemporaryDirectory() as folder:
            said = _pgbench(route, folder, "-S", "-M", mode, "-c", "1", "-T", str(settings.seconds), "-l", "--log-prefix=times")
            lines = [line for file in Path(folder).glob("times.*") for line in file.read_text().splitlines()]
        # Fields: client, transaction, microseconds, ... (manual, pgbench, "Per-Transaction Logging"). The first ones warm up.
        times = sorted(int(line.split()[2]) for line in lines[100:])
        values = {f"{mode}, 1 client, p{part}": float(times[len(times) * part // 100]) for part in (50, 99)}
        return Measured(values, _processed(said))

    return run


def _connections(route: Route, settings: Settings) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "one.sql")
        script.write_text("SELECT 1;\n")
        said = _pgbench(route, folder, "-C", "-f", str(script), "-c", "8", "-j", "2", "-T", str(settings.seconds))
    rate = _number(r"tps = ([\d.]+) \(including reconnection times\)", said)
    return Measured({"connect, SELECT 1, disconnect; 8 clients": rate}, _processed(said))


# -- libpq
def _big_result(route: Route, _: Settings) -> Measured:
    """Streamed through libpq without making Python objects of the values, so that the client costs as little as psql's."""
    return Measured({"SELECT of 1,000,000 rows": _time_of_all(route, b"letters")}, 1)


def _masked_columns(route: Route, _: Settings) -> Measured:
    """The same rows, two of their five columns masked by a rule, and none. The detectors search what is not masked, both times."""
    ratio = _time_of_all(route, b"kept_letters") / _time_of_all(route, b"letters")
    return Measured({"the same with two of five columns masked, to none": ratio}, 2)


def _time_of_all(route: Route, table: bytes) -> float:
    with psycopg.connect(route.conninfo, autocommit=True) as connection:
        start = time.perf_counter()
        connection.pgconn.send_query(b"SELECT * FROM " + table)
        connection.pgconn.set_chunked_rows_mode(ROWS_A_CHUNK)
        rows = 0
        while (result := connection.pgconn.get_result()) is not None:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise RuntimeError(f"the result broke off: {result.error_message.decode()}")
            rows += result.ntuples
        duration_s = time.perf_counter() - start
    if rows != RESULT_ROWS:
        raise RuntimeError(f"{route.name} answered {rows} rows")
    return duration_s


def _memory(route: Route, settings: Settings) -> Measured:
    """Each session has run one statement before it idles, as a pool's would have."""
    sessions = settings.sessions if route.name == "gateway" else min(settings.sessions, 150)
    connections: list[psycopg.Connection[tuple[object, ...]]] = []
    before = _resident_kb(route.pid)
    try:
        for _ in range(sessions):
            connections.append(psycopg.connect(route.conninfo, autocommit=True))
            connections[-1].execute("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
        after = _resident_kb(route.pid)
    finally:
        for connection in connections:
            connection.close()
    return Measured({f"memory an idle session, {settings.sessions} sessions": (after - before) / sessions}, sessions)


def _resident_kb(pid: int) -> int:
    return int(_number(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()))
