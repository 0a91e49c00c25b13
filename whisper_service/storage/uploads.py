"""Receive uploads: bytes come in, a limited, hashed and synced file comes out, or nothing at all.

This module owns the directory of recordings. It knows nothing of HTTP, jobs or media formats. The name that a client
gives a file is only shown to people; paths are made of identifiers that the service draws.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from anyio import to_thread

from whisper_service.core.domain import Value
from whisper_service.core.errors import DiskFull, EmptyFile, TooLarge, TooManyUploads
from whisper_service.core.files import full_disk_as_error, sync_directory, sync_file, write_all
from whisper_service.core.identifiers import clean_name, identifier

BLOCK: Final = 1 << 20
"""Bytes that are gathered before a thread hashes and writes them: few changes of thread, little memory."""

PART: Final = ".part"
"""The ending of files that are not complete."""

RETRY_S: Final = 5
"""When clients are asked to come back after too many uploads."""


class Received(Value, frozen=True):
    """A complete upload on stable storage. `path.name` is its identifier."""

    name: str  # as the client called it, cleaned; for people only
    path: Path
    bytes: int
    sha256: str


class UploadLimits(NamedTuple):
    """The limits of files that clients send."""

    max_bytes: int  # of one file
    min_free: int  # bytes that stay free on the disk
    at_once: int | None = None  # open uploads; None: no limit


class Uploads:
    """The directory of recordings."""

    def __init__(self, root: Path, limits: UploadLimits, wall: Callable[[], float] = time.time) -> None:
        self.root = root
        self.limits = limits
        self.wall = wall  # identifiers sort by its time
        self.open_count = 0
        root.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def receive(self, name: str, *, expected: int | None = None) -> AsyncIterator[Receiver]:
        """Receive one file of about `expected` bytes.

        Raises `TooManyUploads`, `TooLarge` or `DiskFull` before the first byte is written. A block that ends without
        `finish` leaves no file.
        """
        self.check_room(expected or 0)
        part = self.root / f"{secrets.token_hex(16)}{PART}"
        try:
            with self.count_open(), full_disk_as_error(), part.open("xb", buffering=0) as file:
                yield Receiver(self, clean_name(name), part, file)
        finally:
            part.unlink(missing_ok=True)  # a finished file has another name

    @contextmanager
    def count_open(self) -> Iterator[None]:
        """Count one upload as open for the time of the block. Raises `TooManyUploads`."""
        limit = self.limits.at_once
        if limit is not None and self.open_count >= limit:
            raise TooManyUploads(retry_after_s=RETRY_S, limit=limit)
        self.open_count += 1
        try:
            yield
        finally:
            self.open_count -= 1

    def check_room(self, size: int, held: int = 0) -> None:
        """Raise `TooLarge` or `DiskFull` unless a file may grow to `size` bytes, of which `held` are on the disk."""
        max_bytes, min_free, _ = self.limits
        if size > max_bytes:
            raise TooLarge(
                f"The file is larger than the {_readable(max_bytes)} that this service accepts.",
                hint="Send a shorter or a compressed recording, or raise server.max_upload_bytes.",
                limit=max_bytes,
            )
        free = shutil.disk_usage(self.root).free
        if free < size - held + min_free:
            raise DiskFull(free=free, wanted=size - held, reserve=min_free)

    def share(self, source: str, name: str, size: int, sha256: str) -> Received | None:
        """Return the stored recording `source` once more, under an identifier of its own. None: its file is gone.

        Both share their bytes, where the file system can do that. Else the bytes are copied. Raises `DiskFull`.
        """
        path = self.root / identifier(self.wall())
        try:
            try:
                path.hardlink_to(self.root / source)
            except FileNotFoundError:
                return None
            except OSError:  # exFAT and some network shares have no links
                self.check_room(size)
                self._copy(self.root / source, path)
        except FileNotFoundError:
            return None
        sync_directory(self.root)
        return Received(name=name, path=path, bytes=size, sha256=sha256)

    def _copy(self, source: Path, path: Path) -> None:
        part = self.root / f"{secrets.token_hex(16)}{PART}"
        try:
            with full_disk_as_error(), source.open("rb") as whole, part.open("xb") as copy:
                shutil.copyfileobj(whole, copy, BLOCK)
                sync_file(copy)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)

    def sweep(self, keep: Collection[str]) -> None:
        """Delete incomplete uploads and recordings whose identifier is not in `keep`. Only for the start."""
        for path in self.root.iterdir():
            if path.name not in keep and not path.is_dir():  # lost+found, where the directory is a disk of its own
                path.unlink(missing_ok=True)


class Receiver:
    """One open upload. Threads hash and write it, one block at a time."""

    def __init__(self, uploads: Uploads, name: str, part: Path, file: BinaryIO) -> None:
        self._uploads = uploads
        self._name = name
        self._part = part
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self._buffer = bytearray()

    async def write(self, data: bytes) -> None:
        """Take the next bytes. Raises `TooLarge` or `DiskFull` as soon as that is certain."""
        self._buffer += data
        if len(self._buffer) >= BLOCK:
            await to_thread.run_sync(self._flush)

    async def finish(self) -> Received:
        """Bring the file to stable storage under its final name. Raises `EmptyFile` if no byte came."""
        return await to_thread.run_sync(self._finish)

    def _flush(self) -> None:
        block, self._buffer = bytes(self._buffer), bytearray()
        self._uploads.check_room(self._size + len(block), held=self._size)
        write_all(self._file, block)
        self._hash.update(block)
        self._size += len(block)

    def _finish(self) -> Received:
        self._flush()
        if not self._size:
            raise EmptyFile()
        path = self._uploads.root / identifier(self._uploads.wall())
        with full_disk_as_error():
            sync_file(self._file)
            self._file.close()
            self._part.rename(path)
            sync_directory(self._uploads.root)
        return Received(name=self._name, path=path, bytes=self._size, sha256=self._hash.hexdigest())


def _readable(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"
