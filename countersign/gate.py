"""The gate: the one way for a command to reach a target, the same for every protocol.

``admit`` asks the policy, writes the audit record, holds the command for review if it must, and answers with a ``Permit`` or
a ``Denial``. Whatever goes wrong inside is a denial with an id (I8). ``finished`` says what became of a permitted command.
"""

import asyncio
import secrets
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Never, Protocol

import structlog

from countersign.audit import AuditLog, AuditUnavailable, canonical
from countersign.model import (
    Action,
    AuditEvent,
    Command,
    Denial,
    Moment,
    Permit,
    Review,
    ReviewState,
    ReviewTerms,
    Session,
    Verdict,
)
from countersign.model.blast import Surveyor
from countersign.model.clock import Clock
from countersign.model.command import SHOWN_CHARACTERS
from countersign.model.grant import Grant, Shape
from countersign.model.permit import _MINT
from countersign.policy import Policy
from countersign.reviews.errors import ReviewConflict, ReviewError
from countersign.reviews.grants import Grants
from countersign.reviews.machine import at_most_rows
from countersign.reviews.proposals import Proposal
from countersign.reviews.records import command_json
from countersign.reviews.service import Ask, Held, ReviewService

log = structlog.get_logger(__name__)

UNMASKING = "built-in: unmasking"
"""The rule by which a command is held that asks for real values and that no rule of the policy holds."""

TOO_LONG = f"this needs a review, and no reviewer could see all of it: {SHOWN_CHARACTERS:,} characters at most are kept"
"""What is shown in part could say anything in the rest (I10)."""
HASHED_APART_BYTES = 4 << 20
PROPOSED = "The reviewer lets exactly this through instead, once, within 30 minutes: "
DRIFTED = "what the command would do has changed since it was shown, so it is asked again"
REMINDER_S = 15.0
"""How often a waiting client is told that its command is still held."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is on record of a command before it runs: its id there, what an approval would be bound to, and the verdict."""

    command_id: str
    digest: str
    verdict: Verdict


class Hold(Protocol):
    """A session's side of a command that is judged, and may be held."""

    cancelled: asyncio.Future[str]
    """Ends with the reason when the command must not run any more: the client left or took it back, the target left."""
    surveyor: Surveyor | None
    """Who tells reviewers what the command would touch."""

    transaction_open: bool
    """Whether the session is in a transaction that its client has begun."""

    def shape(self) -> Shape | None:
        """What the command has in common with others, for grants; None where it is nothing that could be granted."""

    def bound_problem(self) -> str:
        """Why the command cannot be approved for at most so many rows; empty where it can."""

    def place(self) -> str | None:
        """What decides what the command does beside its bytes, equal for sessions in which it would do the same; None where that is this
        session's alone."""

    async def changed(self) -> Command | None:
        """The command as it reads now, where it would do something else than when it was judged, or far more than its reviewers were told;
        None where it would do the same."""

    async def read(self, text: str) -> Command:
        """How a text would be read as a command of this session without parameters."""

    def survey(self, command: Command) -> Surveyor | None:
        """Who tells what another command of this session would touch."""

    def judged(self, ruling: Ruling) -> None:
        """The verdict is in the audit log; called before anything else, unless something failed, and again where what the command would do
        has changed while it was held."""

    async def held(self, review: Review) -> None:
        """Tell the client that its command waits for a review."""

    def still_held(self, review: Review) -> None:
        """Tell it again."""

    def decided(self, review: Review) -> None:
        """The wait is over; the review as it is then, with its decisions."""


Judged = Callable[[Ruling], None]
"""As ``Hold.judged``, where nothing can be held."""


def unheard(_: Ruling) -> None:
    """For whom the audit log is enough."""


@dataclass(frozen=True, slots=True)
class CopiedIn:
    """What a client sent for a command to read: messages, their bytes and the SHA-256 (hex) over them."""

    messages: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a target answered to a permitted command. ``summary`` is the protocol's own word for it."""

    ok: bool
    summary: str
    duration_s: float
    rows: int | None = None
    error_code: str = ""
    masked: tuple[tuple[str, int], ...] = ()
    bytes: int = 0
    answer_sha256: str | None = None
    """Of what the client was shown, ``bytes`` long, as the protocol defines it; None where none may be kept, or nothing was run."""
    copied_in: CopiedIn | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The gate's permission for every command of one shape in one session: the policy allows it, whatever its constants and parameters
    are. It holds while policy and catalog are those that it was given under; whoever changes one of them moves the ``Epoch`` on.

    ``record`` is the audit record's body in its canonical form, cut where each command has its own: its parameters, text, id and digest.
    """

    session: Session
    command: Command
    verdict: Verdict
    record: tuple[bytes, ...]


class Reminders:
    """Tells a waiting client again and again, by timers instead of a task that wakes, for thousands may be held. The first comes somewhat
    earlier, by the review's id, so that those held in one moment are not all told in one moment."""

    def __init__(self, review: Review, hold: Hold, every_s: float) -> None:
        self._review = review
        self._hold = hold
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[Never] = self._loop.create_future()
        """Ends with the reason where the client cannot be told."""
        spread = zlib.crc32(review.id.encode()) / (1 << 32)
        self._timer = self._loop.call_later(every_s * (1 + spread) / 2, self._remind)

    def _remind(self) -> None:
        self._timer = self._loop.call_later(self._every_s, self._remind)
        try:
            self._hold.still_held(self._review)
        except Exception as error:
            self._timer.cancel()
            if not self.failed.done():
                self.failed.set_exception(error)

    def __enter__(self) -> "Reminders":
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class Gate:
    """Judges commands. ``policy`` answers the policy in force now."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        audit: AuditLog,
        reviews: ReviewService,
        grants: Grants,
        clock: Clock,
        new_id: Callable[[str], str],
        reminder_s: float = REMINDER_S,
    ) -> None:
        self._policy = policy
        self._audit = audit
        self._reviews = reviews
        self._grants = grants
        self._clock = clock
        self._new_id = new_id
        self._reminder_s = reminder_s

    @property
    def policy(self) -> Policy:
        """The policy in force now: what was judged by another does not hold any more."""
        return self._policy()

    def still_allows(self, session: Session, command: Command, *, transaction_open: bool) -> bool:
        """Whether the policy in force allows a command that one before it has permitted, of which all is still known."""
        return bool(command.raw) and self._verdict(session, command, transaction_open).action is Action.ALLOW

    async def admit(self, session: Session, command: Command, hold: Hold) -> Permit | Denial:
        """Answer one command. Waits while it is held; cancelling the call cancels its review (I4).

        The permit is good for these exact bytes in this session, once (I2). On return the record of the command and its
        verdict is committed, or, for a plain allowed read, with the writer (I1).
        """
        command_id = self._new_id("cmd")
        try:
            return await self._admit(session, command, hold, command_id)
        except Exception as error:  # whatever went wrong, it is not run (I8)
            return _failed(session, command_id, error)

    async def admit_unheld(self, session: Session, command: Command, where: str, judged: Judged = unheard) -> Permit | Denial:
        """Answer a command where none can be held: what would need a review is denied. ``where`` says why, for people.

        On return the record of the command and its verdict is committed (I1).
        """
        command_id = self._new_id("cmd")
        try:
            digest = digest_of(session, command)
            verdict = self._verdict(session, command, False)
            if verdict.action is Action.REVIEW:
                message = f"this needs a review, and nothing is held {where}: only a rule that allows it will do"
                verdict = replace(verdict, action=Action.DENY, message=message)
            await self._audit.append(_command_event(session, command, verdict, command_id, digest))
            judged(Ruling(command_id, digest, verdict))
            if verdict.action is not Action.ALLOW:
                return _denied_by_rule(command_id, verdict)
            return _permit(command_id, session, digest)
        except Exception as error:  # whatever went wrong, it is not run (I8)
            return _failed(session, command_id, error)

    def standing(self, session: Session, command: Command) -> Standing | None:
        """The permission for all commands of this one's shape, which the session's lane then records and forwards by itself. Only for plain
        reads that the policy allows without looking at a command's text, the clock or the session's transaction."""
        policy = self._policy()
        if not command.is_plain_read or policy.varies:
            return None
        verdict = self._verdict(session, command, False)
        if verdict.action is not Action.ALLOW:
            return None
        return Standing(session, command, verdict, _open_record(session, command, verdict))

    def resumed(self, standing: Standing, command_id: str, digest: str) -> Permit:
        """The permit of a command that a standing let through and whose outcome the session still has to report. It is spent: the bytes
        have left."""
        permit = _permit(command_id, standing.session, digest)
        permit.spend(session_id=standing.session.id, digest=digest)
        return permit

    async def refuse(self, session: Session, command: Command, message: str, judged: Judged = unheard) -> Denial:
        """Record and deny what the gateway itself does not let through, whatever the policy says."""
        verdict = Verdict(Action.DENY, "built-in", message)
        command_id = self._new_id("cmd")
        try:
            digest = await _digest_apart(session, command)
            await self._audit.append(_command_event(session, command, verdict, command_id, digest))
            judged(Ruling(command_id, digest, verdict))
        except Exception as error:
            log.error("refusal_not_recorded", command_id=command_id, error=str(error))
        return _denied_by_rule(command_id, verdict)

    def _verdict(self, session: Session, command: Command, transaction_open: bool) -> Verdict:
        """The policy's, but that no rule can allow a command to see what is masked: a rule can say who reviews it, or deny it."""
        verdict = self._policy().decide(session.identity, session.target, session, command, Moment(self._clock(), transaction_open))
        if command.asks_unmasked and verdict.action is Action.ALLOW:
            return replace(verdict, action=Action.REVIEW, rule=UNMASKING, terms=ReviewTerms())
        return verdict

    async def _admit(self, session: Session, command: Command, hold: Hold, command_id: str) -> Permit | Denial:
        digest = await _digest_apart(session, command)
        verdict = self._verdict(session, command, hold.transaction_open)
        if verdict.action is Action.REVIEW and command.is_cut:
            message = f"{TOO_LONG} ({verdict.message})" if verdict.message else TOO_LONG
            verdict = replace(verdict, action=Action.DENY, message=message)
        event = partial(_command_event, session, command, verdict, command_id, digest)
        ruling = Ruling(command_id, digest, verdict)
        match verdict.action:
            case Action.ALLOW:
                if command.is_plain_read:
                    self._audit.hand_over(event())
                else:
                    await self._audit.append(event())
                hold.judged(ruling)
                return _permit(command_id, session, digest)
            case Action.DENY:
                await self._audit.append(event())
                hold.judged(ruling)
                return _denied_by_rule(command_id, verdict)
            case Action.REVIEW:
                shape = None if command.asks_unmasked else hold.shape()
                if shape is not None and await self._granted(session, command, verdict, command_id, digest, shape):
                    hold.judged(ruling)
                    return _permit(command_id, session, digest)
                place = hold.place()
                proposal = self._reviews.proposals.take(session, command, place, self._clock())
                if proposal is not None:
                    await self._proposed(session, command, verdict, ruling, proposal)
                    hold.judged(ruling)
                    return _permit(command_id, session, digest)
                if refusal := self._reviews.refusal(session.identity.name):
                    return await self._refused(
                        session, command, replace(verdict, action=Action.DENY, message=refusal), ruling, hold
                    )
                is_shared = place is not None and not hold.transaction_open
                ask = Ask(
                    session,
                    command,
                    verdict,
                    command_id,
                    digest,
                    event,
                    hold.surveyor,
                    partial(self._let_by, session, command, verdict, hold),
                    shape,
                    digest_of(replace(session, id=str(place)), command) if is_shared else "",
                    hold.bound_problem(),
                    partial(self._read_proposal, session, hold),
                    partial(_read, hold),
                )
                return await self._await_review(session, await self._reviews.open(ask), hold, ruling)

    async def _proposed(self, session: Session, command: Command, verdict: Verdict, ruling: Ruling, proposal: Proposal) -> None:
        """Put on record that a command is what a reviewer has proposed."""
        made = _command_event(session, command, verdict, ruling.command_id, ruling.digest)
        await self._audit.append(AuditEvent(made.kind, {**made.body, "proposed_in": proposal.review_id}))

    async def _read_proposal(self, session: Session, hold: Hold, text: str) -> tuple[Command, str]:
        """A reviewer's proposal as this session would have it read, and where. Raises ``ReviewError`` where the policy denies it, or nobody
        may let it through by proposing it."""
        command, place = await hold.read(text), hold.place()
        verdict = self._verdict(session, command, False)
        if verdict.action is Action.DENY:
            raise ReviewError(f"rule {verdict.rule!r} denies what you propose{f': {verdict.message}' if verdict.message else ''}")
        if command.asks_unmasked:
            raise ReviewError("what you propose asks for real values of what is masked: approve such a command itself")
        if place is None:
            raise ReviewError("nothing can be proposed to a session that may have changed where names are looked for")
        return command, place

    async def _refused(self, session: Session, command: Command, verdict: Verdict, ruling: Ruling, hold: Hold) -> Denial:
        await self._audit.append(_command_event(session, command, verdict, ruling.command_id, ruling.digest))
        hold.judged(replace(ruling, verdict=verdict))
        return _denied_by_rule(ruling.command_id, verdict)

    async def _granted(
        self, session: Session, command: Command, verdict: Verdict, command_id: str, digest: str, shape: Shape
    ) -> Grant | None:
        """The grant that lets a command through which a rule holds; its use and the command are on record then."""

        def event(grant_id: str) -> AuditEvent:
            made = _command_event(session, command, verdict, command_id, digest)
            return AuditEvent(made.kind, {**made.body, "grant_id": grant_id})

        return await self._grants.use(session, verdict, shape, command_id, event)

    def _let_by(self, session: Session, command: Command, verdict: Verdict, hold: Hold) -> str:
        """The rule of the verdict's safe subset by which a held command runs that nobody has decided; empty where there is none."""
        if verdict.terms is None or command.asks_unmasked:
            return ""
        try:
            moment = Moment(self._clock(), hold.transaction_open)
            return self._policy().lets(verdict.terms.safe_subset, session, command, moment)
        except Exception as error:  # a failure lets nothing through (I8)
            log.error("safe_subset_failed", session_id=session.id, error=str(error))
            return ""

    async def _await_review(self, session: Session, held: Held, hold: Hold, ruling: Ruling) -> Permit | Denial:
        command_id = ruling.command_id
        try:
            hold.judged(ruling)
            await hold.held(held.review)
            review = await self._decision(held, hold)
            if review is None:
                why = hold.cancelled.result()
                ended = await self._abandon(held, why)
                hold.decided(ended or (held.decided.result() if held.decided.done() else held.review))
                return Denial(command_id, f"the command was taken back: {why}", review_id=held.review.id, cancelled=True)
            hold.decided(review)
            if review.state is not ReviewState.APPROVED:
                return _denied_by_review(command_id, review)
            if (changed := await hold.changed()) is not None:
                await self._reviews.cancel(review.id, DRIFTED)
                return await self._admit(session, changed, hold, self._new_id("cmd"))
            await self._reviews.release(held)
        except BaseException:
            ended = await self._abandon(held, "the client left while it was held")
            if ended is not None:
                hold.decided(ended)
            raise
        return _permit(command_id, session, ruling.digest, review_id=review.id, at_most_rows=at_most_rows(review))

    async def _decision(self, held: Held, hold: Hold) -> Review | None:
        """The review as decided, or None where the client or the target left first."""
        with Reminders(held.review, hold, self._reminder_s) as reminders:
            waits: set[asyncio.Future[object]] = {held.decided, hold.cancelled, reminders.failed}  # type: ignore[arg-type]  # only waited for
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if hold.cancelled.done():
            return None
        return held.decided.result() if held.decided.done() else reminders.failed.result()

    async def _abandon(self, held: Held, why: str) -> Review | None:
        """The review as it ended for this command; None where that is not known."""
        try:
            return await asyncio.shield(self._reviews.leave(held, why))
        except ReviewConflict:
            return None  # it had ended already
        except Exception as error:  # the reaper expires it; it can never be released by this session any more
            log.error("review_not_cancelled", review_id=held.review.id, error=str(error))
            return None

    async def finished(self, session: Session, permit: Permit, outcome: Outcome) -> Review | None:
        """Record what became of a permitted command, and of its review, which is returned as it ended where that could be recorded. Never
        raises: the answer is on its way already."""
        try:
            self.record_outcome(session, permit, outcome)
            if permit.review_id:
                return await self._reviews.finish(permit.review_id, ok=outcome.ok, outcome=outcome.summary)
        except Exception as error:
            log.error("outcome_not_recorded", command_id=permit.command_id, error=str(error))
        return None

    def record_outcome(self, session: Session, permit: Permit, outcome: Outcome) -> None:
        """The record of an outcome alone, for a command without a review. Never raises."""
        body: dict[str, object] = {
            "command_id": permit.command_id,
            "session_id": session.id,
            "review_id": permit.review_id,
            "digest": permit.digest,
            "ok": outcome.ok,
            "summary": outcome.summary,
            "rows": outcome.rows,
            "bytes": outcome.bytes,
            "answer_sha256": outcome.answer_sha256,
            "error_code": outcome.error_code,
            "duration_us": int(outcome.duration_s * 1_000_000),
            "masked": [{"rule": rule, "count": count} for rule, count in outcome.masked],
        }
        if outcome.copied_in is not None:
            body["copied_in"] = asdict(outcome.copied_in)
        try:
            self._audit.hand_over(AuditEvent("command.finished", body))
        except Exception as error:
            log.error("outcome_not_recorded", command_id=permit.command_id, error=str(error))


def digest_of(session: Session, command: Command) -> str:
    """What an approval is bound to (I2)."""
    return command.digest(
        session_id=session.id,
        identity=session.identity.name,
        target=session.target.name,
        database=session.database,
    )


async def _digest_apart(session: Session, command: Command) -> str:
    """The same; of a long command on a thread, for a gibibyte takes a second in which nobody else would be served."""
    if len(command.raw) > HASHED_APART_BYTES:
        return await asyncio.to_thread(digest_of, session, command)
    return digest_of(session, command)


def _permit(command_id: str, session: Session, digest: str, *, review_id: str = "", at_most_rows: int | None = None) -> Permit:
    return Permit(command_id, session.id, digest, review_id, at_most_rows, _mint=_MINT)


def _command_event(
    session: Session, command: Command, verdict: Verdict, command_id: str, digest: str, review_id: str = ""
) -> AuditEvent:
    return AuditEvent(
        "command",
        {
            "command_id": command_id,
            "session_id": session.id,
            "review_id": review_id,
            "identity": session.identity.name,
            "on_behalf_of": session.identity.on_behalf_of,
            "target": session.target.name,
            "database": session.database,
            "digest": digest,
            "verdict": verdict.action.value,
            "rule": verdict.rule,
            "policy_digest": verdict.policy_digest,
            "command": command_json(command),
        },
    )


def _open_record(session: Session, command: Command, verdict: Verdict) -> tuple[bytes, ...]:
    hole = secrets.token_hex(16)
    body = dict(_command_event(session, command, verdict, hole, hole).body)
    body["command"] = {**command_json(command), "text": hole, "parameters": hole}
    return tuple(canonical(body).split(f'"{hole}"'.encode()))


def _failed(session: Session, command_id: str, error: Exception) -> Denial:
    if isinstance(error, AuditUnavailable):
        log.warning("command_not_recorded", command_id=command_id, session_id=session.id, error=str(error))
        trouble = error.trouble
        return Denial(command_id, f"not run: {trouble.public} ({command_id})", hint=trouble.advice, trouble=trouble)
    log.error("gate_failed", command_id=command_id, session_id=session.id, error=str(error), exc_info=True)
    return Denial(command_id, f"Countersign could not judge this command ({command_id}); it was not run")


def _denied_by_rule(command_id: str, verdict: Verdict) -> Denial:
    message = verdict.message or "this command is not allowed by policy"
    return Denial(
        command_id,
        f"denied by Countersign: {message}",
        detail=f"Rule {verdict.rule!r}, command {command_id}.",
        hint="Do not retry the same command; ask for a narrower one or talk to whoever owns this policy.",
    )


async def _read(hold: Hold, text: str) -> tuple[Command, Surveyor | None]:
    command = await hold.read(text)
    return command, hold.survey(command)


def _denied_by_review(command_id: str, review: Review) -> Denial:
    match review.state:
        case ReviewState.DENIED:
            decision = review.decisions[-1]
            return Denial(
                command_id,
                f"denied by a reviewer: {decision.reason}",
                detail=f"Review {review.id} by {decision.reviewer}, rule {review.rule!r}.",
                hint=f"{PROPOSED}{decision.proposal}"
                if decision.proposal
                else "Read the reason and change your plan; the same command will be held again.",
                review_id=review.id,
            )
        case ReviewState.EXPIRED:
            return Denial(
                command_id,
                "not run: nobody approved this command in time",
                detail=f"Review {review.id}, rule {review.rule!r}.",
                hint="Send the command again when a reviewer is there.",
                review_id=review.id,
            )
        case _:
            return Denial(command_id, f"not run: {review.outcome}", detail=f"Review {review.id}.", review_id=review.id)
