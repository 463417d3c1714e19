"""The gate with a store and reviews in memory: what it answers when things go wrong."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from countersign.audit import AuditUnavailable
from countersign.audit.search import Query
from countersign.gate import Gate, digest_of
from countersign.model import (
    AuditEvent,
    Command,
    DecisionKind,
    Denial,
    Effect,
    Identity,
    IdentityKind,
    Permit,
    PermitError,
    ReviewState,
    Session,
    Target,
)
from countersign.model.blast import BlastRadius, NoBlastRadius
from countersign.policy import load_policies
from countersign.review_settings import ReviewLimits
from countersign.reviews.errors import NotAReviewer, ReviewConflict
from countersign.reviews.fatigue import Fatigue
from countersign.reviews.grants import Grants
from countersign.reviews.service import Ask, Held, ReviewService
from countersign.store import Database, StoredAuditLog, StoredGrants, StoredReviews

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",), on_behalf_of="alice")
BOB = Identity("bob", IdentityKind.USER, ("reviewers",))
CAROL = Identity("carol", IdentityKind.USER, ("reviewers",))
READ = Command("postgres", b"read", "SELECT 1", frozenset({Effect.READ}))
WRITE = Command("postgres", b"write", "DELETE FROM t", frozenset({Effect.WRITE}))


class Hold:
    def __init__(self):
        self.cancelled = asyncio.get_running_loop().create_future()
        self.told = asyncio.Event()
        self.review = None
        self.ruling = None
        self.outcome = None
        self.surveyor = None
        self.reminded = 0
        self.is_gone = False
        self.where = None
        self.transaction_open = False
        self.drift = None

    def shape(self):
        return None

    def bound_problem(self):
        return ""

    async def changed(self):
        changed, self.drift = self.drift, None
        return changed

    async def read(self, text):
        return replace(WRITE, text=text, raw=text.encode())

    def survey(self, command):
        return None

    def place(self):
        return self.where

    def judged(self, ruling):
        self.ruling = ruling

    def decided(self, review):
        self.outcome = review

    async def held(self, review):
        self.review = review
        self.told.set()

    def still_held(self, review):
        if self.is_gone:
            raise ConnectionError("the client cannot be told")
        self.reminded += 1


class Scene:
    def __init__(self, folder: Path, policy: str = "rules: []\n"):
        (folder / "policy.yaml").write_text(policy)
        numbers = itertools.count(1)
        self.database = Database.open(folder / "store.db", lambda: NOW)
        self.audit = StoredAuditLog(self.database)

        def new_id(prefix):
            return f"{prefix}-{next(numbers):04d}"

        grants = Grants(StoredGrants(self.database), lambda: NOW, new_id)
        self.reviews = ReviewService(StoredReviews(self.database), grants, lambda: NOW, new_id)
        self.policy = load_policies([folder / "policy.yaml"])
        self.gate = Gate(lambda: self.policy, self.audit, self.reviews, grants, lambda: NOW, new_id)
        self.session = Session("se-1", CREW, Target("shop", "postgres"), "local", NOW)

    async def hold(self, command=WRITE):
        hold = Hold()
        admitting = asyncio.create_task(self.gate.admit(self.session, command, hold))
        await asyncio.wait_for(hold.told.wait(), 10)
        return hold, admitting


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.database.close()


async def test_i1_a_read_is_with_the_writer_and_a_write_is_committed_before_the_permit(scene):
    assert isinstance(await scene.gate.admit(scene.session, READ, Hold()), Permit)
    _, admitting = await scene.hold()
    kinds = [record.kind for record in scene.audit.records()]
    assert kinds == ["command", "command", "review.opened"]
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)


async def test_i2_a_permit_is_spent_once_and_only_by_its_own_command(scene):
    permit = await scene.gate.admit(scene.session, READ, Hold())
    with pytest.raises(PermitError):
        permit.spend(session_id="se-1", digest="another")
    with pytest.raises(PermitError):
        permit.spend(session_id="se-2", digest=permit.digest)
    permit.spend(session_id="se-1", digest=permit.digest)
    with pytest.raises(PermitError):
        permit.spend(session_id="se-1", digest=permit.digest)
    with pytest.raises(PermitError):
        Permit("cmd", "se-1", "digest")


def test_i2_only_the_gate_mints_permits():
    package = Path(__file__).parents[2] / "countersign"
    users = [path.name for path in package.rglob("*.py") if "_MINT" in path.read_text() or "_mint=" in path.read_text()]
    assert sorted(users) == ["gate.py", "permit.py"]


async def test_i2_an_approval_is_released_once(scene):
    hold, admitting = await scene.hold()
    await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "")
    assert isinstance(await admitting, Permit)
    with pytest.raises(ReviewConflict):
        await scene.reviews.release(Held(hold.review, Ask(scene.session, WRITE, None, "cmd-1", "", None), None))


async def test_i4_a_dry_run_is_refused_while_another_goes_on_so_that_none_begins_behind_the_decision(scene):
    begun, end = asyncio.Event(), asyncio.Event()

    class Slow:
        async def dry_run(self):
            begun.set()
            await end.wait()
            return BlastRadius((), is_exact=True)

    hold = Hold()
    hold.surveyor = Slow()
    admitting = asyncio.create_task(scene.gate.admit(scene.session, WRITE, hold))
    await asyncio.wait_for(hold.told.wait(), 10)
    about = hold.review.id, BOB, hold.review.digest
    first = asyncio.create_task(scene.reviews.dry_run(*about))
    await asyncio.wait_for(begun.wait(), 10)
    with pytest.raises(NoBlastRadius, match="already"):
        await scene.reviews.dry_run(*about)
    end.set()
    await first
    assert (await scene.reviews.dry_run(*about)).is_exact
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)


async def test_i4_a_cancelled_call_cancels_its_review_and_a_late_approval_is_refused(scene):
    hold, admitting = await scene.hold()
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)
    assert (await scene.reviews.get(hold.review.id)).state is ReviewState.CANCELLED
    with pytest.raises(ReviewConflict):
        await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "")


async def test_i4_a_client_that_leaves_in_the_same_moment_as_the_approval_wins(scene):
    hold, admitting = await scene.hold()
    await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "")
    hold.cancelled.set_result("the client left")
    answer = await admitting
    assert isinstance(answer, Denial)
    assert (await scene.reviews.get(hold.review.id)).state is ReviewState.CANCELLED


async def test_a_waiting_client_is_told_again_and_what_cannot_be_told_is_not_run(scene):
    scene.gate._reminder_s = 0.02
    hold, admitting = await scene.hold()
    while hold.reminded < 3:
        await asyncio.sleep(0.01)
    hold.is_gone = True
    assert isinstance(await asyncio.wait_for(admitting, 10), Denial)
    assert (await scene.reviews.get(hold.review.id)).state is ReviewState.CANCELLED


async def test_i2_what_would_do_something_else_by_now_is_asked_again_and_not_run(scene):
    hold, admitting = await scene.hold()
    first = hold.review
    hold.drift = replace(WRITE, effects=frozenset({Effect.WRITE, Effect.UNKNOWN}))
    hold.told.clear()
    await scene.reviews.decide(first.id, BOB, DecisionKind.APPROVE, first.digest, "")
    await asyncio.wait_for(hold.told.wait(), 10)
    ended, again = await scene.reviews.get(first.id), hold.review
    assert ended.state is ReviewState.CANCELLED and "has changed since it was shown" in ended.outcome
    assert again.id != first.id and again.command["effects"] == ["unknown", "write"] and not admitting.done()
    await scene.reviews.decide(again.id, BOB, DecisionKind.APPROVE, again.digest, "")
    permit = await admitting
    assert isinstance(permit, Permit) and permit.review_id == again.id


async def test_i7_neither_the_agent_nor_the_person_behind_it_nor_another_agent_decides(scene):
    hold, admitting = await scene.hold()
    for who in (
        CREW,
        Identity("alice", IdentityKind.USER, ("reviewers",)),
        Identity("bot", IdentityKind.SERVICE_ACCOUNT, ("reviewers",)),
    ):
        with pytest.raises(NotAReviewer):
            await scene.reviews.decide(hold.review.id, who, DecisionKind.APPROVE, hold.review.digest, "")
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)


async def test_i7_two_approvals_are_two_people(tmp_path):
    scene = Scene(tmp_path, "rules: [{name: two, action: review, review: {approvals: 2}}]\n")
    hold, admitting = await scene.hold()
    await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "")
    with pytest.raises(ReviewConflict):
        await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "")
    assert not admitting.done()
    await scene.reviews.decide(hold.review.id, CAROL, DecisionKind.APPROVE, hold.review.digest, "")
    assert isinstance(await admitting, Permit)
    scene.database.close()


async def test_what_wears_reviewers_out_is_denied_in_words_and_on_record(scene):
    scene.reviews._fatigue = Fatigue(ReviewLimits(at_once=1))
    _, admitting = await scene.hold()
    answer = await scene.gate.admit(scene.session, WRITE, Hold())
    assert isinstance(answer, Denial) and "1 of your commands wait for a review already" in answer.message
    recorded = (await scene.audit.search(Query(kind="command"), 1))[0].body
    assert (recorded["verdict"], recorded["review_id"]) == ("deny", "")
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)


async def test_i2_a_permit_is_for_the_command_of_its_own_session_though_it_waited_with_another(scene):
    opened, waiting = Hold(), Hold()
    opened.where = waiting.where = "the same"
    other = replace(scene.session, id="se-2")
    tasks = []
    for session, one in ((scene.session, opened), (other, waiting)):
        tasks.append(asyncio.create_task(scene.gate.admit(session, WRITE, one)))
        await asyncio.wait_for(one.told.wait(), 10)
    assert opened.review.id == waiting.review.id
    await scene.reviews.decide(opened.review.id, BOB, DecisionKind.APPROVE, opened.review.digest, "")
    denied, permit = await asyncio.gather(*tasks)
    assert isinstance(denied, Denial) and "that one is run" in denied.message
    assert permit.session_id == "se-2" and permit.digest == digest_of(other, WRITE) != opened.review.digest


async def test_i8_a_broken_policy_a_broken_store_and_a_bug_deny_with_an_id(scene, monkeypatch):
    def broken(*_):
        raise AuditUnavailable("disk full at /secret/place")

    monkeypatch.setattr(scene.audit, "hand_over", broken)
    answer = await scene.gate.admit(scene.session, READ, Hold())
    assert isinstance(answer, Denial)
    assert "cmd-" in answer.message
    assert "/secret/place" not in answer.message
    monkeypatch.setattr(scene, "policy", None)
    assert isinstance(await scene.gate.admit(scene.session, READ, Hold()), Denial)


async def test_a_restart_cancels_what_was_pending_and_keeps_what_was_approved(scene):
    hold, admitting = await scene.hold()
    await scene.reviews.recover({"this one"})
    assert (await scene.reviews.get(hold.review.id)).state is ReviewState.CANCELLED
    answer = await admitting
    assert isinstance(answer, Denial)


async def test_an_approved_and_unused_review_outlives_a_restart_and_a_used_one_is_not_forgotten(scene):
    for used, state in ((False, ReviewState.APPROVED), (True, ReviewState.FAILED)):
        verdict = scene.policy.decide(CREW, scene.session.target, scene.session, WRITE)
        held = await scene.reviews.open(Ask(scene.session, WRITE, verdict, "cmd-1", "digest", lambda _: AuditEvent("command", {})))
        await scene.reviews.decide(held.review.id, BOB, DecisionKind.APPROVE, "digest", "")
        if used:
            await scene.reviews.release(held)
        await scene.reviews.recover({"this one"})
        assert (await scene.reviews.get(held.review.id)).state is state


async def test_the_store_itself_refuses_illegal_moves(scene):
    import sqlalchemy

    hold, admitting = await scene.hold()
    for sql in (
        "UPDATE reviews SET state = 'executed'",
        "UPDATE reviews SET digest = 'x'",
        "DELETE FROM audit_batches",
        "UPDATE audit_batches SET count = 0",
    ):
        with pytest.raises(AuditUnavailable, match="append-only|cannot"):
            await scene.database.write(lambda transaction, sql=sql: transaction.connection.execute(sqlalchemy.text(sql)))
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)
    assert hold.review is not None


async def test_i8_a_bound_that_nobody_counts_is_not_run(scene):
    hold, admitting = await scene.hold()
    await scene.reviews.decide(hold.review.id, BOB, DecisionKind.APPROVE, hold.review.digest, "", at_most_rows=5)
    permit = await admitting
    assert permit.at_most_rows == 5
    with pytest.raises(PermitError, match="nobody would count"):
        permit.spend(session_id=permit.session_id, digest=permit.digest)
