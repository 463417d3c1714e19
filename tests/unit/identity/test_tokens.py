"""Tokens of a stand-in of an issuer, which publishes its keys over HTTP as a real one does."""

import base64
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from countersign.identity import TokenRefused, Tokens
from countersign.identity import tokens as module
from countersign.identity_settings import TokenIssuer, TokenRule

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RULES = (
    TokenRule("deploy", ("pipelines",), (("repository", "shop/etl"), ("ref", "refs/heads/main"))),
    TokenRule("tests", ("pipelines", "tests"), (("repository", "shop/*"),)),
)


class Issuer:
    """Publishes keys, and whatever else it is told to, and counts who asks."""

    def __init__(self):
        self.keys = {"a": RSAKey.generate_key(2048, parameters={"kid": "a"})}
        self.published = ["a"]
        self.more, self.asked, self.is_up = [], 0, True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                if not outer.is_up:
                    self.send_error(503)
                    return
                keys = [outer.keys[kid].as_dict(private=False) for kid in outer.published] + outer.more
                is_metadata = self.path.endswith("openid-configuration")
                body = {"issuer": outer.url, "jwks_uri": outer.url + "/jwks"} if is_metadata else {"keys": keys}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, key=None, alg="RS256", header=None, **claims):
        key = key or self.keys["a"]
        body = {
            "iss": self.url,
            "aud": "countersign",
            "exp": int((NOW + timedelta(minutes=5)).timestamp()),
            "repository": "shop/etl",
            "ref": "refs/heads/main",
        } | claims
        return jwt.encode(
            {"alg": alg, "kid": "a"} | (header or {}), {k: v for k, v in body.items() if v is not None}, key, algorithms=[alg]
        )


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def tokens(issuer):
    settings = TokenIssuer(
        issuer.url, "countersign", "", ("RS256", "PS256", "ES256", "EdDSA", "Ed25519"), RULES, ("repository", "ref", "runs")
    )
    return Tokens((settings,), lambda: NOW)


async def refused(tokens, token):
    with pytest.raises(TokenRefused) as refusal:
        await tokens.identity(token)
    return refusal.value.code


async def test_the_first_rule_that_fits_says_who_it_is(issuer, tokens):
    found = await tokens.identity(issuer.token())
    assert (found.name, found.groups, found.authentication) == ("deploy", ("pipelines",), "token")
    assert dict(found.claims) == {"repository": "shop/etl", "ref": "refs/heads/main"}
    assert (await tokens.identity(issuer.token(ref="refs/heads/x"))).name == "tests"
    assert (await tokens.identity(issuer.token(repository=["other", "shop/x"]))).name == "tests"
    assert await refused(tokens, issuer.token(repository="evil/shop/etl")) == "token_of_nobody"
    assert await refused(tokens, issuer.token(repository=None)) == "token_of_nobody"
    assert await refused(tokens, issuer.token(repository={"*": "shop/etl"})) == "token_of_nobody"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "another"}, "token_audience"),
        ({"aud": None}, "token_audience"),
        ({"aud": ["another", "countersign"]}, ""),
        ({"exp": None}, "token_refused"),
        ({"exp": "tomorrow"}, "token_refused"),
        ({"exp": True}, "token_refused"),
        ({"exp": 1e300}, "token_refused"),
        ({"exp": int(NOW.timestamp()) - 59}, ""),
        ({"exp": int(NOW.timestamp()) - 61}, "token_expired"),
        ({"nbf": int(NOW.timestamp()) + 59}, ""),
        ({"nbf": int(NOW.timestamp()) + 61}, "token_early"),
        ({"iss": "https://other.example.com"}, "token_refused"),
        ({"iss": None}, "token_refused"),
    ],
)
async def test_the_claims_have_to_be_right(issuer, tokens, claims, code):
    token = issuer.token(**claims)
    if code:
        assert await refused(tokens, token) == code
    else:
        assert (await tokens.identity(token)).name == "deploy"


@pytest.mark.filterwarnings("ignore:EdDSA")
async def test_keys_of_every_kind_prove(issuer, tokens):
    for kid, key in (("e", ECKey.generate_key("P-256")), ("o", OKPKey.generate_key("Ed25519"))):
        issuer.keys[kid] = type(key).import_key(key.as_dict(private=True) | {"kid": kid})
        issuer.published.append(kid)
    for kid, alg in (("a", "RS256"), ("a", "PS256"), ("e", "ES256"), ("o", "EdDSA")):
        assert (await tokens.identity(issuer.token(issuer.keys[kid], alg, {"kid": kid}))).name == "deploy"


async def test_what_was_not_signed_by_the_issuer_proves_nothing(issuer, tokens):
    other = RSAKey.generate_key(2048, parameters={"kid": "a"})
    good = issuer.token()
    header, body, signature = good.split(".")

    def encoded(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    public = issuer.keys["a"].as_pem(private=False)
    signed = f"{encoded({'alg': 'HS256', 'kid': 'a'})}.{body}"
    mac = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=").decode()
    forged = {
        "another key": issuer.token(other),
        "another key, an empty id": issuer.token(other, header={"kid": ""}),
        "no signature": f"{header}.{body}.",
        "the algorithm none": f"{encoded({'alg': 'none'})}.{body}.",
        "the public key as a shared secret": f"{signed}.{mac}",
        "another body": f"{header}.{encoded({'iss': issuer.url, 'aud': 'countersign', 'exp': 9e9})}.{signature}",
        "a key within": issuer.token(other, header={"jwk": other.as_dict(private=False)}),
        "a key elsewhere": issuer.token(other, header={"jku": "http://127.0.0.1:1/keys"}),
        "critical extensions": f"{encoded({'alg': 'RS256', 'kid': 'a', 'crit': ['b64'], 'b64': False})}.{body}.{signature}",
        "an algorithm that is not allowed": issuer.token(alg="RS512"),
        "nothing": "",
        "no token": "hunter2",
        "four parts": good + ".x",
        "too long": good + "x" * 9000,
        "nested": encoded("[" * 4000) + f".{body}.{signature}",
        "no mapping": f"{encoded([1])}.{body}.{signature}",
        "a number as a key's id": issuer.token(other, header={"kid": "0"}),
    }
    for what, token in forged.items():
        assert await refused(tokens, token) == "token_refused", what
    assert (await tokens.identity(good)).name == "deploy"


@pytest.mark.filterwarnings("ignore:Key size")
async def test_shared_secrets_and_weak_keys_that_an_issuer_publishes_are_not_used(issuer, tokens):
    weak = RSAKey.generate_key(1024, parameters={"kid": "weak"})
    issuer.more = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        weak.as_dict(private=False),
        RSAKey.generate_key(2048, parameters={"kid": "enc", "use": "enc"}).as_dict(private=False),
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "odd"},
    ]
    assert (await tokens.identity(issuer.token())).name == "deploy"
    assert await refused(tokens, issuer.token(weak, header={"kid": "weak"})) == "token_refused"


async def test_an_issuer_may_exchange_its_keys_and_whoever_names_unknown_ones_is_not_asked_about_each_time(
    issuer, tokens, monkeypatch
):
    assert (await tokens.identity(issuer.token())).name == "deploy"
    issuer.keys["b"] = RSAKey.generate_key(2048, parameters={"kid": "b"})
    issuer.published = ["b"]
    new = issuer.token(issuer.keys["b"], header={"kid": "b"})
    assert await refused(tokens, new) == "token_refused"  # it was asked a moment ago
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    assert (await tokens.identity(new)).name == "deploy"
    assert await refused(tokens, issuer.token()) == "token_refused"  # the old key is withdrawn
    monkeypatch.setattr(module, "AGAIN_S", 10.0)
    asked = issuer.asked
    for number in range(50):
        assert await refused(tokens, issuer.token(header={"kid": f"made-up-{number}"})) == "token_refused"
    assert issuer.asked == asked


async def test_an_issuer_that_is_away_is_trusted_for_a_while_and_never_before_it_was_there(issuer, tokens, monkeypatch):
    issuer.is_up = False
    assert await refused(tokens, issuer.token()) == "issuer_unreachable"
    issuer.is_up = True
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    assert (await tokens.identity(issuer.token())).name == "deploy"
    issuer.is_up = False
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    assert (await tokens.identity(issuer.token())).name == "deploy"
    monkeypatch.setattr(module, "STALE_S", 0.0)
    assert await refused(tokens, issuer.token()) == "issuer_unreachable"
