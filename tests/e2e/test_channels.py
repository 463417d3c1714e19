"""Channels of a real gateway: one that is down holds up nothing, and is told everything once it is back."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Hook:
    """Keeps what it is sent, or answers with ``refuses``."""

    def __init__(self):
        self.refuses, self.told, self.attempts = 503, [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.attempts += 1
                if not outer.refuses:
                    outer.told.append(json.loads(body))
                try:
                    self.send_response(outer.refuses or 200)
                    self.end_headers()
                except OSError:
                    pass  # the gateway was killed

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/path-secret-77d"

    def types(self, review_id):
        return [one["type"] for one in self.told if one["data"]["review_id"] == review_id]


@pytest.fixture(scope="module")
def hook():
    running = Hook()
    yield running
    running.server.shutdown()
    running.server.server_close()
    running.thread.join()


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory, hook):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password)
    running.stop()
    running.environment["HOOK"] = "secret-of-the-hook-1f8"
    channel = f"notify:\n  - {{name: ops, type: webhook, to: '{hook.url}', secret: env:HOOK}}\n"
    running.config.write_text(channel + running.config.read_text())
    running.start()
    yield running
    running.stop()


def test_a_channel_that_is_down_holds_up_no_review_and_is_told_everything_after_a_crash(gateway, hook, in_background, eventually):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 1")
        review = gateway.pending()["id"]
        eventually(lambda: hook.attempts, "an attempt")
        gateway.cli("reviews", "approve", review, "--yes")
        assert held.join().rows == 1
    assert not hook.told
    (channel,) = gateway.json("channels", "list")
    assert (channel["state"], channel["last_error"].endswith("it answers 503")) == ("failing", True)
    gateway.kill()
    hook.refuses = 0
    gateway.start()
    moves = ["review.opened", "review.decision", "review.approved", "review.released", "review.executed"]
    eventually(lambda: hook.types(review) == moves, "every move")
    assert hook.told[0]["data"]["command"]["text"] == "DELETE FROM orders WHERE id = 1"
    assert hook.told[0]["data"]["url"].endswith(f"/#/reviews/{review}")


def test_what_is_refused_can_be_told_again(gateway, hook, in_background, eventually):
    hook.refuses = 400
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 2")
        review = gateway.pending()["id"]
        (letter,) = eventually(lambda: gateway.json("channels", "dead"), "a dead letter")
        assert (letter["event"], letter["review_id"]) == ("review.opened", review)
        assert gateway.cli("channels", "retry", "ops", ok=False).returncode == 1
        hook.refuses = 0
        assert gateway.cli("channels", "retry", "ops").stdout == "1 told, 0 left\n"
        assert hook.types(review) == ["review.opened"]
        gateway.cli("reviews", "deny", review, "--reason", "no")
        held.join()
    eventually(lambda: hook.types(review)[-1] == "review.denied", "the denial")
    assert "path-secret-77d" not in gateway.everything_kept().replace(gateway.config.read_text(), "")
