"""From the target to the client: each answer matched to its request, rows and texts masked, and recorded as the client sees it."""

from collections.abc import Callable

from countersign import _core
from countersign.model import Denial
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.bounds import UNCOUNTED, counted_rows
from countersign.protocols.postgres.codec import Asked, CopyData, Entry, Portal, Prepared, Running
from countersign.protocols.postgres.errors import ProtocolViolation
from countersign.protocols.postgres.naming import Use, Verb
from countersign.protocols.postgres.reading import LARGE_OBJECT_CALLS, makes_relations
from countersign.protocols.postgres.server_texts import mask_response
from countersign.protocols.postgres.session.conversation import Conversation
from countersign.protocols.postgres.session.namespace import Namespace
from countersign.protocols.postgres.session.recorded import (
    column_fields,
    record_columns,
    record_ready,
    record_rows,
    record_value,
    record_withheld,
)
from countersign.protocols.postgres.session.steady import Steady
from countersign.protocols.postgres.speech import Speech

LOREAD = 954
"""The OID of the function that reads large objects (``pg_proc.dat``)."""


class Answers:
    """Handles what the target sends."""

    def __init__(self, conversation: Conversation, names: Namespace, steady: Steady, rests: Callable[[], None]) -> None:
        """``rests`` is called when everything received has been handled."""
        self._rests = rests
        self._talk = conversation
        self._names = names
        self._steady = steady
        self._parts: list[bytes] = []
        self._missing = 0
        """Of a long row that answers the gateway itself."""
        self.parked = False
        """True while everything received has been handled."""

    async def run(self) -> str:
        """Carry the target's side until it breaks."""
        talk = self._talk
        decoder = talk.target.decoder
        while True:
            while (event := decoder.next()) is not None:
                kind, data, rows = event
                await self._answer(kind, data, rows)
            talk.moved.set()
            await talk.client.drain()
            self.parked = decoder.buffered() == 0
            self._rests()
            data = await talk.target.wire.receive()
            self.parked = False
            decoder.feed(data)

    async def _answer(self, kind: int, data: bytes, rows: int) -> None:
        head = self._talk.replies.head
        if head is not None and head.asked is Asked.OURS and chr(kind) not in "ENSA":
            self._heard(head, kind, data)
            return
        match chr(kind):
            case "D":
                self._rows(data, rows)
            case "\0":
                self._continued(data)
            case "T":
                await self._row_description(data)
            case "n" | "t":
                self._described(data)
            case "1" | "2" | "3":
                await self._confirmed(data)
            case "C" | "I" | "s":
                await self._completed(kind, data)
            case "E":
                await self._error(data)
            case "Z":
                await self._ready(data)
            case "V":
                await self._function_result(data)
            case "G":
                self._copy_in(data)
            case "H":
                self._copy_out(data)
            case "d":
                self._copy_data(data, rows)
            case "c":
                self._talk.target.decoder.set_copy(None, None)
                self._talk.to_client(data)
            case "N":
                await self._server_notice(data)
            case "S":
                self._parameter_status(data)
            case "A":
                self._notification(data)
            case _:
                raise ProtocolViolation(f"unexpected message {chr(kind)!r} from the target")
        self._talk.moved.set()

    def _heard(self, head: Entry, kind: int, data: bytes) -> None:
        """An answer to a request of the gateway's own."""
        if chr(kind) not in "12tTnDC3ZI\0":
            raise ProtocolViolation(f"unexpected message {chr(kind)!r} from the target")
        if head.heard is not None and (whole := self._whole(chr(kind), data)):
            head.heard(whole)
        if kind == ord("Z"):
            self._talk.is_ready(data[5:6])
        if kind in head.ends_with:
            self._talk.replies.answered()
            self._talk.next_rows()
        self._talk.moved.set()

    def _whole(self, kind: str, data: bytes) -> bytes:
        """The same, but b'' for a part of a long row, and all of it behind its last part."""
        if kind not in "D\0":
            return data
        self._missing = 1 + int.from_bytes(data[1:5]) - len(data) if kind == "D" else self._missing - len(data)
        self._parts.append(data)
        if self._missing > 0:
            return b""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    # -- rows and their descriptions
    def _rows(self, data: bytes, rows: int) -> None:
        talk = self._talk
        running = self._current()
        command_id, wanted = running.permit.command_id, talk.surroundings.rows_recorded - running.rows
        if talk.shows_originals(running):
            if not running.rows:
                record_withheld(talk.recorder, command_id)
        elif wanted > 0:
            record_rows(talk.recorder, command_id, data, rows, wanted)
        self._passes(running, data, rows)

    def _continued(self, data: bytes) -> None:
        self._passes(self._current(), data, 0)

    def _passes(self, running: Running, data: bytes, rows: int) -> None:
        """Part of a command's answer, in which so many messages begin, goes to the client."""
        running.answers(data, rows, is_kept=not self._talk.shows_originals(running))
        self._talk.to_client(data)

    def _current(self) -> Running:
        head = self._talk.replies.head
        if head is None or head.running is None:
            raise ProtocolViolation("the target answers what was not asked")
        return head.running

    async def _row_description(self, data: bytes) -> None:
        talk = self._talk
        head = talk.replies.head
        if head is None:
            raise ProtocolViolation("the target describes what was not asked")
        if head.asked is Asked.DESCRIBE and head.portal is None:
            talk.replies.answered()
            talk.next_rows()
            talk.to_client(data)
            return
        running = self._current()
        ahead = (running.sql, head.statement_index) if head.asked is Asked.QUERY and running.is_first_change else ("", 0)
        planned = await talk.plan(data, self._rows_come_from(head, running), ahead=ahead, unmasked=running.unmasked)
        talk.tell_unresolved(running, planned)
        record_columns(talk.recorder, running.permit.command_id, planned)
        running.count_hits(running.plan)
        running.plan = planned.plan
        if running.learning is not None:
            running.learning.description = data
            running.learning.columns = column_fields(planned)
        if head.asked in (Asked.DESCRIBE, Asked.DESCRIBE_OURS):
            assert head.portal is not None
            head.portal.plan = planned.plan
            talk.replies.answered()
            talk.next_rows()
            if head.asked is Asked.DESCRIBE:  # of a request that the lane took for one with another description
                talk.to_client(data)
            return
        if head.asked is not Asked.QUERY:
            raise ProtocolViolation("unexpected RowDescription")
        talk.target.decoder.set_row_plan(planned.plan)
        talk.to_client(data)

    def _rows_come_from(self, head: Entry, running: Running) -> str:
        if head.portal is not None:
            return head.portal.query
        if running.executed:
            return running.executed
        index = head.statement_index
        use = running.statements[index] if index < len(running.statements) else None
        return self._names.source_of(use, running.sql if len(running.statements) == 1 else _nth(running, index))

    def _described(self, data: bytes) -> None:
        talk = self._talk
        head = talk.replies.head
        if head is None or head.asked not in (Asked.DESCRIBE, Asked.DESCRIBE_OURS):
            raise ProtocolViolation("unexpected description from the target")
        if data[:1] == b"n":
            if head.portal is not None:
                head.portal.plan = None
            talk.replies.answered()
        if head.asked is Asked.DESCRIBE:
            talk.to_client(data)
        talk.next_rows()

    # -- completions
    async def _confirmed(self, data: bytes) -> None:
        talk = self._talk
        head = talk.replies.head
        if head is None:
            raise ProtocolViolation("unexpected completion from the target")
        match (head.asked, data[:1]):
            case (Asked.PARSE, b"1"):
                talk.statements.confirm(head.name, head.prepared)
                if head.running is not None:
                    self._happened(head.running, 0)
                    await talk.finish(head.running, ok=True, summary="PARSE")
            case (Asked.BIND, b"2"):
                talk.portals.confirm(head.name, head.portal)
            case (Asked.CLOSE, b"3") if head.closes == b"S":
                talk.statements.confirm(head.name, None)
            case (Asked.CLOSE, b"3"):
                await self._portal_closed(talk.portals.get_held(head.name))
                talk.portals.confirm(head.name, None)
            case _:
                raise ProtocolViolation("unexpected completion from the target")
        talk.replies.answered()
        talk.next_rows()
        talk.to_client(data)

    async def _completed(self, kind: int, data: bytes) -> None:
        talk = self._talk
        head = talk.replies.head
        running = self._current()
        tag = data[5:-1].decode("utf-8", "replace") if kind == ord("C") else "portal suspended" if kind == ord("s") else ""
        assert head is not None
        if kind != ord("s"):
            self._happened(running, head.statement_index)
        talk.target.decoder.set_copy(None, None)
        if head.asked is Asked.EXECUTE:
            talk.replies.answered()
            if exceeded := _exceeds(running, tag):
                running.exceeded = exceeded  # whoever asked waits, and has it undone
                talk.next_rows()
                return
            if kind != ord("s"):
                self._steady.learn(running, simple=False)
                await talk.finish(running, ok=True, summary=tag)
            talk.next_rows()
        elif head.asked is Asked.QUERY and kind != ord("s"):
            head.statement_index += 1
            running.tags.append(tag)
            talk.target.decoder.set_row_plan(None)
        else:
            raise ProtocolViolation("unexpected CommandComplete from the target")
        talk.copying_in = False
        talk.to_client(data)

    def _happened(self, running: Running, index: int) -> None:
        """One statement was carried out: what it did to the schema and to names is true now."""
        talk = self._talk
        if running.schema_change:
            self._names.made(running)
            talk.schema_changed = True
            talk.changes_unseen |= makes_relations(running.command)
            talk.has_made_checks = None
            talk.surroundings.catalog.expire()
        if index < len(running.statements):
            self._name(running, running.statements[index])

    def _name(self, running: Running, use: Use) -> None:
        talk = self._talk
        match use.verb:
            case Verb.PREPARE:
                source = running.sql.encode()
                prepared = Prepared(use.text.encode(), [], source, use.query, source, talk.age)
                talk.statements.confirm(use.name.encode(), prepared)
            case Verb.DEALLOCATE:
                talk.statements.drop(use.name.encode())
            case Verb.DISCARD:
                talk.statements.drop()
            case Verb.DECLARE:
                talk.cursors.declared(use.name, use.query)
            case Verb.CLOSE:
                talk.cursors.forget(use.name)
            case _:
                return

    async def _function_result(self, data: bytes) -> None:
        """A function by OID: where rules mask columns, only those for large objects show anything, and of masked ones not even they. What
        another would show cannot be known: ``currval`` of a masked column's sequence, or ``query_to_xml``."""
        talk = self._talk
        head = talk.replies.head
        if head is None or head.asked is not Asked.CALL:
            raise ProtocolViolation("unexpected FunctionCallResponse from the target")
        value = _core.decode_function_result(data)
        masking = talk.surroundings.masking
        hidden = (await talk.masked(set())).world.hides_large_objects if masking.has_columns else False
        is_known = head.function_oid in LARGE_OBJECT_CALLS and not (hidden and head.function_oid == LOREAD)
        if masking.has_columns and not is_known:
            value = None
        elif value is not None and masking.masker is not None and len(value) > 8:
            value = masking.masker.mask_text(value)[0]
        running = self._current()
        running.tags.append("FUNCTION CALL")
        self._happened(running, 0)
        if talk.shows_originals(running):
            record_withheld(talk.recorder, running.permit.command_id)
        elif talk.surroundings.rows_recorded:
            record_value(talk.recorder, running.permit.command_id, value)
        self._passes(running, messages.function_call_response(value), 0)

    async def _error(self, data: bytes) -> None:
        talk = self._talk
        head = talk.replies.head
        talk.copying_in = False
        talk.target.decoder.set_row_plan(None)
        talk.target.decoder.set_copy(None, None)
        if head is not None and head.asked is Asked.OURS and talk.replies.next_sync_is_ours():
            if head.heard is not None:
                head.heard(data)
            talk.replies.skip_to_sync()
            return
        if head is not None and head.running is not None and head.running.schema_change:
            talk.surroundings.catalog.expire()  # a procedure may have committed before it failed
        if head is not None and head.denial is not None:
            answer = denial_response(head.denial, head.code)
        else:
            answer = await self._masked(data, head)
        code, text = self._record_error(answer, head)
        if head is not None and head.is_simple:
            if head.running is not None:
                head.running.failure = (code, text)
        else:
            talk.skipping = True
            talk.statements.settle()
            talk.portals.settle()
            for entry in talk.replies.skip_to_sync():
                if entry.running is not None:
                    await talk.finish(entry.running, ok=False, summary=text, error_code=code)
        talk.to_client(answer)

    def _record_error(self, answer: bytes, head: Entry | None) -> tuple[str, str]:
        fields = self._talk.record_response("error", answer, _command_of(head))
        self._talk.was_told_fatal |= fields.get("V", fields.get("S", "")) in ("FATAL", "PANIC")
        return fields.get("C", ""), fields.get("M", "")

    async def _masked(self, response: bytes, head: Entry | None) -> bytes:
        """The server's words about this request, without what must be withheld."""
        talk = self._talk
        if head is not None and head.running is None and head.asked in (Asked.PARSE, Asked.DESCRIBE):
            return mask_response(response, talk.surroundings.masking, Speech.PLAIN)  # it is analysed only
        topics = self._names.topics_of(head) if head is not None else ()
        named = self._names.names_of(head) if head is not None else frozenset()
        return mask_response(response, talk.surroundings.masking, await talk.speech(topics), named)

    async def _ready(self, data: bytes) -> None:
        talk = self._talk
        if talk.replies.head is None:
            raise ProtocolViolation("unexpected ReadyForQuery from the target")
        entry = talk.replies.answered()
        if entry.asked in (Asked.QUERY, Asked.CALL) and entry.running is not None:
            running = entry.running
            code, text = running.failure
            if not code:
                self._steady.learn(running, simple=True)
            await talk.finish(running, ok=not code, summary=text or "; ".join(running.tags), error_code=code)
        elif entry.asked not in (Asked.SYNC, Asked.REFUSED):
            raise ProtocolViolation("unexpected ReadyForQuery from the target")
        if data[5:6] == b"I":
            for portal in talk.portals.held().values():
                await self._portal_closed(portal)
        record_ready(talk.recorder, data[5:6])
        talk.is_ready(data[5:6])
        talk.to_client(data)

    async def _portal_closed(self, portal: Portal | None) -> None:
        """A portal that was not run to its end has an outcome all the same."""
        if portal is not None and not portal.running.finished:
            await self._talk.finish(portal.running, ok=True, summary="portal closed")

    # -- COPY
    def _copy_in(self, data: bytes) -> None:
        talk = self._talk
        running = self._current()
        running.copied_in = talk.copied_in = running.copied_in or CopyData()
        talk.copying_in = True
        if talk.replies.drop_syncs():
            talk.segment_closed = False  # the client sends another behind its data
        talk.to_client(data)

    def _copy_out(self, data: bytes) -> None:
        talk = self._talk
        running = self._current()
        head = talk.replies.head
        assert head is not None
        if head.copy_index >= len(running.copies):
            raise ProtocolViolation("the target sends copy data that cannot be masked")
        plan, copy_format = running.copies[head.copy_index]
        head.copy_index += 1
        binary, columns = _core.decode_copy_response(data)
        masking = talk.surroundings.masking
        if masking.rules and (len(columns) != plan.width() or (binary == 1) != (copy_format[0] == "binary")):
            raise ProtocolViolation("the target sends copy data of another shape than described")
        talk.target.decoder.set_copy(plan, copy_format)
        talk.to_client(data)

    def _copy_data(self, data: bytes, rows: int) -> None:
        self._passes(self._current(), data, rows)

    # -- at any time
    async def _server_notice(self, data: bytes) -> None:
        talk = self._talk
        answer = await self._masked(data, talk.replies.head)
        talk.record_response("notice", answer, _command_of(talk.replies.head))
        talk.to_client(answer)

    def _parameter_status(self, data: bytes) -> None:
        name, value = data[5:-1].split(b"\0", 1)
        self._talk.target.parameters[name.decode()] = value.decode("utf-8", "replace")
        if name == b"application_name":
            self._renamed(value.decode("utf-8", "replace"))
        head = self._talk.replies.head
        is_ours = head is not None and head.asked is Asked.OURS
        if not self._talk.access.hides(name.decode(), value.decode("utf-8", "replace"), is_ours=is_ours):
            self._talk.to_client(data)

    def _renamed(self, name: str) -> None:
        """The client calls itself otherwise. A name that its own words do not hold may be what a query has found (I5)."""
        talk = self._talk
        if name == talk.application:
            return
        talk.application = name
        if name == talk.session.application or any(name in words for words in talk.names_said):
            talk.recorder.add("application", name=name)
        else:
            talk.recorder.add("application", name=None, withheld=True)

    def _notification(self, data: bytes) -> None:
        """Another session's words: what they hold is kept only where no rule says that a column must not be (I5)."""
        talk, masking = self._talk, self._talk.surroundings.masking
        channel, payload = data[9:-1].split(b"\0", 1)
        if masking.masker is not None:
            payload = masking.masker.mask_text(payload)[0]
        is_kept = not (masking.has_columns or masking.leaves_out)
        talk.recorder.add(
            "notification",
            channel=channel.decode("utf-8", "replace"),
            payload=payload.decode("utf-8", "replace") if is_kept else None,
            process_id=int.from_bytes(data[5:9]),
        )
        talk.to_client(messages.message(b"A", data[5:9] + channel + b"\0" + payload + b"\0"))


def denial_response(denial: Denial, code: str = "") -> bytes:
    """The gate's no in the protocol's own form. ``code``: the SQLSTATE where it is another than that of a denial."""
    if denial.trouble is not None:
        code = code or errors.state_of(denial.trouble)
    code = code or (errors.QUERY_CANCELED if denial.cancelled else errors.INSUFFICIENT_PRIVILEGE)
    return messages.error_response(code, denial.message, detail=denial.detail, hint=denial.hint)


def _command_of(entry: Entry | None) -> str:
    """The id of the command that a request belongs to; '' where it has none."""
    if entry is None:
        return ""
    if entry.denial is not None:
        return entry.denial.command_id
    return entry.running.permit.command_id if entry.running is not None else ""


def _nth(running: Running, index: int) -> str:
    return running.statements[index].text if index < len(running.statements) else ""


def _exceeds(running: Running, tag: str) -> int | None:
    """The rows that a command changed beyond the bound of its approval; a count that is not told is beyond any."""
    bound = running.permit.at_most_rows
    if bound is None:
        return None
    rows = counted_rows(tag)
    return UNCOUNTED if rows is None else rows if rows > bound else None
