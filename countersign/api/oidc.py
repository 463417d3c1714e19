"""Signing in with an OpenID Connect provider: the browser leaves for it, and comes back with a code."""

import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from countersign.api.access import COOKIE, Working, address_of
from countersign.api.services import Services
from countersign.identity import SignInRefused
from countersign.model import AuditEvent

router = APIRouter()

STATE_COOKIE = "countersign_sign_in"
CALLBACK = "/api/v1/sign-in/callback"


@router.get("/api/v1/sign-in")
async def providers(services: Working) -> dict[str, Any]:
    """Whom one may sign in with; open to everybody."""
    return {"providers": services.oidc.names}


@router.get("/api/v1/sign-in/begin/{provider}")
async def begin(provider: str, services: Working) -> Response:
    """Send the browser to a provider; a cookie ties what comes back to this browser."""
    try:
        where, state = await services.oidc.begin(provider, services.public_url() + CALLBACK)
    except SignInRefused as refused:
        return _back(refused.code)
    response = RedirectResponse(where, 303)
    is_secure = services.public_url().startswith("https:")
    # Lax, for it has to come along when the provider sends the browser back.
    response.set_cookie(STATE_COOKIE, state, httponly=True, samesite="lax", secure=is_secure, path=CALLBACK, max_age=600)
    return response


@router.get(CALLBACK)
async def callback(request: Request, services: Working, state: str = "", code: str = "", error: str = "") -> Response:
    """Take the provider's code for a session."""
    try:
        if not state or not secrets.compare_digest(request.cookies.get(STATE_COOKIE, "").encode(), state.encode()):
            raise SignInRefused("wrong_secret", "this sign-in was not begun in this browser: begin again")
        if error or not code:
            raise SignInRefused("refused_there", "the provider did not sign you in")
        home = services.public_url() + "/"
        found = await services.oidc.finish(state, code, services.public_url() + CALLBACK, home)
    except SignInRefused as refused:
        await _failed(request, services, refused)
        return _back(refused.code)
    identity = found.identity
    who = {"by": identity.name, "authentication": identity.authentication, "client_address": address_of(request)}
    await services.audit.append(AuditEvent("console.signed_in", who))
    response = _back("")
    cookie = services.sign_in.begin(identity, found.sign_out_url)
    is_secure = services.public_url().startswith("https:")
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=is_secure, path="/", max_age=8 * 3600)
    return response


async def _failed(request: Request, services: Services, refused: SignInRefused) -> None:
    body = {"name": "", "target": "", "client_address": address_of(request), "method": "oidc"}
    await services.failures.record(address_of(request), {**body, "code": refused.code, "reason": str(refused)})


def _back(problem: str) -> Response:
    """To the console, which has words for the problem where there is one: an address that anybody can make must not bring words of its own."""
    response = RedirectResponse(f"/#/sign-in?problem={problem}" if problem else "/", 303)
    response.delete_cookie(STATE_COOKIE, path=CALLBACK)
    return response
