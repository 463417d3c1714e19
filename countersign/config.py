"""``countersign.yaml`` into typed settings. Every problem is reported at once, with file, line and hint."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from countersign.audit_settings import AuditSettings, is_web_url, take_audit
from countersign.identity_settings import IdentitySettings, take_identity
from countersign.masking.rules import LABEL, ColumnLabels, Labelled, column_problem
from countersign.model import Target
from countersign.model.identity import Person
from countersign.notify_settings import ChannelSettings, SlackChannel, take_notify
from countersign.policy import Policy, PolicyError, load_policies
from countersign.policy.warnings import idle_rules, undecidable
from countersign.recording_settings import RecordingSettings, take_recordings
from countersign.review_settings import ReviewLimits, take_reviews
from countersign.settings import (
    GROUP,
    Listen,
    Secret,
    is_loopback,
    take_file,
    take_listen,
    take_one_of,
    take_secret,
    warn_if_readable,
)
from countersign.store_settings import StoreSettings, take_store
from countersign.yaml_lines import Mapping, Problem, Section, parse

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TESTS = ".test.yaml"
"""How files of policy tests are called."""
TARGET_TYPES = ("postgres",)
READ_ONLY_MODES = ("off", "enforce")
TLS_MODES = ("disable", "require", "verify-full")
CLIENT_CERTS = ("accept", "require")
CLIENT_NAMES = ("common_name", "dns", "email", "uri")
SESSION_ATTRS = ("any", "read-write")
CHANNEL_BINDING = ("prefer", "require", "disable")


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Upstream:
    """How to reach a target. ``host`` may be the folder of a Unix socket."""

    host: str
    port: int
    user: str
    password: Secret | None
    tls: str
    ca_file: Path | None
    channel_binding: str = "prefer"
    more_hosts: tuple[str, ...] = ()
    """Tried in order where the ones before cannot be reached."""
    target_session_attrs: str = "any"


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Certificates of clients that prove who they are. ``name`` says where in one the identity's name stands; identities without an
    account of their own get ``groups``, or are refused where that is None."""

    ca_file: Path
    crl_file: Path | None
    required: bool
    name: str
    groups: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ClientTls:
    """The certificate that clients see, and those that they may show."""

    cert_file: Path
    key_file: Path
    certificates: ClientCertificates | None = None


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A PostgreSQL target and where its clients connect. ``read_only``: what is admitted as a read runs under READ ONLY. ``columns``:
    what its columns are labelled, for mask rules."""

    target: Target
    listen: Listen
    upstream: Upstream
    tls: ClientTls | None
    read_only: bool = False
    columns: ColumnLabels = field(default_factory=dict)
    previews: bool = True
    """Whether reviewers may ask what a held command would touch."""
    preview_role: str = ""
    """The role in the target that asks; '' is the gateway's own user."""


ROWS_RECORDED, MOST_ROWS_RECORDED = 200, 1_000_000
"""How many rows of each command a recording shows where nothing is said, and at most."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a gateway is told. ``warnings`` are for people; nothing in them stops it."""

    path: Path
    store: StoreSettings
    audit: AuditSettings
    recordings: RecordingSettings
    reviews: ReviewLimits
    people: tuple[Person, ...]
    identity: IdentitySettings
    console: Listen
    admin_socket: Path
    targets: tuple[PostgresTarget, ...]
    policy: Policy
    config_digest: str
    channels: tuple[ChannelSettings, ...] = ()
    console_url: str = ""
    """Where people reach the console; empty: at the address where it listens."""
    warnings: tuple[str, ...] = ()
    policy_patterns: tuple[str, ...] = ()
    """The globs that ``policies`` gives."""


def load_config(path: Path, *, with_policies: bool = True) -> Config:
    """Raises ``ConfigError``; secrets are looked for but never quoted. Without policies, for who does not judge by them, none is in it."""
    path = path.absolute()
    try:
        data = path.read_bytes()
        document, problems = parse(data.decode("utf-8"), str(path))
    except OSError as error:
        raise ConfigError([Problem(str(path), 1, f"cannot be read: {error.strerror}", "give --config FILE")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), 1, "is not UTF-8")]) from error
    if problems or not isinstance(document, Mapping):
        raise ConfigError(problems or [Problem(str(path), 1, "the configuration is a mapping", "it needs 'targets' at least")])
    section = Section(str(path), document, problems, "the configuration")
    warnings: list[str] = []
    console, console_url = _console(section)
    targets = _targets(section, path.parent, console, warnings)
    # Where a target is broken, what it labels may be unknown: that is no fault of the rules.
    labelled = None if problems else {target.target.name: target.columns for target in targets}
    patterns = section.numbered_texts("policies", may_be_empty=True)
    policy = _policy(section, path.parent, patterns, labelled) if with_policies else Policy((), ())
    _warn_of_idle_labels(targets, policy, warnings)
    people = _people(section)
    warnings.extend(map(str, idle_rules(policy, [target.target.name for target in targets])))
    channels = take_notify(section, path.parent, warnings, [console, *(target.listen for target in targets)])
    store = take_store(section, path.parent, warnings)
    recordings = take_recordings(section, path.parent, warnings)
    identity = take_identity(section, path.parent, warnings)
    if not identity.oidc:  # whose people nobody knows before they sign in
        warnings.extend(map(str, undecidable(policy, _everybody(people, channels))))
    config = Config(
        path=path,
        store=store,
        audit=take_audit(section, path.parent, store.path, warnings),
        recordings=recordings,
        reviews=take_reviews(section),
        people=people,
        identity=identity,
        console=console,
        admin_socket=_admin_socket(section, path.parent),
        targets=targets,
        policy=policy,
        channels=channels,
        console_url=console_url,
        config_digest=hashlib.sha256(data).hexdigest(),
        warnings=(*warnings, *policy.warnings),
        policy_patterns=tuple(pattern for _, pattern in patterns),
    )
    section.finish()
    if problems:
        raise ConfigError(problems)
    return config


def admin_socket_of(path: Path) -> Path:
    """Where the gateway of a configuration listens for the command line. Nothing else of the file is looked at: whoever asks the gateway
    need not have the secrets that it names. Raises ``ConfigError``."""
    problems: list[Problem] = []
    try:
        document, problems = parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError([Problem(str(path), 1, f"cannot be read: {reason}", "give --config FILE")]) from error
    if problems or not isinstance(document, Mapping):
        raise ConfigError(problems or [Problem(str(path), 1, "the configuration is a mapping")])
    return _admin_socket(Section(str(path), document, problems, "the configuration"), path.parent)


def _admin_socket(section: Section, directory: Path) -> Path:
    name: str = section.take("admin_socket", str, "countersign.sock")
    return directory / name


def _everybody(people: tuple[Person, ...], channels: tuple[ChannelSettings, ...]) -> list[Person]:
    """Those who may decide, each once, with all groups that they have anywhere."""
    found = {person.name: person for person in people}
    for person in (one for channel in channels if isinstance(channel.kind, SlackChannel) for one in channel.kind.people):
        known = found.get(person.name, Person("", person.name))
        found[person.name] = Person(known.account, known.name, (*known.groups, *person.groups))
    return list(found.values())


def _people(section: Section) -> tuple[Person, ...]:
    found: list[Person] = []
    for item in section.sections("people"):
        account = item.take("account", str, "", required=True)
        item.where = f"person {account!r}"
        name = item.take("name", str, f"os:{account}")
        groups = item.texts("groups")
        for group in groups:
            if not GROUP.fullmatch(group):
                item.complain("groups", f"{group!r} is no name of a group", "lower-case letters, digits, '.', '_' and '-'")
        if any(account == known.account for known in found):
            item.complain("account", f"the account {account!r} stands here twice: a person counts once")
        if not name or any(name == known.name for known in found):
            item.complain("name", f"another person is named {name!r}" if name else "the name is empty")
        if name.startswith("os:") and name != f"os:{account}":
            item.complain("name", f"{name!r} is how another account is called that has no name")
        item.finish()
        found.append(Person(account, name, groups))
    return tuple(found)


def _console(section: Section) -> tuple[Listen, str]:
    """Where it listens, and where people reach it."""
    console = section.section("console")
    if console is None:
        return Listen("127.0.0.1", 8420), ""
    listen = take_listen(console, "listen") or Listen("127.0.0.1", 8420)
    if not listen.is_loopback:
        console.complain("listen", "the console listens on loopback only, as it has no TLS of its own yet", "127.0.0.1:8420")
    url: str = console.take("url", str, "")
    if url and not is_web_url(url):
        console.complain("url", "'url' is no address of the console", "https://HOST, as people reach it; http:// on loopback only")
    console.finish()
    return listen, url.rstrip("/")


def _targets(section: Section, directory: Path, console: Listen, warnings: list[str]) -> tuple[PostgresTarget, ...]:
    targets: list[PostgresTarget] = []
    if section.mapping.get("targets") == []:
        section.complain("targets", "there are no targets")
    elif "targets" not in section.mapping:
        section.take("targets", list, required=True)
    for item in section.sections("targets"):
        target = _target(item, directory, warnings)
        if target is None:
            continue
        if any(known.target.name == target.target.name for known in targets):
            item.complain("name", f"another target is named {target.target.name!r}")
        if target.listen.port and any(known.listen == target.listen for known in targets):
            item.complain("listen", "another target listens on this address")
        if target.listen.port and target.listen == console:
            item.complain("listen", "the console listens on this address")
        targets.append(target)
    return tuple(targets)


def _target(item: Section, directory: Path, warnings: list[str]) -> PostgresTarget | None:
    before = len(item.problems)
    name = item.take("name", str, "", required=True)
    item.where = f"target {name!r}"
    if name and not NAME.fullmatch(name):
        item.complain("name", f"{name!r} is no name", "lower-case letters, digits, '_' and '-'")
    kind = item.take("type", str, "", required=True)
    if kind and kind not in TARGET_TYPES:
        item.complain("type", f"unknown target type {kind!r}", f"supported: {', '.join(TARGET_TYPES)}")
    listen = take_listen(item, "listen")
    tls = _client_tls(item, directory, warnings)
    if listen and not listen.is_loopback and tls is None and "tls" not in item.mapping:
        item.complain("listen", "a target that listens beyond loopback needs 'tls'", "tls: {cert_file: …, key_file: …}")
    upstream = _upstream(item, directory, warnings)
    labels = _labels(item)
    columns = _columns(item)
    read_only = item.take("read_only", (str, bool), "off", word=f"one of {', '.join(READ_ONLY_MODES)}")
    read_only = "off" if read_only is False else read_only  # YAML's own reading of the word
    if read_only not in READ_ONLY_MODES:
        item.complain("read_only", f"'read_only' is {read_only!r}", f"one of {', '.join(READ_ONLY_MODES)}")
    previews, preview_role = _previews(item)
    item.finish()
    if listen is None or upstream is None or len(item.problems) > before:
        return None
    read_only = read_only == "enforce"
    return PostgresTarget(Target(name, kind, labels), listen, upstream, tls, read_only, columns, previews, preview_role)


def _previews(item: Section) -> tuple[bool, str]:
    """Whether a target is asked what a held command would touch, and by which role."""
    if item.mapping.get("previews") is False:  # YAML's own reading of 'off'
        item.take("previews", bool)
        return False, ""
    section = item.section("previews")
    if section is None:
        return True, ""
    role = section.take("role", str, "", required=True)
    section.finish()
    return True, role


def _columns(item: Section) -> dict[str, tuple[str, ...]]:
    """The labels of a target's columns."""
    section = item.section("columns")
    if section is None:
        return {}
    if not section.mapping:
        item.complain("columns", "'columns' labels nothing", "columns: {pii: [public.customers.email]}")
    return {label: _labelled(section, label) for label in section.mapping}


def _labelled(section: Section, label: str) -> tuple[str, ...]:
    if not LABEL.fullmatch(label):
        section.complain(label, f"{label!r} is no label", "lower-case letters, digits, '.', '_' and '-'")
    numbered = section.numbered_texts(label, may_be_empty=True)
    if section.mapping[label] == []:
        section.complain(label, f"no column is labelled {label!r}", "schema.table.column, where * may stand for any part")
    for line, pattern in numbered:
        if wrong := column_problem(pattern):
            section.complain_at(line, *wrong)
    return tuple(pattern for _, pattern in numbered)


def _warn_of_idle_labels(targets: Sequence[PostgresTarget], policy: Policy, warnings: list[str]) -> None:
    """A label alone masks nothing."""
    for target in targets:
        named = {label for rule in policy.masks_on(target.target.name) for label in rule.labels}
        warnings.extend(
            f"no mask rule names the label {label!r} of target {target.target.name!r}: it masks nothing"
            for label in target.columns
            if label not in named
        )


def _labels(item: Section) -> dict[str, str]:
    section = item.section("labels")
    return {} if section is None else {key: section.take(key, str, "") for key in section.mapping}


def _client_tls(item: Section, directory: Path, warnings: list[str]) -> ClientTls | None:
    section = item.section("tls")
    if section is None:
        return None
    files = [take_file(section, key, directory, required=True) for key in ("cert_file", "key_file")]
    certificates = _client_certificates(section, directory)
    section.finish()
    if files[1]:
        warn_if_readable(files[1], warnings)
    return ClientTls(files[0], files[1], certificates) if files[0] and files[1] else None


def _client_certificates(section: Section, directory: Path) -> ClientCertificates | None:
    ca_file = take_file(section, "client_ca_file", directory)
    crl_file = take_file(section, "crl_file", directory)
    mode = take_one_of(section, "client_certs", CLIENT_CERTS)
    name = take_one_of(section, "client_name", CLIENT_NAMES)
    groups = section.texts("client_groups", may_be_empty=True) if "client_groups" in section.mapping else None
    for group in groups or ():
        if not GROUP.fullmatch(group):
            section.complain("client_groups", f"{group!r} is no group", "lower-case letters, digits, '.', '_' and '-'")
    if "client_ca_file" not in section.mapping:
        for key in ("crl_file", "client_certs", "client_name", "client_groups"):
            if key in section.mapping:
                section.complain(key, f"{key!r} needs 'client_ca_file'", "the authority that signs the clients' certificates")
        return None
    return ClientCertificates(ca_file, crl_file, mode == "require", name, groups) if ca_file else None


def _upstream(item: Section, directory: Path, warnings: list[str]) -> Upstream | None:
    section = item.section("upstream")
    if section is None:
        item.complain("", f"{item.where} needs 'upstream'", "upstream: {host: …, port: 5432, user: …, password: env:NAME}")
        return None
    host, *more_hosts = _hosts(section)
    port = section.take("port", int, 5432)
    if not 0 < port < 65536:
        section.complain("port", f"{port} is no port")
    tls = section.take("tls", str, "disable" if all(map(is_loopback, (host, *more_hosts))) else "verify-full")
    if tls not in TLS_MODES:
        section.complain("tls", f"'tls' is {tls!r}", f"one of {', '.join(TLS_MODES)}")
    binding = take_one_of(section, "channel_binding", CHANNEL_BINDING)
    if binding == "require" and tls == "disable":
        section.complain("channel_binding", "channel binding needs TLS", "tls: verify-full")
    upstream = Upstream(
        host=host,
        port=port,
        user=section.take("user", str, "", required=True),
        password=take_secret(section, "password", directory, warnings, "a password"),
        tls=tls,
        ca_file=take_file(section, "ca_file", directory),
        channel_binding=binding,
        more_hosts=tuple(more_hosts),
        target_session_attrs=take_one_of(section, "target_session_attrs", SESSION_ATTRS),
    )
    section.finish()
    return upstream


def _hosts(section: Section) -> list[str]:
    """One host, or several as a list; at least one, if only an empty one that was complained of."""
    if isinstance(section.mapping.get("host"), list):
        return list(section.texts("host")) or [""]
    return [section.take("host", str, "", required=True)]


def _policy(section: Section, directory: Path, patterns: Sequence[tuple[int, str]], labelled: Labelled | None) -> Policy:
    paths: list[Path] = []
    for line, pattern in patterns:
        found = _matching(directory, pattern)
        if not found:
            section.complain_at(line, f"no file matches {pattern!r}")
        paths.extend(path for path in found if path not in paths)
    try:
        return load_policies(paths, labelled)
    except PolicyError as error:
        section.problems.extend(error.problems)
        return Policy((), ())


def policy_files(config: Config) -> list[Path]:
    """The policy files that there are now, once each."""
    return list(dict.fromkeys(path for pattern in config.policy_patterns for path in _matching(config.path.parent, pattern)))


def _matching(directory: Path, pattern: str) -> list[Path]:
    """The files of a glob, in order of their names, but for tests, which lie beside policies. An absolute pattern stands for itself."""
    path = Path(pattern)
    try:
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor))) if path.is_absolute() else directory.glob(pattern)
        return sorted(one for one in found if not one.name.endswith(TESTS) or pattern.endswith(TESTS))
    except ValueError:  # such as '**x'
        return []
