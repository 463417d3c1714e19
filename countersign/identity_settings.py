"""How programs prove who they are, beside API keys and certificates: tokens of issuers that are trusted to say so."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from countersign.settings import Secret, is_loopback, take_file, take_secret
from countersign.yaml_lines import Section

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Signatures by a private key. Those with a shared secret are not among them: whoever could check such a token could make one."""
USUAL = ("RS256", "PS256", "ES256", "ES384", "Ed25519", "EdDSA")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
CLAIM = re.compile(r"[A-Za-z_][\w./:-]{0,127}")


@dataclass(frozen=True, slots=True)
class TokenRule:
    """Whose tokens are whose: where every claim fits its pattern, the token is of the identity ``name``, which is in ``groups``."""

    name: str
    groups: tuple[str, ...]
    claims: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Somebody who signs tokens. ``keys`` is where the public keys are: a URL, a file, or '' where the issuer's metadata say it (OpenID
    Connect Discovery 1.0). ``shown`` are the claims that policies may ask for."""

    issuer: str
    audience: str
    keys: str | Path
    algorithms: tuple[str, ...]
    rules: tuple[TokenRule, ...]
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """An OpenID Connect provider that people sign in with. ``groups`` maps what its claim says to groups here; without a mapping they
    are taken as they are, but for those that give roles."""

    name: str
    issuer: str
    client_id: str
    client_secret: Secret | None
    name_claim: str
    groups_claim: str
    groups: tuple[tuple[str, str], ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """What ``identity`` says."""

    tokens: tuple[TokenIssuer, ...] = ()
    oidc: tuple[OidcProvider, ...] = ()


def take_identity(section: Section, directory: Path, warnings: list[str]) -> IdentitySettings:
    """What ``identity`` says."""
    inner = section.section("identity")
    if inner is None:
        return IdentitySettings()
    found = [_issuer(item, directory) for item in inner.sections("tokens")]
    issuers = [one.issuer for one in found if one is not None]
    for name in {one for one in issuers if issuers.count(one) > 1}:
        inner.complain("tokens", f"the issuer {name} stands there twice", "one entry, with all of its rules")
    providers = tuple(_provider(item, directory, warnings) for item in inner.sections("oidc"))
    for name in {one.name for one in providers if [other.name for other in providers].count(one.name) > 1}:
        inner.complain("oidc", f"two providers are called {name!r}")
    inner.finish()
    return IdentitySettings(tuple(one for one in found if one is not None), providers)


def _provider(item: Section, directory: Path, warnings: list[str]) -> OidcProvider:
    issuer: str = item.take("issuer", str, "", required=True)
    if issuer:
        _check_url(item, "issuer", issuer)
    name: str = item.take("name", str, urlsplit(issuer).hostname or "")
    if not NAME.fullmatch(name):
        item.complain("name", f"{name!r} is no name", "lower-case letters, digits, '.', '_' and '-', 63 at most")
    mapped = item.section("groups")
    groups = () if mapped is None else tuple((key, mapped.take(key, str, "")) for key in list(mapped.mapping))
    for _, group in groups:
        if not NAME.fullmatch(group):
            item.complain("groups", f"{group!r} is no name of a group", "lower-case letters, digits, '.', '_' and '-'")
    found = OidcProvider(
        name,
        issuer,
        item.take("client_id", str, "", required=True),
        take_secret(item, "client_secret", directory, warnings),
        item.take("name_claim", str, "email"),
        item.take("groups_claim", str, "groups"),
        groups,
        tuple(item.texts("scopes")) if "scopes" in item.mapping else ("openid", "email", "profile"),
    )
    item.finish()
    return found


def _issuer(item: Section, directory: Path) -> TokenIssuer | None:
    before = len(item.problems)
    issuer: str = item.take("issuer", str, "", required=True)
    keys: str | Path = item.take("keys", str, "")
    if isinstance(keys, str) and keys.startswith("file:"):
        item.mapping["keys"] = keys.removeprefix("file:")
        keys = take_file(item, "keys", directory) or ""
    elif keys:
        _check_url(item, "keys", str(keys))
    elif issuer:
        _check_url(item, "issuer", issuer)
    algorithms = item.texts("algorithms") if "algorithms" in item.mapping else USUAL
    for name in algorithms:
        if name not in ALGORITHMS:
            item.complain("algorithms", f"{name!r} is no algorithm of these tokens", f"of {', '.join(ALGORITHMS)}")
    shown = item.texts("claims", may_be_empty=True) if "claims" in item.mapping else ()
    rules = tuple(_rule(one) for one in item.sections("rules"))
    if not rules:
        item.complain("rules", f"no rule of {item.where} says whose its tokens are", "rules: [{name: …, claims: {sub: …}}]")
    found = TokenIssuer(issuer, item.take("audience", str, "", required=True), keys, tuple(algorithms), rules, tuple(shown))
    item.finish()
    return found if len(item.problems) == before else None


def _rule(item: Section) -> TokenRule:
    name: str = item.take("name", str, "", required=True)
    groups = item.texts("groups", may_be_empty=True) if "groups" in item.mapping else ()
    for word in (name, *groups):
        if word and not NAME.fullmatch(word):
            item.complain("name", f"{word!r} is no name", "lower-case letters, digits, '.', '_' and '-', 63 at most")
    claims = item.section("claims")
    wanted: tuple[tuple[str, str], ...] = ()
    if claims is None or not claims.mapping:
        item.complain(
            "claims",
            "a rule without 'claims' would take every token of the issuer",
            "claims: {sub: …}, where * may stand for any part",
        )
    else:
        wanted = tuple((key, claims.take(key, str, "")) for key in list(claims.mapping))
        if all(pattern.strip("*") == "" for _, pattern in wanted):
            item.complain("claims", "these patterns fit every token of the issuer")
        claims.finish()
    item.finish()
    return TokenRule(name, tuple(groups), wanted)


def _check_url(item: Section, key: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return
    item.complain(key, f"{key!r} is no https URL", "https://… (http on loopback)" + (", or file:PATH" if key == "keys" else ""))
