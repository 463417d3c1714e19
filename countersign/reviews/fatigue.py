"""Keeps reviewers from being worn out: how much of one identity is held, and what many denials come to. Pure."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from countersign.review_settings import ReviewLimits

WINDOW = timedelta(minutes=10)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=30)


@dataclass(slots=True)
class _Past:
    opened: deque[datetime] = field(default_factory=deque)
    denied: deque[datetime] = field(default_factory=deque)
    pauses_until: datetime | None = None


class Fatigue:
    """What each identity has asked of reviewers lately. An identity that did nothing for ten minutes is forgotten."""

    def __init__(self, limits: ReviewLimits) -> None:
        self._limits = limits
        self._past: dict[str, _Past] = {}

    def refusal(self, identity: str, held: int, now: datetime) -> str:
        """Why a command of this identity, of which ``held`` are held, is not put before reviewers now; empty where it is."""
        past, limits = self._recent(identity, now), self._limits
        if limits.at_once and held >= limits.at_once:
            return f"{held} of your commands wait for a review already: wait for decisions"
        if past is None:
            return ""
        if past.pauses_until is not None and now < past.pauses_until:
            seconds = ceil((past.pauses_until - now).total_seconds())
            return f"{len(past.denied)} of your commands were denied lately: change your plan; nothing of yours is reviewed for {seconds} s"
        if limits.opened and len(past.opened) >= limits.opened:
            return f"{len(past.opened)} of your commands were put before reviewers in ten minutes: ask for fewer"
        return ""

    def opened(self, identity: str, now: datetime) -> None:
        """A review was opened."""
        self._past.setdefault(identity, _Past()).opened.append(now)

    def approved(self, identity: str) -> None:
        """A reviewer approved: what was denied before does not count any more."""
        if past := self._past.get(identity):
            past.denied.clear()
            past.pauses_until = None

    def denied(self, identity: str, now: datetime) -> None:
        """A reviewer denied."""
        past = self._past.setdefault(identity, _Past())
        past.denied.append(now)
        self._recent(identity, now)
        beyond = len(past.denied) - self._limits.denials
        if self._limits.denials and beyond >= 0:
            past.pauses_until = now + min(FIRST_PAUSE * 2 ** min(beyond, 10), LONGEST_PAUSE)

    def _recent(self, identity: str, now: datetime) -> _Past | None:
        past = self._past.get(identity)
        if past is None:
            return None
        for times in (past.opened, past.denied):
            while times and times[0] <= now - WINDOW:
                times.popleft()
        if not past.opened and not past.denied and (past.pauses_until is None or now >= past.pauses_until):
            del self._past[identity]
            return None
        return past
