"""The section ``audit`` of a configuration: what it may say, and how what is wrong in it is said."""

import pytest

from countersign.audit_settings import ExportSettings, FilePlace, Only, SyslogPlace, WebhookPlace, WitnessSettings
from countersign.config import ConfigError, load_config
from countersign.object_storage import ObjectStorage
from countersign.settings import Secret

TARGET = "targets: [{name: shop, type: postgres, listen: '127.0.0.1:6432', upstream: {host: localhost, user: app}}]\n"


@pytest.fixture
def audit(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "from-the-environment")
    for name in ("ca.pem", "gw.pem", "gw.key"):
        (tmp_path / name).touch(mode=0o600)

    def audit(text):
        (tmp_path / "countersign.yaml").write_text(TARGET + text)
        return load_config(tmp_path / "countersign.yaml").audit

    return audit


@pytest.fixture
def refused(audit):
    def refused(export, key="exports"):
        with pytest.raises(ConfigError) as caught:
            audit(f"audit:\n  {key}:\n    - {export}\n")
        return "\n".join(f"{one.line} {one.message} [{one.hint}]" for one in caught.value.problems)

    return refused


def test_every_place_and_what_is_left_out(audit, tmp_path):
    found = audit("""
audit:
  exports:
    - {name: disk, to: 'file://log.csv', format: csv, rotate: {size: 64MiB, keep: 3}}
    - {name: siem, to: 'syslog+tls://siem.example', ca_file: ca.pem, cert_file: gw.pem, key_file: gw.key, message_limit: 2048, format: ocsf}
    - {name: local, to: 'syslog+tcp://127.0.0.1:601', from: now, batch: 10}
    - {name: hook, to: 'https://siem.example/in?x=1', secret: env:HOOK_SECRET, message_limit: 65536, only: {kinds: [command, review.*], effects: [write, ddl]}}
    - {name: lake, to: s3://bucket/logs, region: eu-central-1}
  witnesses:
    - {name: vault, to: s3://bucket/checkpoints}
    - {name: friend, to: 'https://witness.example/take'}
    - {name: tape, to: 'file://notes'}
""")
    syslog = SyslogPlace("siem.example", 6514, True, *(tmp_path / name for name in ("ca.pem", "gw.pem", "gw.key")), 2048)
    only = Only(("command", "review.*"), ("write", "ddl"))
    assert found.exports == (
        ExportSettings("disk", FilePlace(tmp_path / "log.csv", 64 * 2**20, 3), "csv"),
        ExportSettings("siem", syslog, "ocsf"),
        ExportSettings("local", SyslogPlace("127.0.0.1", 601, False), from_now=True, batch=10),
        ExportSettings(
            "hook", WebhookPlace("https://siem.example/in?x=1", Secret("env", "HOOK_SECRET"), message_limit=65536), only=only
        ),
        ExportSettings("lake", ObjectStorage("bucket", "logs", region="eu-central-1")),
    )
    assert found.witnesses == (
        WitnessSettings("witness:vault", ObjectStorage("bucket", "checkpoints")),
        WitnessSettings("witness:friend", WebhookPlace("https://witness.example/take")),
        WitnessSettings("witness:tape", FilePlace(tmp_path / "notes")),
    )


@pytest.mark.parametrize(
    ("export", "told"),
    [
        ("{to: 'file://x'}", "4 an item of 'exports' needs 'name'"),
        ("{name: A b, to: 'file://x'}", "4 'A b' is no name [lower-case letters, digits, '_' and '-']"),
        ("{name: a}", "4 export 'a' needs 'to'"),
        (
            "{name: a, to: hunter2}",
            "4 'to' is no place [file://PATH, syslog+tls://HOST:PORT, https://HOST/PATH or s3://BUCKET/PREFIX]",
        ),
        ("{name: a, to: 'file://nowhere/x'}", "there is no folder"),
        ("{name: a, to: 'file://.'}", "is a folder"),
        ("{name: a, to: 'file://x', rotate: {size: 5}}", "'size' must be a size such as 64MiB"),
        ("{name: a, to: 'file://x', rotate: {size: 64MB}}", "'size' is '64MB' [a whole number and KiB, MiB or GiB, such as 64MiB]"),
        ("{name: a, to: 'file://x', rotate: {size: 1MiB, keep: 0}}", "'keep' is 0 [a whole number from 1 to 1000]"),
        ("{name: a, to: 'file://x', secret: env:HOOK_SECRET}", "unknown key 'secret' in export 'a'"),
        ("{name: a, to: 'http://siem.example/hunter2'}", "'to' is no address of a webhook"),
        ("{name: a, to: 'https://me:hunter2@siem.example/'}", "'to' is no address of a webhook"),
        (
            "{name: a, to: 'https://siem.example', secret: hunter2}",
            "a secret does not stand in the configuration [env:NAME or file:PATH]",
        ),
        ("{name: a, to: 'https://siem.example', secret: env:NOT_SET}", "the environment variable NOT_SET is not set"),
        ("{name: a, to: 'syslog+tcp://siem.example:601'}", "records leave this machine over TLS only [syslog+tls://siem.example]"),
        ("{name: a, to: 'syslog+tcp://127.0.0.1'}", "'to' is no address of a collector"),
        ("{name: a, to: 'syslog+tls://siem.example/hunter2'}", "'to' is no address of a collector"),
        ("{name: a, to: 'syslog+tcp://127.0.0.1:601', ca_file: ca.pem}", "'ca_file' needs TLS"),
        ("{name: a, to: 'syslog+tls://x.example', cert_file: gw.pem}", "'cert_file' and 'key_file' go together"),
        ("{name: a, to: 'syslog+tls://x.example', message_limit: 100}", "'message_limit' is 100"),
        ("{name: a, to: 'syslog+tls://x.example', format: csv}", "'format' is 'csv' [one of jsonl, ocsf]"),
        ("{name: a, to: 's3://Bucket'}", "'to' is no place in object storage [s3://BUCKET/PREFIX]"),
        ("{name: a, to: 'file://x', only: {effects: [writes]}}", "unknown effect 'writes' [one of read, write"),
        ("{name: a, to: 'file://x', only: {kinds: ['Command*']}}", "'Command*' is no kind of a record"),
        ("{name: a, to: 'file://x', only: {kinds: []}}", "'kinds' is empty"),
        ("{name: a, to: 'file://x', only: {}}", "'only' chooses nothing"),
        ("{name: a, to: 'file://x', from: yesterday}", "'from' is 'yesterday' [one of beginning, now]"),
        ("{name: a, to: 'file://x', batch: 0}", "'batch' is 0 [a whole number from 1 to 10000]"),
        ("{name: a, to: 'file://x'}\n    - {name: a, to: 'file://y'}", "5 another export is named 'a'"),
        ("{name: a, to: 'file://x'}\n    - {name: b, to: 'file://./x'}", "5 another export writes to this file"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_hint_and_no_secret(refused, export, told):
    found = refused(export)
    assert told in found
    assert "hunter2" not in found


@pytest.mark.parametrize("url", ["syslog+tls://siem.example", "hunter2", "ftp://x"])
def test_a_witness_is_a_file_a_url_or_object_storage(refused, url):
    found = refused(f"{{name: a, to: '{url}'}}", "witnesses")
    assert "'to' is no place [file://PATH, https://HOST/PATH or s3://BUCKET/PREFIX]" in found and "hunter2" not in found
