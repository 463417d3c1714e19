"""Settings of object storage, and the store that they open, against a real server."""

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError

from countersign.object_storage import ObjectStorage, storage_problem, take_object_storage
from countersign.settings import Secret
from countersign.yaml_lines import Section, parse


@pytest.fixture
def taken(tmp_path, monkeypatch, object_server):
    for name, value in object_server.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def taken(url, **settings):
        text = "\n".join([f"to: {url}", *(f"{key}: {value}" for key, value in settings.items())])
        document, problems = parse(text, "c.yaml")
        section = Section("c.yaml", document, problems, "the place")
        section.take("to", str)
        found = take_object_storage(section, "to", url, tmp_path, [])
        section.finish()
        return found, [str(problem) for problem in problems]

    return taken


def test_what_is_put_stands_under_the_prefix_and_once_only(taken, object_server, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody listens there
    storage, problems = taken("s3://evidence/audit/shop", **object_server.settings)
    assert not problems and storage.url == "s3://evidence/audit/shop"
    store = storage.open()
    obstore.put(store, "one", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "one", b"second", mode="create")
    assert object_server.objects() == {"audit/shop/one": b"first"}
    assert bytes(obstore.get(store, "one").bytes()) == b"first"


def test_i6_no_error_and_no_setting_says_a_secret(taken, object_server):
    storage, _ = taken("s3://no-such-bucket", **object_server.settings)
    secret = object_server.ENVIRONMENT["S3_SECRET"]
    assert secret not in repr(storage) and "S3_SECRET" not in repr(storage)
    with pytest.raises(FileNotFoundError) as caught:
        obstore.put(storage.open(retries=0), "one", b"x")
    said = storage_problem(caught.value)
    assert "NoSuchBucket" in said or "no such" in said
    assert secret not in said and object_server.ENVIRONMENT["S3_KEY_ID"] not in said
    object_server.stop()
    with pytest.raises(obstore.exceptions.BaseError) as caught:
        obstore.put(storage.open(retries=0), "one", b"x")
    assert storage_problem(caught.value) == "the store cannot be reached or does not answer as one"
    object_server.start()
    gone = ObjectStorage("b", secret_access_key=Secret("env", "NOT_THERE"))
    with pytest.raises(KeyError) as missing:
        gone.open()
    assert "NOT_THERE" not in storage_problem(missing.value)


@pytest.mark.parametrize(
    ("url", "settings", "told"),
    [
        ("s3://", {}, "no place in object storage"),
        ("s3://B/x", {}, "no place in object storage"),
        ("s3://bucket/a/../b", {}, "no place in object storage"),
        ("s3://bucket/a b", {}, "no place in object storage"),
        ("s3://bucket", {"endpoint": "http://objects.example"}, "'endpoint' is no address"),
        ("s3://bucket", {"endpoint": "https://me:hunter2@objects.example"}, "'endpoint' is no address"),
        ("s3://bucket", {"endpoint": "https://objects.example/bucket"}, "'endpoint' is no address"),
        (
            "s3://bucket",
            {"access_key_id": "AKIDLITERAL", "secret_access_key": "env:S3_SECRET"},
            "does not stand in the configuration",
        ),
        ("s3://bucket", {"secret_access_key": "hunter2"}, "does not stand in the configuration"),
        ("s3://bucket", {"secret_access_key": "env:S3_SECRET"}, "go together"),
        ("s3://bucket", {"secret_access_key": "env:NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE is not set"),
        ("s3://bucket", {"ca_file": "nowhere.pem"}, "there is no file"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_what_may_be_secret(taken, url, settings, told):
    found, problems = taken(url, **settings)
    assert found is None
    assert any(told in problem for problem in problems)
    assert not any("hunter2" in problem or "AKIDLITERAL" in problem for problem in problems)
