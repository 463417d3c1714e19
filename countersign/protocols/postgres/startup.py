"""What a client may ask for when it starts a session. Pure."""

import re
import shlex
from dataclasses import dataclass

PASSED = frozenset(
    {
        "application_name",
        "client_encoding",
        "client_min_messages",
        "datestyle",
        "timezone",
        "intervalstyle",
        "extra_float_digits",
        "bytea_output",
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "jit",
        "geqo",
    }
)
"""Settings that change how answers look or how long a command may take, never what it means or may do."""

UTF8 = frozenset({"utf8", "utf-8", "unicode", "'utf8'", "'utf-8'", "auto"})


class StartupRefused(Exception):
    """The client asks for what the gateway does not pass on. The text is for the client."""


@dataclass(frozen=True, slots=True)
class StartupRequest:
    """A start-up as understood: who, which database, and the settings to pass to the target."""

    user: str
    database: str
    settings: dict[str, str]
    replication: str = ""
    """``true`` (physical) or ``database`` (logical) where a replication session is asked for."""

    @property
    def application(self) -> str:
        """What the client calls itself."""
        return self.settings.get("application_name", "")


def read_startup(parameters: list[tuple[str, str]]) -> StartupRequest:
    """Sort a StartupMessage's parameters. Raises ``StartupRefused`` for anything that is not known to be harmless.

    ``options`` is understood as far as ``-c name=value`` goes. Protocol extensions (``_pq_.``) are negotiated away by the caller.
    """
    given = {name: value for name, value in parameters if not name.startswith("_pq_.")}
    user = given.pop("user", "")
    if not user:
        raise StartupRefused("no user name in the start-up message")
    database = given.pop("database", "") or user
    replication = _replication(given.pop("replication", "false"))
    settings = _options(given.pop("options", ""))
    settings.update({name.lower(): value for name, value in given.items()})
    for name, value in settings.items():
        if name not in PASSED:
            raise StartupRefused(f"the start-up parameter {name!r} is not allowed through Countersign")
        if name == "client_encoding" and value.lower() not in UTF8:
            raise StartupRefused("Countersign speaks client_encoding UTF8 only")
    settings["client_encoding"] = "UTF8"
    return StartupRequest(user, database, settings, replication)


def _replication(value: str) -> str:
    """As PostgreSQL reads it: ``database``, or a boolean."""
    if value == "database":
        return value
    if value.lower() in {"false", "off", "no", "0"}:
        return ""
    if value.lower() in {"true", "on", "yes", "1"}:
        return "true"
    raise StartupRefused(f"replication is {value!r}; true, false or database")


def _options(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    words = iter(shlex.split(text.replace("\\ ", "\x01")))
    for word in words:
        setting = next(words, "") if word == "-c" else word.removeprefix("-c") if word.startswith("-c") else word
        matched = re.fullmatch(r"(?:--)?([A-Za-z_][\w.-]*)=(.*)", setting, re.DOTALL)
        if not matched or not (word == "-c" or word.startswith(("-c", "--"))):
            raise StartupRefused("only -c name=value is allowed in the start-up options")
        settings[matched[1].replace("-", "_").lower()] = matched[2].replace("\x01", " ")
    return settings
