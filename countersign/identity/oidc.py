"""People sign in with an OpenID Connect provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636)."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import structlog

from countersign.identity.tokens import (
    KEYS_LIMIT_BYTES,
    IssuerKeys,
    TokenRefused,
    check_claims,
    endpoint,
    http_client,
    metadata_of,
    proved,
)
from countersign.identity_settings import USUAL, OidcProvider
from countersign.model import Identity, IdentityKind
from countersign.model.clock import Clock
from countersign.model.identity import STANDING_GROUPS

log = structlog.get_logger(__name__)

BEGUN_LIFE = timedelta(minutes=10)
"""How long somebody may take at the provider."""
METADATA_LIFE = timedelta(minutes=10)
"""Whoever begins sign-ins, and anybody may, does not have the provider asked each time."""
MOST_BEGUN = 1000
"""Sign-ins that are under way at once: whoever begins more of them pushes out the oldest."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
"""No colon: names such as ``os:root`` are those of the machine's own accounts."""


class SignInRefused(Exception):
    """Nobody is signed in. The text may be shown; ``code`` is for the audit log."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Begun:
    provider: str
    verifier: str
    nonce: str
    ends: datetime


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who it is, and where the provider's own session is ended; '' where it says nothing of that."""

    identity: Identity
    sign_out_url: str


class Oidc:
    """Sign-ins by several providers. What is under way is in memory: a restart means beginning again."""

    def __init__(self, providers: tuple[OidcProvider, ...], clock: Clock) -> None:
        self._providers = {one.name: (one, IssuerKeys(one.issuer)) for one in providers}
        self._clock = clock
        self._begun: dict[str, _Begun] = {}
        self._metadata_of: dict[str, tuple[datetime, dict[str, Any]]] = {}

    @property
    def names(self) -> list[str]:
        """The providers that one may choose from."""
        return list(self._providers)

    async def begin(self, provider: str, redirect_uri: str) -> tuple[str, str]:
        """Where to send the browser, and the state that it has to bring back. Raises ``SignInRefused``."""
        settings, _ = self._of(provider)
        metadata = await self._metadata(settings)
        try:
            where = endpoint(metadata, "authorization_endpoint", settings.issuer)
        except ValueError as error:
            raise self._unreachable(settings, error) from error
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        now = self._clock()
        for old in [key for key, one in self._begun.items() if one.ends <= now]:
            del self._begun[old]
        while len(self._begun) >= MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        self._begun[state] = _Begun(provider, verifier, nonce, now + BEGUN_LIFE)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}", state

    async def finish(self, state: str, code: str, redirect_uri: str, home: str) -> SignedIn:
        """Who has come back with this code. A state is good once. Raises ``SignInRefused``."""
        begun = self._begun.pop(state, None)
        if begun is None or self._clock() >= begun.ends:
            raise SignInRefused("wrong_secret", "this sign-in was not begun here, or too long ago: begin again")
        settings, keys = self._of(begun.provider)
        metadata = await self._metadata(settings)
        token = await self._exchange(settings, metadata, code, begun.verifier, redirect_uri)
        try:
            claims = await proved(token, keys, USUAL)
            if claims.get("iss") != settings.issuer or not secrets.compare_digest(str(claims.get("nonce", "")), begun.nonce):
                raise TokenRefused("token_refused", "the provider's answer is to another question")
            if claims.get("azp", settings.client_id) != settings.client_id:
                raise TokenRefused("token_audience", "the token is meant for somebody else")
            check_claims(claims, settings.client_id, self._clock())
        except TokenRefused as refused:
            raise SignInRefused(refused.code, f"the provider's answer proves nothing: {refused}") from refused
        return SignedIn(_person(settings, claims), _sign_out_url(settings, metadata, token, home))

    def _of(self, provider: str) -> tuple[OidcProvider, IssuerKeys]:
        if provider not in self._providers:
            raise SignInRefused("no_provider", "there is no such provider")
        return self._providers[provider]

    async def _metadata(self, settings: OidcProvider) -> dict[str, Any]:
        read_at, found = self._metadata_of.get(settings.name, (None, {}))
        if read_at is not None and self._clock() < read_at + METADATA_LIFE:
            return found
        try:
            async with http_client() as http:
                found = await metadata_of(http, settings.issuer)
            self._metadata_of[settings.name] = self._clock(), found
            return found
        except (httpx.HTTPError, ValueError) as error:
            raise self._unreachable(settings, error) from error

    async def _exchange(self, settings: OidcProvider, metadata: dict[str, Any], code: str, verifier: str, redirect_uri: str) -> str:
        """The ID token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": settings.client_id,
        }
        credentials: httpx.Auth = httpx.Auth()
        try:
            if settings.client_secret is not None:  # client_secret_basic (RFC 6749, section 2.3.1)
                secret = quote(settings.client_secret.reveal(), safe="")
                credentials = httpx.BasicAuth(quote(settings.client_id, safe=""), secret)
            async with http_client() as http:
                answer = await http.post(endpoint(metadata, "token_endpoint", settings.issuer), data=form, auth=credentials)
            if answer.status_code != 200 or len(answer.content) > KEYS_LIMIT_BYTES:
                log.warning("code_not_exchanged", provider=settings.name, status=answer.status_code)
                raise SignInRefused("code_refused", "the provider does not take the code that it gave: begin again")
            return str(answer.json()["id_token"])
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreachable(settings, error) from error

    def _unreachable(self, settings: OidcProvider, error: Exception) -> SignInRefused:
        log.warning("provider_not_reached", provider=settings.name, cause=str(error) or type(error).__name__)
        return SignInRefused("provider_unreachable", f"{settings.name} does not answer as a provider does: try again later")


def _person(settings: OidcProvider, claims: dict[str, Any]) -> Identity:
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise SignInRefused("no_name", f"the provider says no {settings.name_claim} that could be a name here")
    if settings.name_claim == "email" and claims.get("email_verified") is not True:
        raise SignInRefused("email_unverified", "the provider has not verified this e-mail address")
    said = claims.get(settings.groups_claim, [])
    told = [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str)]
    mapped = dict(settings.groups)
    groups = [mapped[one] for one in told if one in mapped] if mapped else [one for one in told if one not in STANDING_GROUPS]
    return Identity(name.lower(), IdentityKind.USER, tuple(sorted(set(groups))), authentication="oidc")


def _sign_out_url(settings: OidcProvider, metadata: dict[str, Any], token: str, home: str) -> str:
    """RP-Initiated Logout 1.0."""
    try:
        where = endpoint(metadata, "end_session_endpoint", settings.issuer)
    except ValueError:
        return ""
    asked = {"id_token_hint": token, "client_id": settings.client_id, "post_logout_redirect_uri": home}
    return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"
