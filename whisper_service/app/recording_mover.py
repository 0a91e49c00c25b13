"""Moves the recordings of ended jobs to object storage, and deletes there what no job has any more.

A recording is in one of two places, and the database says in which. The file on this machine goes only after the object
was read back byte for byte and the database says so. A service that is killed in the middle deletes what it left in the
storage at its next start, and begins again. While the storage cannot be used, recordings wait on this machine.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from whisper_service.core.domain import Problem, Value
from whisper_service.core.errors import ObjectStoreFailed, RecordingAltered, RecordingLost, ServiceError, Unavailable
from whisper_service.core.wakeup import Wakeup
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.recording_work import commit, drop_copy
from whisper_service.scheduler.recordings import BLOCK, Recordings
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.stored_recordings import LocalRecording, RecordingCount

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at least: a busy service has many changes a second."""
PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 300.0
"""Seconds until the next try while the storage cannot be used: at first, and at most."""
AT_ONCE: Final = 32
"""Recordings that are read from the database together. They go one after the other: a line has one width."""
STOP_S: Final = 3.0
"""Seconds that a recording on its way gets when the service ends, so that its parts can be taken back."""


class ObjectStorage(Value, frozen=True):
    """The object storage as operators see it."""

    url: str  # where recordings go; empty: nowhere any more
    recordings: RecordingCount
    problem: Problem | None = None  # why recordings wait


class NotAsAcknowledged(Exception):
    """The file on this machine is not what was acknowledged."""


class Stopped(Exception):
    """The service ends while a recording is on its way."""


class RecordingMover:
    """Moves recordings one after the other. `target`: an url, or empty."""

    def __init__(self, target: str, context: Context, recordings: Recordings, feed: ChangeFeed) -> None:
        self.problem: Problem | None = None
        self.news = Wakeup()  # the storage shall be tried at once
        self._target = target.rstrip("/")
        self._context = context
        self._recordings = recordings
        self._stored = recordings.stored
        self._feed = feed
        self._urls: dict[str, str] = {}  # of jobs whose recording did not arrive yet
        self._left: set[str] = set()  # jobs whose file is missing or altered: it stays where it is
        self._later: set[str] = set()  # jobs whose recording the storage refused: they come after all others
        self._stopping = False
        self._idle = anyio.Event()

    async def state(self) -> ObjectStorage | None:
        """Return what is where. None: no object storage is or was in use."""
        count = await self._stored.count()
        return ObjectStorage(self._target, count, self.problem) if self._target or count.stored else None

    async def run(self) -> None:
        """Move what may be moved, until the change feed is closed."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_with_feed, tasks.cancel_scope)
            try:
                if await self._has_work():
                    await self._move_all()
            except (Unavailable, Stopped):  # the service ends
                pass
            self._idle.set()
            tasks.cancel_scope.cancel()

    async def _has_work(self) -> bool:
        if self._target:
            return True
        return bool(await self._stored.job_ids() or await self._stored.unwanted())

    async def _end_with_feed(self, scope: anyio.CancelScope) -> None:
        with suppress(Closed):
            await self._feed.wait_closed()
        self._stopping = True
        self.news.close()
        with anyio.move_on_after(STOP_S):
            await self._idle.wait()
        scope.cancel()

    async def _move_all(self) -> None:
        pause_s = PAUSE_S
        while not self._stopping:
            seen = self._feed.head
            try:
                await self._work()
                self._tell(None)
                pause_s = PAUSE_S
            except ObjectStoreFailed as error:
                self._tell(error.problem)
                await self.news.wait(pause_s)
                pause_s = min(MAX_PAUSE_S, 2 * pause_s)
                continue
            except (sqlite3.Error, OSError, ServiceError):
                if self._stopping:
                    return
                logger.exception("Recordings could not be moved.", extra={"action": "move_failed"})
                await self.news.wait(pause_s)
                pause_s = min(MAX_PAUSE_S, 2 * pause_s)
                continue
            await anyio.sleep(LOOK_S)
            with suppress(Closed):
                await self._feed.wait_for(seen + 1)  # the end of a job, a deletion

    async def _work(self) -> None:
        """Delete and move what is due. Raises the failure of a deletion after the moves, which may go elsewhere."""
        failure: ObjectStoreFailed | None = None
        for url in await self._stored.unwanted():
            try:
                await self._recordings.objects.delete(url)
            except ObjectStoreFailed as error:  # perhaps of a bucket that is not in use any more
                failure = failure or error
                break
            await self._stored.forget(url)
        for job_id in tuple(self._recordings.copies):
            await self._context.ask(drop_copy, self._recordings, job_id)
        while self._target:
            found = await self._stored.to_move(AT_ONCE, but=frozenset(self._left | self._later))
            if not found and not self._later:
                break
            if not found:
                self._later.clear()
            for local in found:
                if self._stopping:
                    return
                try:
                    await self._move(local)
                except ObjectStoreFailed:
                    self._later.add(local.job_id)  # others may have no trouble
                    raise
        if failure is not None:
            raise failure

    async def _move(self, local: LocalRecording) -> None:
        """Move one recording. Raises `ObjectStoreFailed` when the storage cannot be used."""
        began, job_id, source = time.monotonic(), local.job_id, self._context.data.source_of(local.job_id)
        if not await self._stored.adopt(job_id):
            url = self._urls.get(job_id)
            if url is None:
                url = f"{self._target}/{job_id}-{secrets.token_hex(4)}"
                await self._stored.begin(url, local)
                self._urls[job_id] = url
            try:
                await self._send(url, source, local)
            except (OSError, NotAsAcknowledged) as error:
                await self._leave(url, job_id, error)
                return
            self._urls.pop(job_id, None)
            if not await self._context.ask(commit, self._recordings, url, job_id):
                return  # the job was deleted or started again; the next look deletes the object
        self._recordings.copies.add(job_id)
        await self._context.ask(drop_copy, self._recordings, job_id)
        facts = {"action": "recording_moved", "job": job_id, "bytes": local.bytes}
        took = round(time.monotonic() - began, 3)
        logger.info("A recording was moved to the object storage.", extra={**facts, "seconds": took})

    async def _send(self, url: str, source: Path, local: LocalRecording) -> None:
        """Send a file and read it back. Raises `OSError`, `NotAsAcknowledged`, `Stopped` or `ObjectStoreFailed`."""
        objects = self._recordings.objects
        blocks = _Blocks(self, source, local)
        try:
            await objects.put(url, blocks.read())
        except ObjectStoreFailed:
            if blocks.failure is not None:  # the cause, which the storage only carries
                raise blocks.failure from None
            raise
        digest = hashlib.sha256()
        try:
            size = await objects.size(url)
            for start in range(0, local.bytes if size == local.bytes else 0, BLOCK):
                self.check_stop()
                block = await objects.read(url, start, min(local.bytes, start + BLOCK))
                await to_thread.run_sync(digest.update, block)
        except RecordingLost as error:  # a storage that loses what it took is not trusted with the only copy
            raise RecordingAltered(url=url) from error
        if digest.hexdigest() != local.sha256:
            message = "The object storage gave other bytes back than it was given. The recording stays on this machine."
            raise RecordingAltered(message, hint="Check the object storage: it loses data.", url=url)

    async def _leave(self, url: str, job_id: str, error: Exception) -> None:
        """Leave a recording where it is that is not what it was, or is gone: the jobs of that file tell more."""
        self._urls.pop(job_id, None)
        self._left.add(job_id)
        await self._stored.give_up(url)
        facts = {"action": "recording_left", "job": job_id, "cause": type(error).__name__}
        logger.warning("A recording stays on this machine: its file is missing or was changed.", extra=facts)

    def check_stop(self) -> None:
        """Raise `Stopped` if the service ends."""
        if self._stopping:
            raise Stopped

    def _tell(self, problem: Problem | None) -> None:
        """Remember why recordings wait, and log it when it changes."""
        if problem is not None and (self.problem is None or self.problem.code != problem.code):
            facts = {"action": "object_storage_failed", "code": problem.code, **problem.params}
            logger.warning("Recordings wait on this machine: %s", problem.message, extra=facts)
        elif problem is None and self.problem is not None:
            logger.info("The object storage works again.", extra={"action": "object_storage_works"})
        self.problem = problem


class _Blocks:
    """The bytes of a file on their way. `failure`: why they ended before their end."""

    def __init__(self, mover: RecordingMover, source: Path, local: LocalRecording) -> None:
        self.failure: Exception | None = None
        self._mover = mover
        self._source = source
        self._local = local

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the file. Its end comes only if all of it is what was acknowledged: else the object does not appear."""
        try:
            digest = hashlib.sha256()
            file = await to_thread.run_sync(self._source.open, "rb")
            try:
                while block := await to_thread.run_sync(file.read, BLOCK):
                    self._mover.check_stop()
                    await to_thread.run_sync(digest.update, block)
                    yield block
            finally:
                file.close()
            if digest.hexdigest() != self._local.sha256:
                raise NotAsAcknowledged
        except Exception as error:
            self.failure = error
            raise
