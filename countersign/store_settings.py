"""Where a gateway keeps its store: one SQLite file, or a PostgreSQL database that several gateways share."""

from dataclasses import dataclass
from pathlib import Path

from countersign.settings import Secret, is_loopback, take_file, take_one_of, take_secret
from countersign.yaml_lines import Section

SQLITE = "sqlite:///"
TLS_MODES = ("verify-full", "require", "disable")


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """A database on a PostgreSQL server, the role that keeps the store there, and how it is reached."""

    host: str
    port: int
    database: str
    user: str
    password: Secret | None
    tls: str
    ca_file: Path | None = None

    def __str__(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """``path``: the file of a SQLite store; of another where what belongs to it on this machine is named after it, such as the key that
    signs the log. ``server`` is set where the store is not that file."""

    path: Path
    server: PostgresPlace | None = None

    @property
    def place(self) -> Path | PostgresPlace:
        """Where it is."""
        return self.server or self.path


def take_store(section: Section, directory: Path, warnings: list[str]) -> StoreSettings:
    """The ``store`` of a configuration."""
    path = directory / "countersign.db"
    if isinstance(section.mapping.get("store"), dict):
        return StoreSettings(path, _server(section, directory, warnings))
    url: str = section.take("store", str, SQLITE + "countersign.db")
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        return StoreSettings(directory / url.removeprefix(SQLITE))
    hint = (
        "store: {postgresql: {host: …, database: countersign, user: countersign, password: env:NAME}}"
        if url.startswith("postgres")
        else SQLITE + "countersign.db"
    )
    # Of the URL only the scheme is quoted: a password may stand anywhere behind it.
    section.complain("store", f"'store' is {url.partition(':')[0]!r}, which is no store", hint)
    return StoreSettings(path)


def _server(section: Section, directory: Path, warnings: list[str]) -> PostgresPlace | None:
    outer = section.section("store")
    inner = outer.section("postgresql") if outer is not None else None
    if outer is None or inner is None:
        section.complain("store", "'store' names no kind of store", "store: {postgresql: {host: …, …}}")
        return None
    host: str = inner.take("host", str, "", required=True)
    port: int = inner.take("port", int, 5432)
    if not 0 < port < 65536:
        inner.complain("port", f"{port} is no port")
    place = PostgresPlace(
        host=host,
        port=port,
        database=inner.take("database", str, "countersign"),
        user=inner.take("user", str, "countersign"),
        password=take_secret(inner, "password", directory, warnings, "a password"),
        tls=take_one_of(inner, "tls", ("disable", *TLS_MODES[:2]) if is_loopback(host) else TLS_MODES),
        ca_file=take_file(inner, "ca_file", directory),
    )
    inner.finish()
    outer.finish()
    return place
