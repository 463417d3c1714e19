"""What recording costs: gateways that record, that record sealed, and that throw recordings away, next to each other in one run.

    python benchmarks/recording.py [--rounds N] [--seconds N]

Each round measures pgbench (simple and prepared, 8 clients) and a result of 1,000,000 rows through all three, beginning with another one
each time; the table has the medians of the rounds' ratios to the one that throws away. Making the events is part of all three.
"""

import argparse
import base64
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from measures import Measure, Settings, measures
from routes import Route, open_gateways

MEASURED = ("simple-8", "prepared-8", "big-result")
THROWN_AWAY, CLEAR, SEALED = "thrown away", "recorded", "recorded and sealed"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What recording costs.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="how long one pgbench run lasts")
    options = parser.parse_args()
    os.environ["RECORDING_KEY"] = base64.b64encode(os.urandom(32)).decode()
    ways: dict[str, tuple[list[str | Path], str]] = {
        THROWN_AWAY: ([sys.executable, Path(__file__).with_name("unrecorded.py")], ""),
        CLEAR: ([], ""),
        SEALED: ([], "recordings: {key: 'env:RECORDING_KEY'}\n"),
    }
    chosen = [measure for measure in measures() if measure.name in MEASURED]
    with open_gateways(10, ways) as routes:
        print("| | thrown away | recorded | recorded and sealed |\n|---|--:|--:|--:|")
        for measure in chosen:
            _line(measure, _values(measure, routes, Settings(options.seconds, 100), options.rounds))
    return 0


def _values(measure: Measure, routes: list[Route], settings: Settings, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for step in range(len(routes)):
            route = routes[(number + step) % len(routes)]
            (value,) = measure.run(route, settings).values.values()
            found[route.name].append(value)
    return found


def _line(measure: Measure, values: dict[str, list[float]]) -> None:
    cells = [f"{statistics.median(values[THROWN_AWAY]):,.4g} {measure.unit}"]
    for name in (CLEAR, SEALED):
        pairs = zip(values[name], values[THROWN_AWAY], strict=True)
        ratios = [mine / its if measure.unit == "/s" else its / mine for mine, its in pairs]
        cells.append(f"**{statistics.median(ratios):.3f} ×** ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"| {measure.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
