"""Reviews in a channel of Slack: messages that follow them, and decisions by buttons and dialogs, against a stand-in of Slack."""

from datetime import timedelta

import httpx
import pytest
from slack_stand_in import CHANNEL, SIGNING_SECRET, TOKEN, Workspace, signed

from countersign.api.hooks import Hooks, SlackHook, create_slack_hook
from countersign.identity import Failures, Keys
from countersign.model import DecisionKind, Identity, IdentityKind, ReviewState
from countersign.model.blast import BlastRadius, StatementReach, Touched
from countersign.notify_settings import ChannelPerson, ChannelSettings, SlackChannel
from countersign.settings import Listen, Secret
from countersign.store import StoredKeys

BEN = Identity("ben", IdentityKind.USER, ("dba",), authentication="test")


@pytest.fixture
def workspace():
    running = Workspace()
    yield running
    running.close()
    assert running.problems == []


@pytest.fixture
def slack(scene, workspace, monkeypatch):
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_SECRET", SIGNING_SECRET)
    people = (ChannelPerson("ann@example.com", "ann", ("dba",)), ChannelPerson("crew@example.com", "crew", ("dba",)))

    def slack(shows=True, listens=True, **more):
        secret, listen = (Secret("env", "SLACK_SECRET"), Listen("127.0.0.1", 0)) if listens else (None, None)
        kind = SlackChannel(CHANNEL, Secret("env", "SLACK_TOKEN"), workspace.api, "", secret, listen, people)
        return ChannelSettings("oncall", kind, shows, **more)

    return slack


@pytest.fixture
def click(scene):
    """Sends a payload to the gateway as Slack would, signed at the scene's time."""
    state = {}

    async def click(payload, **more):
        if state.get("of") is not scene.database:
            keys = Keys(StoredKeys(scene.database), lambda: scene.now, scene.new_id)
            failures = Failures(scene.log, lambda: 0.0)
            hooks = Hooks(scene.tellings, scene.reviews, scene.store, keys, failures, lambda: scene.now)
            slack = scene.tellings[0].channel
            hook = SlackHook("oncall", Secret("env", "SLACK_SECRET"), hooks.inbox(slack).take)
            state["app"], state["of"] = create_slack_hook(hook, failures, lambda: scene.now), scene.database
        body, headers = payload if isinstance(payload, tuple) else signed(payload, **({"at": scene.now.timestamp()} | more))
        transport = httpx.ASGITransport(app=state["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://public.example") as http:
            return await http.post("/slack", content=body, headers=headers)

    return click


async def refusals(scene):
    return [record.body for record in scene.log.records() if record.kind == "authentication.failed"]


async def state(scene):
    return (await scene.reviews.get(scene.held.review.id)).state


async def test_one_message_follows_its_review_and_a_click_approves_what_it_shows(scene, slack, workspace, click):
    await scene.configure(slack())
    review = await scene.open("UPDATE t SET a = $1 -- `x` *y* <!channel> <https://evil|here>", ["7"])
    await scene.deliver()
    (ts,) = workspace.messages
    assert set(workspace.buttons(ts)) == {"Approve", "Deny…", "Open in the console"}
    assert "<!channel> <https://evil|here>" in workspace.reads(ts)  # in a text that Slack shows as it is, see Checks
    assert workspace.buttons(ts)["Open in the console"]["url"].endswith(f"/#/reviews/{review.id}")
    answer = await click(workspace.press(ts, "Approve"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert scene.held.decided.result().state is ReviewState.APPROVED
    decision = (await scene.reviews.get(review.id)).decisions[0]
    assert (decision.reviewer, decision.authentication, decision.digest) == ("ann", "slack", scene.digest)
    await scene.deliver()
    assert list(workspace.messages) == [ts]
    assert set(workspace.buttons(ts)) == {"Open in the console"}
    assert "ann approved (slack)" in workspace.reads(ts)


async def test_a_denial_asks_for_its_reason_which_the_agent_reads(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    await click(workspace.press(ts, "Deny…"))
    assert await state(scene) is ReviewState.PENDING
    answer = await click(workspace.submit("  "))
    assert "a denial needs a reason" in answer.json()["errors"]["reason"]
    answer = await click(workspace.submit("drop it on Sunday"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert scene.held.decided.result().outcome == "drop it on Sunday"
    await scene.deliver()
    assert "ann denied (slack): drop it on Sunday" in workspace.reads(ts)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("DELETE FROM t WHERE a IN (" + "1, " * 700 + "1)", []),
        ("DELETE FROM t WHERE a = $1", ["x" * 2000]),
        ("DELETE FROM t -- \u202etxet", []),
        ("DELETE FROM t\n" + "-- x\n" * 50, []),
        ("DELETE FROM t -- approved by dba", []),
    ],
)
async def test_i10_what_is_not_whole_or_may_mislead_is_not_approved_from_a_message(
    scene, slack, workspace, click, text, parameters
):
    await scene.configure(slack())
    review = await scene.open(text, parameters)
    await scene.deliver()
    (ts,) = workspace.messages
    assert set(workspace.buttons(ts)) == {"Deny…", "Open in the console"}
    assert "Approve it in the console, not here" in workspace.reads(ts)
    forged = workspace.press(ts, "Deny…")
    forged["actions"][0] |= {"action_id": "countersign_approve", "value": f"{review.id} {scene.digest}"}
    await click(forged)
    assert await state(scene) is ReviewState.PENDING
    assert "approve it in the console" in workspace.whispers[-1][1]


async def test_what_is_only_linked_is_not_approved_from_a_message(scene, slack, workspace):
    await scene.configure(slack(shows=False))
    await scene.open("DELETE FROM secret_table")
    await scene.deliver()
    (ts,) = workspace.messages
    assert set(workspace.buttons(ts)) == {"Deny…", "Open in the console"}
    assert "secret_table" not in workspace.reads(ts)


async def test_a_channel_that_takes_no_decisions_has_links_only(scene, slack, workspace):
    await scene.configure(slack(listens=False))
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    assert set(workspace.buttons(ts)) == {"Open in the console"}


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ({"email": "eve@example.com"}, "does not know your e-mail"),
        ({"email": "ann@example.com", "is_email_confirmed": False}, "has not verified"),
        ({"email": "ann@example.com", "is_email_confirmed": None}, "has not verified"),
        ({"email": "ann@example.com", "team_id": "T0THEIRS"}, "own workspace"),
        ({"email": "ann@example.com", "is_stranger": True}, "own workspace"),
        ({"email": "ann@example.com", "is_restricted": True}, "own workspace"),
        ({"email": "ann@example.com", "is_bot": True}, "only people"),
        ({"email": "ann@example.com", "deleted": True}, "only people"),
        ({"email": ""}, "does not know your e-mail"),
    ],
)
async def test_who_is_not_known_decides_nothing_and_is_on_record(scene, slack, workspace, click, user, why):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    workspace.join("U0EVE", **user)
    for word in ("Approve", "Deny…"):
        await click(workspace.press(ts, word, user="U0EVE"))
        assert why in workspace.whispers[-1][1]
    assert (await state(scene), workspace.views) == (ReviewState.PENDING, [])
    found = await refusals(scene)
    assert [(one["name"], one["method"], one["code"]) for one in found] == [("U0EVE", "slack", "no_account")] * 2


async def test_i7_the_e_mail_of_an_agent_or_of_who_asked_decides_nothing(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    workspace.join("U0CREW", "CREW@example.com")
    await click(workspace.press(ts, "Approve", user="U0CREW"))
    assert "no reviewer" in workspace.whispers[-1][1]
    keys = Keys(StoredKeys(scene.database), lambda: scene.now, scene.new_id)
    await keys.create("crew", ["agents"], days=1, by=BEN)
    await click(workspace.press(ts, "Approve", user="U0CREW"))
    assert "only people" in workspace.whispers[-1][1]
    assert await state(scene) is ReviewState.PENDING


async def test_requests_that_are_not_slack_s_or_come_again_are_refused_and_on_record(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open(groups=("leads",))
    await scene.deliver()
    (ts,) = workspace.messages
    payload = workspace.press(ts, "Approve")
    now = scene.now.timestamp()
    body, headers = signed(payload, at=now)
    for refused in (
        signed(payload, secret="another", at=now),
        signed(payload, at=now - 301),
        signed(payload, at=now + 301),
        (body.replace(b"U0ANN", b"U0EVE"), headers),
        (body, headers | {"x-slack-signature": ""}),
        (body, headers | {"x-slack-request-timestamp": str(int(now) + 1)}),
        (body, {"content-type": headers["content-type"]}),
        (b"x" * (1 << 21), headers),
    ):
        assert (await click(refused)).status_code == 401
    assert (await click((body, headers))).status_code == 200
    assert "for other reviewers" in workspace.whispers[-1][1]
    told = len(workspace.whispers)
    assert (await click((body, headers))).status_code == 401
    assert len(workspace.whispers) == told
    assert {one["code"] for one in await refusals(scene)} == {"wrong_signature"}


async def test_what_was_sent_before_a_start_may_have_counted_then(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    before = signed(workspace.press(ts, "Approve"), at=scene.now.timestamp() - 1)
    assert (await click(before)).status_code == 401


async def test_a_message_that_is_not_the_one_on_record_decides_nothing(scene, slack, workspace, click):
    await scene.configure(slack())
    review = await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    old = workspace.press(ts, "Approve")
    old["container"]["message_ts"] = "1.1"
    await click(old)
    assert "not the one on record" in workspace.whispers[-1][1]
    stale = workspace.press(ts, "Approve")
    stale["actions"][0]["value"] = f"{review.id} {'0' * 64}"
    await click(stale)
    assert "digest" in workspace.whispers[-1][1]
    assert await state(scene) is ReviewState.PENDING


async def test_nonsense_that_slack_signs_decides_nothing(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    for payload in ({}, {"type": "block_actions"}, {"type": "view_submission", "view": {"callback_id": "countersign_denial"}}, []):
        assert (await click(payload)).status_code in (200, 401)
    assert await state(scene) is ReviewState.PENDING


async def test_where_slack_does_not_say_who_it_is_nothing_is_decided(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    await click(workspace.press(ts, "Deny…"))
    press, submit = workspace.press(ts, "Approve"), workspace.submit("no")
    workspace.fails = "internal_error"
    assert (await click(press)).status_code == 200
    assert "internal_error" in (await click(submit)).json()["errors"]["reason"]
    workspace.fails = None
    assert await state(scene) is ReviewState.PENDING


async def test_a_dialog_that_fails_inside_does_not_look_as_if_it_had_worked(scene, slack, workspace, click, monkeypatch):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    (ts,) = workspace.messages
    await click(workspace.press(ts, "Deny…"))

    async def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(scene.reviews, "decide", broken)
    assert "failed inside" in (await click(workspace.submit("no"))).json()["errors"]["reason"]
    await click(workspace.press(ts, "Approve"))
    assert "failed inside" in workspace.whispers[-1][1]


async def test_slack_that_is_down_is_told_later_as_it_is_by_then(scene, slack, workspace):
    await scene.configure(slack())
    workspace.fails = 503
    review = await scene.open()
    await scene.deliver()
    await scene.reviews.decide(review.id, BEN, DecisionKind.APPROVE, scene.digest, "")
    assert workspace.messages == {}
    scene.restart()
    workspace.fails = None
    await scene.configure(slack())
    (ts,) = workspace.messages
    assert set(workspace.buttons(ts)) == {"Open in the console"}
    assert "ben approved (test)" in workspace.reads(ts)


async def test_a_restart_goes_on_with_the_same_message(scene, slack, workspace, click):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    scene.restart()
    await scene.configure(slack())
    await scene.reviews.cancel(scene.held.review.id, "the client left")
    await scene.deliver()
    (ts,) = workspace.messages
    assert "the client left" in workspace.reads(ts)


@pytest.mark.parametrize(("fails", "is_dead"), [("invalid_blocks", True), ("channel_not_found", False), ("invalid_auth", False)])
async def test_what_somebody_may_put_right_is_tried_again(scene, slack, workspace, fails, is_dead):
    await scene.configure(slack())
    await scene.open()
    workspace.fails = fails
    await scene.deliver()
    assert bool(await scene.asked.dead()) is is_dead
    workspace.fails = None
    await scene.deliver()
    assert bool(workspace.messages) is not is_dead


async def test_a_message_that_was_removed_is_no_trouble(scene, slack, workspace):
    await scene.configure(slack())
    await scene.open()
    await scene.deliver()
    workspace.messages.clear()
    await scene.decide()
    await scene.deliver()
    assert await scene.asked.dead() == []
    assert (await scene.tellings[0].delivery.status()).state == "ok"


async def test_what_waits_is_said_again_in_the_thread(scene, slack, workspace):
    telling = await scene.configure(slack(remind_after=timedelta(minutes=5)))
    await scene.open()
    await scene.deliver()
    scene.later(minutes=5)
    await telling.reminders.remind()
    (reply,) = workspace.replies
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (next(iter(workspace.messages)), True)


async def test_no_secret_is_in_an_error(scene, slack, workspace):
    await scene.configure(slack())
    workspace.fails = "not_authed"
    await scene.open()
    await scene.deliver()
    status = await scene.tellings[0].delivery.status()
    assert status.last_error == "chat.postMessage: not_authed"
    assert status.place == f"Slack channel {CHANNEL}"


async def test_a_message_says_what_the_command_would_touch_while_it_is_held(scene, slack, workspace):
    class Surveyor:
        async def estimate(self):
            touched = (Touched("public.<t>", "Seq Scan", 7000),)
            return BlastRadius(tuple(StatementReach("DELETE", rows, touched) for rows in range(1234, 1241)), is_exact=False)

    await scene.configure(slack())
    await scene.open(surveyor=Surveyor())
    await scene.deliver()
    (ts,) = workspace.messages
    assert "Touches about 1,234 rows (DELETE); Seq Scan on public.<t>: 7,000" in workspace.reads(ts)
    assert "and 2 more statements" in workspace.reads(ts)
    await scene.decide()
    await scene.deliver()
    assert "Touches" not in workspace.reads(ts)


async def test_a_command_that_asks_for_real_values_says_so(scene, slack, workspace):
    await scene.configure(slack())
    await scene.open("SELECT ssn /* countersign: unmask */ FROM t", asks_unmasked=True)
    await scene.deliver()
    (ts,) = workspace.messages
    assert "Warning: the command asks for the real values of what is masked" in workspace.reads(ts)
