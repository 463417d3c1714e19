"""Time as a thing that is passed in, so that tests own it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Answers the time now, aware and in UTC."""

STRAY = timedelta(seconds=1)
"""Less is how clocks are corrected all the time."""


class SteadyClock:
    """A wall clock that follows the machine's forwards, and never goes back: while the machine's is set back, time goes on as it is measured.

    So what ends at a moment ends no later for a clock that is set back (I4), and no earlier than the machine's clock says.
    """

    def __init__(self, wall: Clock, monotonic_s: Callable[[], float], set_back: Callable[[float], None]) -> None:
        """``set_back`` is told once, in seconds, by how much the machine's clock has gone back."""
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._set_back = set_back
        self._at, self._at_s = wall(), monotonic_s()
        self._is_behind = False

    def __call__(self) -> datetime:
        """The time now."""
        passed_s = self._monotonic_s()
        measured = self._at + timedelta(seconds=passed_s - self._at_s)
        wall = self._wall()
        behind = measured - wall
        if behind > STRAY and not self._is_behind:
            self._set_back(behind.total_seconds())
        self._is_behind = behind > STRAY
        self._at, self._at_s = max(wall, measured), passed_s
        return self._at


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: sorts as it reads."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def from_text(text: str) -> datetime:
    """The inverse of ``to_text``. Raises ``ValueError``."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
