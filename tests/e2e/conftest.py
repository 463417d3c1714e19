"""Certificates for servers and clients, made on the spot, and servers that are started again."""

import datetime
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from countersign.demo.database import DemoDatabase

SHA256 = hashes.SHA256()
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of {name}")])
        self._certificate = self._sign(self._name, self._key, (-1, 30), [(x509.BasicConstraints(ca=True, path_length=None), True)])
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(
        self,
        name: str,
        *,
        alternatives: list[x509.GeneralName] | None = None,
        days: tuple[float, float] = (-1, 1),
        key: Any = None,
        digest: Any = SHA256,
    ) -> tuple[Path, Path]:
        """A certificate with this common name and the file of its key; ``days`` from now it begins and ends."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions: list[Any] = [(x509.SubjectAlternativeName(alternatives), False)] if alternatives else []
        made = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, days, extensions, digest)
        return self._keep(made, key)

    def self_signed(self, name: str, key: Any, digest: Any) -> tuple[Path, Path]:
        """A certificate that vouches for itself, signed with its own kind of key."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives = [(x509.SubjectAlternativeName([x509.DNSName(name)]), False)]
        return self._keep(self._sign(subject, key, (-1, 1), alternatives, digest, by=(subject, key)), key)

    def revoke(self, *certificates: Path) -> Path:
        """A list of revoked certificates, PEM."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(now - DAY).next_update(now + DAY)
        for file in certificates:
            serial = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        file = self._folder / "revoked.pem"
        file.write_bytes(builder.sign(self._key, SHA256).public_bytes(serialization.Encoding.PEM))
        return file

    def _sign(self, name: x509.Name, key: Any, days: Any, extensions: Any, digest: Any = SHA256, by: Any = None) -> Any:
        issuer, issuer_key = by or (self._name, self._key)
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, digest)

    def _keep(self, made: Any, key: Any) -> tuple[Path, Path]:
        files = self._folder / f"{made.serial_number}.pem", self._folder / f"{made.serial_number}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        nothing = serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, nothing))
        files[1].chmod(0o600)
        return files


@pytest.fixture(scope="session")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Authority]:
    return lambda: Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def authority(make_authority: Callable[[], Authority]) -> Authority:
    return make_authority()


@pytest.fixture(scope="session")
def localhost(authority: Authority) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    return authority.certificate("localhost", alternatives=[x509.DNSName("localhost")])


def _restart(server: DemoDatabase, how: signal.Signals = signal.SIGINT) -> None:
    """Stop the server (SIGINT: at once, but orderly; SIGQUIT: as in a crash) and start it again on the same data."""
    server.unleash()
    server._process.send_signal(how)
    server._process.wait(30)
    with (server.folder / "log").open("ab") as log:
        server._process = subprocess.Popen(
            server._process.args, cwd=server.folder, stdout=log, stderr=log, start_new_session=True, **server._as
        )
    server.leash()
    server._wait()


@pytest.fixture(scope="session")
def restart() -> Callable[..., None]:
    return _restart


# Waits until nobody holds the other end of the pipe any more. Lazily, for a gateway may still have a file open.
UNMOUNT = 'read -r _; umount --lazy "$1" && rmdir "$1"'


@pytest.fixture
def mount_disk() -> Iterator[Callable[[str], Path]]:
    """A file system of so many bytes (``256k``), in a folder that is not pytest's: what is mounted there breaks its clean-up.

    It is unmounted at the end of the test, and also where the run of tests is killed.
    """
    watchers: list[subprocess.Popen[bytes]] = []

    def mount(size: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="countersign-disk-"))
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
        ).returncode:
            folder.rmdir()
            pytest.skip("only root can mount a small file system")
        command = ["/bin/sh", "-c", UNMOUNT, "sh", folder]
        watchers.append(subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True))
        return folder

    yield mount
    for watcher in watchers:
        watcher.communicate(timeout=20)
        assert watcher.returncode == 0
