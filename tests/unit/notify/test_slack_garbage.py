"""Whatever Slack, or who has its secret, may send: nothing is raised and nothing decided that no person asked for."""

import asyncio
import json
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from countersign.audit.sinks import SinkError
from countersign.notify.slack_inbox import SlackInbox
from countersign.notify.slack_requests import Requests, payload_of
from countersign.reviews.errors import ReviewNotFound

WORDS = st.sampled_from(
    "type user id container channel_id message_ts actions action_id value view callback_id private_metadata state values reason "
    "block_actions view_submission countersign_approve countersign_deny countersign_denial trigger_id rv-1 U1 C1".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)


class Nobody:
    """A workspace without members, and a gateway without reviews."""

    name, shows_command, kind = "oncall", True, SimpleNamespace(workspace="T1", people=())

    def __init__(self):
        self.api = self

    async def call(self, *_):
        raise SinkError("down")

    ask = call

    async def get(self, _):
        raise ReviewNotFound("none")

    async def handle(self, *_):
        return "C1 1.1"

    async def decide(self, *_):
        raise AssertionError("decided")

    async def refused(self, *_):
        raise AssertionError("known")


@given(JSON, st.sampled_from(["block_actions", "view_submission", ""]))
def test_no_interaction_is_too_odd_to_be_answered(found, kind):
    nobody = Nobody()
    inbox = SlackInbox(nobody, nobody, nobody, nobody.refused, nobody.refused)
    payload = (found if isinstance(found, dict) else {"actions": found}) | ({"type": kind} if kind else {})
    answer = asyncio.run(inbox.take(payload))
    assert answer is None or answer["response_action"] == "errors"


@given(st.binary(max_size=60) | JSON.map(lambda value: b"payload=" + json.dumps(value).encode()))
def test_a_body_holds_an_interaction_or_nothing(body):
    assert payload_of(body) is None or isinstance(payload_of(body), dict)


@given(st.text(max_size=14), st.text(max_size=70), st.binary(max_size=20))
def test_no_header_is_too_odd_to_be_refused(timestamp, signature, body):
    from datetime import UTC, datetime

    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert Requests(now).refusal("secret", timestamp, signature, body, now)
