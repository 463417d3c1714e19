"""Many held commands at once in one gateway: what each takes, how fast a decision lets its command go, and what others feel of it.

    python benchmarks/reviews.py [--held N] [--decided N] [--rounds N]

Behind the gateway stands a pgbouncer in transaction mode, so that thousands of sessions need few of PostgreSQL's. Memory is the gateway's
resident set. A decision every 20 ms: its time is from where it is made to where the approval is used up and the bytes leave, by the audit
log; and, as a user sees it, from the request to approve to the client's answer, which counts this program's own share of the processors too. Others are four clients of pgbench's select-only run; rounds alternate between none held and all held.
"""

import argparse
import asyncio
import contextlib
import gc
import sqlite3
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from routes import PeerMissing, Route, open_behind_pool

from countersign.demo.database import binaries
from countersign.unix_socket import reachable

POLICY = "rules: [{name: writes, effects: [write], action: review, review: {timeout: 2h}}]\n"
AT_ONCE = 50
EVERY_S = 0.02


class Sessions:
    """Connections of clients of which each can hold one command."""

    def __init__(self, gateway: Route) -> None:
        self._gateway = gateway
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.open: list[psycopg.AsyncConnection[Any]] = []
        self.done_at: dict[str, float] = {}
        self.held: list[asyncio.Task[None]] = []

    async def connect(self, number: int) -> None:
        """So many of them."""
        self.open += await asyncio.gather(*(self._one() for _ in range(number)))

    async def _one(self) -> psycopg.AsyncConnection[Any]:
        async with self._turns:
            return await psycopg.AsyncConnection.connect(self._gateway.conninfo, autocommit=True, prepare_threshold=None)

    def hold(self) -> None:
        """Each asks for something that needs a review."""
        self.held = [asyncio.create_task(self._ask(number, one)) for number, one in enumerate(self.open)]

    async def _ask(self, number: int, connection: psycopg.AsyncConnection[Any]) -> None:
        text = f"UPDATE letters SET amount = amount + 1 WHERE id = {number + 1}"
        await connection.execute(text.encode())
        self.done_at[text] = time.perf_counter()

    async def close(self) -> None:
        """All leave."""
        for one in self.open:
            one.pgconn.finish()  # no polite cancelling first: thousands leave at once
        for task in self.held:
            task.cancel()
        await asyncio.gather(*self.held, return_exceptions=True)


def resident_kb(pid: int) -> int:
    """The resident set of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def transactions_per_second(gateway: Route, seconds: int) -> float:
    """What four clients of pgbench get."""
    command = ["pgbench", "-n", "-S", "-M", "simple", "-c", "4", "-j", "1", "-T", str(seconds)]
    program = binaries() / command[0]
    process = await asyncio.create_subprocess_exec(program, *command[1:], env=gateway.environment, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    line = next(line for line in said.decode().splitlines() if line.startswith("tps"))
    return float(line.split()[2])


async def decide(api: httpx.AsyncClient, sessions: Sessions, number: int) -> list[float]:
    """Approve so many of them, one every 20 ms; seconds until each client had its answer."""
    pending = (await api.get("reviews", params={"state": "pending", "limit": 5000})).json()["reviews"][:number]
    gc.disable()  # this process has thousands of connections itself, and its own pauses are not what is measured
    sent: dict[str, float] = {}
    asked: list[asyncio.Task[httpx.Response]] = []
    for review in pending:
        sent[review["command"]["text"]] = time.perf_counter()
        body = {"digest": review["digest"]}
        asked.append(asyncio.create_task(api.post(f"reviews/{review['id']}/approve", json=body)))
        await asyncio.sleep(EVERY_S)
    for answer in await asyncio.gather(*asked):
        answer.raise_for_status()
    while any(text not in sessions.done_at for text in sent):
        await asyncio.sleep(0.05)
    return [sessions.done_at[text] - at for text, at in sent.items()]


async def from_decision_to_release(api: httpx.AsyncClient) -> list[float]:
    """By the times of the audit log: seconds from each decision to where its approval was used up, right before the bytes leave."""
    times: dict[str, dict[str, datetime]] = {}
    for kind in ("review.decision", "review.released"):
        found = (await api.get("audit", params={"kind": kind, "limit": 5000})).raise_for_status().json()["records"]
        times[kind] = {one["body"]["review_id"]: datetime.fromisoformat(one["time"]) for one in found}
    decided, released = times["review.decision"], times["review.released"]
    return [(released[review] - at).total_seconds() for review, at in decided.items()]


async def measure(gateway: Route, held: int, decided: int, rounds: int) -> None:
    """All of it, and print."""
    assert gateway.store is not None
    socket = reachable(gateway.store.with_name("countersign.sock"))
    sessions = Sessions(gateway)
    transport = httpx.AsyncHTTPTransport(uds=socket, verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://countersign/api/v1", timeout=120) as api:
        free = [await transactions_per_second(gateway, 5)]
        empty = resident_kb(gateway.pid)
        begun = time.perf_counter()
        await sessions.connect(held)
        print(f"{held:,} sessions in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        await asyncio.sleep(2)
        idle = resident_kb(gateway.pid)
        free += [await transactions_per_second(gateway, 5) for _ in range(rounds)]
        begun = time.perf_counter()
        sessions.hold()
        while _pending(gateway) < held:
            await asyncio.sleep(0.5)
        print(f"all held after {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        await asyncio.sleep(2)
        full = resident_kb(gateway.pid)
        busy = [await transactions_per_second(gateway, 5) for _ in range(rounds)]
        took = sorted(await decide(api, sessions, decided))
        within = sorted(await from_decision_to_release(api))
        begun = time.perf_counter()
        await sessions.close()
        print(f"all left after {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    at = [took[int(len(took) * part)] * 1000 for part in (0.5, 0.99)]
    inside = [within[int(len(within) * part)] * 1000 for part in (0.5, 0.99)]
    print(f"| | {held:,} held |\n|---|--:|")
    print(f"| memory of an idle session | {(idle - empty) / held:.1f} KiB |")
    print(f"| memory of a held review beyond that | {(full - idle) / held:.1f} KiB |")
    print(f"| decision to its use, p50 and p99 | {inside[0]:.1f} ms, {inside[1]:.1f} ms |")
    print(f"| approving to the client's answer, p50 and p99 of {len(took):,} | {at[0]:.1f} ms, {at[1]:.1f} ms |")
    print(f"| pgbench of others, all idle | {statistics.median(free[1:]):,.0f}/s |")
    print(
        f"| pgbench of others, all held | {statistics.median(busy):,.0f}/s: {statistics.median(busy) / statistics.median(free[1:]):.3f} × |"
    )


def _pending(gateway: Route) -> int:
    assert gateway.store is not None
    with contextlib.closing(sqlite3.connect(f"file:{gateway.store}?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT count(*) FROM reviews WHERE state = 'pending'").fetchone()[0])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Many held commands at once.")
    parser.add_argument("--held", type=int, default=6000, help="a session takes up to three of the process's files")
    parser.add_argument("--decided", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        with open_behind_pool(10, POLICY) as gateway:
            asyncio.run(measure(gateway, options.held, options.decided, options.rounds))
    except PeerMissing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
