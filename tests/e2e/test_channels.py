"""Channels of a real gateway: one that is down holds up nothing, and is told everything once it is back."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from slack_stand_in import CHANNEL, SIGNING_SECRET, TOKEN, Workspace, send


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
                with contextlib.suppress(OSError):  # the gateway was killed
                    self.send_response(outer.refuses or 200)
                    self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
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
def workspace():
    running = Workspace()
    yield running
    running.close()
    assert running.problems == []


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory, hook, workspace):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password)
    running.stop()
    running.environment |= {"HOOK": "secret-of-the-hook-1f8", "SLACK": TOKEN, "SIGNING": SIGNING_SECRET}
    channels = f"""notify:
  - {{name: ops, type: webhook, to: '{hook.url}', secret: env:HOOK}}
  - name: oncall
    type: slack
    channel: {CHANNEL}
    token: env:SLACK
    signing_secret: env:SIGNING
    api: {workspace.api}
    listen: 127.0.0.1:0
    people: [{{email: ann@example.com, name: ann, groups: [reviewers]}}]
"""
    running.config.write_text(channels + running.config.read_text())
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
    channel, slack = gateway.json("channels", "list")
    assert (slack["name"], slack["state"]) == ("oncall", "ok")
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


def test_a_click_in_slack_releases_the_held_command(gateway, workspace, in_background, eventually):
    hook = next(line.split()[-1] for line in reversed(gateway.log) if line.startswith("channel oncall takes decisions on"))
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = 3")
        review = gateway.pending()
        ts = eventually(lambda: next((ts for ts in workspace.messages if review["id"] in workspace.reads(ts)), None), "a message")
        eventually(lambda: workspace.buttons(ts).get("Approve"), "the button")
        assert "Touches about 1 rows (DELETE)" in workspace.reads(ts)
        assert send(f"http://{hook}/slack", workspace.press(ts, "Approve"), secret="another").status_code == 401
        assert send(f"http://{hook}/slack", workspace.press(ts, "Approve")).status_code == 200
        assert held.join().rows == 1
    eventually(lambda: set(workspace.buttons(ts)) == {"Open in the console"}, "the message to follow")
    (decision,) = gateway.review(review["id"])["decisions"]
    assert (decision["reviewer"], decision["authentication"]) == ("ann", "slack")
    assert [one["body"]["code"] for one in gateway.audit("authentication.failed")] == ["wrong_signature"]
    kept = gateway.everything_kept().replace(gateway.config.read_text(), "")
    assert not [secret for secret in (TOKEN, SIGNING_SECRET) if secret in kept]
