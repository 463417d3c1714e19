"""The section ``notify`` of a configuration: what it may say, and how what is wrong in it is said."""

from datetime import timedelta

import pytest

from countersign.audit_settings import WebhookPlace
from countersign.config import ConfigError, load_config
from countersign.notify_settings import (
    ASKED,
    ChannelPerson,
    ChannelSettings,
    EmailChannel,
    SlackChannel,
    TeamsChannel,
    WebhookChannel,
)
from countersign.settings import Listen, Secret

TARGET = "targets: [{name: shop, type: postgres, listen: '127.0.0.1:6432', upstream: {host: localhost, user: app}}]\n"


@pytest.fixture
def channels(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "from-the-environment")

    def channels(text):
        (tmp_path / "countersign.yaml").write_text(TARGET + text)
        return load_config(tmp_path / "countersign.yaml").channels

    return channels


@pytest.fixture
def refused(channels):
    def refused(channel):
        with pytest.raises(ConfigError) as caught:
            channels(f"notify:\n  - {channel}\n")
        return "\n".join(f"{one.line} {one.message} [{one.hint}]" for one in caught.value.problems)

    return refused


def test_every_setting_and_what_is_left_out(channels):
    assert channels("") == ()
    secret = Secret("env", "HOOK_SECRET")
    assert channels("""
notify:
  - {name: ops, type: webhook, to: 'https://ops.example/in', secret: env:HOOK_SECRET}
  - {name: oncall, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:8421, workspace: T1, people: [{email: Ann@example.com, name: ann, groups: [dba]}]}
  - {name: socket, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, app_token: env:HOOK_SECRET}
  - {name: told, type: slack, channel: C024BE91L, token: env:HOOK_SECRET}
  - {name: team, type: teams, to: env:HOOK_SECRET, show: command}
  - {name: mail, type: email, from: gw@example.com, to: [dba@example.com], smtp: {host: mail.example.com, user: gw, password: env:HOOK_SECRET}}
  - {name: near, type: email, from: gw@example.com, to: [dba@example.com], events: [review.expired], smtp: {host: localhost, tls: none}}
  - {name: some, type: webhook, to: 'http://127.0.0.1:9/x', secret: env:HOOK_SECRET, show: link_only, remind_after: 10m, give_up_after: 2h, events: [review.opened]}
""") == (
        ChannelSettings("ops", WebhookChannel(WebhookPlace("https://ops.example/in", secret)), True),
        ChannelSettings(
            "oncall",
            SlackChannel(
                "C024BE91L",
                secret,
                "https://slack.com/api",
                "T1",
                secret,
                Listen("127.0.0.1", 8421),
                (ChannelPerson("ann@example.com", "ann", ("dba",)),),
            ),
            True,
        ),
        ChannelSettings("socket", SlackChannel("C024BE91L", secret, "https://slack.com/api", app_token=secret), True),
        ChannelSettings("told", SlackChannel("C024BE91L", secret, "https://slack.com/api"), True),
        ChannelSettings("team", TeamsChannel(secret, ASKED), True),
        ChannelSettings(
            "mail",
            EmailChannel("mail.example.com", 587, "starttls", "gw@example.com", ("dba@example.com",), ASKED, "gw", secret),
            False,
        ),
        ChannelSettings(
            "near", EmailChannel("localhost", 25, "none", "gw@example.com", ("dba@example.com",), ("review.expired",)), False
        ),
        ChannelSettings(
            "some",
            WebhookChannel(WebhookPlace("http://127.0.0.1:9/x", secret), ("review.opened",)),
            False,
            timedelta(minutes=10),
            timedelta(hours=2),
        ),
    )


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("{type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET}", "3 an item of 'notify' needs 'name'"),
        ("{name: A, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET}", "'A' is no name"),
        ("{name: a, type: pager}", "unknown type of channel 'pager'"),
        ("{name: a}", "channel 'a' needs 'type'"),
        ("{name: a, type: webhook, to: 'http://a.example/x', secret: env:HOOK_SECRET}", "'to' is no address of a webhook"),
        ("{name: a, type: webhook, to: 'https://a.example'}", "channel 'a' needs 'secret'"),
        ("{name: a, type: webhook, to: 'https://a.example', secret: hunter2}", "a secret does not stand in the configuration"),
        ("{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET, show: all}", "'show' is 'all'"),
        (
            "{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET, remind_after: soon}",
            "'remind_after' is 'soon'",
        ),
        ("{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET, give_up_after: 8d}", "from 1s to 7d"),
        ("{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET, events: [command]}", "'command' is no kind"),
        ("{name: a, type: slack, token: env:HOOK_SECRET}", "needs 'channel'"),
        ("{name: a, type: slack, channel: '#approvals', token: env:HOOK_SECRET}", "'#approvals' is no id of a channel"),
        ("{name: a, type: slack, channel: C024BE91L}", "needs 'token'"),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET}",
            "'listen' and 'signing_secret' go together",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 0.0.0.0:1}",
            "on loopback only",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:1, app_token: env:HOOK_SECRET}",
            "not by both",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:6432}",
            "something else listens on this address",
        ),
        ("{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, api: 'http://slack.example'}", "'api' is no address"),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, people: [{email: a@b.c, name: a}]}",
            "'people' decide nothing",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:1, people: [{email: ann, name: a}]}",
            "'ann' is no e-mail address",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:1, people: [{email: a@b.c, name: a}, {email: A@b.c, name: b}]}",
            "stands here twice",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:1, people: [{email: a@b.c, name: a}, {email: b@b.c, name: a}]}",
            "another person is named 'a'",
        ),
        (
            "{name: a, type: slack, channel: C024BE91L, token: env:HOOK_SECRET, signing_secret: env:HOOK_SECRET, listen: 127.0.0.1:1, people: [{email: a@b.c, name: a, groups: [DBA]}]}",
            "'DBA' is no name of a group",
        ),
        ("{name: a, type: teams}", "needs 'to'"),
        (
            "{name: a, type: teams, to: 'https://workflows.example/hunter2'}",
            "the address of a workflow, which is a secret, does not stand in the configuration",
        ),
        ("{name: a, type: email, from: gw@example.com, to: [a@b.c]}", "needs 'smtp'"),
        ("{name: a, type: email, to: [a@b.c], smtp: {host: localhost}}", "needs 'from'"),
        ("{name: a, type: email, from: gw@example.com, smtp: {host: localhost}}", "needs 'to'"),
        ("{name: a, type: email, from: gw@example.com, to: [nobody], smtp: {host: localhost}}", "'nobody' is no e-mail address"),
        ("{name: a, type: email, from: 'gw@example.com, x@y.z', to: [a@b.c], smtp: {host: localhost}}", "is no e-mail address"),
        ("{name: a, type: email, from: gw@example.com, to: [a@b.c], smtp: {host: mail.example.com, tls: none}}", "over TLS only"),
        (
            "{name: a, type: email, from: gw@example.com, to: [a@b.c], smtp: {host: mail.example.com, user: gw}}",
            "'user' and 'password' go together",
        ),
        (
            "{name: a, type: email, from: gw@example.com, to: [a@b.c], smtp: {host: mail.example.com, port: 70000}}",
            "70000 is no port",
        ),
        ("{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET, colour: red}", "unknown key 'colour'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(refused, channel, said):
    assert said in refused(channel)
    assert "hunter2" not in refused(channel)


def test_two_channels_of_a_name_are_refused(refused):
    one = "{name: a, type: webhook, to: 'https://a.example', secret: env:HOOK_SECRET}"
    assert "4 another channel is named 'a'" in refused(f"{one}\n  - {one}")


def test_links_lead_where_people_reach_the_console(tmp_path):
    (tmp_path / "countersign.yaml").write_text(TARGET + "console: {listen: 127.0.0.1:8420, url: 'https://cs.example/'}\n")
    assert load_config(tmp_path / "countersign.yaml").console_url == "https://cs.example"
    (tmp_path / "countersign.yaml").write_text(TARGET + "console: {listen: 127.0.0.1:8420, url: 'http://cs.example'}\n")
    with pytest.raises(ConfigError, match="no address of the console"):
        load_config(tmp_path / "countersign.yaml")


def test_the_people_of_a_channel_are_among_those_who_may_decide(tmp_path, monkeypatch):
    monkeypatch.setenv("SLACK", "a-token")
    (tmp_path / "policy.yaml").write_text(
        "rules: [{name: one, effects: [write], action: review, review: {steps: [{reviewers: {groups: [dba]}, approvals: 2}]}}]\n"
    )
    people = "people: [{account: ben, name: ben, groups: [dba]}]\npolicies: [policy.yaml]\n"
    channel = "notify: [{name: a, type: slack, channel: C024BE91L, token: env:SLACK, app_token: env:SLACK, people: [{email: a@b.c, name: %s, groups: [dba]}]}]\n"
    for name, is_enough in (("ann", True), ("ben", False)):
        (tmp_path / "countersign.yaml").write_text(TARGET + people + channel % name)
        warnings = [one for one in load_config(tmp_path / "countersign.yaml").warnings if "approvals" in one]
        assert (warnings == []) is is_enough
