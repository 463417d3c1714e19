"""Syslog over TCP and TLS: to collectors of the test's own that misbehave, and to a real rsyslog."""

import ipaddress
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import orjson
import pytest
from cryptography import x509

from countersign.audit import encode, entry
from countersign.audit.export import JSONL, Line
from countersign.audit.sinks import Parcel, SinkError, SyslogSink
from countersign.audit_settings import SyslogPlace
from countersign.model import AuditEvent

TIME = "2026-11-24T09:00:00.500000Z"
RSYSLOG = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
HAS_TLS = any(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so"))


def line(seq, **body):
    written = entry(encode(AuditEvent("command", body)), seq=seq, time=TIME)
    return Line(seq, written, written)


def certificate_of(authority, name):
    other = x509.DNSName(name) if name[0].isalpha() else x509.IPAddress(ipaddress.ip_address(name))
    return authority.certificate(name, alternatives=[other])


class Collector:
    """Takes one connection and does with it what the test says."""

    def __init__(self, work, context=None):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.received = b""
        self._work, self._context = work, context
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        connection, _ = self.listening.accept()
        with connection:
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._work(self, connection)
            except OSError:
                pass
            finally:
                connection.close()

    def close(self):
        self._thread.join(20)
        self.listening.close()


def read_all(collector, connection):
    try:
        while data := connection.recv(65536):
            collector.received += data
    except ssl.SSLError:
        pass


def read_a_little(collector, connection):
    collector.received += connection.recv(10)


PARCEL = Parcel("siem", "1-3", 1, 3, JSONL, [line(seq, identity="ada") for seq in (1, 2, 3)])


@pytest.fixture(params=["tcp", "tls"])
def collect(request, authority):
    made = []

    def collect(work):
        context = None
        if request.param == "tls":
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate_of(authority, "127.0.0.1"))
        made.append(Collector(work, context))
        place = SyslogPlace("127.0.0.1", made[-1].port, request.param == "tls", authority.file if context else None)
        return made[-1], SyslogSink(place)

    yield collect
    for collector in made:
        collector.close()


async def test_frames_are_counted_in_octets(collect):
    collector, sink = collect(read_all)
    await sink.take(PARCEL)
    collector.close()
    rest, seqs = collector.received, []
    while rest:
        count, rest = rest.split(b" ", 1)
        told, rest = rest[: int(count)], rest[int(count) :]
        seqs.append(re.search(rb'seq="([0-9]+)"', told)[1])
    assert seqs == [b"1", b"2", b"3"]


@pytest.mark.parametrize("work", [read_a_little, lambda collector, connection: None])
async def test_what_the_collector_did_not_read_is_not_taken(collect, work):
    _, sink = collect(work)
    many = Parcel("siem", "1-4000", 1, 4000, JSONL, [line(seq, text="x" * 500) for seq in range(1, 4001)])
    with pytest.raises(SinkError):
        await sink.take(many)


async def test_a_collector_that_closed_before_anything_was_sent_has_nothing(collect):
    """Its end arrives first, and may not be taken for an answer."""
    _, sink = collect(lambda collector, connection: None)
    with pytest.raises(SinkError):
        await sink.take(PARCEL)


async def test_a_collector_of_another_name_or_authority_is_sent_nothing(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate_of(authority, "other.example"))
    for ca_file, told in ((authority.file, "not valid for '127.0.0.1'"), (None, "self-signed|self signed|unable to get")):
        collector = Collector(read_all, context)
        with pytest.raises(SinkError, match=told):
            await SyslogSink(SyslogPlace("127.0.0.1", collector.port, True, ca_file)).take(PARCEL)
        collector.close()
        assert collector.received == b""


async def test_nobody_there_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SinkError, match="Connection refused"):
        await SyslogSink(SyslogPlace("127.0.0.1", port, False)).take(PARCEL)


class RealCollector:
    """rsyslog, which asks for a client's certificate and writes the parts that it read as JSON."""

    def __init__(self, folder, authority, port=0):
        with socket.create_server(("127.0.0.1", port)) as free:
            self.port = free.getsockname()[1]
        self.kept = folder / "kept.jsonl"
        certificate, key = certificate_of(authority, "127.0.0.1")
        config = folder / "rsyslog.conf"
        config.write_text(
            f"""
            global(workDirectory="{folder}" maxMessageSize="64k" DefaultNetstreamDriver="gtls"
              DefaultNetstreamDriverCAFile="{authority.file}" DefaultNetstreamDriverCertFile="{certificate}"
              DefaultNetstreamDriverKeyFile="{key}")
            module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
            template(name="whole" type="list") {{
              property(name="msgid") constant(value=" ") property(name="pri") constant(value=" ") property(name="app-name")
              constant(value=" ") property(name="structured-data") constant(value=" ") property(name="msg") constant(value="\\n")
            }}
            input(type="imtcp" port="{self.port}" address="127.0.0.1" ruleset="kept")
            ruleset(name="kept") {{ action(type="omfile" file="{self.kept}" template="whole") }}
            """
        )
        command = [RSYSLOG, "-n", "-f", str(config), "-i", str(folder / "pid")]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def is_there(self):
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=20)


@pytest.mark.skipif(RSYSLOG is None or not HAS_TLS, reason="rsyslog with its GnuTLS driver is not installed")
async def test_a_real_collector_reads_every_part_of_a_message(tmp_path, authority, eventually):
    collector = RealCollector(tmp_path, authority)
    try:
        eventually(collector.is_there, "rsyslog listens")
        place = SyslogPlace("127.0.0.1", collector.port, True, authority.file, *authority.certificate("gateway"))
        sink = SyslogSink(place)
        tricky = 'a"] [x y="1\\'
        parcel = Parcel(
            "siem",
            "1-2",
            1,
            2,
            JSONL,
            [line(1, identity=tricky, verdict="deny"), line(2, command={"text": "SELECT 'zwölf';\n" * 90})],
        )
        await sink.take(parcel)
        found = eventually(
            lambda: collector.kept.exists() and len(kept := collector.kept.read_bytes().splitlines()) == 2 and kept, "both"
        )
        first, second = (one.split(b" ", 3) for one in found)
        assert first[:3] == [b"command", b"108", b"countersign"] and second[:2] == [b"command", b"110"]
        assert b'identity="a\\"\\] [x y=\\"1\\\\" verdict="deny"]' in first[3]
        assert [orjson.loads(one[3][one[3].index(b"{") :])["seq"] for one in (first, second)] == [1, 2]
        assert second[3].endswith(parcel.lines[1].data)
        without = SyslogSink(SyslogPlace("127.0.0.1", collector.port, True, authority.file))
        with pytest.raises(SinkError):
            await without.take(parcel)
    finally:
        collector.stop()
