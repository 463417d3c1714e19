"""What a recording is told of a session, in the events of docs/recordings.md. The core's ``records`` writes the same for the lane."""

import asyncio
import hashlib
from typing import TYPE_CHECKING

import orjson

from countersign import _core
from countersign.gate import HASHED_APART_BYTES, Outcome, Ruling
from countersign.model import Command, Parameter, Review, Verdict
from countersign.model.clock import to_text
from countersign.model.command import SHOWN_CHARACTERS, cut_mark
from countersign.protocols.postgres.type_names import type_name
from countersign.recording import Recorder

if TYPE_CHECKING:
    from countersign.protocols.postgres.session.conversation import Planned

VALUE_RECORDED_BYTES = 256 << 10
"""How much of one value a recording shows. What goes by the lane is never longer."""
TRANSACTION = {b"I": "idle", b"T": "in transaction", b"E": "failed"}
"""By the status of ReadyForQuery."""
NAMED_APART = "SCMDH"
"""The fields of an error or a notice that have names of their own."""


async def record_command(recorder: Recorder, command: Command, message: str, sent: bytes) -> None:
    """A command as it came in ``message``. ``sent``: its statement, or, where it has none, the whole message. Of a long one the digests
    are found on a thread. Raises ``RecordingFailed``."""
    if len(command.raw) + len(command.ahead) > HASHED_APART_BYTES:
        fields = await asyncio.to_thread(command_fields, command, message, sent)
    else:
        fields = command_fields(command, message, sent)
    recorder.add("command", **fields)


def command_fields(command: Command, message: str, sent: bytes) -> dict[str, object]:
    """The event's own fields."""
    exact = _exact(sent) if message != "FunctionCall" else None
    shown = command.shown_text
    fields: dict[str, object] = {
        "message": message,
        "text": shown if exact is None else exact,
        "parameters": [parameter.shown for parameter in command.parameters],
    }
    if command.parameters:
        fields["bound"] = [_bound(parameter) for parameter in command.parameters]
    if exact is None:
        fields |= {"sent_bytes": len(sent), "sent_sha256": hashlib.sha256(sent).hexdigest()}
    elif shown != exact:
        fields["reads_as"] = shown
    return fields


def _exact(sent: bytes) -> str | None:
    """The statement itself, where people are shown all of it."""
    if len(sent) > 4 * SHOWN_CHARACTERS:
        return None
    try:
        text = sent.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) <= SHOWN_CHARACTERS else None


def _bound(parameter: Parameter) -> dict[str, object]:
    fields: dict[str, object] = {"format": "binary" if parameter.binary else "text", "type": parameter.type_oid}
    if parameter.raw is None:
        fields["null"] = True
    elif parameter.is_cut:
        fields |= {"bytes": len(parameter.raw), "sha256": hashlib.sha256(parameter.raw).hexdigest()}
    return fields


def record_verdict(recorder: Recorder, ruling: Ruling) -> None:
    """What is on record of it. Raises ``RecordingFailed``."""
    recorder.add("verdict", command_id=ruling.command_id, digest=ruling.digest, **_verdict_fields(ruling.verdict))


def verdict_tail(verdict: Verdict) -> bytes:
    """The same event for the lane, behind the time and what each command has of its own."""
    return orjson.dumps({"type": "verdict", **_verdict_fields(verdict)})[1:]


def _verdict_fields(verdict: Verdict) -> dict[str, object]:
    return {
        "action": verdict.action.value,
        "rule": verdict.rule,
        "policy_digest": verdict.policy_digest,
        "message": verdict.message,
    }


def record_decided(recorder: Recorder, review: Review) -> None:
    """The wait for a review is over: its decisions, and what came of them. Raises ``RecordingFailed``."""
    about = {"command_id": review.command_id, "review_id": review.id}
    for decision in review.decisions:
        recorder.add(
            "decision",
            **about,
            reviewer=decision.reviewer,
            authentication=decision.authentication,
            decision=decision.kind.value,
            reason=decision.reason,
            digest=decision.digest,
            decided_at=to_text(decision.decided_at),
        )
    recorder.add("decided", **about, state=review.state.value, reason=review.outcome)


def record_columns(recorder: Recorder, command_id: str, planned: "Planned") -> None:
    """The columns of the rows to come. Raises ``RecordingFailed``."""
    recorder.add("columns", command_id=command_id, **column_fields(planned))


def columns_tail(fields: dict[str, object]) -> bytes:
    """The same event for the lane, as ``verdict_tail``."""
    return orjson.dumps({"type": "columns", **fields})[1:]


def column_fields(planned: "Planned") -> dict[str, object]:
    """What the event says of the columns."""
    return {
        "names": planned.names,
        "masked": planned.masked_by,
        "types": [type_name(column.type_oid) for column in planned.columns],
        "formats": ["binary" if column.binary else "text" for column in planned.columns],
    }


def record_rows(recorder: Recorder, command_id: str, data: bytes, rows: int, limit: int) -> None:
    """The first rows of a run. Raises ``RecordingFailed``."""
    try:
        shown = _core.decode_rows(data, limit)
    except _core.ProtocolError:  # the beginning of a row that is passed on in pieces
        recorder.add("rows", command_id=command_id, values=[], more=True)
        return
    values = [[_shown(value) for value in row] for row in shown]
    recorder.add("rows", command_id=command_id, values=values, more=len(shown) < rows)


def record_value(recorder: Recorder, command_id: str, value: bytes | None) -> None:
    """What a FunctionCall answered, as a row of one value. Raises ``RecordingFailed``."""
    recorder.add("rows", command_id=command_id, values=[[_shown(value)]], more=False)


def record_withheld(recorder: Recorder, command_id: str) -> None:
    """Rows that are not kept. Raises ``RecordingFailed``."""
    recorder.add("rows", command_id=command_id, values=[], more=True, withheld=True)


def record_response(recorder: Recorder, kind: str, command_id: str, fields: dict[str, str]) -> None:
    """An error or a notice, by its fields' letters. Raises ``RecordingFailed``."""
    recorder.add(
        kind,
        command_id=command_id,
        severity=fields.get("S", ""),
        code=fields.get("C", ""),
        message=fields.get("M", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
        fields={letter: value for letter, value in fields.items() if letter not in NAMED_APART},
    )


def record_done(recorder: Recorder, command_id: str, outcome: Outcome) -> None:
    """A command that was let through is over. Raises ``RecordingFailed``."""
    copied = outcome.copied_in
    more = {"copied_in": {"messages": copied.messages, "bytes": copied.bytes, "sha256": copied.sha256}} if copied else {}
    recorder.add(
        "done",
        command_id=command_id,
        ok=outcome.ok,
        tag=outcome.summary,
        error_code=outcome.error_code,
        rows=outcome.rows,
        bytes=outcome.bytes,
        answer_sha256=outcome.answer_sha256,
        duration_s=round(outcome.duration_s, 6),
        **more,
    )


def record_end(recorder: Recorder, review: Review | None) -> None:
    """What became of an approved command, where it was one. Raises ``RecordingFailed``."""
    if review is not None:
        recorder.add("review", command_id=review.command_id, review_id=review.id, state=review.state.value, outcome=review.outcome)


def record_ready(recorder: Recorder, status: bytes) -> None:
    """The target waits for the next request, in this transaction status. Raises ``RecordingFailed``."""
    recorder.add("ready", transaction=TRANSACTION.get(status, "failed"))


def _shown(value: bytes | None) -> str | None:
    if value is None:
        return None
    if len(value) > VALUE_RECORDED_BYTES:
        return cut_mark(_text(value[:VALUE_RECORDED_BYTES]), VALUE_RECORDED_BYTES, len(value), "bytes")
    return _text(value)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return "\\x" + value.hex()
