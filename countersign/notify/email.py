"""E-mail: plain text with a link to the console. Nothing can be decided by it, or by opening the link alone."""

import asyncio
import hashlib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import aiosmtplib
import structlog

from countersign.audit.sinks import SinkError
from countersign.model.clock import from_text
from countersign.notify.contract import REMINDER, Notice
from countersign.notify.wording import facts, title, wording
from countersign.notify_settings import ChannelSettings, EmailChannel
from countersign.reviews.preview import one_line

log = structlog.get_logger(__name__)

TIMEOUT_S = 20.0
TEXT_LIMIT = 20_000
SUBJECT_LIMIT = 150


class Email:
    """Implements ``Channel``. It is told once the server has taken the message for one recipient at least."""

    def __init__(self, settings: ChannelSettings, kind: EmailChannel) -> None:
        self.place = f"{'smtps' if kind.tls == 'tls' else 'smtp'}://{kind.host}:{kind.port}"
        self._name = settings.name
        self._kind = kind
        self._shows_command = settings.shows_command

    def wants(self, event: str) -> bool:
        """See ``Channel``."""
        return event == REMINDER or event in self._kind.events or "review.*" in self._kind.events

    async def tell(self, notice: Notice) -> None:
        """See ``Channel``. Only what the server refuses for good, and not who we are, is refused for ever."""
        kind = self._kind
        message = mail(notice, kind.sender, kind.to, shows_command=self._shows_command)
        try:
            password = kind.password.reveal() if kind.password else None
            context = await asyncio.to_thread(ssl.create_default_context, cafile=kind.ca_file)
        except (OSError, KeyError, ValueError) as error:
            raise SinkError(f"{self.place}: a secret or file that the settings name cannot be read") from error
        try:
            refused, _ = await aiosmtplib.send(
                message,
                hostname=kind.host,
                port=kind.port,
                username=kind.user or None,
                password=password,
                use_tls=kind.tls == "tls",
                start_tls=kind.tls == "starttls",
                tls_context=None if kind.tls == "none" else context,
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPAuthenticationError as error:
            raise SinkError(f"{self.place}: it does not take the user and the password") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            raise SinkError(f"{self.place}: it takes none of the recipients ({max(codes)})", stuck=min(codes) >= 500) from error
        except aiosmtplib.SMTPResponseException as error:
            raise SinkError(f"{self.place}: it answers {error.code}", stuck=error.code >= 500) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise SinkError(f"{self.place}: {type(error).__name__}") from error
        if refused:
            log.warning("mail_refused_for_some", channel=self._name, recipients=len(refused), of=len(kind.to))


def mail(notice: Notice, sender: str, to: tuple[str, ...], *, shows_command: bool) -> EmailMessage:
    """The same message whenever the notice is told: its Message-ID too, by which a mailbox knows it again."""
    review = notice.review
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = sender, ", ".join(to)
    message["Subject"] = one_line(f"{title(review, notice.event)} ({review.id})", SUBJECT_LIMIT)
    message["Date"] = format_datetime(from_text(notice.time))
    message["Message-ID"] = f"<{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}@{domain}>"
    message["References"] = f"<{review.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(_lines(notice, shows_command=shows_command)), cte="quoted-printable")
    return message


def _lines(notice: Notice, *, shows_command: bool) -> list[str]:
    review = notice.review
    lines = [title(review, notice.event), "", *(f"{name}: {value}" for name, value in facts(review)), ""]
    if shows_command:
        read = wording(review, TEXT_LIMIT)
        lines += [*(f"Warning: the command {warning}" for warning in read.warnings), "Command:"]
        lines += [f"  {line}" for text in (read.text, *read.parameters) for line in text.split("\n")]
        lines.append("")
    return [*lines, "Look at it and decide in the console:", notice.url, ""]
