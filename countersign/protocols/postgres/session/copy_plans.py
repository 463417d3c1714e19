"""What a COPY to the client gives: its rows are described before it runs, so that they can be masked."""

from countersign import _core
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.codec import Running
from countersign.protocols.postgres.copying import CopyOut
from countersign.protocols.postgres.server_texts import mask_response
from countersign.protocols.postgres.session.conversation import Conversation, ours
from countersign.protocols.postgres.session.judging import Judge
from countersign.protocols.postgres.session.recorded import record_columns, record_ready
from countersign.protocols.postgres.speech import Speech


class CopyPlans:
    """Plans the COPYs of one session."""

    def __init__(self, conversation: Conversation, judge: Judge, name: bytes) -> None:
        """``name``: what the gateway's own statements are called in the session."""
        self._talk = conversation
        self._judge = judge
        self._name = name

    async def plan(self, running: Running, *, is_simple: bool) -> bool:
        """Learn what the rows of each COPY to the client are. False where the server has refused that, which answers the client."""
        talk = self._talk
        masking = talk.surroundings.masking
        for copy in self._judge.copies(running.command):
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
        name = self._name
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
