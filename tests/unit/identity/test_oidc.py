"""What a provider's answer has to say before anybody is signed in. The flow itself is tried with a real one, in tests/e2e/test_oidc.py."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from countersign.identity import Oidc, SignInRefused
from countersign.identity import tokens as module
from countersign.identity_settings import OidcProvider

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ISSUER = "https://idp.example.com"
KEY = RSAKey.generate_key(2048, parameters={"kid": "a"})
BACK = "https://countersign.example.com/api/v1/sign-in/callback"


class Provider:
    """Answers what is asked of the provider with what a test gives it."""

    def __init__(self, monkeypatch, groups=(), **more):
        self.now = NOW
        settings = OidcProvider("idp", ISSUER, "client", None, "email", "groups", tuple(dict(groups).items()), ("openid",))
        self.oidc = Oidc((settings,), lambda: self.now)
        self.metadata = {"issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/auth", "token_endpoint": f"{ISSUER}/token"} | more
        self.token = ""

        async def metadata(_settings):
            return self.metadata

        async def exchange(*_):
            return self.token

        async def read(_keys):
            return {"keys": [KEY.as_dict(private=False)]}

        monkeypatch.setattr(self.oidc, "_metadata", metadata)
        monkeypatch.setattr(self.oidc, "_exchange", exchange)
        monkeypatch.setattr(module.IssuerKeys, "_read", read)

    async def begin(self):
        where, self.state = await self.oidc.begin("idp", BACK)
        self.nonce = parse_qs(urlsplit(where).query)["nonce"][0]
        return where

    async def back(self, key=KEY, alg="RS256", **claims):
        await self.begin()
        usual = {"iss": ISSUER, "aud": "client", "exp": NOW.timestamp() + 60, "nonce": self.nonce, "email": "Ann@example.com"}
        body = usual | {"email_verified": True, "groups": ["dba", "administrators"]} | claims
        self.token = jwt.encode({"alg": alg, "kid": "a"}, {k: v for k, v in body.items() if v is not None}, key)
        return (await self.oidc.finish(self.state, "code", BACK, "https://countersign.example.com/")).identity


async def test_roles_have_to_be_mapped(monkeypatch):
    found = await Provider(monkeypatch).back()
    assert (found.name, found.kind, found.groups, found.authentication) == ("ann@example.com", "user", ("dba",), "oidc")
    mapped = await Provider(monkeypatch, {"dba": "administrators"}).back()
    assert mapped.groups == ("administrators",)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "another"}, "token_refused"),
        ({"nonce": None}, "token_refused"),
        ({"aud": "another"}, "token_audience"),
        ({"aud": ["client", "another"], "azp": "another"}, "token_audience"),
        ({"iss": "https://evil.example.com"}, "token_refused"),
        ({"exp": NOW.timestamp() - 61}, "token_expired"),
        ({"email": None}, "no_name"),
        ({"email": "os:root"}, "no_name"),
        ({"email": "a\u202eb@example.com"}, "no_name"),
        ({"email_verified": False}, "email_unverified"),
        ({"email_verified": "true"}, "email_unverified"),
    ],
)
async def test_an_answer_that_is_not_right_signs_nobody_in(monkeypatch, claims, code):
    with pytest.raises(SignInRefused) as refused:
        await Provider(monkeypatch).back(**claims)
    assert refused.value.code == code


async def test_another_key_signs_nobody_in(monkeypatch):
    with pytest.raises(SignInRefused) as refused:
        await Provider(monkeypatch).back(RSAKey.generate_key(2048, parameters={"kid": "a"}))
    assert refused.value.code == "token_refused"


async def test_a_state_is_good_once_and_for_ten_minutes(monkeypatch):
    provider = Provider(monkeypatch)
    await provider.back()
    with pytest.raises(SignInRefused, match="not begun here"):
        await provider.oidc.finish(provider.state, "code", BACK, "/")
    await provider.begin()
    provider.now += timedelta(minutes=10)
    with pytest.raises(SignInRefused, match="too long ago"):
        await provider.oidc.finish(provider.state, "code", BACK, "/")


async def test_who_begins_many_pushes_out_the_oldest_and_uses_up_no_memory(monkeypatch):
    provider = Provider(monkeypatch)
    for _ in range(1100):
        await provider.begin()
    assert len(provider.oidc._begun) == 1000


async def test_metadata_that_lead_away_from_https_are_not_followed(monkeypatch):
    with pytest.raises(SignInRefused, match="does not answer as a provider does"):
        await Provider(monkeypatch, authorization_endpoint="http://elsewhere.example.com/auth").begin()
