"""Reviews in a real store, with channels behind its log, and a receiver that answers what the test says."""

import asyncio
import itertools
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from countersign.model import (
    Action,
    AuditEvent,
    Command,
    DecisionKind,
    Effect,
    Identity,
    IdentityKind,
    Parameter,
    ReviewTerms,
    Session,
    Step,
    Subjects,
    Target,
    Verdict,
)
from countersign.notify import Channels, tellings
from countersign.reviews.grants import Grants
from countersign.reviews.service import Ask, ReviewService
from countersign.store import Database, StoredAuditLog, StoredCursors, StoredGrants, StoredNotices, StoredReviews

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",), on_behalf_of="alice")
ANN = Identity("ann", IdentityKind.USER, ("dba",), authentication="test")


class Receiver:
    """A web server: ``answer`` is a status, or a function of path, headers and body to a status and a body."""

    def __init__(self):
        self.answer, self.requests, self.headers = 200, [], {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                answered = outer.answer(self.path, headers, body) if callable(outer.answer) else (outer.answer, b"")
                self.send_response(answered[0])
                for key, value in outer.headers.items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(answered[1])))
                self.end_headers()
                self.wfile.write(answered[1])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Scene:
    def __init__(self, place):
        self.place = place
        self.now = START
        self._numbers = itertools.count(1)
        self.channels = ()
        self._open()

    def _open(self):
        self.database = Database.open(self.place, lambda: self.now)
        self.log = StoredAuditLog(self.database)
        self.store = StoredNotices(self.database)
        grants = Grants(StoredGrants(self.database), lambda: self.now, self.new_id)
        self.reviews = ReviewService(StoredReviews(self.database), grants, lambda: self.now, self.new_id)

    def new_id(self, prefix):
        return f"{prefix}-{next(self._numbers):04d}"

    def restart(self):
        self.database.close()
        self._open()

    async def configure(self, *channels):
        """Have these channels, whose cursors stand at the log's end."""
        self.channels = channels
        self.tellings = tellings(
            channels,
            StoredReviews(self.database),
            self.log,
            StoredCursors(self.database),
            self.store,
            lambda: self.now,
            lambda review_id: f"https://console.example/#/reviews/{review_id}",
            self.reviews.estimate,
        )
        self.asked = Channels(self.tellings, self.store, self.log)
        await self.deliver()
        return self.tellings[0] if self.tellings else None

    async def deliver(self):
        """One attempt at everything there is, of each channel."""
        for one in self.tellings:
            one.delivery.finish()
            await asyncio.wait_for(one.delivery.run(), 20)

    async def open(
        self, text="DELETE FROM orders WHERE id = 1", parameters=(), groups=("dba",), surveyor=None, asks_unmasked=False
    ):
        shown = tuple(Parameter(one.encode(), False, 25, one) for one in parameters)
        command = Command("postgres", text.encode(), text, frozenset({Effect.WRITE}), parameters=shown, asks_unmasked=asks_unmasked)
        self.digest = command.digest(session_id="se-1", identity="crew", target="shop", database="shop")
        self.held = await self.reviews.open(
            Ask(
                Session("se-1", CREW, Target("shop", "postgres"), "10.0.0.9", START, database="shop", application="<!channel> app"),
                command,
                Verdict(Action.REVIEW, "writes", terms=ReviewTerms((Step(Subjects(groups)),))),
                "cmd-1",
                self.digest,
                lambda review_id: AuditEvent("command", {"review_id": review_id, "text": '"kind":"review.opened"'}),
                surveyor=surveyor,
            )
        )
        return self.held.review

    async def decide(self, kind=DecisionKind.APPROVE, who=ANN, reason="because"):
        return await self.reviews.decide(self.held.review.id, who, kind, self.digest, reason)

    def later(self, **delta):
        self.now += timedelta(**delta)

    async def kinds(self):
        return [record.kind for record in self.log.records()]


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path / "store.db")
    yield made
    made.database.close()


@pytest.fixture
def scene_in_either_store(store_place):
    made = Scene(store_place)
    yield made
    made.database.close()
