"""Moves reviews through their life and wakes whoever waits for them."""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta

import structlog

from countersign.model import (
    AuditEvent,
    Command,
    Decision,
    DecisionKind,
    Identity,
    OnTimeout,
    Review,
    ReviewState,
    Session,
    Verdict,
)
from countersign.model.blast import BlastRadius, NoBlastRadius, Surveyor
from countersign.model.clock import Clock
from countersign.model.grant import Grant, Shape
from countersign.review_settings import ReviewLimits
from countersign.reviews import machine
from countersign.reviews.canaries import Canaries, ended, is_canary, made_up
from countersign.reviews.contract import ReviewStore
from countersign.reviews.errors import NotAReviewer, ReviewConflict, ReviewError
from countersign.reviews.fatigue import Fatigue
from countersign.reviews.grants import Grants, Wish, shape_json
from countersign.reviews.proposals import LONGEST, Proposals
from countersign.reviews.records import (
    client_json,
    command_json,
    decision_event,
    dry_run_event,
    events_between,
    joined_event,
    moved,
)

log = structlog.get_logger(__name__)

Listener = Callable[[Review], None]
LetBy = Callable[[], str]
"""The rule of a review's safe subset that would let its command run now; empty where none would."""
MOST_ROWS = 2**53
ReadProposal = Callable[[str], Awaitable[tuple[Command, str]]]
"""How a text that is proposed instead reads in the session that asks, and where. Raises ``ReviewError`` where it cannot be let through."""
Read = Callable[[str], Awaitable[tuple[Command, Surveyor | None]]]
"""How a text reads in the session that asks, and who tells what it would touch."""
OWNER_LATE = timedelta(seconds=10)
"""How long the gateway that holds a command has to ask its safe subset, before another one expires the review."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """A command that needs a review, and what the session that waits for it knows. ``verdict.terms`` are set.

    ``record`` makes the command's own record, which names the review; ``let_by`` is asked when the time is over. ``content`` is equal for
    commands that would do the same for the same identity on the same target; empty where only this session can tell.
    """

    session: Session
    command: Command
    verdict: Verdict
    command_id: str
    digest: str
    record: Callable[[str], AuditEvent]
    surveyor: Surveyor | None = None
    let_by: LetBy = lambda: ""
    shape: Shape | None = None
    content: str = ""
    bound_problem: str = "this protocol counts no rows"
    """Why it cannot be approved for at most so many rows; empty where it can."""
    read_proposal: ReadProposal | None = None
    read: Read | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A review as it was when the command began to wait, and a future that ends with the review as soon as it is no longer pending."""

    review: Review
    ask: Ask
    decided: asyncio.Future[Review]


class ReviewService:
    """The only writer of reviews. Every move is committed, with its audit record, before anybody hears of it."""

    def __init__(
        self,
        store: ReviewStore,
        grants: Grants,
        clock: Clock,
        new_id: Callable[[str], str],
        limits: ReviewLimits | None = None,
        gateway: str = "",
    ) -> None:
        """``gateway``: which one this is, of those that may share the store."""
        self._gateway = gateway
        self._store = store
        self._grants = grants
        self._clock = clock
        self._new_id = new_id
        self.proposals = Proposals()
        self._fatigue = Fatigue(limits or ReviewLimits())
        self._canaries = Canaries(limits.canaries if limits else None)
        self._made_up: dict[str, Surveyor | None] = {}
        """The pending canaries, and who tells what they would touch."""
        self._coming: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, list[Held]] = {}
        """Who waits for each review here: who opened it, and who has asked for the same since, the newest last."""
        self._contents: dict[str, str] = {}
        """The pending review of each content."""
        self._counts: Counter[str] = Counter()
        """How many commands of each identity are held here."""
        self._dry_runs: set[str] = set()
        """The reviews whose commands are being run: none waits for another, for by then the review may be decided."""
        self._listeners: set[Listener] = set()

    # -- looking
    async def get(self, id_or_prefix: str) -> Review:
        """Raises ``ReviewNotFound``."""
        return await self._store.get(id_or_prefix)

    async def select(self, states: Sequence[ReviewState] = (), *, limit: int = 500, identity: str = "") -> list[Review]:
        """Newest first."""
        return await self._store.select(states, limit=limit, identity=identity)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after every move; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    # -- the gate's side
    def refusal(self, identity: str) -> str:
        """Why nothing more of this identity is put before reviewers now; empty where it is."""
        return self._fatigue.refusal(identity, self._counts[identity], self._clock())

    async def open(self, ask: Ask) -> Held:
        """Put a held command before the reviewers, or have it wait with one that asks for the same."""
        if joined := await self._join(ask):
            return joined
        session, terms, now = ask.session, ask.verdict.terms, self._clock()
        assert terms is not None
        review = Review(
            id=self._new_id("rv"),
            state=ReviewState.PENDING,
            command_id=ask.command_id,
            session_id=session.id,
            target=session.target.name,
            identity=session.identity.name,
            on_behalf_of=session.identity.on_behalf_of,
            digest=ask.digest,
            rule=ask.verdict.rule,
            command=command_json(ask.command)
            | client_json(session)
            | {"bound_problem": ask.bound_problem}
            | ({"shape": shape_json(ask.shape)} if ask.shape else {}),
            terms=terms,
            created_at=now,
            expires_at=machine.ends_at(terms, now),
            updated_at=now,
            gateway=self._gateway,
        )
        held = self._wait(review, ask)
        try:
            await self._store.insert(review, [ask.record(review.id), moved(review, "review.opened")])
        except BaseException:
            self._forget(review.id)
            raise
        self._fatigue.opened(review.identity, now)
        if ask.content:
            self._contents[ask.content] = review.id
        self._announce(review)
        if (text := self._canaries.due()) and ask.read is not None:
            coming = asyncio.create_task(self._open_canary(review, text, ask.read))
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)
        return held

    async def _open_canary(self, real: Review, text: str, read: Read) -> None:
        try:
            command, surveyor = await read(text)
            await asyncio.sleep(self._canaries.wait_s())
            canary = made_up(real, command, self._new_id, self._clock())
            await self._store.insert(canary, [moved(canary, "review.canary_opened")])
            self._made_up[canary.id] = surveyor
        except Exception as error:  # of a session that has gone meanwhile, or a store that fails: there will be others
            log.warning("no_canary", error=str(error))
            return
        self._announce(canary)

    async def _join(self, ask: Ask) -> Held | None:
        """Wait with who has asked for the same, on the same terms; None where there is none."""
        waiting = self._waiting.get(self._contents.get(ask.content, "")) if ask.content else None
        if not waiting:
            return None
        first = waiting[0]
        if (first.review.rule, first.review.terms) != (ask.verdict.rule, ask.verdict.terms):
            return None
        if first.review.on_behalf_of != ask.session.identity.on_behalf_of:
            return None

        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            if review.state is not ReviewState.PENDING:
                raise ReviewConflict("it is decided")
            return review, [
                ask.record(review.id),
                joined_event("review.joined", review, ask.command_id, ask.session.id, ask.digest),
            ]

        try:
            review = await self._store.change(first.review.id, change)
        except ReviewConflict:
            return None
        if review.id in self._waiting:
            return self._wait(review, ask)
        late = Held(review, ask, asyncio.get_running_loop().create_future())  # it was decided between the commit and here
        late.decided.set_result(_outrun(review))
        return late

    def _wait(self, review: Review, ask: Ask) -> Held:
        held = Held(review, ask, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(review.id, []).append(held)
        self._counts[review.identity] += 1
        return held

    async def leave(self, held: Held, why: str) -> Review | None:
        """A command does not wait any more. Its review is cancelled unless others wait for it, and then returned; raises ``ReviewConflict``
        where it has ended already."""
        waiting = self._waiting.get(held.review.id, [])
        if held not in waiting or len(waiting) == 1:
            return await self.cancel(held.review.id, why)
        waiting.remove(held)
        self._counts[held.review.identity] -= 1
        left = joined_event("review.left", held.review, held.ask.command_id, held.ask.session.id, held.ask.digest)
        await self._store.change(held.review.id, lambda review: (review, [left]))
        return dataclasses.replace(held.review, state=ReviewState.CANCELLED, outcome=why)

    async def release(self, held: Held) -> Review:
        """Mark an approved review as used by this command, once. Raises ``ReviewConflict`` where it is not approved or was used (I2)."""

        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            now = self._clock()
            if review.state is not ReviewState.APPROVED or review.released_at is not None:
                raise ReviewConflict(f"review {review.id} is {review.state} and cannot be used")
            if now >= review.expires_at:
                raise ReviewConflict(f"review {review.id} has expired")
            released = dataclasses.replace(review, released_at=now, updated_at=now)
            to = {"command_id": held.ask.command_id, "session_id": held.ask.session.id}
            event = moved(released, "review.released")
            return released, [AuditEvent(event.kind, {**event.body, **to})]

        return await self._change(held.review.id, change)

    async def cancel(self, review_id: str, why: str) -> Review:
        """End a review that nobody waits for any more. Raises ``ReviewConflict`` where it has ended already."""
        return await self._end(review_id, ReviewState.CANCELLED, why)

    async def finish(self, review_id: str, *, ok: bool, outcome: str) -> Review:
        """Say what became of a released review."""
        return await self._end(review_id, ReviewState.EXECUTED if ok else ReviewState.FAILED, outcome)

    # -- the reviewers' side
    async def decide(
        self,
        review_id: str,
        reviewer: Identity,
        kind: DecisionKind,
        digest: str,
        reason: str,
        *,
        wish: Wish | None = None,
        at_most_rows: int | None = None,
        proposal: str = "",
    ) -> Review:
        """Take one reviewer's decision on the digest that they saw. With a ``wish`` an approval makes a grant as well; it may hold only
        where the command changes ``at_most_rows``. A denial may carry a ``proposal``, which passes once instead.

        Raises ``ReviewNotFound``, ``NotAReviewer``, ``ReviewError`` where a reason is missing, and ``ReviewConflict`` where the review
        has moved on or expired, shows another digest, or has this reviewer's approval already.
        """
        if not reason.strip() and kind in _REASON_NEEDED:
            raise ReviewError(_REASON_NEEDED[kind])

        read = await self._read_proposal(review_id, reviewer, kind, digest, proposal) if proposal else None
        made: list[Grant] = []

        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            now = self._clock()
            self._refuse_decision(review, reviewer, kind, digest)
            if wish is not None and not is_canary(review):
                if kind is not DecisionKind.APPROVE:
                    raise ReviewError("a grant comes with an approval")
                if at_most_rows is not None:
                    raise ReviewError("a grant has no bound on rows: give one or the other")
                made.append(self._grants.wished(review, reviewer, reason.strip(), wish))
            if at_most_rows is not None:
                _refuse_bound(review, kind, at_most_rows)
            step = min(machine.progress(review).step, len(review.terms.steps) - 1)
            decision = Decision(
                reviewer.name, reviewer.authentication, kind, reason.strip(), digest, now, step, at_most_rows, proposal
            )
            after = machine.decided(review, decision, now)
            if is_canary(review):
                after, told = ended(after, kind, reviewer.name)
                return after, [decision_event(after, decision), *([moved(after, told)] if told else [])]
            forced = [moved(after, "review.forced")] if kind is DecisionKind.FORCE else []
            return after, [decision_event(after, decision), *forced, *events_between(review, after)]

        after = await self._store.change(review_id, change)
        if read is not None:  # before the agent hears of it
            self.proposals.put(after, reviewer.name, *read, self._clock())
        self._announce(after)
        if is_canary(after) and after.state is ReviewState.CANCELLED:
            log.warning("canary_approved", review_id=after.id, by=reviewer.name)
        if made:
            await self._grants.make(made[0])
        if kind is DecisionKind.TAKE_BACK:
            await self._grants.revoke_of(after.id, reviewer)
        if kind is DecisionKind.FORCE and not is_canary(after):
            log.warning("glass_broken", review_id=after.id, by=reviewer.name, reason=reason.strip())
        return after

    async def _read_proposal(
        self, review_id: str, reviewer: Identity, kind: DecisionKind, digest: str, proposal: str
    ) -> tuple[Command, str] | None:
        review = await self._store.get(review_id)
        self._refuse_decision(review, reviewer, kind, digest)
        if kind is not DecisionKind.DENY:
            raise ReviewError("a proposal goes with a denial")
        if len(proposal) > LONGEST:
            raise ReviewError(f"a proposal has {LONGEST:,} characters at most")
        if proposal == review.command.get("text"):
            raise ReviewError("that is what was asked for: approve it")
        if is_canary(review):
            return None
        waiting = self._waiting.get(review.id)
        read = waiting[-1].ask.read_proposal if waiting else None
        if read is None and review.gateway != self._gateway:
            raise ReviewError("another gateway holds the command: propose it there")
        if read is None:
            raise ReviewError("nothing can be proposed instead here")
        return await read(proposal)

    def _refuse_decision(self, review: Review, reviewer: Identity, kind: DecisionKind, digest: str) -> None:
        now = self._clock()
        if kind in (DecisionKind.APPROVE, DecisionKind.FORCE) and review.state is not ReviewState.PENDING:
            raise ReviewConflict(f"review {review.id} is {review.state} already")
        if refusal := machine.may_decide(review, reviewer, kind, now):
            raise NotAReviewer(refusal)
        if conflict := machine.refused_now(review, reviewer, kind):
            raise ReviewConflict(conflict)
        if now >= review.expires_at:
            raise ReviewConflict(f"review {review.id} has expired")
        if digest != review.digest:
            raise ReviewConflict("the digest is not that of the held command: look at the review again")

    def open_to(self, review: Review, reviewer: Identity) -> list[str]:
        """The decisions that this identity could make now."""
        now = self._clock()
        return [
            kind.value
            for kind in DecisionKind
            if not machine.may_decide(review, reviewer, kind, now) and not machine.refused_now(review, reviewer, kind)
        ]

    async def estimate(self, review_id: str) -> BlastRadius:
        """What a pending review's command would touch, by the target's plan. Raises ``ReviewNotFound`` and ``NoBlastRadius``."""
        review = await self._store.get(review_id)
        return await self._surveyor(review).estimate()

    async def dry_run(self, review_id: str, reviewer: Identity, digest: str) -> BlastRadius:
        """The same by a run that is rolled back, on record before it begins and afterwards. Raises that, and what ``decide`` raises:
        only who may decide may have it run."""

        def asked(review: Review) -> tuple[Review, list[AuditEvent]]:
            self._refuse_dry_run(review, reviewer, digest)
            self._surveyor(review)
            return review, [dry_run_event(review, reviewer, None)]

        review_id = (await self._store.get(review_id)).id  # it may have been given shortened
        if review_id in self._dry_runs:
            raise NoBlastRadius("it is being run already")
        self._dry_runs.add(review_id)
        try:
            review = await self._store.change(review_id, asked)
            found = await self._surveyor(review).dry_run()
        finally:
            self._dry_runs.discard(review_id)
        await self._store.change(review_id, lambda now: (now, [dry_run_event(now, reviewer, found)]))
        return found

    def _refuse_dry_run(self, review: Review, reviewer: Identity, digest: str) -> None:
        """Whoever may deny may look; whoever has approved may look again."""
        self._refuse_decision(review, reviewer, DecisionKind.DENY, digest)

    def _surveyor(self, review: Review) -> Surveyor:
        waiting = self._waiting.get(review.id)
        surveyor = waiting[-1].ask.surveyor if waiting else self._made_up.get(review.id)
        if surveyor is None:
            is_held = review.state is ReviewState.PENDING
            if is_held and review.gateway != self._gateway:
                raise NoBlastRadius("another gateway holds it, which is the one to ask")
            raise NoBlastRadius("this target is not asked what commands would touch" if is_held else "nothing is held any more")
        return surveyor

    # -- time
    async def pass_time(self) -> None:
        """Expire, escalate and remind of what is due. The moments are those of the store, so a restart loses none."""
        now = self._clock()
        for review in await self._store.due(now):
            let_by = ""
            if review.terms.on_timeout is OnTimeout.SAFE_SUBSET and now >= review.expires_at:
                waiting = self._waiting.get(review.id)
                if not waiting and now < review.expires_at + OWNER_LATE:
                    continue  # another gateway's to ask
                let_by = waiting[-1].ask.let_by() if waiting else ""
            await self._pass_time(review.id, let_by)

    async def _pass_time(self, review_id: str, let_by: str) -> None:
        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            after = machine.passed(review, self._clock(), let_by)
            if after is review:
                raise ReviewConflict(f"review {review.id} has moved on")  # somebody moved it between our look and our move
            return after, events_between(review, after)

        with contextlib.suppress(ReviewConflict):
            await self._change(review_id, change)

    async def recover(self, living: Collection[str]) -> None:
        """End what gateways held that are none of these: nobody waits for it, and what was released has no known outcome.

        An approved and unused review keeps its state until it expires; its client is gone, so it never runs (I4).
        """
        for review in await self._store.abandoned(living):
            if review.state is ReviewState.PENDING:
                await self._end_if_open(review, ReviewState.CANCELLED, "the gateway stopped while it was held")
            else:
                await self._end_if_open(review, ReviewState.FAILED, "outcome not known: the gateway stopped while it ran")

    async def moved_elsewhere(self, review_id: str) -> None:
        """Another gateway has moved a review: whoever waits here hears of it."""
        if review_id in self._waiting or review_id in self._made_up or self._listeners:
            self._announce(await self._store.get(review_id))

    async def look_again(self) -> None:
        """The same for all that are waited for here, whether or not anybody said so."""
        for review in await self._store.moved([*self._waiting, *self._made_up]):
            self._announce(review)

    # -- within
    async def _end_if_open(self, review: Review, state: ReviewState, why: str) -> None:
        try:
            await self._end(review.id, state, why)
        except ReviewConflict:
            return  # somebody else ended it between our look and our move

    async def _end(self, review_id: str, state: ReviewState, why: str) -> Review:
        def change(review: Review) -> tuple[Review, list[AuditEvent]]:
            if state not in machine.TRANSITIONS[review.state]:
                raise ReviewConflict(f"review {review.id} is {review.state} already")
            after = dataclasses.replace(review, state=state, outcome=why, updated_at=self._clock())
            return after, [moved(after, f"review.{state}")]

        return await self._change(review_id, change)

    async def _change(self, review_id: str, change: Callable[[Review], tuple[Review, list[AuditEvent]]]) -> Review:
        review = await self._store.change(review_id, change)
        self._announce(review)
        return review

    def _announce(self, review: Review) -> None:
        if review.state is not ReviewState.PENDING:
            self._made_up.pop(review.id, None)
            self._wake(review)
        for listener in list(self._listeners):
            listener(review)

    def _wake(self, review: Review) -> None:
        """Whoever waits for a review that is not pending any more hears of it; of an approval the newest, for the others have most likely
        given up without saying so."""
        waiting = self._forget(review.id)
        if not waiting:
            return
        *older, newest = waiting
        match review.state:
            case ReviewState.DENIED:
                self._fatigue.denied(review.identity, self._clock())
            case ReviewState.APPROVED:
                self._fatigue.approved(review.identity)
        for held in older:
            if not held.decided.done():
                held.decided.set_result(_outrun(review) if review.state is ReviewState.APPROVED else review)
        if not newest.decided.done():
            newest.decided.set_result(review)

    def _forget(self, review_id: str) -> list[Held]:
        """Who waited for a review."""
        waiting = self._waiting.pop(review_id, [])
        for held in waiting:
            self._counts[held.review.identity] -= 1
            if self._contents.get(held.ask.content) == review_id:
                del self._contents[held.ask.content]
        if waiting and not self._counts[waiting[0].review.identity]:
            del self._counts[waiting[0].review.identity]
        return waiting


def _refuse_bound(review: Review, kind: DecisionKind, at_most_rows: int) -> None:
    if kind is not DecisionKind.APPROVE or not 0 <= at_most_rows <= MOST_ROWS:
        raise ReviewError("a bound is a number of rows, and goes with an approval")
    if problem := review.command.get("bound_problem", "it was held by another version"):
        raise ReviewError(f"this cannot be approved for at most so many rows: {problem}")


def _outrun(review: Review) -> Review:
    """The review for a command that does not run because the same of another connection does."""
    why = "the same command was asked for by another connection of yours since, and that one is run"
    return dataclasses.replace(review, state=ReviewState.CANCELLED, outcome=why)


_REASON_NEEDED = {
    DecisionKind.DENY: "a denial needs a reason: it is what the agent reads",
    DecisionKind.FORCE: "breaking the glass needs a reason: others will ask for it",
}
