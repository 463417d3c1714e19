"""E-mail to a real server: plain text with a link, tried again or given up by what the server answers."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from countersign.notify_settings import ASKED, ChannelSettings, EmailChannel
from countersign.settings import Secret


class Mailbox:
    """What the server took, and what it answers to a recipient or to a message."""

    def __init__(self):
        self.mails, self.recipient, self.message, self.logins = [], "250 OK", "250 OK", []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.recipient.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server, session, envelope):
        if self.message.startswith("2"):
            self.mails.append((envelope, message_from_bytes(envelope.content, policy=policy.default)))
        return self.message

    def authenticator(self, server, session, envelope, mechanism, data):
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture
def mailbox():
    return Mailbox()


@pytest.fixture
async def serve(mailbox):
    servers = []

    async def serve(**options):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(mailbox, loop=loop, **options), "127.0.0.1", 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield serve
    for server in servers:
        server.close()


def email(port, tls="none", host="127.0.0.1", shows=False, to=("dba@example.com",), **more):
    return ChannelSettings("mail", EmailChannel(host, port, tls, "countersign@example.com", to, ASKED, **more), shows)


async def test_a_mail_leads_to_the_console_and_has_no_command_unless_asked_for(scene, mailbox, serve):
    await scene.configure(email(await serve(), to=("dba@example.com", "lead@example.com")))
    review = await scene.open("DELETE FROM secret_table")
    await scene.deliver()
    ((envelope, mail),) = mailbox.mails
    assert envelope.rcpt_tos == ["dba@example.com", "lead@example.com"]
    assert mail["Subject"] == f"Approval needed: crew for alice on shop ({review.id})"
    assert (mail["Auto-Submitted"], mail.get_content_type()) == ("auto-generated", "text/plain")
    body = mail.get_content()
    assert f"https://console.example/#/reviews/{review.id}" in body
    assert body.count("https://") == 1
    assert "secret_table" not in body


async def test_a_command_is_shown_with_everything_visible_and_cannot_leave_its_place(scene, mailbox, serve):
    await scene.configure(email(await serve(), shows=True))
    await scene.open("DELETE FROM t\n.\nhttps://evil.example\r\nFrom x \u202e", ["ä"])
    await scene.deliver()
    ((_, mail),) = mailbox.mails
    body = mail.get_content().replace("\r\n", "\n")
    assert "  .\n  https://evil.example⟨U+000D CONTROL⟩\n  From x ⟨U+202E RIGHT-TO-LEFT OVERRIDE⟩\n  $1 = ä" in body
    assert "Warning: the command holds invisible characters" in body


async def test_what_is_told_again_has_the_same_id(scene, mailbox, serve):
    await scene.configure(email(await serve()))
    await scene.open()
    mailbox.message = "451 try later"
    await scene.deliver()
    assert await scene.asked.dead() == []
    mailbox.message = "250 OK"
    await scene.deliver()
    seq = next(record.seq for record in scene.log.records() if record.kind == "review.opened")
    await scene.store.bury(_letter(scene, seq), _event())
    await scene.asked.retry("mail")
    first, again = (mail["Message-ID"] for _, mail in mailbox.mails)
    assert first == again


def _letter(scene, seq):
    from countersign.notify import DeadLetter

    return DeadLetter("mail", seq, "review.opened", scene.held.review.id, "", scene.now)


def _event():
    from countersign.model import AuditEvent

    return AuditEvent("channel.gave_up", {})


@pytest.mark.parametrize(
    ("recipient", "message", "is_dead"),
    [("550 no such user", "250 OK", True), ("450 busy", "250 OK", False), ("250 OK", "554 no", True), ("250 OK", "421 off", False)],
)
async def test_what_the_server_refuses_for_good_is_a_dead_letter(scene, mailbox, serve, recipient, message, is_dead):
    await scene.configure(email(await serve()))
    mailbox.recipient, mailbox.message = recipient, message
    await scene.open()
    await scene.deliver()
    assert (bool(await scene.asked.dead()), mailbox.mails) == (is_dead, [])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(private)
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder


async def test_a_wrong_password_can_be_put_right(scene, mailbox, serve, monkeypatch, certificate):
    monkeypatch.setenv("MAIL", "wrong")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    port = await serve(tls_context=context, authenticator=mailbox.authenticator, auth_required=True)
    await scene.configure(
        email(port, "starttls", "localhost", ca_file=certificate / "ca.pem", user="gw", password=Secret("env", "MAIL"))
    )
    await scene.open()
    await scene.deliver()
    status = await scene.tellings[0].delivery.status()
    assert (status.state, "does not take the user" in status.last_error, mailbox.mails) == ("failing", True, [])
    monkeypatch.setenv("MAIL", "right")
    await scene.deliver()
    assert len(mailbox.mails) == 1


async def test_it_goes_over_tls_that_is_checked_or_not_at_all(scene, mailbox, serve, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    port = await serve(tls_context=context, require_starttls=True)
    plain = await serve()
    for settings in (
        email(port, "starttls", "localhost"),  # nobody vouches for the certificate
        email(port, "starttls", "127.0.0.1", ca_file=certificate / "ca.pem"),  # it is for another name
        email(plain, "starttls", "localhost", ca_file=certificate / "ca.pem"),  # TLS is not offered
    ):
        await scene.configure(settings)
        await scene.open()
        await scene.deliver()
        assert mailbox.mails == []
    await scene.configure(email(port, "starttls", "localhost", ca_file=certificate / "ca.pem"))
    assert len(mailbox.mails) == 3
