"""Durable audit records in each kind of a store: how many, and how long each waits for its commit.

    python benchmarks/stores.py [--waiting N] [--seconds S] [--rounds N]

So many callers wait for a record's commit each, one record behind the other, as held and writing commands do. Beside the SQLite file stands a
PostgreSQL on the same machine and disk, with fsync, written by one process, and by two that share its log. Rounds alternate. A record that a
plain read makes waits for nobody, and is not measured here.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from countersign.audit import verify
from countersign.demo.database import DemoDatabase
from countersign.model import AuditEvent
from countersign.settings import Secret
from countersign.store import Database, StoredAuditLog, log_of
from countersign.store_settings import PostgresPlace

BODY = {"command_id": "cmd-3f9c2a71d0b4", "text": "UPDATE orders SET status = 'shipped' WHERE id = 17", "effects": ["write"]}


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def write(place: Any, waiting: int, seconds: float) -> list[float]:
    """How long each record waited, in milliseconds."""
    database = Database.open(place, now)
    log, took, end = StoredAuditLog(database), list[float](), time.perf_counter() + seconds

    async def one() -> None:
        while (start := time.perf_counter()) < end:
            await log.append(AuditEvent("command", dict(BODY)))
            took.append((time.perf_counter() - start) * 1e3)

    await asyncio.gather(*(one() for _ in range(waiting)))
    database.close()
    return took


def in_process(place: Any, waiting: int, seconds: float, answers: Any) -> None:
    """The same in a process of its own."""
    answers.put(uvloop.run(write(place, waiting, seconds)))


def measured(place: Any, writers: int, waiting: int, seconds: float) -> str:
    """By so many processes, which share those who wait."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=in_process, args=(place, waiting // writers, seconds, answers)) for _ in range(writers)]
    for process in processes:
        process.start()
    took = sorted(one for _ in processes for one in answers.get())
    for process in processes:
        process.join()
    return (
        f"{len(took) / seconds:8,.0f} records/s, p50 {statistics.median(took):6.1f} ms, p99 {took[int(len(took) * 0.99)]:6.1f} ms"
    )


def main(waiting: int, seconds: float, rounds: int) -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory() as folder,
        DemoDatabase(settings={"fsync": "on", "full_page_writes": "on"}) as server,
    ):
        password = Path(folder) / "password"
        password.write_text(server.password)
        shared = PostgresPlace("127.0.0.1", server.port, server.database, server.user, Secret("file", str(password)), "disable")
        file = Path(folder) / "store.db"
        for _ in range(rounds):
            for name, place, writers in (("SQLite", file, 1), ("PostgreSQL", shared, 1), ("PostgreSQL, two writers", shared, 2)):
                print(f"{name:24} {measured(place, writers, waiting, seconds)}", flush=True)
        found = verify(log_of(shared))
        print(f"the shared log: {found.records:,} records, {found.problem or 'sound'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    main(asked.waiting, asked.seconds, asked.rounds)
