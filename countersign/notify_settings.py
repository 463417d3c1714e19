"""The section ``notify`` of the configuration: who is told of reviews, and how."""

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from countersign.audit_settings import NAME, WebhookPlace, take_webhook
from countersign.settings import take_duration, take_one_of
from countersign.yaml_lines import Section

EVENT = re.compile(r"review\.([a-z_]+|\*)")
SHOWN = ("command", "link_only")
GIVE_UP_AFTER = timedelta(hours=1)
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A URL that is sent every move. ``events`` are kinds of records, ``review.*`` means all of them."""

    place: WebhookPlace
    events: tuple[str, ...] = ("review.*",)


Kind = WebhookChannel


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


def take_notify(section: Section, directory: Path, warnings: list[str]) -> tuple[ChannelSettings, ...]:
    """Every channel, with every problem in it."""
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
    if isinstance(kind, str) and kind:
        item.complain("type", f"unknown type of channel {kind!r}", f"one of {', '.join(TYPES)}")
    return None, SHOWN


TYPES = ("webhook",)


def _webhook(item: Section, directory: Path, warnings: list[str]) -> WebhookChannel | None:
    place = take_webhook(item, item.take("to", str, "", required=True), directory, warnings)
    if "secret" not in item.mapping:
        item.complain("", f"{item.where} needs 'secret', by which its receiver knows it", "secret: env:NAME")
    events = item.numbered_texts("events")
    for line, event in events:
        if not EVENT.fullmatch(event):
            item.complain_at(line, f"{event!r} is no kind of a review's records", "such as review.opened or review.*")
    chosen = tuple(event for _, event in events) or ("review.*",)
    return None if place is None else WebhookChannel(place, chosen)


def _duration(item: Section, key: str) -> timedelta | None:
    found = take_duration(item, key)
    if found is not None and not SHORTEST <= found <= LONGEST:
        item.complain(key, f"{key!r} is {item.mapping[key]!r}", "from 1s to 7d")
        return None
    return found
