"""Tokens of trusted issuers: JWTs (RFC 7519) signed by a key that the issuer publishes (RFC 7517), as a CI system or a cluster gives to
its jobs."""

import asyncio
import fnmatch
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import to_bytes, urlsafe_b64decode

from countersign.identity_settings import TokenIssuer
from countersign.model import Identity, IdentityKind
from countersign.model.clock import Clock

log = structlog.get_logger(__name__)

SKEW = timedelta(seconds=60)
"""How far an issuer's clock may be from ours."""
LONGEST_BYTES = 8192
KEYS_LIMIT_BYTES = 256 * 1024
FRESH_S = 600.0
"""After so long keys are asked for again, so that one that was withdrawn ends being trusted."""
AGAIN_S = 10.0
"""The least time between two questions, whatever tokens say which key they are signed with."""
STALE_S = 3600.0
"""How long keys are trusted whose issuer cannot be reached."""
LEAST_RSA_BITS = 2048


PublicKey = RSAKey | ECKey | OKPKey
KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class TokenRefused(Exception):
    """A token proves nothing. The text may be shown to whoever gave it; ``code`` is for the audit log."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


NOT_PROVED = "the token is not of an issuer that is trusted here, or not as that issuer made it"


class IssuerKeys:
    """The public keys of an issuer, asked for when they are needed and kept for a while. ``place``: where they are, '' for where its metadata
    say."""

    def __init__(self, issuer: str, place: str | Path = "") -> None:
        self._issuer = issuer
        self._place = place
        self._keys: list[PublicKey] | None = None
        self._read_s = self._tried_s = float("-inf")
        self._lock = asyncio.Lock()

    async def with_id(self, kid: str | None) -> list[PublicKey]:
        """Keys among which the one of this id is, if the issuer has it. Raises ``TokenRefused`` where there are none to trust."""
        async with self._lock:
            age_s = time.monotonic() - self._read_s
            is_known = self._keys is not None and (kid is None or any(key.kid == kid for key in self._keys))
            may_ask = time.monotonic() - self._tried_s > AGAIN_S
            if (age_s > FRESH_S or not is_known) and may_ask:
                self._tried_s = time.monotonic()
                try:
                    self._keys = _usable(await self._read())
                    self._read_s = time.monotonic()
                except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, JoseError) as error:
                    log.warning("issuer_keys_not_read", issuer=self._issuer, cause=str(error) or type(error).__name__)
            if self._keys is None or time.monotonic() - self._read_s > STALE_S:
                raise TokenRefused("issuer_unreachable", "the keys of the token's issuer cannot be had now")
            return self._keys

    async def _read(self) -> Any:
        if isinstance(self._place, Path):
            return json.loads(await asyncio.to_thread(self._place.read_text, "utf-8"))
        async with http_client() as http:
            if self._place:
                return await fetch_json(http, self._place)
            place = endpoint(await metadata_of(http, self._issuer), "jwks_uri", self._issuer)
            return await fetch_json(http, place)


class Tokens:
    """Checks tokens."""

    def __init__(self, issuers: tuple[TokenIssuer, ...], clock: Clock) -> None:
        self._issuers = {one.issuer: (one, IssuerKeys(one.issuer, one.keys)) for one in issuers}
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self._issuers)

    async def identity(self, token: str) -> Identity:
        """Whose token this is. Raises ``TokenRefused``."""
        _, claims = _peek(token)
        settings, keys = self._issuers.get(str(claims.get("iss")), (None, None))
        if settings is None or keys is None:
            raise TokenRefused("token_refused", NOT_PROVED)
        await proved(token, keys, settings.algorithms)
        check_claims(claims, settings.audience, self._clock())
        shown = {name: claims.get(name) for name in settings.shown}
        for rule in settings.rules:
            if all(_fits(claims.get(name), pattern) for name, pattern in rule.claims):
                told = tuple((name, value) for name, value in shown.items() if isinstance(value, str))
                return Identity(rule.name, IdentityKind.SERVICE_ACCOUNT, tuple(sorted(rule.groups)), "", "token", told)
        raise TokenRefused("token_of_nobody", "no rule says whose token this is")


async def proved(token: str, keys: IssuerKeys, algorithms: Sequence[str]) -> dict[str, Any]:
    """The claims of a token that an issuer's key has signed. Raises ``TokenRefused``."""
    header, claims = _peek(token)
    if header.get("alg") not in algorithms or "crit" in header:
        raise TokenRefused("token_refused", NOT_PROVED)
    kid = header.get("kid")
    known = await keys.with_id(kid if isinstance(kid, str) else None)
    if not any(_signed(token, key, algorithms) for key in known if kid is None or key.kid == kid):
        raise TokenRefused("token_refused", NOT_PROVED)
    return claims


def check_claims(claims: Mapping[str, Any], audience: str, now: datetime) -> None:
    """For whom a token is, and from when until when (RFC 7519, section 4.1); an expiry has to be there. Raises ``TokenRefused``."""
    meant = claims.get("aud")
    if audience not in (meant if isinstance(meant, list) else [meant]):
        raise TokenRefused("token_audience", "the token is meant for somebody else")
    expires, begins = _moment(claims.get("exp")), _moment(claims.get("nbf", 0))
    if expires is None or begins is None:
        raise TokenRefused("token_refused", "the token does not say until when it holds")
    if now >= expires + SKEW:
        raise TokenRefused("token_expired", f"the token expired on {expires:%Y-%m-%d at %H:%M:%S} UTC")
    if now < begins - SKEW:
        raise TokenRefused("token_early", f"the token holds from {begins:%Y-%m-%d at %H:%M:%S} UTC on")


def http_client() -> httpx.AsyncClient:
    """For what an issuer publishes: it leads nowhere else."""
    return httpx.AsyncClient(timeout=5, follow_redirects=False, trust_env=False)


async def metadata_of(http: httpx.AsyncClient, issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0. Raises ``httpx.HTTPError`` and ``ValueError``."""
    found = await fetch_json(http, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if not isinstance(found, dict) or found.get("issuer") != issuer:  # section 4.3
        raise ValueError("its metadata are another issuer's")
    return found


def endpoint(metadata: Mapping[str, Any], name: str, issuer: str) -> str:
    """An address that metadata name: behind https, or on the issuer's own host. Raises ``ValueError``."""
    place = httpx.URL(str(metadata.get(name) or ""))
    if place.scheme != "https" and (place.scheme, place.host) != ("http", httpx.URL(issuer).host):
        raise ValueError(f"its metadata name no {name} behind https")
    return str(place)


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a token says of itself, which nothing proves yet."""
    parts = token.split(".")
    try:
        if len(token) > LONGEST_BYTES or len(parts) != 3:
            raise ValueError
        header, claims = (json.loads(urlsafe_b64decode(to_bytes(part))) for part in parts[:2])
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise TokenRefused("token_refused", "the password is no token") from error
    return header, claims


def _signed(token: str, key: PublicKey, algorithms: Sequence[str]) -> bool:
    try:
        jws.deserialize_compact(token, key, algorithms=list(algorithms))
    except (JoseError, ValueError):
        return False
    return True


def _usable(document: Any) -> list[PublicKey]:
    """Public keys for signatures; whatever else an issuer publishes is left out, a shared secret before all."""
    found = [key for key in document["keys"] if key.get("kty") in KINDS and key.get("use", "sig") == "sig"]
    keys: list[PublicKey] = []
    for one in found:
        try:
            key = KINDS[one["kty"]].import_key(one)
        except (JoseError, ValueError, KeyError, TypeError):
            continue  # such as one of a curve that is not known here
        if not isinstance(key, RSAKey) or key.public_key.key_size >= LEAST_RSA_BITS:
            keys.append(key)
    return keys


async def fetch_json(http: httpx.AsyncClient, url: str) -> Any:
    """A document of bounded length. Raises ``httpx.HTTPError`` and ``ValueError``."""
    async with http.stream("GET", url) as answer:
        answer.raise_for_status()
        if answer.is_redirect:
            raise ValueError("it leads elsewhere")
        read = b""
        async for chunk in answer.aiter_bytes():
            read += chunk
            if len(read) > KEYS_LIMIT_BYTES:
                raise ValueError("it is too long")
        return json.loads(read)


def _fits(value: Any, pattern: str) -> bool:
    """Whether a claim fits: a text, or one of a list of texts."""
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and fnmatch.fnmatchcase(one, pattern) for one in values)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(value, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None
