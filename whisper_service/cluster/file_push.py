"""Files on their way to another machine: what is offered, what is there, and the sender.

The gateway offers a set of files to an outpost. The answer says which piece is wanted next: a file and a place in it.
The gateway sends that piece, and so on, until the answer names the finished folder. Every answer comes from what lies
on the disk of the other machine. So a call may be lost, repeated or overtaken, and another outpost of that machine goes
on where a dead one stopped. A piece that is not the wanted one changes nothing.

`file_cache` is the other end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from whisper_service.core.domain import Value

PIECE_BYTES: Final = 16 * 1024 * 1024
"""Bytes in one call. Small enough for the object store of a container; a call itself costs little beside so many."""
BUSY_AGAIN_S: Final = 0.5
"""Seconds until a machine is asked again whose other process stores the same files."""

T = TypeVar("T")


class OfferedFile(Value, frozen=True):
    """A file that is offered."""

    name: str  # in its folder
    size: int  # in bytes
    sha256: str  # hexadecimal digits


class FileOffer(Value, frozen=True):
    """Files that a machine is to have in a folder of their own.

    The same `key` means the same files. `path` is their folder on the sender's machine; the other machine may use it if
    it has the same files there.
    """

    key: str  # hexadecimal digits, the name of the folder
    files: tuple[OfferedFile, ...]
    path: str = ""

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


class NotStored(StrEnum):
    """Why a machine does not take files."""

    FULL = "full"  # its disk has no room
    CONTENT = "content"  # a file arrived whole and has another digest
    FAILED = "failed"  # its folder cannot be written


class StoredFiles(Value, frozen=True):
    """What a machine has of an offer. Exactly one of `path`, `busy` and `refusal` is set, or a piece is wanted."""

    path: str = ""  # the folder with all files, checked
    file: int = 0  # the piece that is wanted: index of the file, and place in bytes
    at: int = 0
    bytes: int = 0  # that are there, of all files
    busy: bool = False  # another process of that machine stores the same files
    refusal: NotStored | None = None
    why: str = ""  # of the refusal, a sentence


class FileCalls(Protocol):
    """The calls for files to one outpost."""

    async def offer(self, offer: FileOffer) -> StoredFiles:
        """Return what the machine has. Nothing is promised: another process may become busy with the files."""

    async def store(self, offer: FileOffer, file: int, at: int, data: bytes) -> StoredFiles:
        """Store a piece if it is the wanted one."""


async def push(
    calls: FileCalls,
    offer: FileOffer,
    folder: Path,
    *,
    repeat: Callable[[Callable[[], Coroutine[Any, Any, StoredFiles]]], Awaitable[StoredFiles]],
    on_bytes: Callable[[int], None],
    pieces: CapacityLimiter,
) -> StoredFiles:
    """Send the files of `folder` until the other machine has them all or refuses them.

    `repeat` makes a call until it is answered. `on_bytes` hears how many bytes are there, whenever they change.
    `pieces` limits the pieces that are in memory at once. Raises `OSError` when a file cannot be read or is shorter
    than it was, and whatever `repeat` raises.
    """
    known = -1
    stored = await repeat(lambda: calls.offer(offer))
    while not stored.path and stored.refusal is None:
        if stored.bytes != known:
            known = stored.bytes
            on_bytes(known)
        if stored.busy:
            await anyio.sleep(BUSY_AGAIN_S)
            stored = await repeat(lambda: calls.offer(offer))
        else:
            async with pieces:
                stored = await repeat(await _piece(calls, offer, folder, stored))
    return stored


async def _piece(
    calls: FileCalls, offer: FileOffer, folder: Path, wanted: StoredFiles
) -> Callable[[], Coroutine[Any, Any, StoredFiles]]:
    """Read the wanted piece and return the call that stores it."""
    file = offer.files[wanted.file]
    size = min(PIECE_BYTES, file.size - wanted.at)
    data = await to_thread.run_sync(_read, folder / file.name, wanted.at, size, abandon_on_cancel=True)
    return lambda: calls.store(offer, wanted.file, wanted.at, data)


def _read(path: Path, at: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        data = file.read(size)
    if len(data) != size:
        raise OSError(f"{path} is shorter than it was when it was offered")
    return data
