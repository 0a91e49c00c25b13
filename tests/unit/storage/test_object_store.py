"""What users are told about errors of the object storage, and what the library is told of the settings."""

from __future__ import annotations

import sys

import pytest

from whisper_service.config.schema import S3Settings
from whisper_service.core import errors
from whisper_service.storage import object_store
from whisper_service.storage.object_store import S3Store, failure_of, split_url

pytestmark = pytest.mark.anyio

URL = "s3://recordings/a/b-1"
SECRET = "wJalrXUtnFEMI"


class PermissionDeniedError(Exception):
    """The name of an error of the library."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            FileNotFoundError("Object at location a not found: Error performing GET http://s/a: 404\n<Code>NoSuchKey<"),
            errors.RecordingLost,
        ),
        (FileNotFoundError("Object not found: 404 Not Found: <Code>NoSuchBucket</Code>"), errors.BucketUnusable),
        (Exception("Generic S3 error: <Code>NoSuchBucket</Code>"), errors.BucketUnusable),
        (Exception("Received redirect without LOCATION, incorrectly configured region"), errors.BucketUnusable),
        (PermissionDeniedError("The operation lacked the necessary privileges"), errors.ObjectStoreDenied),
        (Exception("403 Forbidden: <Code>SignatureDoesNotMatch</Code>"), errors.ObjectStoreDenied),
        (Exception("Error performing PUT http://169.254.169.254/latest/api/token"), errors.ObjectStoreDenied),
        (Exception("Error performing HEAD http://127.0.0.1:1/a - HTTP error"), errors.ObjectStoreUnreachable),
        (Exception("500 Internal Server Error"), errors.ObjectStoreUnreachable),
        (TimeoutError(""), errors.ObjectStoreUnreachable),
    ],
)
def test_every_failure_has_its_cause(error: Exception, kind: type[errors.ServiceError]) -> None:
    found = failure_of(error, URL)
    assert type(found) is kind
    assert found.problem.hint
    assert found.problem.params["url"] == URL
    assert found.problem.params["detail"]


def test_what_the_library_shows_of_its_inside_is_no_cause() -> None:
    error = Exception(
        "Error performing GET http://127.0.0.1:1/a - HTTP error\n\nDebug source:\n credentials 403 Forbidden"
    )
    assert type(failure_of(error, URL)) is errors.ObjectStoreUnreachable


def test_an_answer_that_names_the_key_of_the_account_is_not_repeated() -> None:
    error = Exception(f"403 Forbidden: <Error><AWSAccessKeyId>{SECRET}</AWSAccessKeyId></Error>\nsource: {SECRET}")
    problem = failure_of(error, URL).problem
    assert SECRET not in f"{problem.message}{problem.hint}{problem.params}"


@pytest.mark.parametrize(("url", "parts"), [("s3://b/a/c", ("b", "a/c")), ("s3://b", ("b", ""))])
def test_an_url_has_bucket_and_key(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["b/a", "https://b/a", "s3://"])
def test_other_addresses_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        split_url(url)


def test_what_is_empty_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", *object_store._ENDPOINTS):
        monkeypatch.delenv(name, raising=False)
    plain = object_store._arguments(S3Settings())
    assert plain["region"] == "us-east-1"
    assert not {"endpoint", "access_key_id", "secret_access_key"} & plain.keys()
    assert plain["client_options"]["allow_http"] is False
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    from_environment = object_store._arguments(S3Settings())
    assert (from_environment["region"], from_environment["endpoint"]) == ("eu-central-1", "http://127.0.0.1:9000")
    assert from_environment["client_options"]["allow_http"] is True
    named = object_store._arguments(S3Settings("https://s3.example.org", "x", "key", SECRET))
    assert (named["region"], named["endpoint"]) == ("x", "https://s3.example.org")
    assert (named["access_key_id"], named["secret_access_key"]) == ("key", SECRET)
    assert named["client_options"]["allow_http"] is False


async def test_without_the_package_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    store = S3Store(S3Settings())
    for act in (store.size(URL), store.delete(URL), store.read(URL, 0, 1)):
        with pytest.raises(errors.ObjectStoreSupportMissing, match="not installed") as raised:
            await act
        assert "whisper_service[s3]" in raised.value.problem.hint


def test_a_store_loads_nothing_before_it_is_used() -> None:
    assert S3Store(S3Settings())._buckets == {}


def test_one_credential_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="together"):
        S3Settings(access_key_id="key")
    assert SECRET not in repr(S3Settings(access_key_id="key", secret_access_key=SECRET))
