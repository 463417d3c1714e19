"""Credentials that programs leave in texts: keys in the forms that their issuers document, tokens, connection strings, headers.

A maker gives the text that holds the secret and the secret itself. Where the issuer documents a checksum, it is right.
"""

import base64
import json
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from quality import checksums

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
URL_SAFE = BASE62 + "-_"
STANDARD = BASE62 + "+/"

Maker = Callable[[Random], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Secret:
    """A kind of secret; ``also`` are other kinds that it may be taken for with equal right."""

    kind: str
    make: Maker
    also: tuple[str, ...] = ()


def random_text(rng: Random, alphabet: str, length: int) -> str:
    """Letters of an alphabet, each as likely as another."""
    return "".join(rng.choices(alphabet, k=length))


def _whole(make: Callable[[Random], str]) -> Maker:
    def whole(rng: Random) -> tuple[str, str]:
        text = make(rng)
        return text, text

    return whole


def _github(rng: Random) -> str:
    """The last six letters are the CRC-32 of the random part, in base 62."""
    if rng.random() < 0.25:
        return f"github_pat_{random_text(rng, BASE62, 22)}_{random_text(rng, BASE62, 59)}"
    body = random_text(rng, BASE62, 30)
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = BASE62[digit] + check
    return f"{rng.choice(('ghp', 'gho', 'ghs', 'ghu'))}_{body}{check}"


def _aws_id(rng: Random) -> str:
    return rng.choice(("AKIA", "ASIA")) + random_text(rng, string.ascii_uppercase + "234567", 16)


def _aws_secret(rng: Random) -> tuple[str, str]:
    key = random_text(rng, STANDARD, 40)
    return rng.choice(("aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}", 'aws_secret_key: "{}"')).format(key), key


def _azure(rng: Random) -> tuple[str, str]:
    key = base64.b64encode(rng.randbytes(64)).decode()
    account = random_text(rng, string.ascii_lowercase, 9)
    return f"DefaultEndpointsProtocol=https;AccountName={account};AccountKey={key};EndpointSuffix=core.windows.net", key


def _stripe(rng: Random) -> str:
    return f"{rng.choice(('sk_live_', 'rk_live_', 'sk_test_'))}{random_text(rng, BASE62, rng.choice((24, 99)))}"


def _openai(rng: Random) -> str:
    if rng.random() < 0.5:
        return f"sk-{random_text(rng, BASE62, 20)}T3BlbkFJ{random_text(rng, BASE62, 20)}"
    return f"sk-proj-{random_text(rng, URL_SAFE, 74)}T3BlbkFJ{random_text(rng, URL_SAFE, 74)}"


def _anthropic(rng: Random) -> str:
    return f"sk-ant-api03-{random_text(rng, URL_SAFE, 93)}AA"


def _slack(rng: Random) -> tuple[str, str]:
    if rng.random() < 0.3:
        alphabet = string.ascii_uppercase + string.digits
        place = f"T{random_text(rng, alphabet, 10)}/B{random_text(rng, alphabet, 10)}"
        token = random_text(rng, BASE62, 24)
        return f"https://hooks.slack.com/services/{place}/{token}", token
    numbers = f"{rng.randrange(10**11, 10**12)}-{rng.randrange(10**11, 10**12)}"
    text = f"{rng.choice(('xoxb', 'xoxp'))}-{numbers}-{random_text(rng, BASE62, 24)}"
    return text, text


def jwt(rng: Random) -> str:
    """A signed token, RFC 7519 and RFC 7515."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = {"alg": rng.choice(("HS256", "RS256", "ES256")), "typ": "JWT"}
    claims = {"sub": str(rng.randrange(10**9)), "iat": rng.randrange(1_600_000_000, 1_800_000_000), "scope": "read"}
    return ".".join(part(data) for data in (json.dumps(head).encode(), json.dumps(claims).encode(), rng.randbytes(32)))


def _private_key(rng: Random) -> str:
    kind = rng.choice(("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "))
    body = base64.encodebytes(rng.randbytes(rng.choice((138, 300, 600)))).decode()
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}-----END {kind}PRIVATE KEY-----"


def _connection_string(rng: Random) -> tuple[str, str]:
    password = random_text(rng, BASE62 + "!$*-_", rng.randrange(8, 20)).strip("-_!$*") + "7x"
    user, host = rng.choice(("app", "svc_billing", "root")), rng.choice(("db.internal", "10.0.4.17", "localhost", "mq.example.net"))
    form = rng.choice(
        (
            "postgresql://{u}:{p}@{h}:5432/shop?sslmode=require",
            "mysql://{u}:{p}@{h}/orders",
            "mongodb+srv://{u}:{p}@{h}/admin?retryWrites=true",
            "redis://:{p}@{h}:6379/0",
            "amqp://{u}:{p}@{h}:5672/%2f",
            "Server={h};Database=crm;User Id={u};Password={p};Encrypt=true",
            "host={h} port=5432 user={u} password={p} dbname=shop",
            "jdbc:postgresql://{h}:5432/shop?user={u}&password={p}",
            "https://{u}:{p}@{h}/repository.git",
        )
    )
    return form.format(u=user, p=password, h=host), password


def _bearer(rng: Random) -> tuple[str, str]:
    token = random_text(rng, URL_SAFE, rng.choice((32, 40, 64)))
    return rng.choice(("Authorization: Bearer {}", "-H 'Authorization: Bearer {}'", '"authorization": "Bearer {}"')).format(
        token
    ), token


def _basic(rng: Random) -> tuple[str, str]:
    token = base64.b64encode(f"{rng.choice(('admin', 'crew', 'svc'))}:{random_text(rng, BASE62, 14)}".encode()).decode()
    return rng.choice(("Authorization: Basic {}", "-H 'Authorization: Basic {}'", "proxy-authorization: Basic {}")).format(
        token
    ), token


def _assigned(rng: Random) -> tuple[str, str]:
    value = random_text(rng, BASE62, rng.choice((24, 32, 40)))
    form = rng.choice(
        (
            "api_key = {}",
            "API_KEY={}",
            'client_secret: "{}"',
            '"apiKey": "{}"',
            "SECRET_KEY='{}'",
            "password: {}",
            "DB_PASSWORD={}",
            "access_token={}",
            'token = "{}"',
            "passwd={}",
        )
    )
    return form.format(value), value


def _bitcoin(rng: Random) -> str:
    form = rng.randrange(4)
    if form < 2:
        return checksums.base58check(bytes([0 if form else 5]) + rng.randbytes(20))
    return checksums.segwit_address(form - 2, rng.randbytes(20 if form == 2 else 32))


SECRETS = (
    Secret("aws_key", _whole(_aws_id)),
    Secret("aws_key", _aws_secret, ("secret",)),
    Secret("gcp_key", _whole(lambda rng: "AIza" + random_text(rng, URL_SAFE, 34) + rng.choice(BASE62))),
    Secret("azure_key", _azure, ("connection_string", "secret")),
    Secret("github_token", _whole(_github)),
    Secret("gitlab_token", _whole(lambda rng: "glpat-" + random_text(rng, URL_SAFE, 19) + rng.choice(BASE62))),
    Secret("slack_token", _slack),
    Secret("stripe_key", _whole(_stripe)),
    Secret("openai_key", _whole(_openai)),
    Secret("anthropic_key", _whole(_anthropic), ("openai_key",)),
    Secret("npm_token", _whole(lambda rng: "npm_" + random_text(rng, BASE62, 36))),
    Secret(
        "sendgrid_key",
        _whole(lambda rng: f"SG.{random_text(rng, URL_SAFE, 22)}.{random_text(rng, URL_SAFE, 42)}{rng.choice(BASE62)}"),
    ),
    Secret("huggingface_token", _whole(lambda rng: "hf_" + random_text(rng, string.ascii_letters, 34))),
    Secret("jwt", _whole(jwt), ("bearer", "secret")),
    Secret("private_key", _whole(_private_key)),
    Secret("connection_string", _connection_string, ("email", "secret", "ipv4")),
    Secret("bearer", _bearer, ("secret",)),
    Secret("basic", _basic, ("secret",)),
    Secret("secret", _assigned),
    Secret("bitcoin", _whole(_bitcoin)),
    Secret("ethereum", _whole(lambda rng: checksums.ethereum_address(rng.randbytes(20)))),
)
