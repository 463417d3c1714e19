"""The steady state: a client asks what it has asked before, and the target answers as it did.

A shape that was judged once, and found a plain read whatever its constants say, goes by the session's ``Lane`` in the core from then on:
an audit record and a recording of its own, but no new reading. Where both connections are plain TCP the relay's thread moves the bytes
(``lanes``); through TLS they come by here. Whatever the lane does not know goes to the full state machine (``requests``, ``answers``),
and so does a reply that is not the expected one, from where it stands.
"""

import os
import secrets
import time
from dataclasses import dataclass

from countersign import _core
from countersign.gate import Standing
from countersign.model import Command, Parameter, Session
from countersign.policy import Policy
from countersign.protocols.postgres.access import SETTING_CALLS, Need, need_of
from countersign.protocols.postgres.codec import Asked, Entry, Portal, Prepared, Running
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.naming import Verb
from countersign.protocols.postgres.reading import PROTOCOL, bound
from countersign.protocols.postgres.session.conversation import Conversation
from countersign.protocols.postgres.session.recorded import columns_tail, verdict_tail
from countersign.protocols.postgres.session.target import MESSAGE_LIMIT_BYTES
from countersign.protocols.postgres.session.transactions import OPENS

SHAPES_KEPT = 512
NO_ROWS = _core.RowPlan([], None)


@dataclass(slots=True)
class Known:
    """What is known of a shape: its standing with the gate, and how its rows are masked."""

    standing: Standing
    plan: _core.RowPlan
    has_rows: bool


def new_lane(session: Session, rows_recorded: int) -> _core.Lane:
    """The lane of a session that begins."""
    origin = (PROTOCOL, session.id, session.identity.name, session.target.name, session.database)
    return _core.Lane(origin, secrets.token_bytes(16), MESSAGE_LIMIT_BYTES, rows_recorded)


class Steady:
    """One session's lane, and whoever drives it."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._lane = conversation.lane
        self._lanes = conversation.surroundings.lanes
        self._known: dict[bytes, Known] = {}
        self._generation = -1
        self._policy: Policy | None = None
        """By which what is known was judged."""
        self._synced = (-1, -1)
        self._number = 0
        """The session's number while it is with the relay's thread, 0 otherwise."""

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
        if running.command.statements[0].kind in OPENS:
            return  # which may have to be said again (``transactions``)
        if _hangs_on_constants(running.command) or talk.shows_originals(running):
            return  # the lane records the rows that it carries
        if talk.access.is_enforced and need_of(running.command) is not Need.READ_ONLY:
            return  # what goes by the lane must leave the access mode as it is
        standing = talk.surroundings.gate.standing(talk.session, running.command)
        if standing is None or (simple and len(running.tags) != 1) or not self._is_current():
            return
        if learning.generation != self._generation:
            return  # read by a catalog that has become another since
        if len(self._known) >= SHAPES_KEPT:
            self._forget()
        has_rows = bool(learning.description)
        plan = running.plan if has_rows and running.plan is not None else NO_ROWS
        self._known[learning.key] = Known(standing, plan, has_rows)
        columns = columns_tail(learning.columns) if has_rows else b""
        epoch = talk.surroundings.catalog.epoch.value()
        verdict = verdict_tail(standing.verdict)
        self._lane.know(learning.key, standing.record, verdict, columns, learning.description, plan, epoch)

    def _is_current(self) -> bool:
        """See that what is known was judged by the policy in force and the catalog as it is; False while that is not known."""
        catalog, policy = self._talk.surroundings.catalog, self._talk.surroundings.gate.policy
        epoch = catalog.epoch.value()
        if not catalog.is_fresh:
            return False
        if self._generation != catalog.generation or self._policy is not policy:
            self._forget()
            self._generation, self._policy = catalog.generation, policy
        self._lane.renew(epoch)
        return True

    def _forget(self) -> None:
        self._known.clear()
        self._lane.forget_shapes()

    # -- who drives
    def is_open(self) -> bool:
        """Whether the next request may go by the lane."""
        talk = self._talk
        if not talk.access.goes_at_once(Need.READ_ONLY):
            return False
        if not self._known or not talk.is_quiet or talk.schema_changed or not _grammar_agrees(talk) or not self._is_current():
            return False
        held = (talk.statements.changes, talk.age)
        if held != self._synced:
            statements = talk.statements.held().items()
            known = [(name, one.sql, one.parameter_types, one.raw) for name, one in statements if one.age == talk.age]
            self._lane.set_statements(known)
            self._synced = held
        return True

    @property
    def may_enter(self) -> bool:
        """Whether there is anything that the relay's thread could do for the session."""
        return bool(self._known) and self._lanes.is_running and not self._number and self._talk.is_plain

    def enter(self) -> bool:
        """Hand the session to the relay's thread. Both loops have nothing to do. False where bytes are still on their way out."""
        talk = self._talk
        if not self.may_enter or self._lane.is_busy() or not self.is_open():
            return True
        client = talk.client.lend()
        target = None if client is None else talk.target.wire.lend()
        if client is None or target is None:
            if client is not None:
                os.close(client)
                talk.client.take_back(b"", b"")
            return False
        epoch = talk.surroundings.catalog.epoch
        self._number = self._lanes.enter(self._lane, (client, target), talk.recorder, epoch, self._taken_back)
        return True

    def leave(self) -> None:
        """Have the session back, whatever it is at."""
        if self._number:
            self._lanes.reclaim(self._number)
        turned = self._lane.give_up()
        if turned is not None:
            self._turn(turned)

    def _taken_back(self, returned: "_core.Returned") -> None:
        talk = self._talk
        why, words, turned, from_client, from_target, to_client, to_target = returned
        self._number = 0
        self._settle()
        if turned is not None:
            from_target = self._turn(turned) + from_target
        talk.client.take_back(from_client, to_client)
        talk.target.wire.take_back(from_target, to_target)
        talk.moved.set()
        if why == "broken":
            talk.fail(ProtocolViolation(words))

    # -- driven from here
    def from_client(self, data: bytes) -> bool:
        """Forward a request of a known shape; False where it is not one."""
        talk = self._talk
        if self._lane.is_busy() or not talk.recorder.is_ready or not self.is_open():
            return False
        taken = self._lane.client(data, talk.recorder.age_us, talk.surroundings.catalog.epoch, self._lanes.intake)
        if taken is None:
            return False
        forward, events = taken
        talk.target.wire.send(forward)
        talk.target.wire.flush()
        talk.recorder.add_encoded(events)
        return True

    def from_target(self, data: bytes) -> bool:
        """Follow the reply to the request in flight; False where there is none."""
        talk, lane = self._talk, self._lane
        if not lane.is_busy():
            return False
        out, events, complete, turned, behind = lane.target(data, talk.recorder.age_us, self._lanes.intake)
        if events:
            talk.recorder.add_encoded(events)
        if out:
            talk.to_client(out)
            talk.client.flush()
        if complete:
            self._settle()
            talk.moved.set()
        elif turned is None and talk.client.is_slow:
            turned = lane.give_up()
        if turned is not None:
            behind = self._turn(turned)
        talk.target.wire.unread(behind)
        return True

    # -- back in the full state machine
    def _settle(self) -> None:
        """What went by the lane has changed names and the transaction's status."""
        talk = self._talk
        changes, has_run, status = self._lane.take_changes()
        if not has_run:
            return
        for name, held in changes:
            talk.statements.confirm(name, None if held is None else _prepared(held, talk.age))
        self._synced = (talk.statements.changes, talk.age)
        talk.portals.forget(b"")
        talk.skipping = False
        talk.opening = None
        if status is not None:
            talk.is_ready(bytes((status,)))

    def _turn(self, turned: "_core.Turned") -> bytes:
        """A reply that is not the expected one goes on in the full state machine; return what of it was read and not used."""
        request, held, key, command_id, digest, started_us, rows, sent_bytes, digest_so_far, tag, answered, left = turned
        talk, known = self._talk, self._known[key]
        self._settle()
        parsed = _core.steady_request(request)
        assert parsed is not None  # the lane took it for one
        command = known.standing.command
        prepared = None
        parameters: tuple[Parameter, ...] = ()
        if len(parsed) == 1:
            raw, sql = request, parsed[0]
        else:
            assert held is not None
            prepared = _prepared(held, talk.age)
            _, name, formats, values, bind_raw, describes, _ = parsed
            raw, sql, parameters = prepared.raw + bind_raw, prepared.sql, bound(prepared, formats, values)
        command = Command(PROTOCOL, raw, sql.decode(), command.effects, command.statements, parameters, command.attributes)
        permit = talk.surroundings.gate.resumed(known.standing, command_id, digest)
        started_s = time.monotonic() - max(talk.recorder.age_us - started_us, 0) / 1_000_000
        running = Running(permit, command, started_s, command.text, rows=rows, bytes_out=sent_bytes, answer=digest_so_far)
        running.tags = [] if tag is None else [tag.decode("utf-8", "replace")]
        running.plan = known.plan if known.has_rows else None
        if len(parsed) == 1:
            talk.replies.ask(Entry(Asked.QUERY, running=running, is_simple=True, statement_index=len(running.tags)))
            in_rows = answered > 0 and not running.tags
        else:
            assert prepared is not None
            self._expect(running, known, prepared, parsed[0] is not None, name, describes, answered)
            in_rows = talk.replies.head is not None and talk.replies.head.asked is Asked.EXECUTE
        talk.target.decoder.set_row_plan(known.plan if in_rows and known.has_rows else None)
        return left

    def _expect(
        self, running: Running, known: Known, prepared: Prepared, parses: bool, name: bytes, describes: bool, answered: int
    ) -> None:
        """The entries of an extended request: the first ``answered`` of them are confirmed, the others still due."""
        talk = self._talk
        portal = Portal(running, known.plan if known.has_rows else None, prepared.query)
        entries = [
            Entry(Asked.BIND, portal=portal, running=running),
            Entry(Asked.DESCRIBE if describes else Asked.DESCRIBE_OURS, portal=portal, running=running),
            Entry(Asked.EXECUTE, portal=portal, running=running),
            Entry(Asked.SYNC),
        ]
        if parses:
            entries.insert(0, Entry(Asked.PARSE, name=name, prepared=prepared))
        for entry in entries[:answered]:
            if entry.asked is Asked.PARSE:
                talk.statements.confirm(name, prepared)
            elif entry.asked is Asked.BIND:
                talk.portals.confirm(b"", portal)
        for entry in entries[answered:]:
            if entry.asked is Asked.PARSE:
                talk.statements.hope(name, prepared)
            elif entry.asked is Asked.BIND:
                talk.portals.hope(b"", portal)
            talk.replies.ask(entry)


def _hangs_on_constants(command: Command) -> bool:
    """True where the reading looks at a constant: which setting is set or shown, and to what, decides whether that is harmless."""
    functions = {name for statement in command.statements for name in statement.functions}
    return not functions.isdisjoint(SETTING_CALLS) or any(statement.settings for statement in command.statements)


def _prepared(held: tuple[bytes, list[int], bytes], age: int) -> Prepared:
    sql, types, raw = held
    return Prepared(sql, types, raw, sql.decode("utf-8", "replace"), sql, age)


def _grammar_agrees(talk: Conversation) -> bool:
    parameters = talk.target.parameters
    return parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"
