"""From the client to the target: each message in its place, each command judged before it leaves.

Client messages of a new segment wait until the target is ready (see ``codec``). Everything that is not listed here is refused.
"""

import time
from collections.abc import Callable

import structlog

from countersign import _core
from countersign.model import Denial, Permit
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.bounds import UNCOUNTED, is_exactly
from countersign.protocols.postgres.codec import Asked, Entry, Learning, Names, Portal, Prepared, Running
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.reading import analysis_command, bind_command, call_command, doubted, query_command, with_masked
from countersign.protocols.postgres.session.conversation import Conversation, ours
from countersign.protocols.postgres.session.copy_plans import CopyPlans
from countersign.protocols.postgres.session.judging import Judge, Reading
from countersign.protocols.postgres.session.memory import LONG_BYTES
from countersign.protocols.postgres.session.namespace import LONGEST_READABLE, PREPARED_TEXT, Namespace
from countersign.protocols.postgres.session.transactions import Transactions
from countersign.protocols.wire import WireClosed

log = structlog.get_logger(__name__)

EXTENDED = frozenset(b"PBDEC")
SIMPLE = frozenset(b"QF")
COPY_IN = frozenset(b"dcf")
CONTINUED = 0
LONGEST_LEARNED = 64 << 10
"""Bytes of a text whose shape is remembered."""
LONGEST_NAME = 63
"""Bytes of a name that the server tells apart (NAMEDATALEN - 1)."""

UNMASKED_S = 900.0
"""How long a portal gives real values that a reviewer has let be seen."""

NO_ROOM = Denial(
    "", "Countersign has no room for so long a message now", hint="Try again when others have been served, or send less at once."
)


class Requests:
    """Handles what the client sends. ``run`` ends when the client says goodbye."""

    def __init__(self, conversation: Conversation, rests: Callable[[], None]) -> None:
        """``rests`` is called when everything received has been handled."""
        self._talk = conversation
        self._transactions = Transactions(conversation)
        self.names = Namespace(conversation)
        self._judge = Judge(conversation, self.names, self._transactions)
        self._copy_plans = CopyPlans(conversation, self._judge, self.names.our_name)
        self._rests = rests
        self._piece_goes_on = False
        self.parked = False
        """True while everything received has been handled."""

    async def run(self) -> str:
        """Carry the client's side; return why it ended. What it has asked for is answered first."""
        frontend, client, target = self._talk.frontend, self._talk.client, self._talk.target.wire
        while await self._handle_received():
            await self._make_room()
            self.parked = frontend.is_between()
            self._rests()
            try:
                data = await client.receive()
            except WireClosed:
                await self._answered()
                raise
            self.parked = False
            frontend.feed(data)
            await target.drain()
        await self._answered()
        return "the client said goodbye"

    async def _handle_received(self) -> bool:
        """Handle the messages that are there; False behind a goodbye."""
        while (received := self._talk.frontend.next()) is not None:
            kind, raw = received
            if kind == ord("X"):
                return False
            await self._handle(kind, raw)
        return True

    async def _answered(self) -> None:
        """A client that has said its last word, or closed its sending side, may still read: what it asked for whole is answered, as by
        the target itself."""
        talk = self._talk

        def is_over() -> bool:
            done = not talk.replies.queue and not talk.lane.is_busy()
            return done or not talk.segment_closed or talk.copying_in or talk.client.lost.done()

        await talk.wait(is_over)
        await talk.client.drain()

    async def _make_room(self) -> None:
        """Account for what this session holds of long messages. One for which there is no room is dropped, and refused in its place."""
        talk, frontend = self._talk, self._talk.frontend
        coming = frontend.buffered() if frontend.buffered() > LONG_BYTES else 0
        if not coming and talk.long.is_empty:
            return
        kept = sum(len(prepared.raw) for prepared in set(talk.statements.all()) if len(prepared.raw) > LONG_BYTES)
        await talk.target.wire.drain()  # what was forwarded has left
        if not talk.long.hold(coming + kept) and (kind := frontend.drop_message()) is not None:
            talk.long.hold(kept)
            await self._refuse_long(kind)

    async def _refuse_long(self, kind: int) -> None:
        """In the place of a message that was dropped, as PostgreSQL does where it has no memory for one."""
        log.warning("message_dropped", session_id=self._talk.session.id)
        await self._begin_segment()
        if kind in SIMPLE:
            await self._talk.settle()
            if not self._talk.skipping:
                self._refuse_simple(NO_ROOM, errors.OUT_OF_MEMORY)
            self._talk.segment_closed = True
        else:
            self._talk.segment_closed = False
            if not self._talk.skipping:
                self._refuse_extended(NO_ROOM, errors.OUT_OF_MEMORY)

    async def _handle(self, kind: int, raw: bytes) -> None:
        talk = self._talk
        if kind in COPY_IN or kind == CONTINUED:
            await self._copy_in(kind, raw)
            return
        await self._begin_segment()
        if kind in SIMPLE:
            await self._simple(kind, raw)
        elif kind == ord("S"):
            talk.segment_closed = True
            talk.forward(messages.SYNC, Entry(Asked.SYNC))
        elif kind == ord("H"):
            talk.target.wire.send(messages.FLUSH)
        elif kind in EXTENDED:
            talk.segment_closed = False
            if not talk.skipping:
                await self._extended(kind, raw)
        else:
            raise ProtocolViolation(f"unexpected message {chr(kind)!r}")

    async def _begin_segment(self) -> None:
        """Where one has ended, wait until the target is ready for the next."""
        talk = self._talk
        if talk.segment_closed:
            await talk.wait(lambda: not talk.replies.queue and not talk.lane.is_busy())
            talk.statements.settle()
            talk.portals.settle()
            talk.skipping = False

    async def _simple(self, kind: int, raw: bytes) -> None:
        """A Query or FunctionCall; behind an error in an unfinished segment the server ignores it, and so do we."""
        await self._talk.settle()
        if self._talk.skipping:
            return
        if kind == ord("Q"):
            await self._query(raw)
        else:
            await self._function_call(raw)
        self._talk.segment_closed = True

    async def _extended(self, kind: int, raw: bytes) -> None:
        match chr(kind):
            case "P":
                await self._parse(raw)
            case "B":
                await self._bind(raw)
            case "D":
                self._describe(raw)
            case "E":
                await self._execute(raw)
            case "C":
                self._close(raw)

    # -- simple query
    async def _query(self, raw: bytes) -> None:
        talk = self._talk
        sql = _core.decode_query(raw)
        if not talk.long.read(sql):
            self._refuse_simple(NO_ROOM, errors.OUT_OF_MEMORY)
            return
        await self.names.verify_executed(sql)
        await self.names.see_own_changes()
        agrees = self.names.grammar_agrees()
        reading = Reading(lambda schema: query_command(raw, sql, agrees, self.names.known, schema))
        command, generation = await self._judge.read(reading)
        command = await self._judge.with_masked(command, sql)
        answer = await self._judge.judge(command, "Query", sql, reading)
        talk.statements.forget(b"")  # a simple Query destroys the unnamed statement and portal
        talk.portals.forget(b"")
        if isinstance(answer, Denial):
            self._refuse_simple(answer)
            return
        running = self._judge.spend(answer, command)
        if not await self._copy_plans.plan(running, is_simple=True):
            return
        if command.is_plain_read and len(command.statements) == 1 and len(sql) <= LONGEST_LEARNED:
            running.learning = Learning(_core.shape_key(sql, True), generation)
        self.names.before_change(running)
        if running.permit.at_most_rows is not None:
            await self._bounded_query(raw, running)
            return
        talk.forward(raw, Entry(Asked.QUERY, running=running, is_simple=True))

    async def _bounded_query(self, raw: bytes, running: Running) -> None:
        """A Query that may change only so many rows: the same text as the only statement of a segment, which is committed at its end, once
        the rows have been counted."""
        talk = self._talk
        if not is_exactly(raw, running.sql):
            raise ProtocolViolation("a bounded command must be sent as it was read")
        for awaited in (ours(b"1"), ours(b"2")):
            talk.replies.ask(awaited)
        talk.target.wire.send(messages.parse(b"", running.sql.encode()) + messages.bind_texts(b"", b"", []))
        await self._execute_bounded(messages.execute(b""), b"", Portal(running, query=""))
        talk.forward(messages.SYNC, Entry(Asked.SYNC))

    async def _execute_bounded(self, raw: bytes, name: bytes, portal: Portal) -> None:
        """Nothing behind it is sent before its rows have been counted. Too many are undone by the server's own error, which ends their
        transaction."""
        talk, running = self._talk, portal.running
        talk.forward(raw, Entry(Asked.EXECUTE, name=name, portal=portal, running=running))
        await talk.settle()
        if running.exceeded is not None:
            bound = running.permit.at_most_rows
            rows = "an unknown number of" if running.exceeded == UNCOUNTED else f"{running.exceeded:,}"
            message = f"undone: it changed {rows} rows, and was approved for at most {bound:,}"
            await talk.finish(running, ok=False, summary=message, error_code=errors.INSUFFICIENT_PRIVILEGE)
            hint = "Narrow it down, or ask for more rows to be approved."
            self._refuse_extended(Denial(running.permit.command_id, message, hint=hint, review_id=running.permit.review_id))
        elif not running.finished:
            await talk.finish(running, ok=False, summary="the target did not run it")

    async def _function_call(self, raw: bytes) -> None:
        talk = self._talk
        oid, formats, values, _ = _core.decode_function_call(raw)
        command = call_command(raw, oid, formats, values)
        answer = await self._judge.judge(command, "FunctionCall", raw)
        if isinstance(answer, Denial):
            self._refuse_simple(answer)
            return
        running = self._judge.spend(answer, command)
        self.names.before_change(running)
        talk.forward(raw, Entry(Asked.CALL, running=running, is_simple=True, function_oid=oid))

    # -- extended query
    async def _parse(self, raw: bytes) -> None:
        talk = self._talk
        name, sql, types = _core.decode_parse(raw)
        if self._is_too_long(name):
            return
        if not talk.long.read(sql):
            self._refuse_extended(NO_ROOM, errors.OUT_OF_MEMORY)
            return
        running = None
        if problem := await self._judge.analysis_problem(sql):
            command = analysis_command(raw, sql, problem)
            answer = await self._judge.judge(command, "Parse", sql)
            if isinstance(answer, Denial):
                self._refuse_extended(answer)
                return
            running = self._judge.spend(answer, command)
        if talk.skipping:  # an earlier message of this segment failed meanwhile: the target would ignore this one
            if running is not None:
                await talk.finish(running, ok=False, summary="skipped: an earlier command of the pipeline failed")
            return
        if running is not None:
            self.names.before_change(running)
        query = sql.decode("utf-8", "replace") if len(sql) <= LONGEST_READABLE else ""
        prepared = Prepared(sql, types, raw, query, sql, talk.age)
        talk.statements.hope(name, prepared)
        talk.forward(raw, Entry(Asked.PARSE, name=name, prepared=prepared, running=running))

    async def _bind(self, raw: bytes) -> None:
        talk = self._talk
        portal_name, statement, formats, values, _ = _core.decode_bind(raw)
        if talk.statements.get(statement) is None:
            await talk.settle()  # SQL's PREPARE may be on its way
        if talk.skipping:
            return
        prepared = talk.statements.get(statement)
        if prepared is None:
            await self._unknown_statement(raw, portal_name, statement)
            return
        if self._is_too_long(portal_name):
            return
        if not talk.long.read(prepared.sql):
            self._refuse_extended(NO_ROOM, errors.OUT_OF_MEMORY)
            return
        is_certain = await self.names.verify(statement, prepared)
        await self.names.verify_executed(prepared.sql)
        await self.names.see_own_changes()
        known_as, agrees = prepared, self.names.grammar_agrees()
        reading = Reading(lambda schema: bind_command(known_as, raw, formats, values, agrees, self.names.known, schema))
        command, generation = await self._judge.read(reading)
        command = await self._judge.with_masked(command, prepared.sql)
        if not is_certain:
            command = with_masked(doubted(command, _shown(statement)), b"", self.names.known, None)
        answer = await self._judge.judge(command, "Bind", prepared.sql, reading)
        if talk.skipping:  # an earlier message of this segment failed meanwhile: the target would ignore this one
            if isinstance(answer, Permit):
                running = self._judge.spend(answer, command)
                await talk.finish(running, ok=False, summary="skipped: an earlier command of the pipeline failed")
            return
        if isinstance(answer, Denial):
            self._refuse_extended(answer)
            return
        running = self._judge.spend(answer, command)
        if not await self._copy_plans.plan(running, is_simple=False):
            return
        if command.is_plain_read and len(command.statements) == 1 and 0 < len(prepared.query) <= LONGEST_LEARNED:
            running.learning = Learning(_core.shape_key(prepared.sql, False), generation)
        portal = Portal(running, query=self.names.rows_come_from(running, prepared))
        self.names.before_change(running)
        talk.portals.hope(portal_name, portal)
        talk.forward(raw, Entry(Asked.BIND, name=portal_name, portal=portal, running=running))
        # Its own description tells which columns it will answer with, whether the client asks or not.
        ours_too = Entry(Asked.DESCRIBE_OURS, portal=portal, running=running)
        talk.forward(messages.describe_portal(portal_name), ours_too)

    def _describe(self, raw: bytes) -> None:
        _core.decode_describe(raw)  # nothing malformed goes on
        self._talk.forward(raw, Entry(Asked.DESCRIBE))

    async def _execute(self, raw: bytes) -> None:
        name, _ = _core.decode_execute(raw)
        portal = self._talk.portals.get(name)
        if portal is None:
            self._unknown_portal(raw, name)
            return
        if portal.running.unmasked and time.monotonic() - portal.running.started_s > UNMASKED_S:
            self._refuse_extended(Denial("", "the time in which real values could be read from this portal is over"))
            return
        if await self._is_withdrawn(portal.running):
            return
        if problem := await self._transactions.ready_for(portal.running.command, is_bound=False):
            self._refuse_extended(Denial("", f"not run: {problem}"))
            return
        if self._talk.skipping:
            return
        if portal.running.permit.at_most_rows is not None:
            await self._execute_bounded(raw, name, portal)
            return
        self._talk.forward(raw, Entry(Asked.EXECUTE, name=name, portal=portal, running=portal.running))

    async def _is_withdrawn(self, running: Running) -> bool:
        """Whether the policy has changed since a portal was bound and does not allow its command any more; then it is refused. What a
        reviewer has approved keeps the terms that it was approved under."""
        talk, gate = self._talk, self._talk.surroundings.gate
        if (
            running.judged_by is gate.policy
            or running.permit.review_id
            or gate.still_allows(talk.session, running.command, transaction_open=talk.transaction_open)
        ):
            return False
        denial = await gate.refuse(talk.session, running.command, "the policy has changed since this was bound; bind it again")
        if not talk.skipping:
            self._refuse_extended(denial)
        return True

    async def _unknown_statement(self, raw: bytes, portal: bytes, name: bytes) -> None:
        """Nothing that the gateway knows of has this name. If the server knows nothing either, its own words are the best answer."""
        talk = self._talk
        if len(name) > LONGEST_NAME or (talk.age and name and await self._is_held(name)):
            hint = "Prepare it again."
            self._refuse_extended(Denial("", f"Countersign does not know the prepared statement {_shown(name)}", hint=hint))
        elif not talk.skipping:
            self._fail_extended(messages.close_statement(name), raw, Entry(Asked.BIND, name=portal))

    async def _is_held(self, name: bytes) -> bool:
        """True unless the server says that it has no such statement; a command that was not understood may have prepared one."""
        talk = self._talk
        await talk.settle()
        if talk.skipping or talk.status == b"E":
            return True
        (texts,) = await self.names.ask((PREPARED_TEXT, [name]))
        return bool(texts) or talk.skipping or talk.status == b"E"

    def _unknown_portal(self, raw: bytes, name: bytes) -> None:
        """The same of a portal, which SQL's DECLARE makes too."""
        talk = self._talk
        if len(name) > LONGEST_NAME or (name and (talk.age or talk.cursors.is_known(name.decode("utf-8", "replace")))):
            hint = "Bind it, or use FETCH."
            self._refuse_extended(Denial("", f"Countersign does not know the portal {_shown(name)}", hint=hint))
        else:
            self._fail_extended(messages.close_portal(name), raw, Entry(Asked.EXECUTE, name=name))

    def _fail_extended(self, close: bytes, raw: bytes, entry: Entry) -> None:
        """Forward a message that is bound to fail: a Close ahead of it sees to that, whatever the server has under the name."""
        talk = self._talk
        talk.skipping = True
        talk.forward(close, ours(b"3"))
        talk.forward(raw + messages.FLUSH, entry)

    def _close(self, raw: bytes) -> None:
        kind, name = _core.decode_describe(raw)
        names: Names[Prepared] | Names[Portal] = self._talk.statements if kind == "S" else self._talk.portals
        names.hope(name, None)
        self._talk.forward(raw, Entry(Asked.CLOSE, name=name, closes=kind.encode()))

    def _is_too_long(self, name: bytes) -> bool:
        if len(name) <= LONGEST_NAME:
            return False
        # The server would take it for another that begins alike.
        self._refuse_extended(Denial("", f"a name of {len(name)} bytes; {LONGEST_NAME} are told apart"))
        return True

    def _refuse_simple(self, denial: Denial, code: str = "") -> None:
        refused = messages.query(messages.REFUSED_SQL)
        self._talk.forward(refused, Entry(Asked.REFUSED, denial=denial, code=code, is_simple=True))

    def _refuse_extended(self, denial: Denial, code: str = "") -> None:
        self._talk.skipping = True
        refused = messages.parse(b"countersign_refused", messages.REFUSED_SQL) + messages.FLUSH
        self._talk.forward(refused, Entry(Asked.REFUSED, denial=denial, code=code))

    async def _copy_in(self, kind: int, raw: bytes) -> None:
        """Copy data belongs to a permitted COPY; outside of one the server ignores it, and so do we."""
        talk = self._talk
        if kind == CONTINUED:
            if self._piece_goes_on:  # a message whose beginning went on must be completed
                self._copy(raw, 0)
            return
        await talk.wait(lambda: talk.copying_in or not talk.replies.queue or talk.skipping)
        self._piece_goes_on = talk.copying_in
        if not talk.copying_in:
            return
        if kind == ord("d"):
            self._copy(raw, _core.count_messages(raw))
            return
        talk.copying_in = False
        talk.target.wire.send(raw)

    def _copy(self, data: bytes, messages_begun: int) -> None:
        if self._talk.copied_in is not None:
            self._talk.copied_in.add(data, messages_begun)
        self._talk.target.wire.send(data)


def _shown(name: bytes) -> str:
    return repr(name[:LONGEST_NAME].decode("utf-8", "replace"))
