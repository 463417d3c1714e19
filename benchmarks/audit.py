"""How fast the audit log takes records, and what a record costs as the log grows.

Four measures, all with ``synchronous=FULL`` on a store of its own:

- commands a second: what the relay's thread hands over (two records a command, written by the core) until the last one is on disk;
- durable appends: 64 tasks that each wait for the commit of their record, as writes and reviews do; the rate, p50 and p99;
- the cost of a record by the size of the log, on one store that grows to ``--records``;
- what checking it costs then: a search, a proof, and the whole of ``audit verify``.

    python benchmarks/audit.py                   # to 1 million records; --records 10000000 takes some minutes and 8 GB
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from countersign._core import Run
from countersign.audit import canonical, verify
from countersign.audit.merkle import inclusion_proof
from countersign.audit.search import Query
from countersign.model import AuditEvent
from countersign.store import Database, LogFile, StoredAuditLog

COMMAND = {
    "command_id": "cmd-3f9c2a71d0b4",
    "session_id": "se-3f9c2a71d0b4",
    "identity": "crew",
    "on_behalf_of": "",
    "target": "shop",
    "database": "shop",
    "digest": "9f" * 32,
    "verdict": "allow",
    "rule": "built-in: reads",
    "policy_digest": "a7" * 32,
    "command": {
        "protocol": "postgres",
        "text": "SELECT abalance FROM pgbench_accounts WHERE aid = 48151",
        "effects": ["read"],
        "statements": [
            {"kind": "SELECT", "effects": ["read"], "reads": ["public.pgbench_accounts"], "writes": [], "functions": []}
        ],
        "parameters": [],
        "attributes": {"has_where": True, "limit": None},
    },
}
FINISHED = {
    "command_id": "cmd-3f9c2a71d0b4",
    "session_id": "se-3f9c2a71d0b4",
    "review_id": "",
    "digest": "9f" * 32,
    "ok": True,
    "summary": "SELECT 1",
    "rows": 1,
    "error_code": "",
    "duration_us": 151,
    "masked": [],
}
PAIR = [("command", canonical(COMMAND)), ("command.finished", canonical(FINISHED))]
SEARCHES = {
    "an identity that did everything": Query(identity="crew"),
    "a table that nothing touched": Query(table="public.orders"),
    "a text that is nowhere": Query(text="DROP TABLE"),
}
RUN_RECORDS = 512
RUN = Run(PAIR * (RUN_RECORDS // 2))
EVENT = AuditEvent("command", COMMAND)


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def writer_s(database: Database) -> float:
    """Processor time of the writer's thread so far."""
    clock = time.pthread_getcpuclockid(database._thread.ident or 0)
    return time.clock_gettime(clock)


async def fill(database: Database, records: int) -> tuple[float, float]:
    """Append so many records by runs; seconds until the last one is on disk, and of them the writer's processor time."""
    start, used = time.perf_counter(), writer_s(database)
    waits: list[asyncio.Future[object]] = []
    for _ in range(records // RUN_RECORDS):
        waits.append(asyncio.ensure_future(database.write(RUN)))  # type: ignore[arg-type]  # an awaitable of whatever the write answers
        if len(waits) == 8:
            await waits.pop(0)
    await asyncio.gather(*waits)
    return time.perf_counter() - start, writer_s(database) - used


async def durable(database: Database, seconds: float, tasks: int) -> list[float]:
    """How long each append waited for its commit."""
    log, waited, end = StoredAuditLog(database), list[float](), time.perf_counter() + seconds

    async def work() -> None:
        while (start := time.perf_counter()) < end:
            await log.append(EVENT)
            waited.append(time.perf_counter() - start)

    await asyncio.gather(*(work() for _ in range(tasks)))
    return sorted(waited)


async def main(folder: Path, records: int, seconds: float, tasks: int) -> None:
    """Measure and print."""
    path = folder / "store.db"
    database = Database.open(path, now)
    took, used = await fill(database, 100_000)
    print(f"commands: {50_000 / took:,.0f} /s, {used / 50_000 * 1e6:.1f} µs of the writer's processor time each")
    waited = await durable(database, seconds, tasks)
    p99 = waited[len(waited) * 99 // 100] * 1e3
    print(
        f"durable, {tasks} at once: {len(waited) / seconds:,.0f} /s, p50 {statistics.median(waited) * 1e3:.2f} ms, p99 {p99:.2f} ms"
    )
    size, step = 100_000 + len(waited), 1_000
    print("| records in the log | µs a record | of it the writer's processor | durable p99, 1 at once |\n|--:|--:|--:|--:|")
    while size < records:
        took, used = await fill(database, step * 9 // 10)
        size += step * 9 // 10
        one = await durable(database, min(seconds, 1.0), 1)
        print(
            f"| {size:,} | {took / (step * 0.9) * 1e6:.2f} | {used / (step * 0.9) * 1e6:.2f} | {one[len(one) * 99 // 100] * 1e3:.2f} ms |"
        )
        size, step = size + len(one), max(step, min(size, records - size, 1_000_000))
        if step < 1_000:
            break
    for name, query in SEARCHES.items():
        start = time.perf_counter()
        hits = await StoredAuditLog(database).search(query, 50)
        print(f"search for {name}: {len(hits)} hits, {time.perf_counter() - start:.2f} s")
    database.close()
    file = LogFile(path)
    start = time.perf_counter()
    proof = inclusion_proof(size // 2, size // 2 + 1, file.subtree)
    print(f"a proof of {len(proof)} hashes: {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    found = verify(file)
    print(f"verify {found.records:,} records: {time.perf_counter() - start:.1f} s, {found.problem or 'sound'}")
    print(
        f"store {path.stat().st_size / 1e6:,.0f} MB, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--dir", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.dir) as made:
        asyncio.run(main(Path(made), asked.records, asked.seconds, asked.tasks))
