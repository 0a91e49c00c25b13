"""Object storage in four acts: put, read a range, delete, and (with a read) find out whether an object is there.

`ObjectStore` is all that the service knows of a store. `S3Store` speaks to S3 and to servers that speak like it,
through the package obstore, which is imported when the first store is opened. Credentials come from the settings or
from the environment; they are in no message.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any, Final, Protocol

from anyio import fail_after

from whisper_service.config.schema import S3Settings
from whisper_service.core.errors import (
    BucketUnusable,
    ObjectStoreDenied,
    ObjectStoreSupportMissing,
    ObjectStoreUnreachable,
    RecordingLost,
    ServiceError,
)

PART: Final = 8 * 1024**2
"""Bytes of a part of an object that is put: S3 takes at least 5 MiB and at most 10,000 parts, so objects of 80 GB."""
PARTS_AT_ONCE: Final = 2
"""Parts that are on their way at the same time: 16 MiB of memory and a share of the line."""
CONNECT_S: Final = 5.0
REQUEST_S: Final = 120.0
"""Seconds that a part may take: 8 MiB over a line of 0.6 Mbit/s."""
ANSWER_S: Final = 20.0
"""Seconds that anything else may take, with its repetitions: somebody may wait for it. 4 MiB over 1.7 Mbit/s."""
RETRIES: Final = 2
"""Tries again of a request that a server answered with an error of its own, or not at all."""
RETRY_S: Final = 10.0
"""Seconds after which a request is not tried again."""
REGION: Final = "us-east-1"
"""The region where none is named: servers other than Amazon's take it or have none."""
_URL: Final = re.compile(r"s3://([^/]+)(?:/(.*))?")
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REFUSED: Final = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403 Forbidden")
_NO_CREDENTIALS: Final = ("169.254.169.254", "169.254.170.2", "credential")
"""Where the machines of a cloud ask for credentials: nothing else asks there."""


class ObjectStore(Protocol):
    """A place for objects by url. Every act may raise what `failure_of` returns."""

    async def put(self, url: str, blocks: AsyncIterator[bytes]) -> None:
        """Store the bytes of `blocks` as one object. It is there when all of it is, or not at all."""

    async def read(self, url: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, not including, `end`: fewer behind the end of the object.

        Raises `RecordingLost` if there is no object.
        """

    async def delete(self, url: str) -> None:
        """Delete an object. One that is not there counts as deleted."""

    async def size(self, url: str) -> int:
        """Return the bytes of an object. Raises `RecordingLost` if there is none."""


@dataclass
class S3Store:
    """Objects in buckets of S3, or of a server that speaks like it."""

    settings: S3Settings
    _buckets: dict[str, Any] = field(default_factory=dict)

    async def put(self, url: str, blocks: AsyncIterator[bytes]) -> None:
        """Store the bytes of `blocks` as one object, in parts if there are many. Each part is signed with its hash."""
        module, bucket, key = self._at(url)
        try:
            await module.put_async(bucket, key, blocks, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)
        except Exception as error:
            raise failure_of(error, url) from error

    async def read(self, url: str, start: int, end: int) -> bytes:
        """Return a range of an object. Raises `RecordingLost` if there is none."""
        module, bucket, key = self._at(url)
        try:
            with fail_after(ANSWER_S):
                return bytes(await module.get_range_async(bucket, key, start=start, end=end))
        except Exception as error:
            raise failure_of(error, url) from error

    async def delete(self, url: str) -> None:
        """Delete an object. One that is not there counts as deleted."""
        module, bucket, key = self._at(url)
        try:
            with fail_after(ANSWER_S):
                await module.delete_async(bucket, key)
        except Exception as error:
            failure = failure_of(error, url)
            if not isinstance(failure, RecordingLost):
                raise failure from error

    async def size(self, url: str) -> int:
        """Return the bytes of an object. Raises `RecordingLost` if there is none."""
        module, bucket, key = self._at(url)
        try:
            with fail_after(ANSWER_S):
                return int((await module.head_async(bucket, key))["size"])
        except Exception as error:
            raise failure_of(error, url) from error

    def _at(self, url: str) -> tuple[Any, Any, str]:
        """Return the library, the opened bucket and the key of a url. Raises `ObjectStoreSupportMissing`."""
        try:
            module, stores = import_module("obstore"), import_module("obstore.store")
        except ImportError as error:
            raise ObjectStoreSupportMissing() from error
        name, key = split_url(url)
        if name not in self._buckets:
            try:
                self._buckets[name] = stores.S3Store(name, **_arguments(self.settings))
            except Exception as error:
                raise failure_of(error, url) from error
        return module, self._buckets[name], key


def _arguments(settings: S3Settings) -> dict[str, Any]:
    """Return the arguments of the library. What is empty, it takes from the environment."""
    endpoint = settings.endpoint or next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    region = settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    given = {
        "endpoint": endpoint,
        "access_key_id": settings.access_key_id,
        "secret_access_key": settings.secret_access_key,
    }
    return {name: value for name, value in given.items() if value} | {
        "region": region,
        "client_options": {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": f"{CONNECT_S:g}s",
            "timeout": f"{REQUEST_S:g}s",
        },
        "retry_config": {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
    }


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`. Raises `ValueError`."""
    if (found := _URL.fullmatch(url)) is None:
        raise ValueError(f"not the address of an object: {url}")
    return found[1], found[2] or ""


def failure_of(error: Exception, url: str) -> ServiceError:
    """Return what users are told about an error of the library. Its text shows where and how, and no secret."""
    if isinstance(error, ServiceError):
        return error
    bucket, _ = split_url(url)
    text, detail = str(error).partition("Debug source")[0], _detail(error)
    params = {"url": url, "detail": detail}
    if "NoSuchBucket" in text:
        return BucketUnusable(f"There is no bucket {bucket} in the object storage.", **params)
    if "incorrectly configured region" in text or "PermanentRedirect" in text:
        return BucketUnusable(f"The bucket {bucket} is in another region than the one that is asked.", **params)
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or any(w in text for w in _REFUSED):
        return ObjectStoreDenied(f"The object storage refuses access to the bucket {bucket}.", **params)
    if any(word in text for word in _NO_CREDENTIALS):
        return ObjectStoreDenied("There are no credentials for the object storage.", **params)
    if isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError":
        return RecordingLost(**params)
    return ObjectStoreUnreachable(f"The object storage does not answer: {detail}.", **params)


def _detail(error: Exception) -> str:
    """Return the first line of an error, without the answer of the server, which may name the key of the account."""
    if isinstance(error, TimeoutError):
        return f"nothing within {ANSWER_S:g} s"
    line = str(error).partition("\n")[0].partition("<")[0]
    return line.strip(" :.")[:300] or type(error).__name__
