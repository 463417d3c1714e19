"""What one may look for in the log. Pure.

Records are lines of JSON in one form, so most of a log is passed over without reading it: ``may_hold`` looks at many lines at once for
what every hit must contain.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from countersign.model import AuditRecord

PEOPLE = ("identity", "on_behalf_of", "reviewer", "by")
"""The keys of a body that name who acted, for whom, or who decided."""
IDS = ("command_id", "session_id", "review_id", "key_id", "digest")
BECOME_ASCII = ("\u212a".encode(), "\u0130".encode())
"""Letters beyond ASCII whose lower case holds a letter of ASCII; there are no others."""


@dataclass(frozen=True, slots=True)
class Query:
    """A record is a hit where all that is given is true of it; what is empty is not asked.

    ``since`` and ``until`` are the beginning of an RFC 3339 time in UTC, such as ``2026-11-24T09``. ``table`` may leave out its schema.
    ``text`` is found in a command's text in any case of its letters. ``about`` is an id of a command, session, review or key, or a command's digest.
    """

    kind: str = ""
    identity: str = ""
    target: str = ""
    rule: str = ""
    effect: str = ""
    table: str = ""
    text: str = ""
    about: str = ""
    since: str = ""
    until: str = ""

    def may_hold(self, lines: bytes) -> bool:
        """False where no line among these can be a hit."""
        exact = (self.kind, self.identity, self.target, self.rule, self.effect, self.about)
        if any(word and orjson.dumps(word) not in lines for word in exact):
            return False
        if self.table and orjson.dumps(self.table)[1:] not in lines:
            return False
        if not (self.text.isascii() and self.text) or orjson.dumps(self.text.lower())[1:-1] in lines.lower():
            return True
        return any(letter in lines for letter in BECOME_ASCII)

    @property
    def behind(self) -> str:
        """What sorts behind all times that ``until`` lets by."""
        return self.until + "~"

    def is_of_time(self, first: str, last: str) -> bool:
        """False where nothing from the first to the last of these times is asked for."""
        return last >= self.since and (not self.until or first < self.behind)

    @property
    def facets(self) -> list[tuple[str, str]]:
        """What is asked of the few things that most records say something of, as the sketches of the log's index name them."""
        asked = {"kind": self.kind, "identity": self.identity, "target": self.target, "rule": self.rule}
        asked |= {"effect": self.effect, "table": self.table}
        return [(name, value) for name, value in asked.items() if value]

    def is_hit(self, record: AuditRecord) -> bool:
        """True where all that is asked is true of the record; the time is not looked at."""
        body = record.body
        return (
            (not self.kind or record.kind == self.kind)
            and (not self.identity or any(body.get(key) == self.identity for key in PEOPLE))
            and (not self.target or body.get("target") == self.target)
            and (not self.rule or self.rule in _rules(body))
            and (not self.about or any(body.get(key) == self.about for key in IDS))
            and self._is_of_command(body)
        )

    def _is_of_command(self, body: Mapping[str, Any]) -> bool:
        if not (self.effect or self.table or self.text):
            return True
        command = body.get("command")
        if not isinstance(command, dict):
            return False
        return (
            (not self.effect or self.effect in command["effects"])
            and (not self.table or any(_is_named(name, self.table) for name in tables(command)))
            and (not self.text or self.text.lower() in command["text"].lower())
        )


def tables(command: Mapping[str, Any]) -> Iterator[str]:
    """What a command's statements read and write."""
    for statement in command.get("statements", ()):
        yield from statement["reads"]
        yield from statement["writes"]


def _is_named(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith("." + wanted)


def _rules(body: Mapping[str, Any]) -> list[str]:
    masked = body.get("masked", [])
    return [body.get("rule", ""), *(one["rule"] for one in masked if isinstance(one, dict))]
