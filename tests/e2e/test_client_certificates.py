"""A client's certificate as its identity, with libpq, psycopg and asyncpg, and every way in which it does not count."""

import asyncio
import ssl
import subprocess

import asyncpg
import psycopg
import pytest
from cryptography import x509

from countersign.demo.database import system_binaries

POLICY = """
rules:
  - {name: crew-may-insert, subjects: {groups: [agents]}, effects: [write, read], when: "command.writes == ['public.log']", action: allow}
"""


@pytest.fixture
def make_secured(make_gateway, localhost, authority):
    def make(more="", ca=None):
        files = f"cert_file: {localhost[0]}, key_file: {localhost[1]}, client_ca_file: {(ca or authority).file}"
        return make_gateway(policy=POLICY, target=f"tls: {{{files}{more}}}")

    return make


def show(gateway, certificate, user="crew", password="", **more):
    shown = {"sslcert": str(certificate[0]), "sslkey": str(certificate[1])} if certificate else {}
    options = {"sslmode": "require", "autocommit": True} | shown | more
    return psycopg.connect(host="127.0.0.1", port=gateway.port, user=user, dbname="shop", password=password or None, **options)


def one(connection):
    with connection:
        return connection.execute("SELECT 1").fetchone()


def test_a_certificate_takes_the_place_of_a_key_and_has_its_account_s_groups(make_secured, authority):
    gateway = make_secured(", client_certs: require")
    with show(gateway, authority.certificate("crew")) as connection:
        connection.execute("INSERT INTO log VALUES ('by certificate')")
    event = gateway.audit("authentication.succeeded")[0]["body"]
    assert (event["name"], event["method"], len(event["certificate"])) == ("crew", "certificate", 64)


def test_psql_and_asyncpg_show_one_too(make_secured, authority):
    gateway = make_secured(", client_certs: require")
    cert, key = authority.certificate("crew")
    where = f"host=127.0.0.1 port={gateway.port} user=crew dbname=shop sslmode=require sslcert={cert} sslkey={key}"
    psql = [system_binaries() / "psql", "-XAtc", "SELECT 1", where]
    assert subprocess.run(psql, capture_output=True, text=True, timeout=30).stdout == "1\n"
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(cert, key)

    async def dialogue():
        connection = await asyncpg.connect(host="localhost", port=gateway.port, user="crew", database="shop", ssl=context)
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    assert asyncio.run(dialogue()) == 1


def test_without_one_a_key_is_asked_for_unless_it_is_required(make_secured, authority):
    gateway = make_secured()
    assert one(show(gateway, None, password=gateway.key)) == (1,)
    assert one(show(gateway, authority.certificate("crew"))) == (1,)
    strict = make_secured(", client_certs: require")
    for mode in ("require", "disable"):
        with pytest.raises(psycopg.OperationalError, match="asks for a client certificate"):
            show(strict, None, password=strict.key, sslmode=mode)


@pytest.mark.parametrize(
    ("kind", "alternative", "user"),
    [
        ("dns", x509.DNSName("crew.agents.internal"), "crew.agents.internal"),
        ("email", x509.RFC822Name("crew@example.com"), "crew@example.com"),
        ("uri", x509.UniformResourceIdentifier("spiffe://example.com/crew"), "spiffe://example.com/crew"),
    ],
)
def test_alternative_names_and_groups_for_those_without_an_account(make_secured, authority, kind, alternative, user):
    gateway = make_secured(f", client_name: {kind}, client_groups: [agents]")
    certificate = authority.certificate("nobody", alternatives=[x509.DNSName("other"), alternative])
    with show(gateway, certificate, user) as connection:
        connection.execute("INSERT INTO log VALUES ('by another name')")
    with pytest.raises(psycopg.OperationalError, match="the client certificate is not for 'nobody'"):
        show(gateway, certificate, "nobody")


def test_one_for_another_name_is_refused(make_secured, authority):
    gateway = make_secured()
    for name in ("other", "os:root", "Crew", "crew\u200b"):
        with pytest.raises(psycopg.OperationalError, match="the client certificate is not for 'crew'"):
            show(gateway, authority.certificate(name))
    with pytest.raises(psycopg.OperationalError, match="not for 'os:root'"):
        show(gateway, authority.certificate("os:root"), "os:root")
    with pytest.raises(psycopg.OperationalError, match="there is no service account 'other'"):
        show(gateway, authority.certificate("other"), "other")
    assert len(gateway.audit("authentication.failed")) == 6


def test_i9_expired_early_foreign_and_revoked_ones_reach_nothing(make_secured, authority, make_authority, direct):
    revoked = authority.certificate("crew")
    gateway = make_secured(f", crl_file: {authority.revoke(revoked[0])}")
    assert one(show(gateway, authority.certificate("crew"))) == (1,)
    for certificate, told in (
        (authority.certificate("crew", days=(-3, -1)), "expired"),
        (authority.certificate("crew", days=(1, 3)), "alert"),
        (make_authority().certificate("crew"), "alert"),
        (revoked, "revoked"),
    ):
        with pytest.raises(psycopg.OperationalError, match=f"(?i)ssl error: .*{told}"):
            show(gateway, certificate, application_name="with a bad certificate")
    reasons = [event["body"]["reason"] for event in gateway.audit("authentication.failed")]
    assert len(reasons) == 4
    assert all(reason.startswith("the certificate is not accepted: ") for reason in reasons)
    seen = direct.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'with a bad certificate'").fetchone()
    assert seen == (0,)
