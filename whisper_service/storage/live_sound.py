"""Keep the sound of live sessions: bytes that were acknowledged are on stable storage.

The recording of a session is a WAV file from its first byte. Its header says that the length is unknown until the
session ends. The length of the file is the truth: nothing else remembers how much has come.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, TypeVar
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread

from whisper_service.core import files
from whisper_service.core.domain import Value
from whisper_service.core.errors import InvalidRequest, NotFound, OffsetAhead
from whisper_service.core.sound_format import SoundFormat
from whisper_service.storage.data_dir import DataDir

T = TypeVar("T")

_sync: Final = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


class SealedSound(Value, frozen=True):
    """The recording of a session that has ended: bytes of its sound, and bytes and hash of its file."""

    sound: int
    bytes: int
    sha256: str


class LiveSounds:
    """The recordings of live sessions. What is done to one session is done in one order, whoever asks."""

    def __init__(self, data: DataDir, check_room: Callable[[int, int], None]) -> None:
        """`check_room(size, held)` raises unless a file of `held` bytes may grow to `size` bytes."""
        self._data = data
        self._check_room = check_room
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def create(self, job_id: str, form: SoundFormat) -> None:
        """Make the recording of a session, without sound. Raises `DiskFull` and `TooLarge`."""
        await self._in_turn(job_id, self._create, form)

    async def length(self, job_id: str, form: SoundFormat) -> int:
        """Return how many bytes of sound are on stable storage. Raises `NotFound`."""
        return await self._in_turn(job_id, self._length, form)

    async def append(self, job_id: str, form: SoundFormat, offset: int, data: bytes) -> int:
        """Store sound that begins at byte `offset`, and return how many bytes are on stable storage then.

        What is there already is passed over. The begin of a sample that is not complete is left out: the client sends
        that sample again. Raises `OffsetAhead` for a gap, `InvalidRequest` for an offset inside a sample, `NotFound`,
        `DiskFull` and `TooLarge`. Nothing of `data` is kept then.
        """
        return await self._in_turn(job_id, self._append, form, offset, data)

    async def seal(self, job_id: str, form: SoundFormat) -> SealedSound:
        """End the recording: its header states its length. Raises `NotFound` and `DiskFull`."""
        return await self._in_turn(job_id, self._seal, form)

    async def reopen(self, job_id: str, form: SoundFormat) -> None:
        """Let a recording that was sealed grow again. Raises `NotFound`."""
        await self._in_turn(job_id, self._reopen, form)

    async def _in_turn(self, job_id: str, act: Callable[..., T], *args: object) -> T:
        """Run `act` in a thread, after what was asked of this session before."""
        lock = self._locks.get(job_id)
        if lock is None:
            lock = self._locks[job_id] = anyio.Lock()
        async with lock:
            return await to_thread.run_sync(partial(act, self._data.source_of(job_id), *args))

    # -- these run in threads ----------------------------------------------------------------------------------------

    def _create(self, path: Path, form: SoundFormat) -> None:
        self._check_room(form.header_bytes, 0)
        with files.full_disk_as_error():
            try:
                with path.open("xb") as file:
                    file.write(form.header(None))
                    files.sync_file(file)
                files.sync_directory(path.parent)
            except OSError:
                path.unlink(missing_ok=True)
                raise

    def _length(self, path: Path, form: SoundFormat) -> int:
        with _opened(path) as file:
            held = _held(file, form)
            _sync(file.fileno())  # a service that was killed may have written what it did not sync
            return held

    def _append(self, path: Path, form: SoundFormat, offset: int, data: bytes) -> int:
        if offset % form.frame_bytes:
            message = "The offset lies inside of a sample."
            hint = f"A sample of all channels has {form.frame_bytes} bytes: send a multiple of that."
            raise InvalidRequest(message, hint=hint, field="Upload-Offset")
        with _opened(path) as file:
            held = _held(file, form)
            if offset > held:
                raise OffsetAhead(f"The sound on the disk ends at byte {held}, before byte {offset}.", offset=held)
            new = data[held - offset :]
            new = new[: len(new) // form.frame_bytes * form.frame_bytes]
            begin = form.header_bytes + held
            if new:
                self._check_room(begin + len(new), begin)
                _write(file, begin, new)
            else:
                _sync(file.fileno())
            return held + len(new)

    def _seal(self, path: Path, form: SoundFormat) -> SealedSound:
        with _opened(path) as file, files.full_disk_as_error():
            held = _held(file, form)
            size = form.header_bytes + held
            file.truncate(size)
            file.seek(0)
            files.write_all(file, form.header(held))
            files.sync_file(file)
        return SealedSound(sound=held, bytes=size, sha256=files.sha256_of(path))

    def _reopen(self, path: Path, form: SoundFormat) -> None:
        with _opened(path) as file, files.full_disk_as_error():
            files.write_all(file, form.header(None))
            files.sync_file(file)


def sound_bytes(path: Path, form: SoundFormat) -> int:
    """Return how many bytes of whole samples the recording of a session has. 0: it is not on the disk."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    return _whole(size, form)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("r+b", buffering=0)
    except FileNotFoundError:
        raise NotFound("The recording of this session is not on the disk any more.", hint="Begin a new one.") from None


def _held(file: BinaryIO, form: SoundFormat) -> int:
    return _whole(os.fstat(file.fileno()).st_size, form)


def _whole(size: int, form: SoundFormat) -> int:
    return max(0, size - form.header_bytes) // form.frame_bytes * form.frame_bytes


def _write(file: BinaryIO, begin: int, data: bytes) -> None:
    """Write and sync bytes at the end of the file, or leave the file as it was and raise `DiskFull`."""
    try:
        file.seek(begin)
        files.write_all(file, data)
        with files.full_disk_as_error():
            _sync(file.fileno())
    except BaseException:
        file.truncate(begin)
        raise
