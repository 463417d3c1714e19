"""How well hits fit labels.

A label is found when hits cover every letter and digit of it; for one kind only hits of that kind count. A hit is right where it touches
a value of its own kind, astray where it touches one of another kind only (a masker does no harm there, and some numbers are sound as
two countries'), and false where it touches none.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from quality.corpus import Item, Label


@dataclass(frozen=True, slots=True)
class Hit:
    """A stretch that a detector found, in characters, and the kind that the detector is for."""

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Score:
    """Labels found and missed; hits that were right, astray and false."""

    found: int = 0
    missed: int = 0
    right: int = 0
    astray: int = 0
    false: int = 0

    @property
    def precision(self) -> float | None:
        """Of the hits, the part that touches a sensitive value; None without hits."""
        return (self.right + self.astray) / self._hits if self._hits else None

    @property
    def own(self) -> float | None:
        """Of the hits, the part that touches a value of their own kind; None without hits."""
        return self.right / self._hits if self._hits else None

    @property
    def _hits(self) -> int:
        return self.right + self.astray + self.false

    @property
    def recall(self) -> float | None:
        """Of the labels, the part that was found; None without labels."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return _mean(self.precision, self.recall)

    @property
    def own_f1(self) -> float:
        """The same with what is astray counted as false."""
        return _mean(self.own, self.recall)

    def add(self, other: "Score") -> None:
        """Adds another's counts."""
        self.found += other.found
        self.missed += other.missed
        self.right += other.right
        self.astray += other.astray
        self.false += other.false


@dataclass(slots=True)
class Scores:
    """Of one run over a corpus: each kind by itself, the whole, where misses and false hits come from, and some of them to look at."""

    kinds: dict[str, Score] = field(default_factory=lambda: defaultdict(Score))
    whole: Score = field(default_factory=Score)
    false_in: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed_in: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))


def _mean(first: float | None, second: float | None) -> float:
    return 2 * first * second / (first + second) if first and second else 0.0


def score(items: Sequence[Item], hits_of: Callable[[Item], Iterable[Hit]], ignored: frozenset[str] = frozenset()) -> Scores:
    """``hits_of`` gives what was found in a text. Hits of ``ignored`` kinds may cover labels, but never count as false."""
    scores = Scores()
    for item in items:
        hits = list(hits_of(item))
        for label in item.labels:
            _judge_label(item, label, hits, scores)
        for hit in hits:
            if hit.kind not in ignored:
                _judge_hit(item, hit, scores)
        _count_whole_hits(item, [hit for hit in hits if hit.kind not in ignored], scores.whole)
    return scores


def _judge_label(item: Item, label: Label, hits: Sequence[Hit], scores: Scores) -> None:
    kind = label.kinds[0]
    if _covered(item.text, label, [hit for hit in hits if hit.kind in label.kinds]):
        scores.kinds[kind].found += 1
    else:
        scores.kinds[kind].missed += 1
        _note(scores.missed_in, scores, ("missed " + kind, item.way), item)
    if _covered(item.text, label, hits):
        scores.whole.found += 1
    else:
        scores.whole.missed += 1


def _judge_hit(item: Item, hit: Hit, scores: Scores) -> None:
    touched = [label for label in item.labels if _touches(label, hit)]
    if any(hit.kind in label.kinds for label in touched):
        scores.kinds[hit.kind].right += 1
    elif touched:
        scores.kinds[hit.kind].astray += 1
        _note(scores.false_in, scores, ("astray " + hit.kind, item.family), item, hit)
    else:
        scores.kinds[hit.kind].false += 1
        _note(scores.false_in, scores, ("false " + hit.kind, item.family), item, hit)


def _count_whole_hits(item: Item, hits: Sequence[Hit], whole: Score) -> None:
    """Hits that overlap each other mask one stretch, and count once."""
    end = -1
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if hit.start >= end:
            if any(_touches(label, hit) for label in item.labels):
                whole.right += 1
            else:
                whole.false += 1
        end = max(end, hit.end)


def _note(counter: Counter[tuple[str, str]], scores: Scores, key: tuple[str, str], item: Item, hit: Hit | None = None) -> None:
    counter[key] += 1
    if len(scores.examples[key]) < 5:
        scores.examples[key].append(
            item.text if hit is None else f"{item.text[: hit.start]}⟦{item.text[hit.start : hit.end]}⟧{item.text[hit.end :]}"
        )


def _touches(label: Label, hit: Hit) -> bool:
    return hit.start < label.outer_end and hit.end > label.outer_start


def _covered(text: str, label: Label, hits: Iterable[Hit]) -> bool:
    open_places = {at for at in range(label.start, label.end) if text[at].isalnum()}
    for hit in hits:
        open_places.difference_update(range(hit.start, hit.end))
    return not open_places
