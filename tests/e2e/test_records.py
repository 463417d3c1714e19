"""A record for each thing that happened: who failed to come in, what was changed, and who looked."""

import hashlib
import os
import pwd

import httpx
import psycopg
import pytest

OWNER = f"os:{pwd.getpwuid(os.getuid()).pw_name}"


def fail_to_connect(gateway, key, user="crew"):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=gateway.port, dbname="shop", user=user, password=key)


def test_each_failed_authentication_says_who_tried_and_why_and_never_the_secret(make_gateway):
    gateway = make_gateway()
    fail_to_connect(gateway, "cs_guessed-secret")
    fail_to_connect(gateway, "x", user="a\x1b[2J" + "b" * 500)
    revoked = gateway.cli("keys", "create", "late").stdout.strip()
    [key] = [one for one in gateway.json("keys", "list") if one["identity"] == "late"]
    gateway.cli("keys", "revoke", key["id"])
    fail_to_connect(gateway, revoked, user="late")
    bodies = [record["body"] for record in reversed(gateway.audit("authentication.failed"))]
    assert [body["code"] for body in bodies] == ["wrong_secret", "wrong_secret", "key_revoked"]
    assert bodies[0]["name"] == "crew" and bodies[0]["target"] == "shop" and bodies[0]["client_address"].startswith("127.0.0.1")
    assert "\x1b" not in bodies[1]["name"] and bodies[1]["name"].endswith("…") and len(bodies[1]["name"]) <= 130
    assert bodies[2]["key_id"] == key["id"]
    kept = gateway.everything_kept()
    assert "guessed-secret" not in kept and revoked not in kept


def test_a_flood_of_failures_is_counted_and_does_not_fill_the_log(make_gateway):
    gateway = make_gateway()
    for _ in range(30):
        fail_to_connect(gateway, "wrong")
    assert len(gateway.audit("authentication.failed")) == 20
    gateway.stop()  # or the end of the minute
    [counted] = gateway.audit("authentication.failures")
    assert counted["body"] == {"client_address": "127.0.0.1", "count": 10}


def test_what_changed_since_the_last_start_is_on_record_with_each_files_digest(make_gateway, audit_schema):
    gateway = make_gateway()
    assert not gateway.audit("configuration.changed")
    before = gateway.audit("gateway.started")[0]["body"]
    gateway.stop()
    gateway.start()
    assert not gateway.audit("configuration.changed")
    gateway.stop()
    policy = gateway.folder / "policy.yaml"
    policy.write_text(policy.read_text() + "# changed\n")
    gateway.start()
    [changed] = gateway.audit("configuration.changed")
    body = changed["body"]
    digests = [{one["file"]: one["digest"] for one in side["policies"]}[str(policy)] for side in (body["before"], body["after"])]
    assert body["before"]["policy_digest"] == before["policy_digest"] != body["after"]["policy_digest"]
    assert digests[0] != digests[1] == hashlib.sha256(policy.read_bytes()).hexdigest()
    assert body["before"]["config_digest"] == body["after"]["config_digest"] and body["by"] == OWNER
    assert not [problem for record in gateway.audit() for problem in audit_schema.problems(record["kind"], record["body"])]


def test_who_looks_at_the_evidence_is_on_record_while_the_gateway_runs_and_while_it_does_not(make_gateway, in_background):
    gateway = make_gateway()
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = -1")
        review = gateway.pending()
        gateway.review(review["id"])
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()
    session = gateway.json("sessions", "list")[0]["id"]
    gateway.cli("audit", "search", "--text", "needle")
    gateway.cli("replay", session)
    gateway.cli("audit", "checkpoint", "--now")
    gateway.cli("audit", "prove", "1")
    gateway.stop()
    gateway.cli("audit", "export")
    found = {(one["body"]["how"], one["body"]["by"]): one["body"]["query"] for one in reversed(gateway.audit("audit.accessed"))}
    assert {how for how, by in found if by == OWNER} == {"review", "search", "recording", "prove", "export"}
    assert found["recording", OWNER] == {"what": session} and found["review", OWNER] == {"review_id": review["id"]}
    searched = [
        record["body"]["query"].get("text") for record in gateway.audit("audit.accessed") if record["body"]["how"] == "search"
    ]
    assert "needle" in searched
    checked = gateway.json("audit", "verify")
    assert checked["ok"] and checked["signed"] == checked["records"]


def test_signing_in_to_the_console_is_on_record_and_so_is_a_link_that_does_not_hold(make_gateway):
    gateway = make_gateway()
    token = gateway.cli("login").stdout.strip().partition("token=")[2]
    headers = {"X-Countersign": "console"}
    answers = [
        httpx.post(f"{gateway.console}/api/v1/console-session", json={"token": one}, headers=headers, trust_env=False).status_code
        for one in (token, token)
    ]
    assert answers == [200, 401]
    assert gateway.audit("console.link_made")[0]["body"]["by"] == OWNER
    assert gateway.audit("console.signed_in")[0]["body"] == {
        "by": OWNER,
        "authentication": "console_link",
        "client_address": "127.0.0.1",
    }
    assert gateway.audit("authentication.failed")[0]["body"]["method"] == "console_link"
    assert token not in gateway.everything_kept()
