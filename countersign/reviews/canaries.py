"""Made-up reviews between the real ones. Nobody asked for what they show, and nothing runs whatever is decided: who approves one has not
looked. They look like the review that they come behind, but for the command."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from countersign.model import Command, DecisionKind, Review, ReviewState
from countersign.review_settings import CanarySettings
from countersign.reviews import machine
from countersign.reviews.records import command_json

MARK = "canary"
"""In the stored form of the command. It is told to nobody while the review is pending."""
LONGEST_WAIT_S = 120.0
"""How long after the real review one appears, at most."""
APPROVED = "a canary, which nobody asked for: {} would have let it run"
DENIED = "a canary, which nobody asked for: rightly denied"


class Canaries:
    """Says when one is due, and with which text."""

    def __init__(self, settings: CanarySettings | None, below: Callable[[int], int] = secrets.randbelow) -> None:
        self._settings = settings
        self._below = below

    def due(self) -> str:
        """The text of one that is to come behind a review that was just opened; mostly ''."""
        if self._settings is None or self._below(self._settings.one_in):
            return ""
        return self._settings.commands[self._below(len(self._settings.commands))]

    def wait_s(self) -> float:
        """How long until it appears."""
        return LONGEST_WAIT_S * self._below(1000) / 1000


def made_up(real: Review, command: Command, new_id: Callable[[str], str], now: datetime) -> Review:
    """The review that pretends to be of this command."""
    kept = {
        name: value
        for name, value in real.command.items()
        if name in ("client_address", "application", "database", "claims", "bound_problem")
    }
    return replace(
        real,
        id=new_id("rv"),
        state=ReviewState.PENDING,
        command_id=new_id("cmd"),
        digest=secrets.token_hex(32),
        command=command_json(command) | kept | {MARK: True},
        created_at=now,
        expires_at=machine.ends_at(real.terms, now),
        updated_at=now,
        outcome="",
        released_at=None,
        decisions=(),
        marks=(),
    )


def is_canary(review: Review) -> bool:
    """Whether it is one."""
    return review.command.get(MARK) is True


def ended(review: Review, kind: DecisionKind, reviewer: str) -> tuple[Review, str]:
    """One as it is after a decision, and the kind of the record that says how it was decided; '' where that leaves it as it is."""
    if kind in (DecisionKind.APPROVE, DecisionKind.FORCE):
        return replace(review, state=ReviewState.CANCELLED, outcome=APPROVED.format(reviewer)), "review.canary_approved"
    if kind is DecisionKind.DENY:
        return replace(review, outcome=DENIED), "review.canary_denied"
    return review, ""
