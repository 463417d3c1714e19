import base64
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from countersign.audit import Batch, encode, entry
from countersign.audit.export import JSONL, OCSF, Line, LineWriter
from countersign.audit.sinks import Parcel, SinkError, WebhookSink
from countersign.audit.sinks.webhook import retry_after_s, signing_key
from countersign.audit_settings import WebhookPlace
from countersign.model import AuditEvent
from countersign.settings import Secret

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
LINES = [Line(1, b'{"seq":1}', b'{"seq":1}'), Line(2, b'{"seq":2}', b'{"seq":2}')]


class Receiver:
    """Answers what the test says, and keeps what it is sent."""

    def __init__(self):
        self.answer, self.headers, self.requests = 204, {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(outer.answer)
                for key, value in outer.headers.items():
                    self.send_header(key, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret-path"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def sink(receiver, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"key of the hook").decode())
    monkeypatch.setenv("HOOK_TOKEN", "Splunk token-7a1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    place = WebhookPlace(receiver.url, Secret("env", "HOOK_SECRET"), Secret("env", "HOOK_TOKEN"))
    return WebhookSink(place, lambda: NOW)


def parcel(form=JSONL):
    return Parcel("siem", "0001-0002.jsonl", 1, 2, form, LINES)


async def test_a_parcel_is_signed_and_named_so_that_a_receiver_knows_it_again(receiver, sink):
    await sink.take(parcel())
    path, headers, body = receiver.requests[0]
    assert path == "/hook/secret-path" and body == b'{"seq":1}\n{"seq":2}\n'
    assert headers["content-type"] == "application/x-ndjson" and headers["authorization"] == "Splunk token-7a1"
    assert headers["webhook-id"] == "siem/0001-0002.jsonl"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(b"key of the hook", signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_ocsf_events_are_one_array(receiver, sink):
    await sink.take(parcel(OCSF))
    _, headers, body = receiver.requests[0]
    assert headers["content-type"] == "application/json" and json.loads(body) == [{"seq": 1}, {"seq": 2}]


@pytest.mark.parametrize("form", [JSONL, OCSF])
async def test_no_client_can_make_a_record_that_is_too_long_for_the_receiver(receiver, form):
    body = {"identity": "crew", "verdict": "deny", "rule": "r", "command": {"text": "SELECT 'ü\n'" * 50_000, "effects": ["read"]}}
    entries = [entry(encode(AuditEvent("command", body)), seq=seq, time="2026-11-24T09:00:00.500000Z") for seq in (1, 2)]
    lines = list(LineWriter(form).lines(Batch(1, 2, None, None, b"", b"\n".join(entries))))
    sink = WebhookSink(WebhookPlace(receiver.url, message_limit=4096), lambda: NOW)
    await sink.take(Parcel("siem", "1-2", 1, 2, form, lines))
    _, _, sent = receiver.requests[0]
    assert len(sent) < 2 * 4096 + 3
    told = json.loads(sent) if form is OCSF else [json.loads(line) for line in sent.splitlines()]
    for one, line in zip(told, lines, strict=True):
        text = one["query_info"]["query_string"] if form is OCSF else one["body"]["command"]["text"]
        cut = one["unmapped"]["cut"] if form is OCSF else one["cut"]
        assert body["command"]["text"].startswith(text) and len(text) > 500
        assert cut == {"bytes": len(line.data), "hash": line.record.hash}


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_who_is_busy_is_asked_again_and_not_sooner_than_they_say(receiver, sink, status):
    receiver.answer, receiver.headers = status, {"Retry-After": "17"}
    with pytest.raises(SinkError, match=str(status)) as caught:
        await sink.take(parcel())
    assert (caught.value.stuck, caught.value.wait_s) == (False, 17.0)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 413, 422])
async def test_who_refuses_what_is_sent_is_stuck_and_redirections_are_not_followed(receiver, sink, status):
    receiver.answer, receiver.headers = status, {"Location": "/elsewhere", "Retry-After": "17"}
    with pytest.raises(SinkError) as caught:
        await sink.take(parcel())
    assert caught.value.stuck and len(receiver.requests) == 1


async def test_i6_errors_say_neither_the_path_nor_a_secret(receiver, sink, monkeypatch):
    receiver.answer = 400
    said = []
    with pytest.raises(SinkError) as caught:
        await sink.take(parcel())
    said.append(str(caught.value))
    for broken in ("whsec_hunter2-no-base64!", "line\nhunter2"):
        monkeypatch.setenv("HOOK_SECRET" if broken.startswith("whsec") else "HOOK_TOKEN", broken)
        with pytest.raises(SinkError) as caught:
            await sink.take(parcel())
        said.append(str(caught.value))
    receiver.close()
    receiver.server.server_close()
    monkeypatch.setenv("HOOK_SECRET", "plain")
    monkeypatch.setenv("HOOK_TOKEN", "plain")
    with pytest.raises(SinkError, match="ConnectError") as caught:
        await sink.take(parcel())
    said.append(str(caught.value))
    assert not any(word in text for text in said for word in ("hook/", "secret-path", "hunter2", "token-7a1"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120),
        ("99999999999999999999", 3600),
        ("Tue, 24 Nov 2026 09:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 08:00:00 GMT", 0),
        ("Wed, 25 Nov 2026 09:00:00 GMT", 3600),
        ("soon", 0),
        ("-5", 0),
        ("²", 0),
    ],
)
def test_retry_after_in_both_forms(value, seconds):
    assert retry_after_s(value, NOW) == seconds


def test_a_secret_is_text_or_base64():
    assert signing_key("plain") == b"plain"
    assert signing_key("whsec_a2V5") == b"key"
