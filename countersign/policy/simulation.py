"""What another policy would have said of commands that are on record. Pure.

A record holds what a command was read as, and not all that conditions can ask for: such commands are counted as not judged, never guessed.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from countersign.model import Action, Command, Effect, Identity, IdentityKind, Moment, Session, Statement, Target
from countersign.policy.rules import Policy, Rule

UNRECORDED = re.compile(r"\b(columns_read|columns_written|settings|locks|triggers|copy|transaction_open)\b")
"""What a condition can ask for and no record holds."""
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command on record, and the verdict that it got."""

    time: datetime
    session: Session
    command: Command
    was: Action
    rule: str
    is_cut: bool


def recorded(
    records: Iterable[tuple[str, str, Mapping[str, Any]]], since: datetime, targets: Mapping[str, Target]
) -> Iterator[Recorded]:
    """The commands among records (kind, time and body, oldest first) from a time on. Sessions are remembered from before it."""
    sessions: dict[str, Mapping[str, Any]] = {}
    for kind, at, body in records:
        if kind == "session.opened":
            sessions[body["session_id"]] = body
        elif kind == "session.closed":
            sessions.pop(body["session_id"], None)
        elif kind == "command" and (time := datetime.fromisoformat(at)) >= since:
            yield _recorded(time, body, sessions.get(body["session_id"], {}), targets)


def _recorded(time: datetime, body: Mapping[str, Any], opened: Mapping[str, Any], targets: Mapping[str, Target]) -> Recorded:
    identity = Identity(
        body["identity"],
        IdentityKind.SERVICE_ACCOUNT,
        tuple(opened.get("groups", ())),
        body["on_behalf_of"],
        opened.get("authentication", ""),
    )
    target = targets.get(body["target"], Target(body["target"], body["command"]["protocol"]))
    started = datetime.fromisoformat(opened["started_at"]) if "started_at" in opened else time
    session = Session(
        body["session_id"],
        identity,
        target,
        opened.get("client_address", ""),
        started,
        body["database"],
        opened.get("application", ""),
    )
    command = body["command"]
    return Recorded(time, session, _command(command), Action(body["verdict"]), body["rule"], bool(command.get("cut")))


def _command(stored: Mapping[str, Any]) -> Command:
    statements = tuple(
        Statement(
            one["kind"],
            frozenset(map(Effect, one["effects"])),
            one["summary"],
            tuple(one["reads"]),
            tuple(one["writes"]),
            tuple(one["functions"]),
            one["has_where"],
            tuple(one["reasons"]),
        )
        for one in stored["statements"]
    )
    return Command(
        stored["protocol"],
        b"",
        stored["text"],
        frozenset(map(Effect, stored["effects"])),
        statements,
        attributes=stored["attributes"],
        asks_unmasked=stored["asks_unmasked"],
    )


@dataclass(frozen=True, slots=True)
class Example:
    """A command whose verdict would be another."""

    time: datetime
    identity: str
    target: str
    text: str
    was: str
    now: str


@dataclass(slots=True)
class Simulation:
    """What came of it. ``moves`` counts commands by the verdict that they got and the one that they would get."""

    commands: int = 0
    moves: Counter[tuple[Action, Action]] = field(default_factory=Counter)
    by_rule: Counter[tuple[str, Action]] = field(default_factory=Counter)
    """Of the changed policy."""
    not_judged: Counter[str] = field(default_factory=Counter)
    """Reasons."""
    examples: dict[tuple[Action, Action], list[Example]] = field(default_factory=lambda: defaultdict(list))
    first: datetime | None = None
    last: datetime | None = None

    @property
    def days(self) -> float:
        """How long it all took, a day at least: what came in an hour says nothing of a day."""
        if self.first is None or self.last is None:
            return 1.0
        return max((self.last - self.first).total_seconds() / 86400, 1.0)

    def reviews_a_day(self) -> tuple[float, float]:
        """Those that there were, and those that there would be, of the commands that could be judged."""
        before = sum(count for (was, _), count in self.moves.items() if was is Action.REVIEW)
        after = sum(count for (_, now), count in self.moves.items() if now is Action.REVIEW)
        return before / self.days, after / self.days


def simulate(policy: Policy, commands: Iterable[Recorded]) -> Simulation:
    """Put every command to another policy."""
    asking = [rule for rule in (*policy.rules, *policy.defaults) if rule.condition and UNRECORDED.search(rule.condition.expression)]
    varying = [rule for rule in (*policy.rules, *policy.defaults) if rule.condition and rule.condition.varies]
    found = Simulation()
    for one in commands:
        found.commands += 1
        found.first = found.first or one.time
        found.last = one.time
        if reason := _unjudged(one, asking, varying):
            found.not_judged[reason] += 1
            continue
        session = one.session
        verdict = policy.decide(session.identity, session.target, session, one.command, Moment(one.time))
        action = Action.REVIEW if one.command.asks_unmasked and verdict.action is Action.ALLOW else verdict.action
        found.moves[one.was, action] += 1
        found.by_rule[verdict.rule, action] += 1
        examples = found.examples[one.was, action]
        if action is not one.was and len(examples) < EXAMPLES:
            was, now = f"{one.was} by {one.rule!r}", f"{action} by {verdict.rule!r}"
            examples.append(Example(one.time, session.identity.name, session.target.name, one.command.text, was, now))
    return found


def _unjudged(one: Recorded, asking: list[Rule], varying: list[Rule]) -> str:
    """Why a command cannot be judged from its record; empty where it can."""
    asked = (one.session.identity, one.session.target, one.command)
    for rule in asking:
        if rule.concerns(*asked):
            return f"rule {rule.name!r} asks for what records do not hold"
    if one.is_cut and any(rule.concerns(*asked) for rule in varying):
        return "its text is not kept whole, and a rule may look at it"
    if one.rule.startswith("built-in") and one.was is Action.DENY:
        return "the gateway itself refused it, whatever a policy says"
    return ""
