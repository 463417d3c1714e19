"""The FastAPI application: routes, errors, headers, and the console's files."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from countersign import __version__
from countersign.api.access import SOCKET_UID
from countersign.api.channel_routes import router as channel_router
from countersign.api.oidc import router as oidc_router
from countersign.api.routes import router
from countersign.api.services import Services
from countersign.audit import AuditUnavailable
from countersign.identity import KeyProblem
from countersign.model.blast import NoBlastRadius
from countersign.notify import ChannelProblem
from countersign.recording import PlaceProblem, RecordingDamaged, RecordingLocked, RecordingNotFound
from countersign.reviews.errors import NotAReviewer, ReviewConflict, ReviewError, ReviewNotFound

log = structlog.get_logger(__name__)

CONSOLE = Path(__file__).with_name("console")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STATUS: dict[type[Exception], tuple[int, str]] = {
    ReviewNotFound: (404, "not_found"),
    NotAReviewer: (403, "not_a_reviewer"),
    ReviewConflict: (409, "conflict"),
    NoBlastRadius: (409, "no_blast_radius"),
    ReviewError: (422, "invalid"),
    KeyProblem: (422, "invalid"),
    ChannelProblem: (404, "not_found"),
    RecordingNotFound: (404, "not_found"),
    RecordingDamaged: (409, "damaged"),
    RecordingLocked: (409, "locked"),
    PlaceProblem: (503, "recordings_unavailable"),
    AuditUnavailable: (503, "store_unavailable"),
}
CODES = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict"}


def create_api(services: Services) -> FastAPI:
    """The application over these services."""
    app = FastAPI(title="Countersign", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.state.services = services
    app.include_router(router)
    app.include_router(channel_router)
    app.include_router(oidc_router)
    app.middleware("http")(_guard)
    for kind in STATUS:
        app.add_exception_handler(kind, _known_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unknown_error)
    if (CONSOLE / "index.html").is_file():
        app.mount("/", StaticFiles(directory=CONSOLE, html=True))
    else:
        app.get("/", include_in_schema=False)(_no_console)
    return app


def error_response(status: int, code: str, message: str) -> JSONResponse:
    """The one shape of an error."""
    return JSONResponse({"error": {"code": code, "message": message, "id": f"err-{secrets.token_hex(6)}"}}, status)


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Hosts that are not the console's own are refused (DNS rebinding); every answer carries the security headers."""
    if SOCKET_UID not in request.scope and not _is_own_host(request):
        return error_response(421, "wrong_host", "this host name is not the console's")
    response = await call_next(request)
    response.headers.update(HEADERS)
    if request.url.path.startswith("/api/"):
        response.headers["Cache-Control"] = "no-store"
    return response


def _is_own_host(request: Request) -> bool:
    config = request.app.state.services.config
    host = request.headers.get("host", "")
    known = {"localhost", "127.0.0.1", "::1", config.console.host}
    return host.rsplit(":", 1)[0].strip("[]") in known or host == urlsplit(config.console_url).netloc != ""


async def _known_error(request: Request, error: Exception) -> Response:
    for kind in type(error).__mro__:
        if kind in STATUS:
            status, code = STATUS[kind]
            if isinstance(error, AuditUnavailable):
                log.error("not_recorded", path=request.url.path, cause=str(error))
                return error_response(status, code, f"nothing was done: {error.trouble.public}")
            return error_response(status, code, str(error))
    return error_response(500, "internal", "internal error")


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, CODES.get(error.status_code, "error"), str(error.detail))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return error_response(422, "invalid", f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")


async def _unknown_error(request: Request, error: Exception) -> Response:
    response = error_response(500, "internal", "internal error")
    log.error("request_failed", path=request.url.path, error=str(error), response=bytes(response.body).decode())
    return response


async def _no_console() -> Response:
    return HTMLResponse("<!doctype html><title>Countersign</title><p>The console is not built: run <code>make console</code>.</p>")
