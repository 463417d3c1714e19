"""A stand-in of Slack: its Web API, strict about what it is sent, and the requests that people's clicks make.

Limits and fields are those of docs.slack.dev/reference: whatever breaks one is answered ``ok: false`` as Slack does, and kept in
``problems``, which a test expects to be empty.
"""

import contextlib
import hashlib
import hmac
import itertools
import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

TOKEN, SIGNING_SECRET, APP_TOKEN = "xoxb-token-of-the-bot-41c", "signing-secret-8f1", "xapp-token-of-the-app-77e"
TEAM, CHANNEL = "T0OURS", "C0APPROVALS"


class Refusal(Exception):
    """``ok: false`` with this error."""


class Checks:
    """What Block Kit allows, as far as the gateway could use it."""

    def text(self, value, kinds=("plain_text", "mrkdwn"), limit=3000):
        assert isinstance(value, dict), f"no text object: {value!r}"
        assert value["type"] in kinds, value["type"]
        assert set(value) <= {"type", "text", "emoji", "verbatim"}, set(value)
        assert isinstance(value["text"], str) and 1 <= len(value["text"]) <= limit, f"{len(value['text'])} of {limit} characters"
        assert "emoji" not in value or value["type"] == "plain_text"

    def blocks(self, blocks, surface):
        assert isinstance(blocks, list) and 1 <= len(blocks) <= (50 if surface == "message" else 100), "number of blocks"
        ids = [block["block_id"] for block in blocks if "block_id" in block]
        assert len(ids) == len(set(ids)), "block ids repeat"
        for block in blocks:
            assert len(block.get("block_id", "")) <= 255
            getattr(self, f"block_{block['type']}")(block, surface)

    def only(self, value, *keys):
        assert set(value) <= {"type", "block_id", *keys}, f"unknown fields: {set(value) - {'type', 'block_id', *keys}}"

    def block_header(self, block, surface):
        self.only(block, "text")
        self.text(block["text"], ("plain_text",), 150)

    def block_section(self, block, surface):
        self.only(block, "text", "fields")
        assert "text" in block or "fields" in block
        if "text" in block:
            self.text(block["text"])
        assert 1 <= len(block.get("fields", [0])) <= 10
        for field in block.get("fields", []):
            self.text(field, limit=2000)

    def block_context(self, block, surface):
        self.only(block, "elements")
        assert 1 <= len(block["elements"]) <= 10
        for element in block["elements"]:
            self.text(element)

    def block_rich_text(self, block, surface):
        self.only(block, "elements")
        for element in block["elements"]:
            assert element["type"] == "rich_text_preformatted" and set(element) <= {"type", "elements", "border"}
            for part in element["elements"]:
                assert set(part) == {"type", "text"} and part["type"] == "text" and 1 <= len(part["text"]) <= 3000

    def block_actions(self, block, surface):
        self.only(block, "elements")
        assert 1 <= len(block["elements"]) <= 25
        actions = [element["action_id"] for element in block["elements"]]
        assert len(actions) == len(set(actions)), "action ids repeat"
        for element in block["elements"]:
            assert element["type"] == "button"
            assert set(element) <= {"type", "action_id", "text", "style", "value", "url", "confirm"}, set(element)
            self.text(element["text"], ("plain_text",), 75)
            assert 1 <= len(element["action_id"]) <= 255 and len(element.get("value", "")) <= 2000
            assert len(element.get("url", "")) <= 3000 and element.get("style", "primary") in ("primary", "danger")

    def block_input(self, block, surface):
        assert surface == "modal"
        self.only(block, "label", "element", "optional", "hint")
        self.text(block["label"], ("plain_text",), 2000)
        element = block["element"]
        assert element["type"] == "plain_text_input" and set(element) <= {
            "type",
            "action_id",
            "multiline",
            "max_length",
            "min_length",
        }
        assert 1 <= element.get("max_length", 1) <= 3000

    def view(self, view):
        self.only(view, "callback_id", "private_metadata", "title", "submit", "close", "blocks")
        assert view["type"] == "modal"
        for name in ("title", "submit", "close"):
            self.text(view[name], ("plain_text",), 24)
        assert len(view.get("private_metadata", "")) <= 3000 and len(view.get("callback_id", "")) <= 255
        self.blocks(view["blocks"], "modal")


class Workspace:
    """``messages`` by their time stamps as they stand now, ``replies`` in threads, ``whispers`` to one person, ``views`` that were opened.
    ``fails`` is an error that every call answers, or an HTTP status. Messages are posted in order of their time stamps."""

    def __init__(self):
        self.messages, self.replies, self.whispers, self.views, self.calls, self.problems = {}, [], [], [], [], []
        self.fails = None
        self.users = {}
        self.sockets = None
        self._numbers = itertools.count(1)
        self._triggers = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = outer._answer(self.path, self.headers, body)
                data = json.dumps(answer).encode()
                with contextlib.suppress(OSError):  # the gateway was killed
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.api = f"http://127.0.0.1:{self.server.server_port}/api"
        self.join("U0ANN", "ann@example.com")

    def close(self):
        if self.sockets is not None:
            self.sockets.close()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def join(self, user_id, email, **more):
        """A member, a guest or a bot."""
        user = {
            "id": user_id,
            "team_id": TEAM,
            "name": user_id.lower(),
            "deleted": False,
            "is_bot": False,
            "is_email_confirmed": True,
        }
        self.users[user_id] = user | {"profile": {"email": email}} | more

    # -- the Web API
    def _answer(self, path, headers, body):
        method = path.removeprefix("/api/")
        self.calls.append(method)
        if isinstance(self.fails, int):
            return self.fails, {}
        try:
            if self.fails:
                raise Refusal(self.fails)
            token = APP_TOKEN if method == "apps.connections.open" else TOKEN
            if headers["authorization"] != f"Bearer {token}":
                raise Refusal("invalid_auth")
            if headers["content-type"].startswith("application/json"):
                assert "charset=utf-8" in headers["content-type"]
                assert method not in ("users.info", "auth.test"), "takes no JSON"
                arguments = json.loads(body)
            else:
                arguments = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            return 200, {"ok": True} | getattr(self, "call_" + method.replace(".", "_"))(arguments)
        except Refusal as refusal:
            return 200, {"ok": False, "error": str(refusal)}
        except (AssertionError, KeyError, AttributeError, TypeError) as error:
            self.problems.append(f"{method}: {error!r}")
            return 200, {"ok": False, "error": "invalid_blocks"}

    def _message(self, arguments):
        assert 1 <= len(arguments["text"]) <= 40_000
        assert "<" not in arguments["text"], "markup in a notification"
        Checks().blocks(arguments["blocks"], "message")

    def call_chat_postMessage(self, arguments):
        allowed = {"channel", "text", "blocks", "unfurl_links", "unfurl_media", "thread_ts", "reply_broadcast"}
        assert set(arguments) <= allowed, set(arguments) - allowed
        if arguments["channel"] != CHANNEL:
            raise Refusal("channel_not_found")
        self._message(arguments)
        ts = f"17000{next(self._numbers):05d}.000100"
        if "thread_ts" in arguments:
            assert arguments["thread_ts"] in self.messages
            self.replies.append(arguments)
        else:
            self.messages[ts] = arguments
        return {"channel": CHANNEL, "ts": ts, "message": {}}

    def call_chat_update(self, arguments):
        assert set(arguments) <= {"channel", "ts", "text", "blocks"}
        if arguments["ts"] not in self.messages:
            raise Refusal("message_not_found")
        self._message(arguments)
        self.messages[arguments["ts"]] = arguments
        return {"channel": CHANNEL, "ts": arguments["ts"], "text": arguments["text"]}

    def call_chat_postEphemeral(self, arguments):
        assert set(arguments) <= {"channel", "user", "text", "blocks"} and arguments["user"] in self.users
        assert 1 <= len(arguments["text"]) <= 40_000 and "<" not in arguments["text"]
        self.whispers.append((arguments["user"], arguments["text"]))
        return {"message_ts": "1.1"}

    def call_views_open(self, arguments):
        assert set(arguments) == {"trigger_id", "view"}
        if arguments["trigger_id"] not in self._triggers:
            raise Refusal("expired_trigger_id")
        self._triggers.remove(arguments["trigger_id"])
        Checks().view(arguments["view"])
        self.views.append(arguments["view"])
        return {"view": {"id": "V1"}}

    def call_users_info(self, arguments):
        if arguments["user"] not in self.users:
            raise Refusal("user_not_found")
        return {"user": self.users[arguments["user"]]}

    def call_auth_test(self, _):
        return {"team_id": TEAM, "user_id": "U0BOT", "bot_id": "B0BOT"}

    # -- Socket Mode
    def call_apps_connections_open(self, _):
        if self.sockets is None:
            self.sockets = Sockets(self)
        return {"url": f"{self.sockets.url}/link/?ticket=t-1&app_id=a-1"}

    # -- what people see and do
    def buttons(self, ts):
        """The buttons of a message by their words."""
        found = [one for block in self.messages[ts]["blocks"] if block["type"] == "actions" for one in block["elements"]]
        return {one["text"]["text"]: one for one in found}

    def reads(self, ts):
        """Everything that a message says."""
        return json.dumps(self.messages[ts]["blocks"], ensure_ascii=False)

    def press(self, ts, word, user="U0ANN", **more):
        """The payload of a click."""
        button = self.buttons(ts)[word]
        trigger = f"{next(self._numbers)}.trigger"
        self._triggers.add(trigger)
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "team_id": TEAM},
            "api_app_id": "A0APP",
            "team": {"id": TEAM, "domain": "ours"},
            "container": {"type": "message", "message_ts": ts, "channel_id": CHANNEL, "is_ephemeral": False},
            "channel": {"id": CHANNEL, "name": "approvals"},
            "trigger_id": trigger,
            "response_url": "https://hooks.slack.example/actions/T/1/x",
            "actions": [{"type": "button", "block_id": "b", "action_ts": "1.1", **button}],
        } | more

    def submit(self, reason, user="U0ANN"):
        """The payload of the newest dialog, sent off with a reason."""
        view = self.views[-1]
        block = next(block for block in view["blocks"] if block["type"] == "input")
        values = {block["block_id"]: {block["element"]["action_id"]: {"type": "plain_text_input", "value": reason}}}
        return {
            "type": "view_submission",
            "user": {"id": user, "team_id": TEAM},
            "team": {"id": TEAM},
            "view": {
                "id": "V1",
                "type": "modal",
                "callback_id": view["callback_id"],
                "private_metadata": view["private_metadata"],
                "state": {"values": values},
            },
        }


class Sockets:
    """Slack's side of Socket Mode. Envelopes go to the newest connection."""

    def __init__(self, workspace):
        self._workspace = workspace
        self._opened = queue.Queue()
        self._receipts = queue.Queue()
        self._numbers = itertools.count(1)
        self._server = serve(self._serve, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _serve(self, socket):
        socket.send(json.dumps({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0APP"}}))
        self._opened.put(socket)
        try:
            for message in socket:
                receipt = json.loads(message)
                if not set(receipt) <= {"envelope_id", "payload"}:
                    self._workspace.problems.append(f"receipt: {message}")
                self._receipts.put(receipt)
        except ConnectionClosed:
            pass

    def newest(self):
        """The next connection that is opened."""
        return self._opened.get(timeout=20)

    def push(self, socket, payload, envelope_id=""):
        """Send an interaction; the receipt."""
        envelope_id = envelope_id or f"e-{next(self._numbers)}"
        envelope = {"envelope_id": envelope_id, "type": "interactive", "payload": payload, "accepts_response_payload": True}
        socket.send(json.dumps(envelope))
        receipt = self._receipts.get(timeout=20)
        assert receipt["envelope_id"] == envelope_id
        return receipt

    def close(self):
        self._server.shutdown()
        self._thread.join()


def signed(payload, secret=SIGNING_SECRET, at=None):
    """Body and headers of the request that Slack makes of a payload."""
    body = urlencode({"payload": json.dumps(payload)}).encode()
    moment = str(int(time.time() if at is None else at))
    signature = hmac.digest(secret.encode(), f"v0:{moment}:".encode() + body, hashlib.sha256).hex()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": moment,
        "x-slack-signature": f"v0={signature}",
    }
    return body, headers


def send(url, payload, **more):
    """Send a payload as Slack does."""
    body, headers = signed(payload, **more)
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=10)
