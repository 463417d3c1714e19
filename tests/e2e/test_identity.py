"""Programs prove who they are, and what has opened a session counts no more."""

import json
import time

import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

CLAIMS_POLICY = """
rules:
  - {name: changes-wait, effects: [write], action: review}
  - {name: only-main, when: "'ref' in identity.claims && identity.claims.ref == 'closed'", action: deny, message: from main only}
"""


def ended(connection, within_s=4.0):
    """The last word to a session that is idle."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            return str(error)
        time.sleep(0.1)
    raise AssertionError("it goes on")


def test_a_revoked_key_ends_its_sessions_and_what_they_hold(gateway, in_background, eventually, direct):
    secret = gateway.cli("keys", "create", "worker", "--groups", "agents").stdout.strip()
    (key,) = [key for key in gateway.json("keys", "list") if key["identity"] == "worker"]
    idle = psycopg.connect(gateway.uri(key=secret, user="worker"), autocommit=True)
    holding = psycopg.connect(gateway.uri(key=secret, user="worker"), autocommit=True)
    other = gateway.connect()
    held = in_background(holding, "DELETE FROM orders WHERE id = 11")
    review = gateway.pending()
    start = time.monotonic()
    gateway.cli("keys", "revoke", key["id"])
    assert f"key {key['id']} was revoked" in ended(idle)
    assert "was revoked" in str(held.join().error) and time.monotonic() - start < 4
    eventually(lambda: gateway.review(review["id"])["state"] == "cancelled", "the review is cancelled")
    assert other.execute("SELECT count(*) FROM orders WHERE id = 11").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="was revoked"):
        psycopg.connect(gateway.uri(key=secret, user="worker"))
    for connection in (idle, holding, other):
        connection.close()


def test_keys_are_exchanged_with_an_overlap(gateway):
    first = gateway.cli("keys", "create", "rotating").stdout.strip()
    second = gateway.cli("keys", "rotate", "rotating", "--overlap", "1h").stdout.strip()
    for secret in (first, second):
        psycopg.connect(gateway.uri(key=secret, user="rotating")).close()
    with psycopg.connect(gateway.uri(key=second, user="rotating"), autocommit=True) as session:
        third = gateway.cli("keys", "rotate", "rotating", "--overlap", "0s").stdout.strip()
        assert "expired on" in ended(session)
    psycopg.connect(gateway.uri(key=third, user="rotating")).close()
    for secret in (first, second):
        with pytest.raises(psycopg.OperationalError, match="expired on"):
            psycopg.connect(gateway.uri(key=secret, user="rotating"))
    body = gateway.audit("key.rotated")[0]["body"]
    assert body["identity"] == "rotating" and len(body["older"]) == 2
    assert gateway.cli("keys", "rotate", "nobody", ok=False).returncode == 1
    assert gateway.cli("keys", "create", "token", ok=False).returncode == 1


@pytest.fixture
def pipelines(gateway_class, database, tmp_path):
    """A gateway that trusts an issuer, and that issuer's tokens."""
    key = RSAKey.generate_key(2048, parameters={"kid": "a"})
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    issuer = "https://ci.example.com"

    def token(**claims):
        body = {"iss": issuer, "aud": "countersign", "exp": time.time() + 300, "repository": "shop/etl", "ref": "main"} | claims
        return jwt.encode({"alg": "RS256", "kid": "a"}, body, key)

    gateway = gateway_class(
        tmp_path,
        database.port,
        database.password,
        policy=CLAIMS_POLICY,
        more=f"identity:\n  tokens:\n    - issuer: {issuer}\n      audience: countersign\n      keys: file:keys.json\n"
        "      claims: [ref]\n      rules: [{name: etl, groups: [pipelines], claims: {repository: shop/etl}}]\n",
    )
    yield gateway, token
    gateway.stop()


def test_a_token_of_a_trusted_issuer_proves_a_program(pipelines):
    gateway, token = pipelines
    good = token()
    with psycopg.connect(gateway.uri(user="token", key=good), autocommit=True) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    with (
        psycopg.connect(gateway.uri(user="token", key=token(ref="closed")), autocommit=True) as session,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="from main only"),
    ):
        session.execute("SELECT 1")
    for secret, told in (
        (token(exp=time.time() - 100), "the token expired on"),
        (token(aud="other"), "meant for somebody else"),
        (token(repository="shop/other"), "no rule says whose token this is"),
        (good[:-8] + "AAAAAAAA", "not of an issuer that is trusted"),
        (gateway.key, "the password is no token"),
    ):
        with pytest.raises(psycopg.OperationalError, match=told):
            psycopg.connect(gateway.uri(user="token", key=secret))
    proved = gateway.audit("authentication.succeeded")[-1]["body"]
    assert (proved["name"], proved["method"], proved["claims"]) == ("etl", "token", {"ref": "main"})
    assert {one["body"]["code"] for one in gateway.audit("authentication.failed")} == {
        "token_expired", "token_audience", "token_of_nobody", "token_refused",
    }  # fmt: skip
    assert good not in gateway.everything_kept()
    session_record = gateway.audit("session.opened")[0]["body"]
    assert session_record["identity"] == "etl" and session_record["groups"] == ["pipelines"]


def test_i2_what_was_approved_for_one_ref_lets_no_other_through(pipelines, in_background, eventually):
    """The same identity, by tokens that say other things of it: neither a grant nor a review is shared."""
    gateway, token = pipelines

    def connect(ref):
        return psycopg.connect(gateway.uri(user="token", key=token(ref=ref)), autocommit=True)

    sql = "UPDATE orders SET status = 'by a pipeline' WHERE id = {}"
    with connect("main") as main, connect("main") as again, connect("feature") as feature:
        held = in_background(main, sql.format(31))
        review = gateway.pending()
        assert review["claims"] == {"ref": "main"}
        assert "claim     ref: main" in gateway.cli("reviews", "show", review["id"]).stdout
        other = in_background(feature, sql.format(31))
        both = eventually(lambda: len(found := gateway.json("reviews", "list")) == 2 and found, "a review of its own")
        assert {one["claims"]["ref"] for one in both} == {"main", "feature"}
        gateway.cli(
            "reviews",
            "approve",
            review["id"],
            "--for",
            "10m",
            "--times",
            "5",
            "--literal",
            "1=by a pipeline",
            "--literal",
            "2=1..100",
        )
        assert held.join().rows == 1
        assert again.execute(sql.format(32)).rowcount == 1
        (waiting,) = gateway.json("reviews", "list")
        gateway.cli("reviews", "deny", waiting["id"], "--reason", "not from there")
        assert other.join().error is not None
        asked = in_background(feature, sql.format(33))
        (waiting,) = eventually(lambda: gateway.json("reviews", "list"), "it is held, for the grant is not its own")
        gateway.cli("reviews", "deny", waiting["id"], "--reason", "not from there")
        assert asked.join().error is not None
