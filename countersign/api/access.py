"""Who asks, and whether they may."""

import secrets
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from countersign.api.services import Services
from countersign.identity import local_person
from countersign.model import Identity
from countersign.model.identity import ADMINISTRATORS, AUDITORS

COOKIE = "countersign_session"
SOCKET_UID = "countersign.socket_uid"
"""The ASGI scope's key for the user id behind the admin socket; only the socket's own server sets it."""


def services_of(request: Request) -> Services:
    """The services that the application was made with."""
    services: Services = request.app.state.services
    return services


def address_of(request: Request) -> str:
    """From where somebody asks; empty over the admin socket."""
    return request.client.host if request.client else ""


def require_identity(request: Request) -> Identity:
    """The person behind the socket, or the one signed in to the console; anybody else is 401."""
    if SOCKET_UID in request.scope:
        person = local_person(request.scope[SOCKET_UID], services_of(request).config.people, "unix_socket")
        if person is None:
            raise HTTPException(401, "this account is not one of the gateway's people")
        return person
    identity = services_of(request).sign_in.identity(request.cookies.get(COOKIE, ""))
    if identity is None:
        raise HTTPException(401, "sign in first: with a provider, or by the link that countersign login prints")
    if request.method not in ("GET", "HEAD"):
        refuse_cross_site(request)
    return identity


def refuse_cross_site(request: Request) -> None:
    """A change must come from the console's own page: a header that forms cannot set, and the page's own origin."""
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    same = origin is None or secrets.compare_digest(origin.partition("://")[2].encode(), host.encode())
    if request.headers.get("x-countersign") != "console" or not same:
        raise HTTPException(403, "this request did not come from the console")


def require_administrator(identity: Annotated[Identity, Depends(require_identity)]) -> Identity:
    """An administrator; anybody else is 403."""
    if ADMINISTRATORS not in identity.groups:
        raise HTTPException(403, "only administrators may do this")
    return identity


def require_overseer(identity: Annotated[Identity, Depends(require_identity)]) -> Identity:
    """An administrator or an auditor, who see everything; anybody else is 403."""
    if not {ADMINISTRATORS, AUDITORS} & set(identity.groups):
        raise HTTPException(403, "only administrators and auditors may see this")
    return identity


Someone = Annotated[Identity, Depends(require_identity)]
Administrator = Annotated[Identity, Depends(require_administrator)]
Overseer = Annotated[Identity, Depends(require_overseer)]
Working = Annotated[Services, Depends(services_of)]
