"""The check of `doctor` for the object storage: write an object, read a range of it, delete it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Final

from whisper_service.app.self_test import Check, Verdict, failed
from whisper_service.config.schema import Config
from whisper_service.core.errors import ObjectStoreFailed
from whisper_service.storage.object_store import S3Store

NAME: Final = "object storage"
BYTES: Final = 64 * 1024


async def check(config: Config) -> Check:
    """Do what the service does with a recording, where `storage.media` says. Nothing stays in the bucket."""
    target = config.storage.media.rstrip("/")
    store, url, data = S3Store(config.s3), f"{target}/doctor-{secrets.token_hex(4)}", secrets.token_bytes(BYTES)
    began = time.monotonic()

    async def blocks() -> AsyncIterator[bytes]:
        yield data

    try:
        await store.put(url, blocks())
        found = await store.read(url, 1_000, 2_000)
        size = await store.size(url)
        await store.delete(url)
    except ObjectStoreFailed as error:
        return failed(NAME, error.problem)
    if (found, size) != (data[1_000:2_000], BYTES):
        detail = f"{target} gives other bytes back than it was given."
        return Check(NAME, Verdict.FAIL, detail, hint="Check the storage: recordings would be lost in it.")
    took = time.monotonic() - began
    return Check(NAME, Verdict.OK, f"{target}: written, read in part and deleted in {took:.1f} s.")
