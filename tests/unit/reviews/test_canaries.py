"""Reviews that nobody asked for: they run nothing, give themselves away to nobody, and say who has waved them through."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from countersign.api.shapes import review_json
from countersign.audit.search import Query
from countersign.model import (
    Action,
    AuditEvent,
    Command,
    DecisionKind,
    Effect,
    Identity,
    IdentityKind,
    ReviewState,
    ReviewTerms,
    Session,
    Step,
    Subjects,
    Target,
    Verdict,
)
from countersign.model.blast import BlastRadius
from countersign.review_settings import CanarySettings, ReviewLimits
from countersign.reviews import canaries as module
from countersign.reviews.errors import NotAReviewer, ReviewConflict
from countersign.reviews.grants import Grants, Wish
from countersign.reviews.service import Ask, ReviewService
from countersign.store import Database, StoredAuditLog, StoredGrants, StoredReviews

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",))
ANN = Identity("ann", IdentityKind.USER, ("dba",), authentication="unix_socket")
TEXT = "DROP TABLE public.customers"
TWO = ReviewTerms((Step(Subjects(groups=("dba",)), 2),))
REAL = Command("postgres", b"x", "DELETE FROM t WHERE id = 1", frozenset({Effect.WRITE}))


class Surveyor:
    async def estimate(self):
        return BlastRadius((), is_exact=False)

    dry_run = estimate


def opened(review_id):
    return AuditEvent("command", {"review_id": review_id})


async def read(text):
    return Command("postgres", text.encode(), text, frozenset({Effect.DDL})), Surveyor()


class Scene:
    def __init__(self, place, limits):
        self.now, numbers = NOW, iter(range(1, 1000))
        self.database = Database.open(place, lambda: self.now)
        self.audit = StoredAuditLog(self.database)

        def new_id(prefix):
            return f"{prefix}-{next(numbers):04d}"

        grants = Grants(StoredGrants(self.database), lambda: self.now, new_id)
        self.reviews = ReviewService(StoredReviews(self.database), grants, lambda: self.now, new_id, limits)

    async def canary(self):
        """Open a review, and the one that comes behind it."""
        session = Session("se-1", CREW, Target("shop", "postgres"), "10.0.0.7:1", NOW, "shop", "psql")
        ask = Ask(session, REAL, Verdict(Action.REVIEW, "writes", terms=TWO), "cmd-1", "d1", opened, Surveyor(), read=read)
        held = await self.reviews.open(ask)
        await asyncio.gather(*self.reviews._coming)
        (found,) = [one for one in await self.reviews.select() if one.id != held.review.id]
        return held.review, found

    async def kinds(self):
        return [record.kind for record in await self.audit.search(Query(), 50) if record.kind.startswith("review.canary")]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_WAIT_S", 0)
    made = Scene(tmp_path / "store.db", ReviewLimits(0, 0, 0, CanarySettings(1, (TEXT,))))
    yield made
    made.database.close()


async def test_it_looks_like_the_review_before_it_and_does_not_say_what_it_is(scene):
    real, canary = await scene.canary()
    shown, other = review_json(canary), review_json(real)
    assert shown.keys() == other.keys() and shown["command"].keys() == other["command"].keys()
    assert "canary" not in str(shown).replace("'canary': False", "")
    assert shown["command"]["text"] == TEXT and len(shown["digest"]) == 64
    for name in ("identity", "target", "session_id", "client_address", "application", "database", "rule", "terms", "state"):
        assert shown[name] == other[name]
    assert await scene.reviews.estimate(canary.id) == await scene.reviews.estimate(real.id)
    assert (await scene.reviews.dry_run(canary.id, ANN, canary.digest)).statements == ()


async def test_denied_it_says_what_it_was(scene):
    _, canary = await scene.canary()
    after = await scene.reviews.decide(canary.id, ANN, DecisionKind.DENY, canary.digest, "never", proposal="SELECT 1")
    assert after.state is ReviewState.DENIED and "rightly denied" in after.outcome
    assert review_json(after)["canary"] is True
    assert await scene.kinds() == ["review.canary_denied", "review.canary_opened"]


@pytest.mark.parametrize("more", [{}, {"wish": Wish(timedelta(hours=1), 5, {})}])
async def test_approved_by_the_first_it_ends_and_says_by_whom(scene, more):
    _, canary = await scene.canary()
    after = await scene.reviews.decide(canary.id, ANN, DecisionKind.APPROVE, canary.digest, "", **more)
    assert after.state is ReviewState.CANCELLED and "ann would have let it run" in after.outcome
    assert await scene.kinds() == ["review.canary_approved", "review.canary_opened"]
    with pytest.raises(ReviewConflict):
        await scene.reviews.decide(canary.id, ANN, DecisionKind.DENY, canary.digest, "no")


async def test_i7_who_may_not_decide_the_real_one_may_not_decide_it(scene):
    _, canary = await scene.canary()
    for nobody in (CREW, Identity("eve", IdentityKind.USER, ("others",), authentication="unix_socket")):
        with pytest.raises(NotAReviewer):
            await scene.reviews.decide(canary.id, nobody, DecisionKind.APPROVE, canary.digest, "")


async def test_nobody_decides_and_it_expires(scene):
    _, canary = await scene.canary()
    scene.now = canary.expires_at + timedelta(seconds=1)
    await scene.reviews.pass_time()
    assert (await scene.reviews.get(canary.id)).state is ReviewState.EXPIRED


async def test_without_the_setting_there_are_none(scene, tmp_path):
    plain = Scene(tmp_path / "plain.db", None)
    with pytest.raises(ValueError, match="not enough values"):
        await plain.canary()
    plain.database.close()


def test_about_one_in_so_many_is_followed_by_one():
    made = module.Canaries(CanarySettings(10, ("a", "b")))
    texts = [made.due() for _ in range(5000)]
    assert 350 < sum(bool(text) for text in texts) < 650 and {"a", "b"} < set(texts)
