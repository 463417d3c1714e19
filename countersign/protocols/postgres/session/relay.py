"""Carries one session between an authenticated client and its target.

Two loops share a ``Conversation``: ``Requests`` reads the client, judges and forwards; ``Answers`` reads the target, masks, records and
answers. What is asked again and again takes the short way through ``Steady``.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from countersign._core import FrontendDecoder, ProtocolError
from countersign.model import Session
from countersign.protocols.postgres import errors, messages
from countersign.protocols.postgres.errors import ProtocolViolation, SessionEnded
from countersign.protocols.postgres.session.answers import Answers
from countersign.protocols.postgres.session.conversation import Conversation, Surroundings
from countersign.protocols.postgres.session.requests import Requests
from countersign.protocols.postgres.session.steady import Steady, new_lane
from countersign.protocols.postgres.session.target import TargetConnection
from countersign.protocols.wire import Wire, WireClosed
from countersign.recording import Recorder, RecordingFailed

log = structlog.get_logger(__name__)

RESTS = 3
"""How many turns of the event loop a session waits for its last bytes to leave before it stays where it is until it rests again."""


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
        share = surroundings.long_messages.share()
        lane = new_lane(session, surroundings.rows_recorded)
        self._talk = Conversation(session, client, frontend, target, recorder, surroundings, lane, share)
        self._talk.application = session.application
        self._talk.access.is_enforced = surroundings.read_only
        self._steady = Steady(self._talk)
        self._ended = False
        self._requests = Requests(self._talk, self._rests)
        self._answers = Answers(self._talk, self._requests.names, self._steady, self._rests)

    async def run(self) -> str:
        """Carry the session; return why it ended."""
        talk = self._talk
        talk.client.gone.add_done_callback(lambda _: self._client_left())
        talk.client.lost.add_done_callback(lambda _: talk.moved.set())
        talk.target.wire.gone.add_done_callback(lambda _: self.cancel_hold("the target left"))
        talk.client.intercept = self._from_client
        talk.target.wire.intercept = self._from_target
        reading = asyncio.create_task(self._requests.run())
        answering = asyncio.create_task(self._answers.run())
        try:
            done, _ = await asyncio.wait({reading, answering, talk.failure}, return_when=asyncio.FIRST_COMPLETED)
            return self._reason(next(future for future in (reading, answering, talk.failure) if future in done))
        finally:
            self._ended = True
            self._steady.leave()
            talk.client.intercept = talk.target.wire.intercept = None
            for task in (reading, answering):
                task.cancel()
            await asyncio.gather(reading, answering, return_exceptions=True)
            talk.long.hold(0)
            await self._abandon_running()

    def _rests(self, tries: int = RESTS) -> None:
        """A loop has handled everything. Where both have, the session may go to the relay's thread; not in this turn of the event loop,
        in which bytes are still on their way out."""
        if tries and self._requests.parked and self._answers.parked and self._steady.may_enter:
            asyncio.get_running_loop().call_soon(self._enter, tries)

    def _enter(self, tries: int) -> None:
        if self._requests.parked and self._answers.parked and not self._ended and not self._try(self._steady.enter):
            self._rests(tries - 1)

    def _from_client(self, data: bytes) -> bool:
        """The short way, where both loops have nothing to do."""
        return self._requests.parked and self._answers.parked and self._try(lambda: self._steady.from_client(data))

    def _from_target(self, data: bytes) -> bool:
        taken = self._answers.parked and self._try(lambda: self._steady.from_target(data))
        if taken:
            self._rests()
        return taken

    def _try(self, step: Callable[[], bool]) -> bool:
        try:
            return step()
        except Exception as error:  # in a callback of the event loop: the session ends with it, as in its loops
            self._talk.fail(error)
            return True

    def _reason(self, ended: "asyncio.Future[str]") -> str:
        talk = self._talk
        error = ended.exception()
        if error is None:
            return ended.result()
        if isinstance(error, WireClosed):
            is_targets = talk.target.wire.gone.done() and not talk.client.lost.done()
            return self._target_left() if is_targets else "the client left"
        if isinstance(error, SessionEnded):
            self._say_last(errors.ADMIN_SHUTDOWN, str(error))
            return f"ended: {error}"
        log.error("session_failed", session_id=talk.session.id, error=str(error), exc_info=error)
        public, code = _public(error)
        self._say_last(code, f"Countersign ends this session: {public} ({talk.session.id})")
        return f"ended: {public}"

    def _target_left(self) -> str:
        """A target that is stopped in an orderly way says so itself; a client must hear it in any case."""
        if not self._talk.was_told_fatal:
            self._say_last(errors.CONNECTION_FAILURE, "the target ended the connection")
        return "the target left"

    def _say_last(self, code: str, text: str) -> None:
        """The gateway's own last word, on record unless the recording is what has failed."""
        response = messages.error_response(code, text, severity="FATAL")
        with contextlib.suppress(RecordingFailed):
            self._talk.record_response("error", response)
        self._talk.to_client(response)

    async def _abandon_running(self) -> None:
        talk = self._talk
        summary = "the session ended before the target answered"
        running = [entry.running for entry in talk.replies.queue]
        running += [portal.running for portal in talk.portals.held().values()]
        if talk.schema_changed or any(one is not None and one.schema_change for one in running):
            talk.surroundings.catalog.expire()  # it may have been carried out all the same
        for one in running:
            if one is not None:
                await talk.finish(one, ok=False, summary=summary)

    def _client_left(self) -> None:
        """What is held must not run any more (I4). What is only being judged came before the client left, and runs as on the target."""
        if self._talk.hold is not None and self._talk.hold.is_open:
            self._talk.hold.cancel("the client left")

    def leave_step(self) -> None:
        """Return when the relay's thread is not in the middle of a step with this session. The next begins with the epoch as it is now."""
        self._talk.lane.is_busy()  # which takes the lock that the thread holds from the look at the epoch until the record is written

    def end(self, why: str) -> None:
        """End the session, and say why."""
        self._try(self._leave)  # else the last word would be lost behind the thread that carries the session
        self._talk.fail(SessionEnded(why))

    def _leave(self) -> bool:
        self._steady.leave()
        return True

    def cancel_hold(self, why: str) -> bool:
        """End the hold in progress, if there is one."""
        if self._talk.hold is None:
            return False
        self._talk.hold.cancel(why)
        return True


def _public(error: BaseException) -> tuple[str, str]:
    """What a client is told of an error that ends its session, and the SQLSTATE."""
    if isinstance(error, (ProtocolError, ProtocolViolation)):
        return str(error), errors.PROTOCOL_VIOLATION
    if isinstance(error, RecordingFailed):
        return str(error), errors.IO_ERROR
    return "internal error", errors.INTERNAL_ERROR
