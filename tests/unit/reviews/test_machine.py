"""What decisions and time make of a review, by the pure machine and by the service with a store."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from countersign.audit import AuditUnavailable
from countersign.audit.search import Query
from countersign.model import (
    NOBODY,
    Action,
    AuditEvent,
    Command,
    DecisionKind,
    Effect,
    Identity,
    IdentityKind,
    OnTimeout,
    ReviewState,
    ReviewTerms,
    Session,
    Step,
    Subjects,
    Target,
    Verdict,
)
from countersign.model.grant import Shape
from countersign.review_settings import ReviewLimits
from countersign.reviews import machine
from countersign.reviews.errors import NotAReviewer, ReviewConflict, ReviewError
from countersign.reviews.fatigue import Fatigue
from countersign.reviews.grants import Grants, Wish
from countersign.reviews.service import Ask, ReviewService
from countersign.store import Database, StoredAuditLog, StoredGrants, StoredReviews

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",), on_behalf_of="alice")
APPROVE, DENY, TAKE_BACK, FORCE = DecisionKind.APPROVE, DecisionKind.DENY, DecisionKind.TAKE_BACK, DecisionKind.FORCE
DBA, LEADS = Subjects(("dba",)), Subjects(("leads",))
TWO_STEPS = ReviewTerms((Step(DBA, 2, 600.0, Subjects(names=("eve",))), Step(LEADS)), break_glass=Subjects(("administrators",)))


def person(name, *groups):
    return Identity(name, IdentityKind.USER, groups, authentication="test")


ANN, BOB, LEA, EVE, ROOT = (
    person("ann", "dba", "leads"),
    person("bob", "dba"),
    person("lea", "leads"),
    person("eve"),
    person("root", "administrators"),
)


class Scene:
    """Reviews in a store, with a clock that stands still unless moved."""

    def __init__(self, place):
        self.place = place
        self.now = START
        self.let_by = ""
        self._numbers = itertools.count(1)
        self._open()

    def _open(self):
        self.database = Database.open(self.place, lambda: self.now)
        self.audit = StoredAuditLog(self.database)
        self.grants = Grants(StoredGrants(self.database), lambda: self.now, self.new_id)
        self.reviews = ReviewService(StoredReviews(self.database), self.grants, lambda: self.now, self.new_id)

    def new_id(self, prefix):
        return f"{prefix}-{next(self._numbers):04d}"

    def restart(self):
        self.database.close()
        self._open()

    async def open(self, terms=TWO_STEPS):
        self.held = await self.reviews.open(self.ask(terms))
        return self.held.review

    def ask(self, terms=TWO_STEPS, session="se-1", content="", command_id="cmd-1"):
        command = Command("postgres", b"write", "DELETE FROM t", frozenset({Effect.WRITE}))
        return Ask(
            Session(session, CREW, Target("shop", "postgres"), "local", START),
            command,
            Verdict(Action.REVIEW, "writes", terms=terms),
            command_id,
            "d1",
            lambda review_id: AuditEvent("command", {"review_id": review_id, "command_id": command_id}),
            let_by=lambda: self.let_by,
            content=content,
        )

    async def decide(self, who, kind=APPROVE, reason="because"):
        return await self.reviews.decide(self.held.review.id, who, kind, "d1", reason)

    async def later(self, **delta):
        self.now += timedelta(**delta)
        await self.reviews.pass_time()
        return await self.reviews.get(self.held.review.id)

    async def kinds(self):
        return [record.kind for record in reversed(await self.audit.search(Query(), 100)) if record.kind != "command"]


@pytest.fixture
def scene(store_place):
    made = Scene(store_place)
    yield made
    made.database.close()


def test_the_table_in_the_documentation_is_the_machine():
    page = (Path(__file__).parents[3] / "docs" / "reviews.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    told = {(before.strip(" `"), after.strip(" `")) for before, after in rows if after.strip(" `") in set(ReviewState)}
    assert told == {(before.value, after.value) for before, afters in machine.TRANSITIONS.items() for after in afters}


async def test_steps_are_done_one_behind_the_other_and_by_different_people(scene):
    await scene.open()
    with pytest.raises(NotAReviewer, match="other reviewers"):
        await scene.decide(LEA)
    await scene.decide(ANN)
    with pytest.raises(ReviewConflict, match="counts once"):
        await scene.decide(ANN)
    assert not scene.held.decided.done()
    review = await scene.decide(BOB)
    assert (review.state, machine.progress(review).step) == (ReviewState.PENDING, 1)
    with pytest.raises(ReviewConflict, match="counts once"):
        await scene.decide(ANN)  # she is a lead too, but has approved the first step
    review = await scene.decide(LEA)
    assert review.state is ReviewState.APPROVED and [one.step for one in review.decisions] == [0, 0, 1]
    assert scene.held.decided.result() == review
    assert await scene.kinds() == [
        "review.opened", "review.decision", "review.decision", "review.advanced", "review.decision", "review.approved"
    ]  # fmt: skip


async def test_a_denial_of_any_reviewer_at_any_step_ends_it(scene):
    await scene.open()
    await scene.decide(ANN)
    with pytest.raises(ReviewError, match="a denial needs a reason"):
        await scene.decide(LEA, DENY, " ")
    review = await scene.decide(LEA, DENY, "not today")
    assert (review.state, review.outcome) == (ReviewState.DENIED, "not today")
    for kind in DecisionKind:
        with pytest.raises((ReviewConflict, NotAReviewer)):
            await scene.decide(ROOT, kind)


async def test_i4_an_approval_can_be_taken_back_until_the_command_runs(scene):
    await scene.open()
    await scene.decide(ANN)
    await scene.decide(BOB)
    with pytest.raises(NotAReviewer, match="no approval of yours"):
        await scene.decide(LEA, TAKE_BACK)
    review = await scene.decide(BOB, TAKE_BACK)
    assert machine.progress(review).step == 0
    with pytest.raises(NotAReviewer):
        await scene.decide(LEA)
    await scene.decide(BOB)
    review = await scene.decide(LEA)
    assert review.state is ReviewState.APPROVED
    review = await scene.decide(LEA, TAKE_BACK)
    assert review.state is ReviewState.CANCELLED and "took the approval back" in review.outcome
    with pytest.raises(ReviewConflict):
        await scene.reviews.release(scene.held)


async def test_i4_a_grant_goes_with_the_approval_that_is_taken_back(scene):
    shape = Shape("key", "DELETE FROM t", ())
    scene.held = await scene.reviews.open(replace(scene.ask(ReviewTerms()), shape=shape))
    await scene.reviews.decide(scene.held.review.id, ROOT, APPROVE, "d1", "", wish=Wish(60, 5, {}))
    assert len(await scene.grants.select()) == 1
    await scene.decide(ROOT, TAKE_BACK)
    assert await scene.grants.select() == []
    assert (await scene.kinds())[-1] == "grant.revoked"


async def test_a_restart_cancels_however_many_were_held(scene):
    for number in range(520):
        await scene.reviews.open(scene.ask(ReviewTerms(), command_id=f"cmd-{number}"))
    scene.restart()
    await scene.reviews.recover({"this one"})
    assert await scene.reviews.select([ReviewState.PENDING]) == []


async def test_i4_what_runs_cannot_be_taken_back(scene):
    await scene.open(ReviewTerms())
    await scene.decide(ROOT)
    await scene.reviews.release(scene.held)
    with pytest.raises(ReviewConflict, match="runs already"):
        await scene.decide(ROOT, TAKE_BACK)


async def test_i7_an_administrator_forces_nothing_unless_a_rule_says_so_and_then_loudly(scene):
    await scene.open(replace(TWO_STEPS, break_glass=NOBODY))
    for kind in (APPROVE, DENY, FORCE):
        with pytest.raises(NotAReviewer):
            await scene.decide(ROOT, kind)
    await scene.open()
    with pytest.raises(NotAReviewer):
        await scene.decide(ROOT, APPROVE)
    with pytest.raises(ReviewError, match="needs a reason"):
        await scene.decide(ROOT, FORCE, "")
    with pytest.raises(NotAReviewer, match="break the glass"):
        await scene.decide(ANN, FORCE)
    review = await scene.decide(ROOT, FORCE, "the site is down")
    assert (review.state, review.outcome) == (ReviewState.APPROVED, "forced by root: the site is down")
    assert (await scene.kinds())[-3:] == ["review.decision", "review.forced", "review.approved"]


@pytest.mark.parametrize("kind", DecisionKind)
async def test_i7_who_asked_an_agent_and_an_auditor_decide_nothing_in_no_way(scene, kind):
    await scene.open(replace(TWO_STEPS, break_glass=Subjects(("all",))))
    asker = person("alice", "all", "dba", "leads", "administrators")
    auditor = person("aud", "all", "dba", "leads", "auditors")
    agent = Identity("bot", IdentityKind.SERVICE_ACCOUNT, ("all", "dba", "leads", "administrators"))
    for who in (asker, CREW, person("crew", "all", "dba"), auditor, agent):
        with pytest.raises(NotAReviewer):
            await scene.decide(who, kind)


async def test_where_nobody_is_named_administrators_and_reviewers_decide(scene):
    await scene.open(ReviewTerms())
    with pytest.raises(NotAReviewer):
        await scene.decide(person("passer-by", "sales"))
    assert (await scene.decide(person("rita", "reviewers"))).state is ReviewState.APPROVED


async def test_a_step_escalates_in_time_and_once_and_over_a_restart(scene):
    await scene.open()
    with pytest.raises(NotAReviewer):
        await scene.decide(EVE)
    await scene.later(seconds=599)
    assert await scene.kinds() == ["review.opened"]
    scene.restart()
    assert (await scene.later(seconds=1)).marks == ("escalated:0",)
    await scene.later(seconds=30)
    assert await scene.kinds() == ["review.opened", "review.escalated"]
    await scene.decide(EVE)
    assert machine.progress(await scene.decide(ANN)).step == 1


async def test_a_review_expires_in_time(scene):
    await scene.open()
    assert (await scene.later(seconds=1799)).state is ReviewState.PENDING
    scene.now += timedelta(seconds=1)
    with pytest.raises(ReviewConflict, match="has expired"):
        await scene.decide(ANN)
    assert (await scene.later()).state is ReviewState.EXPIRED
    assert scene.held.decided.result().state is ReviewState.EXPIRED


async def test_an_approval_holds_for_a_minute(scene):
    await scene.open(ReviewTerms())
    await scene.later(seconds=1799)
    await scene.decide(ROOT)
    assert (await scene.later(seconds=59)).state is ReviewState.APPROVED
    assert (await scene.later(seconds=1)).state is ReviewState.EXPIRED
    with pytest.raises(ReviewConflict):
        await scene.reviews.release(scene.held)


async def test_kept_waiting_it_is_overdue_once_and_ends_after_a_week(scene):
    await scene.open(ReviewTerms(on_timeout=OnTimeout.KEEP_WAITING))
    assert (await scene.later(minutes=31)).state is ReviewState.PENDING
    await scene.later(days=6)
    assert await scene.kinds() == ["review.opened", "review.overdue"]
    assert (await scene.later(days=1)).state is ReviewState.EXPIRED


SAFE = ReviewTerms(on_timeout=OnTimeout.SAFE_SUBSET, safe_subset=("appends",))


async def test_the_safe_subset_lets_run_what_its_rules_allow_when_the_time_is_over(scene):
    await scene.open(SAFE)
    assert (await scene.later(minutes=31)).state is ReviewState.EXPIRED
    scene.let_by = "appends"
    await scene.open(SAFE)
    assert (await scene.later(minutes=29)).state is ReviewState.PENDING
    review = await scene.later(minutes=1)
    assert review.state is ReviewState.APPROVED and "rule 'appends' lets it run" in review.outcome
    assert (await scene.reviews.release(scene.held)).released_at == scene.now


async def test_another_gateway_does_not_expire_what_only_the_holder_can_ask_for(scene):
    review = await scene.open(SAFE)
    scene.restart()
    assert (await scene.later(minutes=30)).state is ReviewState.PENDING
    assert (await scene.later(seconds=11)).state is ReviewState.EXPIRED
    assert review.id == scene.held.review.id


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO decisions VALUES (:id, 2, 'ann', 'x', 'approve', 0, '', 'd1', '', NULL, '')",  # twice
        "INSERT INTO decisions VALUES (:id, 2, 'alice', 'x', 'approve', 0, '', 'd1', '', NULL, '')",  # who asked
        "INSERT INTO decisions VALUES (:id, 2, 'crew', 'x', 'approve', 0, '', 'd1', '', NULL, '')",
        "INSERT INTO decisions VALUES (:id, 2, 'bob', 'x', 'approve', 0, '', 'other digest', '', NULL, '')",
        "INSERT INTO decisions VALUES (:id, 0, 'bob', 'x', 'approve', 0, '', 'd1', '', NULL, '')",  # a number twice
        "INSERT INTO decisions VALUES (:id, 2, 'bob', 'x', 'perhaps', 0, '', 'd1', '', NULL, '')",
        "INSERT INTO decisions VALUES (:id, 2, 'bob', 'x', 'deny', 0, '', 'd1', '', 5, '')",
        "INSERT INTO decisions VALUES (:id, 2, 'bob', 'x', 'approve', 0, '', 'd1', '', NULL, 'SELECT 1')",
        "UPDATE decisions SET reviewer = 'bob'",
        "DELETE FROM decisions",
        "UPDATE reviews SET state = 'executed'",
        "UPDATE reviews SET on_behalf_of = ''",
        "UPDATE reviews SET terms = '{}'",
    ],
)
async def test_i7_the_store_itself_refuses_decisions_that_must_not_be(scene, sql):
    review = await scene.open()
    await scene.decide(ANN)
    with pytest.raises(AuditUnavailable):
        await scene.database.write(lambda transaction: transaction.connection.execute(sqlalchemy.text(sql), {"id": review.id}))


async def test_i7_the_store_takes_no_decision_on_what_has_ended(scene):
    review = await scene.open()
    await scene.decide(ANN, DENY)
    late = sqlalchemy.text("INSERT INTO decisions VALUES (:id, 1, 'bob', 'x', 'approve', 0, '', 'd1', '', NULL, '')")
    with pytest.raises(AuditUnavailable):
        await scene.database.write(lambda transaction: transaction.connection.execute(late, {"id": review.id}))


async def test_the_same_command_of_another_connection_waits_with_the_first_and_the_newest_runs_once(scene):
    first = await scene.reviews.open(scene.ask(ReviewTerms(), "se-1", "same", "cmd-1"))
    scene.held = second = await scene.reviews.open(scene.ask(ReviewTerms(), "se-2", "same", "cmd-2"))
    other = await scene.reviews.open(scene.ask(ReviewTerms(), "se-3", "other", "cmd-3"))
    assert first.review.id == second.review.id != other.review.id
    await scene.decide(ROOT)
    assert (first.decided.result().state, second.decided.result().state) == (ReviewState.CANCELLED, ReviewState.APPROVED)
    assert "that one is run" in first.decided.result().outcome and not other.decided.done()
    await scene.reviews.release(second)
    with pytest.raises(ReviewConflict):
        await scene.reviews.release(first)
    released = next(one for one in await scene.audit.search(Query(kind="review.released"), 9))
    assert (released.body["command_id"], released.body["session_id"]) == ("cmd-2", "se-2")
    third = await scene.reviews.open(scene.ask(ReviewTerms(), "se-4", "same", "cmd-4"))
    assert third.review.id != first.review.id


async def test_i4_a_review_lives_while_anybody_waits_for_it_and_no_longer(scene):
    first = await scene.reviews.open(scene.ask(ReviewTerms(), "se-1", "same", "cmd-1"))
    scene.held = second = await scene.reviews.open(scene.ask(ReviewTerms(), "se-2", "same", "cmd-2"))
    assert (await scene.reviews.leave(first, "the client left")).state is ReviewState.CANCELLED
    assert not first.decided.done() and not second.decided.done()
    assert (await scene.reviews.leave(second, "the client left")).state is ReviewState.CANCELLED
    assert second.decided.result().state is ReviewState.CANCELLED
    assert (await scene.kinds())[-3:] == ["review.joined", "review.left", "review.cancelled"]
    with pytest.raises(ReviewConflict):
        await scene.decide(ROOT)


@pytest.mark.parametrize("other", [replace(ReviewTerms(), timeout_s=9.0), TWO_STEPS])
async def test_a_command_joins_no_review_on_other_terms(scene, other):
    first = await scene.reviews.open(scene.ask(ReviewTerms(), "se-1", "same", "cmd-1"))
    second = await scene.reviews.open(scene.ask(other, "se-2", "same", "cmd-2"))
    assert first.review.id != second.review.id


async def test_what_one_identity_has_held_is_bounded_and_denials_make_it_pause(scene):
    scene.reviews._fatigue = Fatigue(ReviewLimits(at_once=2, opened=5, denials=2))
    await scene.open(ReviewTerms())
    await scene.open(ReviewTerms())
    assert "2 of your commands wait" in scene.reviews.refusal("crew") and not scene.reviews.refusal("another")
    await scene.decide(ROOT)
    assert not scene.reviews.refusal("crew")
    await scene.open(ReviewTerms())
    for seconds in (60, 120):
        for held in [one for waiting in scene.reviews._waiting.values() for one in waiting]:
            await scene.reviews.decide(held.review.id, ROOT, DENY, "d1", "no")
        assert f"reviewed for {seconds} s" in scene.reviews.refusal("crew")
        scene.now += timedelta(seconds=seconds)
        await scene.open(ReviewTerms())
    assert "5 of your commands were put before reviewers" in scene.reviews.refusal("crew")
    scene.now += timedelta(minutes=10)
    assert not scene.reviews.refusal("crew")


PEOPLE = st.sampled_from([ANN, BOB, LEA, EVE, ROOT, person("alice", "dba", "leads"), CREW, person("aud", "dba", "auditors")])
MOVES = st.lists(st.tuples(PEOPLE, st.sampled_from(DecisionKind), st.integers(0, 900)), max_size=14)


@given(MOVES)
def test_i7_however_people_decide_approved_means_two_of_one_and_one_of_the_other_or_broken_glass(moves):
    review = _review(TWO_STEPS)
    now = START
    for who, kind, seconds in moves:
        now += timedelta(seconds=seconds)
        review = machine.passed(review, now, "")
        if machine.may_decide(review, who, kind, now) or machine.refused_now(review, who, kind):
            continue
        before = review.state
        decision = machine.Decision(who.name, "x", kind, "r", "d1", now, min(machine.progress(review).step, 1))
        review = machine.decided(review, decision, now)
        assert review.state is before or review.state in machine.TRANSITIONS[before]
    if review.state is not ReviewState.APPROVED or any(one.kind is FORCE and one.reviewer == "root" for one in review.decisions):
        return
    standing = machine.standing_approvals(review)
    by_step = [{one.reviewer for one in standing if one.step == step} for step in (0, 1)]
    assert len(by_step[0]) >= 2 and by_step[0] <= {"ann", "bob", "eve"}
    assert len(by_step[1]) >= 1 and by_step[1] <= {"ann", "lea"} and by_step[0].isdisjoint(by_step[1])


def _review(terms):
    return machine.Review(
        "rv-1", ReviewState.PENDING, "cmd-1", "se-1", "shop", "crew", "alice", "d1", "writes", {}, terms,
        START, machine.ends_at(terms, START), START,
    )  # fmt: skip
