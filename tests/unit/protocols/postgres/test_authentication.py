"""SCRAM as both of its sides: they agree with each other, with the RFC's example, and with nobody who changed a message in between."""

import base64
import datetime
import hashlib
import hmac

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from scramp.utils import ScramException, saslprep

from countersign.identity import StoredKey
from countersign.identity.keys import verifier
from countersign.model import Identity, IdentityKind
from countersign.protocols.postgres.authentication import (
    BOUND_MECHANISM,
    MECHANISM,
    AuthenticationFailed,
    KnownKeys,
    ScramProof,
    TargetScram,
    derive,
    prepared,
    server_end_point,
)

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
SALT = b"0123456789abcdef"


def key(secret: str) -> StoredKey:
    stored_key, server_key = verifier(secret, SALT)
    identity = Identity("crew", IdentityKind.SERVICE_ACCOUNT)
    return StoredKey("key-1", identity, "", SALT, stored_key, server_key, NOW, NOW + datetime.timedelta(days=1))


def certificate(signing_key=None, digest=hashes.SHA256()) -> bytes:  # noqa: B008
    signing_key = signing_key or ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(signing_key.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    return made.sign(signing_key, digest).public_bytes(serialization.Encoding.DER)


CERTIFICATE = certificate()


def dialogue(server: ScramProof, client: TargetScram) -> StoredKey:
    client.challenged(server.challenge(client.mechanism, client.first()))
    proved, last = server.verify(client.final())
    client.check(last)
    return proved


@pytest.mark.parametrize("bound", [False, True])
def test_the_two_sides_agree_with_and_without_a_channel(bound):
    shown = CERTIFICATE if bound else None
    server = ScramProof(SALT, [key("other"), key("secret")], "server-nonce", server_end_point(CERTIFICATE) if bound else None)
    client = TargetScram("secret", server.mechanisms, "client-nonce", certificate=shown)
    assert client.mechanism == (BOUND_MECHANISM if bound else MECHANISM)
    assert dialogue(server, client) == key("secret")
    assert client.proved


def test_a_proof_for_another_server_s_connection_is_refused():
    server = ScramProof(SALT, [key("secret")], "server-nonce", server_end_point(CERTIFICATE))
    client = TargetScram("secret", server.mechanisms, "client-nonce", certificate=certificate())
    with pytest.raises(AuthenticationFailed, match="another connection"):
        dialogue(server, client)


def test_an_offer_that_somebody_took_away_is_noticed():
    server = ScramProof(SALT, [key("secret")], "server-nonce", server_end_point(CERTIFICATE))
    client = TargetScram("secret", [MECHANISM], "client-nonce", certificate=CERTIFICATE)
    with pytest.raises(AuthenticationFailed, match="somebody may be in between"):
        dialogue(server, client)


def test_a_client_that_cannot_bind_may_do_without():
    server = ScramProof(SALT, [key("secret")], "server-nonce", server_end_point(CERTIFICATE))
    client = TargetScram("secret", server.mechanisms, "client-nonce", certificate=CERTIFICATE, channel_binding="disable")
    assert client.first().startswith(b"n,,")
    assert dialogue(server, client) == key("secret")


@pytest.mark.parametrize(
    ("mechanism", "first"),
    [
        (MECHANISM, b"p=tls-server-end-point,,n=,r=0123456789"),
        (BOUND_MECHANISM, b"n,,n=,r=0123456789"),
        (BOUND_MECHANISM, b"p=tls-unique,,n=,r=0123456789"),
        ("PLAIN", b"n,,n=,r=0123456789"),
        (MECHANISM, b"n,,m=x,n=,r=0123456789"),
    ],
)
def test_a_first_message_that_does_not_fit_its_mechanism_is_refused(mechanism, first):
    with pytest.raises(AuthenticationFailed):
        ScramProof(SALT, [key("secret")], "server-nonce", server_end_point(CERTIFICATE)).challenge(mechanism, first)


def test_the_bound_mechanism_is_not_spoken_where_it_was_not_offered():
    with pytest.raises(AuthenticationFailed):
        ScramProof(SALT, [], "server-nonce").challenge(BOUND_MECHANISM, b"p=tls-server-end-point,,n=,r=0123456789")


@pytest.mark.parametrize(("mechanisms", "shown"), [([MECHANISM], CERTIFICATE), ([MECHANISM, BOUND_MECHANISM], None)])
def test_where_binding_is_required_nothing_less_will_do(mechanisms, shown):
    with pytest.raises(AuthenticationFailed, match="which its settings demand"):
        TargetScram("secret", mechanisms, "nonce", certificate=shown, channel_binding="require")


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=other-nonce,s=AAAA,i=4096",
        b"r=client-nonce,s=AAAA,i=4096",
        b"r=client-nonce-more,s=AAAA,i=0",
        b"r=client-nonce-more,s=AAAA,i=99999999",
        b"r=client-nonce-more,s=A,i=4096",
        b"m=ext,r=client-nonce-more,s=AAAA,i=4096",
        b"\xff",
        b"r=client-nonce" + b"x" * 5000 + b",s=AAAA,i=4096",
    ],
)
def test_a_target_s_bad_challenge_is_refused(challenge):
    with pytest.raises(AuthenticationFailed):
        TargetScram("secret", [MECHANISM], "client-nonce").challenged(challenge)


@pytest.mark.parametrize("last", [b"e=other-error", b"v=", b"v=" + base64.b64encode(bytes(32)), b""])
def test_a_target_that_does_not_know_the_password_is_not_believed(last):
    client = TargetScram("secret", [MECHANISM], "client-nonce")
    client.challenged(b"r=client-nonce-more,s=AAAA,i=4096")
    client.final()
    with pytest.raises(AuthenticationFailed, match="did not prove"):
        client.check(last)
    assert not client.proved


def test_the_rounds_are_spared_the_second_time_and_only_for_the_same_password():
    known = KnownKeys()

    def talk(password: str) -> bool:
        server = ScramProof(SALT, [key(password)], "server-nonce")
        client = TargetScram(password, server.mechanisms, "client-nonce", known=known)
        client.challenged(server.challenge(client.mechanism, client.first()))
        was_known = client.is_known
        client.check(server.verify(client.final())[1])
        return was_known

    assert [talk(password) for password in ("one", "one", "two", "one")] == [False, True, False, True]


def test_the_keys_are_those_of_the_rfc_s_example():
    """RFC 7677, section 3."""
    keys = derive("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}".encode()
    signature = hmac.digest(hashlib.sha256(keys.client_key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(keys.client_key, signature, strict=True))
    assert base64.b64encode(proof) == b"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert base64.b64encode(hmac.digest(keys.server_key, message, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize(
    ("made", "digest"),
    [
        (certificate(digest=hashes.SHA384()), "sha384"),
        (certificate(digest=hashes.SHA512()), "sha512"),
        (certificate(digest=hashes.SHA3_256()), "sha3-256"),
    ],
)
def test_a_certificate_is_digested_as_it_is_signed(made, digest):
    assert server_end_point(made) == hashlib.new(digest, made).digest()


def test_a_certificate_without_a_digest_of_its_own_binds_nothing():
    made = certificate(ed25519.Ed25519PrivateKey.generate(), None)
    assert server_end_point(made) is None
    assert server_end_point(b"garbage") is None
    with pytest.raises(AuthenticationFailed, match="channel_binding: disable"):
        TargetScram("secret", [MECHANISM, BOUND_MECHANISM], "nonce", certificate=made)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("I\u00adX", "IX"),
        ("\u2168", "IX"),
        ("pass\u00a0word", "pass word"),
        ("\u0007", "\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("é", "é"),
    ],
)
def test_passwords_are_prepared_as_the_rfc_says_or_left_alone(password, expected):
    assert prepared(password) == expected


@given(st.text(max_size=12))
def test_passwords_are_prepared_as_another_library_does(password):
    try:
        expected = saslprep(password) or password
    except ScramException:
        expected = password
    if not password.isascii():
        assert prepared(password) == expected
