"""Decisions over Socket Mode: the same as by requests, over a connection that comes back whatever breaks it."""

import asyncio
import json

import pytest
from slack_stand_in import APP_TOKEN, CHANNEL, TOKEN, Workspace

from countersign.api.hooks import Hooks
from countersign.identity import Failures, Keys
from countersign.model import ReviewState
from countersign.notify_settings import ChannelPerson, ChannelSettings, SlackChannel
from countersign.settings import Secret
from countersign.store import StoredKeys


@pytest.fixture
def workspace():
    running = Workspace()
    yield running
    running.close()
    assert running.problems == []


@pytest.fixture
async def connected(scene, workspace, monkeypatch):
    """A held command, its message in Slack, and the gateway's connection."""
    monkeypatch.setenv("SLACK_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_APP", APP_TOKEN)
    people = (ChannelPerson("ann@example.com", "ann", ("dba",)),)
    token, app_token = Secret("env", "SLACK_TOKEN"), Secret("env", "SLACK_APP")
    kind = SlackChannel(CHANNEL, token, workspace.api, people=people, app_token=app_token)
    await scene.configure(ChannelSettings("oncall", kind, True))
    keys = Keys(StoredKeys(scene.database), lambda: scene.now, scene.new_id)
    hooks = Hooks(scene.tellings, scene.reviews, scene.store, keys, Failures(scene.log, lambda: 0.0), lambda: scene.now)
    assert await hooks.start() == {}
    await scene.open()
    await scene.deliver()
    while workspace.sockets is None:
        await asyncio.sleep(0.01)
    yield await asyncio.to_thread(workspace.sockets.newest)
    await hooks.stop()


@pytest.fixture
def push(workspace):
    async def push(socket, payload, **more):
        return await asyncio.to_thread(workspace.sockets.push, socket, payload, **more)

    return push


async def state(scene):
    return (await scene.reviews.get(scene.held.review.id)).state


async def test_a_click_approves_and_is_receipted(scene, workspace, connected, push):
    (ts,) = workspace.messages
    assert set(await push(connected, workspace.press(ts, "Approve"))) == {"envelope_id"}
    assert scene.held.decided.result().state is ReviewState.APPROVED


async def test_a_dialog_answers_in_the_receipt(scene, workspace, connected, push):
    (ts,) = workspace.messages
    await push(connected, workspace.press(ts, "Deny…"))
    receipt = await push(connected, workspace.submit(" "))
    assert receipt["payload"]["response_action"] == "errors"
    assert set(await push(connected, workspace.submit("no"))) == {"envelope_id"}
    assert scene.held.decided.result().outcome == "no"


async def test_an_envelope_that_comes_again_is_receipted_and_counts_once(scene, workspace, connected, push):
    (ts,) = workspace.messages
    workspace.join("U0EVE", "eve@example.com")
    for _ in range(2):
        await push(connected, workspace.press(ts, "Approve", user="U0EVE"), envelope_id="e-same")
    assert len(workspace.whispers) == 1
    assert await state(scene) is ReviewState.PENDING


@pytest.mark.parametrize("how", ["refresh_requested", "warning", "closed"])
async def test_another_connection_is_opened(scene, workspace, connected, push, how):
    (ts,) = workspace.messages
    if how == "closed":
        await asyncio.to_thread(connected.close)
    else:
        connected.send(json.dumps({"type": "disconnect", "reason": how}))
    newer = await asyncio.to_thread(workspace.sockets.newest)
    await push(newer, workspace.press(ts, "Approve"))
    assert await state(scene) is ReviewState.APPROVED


async def test_nonsense_decides_nothing_and_breaks_nothing(scene, workspace, connected, push):
    (ts,) = workspace.messages
    for message in ("{", "[]", '{"type": "interactive"}', '{"envelope_id": 7, "type": "interactive", "payload": {}}'):
        connected.send(message)
    await push(connected, {"type": "block_actions"})
    await push(connected, {})
    assert await state(scene) is ReviewState.PENDING
    await push(connected, workspace.press(ts, "Approve"))
    assert await state(scene) is ReviewState.APPROVED


async def test_where_the_api_fails_it_is_tried_again(scene, workspace, connected, push):
    (ts,) = workspace.messages
    workspace.fails, opened = "internal_error", workspace.calls.count("apps.connections.open")
    await asyncio.to_thread(connected.close)
    while workspace.calls.count("apps.connections.open") == opened:
        await asyncio.sleep(0.01)
    workspace.fails = None
    newer = await asyncio.to_thread(workspace.sockets.newest)
    await push(newer, workspace.press(ts, "Approve"))
    assert await state(scene) is ReviewState.APPROVED
