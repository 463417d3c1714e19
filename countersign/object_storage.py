"""Object storage: its settings, and the store that they open (S3, and what speaks its protocol)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from countersign.settings import Secret, is_loopback, take_file, take_secret
from countersign.yaml_lines import Section

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]*")
"""The characters that S3 calls safe."""
CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
REGION = "us-east-1"
"""Where none is given: what stores that have no regions expect."""
TIMEOUT = "10s"
KEYS = ("endpoint", "region", "access_key_id", "secret_access_key", "session_token", "ca_file")


@dataclass(frozen=True, slots=True)
class ObjectStorage:
    """A place in object storage. Without ``endpoint`` it is Amazon's; without keys those that the environment or the machine's role gives."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = REGION
    access_key_id: Secret | None = field(default=None, repr=False)
    secret_access_key: Secret | None = field(default=None, repr=False)
    session_token: Secret | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @property
    def url(self) -> str:
        """As it is written in the configuration; it holds no secret."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def open(self, *, retries: int = 2) -> S3Store:
        """The store, whose paths are relative to the prefix. Nothing is sent yet.

        A failed request is repeated ``retries`` times within it. Raises ``OSError``, ``KeyError`` or ``ValueError`` where a secret or the
        file of authorities has gone.
        """
        config = {"region": self.region, "conditional_put": "etag"}
        named = {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "session_token": self.session_token,
        }
        config |= {name: secret.reveal() for name, secret in named.items() if secret is not None}
        if self.endpoint:
            config["endpoint"] = self.endpoint
        # A proxy that nothing goes through, so that none is taken from the environment: what is written there is not for others to read.
        options = {
            "proxy_url": "http://127.0.0.1:9",
            "proxy_excludes": "*,0.0.0.0/0,::/0",
            "timeout": TIMEOUT,
            "connect_timeout": "5s",
        }
        if self.endpoint.startswith("http://"):
            options["allow_http"] = "true"
        if self.ca_file is not None:
            options["root_certificate"] = self.ca_file.read_text(encoding="ascii")
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            config=config,  # type: ignore[arg-type]  # the stub wants a TypedDict; this is put together above, of its keys
            client_options=options,  # type: ignore[arg-type]  # the same
            retry_config={"max_retries": retries},
        )


def take_object_storage(section: Section, key: str, url: str, directory: Path, warnings: list[str]) -> ObjectStorage | None:
    """The settings beside ``key``, whose value is ``url``: ``s3://BUCKET`` or ``s3://BUCKET/PREFIX``. None where they cannot be used."""
    before = len(section.problems)
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if (
        not BUCKET.fullmatch(bucket)
        or not PREFIX.fullmatch(prefix)
        or any(part in ("", ".", "..") for part in prefix.split("/")[:-1])
    ):
        section.complain(key, f"{key!r} is no place in object storage", "s3://BUCKET/PREFIX")
    endpoint: str = section.take("endpoint", str, "")
    if endpoint and not is_endpoint(endpoint):
        # It is not quoted: somebody may have put a password into it.
        section.complain("endpoint", "'endpoint' is no address of an object store", "https://HOST:PORT; http:// on loopback only")
    storage = ObjectStorage(
        bucket=bucket,
        prefix=prefix,
        endpoint=endpoint.rstrip("/"),
        region=section.take("region", str, REGION),
        access_key_id=take_secret(section, "access_key_id", directory, warnings, "an access key"),
        secret_access_key=take_secret(section, "secret_access_key", directory, warnings),
        session_token=take_secret(section, "session_token", directory, warnings, "a token"),
        ca_file=take_file(section, "ca_file", directory),
    )
    if (storage.access_key_id is None) != (storage.secret_access_key is None):
        section.complain(key, "'access_key_id' and 'secret_access_key' go together")
    return storage if len(section.problems) == before else None


def is_endpoint(url: str) -> bool:
    """True for an address of a server alone, in the clear only on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if (
        not host
        or parts.username is not None
        or parts.password is not None
        or parts.query
        or parts.fragment
        or parts.path not in ("", "/")
    ):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def storage_problem(error: Exception) -> str:
    """What went wrong, in words that hold nothing of the request or its answer but the code that the protocol has for it (I6)."""
    if found := CODE.search(str(error)):
        return f"the store answers {found[1]}"
    if isinstance(error, (NotFoundError, FileNotFoundError)) and "uri" in str(error):  # the client raises Python's own
        return "there is no such object or bucket"
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "the store refuses the credentials"
    if isinstance(error, BaseError):
        return "the store cannot be reached or does not answer as one"
    return "a secret or file that the settings name has gone" if isinstance(error, (KeyError, OSError)) else type(error).__name__
