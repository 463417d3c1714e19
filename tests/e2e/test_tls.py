"""TLS towards the client and towards the target, each checked by the other side."""

import datetime
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from countersign.demo.database import DemoDatabase


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return files


def test_both_ways_with_full_verification(certificate, make_gateway):
    cert, key = certificate
    with DemoDatabase(tls=certificate) as server:
        gateway = make_gateway(
            upstream_port=server.port,
            password=server.password,
            policy="rules: []\n",
            target=f"tls: {{cert_file: {cert}, key_file: {key}}}",
            upstream_host="localhost",
            upstream_more=f", tls: verify-full, ca_file: {cert}",
        )
        uri = gateway.uri().replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={cert}"
        with psycopg.connect(uri) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)


def test_a_target_whose_certificate_nobody_vouches_for_is_refused(certificate, make_gateway):
    with DemoDatabase(tls=certificate) as server:
        gateway = make_gateway(
            upstream_port=server.port,
            password=server.password,
            policy="rules: []\n",
            upstream_host="localhost",
            upstream_more=", tls: verify-full",
        )
        with pytest.raises(psycopg.OperationalError, match="no secure connection to the target"):
            psycopg.connect(gateway.uri())


def test_a_target_without_tls_is_refused_where_tls_is_demanded(make_gateway):
    gateway = make_gateway(policy="rules: []\n", upstream_more=", tls: require")
    with pytest.raises(psycopg.OperationalError, match="does not offer TLS"):
        psycopg.connect(gateway.uri())


@pytest.mark.parametrize("auth", ["md5", "trust"])
def test_older_ways_to_authenticate_at_the_target_work(auth, make_gateway):
    with DemoDatabase(auth=auth) as server:
        gateway = make_gateway(upstream_port=server.port, password=server.password, policy="rules: []\n")
        with psycopg.connect(gateway.uri()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
