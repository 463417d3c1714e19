"""Several people on the gateway's machine, told apart by the kernel: each account is somebody, or nobody."""

import http.client
import json
import os
import pwd
import re
import socket

import httpx
import pytest

POLICY = """
rules:
  - name: two-steps
    effects: [write]
    action: review
    review:
      steps:
        - {reviewers: {groups: [dba]}}
        - {reviewers: {groups: [leads]}}
"""
PEOPLE = """people:
  - {account: daemon, name: ann, groups: [dba, leads]}
  - {account: bin, name: lea, groups: [leads]}
  - {account: sys, name: aud, groups: [auditors, dba]}
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several accounts")


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password, policy=POLICY)
    running.stop()
    running.config.write_text(PEOPLE + running.config.read_text())
    running.folder.chmod(0o711)
    running.start()
    yield running
    running.stop()


class OverSocket(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("countersign.sock")


def ask(gateway, account, method, path, body=None):
    """What the API answers to an account, asked by a process of that account: status and JSON, or 0 where it hangs up."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(gateway.folder)
            os.setgroups([])
            os.setuid(pwd.getpwnam(account).pw_uid)
            connection = OverSocket("countersign")
            connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, {"Content-Type": "application/json"})
            response = connection.getresponse()
            os.write(writing, f"{response.status} {response.read().decode()}".encode())
        except (http.client.HTTPException, OSError):
            os.write(writing, b"0 {}")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        status, _, text = answers.read().decode().partition(" ")
    os.waitpid(child, 0)
    return int(status), json.loads(text)


def decide(gateway, account, review, kind="approve"):
    body = {"digest": review["digest"], "reason": "tried"}
    return ask(gateway, account, "POST", f"reviews/{review['id']}/{kind}", body)


def test_i7_steps_are_decided_by_different_people_and_by_nobody_else(gateway, in_background, direct):
    with gateway.connect() as connection:
        held = in_background(connection, "UPDATE orders SET status = 'by two people' WHERE id = 5")
        review = gateway.pending()
        assert gateway.cli("reviews", "approve", review["id"], ok=False).returncode == 1  # root is an administrator, and no dba
        assert decide(gateway, "bin", review)[0] == 403  # a lead, and the first step is for others
        assert decide(gateway, "sys", review)[0] == 403  # a dba, but auditors decide nothing
        assert decide(gateway, "games", review) == (0, {})  # nobody
        status, after = decide(gateway, "daemon", review)
        assert (status, after["state"], after["steps"][0]["approved_by"]) == (200, "pending", ["ann"])
        assert decide(gateway, "daemon", review)[0] == 409  # a lead too, but counts once
        assert held.rows == -1
        assert decide(gateway, "bin", review)[1]["state"] in ("approved", "executed")
        assert held.join().rows == 1
    assert direct.execute("SELECT status FROM orders WHERE id = 5").fetchone() == ("by two people",)
    decisions = [record["body"] for record in gateway.audit("review.decision")]
    assert [(one["reviewer"], one["step"]) for one in reversed(decisions)] == [("ann", 0), ("lea", 1)]


def test_a_reviewer_is_no_administrator(gateway):
    assert ask(gateway, "daemon", "GET", "me")[1]["identity"] == {"name": "ann", "kind": "user", "groups": ["dba", "leads"]}
    for method, path in (
        ("GET", "audit"),
        ("GET", "keys"),
        ("POST", "keys"),
        ("GET", "audit/verify"),
        ("POST", "audit/checkpoint"),
    ):
        assert ask(gateway, "daemon", method, path, {"name": "mine"} if method == "POST" else None)[0] == 403, path
    status, link = ask(gateway, "daemon", "POST", "console-links")
    assert status == 200 and "sign-in?token=" in link["url"]


FOR_ADMINISTRATORS = {
    ("POST", "keys"),
    ("POST", "keys/rotate"),
    ("DELETE", "keys/{key_id}"),
    ("POST", "audit/forget"),
    ("POST", "audit/checkpoint"),
    ("POST", "channels/{name}/retry"),
}
FOR_OVERSEERS = {
    ("GET", "keys"),
    ("GET", "audit"),
    ("GET", "audit/exports"),
    ("GET", "audit/verify"),
    ("POST", "audit/accesses"),
    ("GET", "channels"),
    ("GET", "channels/dead-letters"),
    ("GET", "sessions/{session_id}/recording"),
    ("GET", "sessions/{session_id}/recording/search"),
}
FOR_EVERYBODY = {
    ("GET", "health"),
    ("GET", "me"),
    ("GET", "targets"),
    ("GET", "reviews"),
    ("GET", "reviews/{review_id}"),
    ("GET", "reviews/{review_id}/estimate"),
    ("POST", "reviews/{review_id}/dry-run"),
    ("POST", "reviews/{review_id}/approve"),
    ("POST", "reviews/{review_id}/deny"),
    ("POST", "reviews/{review_id}/take-back"),
    ("POST", "reviews/{review_id}/force"),
    ("GET", "grants"),
    ("DELETE", "grants/{grant_id}"),
    ("GET", "sessions"),
    ("DELETE", "console-session"),
    ("POST", "console-links"),
}
"""Who may decide what, each review says for itself. The stream of events has no end, and is tried elsewhere."""
OPEN = {"sign-in", "sign-in/begin/{provider}", "sign-in/callback", "console-session", "openapi.json", "events"}


def test_every_route_says_who_may_use_it(gateway):
    """All of them, with each role: an administrator's accounts are root's here, so what is theirs alone is refused to the others."""
    with httpx.Client(base_url=gateway.console, trust_env=False) as http:
        paths = http.get("/api/v1/openapi.json").json()["paths"]
    found = {(method.upper(), path.removeprefix("/api/v1/")) for path, methods in paths.items() for method in methods}
    found = {
        (method, path) for method, path in found if path not in OPEN and path.partition("/")[2] != "healthz" and path != "/healthz"
    }
    named = FOR_ADMINISTRATORS | FOR_OVERSEERS | FOR_EVERYBODY
    assert {one for one in found - named if not one[1].startswith("hooks")} == set()
    for method, path in sorted(found & named):
        filled = re.sub(r"\{\w+\}", "none", path)
        for account, roles in (("daemon", "reviewer"), ("sys", "auditor")):
            status, _ = ask(gateway, account, method, filled, {} if method == "POST" else None)
            is_refused = (method, path) in FOR_ADMINISTRATORS or ((method, path) in FOR_OVERSEERS and roles == "reviewer")
            assert (status == 403) is is_refused, (method, path, roles, status)


def test_the_socket_is_for_its_owner_alone_where_there_are_no_others(make_gateway):
    gateway = make_gateway()
    gateway.folder.chmod(0o711)
    assert (gateway.folder / "countersign.sock").stat().st_mode & 0o777 == 0o600
    assert ask(gateway, "daemon", "GET", "me") == (0, {})
