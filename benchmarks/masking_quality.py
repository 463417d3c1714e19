"""How well the detectors tell sensitive values from what looks like them, beside Presidio on the same texts.

    python benchmarks/masking_quality.py                     # the core alone; needs the extra 'test'
    python benchmarks/masking_quality.py --presidio MODEL    # and Presidio with a spaCy model, or 'blank'; needs the extra 'presidio'

The corpus is made anew each time, always the same for one --seed: values with known places and kinds, and near misses. A detector's
recall is the part of its values that it covers to the last letter; its precision the part of its hits that touch a sensitive value.
Exit codes: 0 done, 1 below an aim with --check, 2
wrong usage.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quality import corpus, engines
from quality.corpus import Item
from quality.identifiers import IDENTIFIERS, WITHOUT_CHECKSUM
from quality.scoring import Score, Scores, score

AIM_PRECISION, AIM_RECALL = 0.99, 0.97
THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
CHECKSUM_BACKED = {one.kind for one in IDENTIFIERS} - WITHOUT_CHECKSUM | {"payment_card", "iban", "bitcoin", "ethereum"}


@dataclass(frozen=True, slots=True)
class Run:
    """One engine over the corpus: its kinds, the whole, the whole of only what Presidio has a recogniser for, and texts a second."""

    name: str
    kinds: Scores
    whole: Score
    shared: Score
    speed: float


def main() -> int:
    """Measure and print."""
    options = _options()
    items = corpus.build(options.values, options.seed)
    runs = [_core(items)]
    for name, everything in (("Presidio as shipped", False), ("Presidio, all", True)) if options.presidio else ():
        runs.append(_presidio(name, items, engines.Presidio(options.presidio, everything)))
    if options.json:
        print(json.dumps({run.name: _as_json(run) for run in runs}, ensure_ascii=False, indent=1))
    else:
        print(
            "\n".join(
                [
                    *_summary(items, runs),
                    "",
                    *_table(items, runs),
                    "",
                    _bare(options.seed),
                    *_origins(runs[0].kinds, options.examples),
                ]
            )
        )
    below = _below(runs[0].kinds) if options.check else []
    print(*(f"below the aims: {kind}" for kind in below), sep="\n", end="", file=sys.stderr)
    return 1 if below else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure precision and recall of the detectors.")
    parser.add_argument("--values", type=int, default=24_000, help="how many texts")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--presidio", metavar="MODEL", default="", help="compare with Presidio on this spaCy model; 'blank' has no names"
    )
    parser.add_argument(
        "--examples", type=int, default=0, metavar="N", help="show the N commonest misses and false hits, with texts"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a kind with a checksum is below the aims")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    if options.values < 1:
        parser.error("values must be 1 or more")
    return options


def _below(scores: Scores) -> list[str]:
    """Checksum-backed kinds that miss an aim."""
    return [
        kind
        for kind, one in scores.kinds.items()
        if kind in CHECKSUM_BACKED and ((one.precision or 0) < AIM_PRECISION or (one.recall or 0) < AIM_RECALL)
    ]


def _core(items: Sequence[Item]) -> Run:
    together = engines.core_together()
    start = time.perf_counter()
    found = {id(item): list(together(item)) for item in items}
    speed = len(items) / (time.perf_counter() - start)
    whole = score(items, lambda item: found[id(item)]).whole
    return Run(
        "Countersign", score(items, engines.core_alone()), whole, score(_shared(items), lambda item: found[id(item)]).whole, speed
    )


def _presidio(name: str, items: Sequence[Item], presidio: engines.Presidio) -> Run:
    """By the threshold that serves it best on this very corpus."""
    start = time.perf_counter()
    found = {id(item): presidio.found(item) for item in items}
    speed = len(items) / (time.perf_counter() - start)

    def above(threshold: float, texts: Sequence[Item]) -> Scores:
        return score(texts, lambda item: [hit for hit, sure in found[id(item)] if sure >= threshold], engines.NEVER_FALSE)

    best = max(THRESHOLDS, key=lambda threshold: above(threshold, items).whole.f1)
    scores = above(best, items)
    return Run(
        f"{name} ({presidio.recognisers} recognisers, scores from {best})",
        scores,
        scores.whole,
        above(best, _shared(items)).whole,
        speed,
    )


def _shared(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if all(label.kinds[0] in engines.KINDS_OF_PRESIDIO for label in item.labels)]


# -- what is shown
def _part(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _summary(items: Sequence[Item], runs: Sequence[Run]) -> list[str]:
    labelled, shared = (sum(bool(item.labels) for item in some) for some in (items, _shared(items)))
    lines = [
        f"{len(items):,} texts, {labelled:,} with a sensitive value, {shared:,} of them of a kind that Presidio has a recogniser for.",
        "",
    ]
    lines += [
        "| masked, by whatever name | precision | recall | F1 | F1, Presidio's kinds | F1, kind by kind | texts/s |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for run in runs:
        typed = _sum(one for kind, one in run.kinds.kinds.items() if kind not in engines.NEVER_FALSE)
        parts = (run.whole.precision, run.whole.recall, run.whole.f1, run.shared.f1, typed.own_f1)
        lines.append(f"| {run.name} | {' | '.join(map(_part, parts))} | {run.speed:,.0f} |")
    return lines


def _sum(scores: Iterable[Score]) -> Score:
    total = Score()
    for one in scores:
        total.add(one)
    return total


def _table(items: Sequence[Item], runs: Sequence[Run]) -> list[str]:
    counts = Counter(label.kinds[0] for item in items for label in item.labels)
    names = [run.name.split(" (")[0] for run in runs]
    lines = ["| precision, recall, own | values | " + " | ".join(names) + " |", "|---|--:|" + "--:|" * len(runs)]
    for kind in [*counts, *(kind for kind in runs[0].kinds.kinds if kind not in counts)]:
        found = [run.kinds.kinds.get(kind, Score()) for run in runs]
        parts = [
            f"{_part(one.precision)}, {_part(one.recall)}, {_part(one.own)}" if one.precision is not None or one.found else "–"
            for one in found
        ]
        lines.append(f"| {kind}{' ✓' if kind in CHECKSUM_BACKED else ''} | {counts[kind] or ''} | {' | '.join(parts)} |")
    return [*lines, "", "✓: with a checksum. Own: of the hits, the part on values of that very kind. –: nothing found."]


def _bare(seed: int) -> str:
    bare = corpus.bare_numbers(1000, seed)
    recall = score(bare, engines.core_together()).whole.recall
    return f"Identity numbers that neither form nor word nor column tells from other digits are in no table; {_part(recall)} of {len(bare)} are masked."


def _origins(scores: Scores, count: int) -> list[str]:
    lines = []
    for key, times in (scores.false_in + scores.missed_in).most_common(count):
        lines.append(f"{times:5d} {key[0]} in {key[1]}")
        lines += [f"          {text[:200]!r}" for text in scores.examples[key]]
    return lines


def _as_json(run: Run) -> dict[str, object]:
    def parts(one: Score) -> dict[str, object]:
        return {
            "precision": one.precision,
            "recall": one.recall,
            "f1": one.f1,
            "own": one.own,
            "found": one.found,
            "missed": one.missed,
            "right": one.right,
            "astray": one.astray,
            "false": one.false,
        }

    kinds = {kind: parts(one) | {"has_checksum": kind in CHECKSUM_BACKED} for kind, one in run.kinds.kinds.items()}
    return {"whole": parts(run.whole), "shared": parts(run.shared), "kinds": kinds, "texts_a_second": run.speed}


if __name__ == "__main__":
    sys.exit(main())
