"""What a sink is given, and what it owes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from countersign.audit.export import Form, Line


@dataclass(frozen=True, slots=True)
class Parcel:
    """What follows record ``first`` - 1 up to record ``last``, as far as it is asked for: ``lines`` may be fewer, and none at all.

    ``source`` says whose parcels these are, and ``name`` is this one's among them: the same parcel always has the same name.
    """

    source: str
    name: str
    first: int
    last: int
    form: Form
    lines: Sequence[Line]

    @property
    def body(self) -> bytes:
        """The lines as a document."""
        return self.form.whole(line.data for line in self.lines)


class SinkError(Exception):
    """A parcel was not taken; the text says why, for people. ``wait_s``: the sink asks not to be tried sooner. ``stuck``: it refuses what
    it is sent, so that somebody has to look."""

    def __init__(self, text: str, *, wait_s: float = 0.0, stuck: bool = False) -> None:
        super().__init__(text)
        self.wait_s = wait_s
        self.stuck = stuck


class Sink(Protocol):
    """A place. ``place`` names it for people. ``knows_repeats``: it keeps a parcel that it is given twice only once, so what was
    in a parcel must not change before it is taken."""

    place: str
    knows_repeats: bool

    async def take(self, parcel: Parcel) -> None:
        """Return once everything in it is kept. Raises ``SinkError``."""
