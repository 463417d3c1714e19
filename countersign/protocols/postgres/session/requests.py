"""From the client to the target: each message in its place, each command judged before it leaves.

Client messages of a new segment wait until the target is ready (see ``codec``). Everything that is not listed here is refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from countersign import _core
from countersign.gate import Outcome, digest_of
from countersign.model import Command, Denial, Effect, Permit
from countersign.model.blast import Surveyor
from countersign.policy import Policy
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.bounds import UNCOUNTED, bound_problem, is_exactly
from countersign.protocols.postgres.codec import Asked, Entry, Learning, Names, Portal, Prepared, Running
from countersign.protocols.postgres.copying import CopyOut, copies_out
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.inspector import TEXT_LIMIT, analysis_problem, has_checked_types, inspect_sql
from countersign.protocols.postgres.naming import Use, Verb, uses
from countersign.protocols.postgres.reading import (
    NOT_TEXTS,
    analysis_command,
    bind_command,
    call_command,
    calls_large_object,
    doubted,
    makes_relations,
    may_move_path,
    may_prepare,
    meets_lock,
    query_command,
    speaks_late,
    touches_schema,
    with_masked,
)
from countersign.protocols.postgres.schema import Schema
from countersign.protocols.postgres.server_texts import mask_response
from countersign.protocols.postgres.session.catalog import READ_AT_MOST_EVERY_S, CatalogUnavailable
from countersign.protocols.postgres.session.conversation import Conversation, SessionHold, ours
from countersign.protocols.postgres.session.memory import LONG_BYTES
from countersign.protocols.postgres.session.own_changes import OWN_CHANGES, OWN_CHECKS, read_changes
from countersign.protocols.postgres.session.recorded import record_columns, record_command, record_ready, record_verdict
from countersign.protocols.postgres.session.surveying import Vantage
from countersign.protocols.postgres.session.transactions import Transactions
from countersign.protocols.postgres.speech import NEW_CODE, NOTHING, ONLY_NAMES, Speech, Topic, topics
from countersign.protocols.wire import WireClosed

log = structlog.get_logger(__name__)

EXTENDED = frozenset(b"PBDEC")
SIMPLE = frozenset(b"QF")
COPY_IN = frozenset(b"dcf")
CONTINUED = 0
ROWS_ASKED = 1 << 20
"""More than one message of the gateway's own queries ever holds."""
LONGEST_READABLE = 4 * TEXT_LIMIT
"""Bytes of UTF-8; a longer text is unknown, whatever it says."""
LONGEST_LEARNED = 64 << 10
"""Bytes of a text whose shape is remembered."""
LOOKS_AT_A_LOCK = 3
"""How often a command is read again, while another session has locked what it is about, before it is judged as not understood."""
LONGEST_NAME = 63
"""Bytes of a name that the server tells apart (NAMEDATALEN - 1)."""

UNMASKED_S = 900.0
"""How long a portal gives real values that a reviewer has let be seen."""

PREPARED_TEXT = b"SELECT statement FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) $1"

NO_ROOM = Denial(
    "", "Countersign has no room for so long a message now", hint="Try again when others have been served, or send less at once."
)


@dataclass(slots=True)
class Reading:
    """How a command is read by a catalog, and how it was when it was judged."""

    by: Callable[[Schema], Command] | None = None
    found: Command | None = None


class Requests:
    """Handles what the client sends. ``run`` ends when the client says goodbye."""

    def __init__(self, conversation: Conversation, rests: Callable[[], None]) -> None:
        """``rests`` is called when everything received has been handled."""
        self._talk = conversation
        self._transactions = Transactions(conversation)
        self._rests = rests
        self._our_name = f"countersign_{conversation.session.id}".encode()
        self._piece_goes_on = False
        self._judged_by: Policy | None = None
        """The policy in force when the last command began to be judged."""
        self._read_again: Command | None = None
        """The last command that was judged, as it read when it was let through."""
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
        await self._verify_executed(sql)
        await self._see_own_changes()
        agrees = self._grammar_agrees()
        reading = Reading(lambda schema: query_command(raw, sql, agrees, self._known, schema))
        command, generation = await self._read(reading)
        command = await self._with_masked(command, sql)
        answer = await self._judge(command, "Query", sql, reading)
        talk.statements.forget(b"")  # a simple Query destroys the unnamed statement and portal
        talk.portals.forget(b"")
        if isinstance(answer, Denial):
            self._refuse_simple(answer)
            return
        running = self._spend(answer, command)
        if not await self._plan_copies(running, is_simple=True):
            return
        if command.is_plain_read and len(command.statements) == 1 and len(sql) <= LONGEST_LEARNED:
            running.learning = Learning(_core.shape_key(sql, True), generation)
        self._before_names_change(running)
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
        answer = await self._judge(command, "FunctionCall", raw)
        if isinstance(answer, Denial):
            self._refuse_simple(answer)
            return
        running = self._spend(answer, command)
        self._before_names_change(running)
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
        if problem := await self._analysis_problem(sql):
            command = analysis_command(raw, sql, problem)
            answer = await self._judge(command, "Parse", sql)
            if isinstance(answer, Denial):
                self._refuse_extended(answer)
                return
            running = self._spend(answer, command)
        if talk.skipping:  # an earlier message of this segment failed meanwhile: the target would ignore this one
            if running is not None:
                await talk.finish(running, ok=False, summary="skipped: an earlier command of the pipeline failed")
            return
        if running is not None:
            self._before_names_change(running)
        query = sql.decode("utf-8", "replace") if len(sql) <= LONGEST_READABLE else ""
        prepared = Prepared(sql, types, raw, query, sql, talk.age)
        talk.statements.hope(name, prepared)
        talk.forward(raw, Entry(Asked.PARSE, name=name, prepared=prepared, running=running))

    async def _analysis_problem(self, sql: bytes) -> str:
        """Why the server's analysis of a text may run code of users', or ''."""
        talk = self._talk
        if any(entry.running is not None and entry.running.schema_change for entry in talk.replies.queue):
            await talk.settle()
        if talk.skipping or talk.status == b"E":
            return ""  # the server analyses nothing but what ends the transaction
        schema = await self._schema(talk.surroundings.catalog.schema())
        if schema.is_read and talk.schema_changed and not has_checked_types(schema) and not await self._has_made_checks():
            return ""
        if len(sql) > LONGEST_READABLE:
            return analysis_problem("", schema, is_certain=False)
        try:
            text, agrees = sql.decode("utf-8"), self._grammar_agrees()
        except UnicodeDecodeError:
            text, agrees = sql.decode("utf-8", "replace"), False
        return analysis_problem(text, schema, is_certain=agrees)

    async def _has_made_checks(self) -> bool:
        """Whether this transaction has made or changed the checks of domains, which no other's catalog shows."""
        talk = self._talk
        if talk.has_made_checks is None:
            await talk.settle()
            if talk.skipping or talk.status == b"E":
                return True
            (made,) = await self._ask((OWN_CHECKS, []))
            talk.has_made_checks = bool(made) or talk.skipping
        return talk.has_made_checks

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
        is_certain = await self._verify(statement, prepared)
        await self._verify_executed(prepared.sql)
        await self._see_own_changes()
        known_as, agrees = prepared, self._grammar_agrees()
        reading = Reading(lambda schema: bind_command(known_as, raw, formats, values, agrees, self._known, schema))
        command, generation = await self._read(reading)
        command = await self._with_masked(command, prepared.sql)
        if not is_certain:
            command = with_masked(doubted(command, _shown(statement)), b"", self._known, None)
        answer = await self._judge(command, "Bind", prepared.sql, reading)
        if talk.skipping:  # an earlier message of this segment failed meanwhile: the target would ignore this one
            if isinstance(answer, Permit):
                running = self._spend(answer, command)
                await talk.finish(running, ok=False, summary="skipped: an earlier command of the pipeline failed")
            return
        if isinstance(answer, Denial):
            self._refuse_extended(answer)
            return
        running = self._spend(answer, command)
        if not await self._plan_copies(running, is_simple=False):
            return
        if command.is_plain_read and len(command.statements) == 1 and 0 < len(prepared.query) <= LONGEST_LEARNED:
            running.learning = Learning(_core.shape_key(prepared.sql, False), generation)
        portal = Portal(running, query=self._rows_come_from(running, prepared))
        self._before_names_change(running)
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
        (texts,) = await self._ask((PREPARED_TEXT, [name]))
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

    # -- judging
    def _grammar_agrees(self) -> bool:
        """True while the server reads text as the grammar library does."""
        parameters = self._talk.target.parameters
        return parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"

    async def _read(self, reading: "Reading") -> tuple[Command, int]:
        """A command as the target's catalog lets it be read, and the generation of that catalog.

        What is not understood is read once more by the catalog of this moment: it may be about what others have just made. A lock that
        readers wait for is waited for here, for a while: behind it the same name may mean something else.
        """
        talk, command_by = self._talk, reading.by
        assert command_by is not None
        if any(entry.running is not None and entry.running.schema_change for entry in talk.replies.queue):
            await talk.settle()
        catalog = talk.surroundings.catalog
        command = command_by(await self._schema(catalog.schema()))
        if Effect.UNKNOWN in command.effects and not talk.schema_changed:
            command = command_by((await self._schema(catalog.schema_now())).of_now())
        for _ in range(LOOKS_AT_A_LOCK):
            if not meets_lock(command) or talk.schema_changed:
                break
            await asyncio.sleep(READ_AT_MOST_EVERY_S)
            command = command_by((await self._schema(catalog.schema_now())).of_now())
        reading.found = command
        return command, catalog.generation

    async def _changed(self, reading: "Reading", command: Command) -> Command | None:
        """A command that was held, where it reads otherwise by the catalog of this moment. What is not a text, or was read by what only this
        session sees, is not read again."""
        talk, before = self._talk, reading.found
        if reading.by is None or before is None or talk.schema_changed:
            return None
        now = reading.by((await self._schema(talk.surroundings.catalog.schema_anew())).of_now())
        if (now.effects, now.statements) == (before.effects, before.statements):
            return None
        reading.found = now
        return replace(command, effects=command.effects | now.effects, statements=now.statements)

    async def _with_masked(self, command: Command, sql: bytes) -> Command:
        """The command with what it does with masked columns, where any are masked."""
        talk = self._talk
        if not talk.surroundings.masking.has_columns:
            return command
        try:
            world = (await talk.masked(set())).world
        except CatalogUnavailable:
            return with_masked(command, sql, self._known, None)
        return with_masked(command, sql, self._known, world)

    async def _schema(self, asked: Awaitable[Schema]) -> Schema:
        try:
            schema = await asked
        except CatalogUnavailable as error:
            return Schema.unread(str(error))
        if self._talk.schema_changed:
            schema = schema.unsettled()
        schema = schema.seen_by(self._talk.target.pid)
        return schema.off_path() if self._talk.path_moved else schema

    async def _judge(self, command: Command, message: str, sent: bytes, reading: "Reading | None" = None) -> Permit | Denial:
        """``message`` brought the command, and ``sent`` is its statement, or the message where it has none."""
        talk, gate = self._talk, self._talk.surroundings.gate
        await self._recordable()
        await record_command(talk.recorder, command, message, sent)
        if problem := self._unmaskable(command) or self._transactions.problem(command):
            return await gate.refuse(talk.session, command, problem, partial(record_verdict, talk.recorder))
        if not command.is_plain_read:
            await talk.settle()
        self._judged_by = gate.policy
        talk.hold = hold = SessionHold(
            talk,
            command,
            self._transactions.give_back,
            self._surveyor(command),
            self._read_query,
            partial(self._changed, reading or Reading()),
            self._surveyor,
        )
        try:
            answer = await gate.admit(talk.session, command, hold)
        finally:
            talk.hold = None
        self._read_again = command = hold.command
        if isinstance(answer, Permit) and (hold.cancelled.done() or self._is_late(answer)):
            answer = await self._taken_back(answer, hold)
        if isinstance(answer, Denial) and not answer.review_id:
            about = {"command_id": answer.command_id, "review_id": ""}
            talk.recorder.add("decided", **about, state="denied", reason=answer.message)
        return await self._made_ready(command, answer, is_bound=message == "Bind")

    async def _recordable(self) -> None:
        """Wait until what happens can be recorded. Raises ``RecordingFailed``, and ``WireClosed`` where the client left meanwhile."""
        talk = self._talk
        if talk.recorder.is_ready:
            return
        await talk.recorder.ready(talk.tell)
        if talk.client.gone.done():
            raise WireClosed("the client left")

    def _surveyor(self, command: Command) -> Surveyor | None:
        survey = self._talk.surroundings.survey
        return None if survey is None else survey(command, Vantage(self._talk.circumstances, self._as_of_now))

    async def _as_of_now(self, command: Command) -> Command:
        """A held command read once more, by the catalog of this moment: others may have put something behind its names since."""
        catalog = self._talk.surroundings.catalog
        catalog.expire()
        reading = inspect_sql(command.text, (await self._schema(catalog.schema_now())).of_now())
        return replace(command, effects=command.effects | reading.effects, statements=reading.statements)

    async def _read_query(self, text: str) -> Command:
        """A text as a Query of this session, by the catalog of this moment."""
        sql = text.encode()
        schema = (await self._schema(self._talk.surroundings.catalog.schema_now())).of_now()
        command = query_command(messages.query(sql), sql, self._grammar_agrees(), self._known, schema)
        return await self._with_masked(command, sql)

    async def _made_ready(self, command: Command, answer: Permit | Denial, *, is_bound: bool) -> Permit | Denial:
        """Bring the target to where the answer is given, or deny. Raises ``WireClosed`` where the client left meanwhile (I4)."""
        talk = self._talk
        problem = await self._transactions.take_up()
        if not isinstance(answer, Permit):
            return answer
        problem = problem or await self._transactions.ready_for(command, is_bound=is_bound)
        if answer.review_id and not talk.recorder.is_ready:  # it was held meanwhile
            problem = problem or "its recording cannot be stored"
        if self._is_late(answer):
            problem = "the client left"
        if not problem:
            return answer
        await talk.close(answer, Outcome(False, f"not run: {problem}", 0.0))
        if self._is_late(answer):
            raise WireClosed(problem)
        return Denial(answer.command_id, f"not run: {problem}", review_id=answer.review_id)

    async def _taken_back(self, permit: Permit, hold: SessionHold) -> Denial:
        """A permitted command that is not to run after all: its client has cancelled it meanwhile. Raises ``WireClosed`` where one of
        the two sides has left."""
        talk = self._talk
        why = hold.cancelled.result() if hold.cancelled.done() else "the client left"
        await talk.close(permit, Outcome(False, f"not run: {why}", 0.0))
        if talk.client.gone.done() or talk.target.wire.gone.done():
            raise WireClosed(why)
        return Denial(permit.command_id, why, review_id=permit.review_id, cancelled=True)

    def _is_late(self, permit: Permit) -> bool:
        """True where a command was held whose client has left meanwhile (I4)."""
        return bool(permit.review_id) and self._talk.client.gone.done()

    def _unmaskable(self, command: Command) -> str:
        if not self._talk.surroundings.masking.rules:
            return ""
        problems = [f"this COPY to the client cannot be masked: {copy.problem}" for copy in self._copies(command) if copy.problem]
        return next(iter(problems), "")

    def _copies(self, command: Command) -> tuple[CopyOut, ...]:
        readable = all(statement.kind not in NOT_TEXTS for statement in command.statements)
        return copies_out(command.text) if readable and any(s.kind.startswith("COPY") for s in command.statements) else ()

    def _spend(self, permit: Permit, command: Command) -> Running:
        """The permit is used up here, where the bytes leave (I2)."""
        again, self._read_again = self._read_again, None
        command = again or command
        digest = digest_of(self._talk.session, command)
        permit.spend(session_id=self._talk.session.id, digest=digest, keeps_bound=not bound_problem(command))
        readable = all(statement.kind not in NOT_TEXTS for statement in command.statements)
        sql = command.text if readable else ""
        kept = command.outline() if len(command.raw) > LONG_BYTES else command
        running = Running(permit, kept, time.monotonic(), sql, uses(sql) if sql else (), schema_change=touches_schema(command))
        running.judged_by = self._judged_by
        running.is_first_change = not self._talk.schema_changed
        running.unmasked = command.asks_unmasked and bool(permit.review_id)
        if self._talk.surroundings.masking.has_columns and speaks_late(command):
            self._talk.late.update(set(self._topics(running)) - {NOTHING, ONLY_NAMES, NEW_CODE})
        self._transactions.spent(running)
        if any(statement.settings for statement in command.statements):
            self._talk.names_said.append("\n".join([kept.text, *(parameter.shown for parameter in command.parameters)]))
        return running

    # -- names
    def _known(self, name: bytes) -> Prepared | None:
        """A prepared statement that is certain to be what it was."""
        prepared = self._talk.statements.get(name)
        return prepared if prepared is not None and prepared.age == self._talk.age else None

    def _before_names_change(self, running: Running) -> None:
        """What a command may do to names is not trusted to have happened, nor not to have happened, until the server has said so."""
        if len(running.statements) == 1 and running.statements[0].verb is Verb.EXECUTE:
            running.executed = self.source_of(running.statements[0], "")
        talk = self._talk
        talk.path_moved |= may_move_path(running.command)
        if may_prepare(running.command):
            talk.age += 1
            talk.cursors.forget()
        for use in running.statements:
            if use.verb in (Verb.PREPARE, Verb.DEALLOCATE, Verb.DISCARD):
                for prepared in talk.statements.unsettle(use.name.encode()):
                    prepared.doubt()
            if use.verb is Verb.DISCARD:
                talk.cursors.forget()
            elif use.verb in (Verb.DECLARE, Verb.CLOSE):
                talk.cursors.forget(use.name)

    def _rows_come_from(self, running: Running, prepared: Prepared) -> str:
        """The query whose rows a portal gives: its own, or that of the cursor or prepared statement that it names."""
        return self.source_of(running.statements[0] if len(running.statements) == 1 else None, prepared.query)

    def source_of(self, use: Use | None, sql: str) -> str:
        """The query whose rows a statement gives; '' where it is not known."""
        if use is None:
            return sql
        if use.verb is Verb.FETCH:
            portal = self._talk.portals.get(use.name.encode())
            return self._talk.cursors.get(use.name) or (portal.query if portal is not None else "")
        if use.verb is Verb.EXECUTE:
            known = self._known(use.name.encode())
            return known.query if known is not None and use.effects <= {Effect.READ, Effect.SESSION} else ""
        return sql

    def topics_of(self, entry: Entry) -> tuple[Topic | None, ...]:
        """What the target speaks of while it answers a request."""
        if entry.running is None:
            return ()
        found = self._topics(entry.running)
        at_hand = entry.asked is Asked.QUERY and entry.statement_index < len(found)
        return (found[entry.statement_index],) if at_hand else found

    def made(self, running: Running) -> None:
        """A command that changes the schema was carried out: what follows may run the code that it names."""
        if self._talk.surroundings.masking.has_columns and NEW_CODE in self._topics(running):
            self._talk.late.add(NEW_CODE)

    def names_of(self, entry: Entry) -> frozenset[str]:
        """The relations, and the cursor or prepared statement, that a request calls by name."""
        if entry.running is None:
            return frozenset({entry.name.decode("utf-8", "replace")})
        used = entry.running.statements[entry.statement_index :] if entry.asked is Asked.QUERY else entry.running.statements
        relations = {name for topic in topics(entry.running.sql) if topic is not None for name, _ in topic.touched}
        return frozenset(relations | {use.name for use in used[:1]})

    def _topics(self, running: Running) -> tuple[Topic | None, ...]:
        """One a statement, or one that is not known."""
        if any(statement.kind == "FunctionCall" for statement in running.command.statements):
            return (NOTHING if calls_large_object(running.command) else None,)
        found = topics(running.sql)
        if len(running.statements) == len(found):
            found = tuple(self._topic(use, topic) for use, topic in zip(running.statements, found, strict=True))
        return found or (None,)

    def _topic(self, use: Use, topic: Topic | None) -> Topic | None:
        """FETCH and EXECUTE are about the statement that they name."""
        if use.verb not in (Verb.FETCH, Verb.EXECUTE):
            return topic
        if not use.effects <= {Effect.READ, Effect.SESSION}:
            return None
        behind = topics(self.source_of(use, ""))
        return behind[0] if len(behind) == 1 else None

    async def _verify_executed(self, sql: bytes) -> None:
        """Before an EXECUTE is read, see that its statement is still the one that it was."""
        if len(sql) > LONGEST_READABLE or b"execute" not in sql.lower():
            return
        for use in uses(sql.decode("utf-8", "replace")):
            prepared = self._talk.statements.get(use.name.encode()) if use.verb is Verb.EXECUTE else None
            if prepared is not None:
                await self._verify(use.name.encode(), prepared)

    async def _verify(self, name: bytes, prepared: Prepared) -> bool:
        """Ask the server whether a statement is what it was, if a command that may have prepared another has been run since."""
        talk = self._talk
        if prepared.age == talk.age:
            return True
        await talk.settle()
        if talk.status == b"E" or talk.skipping:
            return True  # the server runs nothing here but what ends the transaction
        asked_at = talk.age
        (texts,) = await self._ask((PREPARED_TEXT, [name]))
        if texts != [prepared.source] or talk.age != asked_at:
            return False
        prepared.age = asked_at
        return True

    async def _ask(self, *queries: tuple[bytes, list[bytes]]) -> list[list[bytes]]:
        """The rows, of one column each, of queries of the gateway's own; as far as they came where the segment fails."""
        talk, name = self._talk, self._our_name
        heard: list[list[bytes]] = [[] for _ in queries]
        data, entries = b"", []
        for (sql, values), rows in zip(queries, heard, strict=True):
            data += messages.parse(name, sql) + messages.bind_texts(name, name, values) + messages.execute(name)
            data += messages.close_portal(name) + messages.close_statement(name)
            entries += [ours(b"1"), ours(b"2"), ours(b"C", rows.append), ours(b"3"), ours(b"3")]
        if talk.segment_closed:
            data += messages.SYNC
            entries.append(ours(b"Z"))
        await talk.ask_ours(data, *entries)
        return [
            [row[0] or b"" for batch in rows if batch[:1] == b"D" for row in _core.decode_rows(batch, ROWS_ASKED)] for rows in heard
        ]

    async def _see_own_changes(self) -> None:
        """Relations that this transaction has made are in no other's catalog: ask for them where it is the one to see them."""
        talk = self._talk
        if not talk.surroundings.masking.has_columns:
            return
        if any(entry.running is not None and makes_relations(entry.running.command) for entry in talk.replies.queue):
            await talk.settle()
        if not talk.changes_unseen or talk.skipping or talk.status == b"E" or not self._grammar_agrees():
            return
        talk.changes_unseen = False
        answers = await self._ask(*((sql, []) for sql in OWN_CHANGES))
        if talk.schema_changed and not talk.skipping and talk.status != b"E":
            talk.changes, talk.own = read_changes(answers), None

    # -- COPY to the client
    async def _plan_copies(self, running: Running, *, is_simple: bool) -> bool:
        """Learn what the rows of each COPY to the client are. False where the server has refused that, which answers the client."""
        talk = self._talk
        masking = talk.surroundings.masking
        for copy in self._copies(running.command):
            if not masking.rules:
                running.copies.append((_core.RowPlan([], None), copy.format))
                continue
            answer = await self._describe_rows(copy.rows_sql, is_simple=is_simple)
            if answer[:1] != b"T":
                await self._copy_refused(running, answer, is_simple=is_simple)
                return False
            binary, unmasked = copy.format[0] == "binary", running.unmasked
            planned = await talk.plan(answer, copy.rows_sql, binary=binary, unmasked=unmasked)
            talk.tell_unresolved(running, planned)
            plan = planned.plan
            if copy.all_columns:
                plan = await self._without_generated(answer, copy, unmasked=unmasked)
            record_columns(talk.recorder, running.permit.command_id, planned)
            running.copies.append((plan, copy.format))
        return True

    async def _without_generated(self, description: bytes, copy: CopyOut, *, unmasked: bool) -> _core.RowPlan:
        """COPY of a whole relation leaves its generated columns out."""
        talk = self._talk
        fields = _core.decode_row_description(description)
        masked = await talk.masked({field[1] for field in fields if field[1]})
        kept = [field for field in fields if (field[1], field[2]) not in masked.generated]
        binary = copy.format[0] == "binary"
        planned = await talk.plan(messages.row_description(kept), copy.rows_sql, binary=binary, unmasked=unmasked)
        return planned.plan

    async def _describe_rows(self, sql: str, *, is_simple: bool) -> bytes:
        """The RowDescription of a query, or NoData, or the server's error; b'' where the segment failed."""
        heard: list[bytes] = []
        name = self._our_name
        data = messages.parse(name, sql.encode()) + messages.describe_statement(name) + messages.close_statement(name)
        entries = [ours(b"1", heard.append), ours(b"t", heard.append), ours(b"Tn", heard.append), ours(b"3")]
        if is_simple:
            data += messages.SYNC
            entries.append(ours(b"Z", heard.append))
        await self._talk.ask_ours(data, *entries)
        return next((answer for answer in heard if answer[:1] in (b"T", b"n", b"E")), b"")

    async def _copy_refused(self, running: Running, answer: bytes, *, is_simple: bool) -> None:
        """In a simple Query the server's error is the answer; in a segment it went to the client as it came."""
        talk = self._talk
        summary = "the server refuses to describe the rows of this COPY"
        if is_simple:
            error = messages.error_response("42P01", summary) if answer[:1] != b"E" else answer
            masked = mask_response(error, talk.surroundings.masking, Speech.PLAIN)  # it was analysed only
            talk.record_response("error", masked, running.permit.command_id)
            record_ready(talk.recorder, talk.status)
            talk.to_client(masked + messages.message(b"Z", talk.status))
        await talk.finish(running, ok=False, summary=summary)


def _shown(name: bytes) -> str:
    return repr(name[:LONGEST_NAME].decode("utf-8", "replace"))
