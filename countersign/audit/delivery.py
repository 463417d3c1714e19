"""Delivery at least once: what a feed has, in order, to a sink, with a cursor that is kept.

The cursor moves only once the sink has taken a parcel, so whatever dies in between, the parcel is given again. A sink that keeps a repeated
parcel once is promised more: where a parcel ends is kept before it is given, so that it is the same one the next time.
Each delivery goes on for itself: one that fails is tried again, ever later, and holds up nobody else.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from countersign.audit.contract import AuditUnavailable
from countersign.audit.sinks import Parcel, Sink, SinkError
from countersign.model.clock import Clock, from_text

log = structlog.get_logger(__name__)

POLL_S = 0.5
"""How often is asked for something new."""
RETRY_S, RETRY_LIMIT_S = 0.5, 60.0
ATTEMPT_S = 60.0
"""How long a sink may take over one parcel."""
BEHIND_S = 60.0
"""Who is further behind is warned of, as often."""


@dataclass(frozen=True, slots=True)
class Position:
    """A cursor: everything up to ``confirmed`` was taken. ``planned``: where the parcel under way ends, if one is."""

    confirmed: int
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """How much of a feed a cursor has before it: the records, and the time of the first (RFC 3339), empty where there is none."""

    records: int
    since: str = ""

    def seconds(self, now: datetime) -> float:
        """For how long the first has waited."""
        return max((now - from_text(self.since)).total_seconds(), 0.0) if self.since else 0.0


class Feed(Protocol):
    """Where parcels come from. ``name`` is what its cursor goes by."""

    name: str

    async def after(self, seq: int, up_to: int | None) -> Parcel | None:
        """What follows ``seq``, up to exactly ``up_to`` where that is given; None where nothing does. Raises ``AuditUnavailable``."""


class Cursors(Protocol):
    """Where cursors are kept. All of it raises ``AuditUnavailable``."""

    async def position(self, name: str) -> Position | None:
        """None where there was never one of this name."""

    async def plan(self, name: str, last: int) -> None:
        """Keep where the parcel under way ends."""

    async def confirm(self, name: str, last: int) -> None:
        """Move the cursor there; nothing is under way any more."""

    async def lag(self, name: str) -> Lag:
        """How far it is behind."""

    async def end(self) -> int:
        """The number of the log's last record."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a delivery is doing. ``state``: ``ok``, ``failing`` (tried again by itself) or ``stuck`` (somebody has to look; it is tried again
    too)."""

    name: str
    place: str
    cursor: int
    lag_records: int
    lag_s: float
    state: str
    last_error: str


class Delivery:
    """One feed, one sink. ``run`` it as a task; ``finish`` makes it deliver what there is and end."""

    def __init__(self, feed: Feed, sink: Sink, cursors: Cursors, clock: Clock, *, from_now: bool = False) -> None:
        self.name = feed.name
        self._feed, self._sink, self._cursors, self._clock = feed, sink, cursors, clock
        self._from_now = from_now
        self._woken = asyncio.Event()
        self._finishing = False
        self._state, self._last_error = "ok", ""
        self._warned_at: datetime | None = None

    def wake(self) -> None:
        """Look for something new now, unless the sink failed lately."""
        if self._state == "ok":
            self._woken.set()

    def finish(self) -> None:
        """Deliver once more what there is, and end ``run``."""
        self._finishing = True
        self._woken.set()

    async def run(self) -> None:
        """Deliver until ``finish``."""
        failures = 0
        while True:
            last_time = self._finishing
            self._woken.clear()
            try:
                await self._deliver()
            except Exception as error:  # whatever it is, what was not taken is given again
                failures += 1
                wait_s = max(backoff_s(failures), error.wait_s if isinstance(error, SinkError) else 0.0)
                await self._failed(error, wait_s)
            else:
                failures, wait_s = 0, POLL_S
            if last_time:
                return
            if self._finishing:
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def status(self) -> Status:
        """How it is doing now. Raises ``AuditUnavailable``."""
        return await status_of(self.name, self._sink.place, self._cursors, self._clock, self._state, self._last_error)

    async def _deliver(self) -> None:
        """Everything there is now. Raises ``SinkError`` and ``AuditUnavailable``."""
        position = await self._position()
        while (parcel := await self._feed.after(position.confirmed, position.planned)) is not None:
            if parcel.lines:
                await self._give(parcel, position)
            await self._cursors.confirm(self.name, parcel.last)
            position = Position(parcel.last)
            self._works()
            await self._warn_if_behind()

    async def _position(self) -> Position:
        position = await self._cursors.position(self.name)
        if position is None:
            position = Position(await self._cursors.end() if self._from_now else 0)
            await self._cursors.confirm(self.name, position.confirmed)
        return position

    async def _give(self, parcel: Parcel, position: Position) -> None:
        if self._sink.knows_repeats and position.planned != parcel.last:
            await self._cursors.plan(self.name, parcel.last)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._sink.take(parcel)
        except TimeoutError as error:
            raise SinkError(f"{self._sink.place}: not taken within {ATTEMPT_S:.0f} s") from error

    def _works(self) -> None:
        if self._state != "ok":
            log.info("delivery_goes_on", delivery=self.name, place=self._sink.place)
        self._state, self._last_error = "ok", ""

    async def _failed(self, error: Exception, wait_s: float) -> None:
        is_stuck = isinstance(error, SinkError) and error.stuck
        known = isinstance(error, (SinkError, AuditUnavailable))
        self._state = "stuck" if is_stuck else "failing"
        # Of an error that nobody expected only its kind is told: its words may be anybody's.
        self._last_error = str(error) if known else f"failed inside: {type(error).__name__}"
        tell = log.error if is_stuck or not known else log.warning
        told = {"delivery": self.name, "error": self._last_error, "again_in_s": round(wait_s, 1)}
        tell("delivery_stuck" if is_stuck else "delivery_failed", **told, **await self._lag_told())

    async def _warn_if_behind(self) -> None:
        now = self._clock()
        if self._warned_at is not None and (now - self._warned_at).total_seconds() < BEHIND_S:
            return
        self._warned_at = now
        told = await self._lag_told()
        if told.get("lag_s", 0.0) > BEHIND_S:
            log.warning("delivery_behind", delivery=self.name, place=self._sink.place, **told)

    async def _lag_told(self) -> dict[str, float]:
        try:
            lag = await self._cursors.lag(self.name)
        except AuditUnavailable:
            return {}
        return {"lag_records": lag.records, "lag_s": round(lag.seconds(self._clock()), 1)}


async def status_of(name: str, place: str, cursors: Cursors, clock: Clock, state: str = "", last_error: str = "") -> Status:
    """The status of a delivery, from its kept cursor. ``state`` is empty where no gateway runs."""
    position, lag = await cursors.position(name), await cursors.lag(name)
    seconds = round(lag.seconds(clock()), 1)
    return Status(name, place, position.confirmed if position else 0, lag.records, seconds, state, last_error)


def backoff_s(failures: int, chance: Callable[[], float] = random.random) -> float:
    """How long to wait after so many failures: twice as long each time, and between half of that and all of it, so that many do not come
    back at once."""
    return float(min(RETRY_S * 2 ** min(failures - 1, 16), RETRY_LIMIT_S) * (0.5 + chance() / 2))
