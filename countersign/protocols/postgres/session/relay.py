"""Carries one session between an authenticated client and its target.

Two loops share the state of ``codec``: one reads the client, judges and forwards; the other reads the target, masks, records and
answers. Client messages of a new segment wait until the target is ready (see ``codec``). Everything that is not listed here is refused.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from countersign import _core
from countersign._core import FrontendDecoder, ProtocolError
from countersign.gate import Gate, Outcome, digest_of
from countersign.model import Command, Denial, Effect, Permit, Review, Session
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.codec import Asked, Entry, Names, Portal, Prepared, Replies, Running
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.lineage import clean_outputs
from countersign.protocols.postgres.masking import OutputColumn, TargetMasking, plan_rows
from countersign.protocols.postgres.reading import (
    bind_command,
    changes_names,
    query_command,
    returns_copy,
    touches_schema,
)
from countersign.protocols.postgres.server_texts import mask_response
from countersign.protocols.postgres.session.catalog import TargetCatalog
from countersign.protocols.postgres.session.target import TargetConnection
from countersign.protocols.wire import Wire, WireClosed
from countersign.recording import Recorder

log = structlog.get_logger(__name__)

ROWS_RECORDED = 200
EXTENDED = frozenset(b"PBDEC")
SIMPLE = frozenset(b"QF")
COPY_IN = frozenset(b"dcf")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session of this target works with."""

    gate: Gate
    masking: TargetMasking
    catalog: TargetCatalog
    console_url: Callable[[str], str]


class SessionHold:
    """The client's side of one hold: notices go out at once, and the client's or the target's leaving ends it (implements ``gate.Hold``)."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self.cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def cancel(self, why: str) -> None:
        """The command must not run any more."""
        if not self.cancelled.done():
            self.cancelled.set_result(why)

    async def held(self, review: Review) -> None:
        """Tell the client at once."""
        self._relay.recorder.add("held", review_id=review.id, rule=review.rule)
        self._notice(review, f"held for review {review.id}: a human must approve exactly this command")

    async def still_held(self, review: Review) -> None:
        """Tell it again."""
        self._notice(review, f"review {review.id} is still waiting for a decision")

    def _notice(self, review: Review, text: str) -> None:
        self._relay.to_client(
            messages.notice_response(text, detail=f"Rule {review.rule!r}.", hint=self._relay.surroundings.console_url(review.id))
        )


class Relay:
    """One session in progress. ``run`` carries it to its end."""

    def __init__(
        self,
        session: Session,
        client: Wire,
        frontend: FrontendDecoder,
        target: TargetConnection,
        recorder: Recorder,
        surroundings: Surroundings,
    ) -> None:
        self.session = session
        self.recorder = recorder
        self.surroundings = surroundings
        self._client = client
        self._frontend = frontend
        self._target = target
        self._statements: Names[Prepared] = Names()
        self._portals: Names[Portal] = Names()
        self._replies = Replies()
        self._moved = asyncio.Event()  # set whenever the target answered something
        self._segment_closed = True
        self._skipping = False
        self._copying_in = False
        self._hold: SessionHold | None = None
        self._closing = ""

    # -- life
    async def run(self) -> str:
        """Carry the session; return why it ended."""
        self._client.gone.add_done_callback(lambda _: self.cancel_hold("the client left"))
        self._target.wire.gone.add_done_callback(lambda _: self.cancel_hold("the target left"))
        reading = asyncio.create_task(self._read_client())
        answering = asyncio.create_task(self._read_target())
        try:
            await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
            return self._reason(reading, answering)
        finally:
            for task in (reading, answering):
                task.cancel()
            await asyncio.gather(reading, answering, return_exceptions=True)
            await self._abandon_running()

    def _reason(self, reading: asyncio.Task[str], answering: asyncio.Task[str]) -> str:
        ended = reading if reading.done() else answering
        error = ended.exception()
        if error is None:
            return ended.result()
        if isinstance(error, WireClosed):
            return "the client left" if self._client.gone.done() else "the target left"
        log.error("session_failed", session_id=self.session.id, error=str(error), exc_info=error)
        public = str(error) if isinstance(error, (ProtocolError, ProtocolViolation)) else "internal error"
        code = errors.PROTOCOL_VIOLATION if public != "internal error" else errors.INTERNAL_ERROR
        text = f"Countersign ends this session: {public} ({self.session.id})"
        self.to_client(messages.error_response(code, text, severity="FATAL"))
        return f"ended: {public}"

    async def _abandon_running(self) -> None:
        while (entry := self._replies.head) is not None:
            self._replies.answered()
            if entry.running is not None:
                await self._finish(entry.running, ok=False, summary="the session ended before the target answered")

    def cancel_hold(self, why: str) -> bool:
        """End the hold in progress, if there is one."""
        if self._hold is None:
            return False
        self._hold.cancel(why)
        return True

    def to_client(self, data: bytes) -> None:
        """Send whole messages to the client."""
        self._client.send(data)

    # -- from the client
    async def _read_client(self) -> str:
        while True:
            while (received := self._frontend.next()) is not None:
                kind, raw = received
                if kind == ord("X"):
                    return "the client said goodbye"
                await self._handle(kind, raw)
            self._frontend.feed(await self._client.receive())
            await self._target.wire.drain()

    async def _handle(self, kind: int, raw: bytes) -> None:
        if kind in COPY_IN:
            await self._copy_in(kind, raw)
            return
        if self._segment_closed:
            await self._wait(lambda: not self._replies.queue)
            self._statements.settle()
            self._portals.settle()
            self._skipping = False
        if kind in SIMPLE:
            await self._simple(kind, raw)
        elif kind == ord("S"):
            self._segment_closed = True
            self._forward(messages.SYNC, Entry(Asked.SYNC))
        elif kind == ord("H"):
            self._target.wire.send(messages.FLUSH)
        elif kind in EXTENDED:
            self._segment_closed = False
            if not self._skipping:
                await self._extended(kind, raw)
        else:
            raise ProtocolViolation(f"unexpected message {chr(kind)!r}")

    async def _simple(self, kind: int, raw: bytes) -> None:
        """A Query or FunctionCall; behind an error in an unfinished segment the server ignores it, and so do we."""
        await self._settle()
        if self._skipping:
            return
        if kind == ord("Q"):
            await self._query(raw)
        else:
            await self._function_call(raw)

    async def _extended(self, kind: int, raw: bytes) -> None:
        match chr(kind):
            case "P":
                self._parse(raw)
            case "B":
                await self._bind(raw)
            case "D":
                self._describe(raw)
            case "E":
                self._execute(raw)
            case "C":
                self._close(raw)

    async def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    def _forward(self, data: bytes, entry: Entry) -> None:
        self._replies.ask(entry)
        self._target.wire.send(data)

    # -- simple query
    async def _query(self, raw: bytes) -> None:
        sql = _core.decode_query(raw)
        command = query_command(raw, sql, self._grammar_agrees())
        answer = await self._judge(command)
        self._statements.forget(b"")  # a simple Query destroys the unnamed statement and portal
        self._portals.forget(b"")
        self._segment_closed = True
        if isinstance(answer, Denial):
            self._forward(messages.query(messages.REFUSED_SQL), Entry(Asked.REFUSED, denial=answer, is_simple=True))
            return
        self._forget_changed_names(command)
        running = self._spend(answer, command)
        self._forward(raw, Entry(Asked.QUERY, running=running, is_simple=True))

    async def _function_call(self, raw: bytes) -> None:
        command = Command("postgres", raw, "FunctionCall", frozenset({Effect.UNKNOWN}))
        denial = await self.surroundings.gate.refuse(
            self.session, command, "function calls by OID are not supported through Countersign; use SELECT"
        )
        self._segment_closed = True
        self._forward(messages.query(messages.REFUSED_SQL), Entry(Asked.REFUSED, denial=denial, is_simple=True))

    # -- extended query
    def _parse(self, raw: bytes) -> None:
        name, sql, types = _core.decode_parse(raw)
        prepared = Prepared(sql, types, raw)
        self._statements.hope(name, prepared)
        self._forward(raw, Entry(Asked.PARSE, name=name, prepared=prepared))

    async def _bind(self, raw: bytes) -> None:
        portal_name, statement, formats, values, _ = _core.decode_bind(raw)
        prepared = self._statements.get(statement)
        if prepared is None:
            self._refuse_extended(
                Denial("", f"Countersign does not know the prepared statement {statement!r}", hint="Prepare it again.")
            )
            return
        command = bind_command(prepared, raw, formats, values, self._grammar_agrees())
        answer = await self._judge(command)
        if self._skipping:  # an earlier message of this segment failed meanwhile: the target would ignore this one
            if isinstance(answer, Permit):
                running = self._spend(answer, command)
                await self._finish(running, ok=False, summary="skipped: an earlier command of the pipeline failed")
            return
        if isinstance(answer, Denial):
            self._refuse_extended(answer)
            return
        self._forget_changed_names(command)
        portal = Portal(self._spend(answer, command))
        self._portals.hope(portal_name, portal)
        self._forward(raw, Entry(Asked.BIND, name=portal_name, portal=portal, running=portal.running))
        # Its own description tells which columns it will answer with, whether the client asks or not.
        self._forward(messages.describe_portal(portal_name), Entry(Asked.DESCRIBE_OURS, portal=portal, running=portal.running))

    def _describe(self, raw: bytes) -> None:
        _core.decode_describe(raw)  # nothing malformed goes on
        self._forward(raw, Entry(Asked.DESCRIBE))

    def _execute(self, raw: bytes) -> None:
        name, _ = _core.decode_execute(raw)
        portal = self._portals.get(name)
        if portal is None:
            self._refuse_extended(Denial("", f"Countersign does not know the portal {name!r}", hint="Bind it, or use FETCH."))
            return
        self._forward(raw, Entry(Asked.EXECUTE, name=name, portal=portal, running=portal.running))

    def _close(self, raw: bytes) -> None:
        kind, name = _core.decode_describe(raw)
        names: Names[Prepared] | Names[Portal] = self._statements if kind == "S" else self._portals
        names.hope(name, None)
        self._forward(raw, Entry(Asked.CLOSE, name=name, closes=kind.encode()))

    def _refuse_extended(self, denial: Denial) -> None:
        self._skipping = True
        refused = messages.parse(b"countersign_refused", messages.REFUSED_SQL) + messages.FLUSH
        self._forward(refused, Entry(Asked.REFUSED, denial=denial))

    async def _copy_in(self, kind: int, raw: bytes) -> None:
        """Copy data belongs to a permitted COPY; outside of one the server ignores it, and so do we."""
        await self._wait(lambda: self._copying_in or not self._replies.queue or self._skipping)
        if not self._copying_in:
            return
        if kind != ord("d"):
            self._copying_in = False
        self._target.wire.send(raw)

    # -- judging
    def _grammar_agrees(self) -> bool:
        """True while the server reads text as the grammar library does."""
        parameters = self._target.parameters
        return parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"

    async def _judge(self, command: Command) -> Permit | Denial:
        self.recorder.add("command", text=command.text, parameters=[p.shown for p in command.parameters])
        if returns_copy(command) and self.surroundings.masking.rules:
            return await self.surroundings.gate.refuse(
                self.session,
                command,
                "COPY ... TO STDOUT is not masked yet, so it is not allowed on a target with mask rules",
            )
        if not command.is_plain_read:
            await self._settle()
        self._hold = hold = SessionHold(self)
        if self._client.gone.done():
            hold.cancel("the client left")
        try:
            answer = await self.surroundings.gate.admit(self.session, command, hold)
        finally:
            self._hold = None
        if isinstance(answer, Permit) and (self._client.gone.done() or hold.cancelled.done()):
            why = hold.cancelled.result() if hold.cancelled.done() else "the client left"
            await self.surroundings.gate.finished(self.session, answer, Outcome(False, f"not run: {why}", 0.0))
            raise WireClosed(why)
        self._record_decision(answer)
        return answer

    def _record_decision(self, answer: Permit | Denial) -> None:
        if isinstance(answer, Denial):
            self.recorder.add("decided", review_id=answer.review_id, state="denied", reason=answer.message)
        elif answer.review_id:
            self.recorder.add("decided", review_id=answer.review_id, state="approved", reason="")

    async def _settle(self) -> None:
        """Before a command is held, hear how the ones ahead of it in the pipeline went."""
        if self._replies.queue:
            self._target.wire.send(messages.FLUSH)
            await self._wait(lambda: not self._replies.queue or self._skipping)

    def _spend(self, permit: Permit, command: Command) -> Running:
        """The permit is used up here, where the bytes leave (I2)."""
        permit.spend(session_id=self.session.id, digest=digest_of(self.session, command))
        readable = all(statement.kind != "unparsed" for statement in command.statements)
        return Running(permit, command.text if readable else "", time.monotonic(), schema_change=touches_schema(command))

    def _forget_changed_names(self, command: Command) -> None:
        changed = changes_names(command)
        if changed is not None:
            self._statements.forget(changed or None)
        if any(statement.kind == "DECLARE" for statement in command.statements):
            self._portals.forget()

    # -- from the target
    async def _read_target(self) -> str:
        decoder = self._target.decoder
        while True:
            while (event := decoder.next()) is not None:
                kind, data, rows = event
                await self._answer(kind, data, rows)
            self._moved.set()
            await self._client.drain()
            decoder.feed(await self._target.wire.receive())

    async def _answer(self, kind: int, data: bytes, rows: int) -> None:
        match chr(kind):
            case "D":
                self._rows(data, rows)
            case "T":
                await self._row_description(data)
            case "n" | "t":
                self._described(data)
            case "1" | "2" | "3":
                self._confirmed(data)
            case "C" | "I":
                await self._completed(kind, data)
            case "s":
                await self._completed(kind, data)
            case "E":
                await self._error(data)
            case "Z":
                await self._ready(data)
            case "G":
                self._copying_in = True
                self._replies.drop_syncs()
                self.to_client(data)
            case "H" | "d" | "c":
                self._copy_out(data)
            case "N":
                self._server_notice(data)
            case "S":
                self._parameter_status(data)
            case "A":
                self._notification(data)
            case _:
                raise ProtocolViolation(f"unexpected message {chr(kind)!r} from the target")
        self._moved.set()

    def _rows(self, data: bytes, rows: int) -> None:
        running = self._current()
        if running.rows < ROWS_RECORDED:
            shown = _core.decode_rows(data, ROWS_RECORDED - running.rows)
            self.recorder.add("rows", values=[[_shown(value) for value in row] for row in shown], more=len(shown) < rows)
        running.rows += rows
        running.bytes_out += len(data)
        self.to_client(data)

    def _current(self) -> Running:
        head = self._replies.head
        if head is None or head.running is None:
            raise ProtocolViolation("the target answers what was not asked")
        return head.running

    async def _row_description(self, data: bytes) -> None:
        head = self._replies.head
        if head is None:
            raise ProtocolViolation("the target describes what was not asked")
        if head.asked is Asked.DESCRIBE:
            self._replies.answered()
            self._next_rows()
            self.to_client(data)
            return
        running = self._current()
        plan, masked_by, names = await self._plan(data, running, head)
        self.recorder.add("columns", names=names, masked=masked_by)
        running.plan = plan
        if head.asked is Asked.DESCRIBE_OURS:
            assert head.portal is not None
            head.portal.plan = plan
            self._replies.answered()
            self._next_rows()
            return
        if head.asked is not Asked.QUERY:
            raise ProtocolViolation("unexpected RowDescription")
        self._target.decoder.set_row_plan(plan)
        self.to_client(data)

    async def _plan(self, data: bytes, running: Running, entry: Entry) -> tuple[_core.RowPlan, list[str], list[str]]:
        fields = _core.decode_row_description(data)
        columns = [OutputColumn(f[0].decode("utf-8", "replace"), f[1], f[2], f[3], f[6] == 1) for f in fields]
        masking = self.surroundings.masking
        masked = reading = None
        if masking.has_columns:
            masked = await self.surroundings.catalog.masked({column.table_oid for column in columns if column.table_oid})
            readings = clean_outputs(running.sql)
            reading = readings[entry.statement_index] if entry.statement_index < len(readings) else None
        plan, masked_by = plan_rows(columns, masking, masked, reading)
        return plan, masked_by, [column.name for column in columns]

    def _described(self, data: bytes) -> None:
        head = self._replies.head
        if head is None or head.asked not in (Asked.DESCRIBE, Asked.DESCRIBE_OURS):
            raise ProtocolViolation("unexpected description from the target")
        if data[:1] == b"n":
            self._replies.answered()
        if head.asked is Asked.DESCRIBE:
            self.to_client(data)
        self._next_rows()

    def _confirmed(self, data: bytes) -> None:
        head = self._replies.head
        if head is None:
            raise ProtocolViolation("unexpected completion from the target")
        match head.asked:
            case Asked.PARSE:
                self._statements.confirm(head.name, head.prepared)
            case Asked.BIND:
                self._portals.confirm(head.name, head.portal)
            case Asked.CLOSE if head.closes == b"S":
                self._statements.confirm(head.name, None)
            case Asked.CLOSE:
                self._portals.confirm(head.name, None)
            case _:
                raise ProtocolViolation("unexpected completion from the target")
        self._replies.answered()
        self._next_rows()
        self.to_client(data)

    def _next_rows(self) -> None:
        """Rows that follow belong to the request that is now at the head."""
        head = self._replies.head
        plan = head.portal.plan if head is not None and head.asked is Asked.EXECUTE and head.portal else None
        self._target.decoder.set_row_plan(plan)

    async def _completed(self, kind: int, data: bytes) -> None:
        head = self._replies.head
        running = self._current()
        tag = data[5:-1].decode("utf-8", "replace") if kind == ord("C") else "portal suspended" if kind == ord("s") else ""
        if kind != ord("s") and running.schema_change:
            self.surroundings.catalog.expire()
        assert head is not None
        if head.asked is Asked.EXECUTE:
            self._replies.answered()
            await self._finish(running, ok=True, summary=tag)
            self._next_rows()
        elif head.asked is Asked.QUERY:
            head.statement_index += 1
            running.tags.append(tag)
            self._target.decoder.set_row_plan(None)
        else:
            raise ProtocolViolation("unexpected CommandComplete from the target")
        self._copying_in = False
        self.to_client(data)

    async def _error(self, data: bytes) -> None:
        head = self._replies.head
        self._copying_in = False
        self._target.decoder.set_row_plan(None)
        if head is not None and head.denial is not None:
            answer = _denial_response(head.denial)
        else:
            answer = mask_response(data, self.surroundings.masking, self._is_sensitive(head))
        fields = {code: value.decode("utf-8", "replace") for code, value in _core.decode_fields(answer)}
        code, text = fields.get("C", ""), fields.get("M", "")
        self.recorder.add(
            "error",
            severity=fields.get("S", ""),
            code=code,
            message=text,
            detail=fields.get("D", ""),
            hint=fields.get("H", ""),
        )
        if head is not None and head.is_simple:
            if head.running is not None:
                head.running.failure = (code, text)
        else:
            self._skipping = True
            self._drop_tentative()
            for entry in self._replies.skip_to_sync():
                if entry.running is not None:
                    await self._finish(entry.running, ok=False, summary=text, error_code=code)
        self.to_client(answer)

    def _drop_tentative(self) -> None:
        self._statements.settle()
        self._portals.settle()

    def _is_sensitive(self, head: Entry | None) -> bool:
        """True where the server's words about this command may hold values of masked columns."""
        return self.surroundings.masking.has_columns and head is not None and head.running is not None

    async def _ready(self, data: bytes) -> None:
        if self._replies.head is None:
            raise ProtocolViolation("unexpected ReadyForQuery from the target")
        entry = self._replies.answered()
        if entry.asked is Asked.QUERY and entry.running is not None:
            running = entry.running
            code, text = running.failure
            await self._finish(running, ok=not code, summary=text or "; ".join(running.tags), error_code=code)
        elif entry.asked not in (Asked.SYNC, Asked.REFUSED):
            raise ProtocolViolation("unexpected ReadyForQuery from the target")
        if data[5:6] == b"I":
            self._portals.forget()  # no portal of the protocol outlives its transaction
        self.recorder.flush()
        self.to_client(data)

    def _copy_out(self, data: bytes) -> None:
        if self.surroundings.masking.rules:
            raise ProtocolViolation("the target sends copy data, which is not masked")
        running = self._current()
        running.bytes_out += len(data)
        self.to_client(data)

    def _server_notice(self, data: bytes) -> None:
        answer = mask_response(data, self.surroundings.masking, self._is_sensitive(self._replies.head))
        fields = {code: value.decode("utf-8", "replace") for code, value in _core.decode_fields(answer)}
        self.recorder.add(
            "notice",
            severity=fields.get("S", ""),
            code=fields.get("C", ""),
            message=fields.get("M", ""),
            detail=fields.get("D", ""),
            hint="",
        )
        self.to_client(answer)

    def _parameter_status(self, data: bytes) -> None:
        name, value = data[5:-1].split(b"\0", 1)
        self._target.parameters[name.decode()] = value.decode("utf-8", "replace")
        self.to_client(data)

    def _notification(self, data: bytes) -> None:
        masker = self.surroundings.masking.masker
        if masker is None:
            self.to_client(data)
            return
        channel, payload = data[9:-1].split(b"\0", 1)
        self.to_client(messages.message(b"A", data[5:9] + channel + b"\0" + masker.mask_text(payload)[0] + b"\0"))

    async def _finish(self, running: Running, *, ok: bool, summary: str, error_code: str = "") -> None:
        if running.finished:
            return
        running.finished = True
        duration_s = time.monotonic() - running.started_s
        masked = tuple(running.plan.hits()) if running.plan is not None else ()
        self.recorder.add("done", tag=summary, rows=running.rows, bytes=running.bytes_out, duration_s=round(duration_s, 6))
        outcome = Outcome(ok, summary, duration_s, running.rows, error_code, masked)
        await self.surroundings.gate.finished(self.session, running.permit, outcome)


def _denial_response(denial: Denial) -> bytes:
    code = errors.QUERY_CANCELED if denial.cancelled else errors.INSUFFICIENT_PRIVILEGE
    return messages.error_response(code, denial.message, detail=denial.detail, hint=denial.hint)


def _shown(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "\\x" + value.hex()
