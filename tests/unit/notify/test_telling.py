"""What channels are told, again and again if need be, and what is given up."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest

from countersign.audit_settings import WebhookPlace
from countersign.model import AuditEvent, Command, DecisionKind, Effect, ReviewState
from countersign.notify import ChannelProblem, DeadLetter, Notice
from countersign.notify.webhook import webhook_body
from countersign.notify_settings import ChannelSettings, WebhookChannel
from countersign.reviews.canaries import made_up
from countersign.reviews.records import moved
from countersign.settings import Secret
from countersign.store import StoredReviews

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECRET = "the-secret-of-the-hook"


@pytest.fixture
def hook(receiver, monkeypatch):
    monkeypatch.setenv("HOOK", SECRET)

    def hook(name="ops", events=("review.*",), shows=True, **more):
        place = WebhookPlace(f"{receiver.url}/in/path-secret", Secret("env", "HOOK"))
        return ChannelSettings(name, WebhookChannel(place, events), shows, **more)

    return hook


def told(receiver, since=0):
    return [json.loads(body)["type"] for _, _, body in receiver.requests[since:]]


async def test_every_move_is_told_in_order_signed_and_with_the_command_as_reviewers_see_it(scene, hook, receiver):
    await scene.configure(hook())
    review = await scene.open("DELETE FROM t -- \u202e evil", ["it's"])
    await scene.decide()
    await scene.deliver()
    assert told(receiver) == ["review.opened", "review.decision", "review.approved"]
    path, headers, body = receiver.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    message = json.loads(body)
    assert headers["webhook-id"] == message["id"]
    assert message["data"]["url"] == f"https://console.example/#/reviews/{review.id}"
    assert message["data"]["digest"] == scene.digest
    assert message["data"]["command"]["text"] == "DELETE FROM t -- ⟨U+202E RIGHT-TO-LEFT OVERRIDE⟩ evil"
    assert message["data"]["command"]["parameters"] == ["$1 = it's"]
    assert "invisible" in message["data"]["command"]["warnings"][0]


async def test_a_channel_may_be_told_the_link_only_and_some_moves_only(scene, hook, receiver):
    await scene.configure(hook(events=("review.denied",), shows=False))
    await scene.open()
    await scene.decide(DecisionKind.DENY)
    await scene.deliver()
    assert told(receiver) == ["review.denied"]
    assert b"DELETE" not in receiver.requests[0][2]


async def test_a_new_channel_is_not_told_what_was_before(scene, hook, receiver):
    await scene.open()
    await scene.configure(hook())
    await scene.decide()
    await scene.deliver()
    assert told(receiver) == ["review.decision", "review.approved"]


async def test_a_channel_that_is_down_is_told_later_the_same_and_holds_up_nothing(scene, hook, receiver):
    await scene.configure(hook(), hook("other"))
    receiver.answer = lambda path, headers, body: ((503 if headers["webhook-id"].startswith("ops/") else 200), b"")
    await scene.open()
    await scene.deliver()
    first = receiver.requests[0]
    assert told(receiver) == ["review.opened", "review.opened"]  # the other one has its own
    assert (await scene.decide()).state is ReviewState.APPROVED  # nobody waits for the channel
    scene.restart()
    receiver.answer, since = 200, len(receiver.requests)
    await scene.configure(hook(), hook("other"))
    assert told(receiver, since) == ["review.opened", "review.decision", "review.approved"] + ["review.decision", "review.approved"]
    again = receiver.requests[since]
    assert again[2] == first[2]
    assert again[1]["webhook-id"] == first[1]["webhook-id"]
    since = len(receiver.requests)
    await scene.deliver()
    assert told(receiver, since) == []


@pytest.mark.parametrize(("answer", "later"), [(400, {}), (503, {"hours": 1})])
async def test_what_is_refused_or_too_long_not_taken_is_a_dead_letter_and_what_follows_is_told(
    scene, hook, receiver, answer, later
):
    await scene.configure(hook())
    review = await scene.open()
    scene.later(**later)
    receiver.answer = answer
    await scene.deliver()
    (letter,) = await scene.asked.dead()
    assert (letter.channel, letter.event, letter.review_id) == ("ops", "review.opened", review.id)
    assert letter.error == f"{receiver.url}: it answers {answer}"  # and not its path, which may be a secret
    assert (await scene.kinds())[-1] == "channel.gave_up"
    receiver.answer, since = 200, len(receiver.requests)
    await scene.reviews.cancel(review.id, "the client left")
    await scene.deliver()
    assert told(receiver, since) == ["review.cancelled"]
    taken, left = await scene.asked.retry("ops")
    assert (taken, left, await scene.asked.dead()) == (1, [], [])
    assert told(receiver, since) == ["review.cancelled", "review.opened"]


async def test_a_dead_letter_that_is_refused_again_stays(scene, hook, receiver):
    await scene.configure(hook())
    await scene.open()
    receiver.answer = 410
    await scene.deliver()
    (letter,) = await scene.asked.dead()
    taken, (left,) = await scene.asked.retry("ops", letter.seq)
    assert (taken, left.error) == (0, f"{receiver.url}: it answers 410")
    assert await scene.asked.dead() == [letter]
    with pytest.raises(ChannelProblem, match="no dead letter 1$"):
        await scene.asked.retry("ops", 1)
    with pytest.raises(ChannelProblem, match="no channel 'nobody'"):
        await scene.asked.retry("nobody")


async def test_a_secret_that_has_gone_is_told_without_its_name_and_tried_again(scene, hook, receiver, monkeypatch):
    await scene.configure(hook())
    monkeypatch.delenv("HOOK")
    await scene.open()
    await scene.deliver()
    status = await scene.tellings[0].delivery.status()
    assert (status.state, "cannot be read" in status.last_error, receiver.requests) == ("failing", True, [])
    monkeypatch.setenv("HOOK", SECRET)
    await scene.deliver()
    assert told(receiver) == ["review.opened"]


async def test_what_waits_too_long_is_told_again_once_after_a_restart_too(scene, hook, receiver):
    settings = hook(remind_after=timedelta(minutes=10))
    telling = await scene.configure(settings)
    review = await scene.open()
    await scene.deliver()
    since = len(receiver.requests)
    scene.later(minutes=9)
    await telling.reminders.remind()
    assert told(receiver, since) == []
    scene.later(minutes=1)
    receiver.answer = 503
    with pytest.raises(Exception, match="503"):
        await telling.reminders.remind()
    scene.restart()
    receiver.answer, since = 200, len(receiver.requests)
    telling = await scene.configure(settings)
    await telling.reminders.remind()
    await telling.reminders.remind()
    assert told(receiver, since) == ["review.reminder"]
    assert json.loads(receiver.requests[-1][2])["data"]["review_id"] == review.id


async def test_what_is_decided_is_no_reason_for_a_reminder(scene, hook, receiver):
    telling = await scene.configure(hook(remind_after=timedelta(minutes=10)))
    await scene.open()
    await scene.decide()
    await scene.deliver()
    since = len(receiver.requests)
    scene.later(hours=1)
    await telling.reminders.remind()
    assert told(receiver, since) == []


async def test_no_channel_is_told_of_what_is_made_up(scene, hook, receiver):
    telling = await scene.configure(hook(remind_after=timedelta(minutes=10)))
    await scene.open()
    await scene.deliver()
    since = len(receiver.requests)
    canary = made_up(scene.held.review, Command("postgres", b"", "DROP TABLE t", frozenset({Effect.DDL})), scene.new_id, scene.now)
    await StoredReviews(scene.database).insert(canary, [moved(canary, "review.canary_opened"), moved(canary, "review.opened")])
    await scene.deliver()
    scene.later(minutes=10)
    await telling.reminders.remind()
    await telling.reminders.remind()
    told_of = {json.loads(body)["data"]["review_id"] for _, _, body in receiver.requests[since:]}
    assert told_of == {scene.held.review.id}


async def test_a_reminder_that_is_refused_keeps_back_no_other(scene, hook, receiver):
    telling = await scene.configure(hook(remind_after=timedelta(minutes=10)))
    first = (await scene.open()).id
    second = (await scene.open()).id
    await scene.deliver()
    scene.later(minutes=10)
    receiver.answer = lambda path, headers, body: (400 if f"/{first}/" in headers["webhook-id"] else 200, b"")
    since = len(receiver.requests)
    await telling.reminders.remind()
    await telling.reminders.remind()
    assert [json.loads(body)["data"]["review_id"] for _, _, body in receiver.requests[since:]] == [first, second]


async def test_a_long_log_of_other_things_is_passed_over_and_what_follows_is_told(scene, hook, receiver, monkeypatch):
    monkeypatch.setattr("countersign.notify.feed.READ_AHEAD", 40)
    await scene.configure(hook())
    reviews = []
    for number in range(4):
        reviews.append((await scene.open(f"DELETE FROM t{number}")).id)
        for _ in range(30):
            await scene.log.append(AuditEvent("thing", {"text": '{"kind":"review.opened"}'}))
    await scene.deliver()
    assert [json.loads(body)["data"]["review_id"] for _, _, body in receiver.requests] == reviews


async def test_a_denial_that_proposes_something_shows_it_only_with_the_command(scene):
    record = {"review_id": "rv-1", "proposal": "DELETE FROM other_table"}
    review = await scene.open()
    shown, linked = (
        webhook_body(Notice("n", "review.decision", "", review, record, ""), shows_command=shows) for shows in (True, False)
    )
    assert (b"other_table" in shown, b"other_table" in linked) == (True, False)


async def test_what_channels_keep_is_kept_in_either_store(scene_in_either_store):
    store = scene_in_either_store.store
    letters = [DeadLetter("ops", seq, "review.opened", "rv-1", "no", START) for seq in (2, 1, 1)]
    for letter in letters:
        await store.bury(letter, AuditEvent("channel.gave_up", {}))
    assert [one.seq for one in await store.dead("ops")] == [1, 2]
    await store.unbury("ops", 1)
    assert await store.dead() == letters[:1]
    review = await scene_in_either_store.open()
    assert await store.handle("ops", review.id) == ""
    await store.keep_handle("ops", review.id, "C1 1.1")
    assert [one.id for one in await store.unreminded("ops", START, 10)] == [review.id]
    assert await store.unreminded("ops", START - timedelta(seconds=1), 10) == []
    await store.keep_reminded("ops", review.id)
    assert await store.unreminded("ops", START, 10) == []
    assert [one.id for one in await store.unreminded("other", START, 10)] == [review.id]
    assert await store.handle("ops", review.id) == "C1 1.1"
