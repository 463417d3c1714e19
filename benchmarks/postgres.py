"""How fast the PostgreSQL gateway is, next to pgbouncer and to no gateway at all.

    python benchmarks/postgres.py [--quick] [--rounds N] [--seconds N] [--only NAME]... [--json]

Policy, audit, recording and masking are on. A round measures every route, one after the other and beginning with another one
each time; ratios are taken within a round, and the table shows their medians, for a shared machine changes its speed from
minute to minute. Exit codes: 0 done, 1 failed, 2 wrong usage or a peer is missing.
"""

import argparse
import fnmatch
import json
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

from measures import Measure, Measured, Settings, measures
from routes import PeerMissing, Route, commands_recorded, most_sessions, open_routes, versions


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: the gateway's median, and for each other route the median, lowest and highest of the rounds' ratios."""

    what: str
    unit: str
    gateway: float
    compared: dict[str, tuple[float, float, float]]
    aim: str


def main() -> int:
    """Measure and print."""
    options = _options()
    chosen = [m for m in measures() if not options.only or any(fnmatch.fnmatch(m.name, only) for only in options.only)]
    if not chosen:
        print("nothing is called so; there are: " + ", ".join(m.name for m in measures()), file=sys.stderr)
        return 2
    sessions = most_sessions(options.sessions)
    if sessions < options.sessions:
        print(f"the limit of open files permits {sessions} sessions", file=sys.stderr)
    settings = Settings(options.seconds, sessions)
    try:
        with open_routes(sessions, scale=10) as routes:
            lines = [line for measure in chosen for line in _measure(measure, routes, settings, options.rounds)]
            caption = versions(routes)
    except PeerMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([_json(line) for line in lines], ensure_ascii=False, indent=1))
    else:
        print("\n".join(table(lines)))
        print(f"\n{caption}; {options.rounds} rounds of {options.seconds} s; median (lowest to highest) of the rounds.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the gateway with pgbouncer and with a direct connection.")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="how long one pgbench run lasts")
    parser.add_argument("--sessions", type=int, default=1000, help="how many idle sessions to measure memory with")
    parser.add_argument("--only", action="append", metavar="NAME", help="one measure, or a pattern such as 'simple-*'; repeatable")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.sessions = 1, 1, min(options.sessions, 100)
    if min(options.rounds, options.seconds, options.sessions) < 1:
        parser.error("rounds, seconds and sessions must be at least 1")
    return options


def _measure(measure: Measure, routes: list[Route], settings: Settings, rounds: int) -> list[Line]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    used = [route for route in routes if route.name in measure.routes]
    # Memory is measured once: a second round would find what the first one left.
    for number in range(1 if measure.unit == "kB" else rounds):
        for step in range(len(used)):
            route = used[(number + step) % len(used)]
            _progress(f"{measure.name}, round {number + 1} of {rounds}, {route.name}")
            for what, value in _run(measure, route, settings).values.items():
                found[what][route.name].append(value)
    _progress("")
    return [_line(what, measure, values) for what, values in found.items()]


def _run(measure: Measure, route: Route, settings: Settings) -> Measured:
    """Measure, and make sure that the gateway recorded every command that it let through."""
    if route.store is None:
        return measure.run(route, settings)
    before = commands_recorded(route)
    measured = measure.run(route, settings)
    end = time.monotonic() + 20
    while commands_recorded(route) - before < measured.commands:
        if time.monotonic() > end:
            raise RuntimeError(f"the audit log lacks commands of {measure.name}")
        time.sleep(0.05)
    return measured


def _line(what: str, measure: Measure, values: dict[str, list[float]]) -> Line:
    compare = {"/s": _more_is_better, "s": _less_is_better, "µs": _added, "kB": _added, "×": _added}[measure.unit]
    compared = {}
    for name, other in values.items():
        if name != "gateway":
            ratios = [compare(mine, its) for mine, its in zip(values["gateway"], other, strict=True)]
            compared[name] = (statistics.median(ratios), min(ratios), max(ratios))
    aim = "" if what.endswith("p99") else measure.aim
    return Line(what, measure.unit, statistics.median(values["gateway"]), compared, aim)


def _more_is_better(mine: float, its: float) -> float:
    return mine / its


def _less_is_better(mine: float, its: float) -> float:
    return its / mine


def _added(mine: float, its: float) -> float:
    return mine - its


def table(lines: list[Line]) -> list[str]:
    """The lines in Markdown."""
    head = ["| | gateway | to pgbouncer | to direct | aim |", "|---|--:|--:|--:|---|"]
    return head + [
        f"| {line.what} | {_amount(line.gateway)} {line.unit} | {_shown(line, 'pgbouncer')} | {_shown(line, 'direct')} | {line.aim} |"
        for line in lines
    ]


def _shown(line: Line, other: str) -> str:
    if other not in line.compared:
        return ""
    middle, lowest, highest = line.compared[other]
    if line.unit in ("/s", "s"):
        return f"**{middle:.2f} ×** ({lowest:.2f} to {highest:.2f})"
    return f"**{middle:+.0f} {line.unit}** ({lowest:+.0f} to {highest:+.0f})"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _json(line: Line) -> dict[str, object]:
    compared = {name: dict(zip(("median", "lowest", "highest"), three, strict=True)) for name, three in line.compared.items()}
    return {"what": line.what, "unit": line.unit, "gateway": line.gateway, "compared": compared, "aim": line.aim}


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
