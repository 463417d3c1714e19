"""The steady state: a client asks what it has asked before, and the target answers as it did.

A request of a shape that was judged before in this session, and found a plain read whatever its constants say, is judged again from
what is known, without parsing: a permit, an audit record and the recording of its own, but no new reading. The reply is followed
in the core as long as it is what was expected. Whatever is not goes to the full state machine (``requests``, ``answers``).
"""

import time
from dataclasses import dataclass, field

from countersign import _core
from countersign.gate import Standing, digest_of
from countersign.model import Command, Parameter
from countersign.protocols.postgres.codec import Asked, Entry, Learning, Portal, Prepared, Running
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.naming import Verb
from countersign.protocols.postgres.reading import PROTOCOL, bound
from countersign.protocols.postgres.session.conversation import ROWS_RECORDED, Conversation, record_rows
from countersign.protocols.postgres.session.target import MESSAGE_LIMIT_BYTES

SHAPES_KEPT = 512
NO_ROWS = _core.RowPlan([], None)


@dataclass(slots=True)
class Known:
    """What is known of a shape: its standing with the gate, its description, and how its rows are masked."""

    standing: Standing
    generation: int
    learning: Learning
    plan: _core.RowPlan
    has_rows: bool


@dataclass(slots=True)
class InFlight:
    """One request whose reply is followed."""

    known: Known
    running: Running
    answer: _core.Answer
    entries: list[Entry] = field(default_factory=list)
    prepared: tuple[bytes, Prepared] | None = None


class Steady:
    """The steady state of one session. Both methods say whether they dealt with the bytes."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._known: dict[bytes, Known] = {}
        self._now: InFlight | None = None

    # -- learning
    def learn(self, running: Running, *, simple: bool) -> None:
        """A plain read was answered: remember how, if the policy's verdict holds for every text of its shape."""
        learning, talk = running.learning, self._talk
        if (
            learning is None
            or talk.schema_changed
            or running.copies
            or len(running.statements) != 1
            or running.statements[0].verb is not Verb.OTHER
        ):
            return
        running.learning = None
        standing = talk.surroundings.gate.standing(talk.session, running.command)
        if standing is None or (simple and len(running.tags) != 1):
            return
        if len(self._known) >= SHAPES_KEPT:
            self._known.clear()
        has_rows = bool(learning.description)
        plan = running.plan if has_rows and running.plan is not None else NO_ROWS
        self._known[learning.key] = Known(standing, talk.surroundings.catalog.generation, learning, plan, has_rows)

    # -- from the client
    def from_client(self, data: bytes) -> bool:
        """Forward a request of a known shape."""
        talk = self._talk
        if self._now is not None or not talk.is_quiet or talk.schema_changed or not _grammar_agrees(talk):
            return False
        request = _core.steady_request(data)
        if request is None:
            return False
        if len(request) == 2:
            return self._query(data, *request)
        return self._extended(*request)

    def _query(self, data: bytes, key: bytes, sql: bytes) -> bool:
        known = self._standing(b"q" + key)
        command = None if known is None else self._command(known, data, sql, ())
        if known is None or command is None:
            return False
        running = self._admit(known, command)
        if running is None:
            return False
        talk = self._talk
        talk.statements.forget(b"")  # a simple Query destroys the unnamed statement and portal
        talk.portals.forget(b"")
        steps = b"TDCZ" if known.has_rows else b"CZ"
        entry = Entry(Asked.QUERY, running=running, is_simple=True)
        self._start(known, running, steps, True, [entry], data)
        return True

    def _extended(
        self,
        parse: tuple[bytes, list[int], bytes] | None,
        statement: bytes,
        formats: list[int],
        values: list[bytes | None],
        bind_raw: bytes,
        describes: bool,
        forward: bytes,
    ) -> bool:
        talk = self._talk
        if parse is not None:
            sql, types, raw = parse
            prepared = Prepared(sql, types, raw, sql.decode("utf-8", "replace"), sql, talk.age)
        else:
            held = talk.statements.get_held(statement)
            if held is None or held.age != talk.age:
                return False
            prepared = held
        known = self._standing(b"x" + _core.shape(prepared.sql))
        if known is None:
            return False
        try:
            parameters = bound(prepared, formats, values)
        except ProtocolViolation:
            return False  # the full state machine says so
        command = self._command(known, prepared.raw + bind_raw, prepared.sql, parameters)
        running = self._admit(known, command) if command is not None else None
        if running is None:
            return False
        portal = Portal(running, known.plan if known.has_rows else None, prepared.query)
        entries = [
            Entry(Asked.BIND, portal=portal, running=running),
            Entry(Asked.DESCRIBE if describes else Asked.DESCRIBE_OURS, portal=portal, running=running),
            Entry(Asked.EXECUTE, portal=portal, running=running),
            Entry(Asked.SYNC),
        ]
        steps = b"2TDCZ" if known.has_rows else b"2nCZ"
        if parse is not None:
            steps = b"1" + steps
            entries.insert(0, Entry(Asked.PARSE, name=statement, prepared=prepared))
        self._start(known, running, steps, describes, entries, forward)
        return True

    def _standing(self, key: bytes) -> Known | None:
        known = self._known.get(key)
        catalog = self._talk.surroundings.catalog
        if known is None or not catalog.is_fresh or known.generation != catalog.generation:
            return None
        return known

    def _command(self, known: Known, raw: bytes, sql: bytes, parameters: tuple[Parameter, ...]) -> Command | None:
        try:
            text = sql.decode("utf-8")
        except UnicodeDecodeError:
            return None
        before = known.standing.command
        return Command(PROTOCOL, raw, text, before.effects, before.statements, parameters, before.attributes)

    def _admit(self, known: Known, command: Command) -> Running | None:
        """The gate's permit, spent (I2), or None where the full judgement is needed."""
        talk = self._talk
        permit = talk.surroundings.gate.admit_again(talk.session, known.standing, command)
        if permit is None:
            return None
        permit.spend(session_id=talk.session.id, digest=digest_of(talk.session, command))
        talk.recorder.add("command", text=command.text, parameters=[p.shown for p in command.parameters])
        running = Running(permit, command, time.monotonic(), command.text)
        if known.has_rows:
            talk.recorder.add("columns", names=known.learning.names, masked=known.learning.masked_by)
            running.plan = known.plan
        return running

    def _start(self, known: Known, running: Running, steps: bytes, shown: bool, entries: list[Entry], forward: bytes) -> None:
        talk = self._talk
        talk.statements.settle()
        talk.portals.settle()
        talk.skipping = False
        answer = _core.Answer(steps, known.learning.description, shown, known.plan, MESSAGE_LIMIT_BYTES)
        self._now = InFlight(known, running, answer, entries)
        talk.in_flight = running
        talk.opening = None
        talk.target.wire.send(forward)
        talk.target.wire.flush()

    # -- from the target
    def from_target(self, data: bytes) -> bool:
        """Follow the reply to the request in flight."""
        now, talk = self._now, self._talk
        if now is None:
            return False
        out, rows, count, tag, ready, turned = now.answer.feed(data)
        running = now.running
        if count:
            if running.rows < ROWS_RECORDED:
                record_rows(talk, rows, count, ROWS_RECORDED - running.rows)
            running.rows += count
            running.bytes_out += len(rows)
        if tag is not None:
            running.tags.append(tag.decode("utf-8", "replace"))
        if out:
            talk.to_client(out)
            talk.client.flush()
        if ready is not None:
            self._complete(now, bytes((ready,)))
        if turned is not None:
            self._turn(now, *turned)
        elif ready is None and talk.client.is_slow:
            self._turn(now, *now.answer.give_up())
        return True

    def _complete(self, now: InFlight, status: bytes) -> None:
        talk = self._talk
        self._now = talk.in_flight = None
        for entry in now.entries:
            if entry.asked is Asked.PARSE:
                talk.statements.confirm(entry.name, entry.prepared)
            elif entry.asked is Asked.BIND and status != b"I":
                talk.portals.confirm(entry.name, entry.portal)
        talk.finish_now(now.running, now.running.tags[-1])
        talk.is_ready(status)
        talk.moved.set()

    def _turn(self, now: InFlight, answered: int, left: bytes) -> None:
        """The reply is not what was expected: the full state machine goes on from here."""
        talk = self._talk
        if self._now is None:  # complete, and bytes behind it
            talk.target.wire.unread(left)
            return
        self._now = talk.in_flight = None
        running, simple = now.running, now.entries[0].asked is Asked.QUERY
        for index, entry in enumerate(now.entries):
            is_answered = not simple and index < answered
            if entry.asked is Asked.PARSE and entry.prepared is not None:
                talk.statements.confirm(entry.name, entry.prepared) if is_answered else talk.statements.hope(
                    entry.name, entry.prepared
                )
            elif entry.asked is Asked.BIND and entry.portal is not None:
                talk.portals.confirm(entry.name, entry.portal) if is_answered else talk.portals.hope(entry.name, entry.portal)
            if not is_answered:
                talk.replies.ask(entry)
        if simple:
            now.entries[0].statement_index = len(running.tags)
        in_rows = (
            answered > 0 and not running.tags
            if simple
            else talk.replies.head is not None and talk.replies.head.asked is Asked.EXECUTE
        )
        talk.target.decoder.set_row_plan(now.known.plan if in_rows and now.known.has_rows else None)
        talk.target.wire.unread(left)


def _grammar_agrees(talk: Conversation) -> bool:
    parameters = talk.target.parameters
    return parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"
