"""A collector of syslog: RFC 5424 messages over TLS (RFC 5425), counted octets before each.

Syslog has no answers. So a parcel goes over a connection of its own that we close first, and it counts as taken once the collector has
closed too and its system has acknowledged all that was sent: one that goes away with something unread resets the connection.

A message is the record itself (or its OCSF event) as JSON, without a byte order mark, behind structured data that says what is most asked.
"""

import asyncio
import re
import select
import socket
import ssl
import sys
from collections.abc import Iterator

from countersign.audit.export import Form, Line
from countersign.audit.sinks.contract import Parcel, SinkError
from countersign.audit.sinks.limits import within
from countersign.audit_settings import SyslogPlace
from countersign.model import AuditRecord

TIMEOUT_S = 10.0
ACKNOWLEDGED_S = 2
LAST_ACK = 9
"""Both sides have closed, the other one first (include/net/tcp_states.h)."""
FACILITY = 13
"""Log audit (RFC 5424, table 1)."""
WARNING, INFORMATIONAL = 4, 6
SD_ID = "countersign@32473"
"""The number is that of examples (RFC 5612); the project has none of its own."""
SD_PARAMS = ("session_id", "command_id", "review_id", "identity", "on_behalf_of", "target", "verdict", "rule")
PARAM_LIMIT = 128
ROOM = 300
"""What is left for a message's text at least; where values of many bytes take it, they are left out of the structured data."""
NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


class SyslogSink:
    """Messages that would be longer than the collector takes are cut in their text, with a mark, and stay JSON."""

    knows_repeats = False

    def __init__(self, place: SyslogPlace) -> None:
        self.place = f"syslog+{'tls' if place.tls else 'tcp'}://{place.host}:{place.port}"
        self._settings = place
        self._host_name = header_word(socket.gethostname(), 255)

    async def take(self, parcel: Parcel) -> None:
        """See ``Sink``."""
        try:
            await asyncio.to_thread(self._send, parcel)
        except ssl.SSLCertVerificationError as error:
            raise SinkError(f"{self.place}: its certificate is not trusted: {error.verify_message}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
            raise SinkError(f"{self.place}: {reason}") from error

    def _frames(self, parcel: Parcel) -> Iterator[bytes]:
        for line in parcel.lines:
            told = message(line, parcel.form, self._host_name, self._settings.message_limit)
            yield b"%d %b" % (len(told), told)

    def _send(self, parcel: Parcel) -> None:
        place, frames = self._settings, b"".join(self._frames(parcel))
        with socket.create_connection((place.host, place.port), TIMEOUT_S) as raw:
            if not place.tls:
                raw.sendall(frames)
                raw.shutdown(socket.SHUT_WR)
                _hear_the_end(raw)
                return
            context = ssl.create_default_context(cafile=place.ca_file)
            if place.cert_file is not None and place.key_file is not None:
                context.load_cert_chain(place.cert_file, place.key_file)
            with context.wrap_socket(raw, server_hostname=place.host) as secured:
                secured.sendall(frames)
                _close_and_hear(secured)


def _close_and_hear(secured: ssl.SSLSocket) -> None:
    """Say that nothing follows, and wait for the other side's end, with TLS's own word for it or without: many collectors just close."""
    try:
        secured.unwrap()
    except ssl.SSLEOFError:
        _check_end(secured)
    else:
        _hear_the_end(secured)


def _hear_the_end(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass
    _check_end(connection)


def _check_end(connection: socket.socket) -> None:
    """Raise ``ConnectionResetError`` where the other side may have closed before it had everything: what came after that it answers with a
    reset, which may still be on its way."""
    for _ in range(ACKNOWLEDGED_S * 100):
        state, unacknowledged = _tcp_state(connection)
        if not unacknowledged and state != LAST_ACK:
            break
        select.select([], [], [], 0.01)
    failed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed or unacknowledged or state == LAST_ACK:
        raise ConnectionResetError(failed, "the collector closed before it had everything")


def _tcp_state(connection: socket.socket) -> tuple[int, int]:
    """The connection's state and how many segments are not acknowledged (tcp(7), ``struct tcp_info``)."""
    if sys.platform != "linux":  # where a reset that is on its way cannot be foreseen
        return 0, 0
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return info[0], int.from_bytes(info[24:28], sys.byteorder)


def message(line: Line, form: Form, host_name: str, limit_bytes: int) -> bytes:
    """One SYSLOG-MSG (RFC 5424, section 6), no longer than the limit."""
    record = line.record
    if record is None:
        return _head(INFORMATIONAL, "-", host_name, "removed") + f'[{SD_ID} seq="{line.seq}"] '.encode() + line.data
    severity = WARNING if record.body.get("verdict") == "deny" else INFORMATIONAL
    head = _head(severity, record.time, host_name, record.kind)
    for names in (SD_PARAMS, ()):
        told = head + structured_data(record, names).encode() + b" "
        if (room := limit_bytes - len(told)) >= ROOM:
            break
    return told + within(line, form, room)


def _head(severity: int, time: str, host_name: str, kind: str) -> bytes:
    return f"<{FACILITY * 8 + severity}>1 {time} {host_name} countersign - {header_word(kind, 32)} ".encode()


def header_word(text: str, limit: int) -> str:
    """A field of the header: printable ASCII without spaces, or the NILVALUE."""
    return NOT_PRINTABLE.sub("_", text)[:limit] or "-"


def structured_data(record: AuditRecord, names: tuple[str, ...] = SD_PARAMS) -> str:
    """The element with the record's number, hash and what is most asked, as far as the record says it."""
    found = {"seq": str(record.seq), "hash": record.hash}
    found |= {key: value for key in names if isinstance(value := record.body.get(key), str) and value}
    params = [f'{key}="{param_value(value)}"' for key, value in found.items()]
    return f"[{' '.join([SD_ID, *params])}]"


def param_value(text: str) -> str:
    """Escaped as RFC 5424, section 6.3.3, asks for. Control characters, which it leaves to the receiver, are shown as ``?``."""
    cut = text if len(text) <= PARAM_LIMIT else text[: PARAM_LIMIT - 1] + "…"
    shown = "".join(char if char.isprintable() else "?" for char in cut)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
