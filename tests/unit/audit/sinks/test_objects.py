import hashlib

import pytest

from countersign.audit.export import JSONL, Line
from countersign.audit.sinks import ObjectSink, Parcel, SinkError
from countersign.object_storage import ObjectStorage
from countersign.settings import Secret

KEY = "audit/0001-0002.jsonl"


@pytest.fixture
def sink(object_server, monkeypatch):
    for name, value in object_server.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    secrets = Secret("env", "S3_KEY_ID"), Secret("env", "S3_SECRET")
    return ObjectSink(ObjectStorage("evidence", "audit", object_server.endpoint, "us-east-1", *secrets))


def parcel(*lines):
    return Parcel("lake", "0001-0002.jsonl", 1, 2, JSONL, [Line(seq, line, line) for seq, line in enumerate(lines, 1)])


async def test_a_repeated_parcel_is_one_object(object_server, sink):
    await sink.take(parcel(b"one", b"two"))
    await sink.take(parcel(b"one", b"two"))
    assert object_server.objects() == {KEY: b"one\ntwo\n"}


async def test_whoever_takes_its_name_neither_loses_nor_changes_anything(object_server, sink):
    object_server.client.put_object(Bucket="evidence", Key=KEY, Body=b"forged")
    await sink.take(parcel(b"one", b"two"))
    await sink.take(parcel(b"one", b"two"))
    digest = hashlib.sha256(b"one\ntwo\n").hexdigest()
    other = f"audit/0001-0002-{digest}.jsonl"
    assert object_server.objects() == {KEY: b"forged", other: b"one\ntwo\n"}
    object_server.client.put_object(Bucket="evidence", Key=other, Body=b"forged too")
    with pytest.raises(SinkError) as caught:
        await sink.take(parcel(b"one", b"two"))
    assert caught.value.stuck


async def test_i6_an_outage_is_said_without_secrets_and_gone_through(object_server, sink):
    object_server.stop()
    with pytest.raises(SinkError) as caught:
        await sink.take(parcel(b"one", b"two"))
    assert str(caught.value) == "s3://evidence/audit: the store cannot be reached or does not answer as one"
    object_server.start()
    await sink.take(parcel(b"one", b"two"))
    assert object_server.objects() == {KEY: b"one\ntwo\n"}
