"""The section ``notify`` of the configuration: who is told of reviews, and how."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from countersign.audit_settings import NAME, WebhookPlace, is_web_url, take_webhook
from countersign.settings import (
    GROUP,
    Listen,
    Secret,
    is_loopback,
    take_duration,
    take_file,
    take_listen,
    take_one_of,
    take_secret,
)
from countersign.yaml_lines import Section

EVENT = re.compile(r"review\.([a-z_]+|\*)")
EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
SLACK_CHANNEL = re.compile(r"[CDG][A-Z0-9]{2,30}")
SLACK_API = "https://slack.com/api"
SHOWN = ("command", "link_only")
ASKED = ("review.opened", "review.escalated", "review.overdue")
"""What asks somebody to do something."""
TLS_PORTS = {"starttls": 587, "tls": 465, "none": 25}
GIVE_UP_AFTER = timedelta(hours=1)
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A URL that is sent every move. ``events`` are kinds of records, ``review.*`` means all of them."""

    place: WebhookPlace
    events: tuple[str, ...] = ("review.*",)


@dataclass(frozen=True, slots=True)
class ChannelPerson:
    """Who a person of a chat is here, by the e-mail address that the chat has verified. ``email`` is in lower case."""

    email: str
    name: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlackChannel:
    """A channel of a Slack workspace. Decisions come in by signed requests to ``listen``, or by a connection that ``app_token`` opens (Socket
    Mode); without either, messages have links only."""

    channel: str
    token: Secret
    api: str
    workspace: str = ""
    """The id of the team whose members may decide; empty: the one of the token."""
    signing_secret: Secret | None = None
    listen: Listen | None = None
    people: tuple[ChannelPerson, ...] = ()
    app_token: Secret | None = None

    @property
    def takes_decisions(self) -> bool:
        """Whether its messages have buttons."""
        return self.listen is not None or self.app_token is not None


@dataclass(frozen=True, slots=True)
class TeamsChannel:
    """A workflow of Microsoft Teams that posts what it is sent. Its whole address is a secret."""

    to: Secret
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """Recipients of e-mail, and the server that takes it. ``tls``: ``starttls``, ``tls`` from the first byte, or ``none``."""

    host: str
    port: int
    tls: str
    sender: str
    to: tuple[str, ...]
    events: tuple[str, ...]
    user: str = ""
    password: Secret | None = None
    ca_file: Path | None = None


Kind = WebhookChannel | SlackChannel | TeamsChannel | EmailChannel


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One channel. ``shows_command``: whether it is told the held command, or only where to look at it.

    What is not delivered within ``give_up_after`` of its happening becomes a dead letter; a review that is pending for longer than
    ``remind_after`` is told again, once (None: never).
    """

    name: str
    kind: Kind
    shows_command: bool
    remind_after: timedelta | None = None
    give_up_after: timedelta = GIVE_UP_AFTER


def take_notify(
    section: Section, directory: Path, warnings: list[str], taken: Iterable[Listen] = ()
) -> tuple[ChannelSettings, ...]:
    """Every channel, with every problem in it. On the addresses that are ``taken``, something else listens."""
    taken = list(taken)
    found: list[ChannelSettings] = []
    names: set[str] = set()
    for item in section.sections("notify"):
        before = len(item.problems)
        name = _name(item, names)
        kind, shown = _kind(item, directory, warnings)
        shows = take_one_of(item, "show", shown)
        remind_after = _duration(item, "remind_after")
        give_up_after = _duration(item, "give_up_after") or GIVE_UP_AFTER
        item.finish()
        listen = kind.listen if isinstance(kind, SlackChannel) else None
        if listen is not None and listen.port:
            if listen in taken:
                item.complain("listen", "something else listens on this address")
            taken.append(listen)
        if kind is not None and len(item.problems) == before:
            found.append(ChannelSettings(name, kind, shows == "command", remind_after, give_up_after))
    return tuple(found)


def _name(item: Section, names: set[str]) -> str:
    name: str = item.take("name", str, "", required=True)
    item.where = f"channel {name!r}"
    if name and not NAME.fullmatch(name):
        item.complain("name", f"{name!r} is no name", "lower-case letters, digits, '_' and '-'")
    if name in names:
        item.complain("name", f"another channel is named {name!r}")
    names.add(name)
    return name


def _kind(item: Section, directory: Path, warnings: list[str]) -> tuple[Kind | None, tuple[str, ...]]:
    """What the channel is, and what it may show, its default first."""
    item.take("type", str, "", required=True)
    kind = item.mapping.get("type")
    if kind == "webhook":
        return _webhook(item, directory, warnings), SHOWN
    if kind == "slack":
        return _slack(item, directory, warnings), SHOWN
    if kind == "teams":
        return _teams(item, directory, warnings), SHOWN[::-1]
    if kind == "email":
        return _email(item, directory, warnings), SHOWN[::-1]
    if isinstance(kind, str) and kind:
        item.complain("type", f"unknown type of channel {kind!r}", f"one of {', '.join(TYPES)}")
    return None, SHOWN


TYPES = ("webhook", "slack", "teams", "email")


def _webhook(item: Section, directory: Path, warnings: list[str]) -> WebhookChannel | None:
    place = take_webhook(item, item.take("to", str, "", required=True), directory, warnings)
    if "secret" not in item.mapping:
        item.complain("", f"{item.where} needs 'secret', by which its receiver knows it", "secret: env:NAME")
    events = _events(item, ("review.*",))
    return None if place is None else WebhookChannel(place, events)


def _events(item: Section, default: tuple[str, ...]) -> tuple[str, ...]:
    events = item.numbered_texts("events")
    for line, event in events:
        if not EVENT.fullmatch(event):
            item.complain_at(line, f"{event!r} is no kind of a review's records", "such as review.opened or review.*")
    return tuple(event for _, event in events) or default


def _teams(item: Section, directory: Path, warnings: list[str]) -> TeamsChannel | None:
    to = take_secret(item, "to", directory, warnings, "the address of a workflow, which is a secret,")
    if "to" not in item.mapping:
        item.complain("", f"{item.where} needs 'to'", "to: env:NAME, the workflow's address")
    events = _events(item, ASKED)
    return None if to is None else TeamsChannel(to, events)


def _email(item: Section, directory: Path, warnings: list[str]) -> EmailChannel | None:
    sender: str = item.take("from", str, "", required=True)
    if sender and not EMAIL.fullmatch(sender):
        item.complain("from", f"{sender!r} is no e-mail address")
    to = item.numbered_texts("to")
    if "to" not in item.mapping:
        item.complain("", f"{item.where} needs 'to'", "to: [dba@example.com]")
    for line, address in to:
        if not EMAIL.fullmatch(address):
            item.complain_at(line, f"{address!r} is no e-mail address")
    events = _events(item, ASKED)
    smtp = item.section("smtp")
    if smtp is None:
        item.complain("", f"{item.where} needs 'smtp'", "smtp: {host: mail.example.com, user: …, password: env:NAME}")
        return None
    host: str = smtp.take("host", str, "", required=True)
    tls = take_one_of(smtp, "tls", tuple(TLS_PORTS))
    if tls == "none" and not is_loopback(host):
        smtp.complain("tls", "e-mail leaves this machine over TLS only", "tls: starttls, or tls")
    port: int = smtp.take("port", int, TLS_PORTS.get(tls, 0))
    if not 0 < port < 65536:
        smtp.complain("port", f"{port} is no port")
    user: str = smtp.take("user", str, "")
    password = take_secret(smtp, "password", directory, warnings, "a password")
    if ("user" in smtp.mapping) != ("password" in smtp.mapping):
        smtp.complain("user", "'user' and 'password' go together")
    ca_file = take_file(smtp, "ca_file", directory)
    smtp.finish()
    return EmailChannel(host, port, tls, sender, tuple(one for _, one in to), events, user, password, ca_file)


def _slack(item: Section, directory: Path, warnings: list[str]) -> SlackChannel | None:
    channel: str = item.take("channel", str, "", required=True)
    if channel and not SLACK_CHANNEL.fullmatch(channel):
        item.complain(
            "channel", f"{channel!r} is no id of a channel", "as Slack shows it below a channel's details, such as C024BE91L"
        )
    token = take_secret(item, "token", directory, warnings, "a token")
    if "token" not in item.mapping:
        item.complain("", f"{item.where} needs 'token'", "token: env:NAME, of the app's bot (xoxb-…)")
    api: str = item.take("api", str, SLACK_API)
    if not is_web_url(api):
        item.complain("api", "'api' is no address of Slack's API", SLACK_API)
    signing_secret = take_secret(item, "signing_secret", directory, warnings)
    listen = take_listen(item, "listen") if "listen" in item.mapping else item.take("listen", str, None)
    if ("signing_secret" in item.mapping) != ("listen" in item.mapping):
        item.complain(
            "listen", "'listen' and 'signing_secret' go together", "listen: 127.0.0.1:8421, where Slack's requests are passed on to"
        )
    if listen is not None and not listen.is_loopback:
        item.complain("listen", "Slack's requests are taken on loopback only, as this has no TLS of its own", "127.0.0.1:8421")
    app_token = take_secret(item, "app_token", directory, warnings, "a token")
    if "app_token" in item.mapping and "listen" in item.mapping:
        item.complain("app_token", "decisions come in by 'listen' or by 'app_token', not by both")
    workspace: str = item.take("workspace", str, "")
    people = _people(item)
    if people and not {"listen", "app_token"} & item.mapping.keys():
        item.complain("people", "'people' decide nothing where there is neither 'listen' nor 'app_token'")
    return (
        None
        if token is None
        else SlackChannel(channel, token, api.rstrip("/"), workspace, signing_secret, listen, people, app_token)
    )


def _people(item: Section) -> tuple[ChannelPerson, ...]:
    found: list[ChannelPerson] = []
    for one in item.sections("people"):
        email: str = one.take("email", str, "", required=True)
        one.where = f"person {email!r}"
        if email and not EMAIL.fullmatch(email):
            one.complain("email", f"{email!r} is no e-mail address")
        name: str = one.take("name", str, "", required=True)
        groups = one.texts("groups")
        for group in groups:
            if not GROUP.fullmatch(group):
                one.complain("groups", f"{group!r} is no name of a group", "lower-case letters, digits, '.', '_' and '-'")
        if any(email.lower() == known.email for known in found):
            one.complain("email", f"{email!r} stands here twice: a person counts once")
        if any(name == known.name for known in found):
            one.complain("name", f"another person is named {name!r}")
        one.finish()
        found.append(ChannelPerson(email.lower(), name, groups))
    return tuple(found)


def _duration(item: Section, key: str) -> timedelta | None:
    found = take_duration(item, key)
    if found is not None and not SHORTEST <= found <= LONGEST:
        item.complain(key, f"{key!r} is {item.mapping[key]!r}", "from 1s to 7d")
        return None
    return found
