"""Cards in Microsoft Teams: only what an Adaptive Card 1.4 has, and nothing that an agent could write becomes markup."""

import json

import pytest

from countersign.model import DecisionKind
from countersign.notify_settings import ASKED, ChannelSettings, TeamsChannel
from countersign.settings import Secret

STYLES = {"size": {"Medium"}, "weight": {"Bolder"}, "fontType": {"Monospace"}, "color": {"Warning"}}


@pytest.fixture
def teams(receiver, monkeypatch):
    monkeypatch.setenv("TEAMS", f"{receiver.url}/workflows/secret-of-the-workflow?sig=abc")
    receiver.answer = 202

    def teams(shows=False, events=ASKED):
        return ChannelSettings("team", TeamsChannel(Secret("env", "TEAMS"), events), shows)

    return teams


def cards(receiver):
    found = []
    for _, headers, body in receiver.requests:
        assert headers["content-type"] == "application/json"
        assert len(body) <= 28 * 1024
        message = json.loads(body)
        assert set(message) == {"type", "attachments"} and message["type"] == "message"
        (attachment,) = message["attachments"]
        assert set(attachment) == {"contentType", "contentUrl", "content"}
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        card = attachment["content"]
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        (action,) = card["actions"]
        assert (set(action), action["type"]) == ({"type", "title", "url"}, "Action.OpenUrl")
        for block in card["body"]:
            assert (set(block), block["type"]) == ({"type", "inlines"}, "RichTextBlock")
            for run in block["inlines"]:
                assert run["type"] == "TextRun" and run["text"]
                assert all(value in STYLES[name] for name, value in run.items() if name not in ("type", "text"))
        found.append(card)
    return found


def text(card):
    return "\n".join(run["text"] for block in card["body"] for run in block["inlines"])


async def test_a_card_says_who_asks_and_leads_to_the_console(scene, teams, receiver):
    await scene.configure(teams())
    review = await scene.open("DELETE FROM secret_table")
    await scene.decide()
    await scene.deliver()
    (card,) = cards(receiver)
    assert "crew for alice" in text(card)
    assert "secret_table" not in text(card)
    assert card["actions"][0]["url"] == f"https://console.example/#/reviews/{review.id}"


async def test_a_command_is_shown_as_it_is_or_cut_with_a_mark(scene, teams, receiver):
    await scene.configure(teams(shows=True, events=("review.opened", "review.denied")))
    await scene.open("DELETE FROM t -- [approve](https://evil.example) \u202e" + "é€😀" * 5000)
    await scene.decide(DecisionKind.DENY)
    await scene.deliver()
    opened, denied = cards(receiver)
    assert "[approve](https://evil.example) ⟨U+202E" in text(opened)  # a run of text knows no Markdown
    assert "cut here" in text(opened) and "Warning: the command" in text(opened)
    assert text(denied).startswith("Denied: crew for alice on shop")


@pytest.mark.parametrize("address", ["http://workflows.example/secret-1", "nonsense-secret-1", ""])
async def test_an_address_that_is_none_is_not_quoted(scene, teams, receiver, monkeypatch, address):
    await scene.configure(teams())
    monkeypatch.setenv("TEAMS", address)
    await scene.open()
    await scene.deliver()
    status = await scene.tellings[0].delivery.status()
    assert (status.state, receiver.requests) == ("failing", [])
    assert "secret" not in status.last_error
