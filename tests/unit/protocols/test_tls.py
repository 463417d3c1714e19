"""Two ends of TLS that talk to each other in memory."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from countersign.protocols.tls import TlsChannel


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256())
    nothing = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, nothing)
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def handshake(contexts) -> tuple[TlsChannel, TlsChannel]:
    server = TlsChannel(contexts[0], server_side=True)
    client = TlsChannel(contexts[1], server_side=False, server_hostname="localhost")
    client.handshake(b"")
    server.handshake(client.outgoing())
    assert client.handshake(server.outgoing())
    assert server.handshake(client.outgoing())
    assert client.decrypt(server.outgoing()) == b""
    return server, client


@given(parts=st.lists(st.binary(max_size=70_000), max_size=4), cuts=st.lists(st.integers(0, 300_000), max_size=6))
def test_however_the_stream_is_cut_the_same_is_heard(contexts, parts, cuts):
    server, client = handshake(contexts)
    for part in parts:
        client.encrypt(part)
    client.end()
    stream = client.outgoing()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    heard = b"".join(server.decrypt(stream[begin:end]) for begin, end in zip(edges, edges[1:], strict=False))
    assert heard == b"".join(parts)
    assert server.has_ended


def test_a_changed_byte_is_an_error(contexts):
    server, client = handshake(contexts)
    client.encrypt(b"as it was said")
    stream = bytearray(client.outgoing())
    stream[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        server.decrypt(bytes(stream))


def test_the_peer_hears_why_its_handshake_failed(contexts):
    server = TlsChannel(contexts[0], server_side=True)
    client = TlsChannel(contexts[1], server_side=False, server_hostname="elsewhere")
    client.handshake(b"")
    server.handshake(client.outgoing())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake(server.outgoing())
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        server.handshake(client.outgoing())
