"""Receive uploads in several pieces. Broken connections and restarts lose no byte that has come.

This module owns the directory of these uploads. An upload is two files: the bytes that have come, whose length is the
offset, and the facts that the client gave at the beginning. The job gets the identifier of the upload, so that two
requests make one job. This module knows nothing of HTTP.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
import msgspec
from anyio import CancelScope, to_thread
from msgspec.structs import replace

from whisper_service.core import files
from whisper_service.core.domain import Value
from whisper_service.core.errors import (
    ChecksumMismatch,
    EmptyFile,
    InvalidRequest,
    NotFound,
    TooLarge,
    UploadIncomplete,
    UploadLocked,
    UploadOffset,
)
from whisper_service.core.identifiers import clean_name, identifier
from whisper_service.core.wakeup import Wakeup
from whisper_service.storage.uploads import BLOCK, Received, Uploads

CHECKSUMS: Final = ("sha1", "sha256")
BEGIN_S: Final = 60
"""Age at which an incomplete pair of files is deleted. A younger one may belong to an upload that begins now."""
_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")


class UploadInfo(Value, frozen=True):
    """What the client said at the beginning. `metadata` is its own text. `created_at` in Unix seconds."""

    id: str
    name: str
    length: int | None  # bytes; None: the client does not know yet
    metadata: str
    created_at: float


class UploadStatus(Value, frozen=True):
    """An upload and how many bytes have come. It is deleted at `expires_at` (Unix seconds) unless more bytes come."""

    upload: UploadInfo
    offset: int
    expires_at: float

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self.offset == self.upload.length


@dataclass
class _Sending:
    """A connection that sends bytes. Cancelling `scope` ends it."""

    scope: CancelScope
    done: anyio.Event = field(default_factory=anyio.Event)


class ResumableUploads:
    """The uploads in pieces. They share the limits of `Uploads` and expire `keep_s` seconds after the last byte."""

    def __init__(self, root: Path, uploads: Uploads, *, keep_s: float) -> None:
        self.root = root
        self.keep_s = keep_s
        self._uploads = uploads
        self._sending: dict[str, _Sending] = {}
        self._hashes: dict[str, tuple[int, Any]] = {}  # hashed bytes and hash; lost at a restart
        self.news = Wakeup()  # an upload begins or ends
        root.mkdir(parents=True, exist_ok=True)

    async def create(self, length: int | None, name: str, metadata: str) -> UploadStatus:
        """Begin an upload of `length` bytes. None: `append` is told later. Raises `TooLarge` and `DiskFull`."""
        self._uploads.check_room(length or 0)
        now = time.time()
        upload = UploadInfo(identifier(now), clean_name(name), length, metadata, now)
        await to_thread.run_sync(self._create, upload)
        self._hashes[upload.id] = (0, hashlib.sha256())
        self.news.notify()
        return await self.status(upload.id)

    async def status(self, upload_id: str) -> UploadStatus:
        """Return how far an upload is. Raises `NotFound`."""
        return await to_thread.run_sync(self._status, upload_id)

    async def take_over(self, upload_id: str) -> None:
        """End the connection that sends this upload, most likely a dead one. What it sent is kept."""
        if (sending := self._sending.get(upload_id)) is not None:
            sending.scope.cancel()
            await sending.done.wait()

    async def append(
        self,
        upload_id: str,
        offset: int,
        source: AsyncIterator[bytes],
        *,
        expected: int | None = None,
        checksum: tuple[str, bytes] | None = None,
        length: int | None = None,
    ) -> UploadStatus:
        """Add the bytes of `source` from `offset` on. What has come is kept however the call ends.

        `expected`: bytes of `source`, if they are known. `length`: bytes of the whole upload, if the client knows them
        by now. With a `checksum` (algorithm, digest) the bytes are kept only if all came and match. Raises `NotFound`,
        `UploadLocked`, `UploadOffset`, `InvalidRequest` for another length, `EmptyFile`, `TooManyUploads`, `TooLarge`,
        `DiskFull`, `ChecksumMismatch`, or as `source`.
        """
        if upload_id in self._sending:
            raise UploadLocked(upload=upload_id)
        with CancelScope() as scope:
            self._sending[upload_id] = sending = _Sending(scope)
            try:
                status = await self.status(upload_id)
                if offset != status.offset:
                    message = f"The upload is at byte {status.offset}, not {offset}."
                    raise UploadOffset(message, offset=status.offset)
                upload = status.upload if length is None else await self._state_length(status, length)
                known, end = upload.length, offset + (expected or 0)
                if known is not None and end > known:
                    raise _too_much(known)
                self._uploads.check_room(end if known is None else known, held=offset)
                with self._uploads.count_open():
                    await self._receive(upload, offset, source, checksum)
            finally:
                del self._sending[upload_id]
                sending.done.set()
        if scope.cancelled_caught:
            raise UploadLocked("Another connection has taken this upload over.", upload=upload_id)
        return await self.status(upload_id)

    async def _state_length(self, status: UploadStatus, length: int) -> UploadInfo:
        """Note the length of an upload that was begun without one. It is stored before any further byte is."""
        upload, field_name = status.upload, "Upload-Length"
        if upload.length is not None and upload.length != length:
            message = f"The upload has {upload.length} bytes, as the client said before, not {length}."
            raise InvalidRequest(message, hint="Begin a new upload with the true length.", field=field_name)
        if upload.length == length:
            return upload
        if length < status.offset:
            message = f"{status.offset} bytes have come already, more than {length}."
            raise InvalidRequest(message, hint="Begin a new upload with the true length.", field=field_name)
        if not length:
            raise EmptyFile()
        self._uploads.check_room(length, held=status.offset)
        upload = replace(upload, length=length)
        with CancelScope(shield=True):
            await to_thread.run_sync(self._write_facts, upload)
        return upload

    async def delete(self, upload_id: str) -> None:
        """Delete an upload. Raises `NotFound`."""
        await self.status(upload_id)
        await self.take_over(upload_id)
        await to_thread.run_sync(self._delete, upload_id)

    async def hand_over(self, upload_id: str) -> Received:
        """Put a complete upload among the recordings of jobs. The upload stays too, until `discard`.

        Raises `NotFound` or `UploadIncomplete`.
        """
        status = await self.status(upload_id)
        upload, length = status.upload, status.upload.length
        if not (status.complete and length) or upload_id in self._sending:
            message = f"Of {length} bytes {status.offset} have come."
            if length is None:
                message = f"{status.offset} bytes have come. The client has not said yet how many there are."
            raise UploadIncomplete(message, offset=status.offset, length=length)
        hashed, digest = self._hashes.get(upload_id, (0, None))
        if digest is not None and hashed == length:
            sha256 = digest.hexdigest()
        else:
            sha256 = await to_thread.run_sync(files.sha256_of, self._bytes_of(upload_id))
        path = self._uploads.root / upload_id
        await to_thread.run_sync(self._hand_over, upload_id, path)
        return Received(name=upload.name, path=path, bytes=length, sha256=sha256)

    async def release(self, received: Received) -> None:
        """Undo `hand_over`, because no job was made. The upload stays."""
        await to_thread.run_sync(self._release, received.path)

    async def discard(self, upload_id: str) -> None:
        """Delete the files of an upload that a job has taken."""
        await to_thread.run_sync(self._delete, upload_id)

    async def run(self) -> None:
        """Delete uploads when they expire, until `news` is closed."""
        while not self.news.closed:
            due = await to_thread.run_sync(self._sweep)
            await self.news.wait(None if due is None else max(1.0, due - time.time()))

    # -- files; these run in threads ---------------------------------------------------------------------------------

    def _create(self, upload: UploadInfo) -> None:
        with files.full_disk_as_error():
            self._bytes_of(upload.id).touch()
            self._write_facts(upload)

    def _write_facts(self, upload: UploadInfo) -> None:
        facts = self._facts_of(upload.id)
        with files.full_disk_as_error():
            files.write_whole(facts, msgspec.json.encode(upload), draft=facts.with_suffix(".new"))

    def _status(self, upload_id: str) -> UploadStatus:
        if _ID.fullmatch(upload_id):
            with suppress(OSError, msgspec.MsgspecError):
                upload = msgspec.json.decode(self._facts_of(upload_id).read_bytes(), type=UploadInfo)
                stat = self._bytes_of(upload_id).stat()
                expires_at = max(upload.created_at, stat.st_mtime) + self.keep_s
                if expires_at > time.time() or upload_id in self._sending:
                    held = stat.st_size if upload.length is None else min(stat.st_size, upload.length)
                    return UploadStatus(upload, held, expires_at)
        hint = "The upload may have expired, or it may be a job already. Begin a new one."
        raise NotFound("There is no such upload.", hint=hint, upload=upload_id[:64])

    async def _receive(
        self, upload: UploadInfo, offset: int, source: AsyncIterator[bytes], checksum: tuple[str, bytes] | None
    ) -> None:
        algorithm, wanted = checksum or ("", b"")
        own = hashlib.new(algorithm) if checksum else None
        path = self._bytes_of(upload.id)
        hashed, digest = self._hashes.pop(upload.id, (0, None))
        writer = _Writer(path.open("r+b", buffering=0), offset, digest if hashed == offset else None)
        held, whole = bytearray(), False
        try:
            async for data in source:
                end = writer.offset + len(held) + len(data)
                if upload.length is not None and end > upload.length:
                    raise _too_much(upload.length)
                if upload.length is None and end > self._uploads.limits.max_bytes:
                    self._uploads.check_room(end)
                held += data
                if own is not None:
                    own.update(data)
                if len(held) >= BLOCK:
                    block, held = bytes(held), bytearray()
                    self._uploads.check_room(end if upload.length is None else upload.length, held=writer.offset)
                    await to_thread.run_sync(writer.write, block)
            whole = True
        finally:
            with CancelScope(shield=True):
                try:
                    if own is not None and (not whole or own.digest() != wanted):
                        await to_thread.run_sync(writer.cut, offset)
                    else:
                        await to_thread.run_sync(writer.write, bytes(held))
                finally:
                    await to_thread.run_sync(writer.close)
                    if writer.digest is not None:
                        self._hashes[upload.id] = (writer.offset, writer.digest)
                    self.news.notify()
        if own is not None and own.digest() != wanted:
            raise ChecksumMismatch(offset=offset)

    def _hand_over(self, upload_id: str, path: Path) -> None:
        source = self._bytes_of(upload_id)
        with files.full_disk_as_error():
            try:
                os.link(source, path)
            except FileExistsError:
                return
            except OSError:  # a file system without links
                source.rename(path)
            files.sync_directory(path.parent)

    def _release(self, path: Path) -> None:
        source = self._bytes_of(path.name)
        if source.exists():
            path.unlink(missing_ok=True)
        else:
            path.rename(source)

    def _delete(self, upload_id: str) -> None:
        self._hashes.pop(upload_id, None)
        for path in (self._facts_of(upload_id), self._bytes_of(upload_id)):
            path.unlink(missing_ok=True)

    def _sweep(self) -> float | None:
        """Delete expired and incomplete uploads. Return when the next one expires (Unix seconds). None: never."""
        due: list[float] = []
        for path in list(self.root.iterdir()):
            if not _ID.fullmatch(path.stem):
                continue
            try:
                due.append(self._status(path.stem).expires_at)
            except NotFound:
                with suppress(FileNotFoundError):
                    if path.stem not in self._sending and path.stat().st_mtime + BEGIN_S < time.time():
                        self._delete(path.stem)
                        path.unlink(missing_ok=True)
        return min(due, default=None)

    def _facts_of(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.json"

    def _bytes_of(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.part"


class _Writer:
    """The open file of an upload. A block that cannot be written is cut off, so that the length stays true."""

    def __init__(self, file: BinaryIO, offset: int, digest: Any) -> None:
        self.offset = offset
        self.digest = digest
        self._file = file
        file.seek(offset)

    def write(self, block: bytes) -> None:
        try:
            files.write_all(self._file, block)
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
        with files.full_disk_as_error(), self._file as file:
            files.sync_file(file)


def _too_much(length: int) -> TooLarge:
    message = f"More bytes come than the {length} that were announced."
    return TooLarge(message, hint="Begin a new upload with the true length.", limit=length)
