"""Uploads on their way to the disk: bytes in; a limited, hashed, fsynced file out - or nothing at all.

Owns the directory with the recordings. Knows nothing of HTTP, jobs or media formats. What a client calls a file is only ever
shown; paths are made of identifiers that this module draws.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from anyio import to_thread

from whisper_service.core.domain import Value
from whisper_service.core.errors import DiskFull, EmptyFile, TooLarge, TooManyUploads
from whisper_service.core.files import full_disk_as_error, sync_directory, sync_file, write_all
from whisper_service.core.identifiers import clean_name, identifier

BLOCK: Final = 1 << 20
"""Bytes gathered before a worker thread hashes and writes them: few hops, little memory."""

PART: Final = ".part"
"""What files end in until they are complete."""

RETRY_S: Final = 5
"""When to come back if too many uploads are on their way."""


class Received(Value, frozen=True):
    """A complete upload on stable storage. `path.name` is its identifier."""

    name: str  # as the client called it, cleaned; for people's eyes
    path: Path
    bytes: int
    sha256: str


class Uploads:
    """The directory with the recordings, and the limits on what comes in."""

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        min_free: int,
        at_once: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`root` is created when it is missing. Refused are files over `max_bytes`, disks with less than `min_free` bytes left,
        and more than `at_once` uploads at the same time (None: no limit)."""
        self.root = root
        self.max_bytes = max_bytes
        self.min_free = min_free
        self.at_once = at_once
        self.wall = wall  # identifiers sort by it
        self.open = 0  # uploads that are on their way
        root.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def receiver(self, name: str, *, expected: int | None = None) -> AsyncIterator[Receiver]:
        """Take one file of about `expected` bytes; `TooManyUploads`, `TooLarge` or `DiskFull` before the first byte is written.

        Leaving the block without `finish()`, for whatever reason, leaves nothing behind.
        """
        self.admit(expected or 0)
        part = self.root / f"{secrets.token_hex(16)}{PART}"
        try:
            with self.place(), full_disk_as_error(), part.open("xb", buffering=0) as file:
                yield Receiver(self, clean_name(name), part, file)
        finally:
            part.unlink(missing_ok=True)  # it has another name by now if it was finished

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one upload, while its bytes come. Raises `TooManyUploads`."""
        if self.at_once is not None and self.open >= self.at_once:
            raise TooManyUploads(retry_after_s=RETRY_S, limit=self.at_once)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def admit(self, size: int, held: int = 0) -> None:
        """Raise `TooLarge` or `DiskFull` unless a file may grow to `size` bytes, of which `held` are on the disk."""
        if size > self.max_bytes:
            raise TooLarge(
                f"The file is larger than the {_human(self.max_bytes)} that this service accepts.",
                hint="Send a shorter or a compressed recording, or raise server.max_upload_bytes.",
                limit=self.max_bytes,
            )
        free = shutil.disk_usage(self.root).free
        if free < size - held + self.min_free:
            raise DiskFull(free=free, wanted=size - held, reserve=self.min_free)

    def sweep(self, keep: Collection[str]) -> None:
        """Remove what no job knows: broken uploads, and recordings whose identifier is not in `keep`. For the start only."""
        for path in self.root.iterdir():
            if path.name not in keep and not path.is_dir():  # lost+found, where this is a disk of its own
                path.unlink(missing_ok=True)


class Receiver:
    """One upload in progress. Hashing and writing happen in worker threads, a block at a time."""

    def __init__(self, intake: Uploads, name: str, part: Path, file: BinaryIO) -> None:
        self._intake = intake
        self._name = name
        self._part = part
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0
        self._held: list[bytes] = []
        self._held_bytes = 0

    async def write(self, data: bytes) -> None:
        """Take the next bytes; `TooLarge` or `DiskFull` as soon as that is certain."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= BLOCK:
            await to_thread.run_sync(self._flush)

    async def finish(self) -> Received:
        """Put the file on stable storage under its final name; `EmptyFile` if nothing came."""
        return await to_thread.run_sync(self._finish)

    def _flush(self) -> None:
        block = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        self._intake.admit(self._size + len(block), held=self._size)
        write_all(self._file, block)
        self._hash.update(block)
        self._size += len(block)

    def _finish(self) -> Received:
        self._flush()
        if not self._size:
            raise EmptyFile()
        path = self._intake.root / identifier(self._intake.wall())
        with full_disk_as_error():
            sync_file(self._file)
            self._file.close()
            self._part.rename(path)
            sync_directory(self._intake.root)
        return Received(name=self._name, path=path, bytes=self._size, sha256=self._hash.hexdigest())


def _human(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"
