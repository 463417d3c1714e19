"""Carries a replication session, which a rule has allowed: each Query is judged, and what streams in between is passed on.

Nothing is held here, for a standby that waits falls behind and one that is told nothing gives up: what would need a review is refused.
There is nothing to mask either: a target with mask rules has no such sessions (I5).
"""

import asyncio
import time
from functools import partial

from countersign import _core
from countersign._core import FrontendDecoder, ProtocolError
from countersign.gate import Gate, Outcome, digest_of
from countersign.model import Denial, Permit, Session
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.errors import ProtocolViolation, SessionEnded
from countersign.protocols.postgres.replication import Messages, replication_command
from countersign.protocols.postgres.session.answers import denial_response
from countersign.protocols.postgres.session.recorded import (
    record_command,
    record_done,
    record_ready,
    record_response,
    record_verdict,
)
from countersign.protocols.postgres.session.target import TargetConnection
from countersign.protocols.wire import Wire, WireClosed
from countersign.recording import Recorder

CONTINUED = 0


class ReplicationRelay:
    """One replication session in progress. ``run`` carries it to its end."""

    def __init__(
        self, session: Session, client: Wire, frontend: FrontendDecoder, target: TargetConnection, recorder: Recorder, gate: Gate
    ) -> None:
        self._session = session
        self._client = client
        self._frontend = frontend
        self._target = target
        self._recorder = recorder
        self._gate = gate
        self._ready = asyncio.Event()
        self._ready.set()
        self._takes_copy = False
        self._piece_goes_on = False
        self._running: Permit | None = None
        self._denial: Denial | None = None
        self._started_s = 0.0
        self._rows = 0
        self._bytes_out = 0
        self._digest = _core.StreamDigest()
        self._tag = ""
        self._failure = ("", "")
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, why: str) -> None:
        """End the session, and say why."""
        if not self._ended.done():
            self._ended.set_exception(SessionEnded(why))

    def cancel_hold(self, _: str) -> bool:
        """Nothing is ever held."""
        return False

    async def run(self) -> str:
        """Carry the session; return why it ended."""
        tasks = {asyncio.create_task(self._requests()), asyncio.create_task(self._answers())}
        try:
            done, _ = await asyncio.wait({*tasks, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        except SessionEnded as ended:
            self._client.send(messages.error_response(errors.ADMIN_SHUTDOWN, str(ended), severity="FATAL"))
            return f"ended: {ended}"
        except WireClosed:
            return "the client left" if self._client.gone.done() else "the target left"
        except (ProtocolError, ProtocolViolation) as error:
            text = f"Countersign ends this session: {error} ({self._session.id})"
            self._client.send(messages.error_response(errors.PROTOCOL_VIOLATION, text, severity="FATAL"))
            return f"ended: {error}"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._finish(ok=False, summary="the session ended before the target answered")

    # -- from the client
    async def _requests(self) -> str:
        while True:
            while (received := self._frontend.next()) is not None:
                kind, raw = received
                if kind == ord("X"):
                    return "the client said goodbye"
                await self._request(kind, raw)
            self._frontend.feed(await self._client.receive())
            await self._target.wire.drain()

    async def _request(self, kind: int, raw: bytes) -> None:
        if kind in b"dcf\0":
            if kind != CONTINUED:  # a message whose beginning went on must be completed, whatever came up meanwhile
                self._piece_goes_on = self._takes_copy
            if self._piece_goes_on:
                self._target.wire.send(raw)
            return  # outside of a copy the server ignores it, and so do we
        if kind != ord("Q"):
            raise ProtocolViolation(f"unexpected message {chr(kind)!r} in a replication session")
        await self._ready.wait()
        await self._query(raw)

    async def _query(self, raw: bytes) -> None:
        parameters = self._target.parameters
        agrees = parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"
        sql = _core.decode_query(raw)
        command = replication_command(raw, sql, agrees)
        await self._recorder.ready(lambda text: self._client.send(messages.notice_response(text)))
        await record_command(self._recorder, command, "Query", sql)
        judged = partial(record_verdict, self._recorder)
        answer = await self._gate.admit_unheld(self._session, command, "in a replication session", judged)
        self._ready.clear()
        self._started_s, self._rows, self._bytes_out, self._digest = time.monotonic(), 0, 0, _core.StreamDigest()
        self._tag, self._failure = "", ("", "")
        if isinstance(answer, Denial):
            about = {"command_id": answer.command_id, "review_id": ""}
            self._recorder.add("decided", **about, state="denied", reason=answer.message)
            self._denial = answer
            self._target.wire.send(messages.query(messages.REFUSED_SQL))
            return
        answer.spend(session_id=self._session.id, digest=digest_of(self._session, command))
        self._running = answer
        self._target.wire.send(raw)

    # -- from the target
    async def _answers(self) -> str:
        cut = Messages()
        while True:
            for kind, data in cut.feed(await self._target.wire.receive()):
                await self._answer(kind, data)
            await self._client.drain()

    async def _answer(self, kind: str, data: bytes) -> None:
        match kind:
            case "D" | "d":
                self._rows += 1
                self._bytes_out += len(data)
                self._digest.update(data)
            case "G" | "W":
                self._takes_copy = True
            case "S":
                name, value = data[5:-1].split(b"\0", 1)
                self._target.parameters[name.decode()] = value.decode()
            case "C":
                self._takes_copy = False
                self._tag = data[5:-1].decode("utf-8", "replace")
            case "E":
                self._takes_copy = False
                if self._denial is not None:
                    data = denial_response(self._denial)
                fields = {code: value.decode("utf-8", "replace") for code, value in _core.decode_fields(data)}
                self._failure = fields.get("C", ""), fields.get("M", "")
                permit = self._denial or self._running
                record_response(self._recorder, "error", permit.command_id if permit is not None else "", fields)
            case "Z":
                self._takes_copy = False
                self._denial = None
                code, text = self._failure
                await self._finish(ok=not code, summary=text or self._tag, error_code=code)
                record_ready(self._recorder, data[5:6])
                self._ready.set()
        self._client.send(data)

    async def _finish(self, *, ok: bool, summary: str, error_code: str = "") -> None:
        if self._running is None:
            return
        permit, self._running = self._running, None
        duration_s = time.monotonic() - self._started_s
        shown = (self._bytes_out, self._digest.hex())
        outcome = Outcome(ok, summary, duration_s, self._rows, error_code, (), *shown)
        record_done(self._recorder, permit.command_id, outcome)
        await self._gate.finished(self._session, permit, outcome)
