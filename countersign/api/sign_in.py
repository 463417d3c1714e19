"""Sessions of the console: begun by a one-time link that is made on the gateway's machine, or by an identity provider; then a cookie."""

import hashlib
import secrets
from datetime import datetime, timedelta

from countersign.model import Identity
from countersign.model.clock import Clock

LINK_LIFE = timedelta(minutes=10)
SESSION_LIFE = timedelta(hours=8)


class ConsoleSignIn:
    """Links and sessions, in memory and hashed: a restart signs everybody out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[str, tuple[Identity, datetime]] = {}
        self._sessions: dict[str, tuple[Identity, datetime]] = {}
        self._sign_out_urls: dict[str, str] = {}
        self.base_url = ""

    def link(self, identity: Identity) -> str:
        """A link that signs this identity in, once, within ten minutes. The token is in the fragment, so no server logs it."""
        return f"{self.base_url}/#/sign-in?token={self._keep(self._links, identity, LINK_LIFE)}"

    def exchange(self, token: str) -> tuple[str, Identity] | None:
        """Use a link's token up: a session's cookie value and who it is."""
        identity = self._known(self._links, token)
        self._links.pop(_hashed(token), None)
        if identity is None:
            return None
        signed_in = Identity(identity.name, identity.kind, identity.groups, authentication="console_link")
        return self._keep(self._sessions, signed_in, SESSION_LIFE), signed_in

    def begin(self, identity: Identity, sign_out_url: str) -> str:
        """A session of somebody whom a provider has proved: its cookie value."""
        cookie = self._keep(self._sessions, identity, SESSION_LIFE)
        self._sign_out_urls = {key: url for key, url in self._sign_out_urls.items() if key in self._sessions}
        self._sign_out_urls[_hashed(cookie)] = sign_out_url
        return cookie

    def identity(self, cookie: str) -> Identity | None:
        """Who a cookie belongs to."""
        return self._known(self._sessions, cookie)

    def sign_out(self, cookie: str) -> str:
        """End a session. Where the provider's own is ended; '' where there is none."""
        self._sessions.pop(_hashed(cookie), None)
        return self._sign_out_urls.pop(_hashed(cookie), "")

    def _keep(self, kept: dict[str, tuple[Identity, datetime]], identity: Identity, life: timedelta) -> str:
        now = self._clock()
        for key in [key for key, (_, end) in kept.items() if end <= now]:
            del kept[key]
        token = secrets.token_urlsafe(32)
        kept[_hashed(token)] = (identity, now + life)
        return token

    def _known(self, kept: dict[str, tuple[Identity, datetime]], token: str) -> Identity | None:
        identity, end = kept.get(_hashed(token), (None, self._clock()))
        return identity if self._clock() < end else None


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
