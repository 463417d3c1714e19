"""Every route of the API."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field

from countersign import __version__
from countersign.api.access import COOKIE, Administrator, Overseer, Someone, Working, address_of, refuse_cross_site
from countersign.api.shapes import (
    audit_json,
    blast_json,
    delivery_json,
    grant_json,
    identity_json,
    key_json,
    recent_json,
    review_json,
    verification_json,
)
from countersign.audit import AuditUnavailable, verify
from countersign.audit.access import Access, accessed
from countersign.audit.search import Query as AuditSearch
from countersign.model import AuditEvent, DecisionKind, Review, ReviewState
from countersign.model.clock import to_text
from countersign.recording.paging import HITS, PAGE, read_page
from countersign.recording.paging import search as search_recording
from countersign.reviews.grants import Wish

log = structlog.get_logger(__name__)

PING_S = 15.0
QUEUE = 1000
FORGET_S = 10.0
"""For how long one request removes what is old."""
RECENT = timedelta(hours=1)
"""How far before a review one looks for what its identity did."""

router = APIRouter()


class RecordingQuery(BaseModel):
    """Which page of a recording: from so many seconds on, or ``after`` the page that named this as the next."""

    start_s: float = Field(default=0.0, ge=0, le=1e9, alias="from", allow_inf_nan=False)
    after: str = Field(default="", max_length=30, pattern=r"^([0-9]+\.[0-9]+)?$")
    limit: int = Field(default=1000, ge=1, le=PAGE)


class AuditQuery(BaseModel):
    """What to look for in the log (``audit.search.Query``), below record ``before`` where one is given."""

    limit: int = 100
    before: int = Field(default=0, ge=0)
    kind: str = Field(default="", max_length=200)
    identity: str = Field(default="", max_length=200)
    target: str = Field(default="", max_length=200)
    rule: str = Field(default="", max_length=500)
    effect: str = Field(default="", max_length=50)
    table: str = Field(default="", max_length=500)
    text: str = Field(default="", max_length=1000)
    about: str = Field(default="", max_length=100)
    since: str = Field(default="", max_length=40)
    until: str = Field(default="", max_length=40)


class ForgetBody(BaseModel):
    """Up to when records lose their bodies."""

    before: AwareDatetime


class AccessBody(BaseModel):
    """What is read from the files."""

    how: Access
    what: str = Field(default="", max_length=500)


class Token(BaseModel):
    """A sign-in link's token."""

    token: str = Field(max_length=200)


class DecisionBody(BaseModel):
    """A decision on the digest that the reviewer saw."""

    digest: str = Field(max_length=64)
    reason: str = Field(default="", max_length=4000)


class GrantWish(BaseModel):
    """What an approval grants beyond this command: literals by their number from 1, as ``any``, ``1..100`` or ``open|closed``."""

    seconds: float = Field(gt=0, allow_inf_nan=False)
    uses: int = Field(ge=1)
    literals: dict[int, str] = {}


class DenialBody(DecisionBody):
    """A denial, which may propose what would be let through instead."""

    proposal: str = Field(default="", max_length=4000)


class ApprovalBody(DecisionBody):
    """An approval, which may hold only for so many rows, or make a grant as well."""

    grant: GrantWish | None = None
    at_most_rows: int | None = Field(default=None, ge=0)


class DigestBody(BaseModel):
    """The digest that the reviewer saw."""

    digest: str = Field(max_length=64)


class KeyBody(BaseModel):
    """A key to make."""

    name: str
    groups: list[str] = []
    days: float = 90


class RotateBody(BaseModel):
    """An account whose keys are exchanged; days may be parts of one."""

    name: str
    days: float = Field(default=90, allow_inf_nan=False)
    overlap_days: float = Field(default=1, ge=0, le=3660, allow_inf_nan=False)


@router.get("/healthz")
async def healthz(services: Working, response: Response) -> dict[str, Any]:
    """Whether the gateway lets anything through (else it answers 503), and how far exports of the log are behind; open to everybody and
    without anything worth knowing."""
    health = await services.health()
    if health.trouble is not None:
        response.status_code = 503
        return {"status": "not ok"}
    shown = ("name", "state", "lag_records", "lag_s")
    found = [delivery_json(status) for status in await services.deliveries()]
    exports = [{key: one[key] for key in shown} for one in found if one["kind"] == "export"]
    return {"status": "ok", "version": __version__, "targets": len(services.config.targets), "exports": exports}


@router.get("/api/v1/health")
async def health(services: Working, _: Someone) -> dict[str, Any]:
    """How the audit log is doing, which policy is in force, and in words what is wrong."""
    found, policy = await services.health(), services.policy()
    return {
        "status": "ok" if found.trouble is None else "not ok",
        "audit": "ok" if found.trouble is None else found.trouble.value,
        "message": "" if found.trouble is None else found.trouble.public,
        "records": found.records,
        "signed": found.signed,
        "checkpoint_age_s": found.unsigned_s,
        "witness_lag_s": found.witness_lag_s,
        "recordings": "ok" if found.recordings_writable else "unavailable",
        "policy": {
            "digest": policy.digest,
            "since": to_text(policy.since) if policy.since else None,
            "problem": policy.problem,
        },
    }


@router.post("/api/v1/console-session")
async def sign_in(body: Token, request: Request, response: Response, services: Working) -> dict[str, Any]:
    """Exchange a link's token for a session cookie."""
    refuse_cross_site(request)
    exchanged = services.sign_in.exchange(body.token)
    if exchanged is None:
        told = {"name": "", "target": "", "method": "console_link", "code": "wrong_secret", "reason": "used, expired or never made"}
        await services.failures.record(address_of(request), {**told, "client_address": address_of(request)})
        raise HTTPException(401, "this link was used or has expired: countersign login prints another")
    cookie, identity = exchanged
    who = {"by": identity.name, "authentication": identity.authentication, "client_address": address_of(request)}
    await services.audit.append(AuditEvent("console.signed_in", who))
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", path="/", max_age=8 * 3600)
    return {"identity": identity_json(identity)}


@router.delete("/api/v1/console-session")
async def sign_out(request: Request, response: Response, services: Working, _: Someone) -> dict[str, Any]:
    """End the session; ``sign_out_url`` is where the provider's own is ended, if one was used and says so."""
    where = services.sign_in.sign_out(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE, path="/")
    return {"sign_out_url": where}


@router.post("/api/v1/console-links")
async def console_link(services: Working, identity: Someone) -> dict[str, Any]:
    """A one-time link that signs the caller in to the console; only over the admin socket."""
    if identity.authentication != "unix_socket":
        raise HTTPException(403, "links are made on the gateway's own machine only")
    if not services.online:
        raise HTTPException(409, "the gateway is not running")
    body = {"by": identity.name, "authentication": identity.authentication}
    await services.audit.append(AuditEvent("console.link_made", body))
    return {"url": services.sign_in.link(identity)}


@router.get("/api/v1/me")
async def me(identity: Someone) -> dict[str, Any]:
    """Who is asking."""
    return {"identity": identity_json(identity)}


@router.get("/api/v1/targets")
async def targets(services: Working, _: Someone) -> dict[str, Any]:
    """Every target and where it listens."""
    return {"targets": services.targets()}


@router.get("/api/v1/reviews")
async def reviews(services: Working, _: Someone, state: ReviewState | None = None, limit: int = 500) -> dict[str, Any]:
    """Newest first; all states where none is named."""
    found = await services.reviews.select([state] if state else [], limit=max(1, min(limit, 5000)))
    return {"reviews": [review_json(review) for review in found]}


@router.get("/api/v1/reviews/{review_id}")
async def review(review_id: str, services: Working, identity: Someone) -> dict[str, Any]:
    """One review in full, with what its identity did just before."""
    found = await services.reviews.get(review_id)
    try:
        await services.audit.append(accessed(identity, Access.REVIEW, {"review_id": found.id}))
    except AuditUnavailable as error:  # reviewers must see what waits for them; nothing can be decided meanwhile
        log.error("access_not_recorded", by=identity.name, review_id=found.id, error=str(error))
    since = to_text(found.created_at - RECENT)
    commands = await services.audit.search(AuditSearch(kind="command", identity=found.identity, since=since), 10)
    recent = [recent_json(record) for record in commands]
    return review_json(found, recent) | {"may": services.reviews.open_to(found, identity)}


@router.get("/api/v1/reviews/{review_id}/estimate")
async def estimate(review_id: str, services: Working, _: Someone) -> dict[str, Any]:
    """What the held command would touch, by the target's plan."""
    return blast_json(await services.reviews.estimate(review_id))


@router.post("/api/v1/reviews/{review_id}/dry-run")
async def dry_run(review_id: str, body: DigestBody, services: Working, identity: Someone) -> dict[str, Any]:
    """The same by running it in a transaction that is rolled back."""
    return blast_json(await services.reviews.dry_run(review_id, identity, body.digest))


@router.post("/api/v1/reviews/{review_id}/approve")
async def approve(review_id: str, body: ApprovalBody, services: Working, identity: Someone) -> dict[str, Any]:
    """Approve exactly the command with this digest, and with a grant others of its shape."""
    wish = Wish(body.grant.seconds, body.grant.uses, body.grant.literals) if body.grant else None
    return await _decide(services, review_id, identity, DecisionKind.APPROVE, body, wish, body.at_most_rows)


@router.post("/api/v1/reviews/{review_id}/deny")
async def deny(review_id: str, body: DenialBody, services: Working, identity: Someone) -> dict[str, Any]:
    """Deny, with the reason that the agent reads."""
    return await _decide(services, review_id, identity, DecisionKind.DENY, body, proposal=body.proposal)


@router.post("/api/v1/reviews/{review_id}/take-back")
async def take_back(review_id: str, body: DecisionBody, services: Working, identity: Someone) -> dict[str, Any]:
    """Take the caller's own approval back, while the command has not run."""
    return await _decide(services, review_id, identity, DecisionKind.TAKE_BACK, body)


@router.post("/api/v1/reviews/{review_id}/force")
async def force(review_id: str, body: DecisionBody, services: Working, identity: Someone) -> dict[str, Any]:
    """Approve past all steps, where the rule's ``break_glass`` names the caller."""
    return await _decide(services, review_id, identity, DecisionKind.FORCE, body)


async def _decide(
    services: Working,
    review_id: str,
    identity: Someone,
    kind: DecisionKind,
    body: DecisionBody,
    wish: Wish | None = None,
    at_most_rows: int | None = None,
    proposal: str = "",
) -> dict[str, Any]:
    if not services.online:
        raise HTTPException(409, "the gateway is not running, so nothing is held")
    found = await services.reviews.get(review_id)
    decided = await services.reviews.decide(
        found.id, identity, kind, body.digest, body.reason, wish=wish, at_most_rows=at_most_rows, proposal=proposal
    )
    return review_json(decided)


@router.get("/api/v1/grants")
async def grants(services: Working, _: Someone, everything: Annotated[bool, Query(alias="all")] = False) -> dict[str, Any]:
    """Those that can still be used, or all of them, newest first."""
    now = datetime.now(UTC)
    return {"grants": [grant_json(grant, now) for grant in await services.grants.select(only_live=not everything)]}


@router.delete("/api/v1/grants/{grant_id}")
async def revoke_grant(grant_id: str, services: Working, identity: Someone) -> dict[str, Any]:
    """End a grant at once."""
    return {"grant": grant_json(await services.grants.revoke(grant_id, identity), datetime.now(UTC))}


@router.get("/api/v1/events")
async def events(request: Request, services: Working, _: Someone) -> StreamingResponse:
    """Server-sent events: ``review`` on every move of a review, ``ping`` every 15 s."""
    return StreamingResponse(_events(request, services), media_type="text/event-stream")


async def _events(request: Request, services: Working) -> AsyncIterator[str]:
    queue: asyncio.Queue[Review] = asyncio.Queue(QUEUE)

    def put(moved: Review) -> None:
        if not queue.full():  # a reader this slow fetches the list again when it reconnects
            queue.put_nowait(moved)

    stop = services.reviews.listen(put)
    try:
        yield "event: ping\ndata: {}\n\n"
        while not await request.is_disconnected():
            try:
                moved = await asyncio.wait_for(queue.get(), PING_S)
            except TimeoutError:
                yield "event: ping\ndata: {}\n\n"
                continue
            yield f"event: review\ndata: {json.dumps(review_json(moved))}\n\n"
    finally:
        stop()


@router.get("/api/v1/sessions")
async def sessions(services: Working, _: Someone) -> dict[str, Any]:
    """Newest first."""
    return {"sessions": await services.sessions.latest()}


@router.get("/api/v1/sessions/{session_id}/recording")
async def recording(
    session_id: str, services: Working, identity: Overseer, query: Annotated[RecordingQuery, Query()]
) -> dict[str, Any]:
    """What a session showed its client, a page of it: from a time on, or from where the page before said (``next``)."""
    asked = {"session_id": session_id, **query.model_dump()}
    await services.audit.append(accessed(identity, Access.RECORDING, asked))

    def read() -> dict[str, Any]:
        found = services.recordings.open(session_id)
        page = read_page(found, query.start_s, query.after, query.limit)
        return {
            "session_id": found.session_id,
            "events": page.events,
            "next": page.following,
            "problem": page.problem,
            "length_s": found.length_s,
            "is_closed": found.is_closed,
            "index": [{"first_s": one.first_us / 1e6, "last_s": one.last_us / 1e6, "events": one.events} for one in found.index()],
        }

    return await asyncio.to_thread(read)


@router.get("/api/v1/sessions/{session_id}/recording/search")
async def recording_search(
    session_id: str, services: Working, identity: Overseer, q: Annotated[str, Query(min_length=1, max_length=1000)]
) -> dict[str, Any]:
    """Where a recording holds a text. ``is_whole`` says whether these are all hits."""
    await services.audit.append(accessed(identity, Access.RECORDING, {"session_id": session_id, "q": q}))
    found = await asyncio.to_thread(lambda: list(islice(search_recording(services.recordings.open(session_id), q), HITS + 1)))
    return {"hits": found[:HITS], "is_whole": len(found) <= HITS}


@router.get("/api/v1/audit")
async def audit(services: Working, identity: Overseer, query: Annotated[AuditQuery, Query()]) -> dict[str, Any]:
    """The newest records that are hits, newest first."""
    await services.audit.append(accessed(identity, Access.SEARCH, query.model_dump()))
    asked = AuditSearch(**query.model_dump(exclude={"limit", "before"}))
    found = await services.audit.search(asked, max(1, min(query.limit, 5000)), before=query.before or None)
    return {"records": [audit_json(record) for record in found]}


@router.post("/api/v1/audit/forget")
async def audit_forget(body: ForgetBody, services: Working, identity: Administrator) -> dict[str, Any]:
    """Remove bodies of old records, as many as a few seconds allow; their hashes stay. ``is_done`` says whether that was all."""
    records, is_done = await services.audit.forget(body.before, identity, at_most_s=FORGET_S)
    return {"records": records, "is_done": is_done}


@router.post("/api/v1/audit/accesses")
async def audit_access(body: AccessBody, services: Working, identity: Overseer) -> dict[str, Any]:
    """Put on record that the caller reads the log or a recording from its files."""
    await services.audit.append(accessed(identity, body.how, {"what": body.what}))
    return {}


@router.post("/api/v1/audit/checkpoint")
async def audit_checkpoint(services: Working, _: Administrator) -> dict[str, Any]:
    """Sign the log as it is now."""
    return {"note": await services.sign()}


@router.get("/api/v1/audit/exports")
async def audit_exports(services: Working, _: Overseer) -> dict[str, Any]:
    """How the log's exports and witnesses are doing."""
    return {"exports": [delivery_json(one) for one in await services.deliveries() if not one.name.startswith("notify:")]}


@router.get("/api/v1/audit/verify")
async def audit_verify(services: Working, _: Overseer) -> dict[str, Any]:
    """Check the whole log, but for the signatures: who checks them has the key from elsewhere."""
    return verification_json(await asyncio.to_thread(verify, services.audit))


@router.get("/api/v1/keys")
async def keys(services: Working, _: Overseer) -> dict[str, Any]:
    """Every key, never its secret."""
    return {"keys": [key_json(key) for key in await services.keys.all()]}


@router.post("/api/v1/keys")
async def create_key(body: KeyBody, services: Working, identity: Administrator) -> dict[str, Any]:
    """Make a key; the answer is the only place where its secret ever stands."""
    key, secret = await services.keys.create(body.name, body.groups, days=body.days, by=identity)
    return {"key": key_json(key), "secret": secret}


@router.post("/api/v1/keys/rotate")
async def rotate_key(body: RotateBody, services: Working, identity: Administrator) -> dict[str, Any]:
    """Make another key for an account; its older ones expire when the overlap is over."""
    overlap = timedelta(days=body.overlap_days)
    key, secret = await services.keys.rotate(body.name, days=body.days, overlap=overlap, by=identity)
    return {"key": key_json(key), "secret": secret}


@router.delete("/api/v1/keys/{key_id}")
async def revoke_key(key_id: str, services: Working, identity: Administrator) -> dict[str, Any]:
    """Revoke a key: no session can be opened with it, and those that it has opened end."""
    return {"key": key_json(await services.keys.revoke(key_id, by=identity))}
