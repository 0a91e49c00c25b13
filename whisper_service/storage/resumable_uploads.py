"""Uploads in pieces: what has come is kept over cuts and restarts, until it is made a job of or nobody came back for it.

Owns the directory with them. An upload is two files: what has come so far, whose length is the truth about it, and what was said
when it began. Its identifier becomes that of the job, so that asking for the job twice makes one. Knows nothing of HTTP.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
import msgspec
from anyio import CancelScope, to_thread

from whisper_service.core.domain import Value
from whisper_service.core.errors import (
    ChecksumMismatch,
    NotFound,
    TooLarge,
    UploadIncomplete,
    UploadLocked,
    UploadOffset,
)
from whisper_service.core.files import full_disk_as_error, sha256_of, sync_directory, sync_file, write_all, write_whole
from whisper_service.core.identifiers import clean_name, identifier
from whisper_service.core.wakeup import Wakeup
from whisper_service.storage.uploads import BLOCK, Received, Uploads

CHECKSUMS: Final = ("sha1", "sha256")
_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_FACTS: Final = ".json"
_BYTES: Final = ".part"


class UploadInfo(Value, frozen=True):
    """What was said when it began; `metadata` are the client's own words."""

    id: str
    name: str
    length: int
    metadata: str
    created_at: float


class UploadStatus(Value, frozen=True):
    """An upload and how far it is; without another word of its client it goes at `expires_at`."""

    upload: UploadInfo
    offset: int
    expires_at: float


@dataclass
class _Sending:
    """Somebody is sending; `scope` ends that."""

    scope: CancelScope
    done: anyio.Event = field(default_factory=anyio.Event)


class ResumableUploads:
    """See the module."""

    def __init__(self, root: Path, intake: Uploads, *, keep_s: float, wall: Callable[[], float] = time.time) -> None:
        self.root = root
        self.keep_s = keep_s
        self._intake = intake
        self._wall = wall
        self._work: dict[str, _Sending] = {}
        self._hashes: dict[str, tuple[int, Any]] = {}  # how far each is hashed; after a restart it is done at the end
        self._news = Wakeup()
        self._closed = False
        root.mkdir(parents=True, exist_ok=True)

    async def create(self, length: int, name: str, metadata: str) -> UploadStatus:
        """Begin one of `length` bytes. Raises `TooLarge` and `DiskFull` before a byte has come."""
        self._intake.admit(length)
        now = self._wall()
        upload = UploadInfo(identifier(now), clean_name(name), length, metadata, now)
        await to_thread.run_sync(self._begin, upload)
        self._hashes[upload.id] = (0, hashlib.sha256())
        self._news.notify()
        return await self.standing(upload.id)

    async def standing(self, upload_id: str) -> UploadStatus:
        """How far it is. Raises `NotFound`."""
        return await to_thread.run_sync(self._standing, upload_id)

    async def take_over(self, upload_id: str) -> None:
        """End what another connection is sending, most likely a dead one; what came by it is kept."""
        if (work := self._work.get(upload_id)) is not None:
            work.scope.cancel()
            await work.done.wait()

    async def append(
        self,
        upload_id: str,
        offset: int,
        source: AsyncIterator[bytes],
        *,
        expected: int | None = None,
        checksum: tuple[str, bytes] | None = None,
    ) -> UploadStatus:
        """Add what comes, from `offset` on; however that ends, what came is kept.

        Only with a `checksum` (algorithm, digest) it is kept only if it is whole. Raises `NotFound`, `UploadLocked`,
        `UploadOffset`, `TooManyUploads`, `TooLarge`, `DiskFull`, `ChecksumMismatch`, and what `source` raises.
        """
        if upload_id in self._work:
            raise UploadLocked(upload=upload_id)
        with CancelScope() as scope:
            self._work[upload_id] = work = _Sending(scope)
            try:
                standing = await self.standing(upload_id)
                if offset != standing.offset:
                    raise UploadOffset(
                        f"The upload is at byte {standing.offset}, not {offset}.", offset=standing.offset
                    )
                if expected is not None and expected > standing.upload.length - offset:
                    raise _too_much(standing.upload)
                self._intake.admit(standing.upload.length, held=offset)
                with self._intake.place():
                    await self._receive(standing.upload, offset, source, checksum)
            finally:
                del self._work[upload_id]
                work.done.set()
        if scope.cancelled_caught:
            raise UploadLocked("Another connection has taken this upload over.", upload=upload_id)
        return await self.standing(upload_id)

    async def delete(self, upload_id: str) -> None:
        """Forget it. Raises `NotFound`."""
        await self.standing(upload_id)
        await self.take_over(upload_id)
        await to_thread.run_sync(self._forget, upload_id)

    async def claim(self, upload_id: str) -> Received:
        """The complete recording, among those of jobs; it stays here too until `forget`, so that nothing is lost in between.

        Raises `NotFound` or `UploadIncomplete`.
        """
        standing = await self.standing(upload_id)
        upload = standing.upload
        if standing.offset < upload.length or not upload.length or upload_id in self._work:
            raise UploadIncomplete(
                f"Of {upload.length} bytes {standing.offset} have come.", offset=standing.offset, length=upload.length
            )
        hashed, digest = self._hashes.get(upload_id, (0, None))
        if digest is not None and hashed == upload.length:
            sha256 = digest.hexdigest()
        else:
            sha256 = await to_thread.run_sync(sha256_of, self._bytes_of(upload_id))
        path = self._intake.root / upload_id
        await to_thread.run_sync(self._hand_over, upload_id, path)
        return Received(name=upload.name, path=path, bytes=upload.length, sha256=sha256)

    async def release(self, received: Received) -> None:
        """Nothing came of a `claim`: only the upload stays."""
        await to_thread.run_sync(self._take_back, received.path)

    async def forget(self, upload_id: str) -> None:
        """It is a job now."""
        await to_thread.run_sync(self._forget, upload_id)

    async def run(self) -> None:
        """Remove what nobody came back for, when it is due; until `close`."""
        while not self._closed:
            due = await to_thread.run_sync(self._sweep)
            await self._news.wait(None if due is None else max(1.0, due - self._wall()))

    def close(self) -> None:
        """Let `run` end."""
        self._closed = True
        self._news.notify()

    # -- files; in worker threads ------------------------------------------------------------------------------------

    def _begin(self, upload: UploadInfo) -> None:
        facts = self._facts_of(upload.id)
        with full_disk_as_error():
            self._bytes_of(upload.id).touch()
            write_whole(facts, msgspec.json.encode(upload), draft=facts.with_suffix(".new"))

    def _standing(self, upload_id: str) -> UploadStatus:
        if _ID.fullmatch(upload_id):
            with suppress(OSError, msgspec.MsgspecError):
                upload = msgspec.json.decode(self._facts_of(upload_id).read_bytes(), type=UploadInfo)
                stat = self._bytes_of(upload_id).stat()
                expires_at = max(upload.created_at, stat.st_mtime) + self.keep_s
                if expires_at > self._wall() or upload_id in self._work:
                    return UploadStatus(upload, min(stat.st_size, upload.length), expires_at)
        hint = "It may have expired, or be a job already. Begin a new one."
        raise NotFound("There is no such upload.", hint=hint, upload=upload_id[:64])

    async def _receive(
        self, upload: UploadInfo, offset: int, source: AsyncIterator[bytes], checksum: tuple[str, bytes] | None
    ) -> None:
        path = self._bytes_of(upload.id)
        hashed, digest = self._hashes.pop(upload.id, (0, None))
        writer = _Writer(path.open("r+b", buffering=0), offset, digest if hashed == offset else None)
        own = hashlib.new(checksum[0]) if checksum else None
        held, whole = bytearray(), False
        try:
            async for data in source:
                if writer.offset + len(held) + len(data) > upload.length:
                    raise _too_much(upload)
                held += data
                if own is not None:
                    own.update(data)
                if len(held) >= BLOCK:
                    block, held = bytes(held), bytearray()
                    self._intake.admit(upload.length, held=writer.offset)
                    await to_thread.run_sync(writer.write, block)
            whole = True
        finally:
            with CancelScope(shield=True):
                try:
                    if own is not None and (not whole or own.digest() != (checksum or ("", b""))[1]):
                        await to_thread.run_sync(writer.cut, offset)
                    else:
                        await to_thread.run_sync(writer.write, bytes(held))
                finally:
                    await to_thread.run_sync(writer.close)
                    if writer.digest is not None:
                        self._hashes[upload.id] = (writer.offset, writer.digest)
                    self._news.notify()
        if own is not None and checksum is not None and own.digest() != checksum[1]:
            raise ChecksumMismatch(offset=offset)

    def _hand_over(self, upload_id: str, path: Path) -> None:
        source = self._bytes_of(upload_id)
        with full_disk_as_error():
            try:
                os.link(source, path)
            except FileExistsError:
                return
            except OSError:  # a file system without links
                source.rename(path)
            sync_directory(path.parent)

    def _take_back(self, path: Path) -> None:
        source = self._bytes_of(path.name)
        if source.exists():
            path.unlink(missing_ok=True)
        else:
            path.rename(source)

    def _forget(self, upload_id: str) -> None:
        self._hashes.pop(upload_id, None)
        for path in (self._facts_of(upload_id), self._bytes_of(upload_id)):
            path.unlink(missing_ok=True)

    def _sweep(self) -> float | None:
        """Remove what is due and what is half of an upload; when the next one is due."""
        due: list[float] = []
        for path in list(self.root.iterdir()):
            if not _ID.fullmatch(path.stem):
                continue
            try:
                due.append(self._standing(path.stem).expires_at)
            except NotFound:
                with suppress(FileNotFoundError):
                    if path.stem not in self._work and path.stat().st_mtime + 60 < self._wall():  # it may just begin
                        self._forget(path.stem)
                        path.unlink(missing_ok=True)
        return min(due, default=None)

    def _facts_of(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}{_FACTS}"

    def _bytes_of(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}{_BYTES}"


class _Writer:
    """The file of an upload while something is added. What could not be written is cut off, so that its length is true."""

    def __init__(self, file: BinaryIO, offset: int, digest: Any) -> None:
        self.offset = offset
        self.digest = digest
        self._file = file
        file.seek(offset)

    def write(self, block: bytes) -> None:
        try:
            write_all(self._file, block)
        except BaseException:
            self._file.truncate(self.offset)
            raise
        self.offset += len(block)
        if self.digest is not None:
            self.digest.update(block)

    def cut(self, offset: int) -> None:
        self._file.truncate(offset)
        self.offset, self.digest = offset, None

    def close(self) -> None:
        with full_disk_as_error(), self._file as file:
            sync_file(file)


def _too_much(upload: UploadInfo) -> TooLarge:
    return TooLarge(
        f"More comes than the {upload.length} bytes that were announced.",
        hint="Begin a new upload with the true length.",
        limit=upload.length,
    )
