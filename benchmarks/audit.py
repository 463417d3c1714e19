"""What the audit log costs as it grows, all with ``synchronous=FULL`` on a store of its own. At each size of ``--sizes``:

- appending: what a record costs in a run of them, as the relay's thread hands them over; on the wall, and of the writer's processor time;
- durable records: commands come at a rate (``--rates``) whatever happens, each waits for the commit of its record before it goes on and
  hands over a second one behind it; the wait is counted from when the command was due, so that a stall counts for all that came during it;
- searches, by the index and, at the sizes up to ``--scan``, without it: both must answer the same;
- a proof of a record, and the whole of ``audit verify``.

The commands are made up of a few people, tables and words, and numbers of their own. Beside the figures stands what the machine does by
itself: how long an fsync takes, and for how long a thread that wants the processor does not get it.

    python benchmarks/audit.py                                     # to 1 million records
    python benchmarks/audit.py --sizes 100000 1000000 3000000 10000000   # some minutes, and 8 GB of disk
"""

import argparse
import asyncio
import gc
import os
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from countersign._core import Run
from countersign.audit import canonical, verify
from countersign.audit.merkle import inclusion_proof
from countersign.audit.search import Query
from countersign.model import AuditEvent
from countersign.store import Database, LogFile, LogIndex, StoredAuditLog, StoreError

COMMAND_READ: dict[str, object] = {
    "protocol": "postgres",
    "text": "SELECT abalance FROM pgbench_accounts WHERE aid = 48151",
    "effects": ["read"],
    "statements": [{"kind": "SELECT", "effects": ["read"], "reads": ["public.pgbench_accounts"], "writes": [], "functions": []}],
    "parameters": [],
    "attributes": {"has_where": True, "limit": None},
}
COMMAND: dict[str, object] = {
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
    "command": COMMAND_READ,
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
TABLES = [
    f"public.{name}" for name in "orders customers invoices payments items carts users events stock prices refunds notes".split()
]
WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa".split()
PEOPLE = ("crew", "etl", "report", "agent-1", "agent-2", "ana")
RUN_RECORDS = 512
BURST = Run([("command", canonical(COMMAND)), ("command.finished", canonical(FINISHED))] * (RUN_RECORDS // 2))
BURST_RECORDS = 51_200
EVENT, FINISHED_EVENT = AuditEvent("command", COMMAND), AuditEvent("command.finished", FINISHED)


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def machine(folder: Path) -> str:
    """What the machine does by itself just now."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        syncs = []
        for _ in range(200):
            start = time.perf_counter()
            file.write(b"x" * 16_384)
            file.flush()
            os.fdatasync(file.fileno())
            syncs.append(time.perf_counter() - start)
    gap, last, end = 0.0, time.perf_counter(), time.perf_counter() + 0.5
    while last < end:
        gap, last = max(gap, (moment := time.perf_counter()) - last), moment
    load = os.getloadavg()[0]
    return f"load {load:.1f}, fsync p50 {part(syncs, 0.5):.2f} p99 {part(syncs, 0.99):.2f} ms, longest time off the processor {gap * 1e3:.1f} ms"


def part(values: Sequence[float], share: float) -> float:
    """What this share of the values does not exceed, in milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def writer_s(database: Database) -> float:
    """Processor time of the writer's thread so far."""
    return time.clock_gettime(time.pthread_getcpuclockid(database._thread.ident or 0))


def made_up(chance: random.Random, number: int) -> list[tuple[str, bytes]]:
    """The two records of a command. Only ana touches notes."""
    person = chance.choice(PEOPLE)
    table = chance.choice(TABLES if person == "ana" else TABLES[:-1])
    ids = {
        "command_id": f"cmd-{chance.getrandbits(48):012x}",
        "session_id": f"se-{number // 500:012x}",
        "digest": f"{chance.getrandbits(256):064x}",
    }
    if chance.random() < 0.05:
        effect, text = "write", f"UPDATE {table} SET total = {chance.randrange(10**5)} WHERE id = {chance.randrange(10**7)}"
    else:
        note = f"{chance.choice(WORDS)} {chance.choice(WORDS)}"
        effect, text = "read", f"SELECT id, total FROM {table} WHERE id = {chance.randrange(10**7)} AND note = '{note}'"
    reads, writes = ([table], []) if effect == "read" else ([], [table])
    statement = {"kind": text[:6], "effects": [effect], "reads": reads, "writes": writes, "functions": []}
    command = {**COMMAND_READ, "text": text, "effects": [effect], "statements": [statement]}
    return [
        ("command", canonical({**COMMAND, **ids, "identity": person, "command": command})),
        ("command.finished", canonical({**FINISHED, **ids})),
    ]


async def hand_over(database: Database, runs: Sequence[Run] | range, chance: random.Random | None = None) -> None:
    """Give the writer runs of records, a few at a time: those given, or made up for these numbers."""
    waits: list[asyncio.Future[object]] = []
    for item in runs:
        if isinstance(item, Run):
            run = item
        else:
            run = Run([record for at in range(RUN_RECORDS // 2) for record in made_up(chance or random.Random(), item + at)])
        waits.append(asyncio.ensure_future(database.write(run)))  # type: ignore[arg-type]  # an awaitable of whatever the write answers
        if len(waits) == 8:
            await waits.pop(0)
    await asyncio.gather(*waits)


async def burst(database: Database) -> str:
    """What a record costs."""
    start, used = time.perf_counter(), writer_s(database)
    await hand_over(database, [BURST] * (BURST_RECORDS // RUN_RECORDS))
    took, used = time.perf_counter() - start, writer_s(database) - used
    return f"{took / BURST_RECORDS * 1e6:.2f} µs a record, {used / BURST_RECORDS * 1e6:.2f} µs of the writer's processor"


async def at_rate(database: Database, rate: int, seconds: float) -> str:
    """How long commands that come at this rate wait for the commit of their record."""
    log, waited, refused, under_way = StoredAuditLog(database), list[float](), 0, set[asyncio.Task[None]]()

    async def command(due: float) -> None:
        nonlocal refused
        try:
            await log.append(EVENT)
            waited.append(time.perf_counter() - due)
            log.hand_over(FINISHED_EVENT)
        except StoreError:  # it is too far behind: the command would be denied
            refused += 1

    gc.collect()
    gc.freeze()
    start, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        while count < int(passed * rate):
            task = asyncio.ensure_future(command(start + count / rate))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            count += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*under_way)
    done = len(waited) / (time.perf_counter() - start)
    figures = ", ".join(f"p{share * 100:g} {part(waited, share):.2f}" for share in (0.5, 0.9, 0.99, 0.999))
    return f"{rate:,} commands/s due, {done:,.0f} done: {figures} ms" + (f", {refused} refused" if refused else "")


async def searches(database: Database, path: Path, size: int, scans: bool) -> None:
    """Let the index catch up, and search."""
    index = LogIndex(path)
    start, used = time.perf_counter(), time.thread_time()
    indexed = index.reaches()
    while index.advance():
        pass
    indexed = index.reaches() - indexed
    took, used = time.perf_counter() - start, time.thread_time() - used
    taken = sum(file.stat().st_size for file in path.parent.glob(f"{index.path.name}*"))
    share = taken / path.stat().st_size
    print(
        f"  index: {indexed:,} records in {took:.1f} s ({used / max(indexed, 1) * 1e6:.2f} µs of a processor each), {taken / 1e6:,.0f} MB, "
        f"{share:.1%} of the log, {size - index.reaches():,} records behind"
    )
    quick, plain = StoredAuditLog(database, index), StoredAuditLog(database)
    [known] = [one for one in await quick.search(Query(kind="command", identity="etl"), 1, before=size // 3)]
    body = known.body
    command = body["command"]
    assert isinstance(command, dict)
    text = str(command["text"])
    for name, query in {
        "what is common": Query(identity="crew"),
        "an identity that is nowhere": Query(identity="zoe"),
        "a command's id": Query(about=str(body["command_id"])),
        "a session's id": Query(about=str(body["session_id"])),
        "an id that is nowhere": Query(about="cmd-000000000000"),
        "the end of one text": Query(text=text[-30:]),
        "a text that is nowhere": Query(text="DROP TABLE"),
        "a table that is nowhere": Query(table="secrets"),
        "a rare table by identity": Query(identity="ana", table="notes", effect="write"),
        "two that never meet": Query(identity="crew", table="notes"),
        "a text that one never wrote": Query(identity="crew", text="update public.notes"),
        "words that never stand together": Query(text="alpha bravo charlie"),
        "an older hour": Query(effect="write", until=known.time[:19]),
    }.items():
        start = time.perf_counter()
        found = await quick.search(query, 100)
        took = time.perf_counter() - start
        compared = ""
        if scans:
            start = time.perf_counter()
            same = await plain.search(query, 100) == found
            compared = f"; without the index {time.perf_counter() - start:.3f} s, {'the same' if same else 'NOT THE SAME'}"
        print(f"  search for {name}: {len(found)} hits in {took:.3f} s{compared}")


def proof_and_verify(path: Path, size: int) -> None:
    """By whoever has the file."""
    file = LogFile(path)
    start = time.perf_counter()
    proof = inclusion_proof(size // 3, size, file.subtree)
    print(f"  a proof of {len(proof)} hashes: {(time.perf_counter() - start) * 1e3:.1f} ms")
    start = time.perf_counter()
    found = verify(file)
    print(f"  verify {found.records:,} records: {time.perf_counter() - start:.1f} s, {found.problem or 'sound'}")


async def main(folder: Path, sizes: list[int], rates: list[int], seconds: float, scan: int) -> None:
    """Measure and print."""
    path, chance, size = folder / "store.db", random.Random(1), 0
    for wanted in sorted(sizes):
        database = Database.open(path, now)
        start = time.perf_counter()
        await hand_over(database, range(size // 2, wanted // 2, RUN_RECORDS // 2), chance)
        os.sync()  # or what is measured next waits for what was written before
        size = sum(1 for _ in range(size, wanted, RUN_RECORDS)) * RUN_RECORDS + size
        print(
            f"\n{size:,} records ({time.perf_counter() - start:.0f} s to make), {path.stat().st_size / 1e6:,.0f} MB; {machine(folder)}"
        )
        for _ in range(3):
            print(f"  appending: {await burst(database)}")
            size += BURST_RECORDS
        for rate in rates:
            print(f"  durable: {await at_rate(database, rate, seconds)}; {machine(folder)}")
        [last] = await StoredAuditLog(database).search(Query(), 1)
        size = last.seq
        await searches(database, path, size, scans=size <= scan)
        database.close()
        proof_and_verify(path, size)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rates", type=int, nargs="+", default=[20_000, 30_000, 50_000])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--scan", type=int, default=2_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.dir) as made:
        uvloop.run(main(Path(made), asked.sizes, asked.rates, asked.seconds, asked.scan))
