"""The inbox on a terminal: what a key decides is what stands on the screen."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from textual.widgets import Input

from countersign.api.shapes import review_json
from countersign.cli.inbox import Inbox, Question
from countersign.client import ClientError
from countersign.model import Review, ReviewState, ReviewTerms, Step

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def review(number, text="DELETE FROM t", state=ReviewState.PENDING):
    command = {"text": text, "effects": ["write"], "statements": [], "parameters": [], "not_bound": []}
    command |= {"client_address": "10.0.0.9", "application": "app", "database": "shop"}
    return Review(
        f"rv-{number}",
        state,
        f"cmd-{number}",
        "se-1",
        "shop",
        "crew",
        "",
        f"digest-{number}",
        "writes",
        command,
        ReviewTerms((Step(),)),
        NOW + timedelta(seconds=number),
        NOW + timedelta(hours=1),
        NOW,
    )


class Gateway:
    """What the inbox asks, over reviews that the test keeps."""

    def __init__(self, *reviews):
        self.reviews = {one.id: one for one in reviews}
        self.may = ["approve", "deny"]
        self.posted = []
        self.refuses = None
        self.answers = asyncio.Event()
        self.answers.set()
        self._moves = asyncio.Queue()

    async def get(self, path, **parameters):
        if path == "reviews":
            pending = [one for one in self.reviews.values() if one.state is ReviewState.PENDING]
            return {"reviews": [review_json(one) for one in reversed(pending)]}
        _, review_id, *rest = path.split("/")
        if rest:
            return {"is_exact": False, "notes": [], "statements": [_touched(7)]}
        await self.answers.wait()
        return review_json(self.reviews[review_id]) | {"may": self.may}

    async def post(self, path, body):
        self.posted.append((path, body))
        _, review_id, kind = path.split("/")
        if self.refuses:
            raise ClientError(409, "conflict", self.refuses)
        if kind == "dry-run":
            return {"is_exact": True, "notes": [], "statements": [_touched(3)]}
        state = ReviewState.APPROVED if kind == "approve" else ReviewState.DENIED
        return review_json(self.move(review_id, state))

    def move(self, review_id, state):
        moved = self.reviews[review_id] = replace(self.reviews[review_id], state=state)
        self._moves.put_nowait(moved)
        return moved

    def open(self, one):
        self.reviews[one.id] = one
        self._moves.put_nowait(one)

    async def events(self):
        while True:
            yield review_json(await self._moves.get())


def _touched(rows):
    return {"kind": "DELETE", "rows": rows, "touched": [], "sample": None}


class Screen:
    """The inbox as a person sees it."""

    def __init__(self, app, pilot):
        self.app, self.pilot = app, pilot

    async def press(self, *keys):
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def asked(self):
        """Waits until the question is there and takes keys."""
        await self.sees("a question", lambda: isinstance(self.app.screen, Question) and isinstance(self.app.focused, Input))

    @property
    def detail(self):
        return str(self.app.query_one("#text").content)

    @property
    def told(self):
        return str(self.app.query_one("#told").content)

    @property
    def listed(self):
        table = self.app.query_one("#list")
        return [(str(row.key.value), str(table.get_cell(row.key, "state"))) for row in table.ordered_rows]

    async def sees(self, what, condition=None):
        """Waits until the detail holds a text, or something is true."""
        for _ in range(400):
            if condition() if condition else what in self.detail:
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"never seen: {what}; but {self.detail!r}, {self.told!r}, {self.listed!r}")


@pytest.fixture
def inbox():
    """Runs the inbox over a gateway."""

    class Running:
        def __init__(self, gateway):
            self.app = Inbox(gateway)
            self.context = self.app.run_test(size=(120, 40))

        async def __aenter__(self):
            return Screen(self.app, await self.context.__aenter__())

        async def __aexit__(self, *error):
            return await self.context.__aexit__(*error)

    return Running


async def test_it_lists_the_oldest_first_and_shows_all_of_the_chosen_one(inbox):
    gateway = Gateway(review(1, "DELETE FROM t -- [red]\u202e" + "x" * 300), review(2))
    async with inbox(gateway) as screen:
        await screen.sees("about 7 rows")
        assert screen.listed == [("rv-1", "pending"), ("rv-2", "pending")]
        assert "DELETE FROM t -- [red]\\u202e" + "x" * 300 in screen.detail
        assert "WARNING" in screen.detail and "digest-1" in screen.detail
        await screen.press("down")
        await screen.sees("digest-2")
        assert gateway.posted == []


async def test_an_approval_is_of_what_is_shown_by_its_digest(inbox):
    gateway = Gateway(review(1), review(2))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        await screen.press("a")
        await screen.asked()
        await screen.press(*"fine", "enter")
        await screen.sees("an approval", lambda: gateway.posted)
        assert gateway.posted == [("reviews/rv-1/approve", {"digest": "digest-1", "reason": "fine"})]
        await screen.sees("rv-1: approved")


async def test_i10_what_is_long_is_read_to_its_end_before_it_is_approved(inbox):
    gateway = Gateway(review(1, "DELETE FROM t WHERE id IN (\n" + "1,\n" * 60 + "2)"))
    async with inbox(gateway) as screen:
        await screen.sees("about 7 rows")
        await screen.press("a")
        await screen.sees("the refusal", lambda: "to its end" in screen.told)
        assert not isinstance(screen.app.screen, Question)
        await screen.press(*["space"] * 6)
        await screen.press("a")
        await screen.asked()


async def test_a_denial_needs_its_reason_and_can_be_left(inbox):
    gateway = Gateway(review(1))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        await screen.press("d")
        await screen.asked()
        await screen.press("enter")
        assert isinstance(screen.app.screen, Question)
        await screen.press("escape")
        assert not isinstance(screen.app.screen, Question)
        await screen.press("d")
        await screen.asked()
        await screen.press(*"no", "enter")
        await screen.sees("a denial", lambda: gateway.posted)
        assert gateway.posted == [("reviews/rv-1/deny", {"digest": "digest-1", "reason": "no"})]


async def test_what_comes_and_goes_does_not_move_the_choice(inbox):
    gateway = Gateway(review(1), review(2), review(3))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        await screen.press("down")
        await screen.sees("digest-2")
        gateway.open(review(4))
        gateway.move("rv-1", ReviewState.CANCELLED)
        await screen.sees("the list to change", lambda: [one for one, _ in screen.listed] == ["rv-2", "rv-3", "rv-4"])
        await screen.press("a")
        await screen.asked()
        await screen.press("enter")
        await screen.sees("an approval", lambda: gateway.posted)
        assert gateway.posted[0][1]["digest"] == "digest-2"
        assert "digest-2" in screen.detail


async def test_what_was_decided_elsewhere_stays_until_one_moves_on_and_is_not_decided(inbox):
    gateway = Gateway(review(1), review(2))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        gateway.may = []
        gateway.move("rv-1", ReviewState.DENIED)
        await screen.sees("rv-1: denied")
        assert screen.listed[0] == ("rv-1", "denied")
        await screen.press("a")
        await screen.sees("the refusal", lambda: "not yours to approve" in screen.told)
        await screen.press("d")
        assert (isinstance(screen.app.screen, Question), gateway.posted) == (False, [])
        await screen.press("down")
        await screen.sees("digest-2")
        assert screen.listed == [("rv-2", "pending")]


async def test_a_question_that_is_open_is_about_the_review_that_it_was_asked_for(inbox):
    gateway = Gateway(review(1), review(2))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        await screen.press("a")
        await screen.asked()
        gateway.move("rv-1", ReviewState.CANCELLED)
        gateway.refuses = "review rv-1 is cancelled already"
        await screen.press("enter")
        await screen.sees("the refusal", lambda: "cancelled already" in screen.told)
        assert gateway.posted == [("reviews/rv-1/approve", {"digest": "digest-1", "reason": ""})]


async def test_nothing_is_decided_before_it_is_shown(inbox):
    gateway = Gateway(review(1), review(2))
    async with inbox(gateway) as screen:
        await screen.sees("digest-1")
        gateway.answers.clear()
        await screen.press("down")
        await screen.sees("…", lambda: screen.detail == "…")
        await screen.press("a")
        await screen.sees("the refusal", lambda: "nothing is shown" in screen.told)
        await screen.press("d", "r")
        assert (isinstance(screen.app.screen, Question), gateway.posted) == (False, [])
        gateway.answers.set()
        await screen.sees("digest-2")


async def test_a_dry_run_counts_by_the_digest_that_is_shown(inbox):
    gateway = Gateway(review(1))
    async with inbox(gateway) as screen:
        await screen.sees("about 7 rows")
        await screen.press("r")
        await screen.sees("exactly 3 rows")
        assert gateway.posted == [("reviews/rv-1/dry-run", {"digest": "digest-1"})]


async def test_a_gateway_that_goes_is_told_of_and_heard_again(inbox):
    gateway = Gateway()

    async def broken(path, **parameters):
        raise ClientError(0, "unreachable", "the gateway does not answer")

    answers, gateway.get = gateway.get, broken
    async with inbox(gateway) as screen:
        await screen.sees("the trouble", lambda: "does not answer" in screen.told)
        gateway.get = answers
        gateway.open(review(1))
        await screen.sees("digest-1")
