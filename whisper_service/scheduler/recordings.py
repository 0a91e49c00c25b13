"""Recordings in object storage that are needed on this machine: fetched, held while they are read, and dropped again.

Whoever reads a recording reads the file in the data directory, wherever the recording is kept. A copy that was fetched
gets its name when all of it was compared with its SHA-256. It is only a copy: every start of the service deletes it.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final
from weakref import WeakValueDictionary

import anyio
from anyio import to_thread

from whisper_service.core.domain import Problem
from whisper_service.core.errors import DiskFull, RecordingAltered
from whisper_service.core.files import draft_of, full_disk_as_error, sync_directory, sync_file
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.object_store import ObjectStore
from whisper_service.storage.stored_recordings import StoredRecording, StoredRecordings

logger = logging.getLogger(__name__)

BLOCK: Final = 4 * 1024**2
"""Bytes of a read: a request takes some 20 ms besides its bytes."""
AT_ONCE: Final = 2
"""Recordings that are fetched at the same time."""


class Recordings:
    """The recordings as those see them who read one. `copies`: jobs whose file on this machine is a copy.

    `scheduler.recording_work` changes `coming` and `copies` on the scheduler's loop.
    """

    def __init__(
        self, stored: StoredRecordings, data: DataDir, objects: ObjectStore, *, min_free: Callable[[], int]
    ) -> None:
        self.stored = stored
        self.objects = objects
        self.copies: set[str] = set()
        self._data = data
        self._min_free = min_free  # bytes that stay free on the disk
        self.coming: dict[str, Problem | None] = {}  # jobs in work that wait, and what keeps their recording
        self._held: Counter[str] = Counter()
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._fetches = anyio.CapacityLimiter(AT_ONCE)

    def is_coming(self, job_id: str) -> bool:
        """Return whether a job in work waits for its recording (`recording_work.bring`)."""
        return job_id in self.coming

    def problem_of(self, job_id: str) -> Problem | None:
        """Return what keeps the recording of a job. None: nothing does, or it is here."""
        return self.coming.get(job_id)

    def is_read(self, job_id: str) -> bool:
        """Return whether somebody fetches or holds a recording."""
        turn = self._turns.get(job_id)
        return bool(self._held[job_id]) or (turn is not None and turn.locked())

    async def is_here(self, job_id: str) -> bool:
        """Return whether a reader finds the recording on this machine, or finds out there that it is gone."""
        return self._data.source_of(job_id).exists() or await self.stored.of(job_id) is None

    @asynccontextmanager
    async def held(self, job_id: str) -> AsyncIterator[Path]:
        """Keep the recording of a job on this machine for the time of the block, and fetch it before if need be.

        Raises `ObjectStoreFailed` and `DiskFull`.
        """
        self._held[job_id] += 1
        try:
            await self.fetch(job_id)
            yield self._data.source_of(job_id)
        finally:
            self._held[job_id] -= 1
            if not self._held[job_id]:
                del self._held[job_id]

    async def fetch(self, job_id: str) -> None:
        """Fetch a recording that is not on this machine. Raises `ObjectStoreFailed` and `DiskFull`."""
        turn = self._turns.get(job_id)
        if turn is None:
            turn = self._turns[job_id] = anyio.Lock()
        async with turn:
            if self._data.source_of(job_id).exists() or (stored := await self.stored.of(job_id)) is None:
                return
            async with self._fetches:
                await self._fetch(job_id, stored)

    async def read(self, stored: StoredRecording, start: int, end: int) -> bytes:
        """Return a range of a stored recording. Raises `ObjectStoreFailed`."""
        data = await self.objects.read(stored.url, start, end)
        if len(data) != end - start:
            raise RecordingAltered(url=stored.url, expected=stored.bytes)
        return data

    # -- small parts --------------------------------------------------------------------------------------------------

    async def _fetch(self, job_id: str, stored: StoredRecording) -> None:
        """Write the bytes of a recording beside its place, compare them, and give the file its name."""
        path, digest = self._data.source_of(job_id), hashlib.sha256()
        free, reserve = shutil.disk_usage(path.parent).free, self._min_free()
        if free < stored.bytes + reserve:
            raise DiskFull(free=free, wanted=stored.bytes, reserve=reserve)
        draft = draft_of(path)
        try:
            with full_disk_as_error(), draft.open("wb") as file:
                for start in range(0, stored.bytes, BLOCK):
                    block = await self.read(stored, start, min(stored.bytes, start + BLOCK))
                    await to_thread.run_sync(_write, file, block, digest.update)
                if digest.hexdigest() != stored.sha256:
                    raise RecordingAltered(url=stored.url)
                await to_thread.run_sync(sync_file, file)
            if await self.stored.of(job_id) == stored:  # else it was deleted meanwhile
                self.copies.add(job_id)
                draft.rename(path)
                await to_thread.run_sync(sync_directory, path.parent)
        finally:
            draft.unlink(missing_ok=True)
        facts = {"action": "recording_fetched", "job": job_id, "bytes": stored.bytes}
        logger.info("A recording was fetched from the object storage.", extra=facts)


def _write(file: BinaryIO, block: bytes, count: Callable[[bytes], None]) -> None:
    count(block)
    file.write(block)
