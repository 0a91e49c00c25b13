"""Live sessions: recordings that grow while they are transcribed. Sound is on stable storage before it is acknowledged.

A session is a job from its first byte. Sound is accepted while its job waits, is in work, is paused or has failed: a
client that records must not lose what is said meanwhile. A session ends when its client says so, when nothing was sent
for a while, when it is too long, or when its job is cancelled. Then its file states its length, and the job goes on
like any other.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from typing import Final
from weakref import WeakValueDictionary

import anyio
from anyio import CancelScope
from msgspec.structs import replace

from whisper_service.app.draft_followers import DraftFollower, followed
from whisper_service.config.active import ActiveSettings
from whisper_service.core.domain import Job, LiveEnd, LiveSession, Status, Value
from whisper_service.core.errors import InvalidRequest, LiveEnded, NotFound, ServiceError, TooManySessions, Unavailable
from whisper_service.core.job_states import Cause
from whisper_service.core.sound_format import form_of
from whisper_service.core.wakeup import Wakeup
from whisper_service.scheduler import aborts
from whisper_service.scheduler.context import Context
from whisper_service.storage.live_sound import LiveSounds, SealedSound
from whisper_service.storage.session_keys import SessionKey
from whisper_service.storage.uploads import Uploads

logger = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""Seconds between two looks for sessions that have to end."""
IDLE_LOOK_S: Final = 60.0
"""The same while none is open. One that is taken out of the trash is seen so late at most."""
SYNC_S: Final = 0.5
"""Seconds of a body without end that are gathered before they are stored: a sync takes some milliseconds."""
SYNC_BYTES: Final = 1 << 20
"""Bytes of a body that are gathered at most."""
RETRY_S: Final = 30
"""When clients are asked to come back after too many sessions."""
CLOSED: Final = (Status.CANCELLED, Status.COMPLETED)
"""Jobs in these states take no more sound."""


class SessionStatus(Value, frozen=True):
    """How many bytes of sound are on stable storage, and why no more are taken. None: more are."""

    offset: int
    ended: LiveEnd | None


class LiveSessions:
    """The live sessions of a running service."""

    def __init__(
        self, active: ActiveSettings, uploads: Uploads, context: Context, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.news = Wakeup()  # a session begins
        self._active = active
        self._uploads = uploads
        self._context = context
        self._clock = clock
        self._sounds = LiveSounds(context.data, uploads.check_room)
        self._beginning = anyio.Lock()
        self._turns: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()
        self._heard: dict[str, float] = {}  # when sound came last, or since when this service knows of the session

    async def begin(self, job: Job, key: SessionKey | None = None) -> Job:
        """Add the job of a new session, or return the one that an earlier request with the same `key` began.

        Raises `TooManySessions`, `DiskFull` and `TooLarge`, and `InvalidRequest` if that request asked for another one.
        """
        live = _live(job)
        async with self._beginning:
            if key is not None and (known := await self._begun(key)) is not None:
                return known
            await self._check_number()
            await self._sounds.create(job.id, form_of(live))
            try:
                added = await self._context.mailbox.ask(self._context.ledger.add, job, key)
            except BaseException:
                self._context.data.delete_files(job.id)
                raise
        self._heard[job.id] = self._clock()
        self.news.notify()
        return added

    async def status(self, job_id: str) -> SessionStatus:
        """Return how far a session is. Raises `NotFound`."""
        live = _live(await self._context.store.job(job_id))
        if live.ended is not None:
            return SessionStatus(live.received_bytes, live.ended)
        return SessionStatus(await self._sounds.length(job_id, form_of(live)), None)

    async def append(self, job_id: str, offset: int | None, source: AsyncIterator[bytes]) -> int:
        """Store the sound of `source` from byte `offset` on. Return how many bytes of the session are stored then.

        `offset` None: behind what is there. What came is stored however the call ends, and every half second of a body
        without end. Raises `NotFound`, `LiveEnded`, `OffsetAhead`, `InvalidRequest`, `DiskFull`, `TooLarge`, or as
        `source`.
        """
        place = (await self.status(job_id)).offset if offset is None else offset
        held, since = bytearray(), self._clock()
        try:
            async for data in _with_pauses(source, SYNC_S):
                held += data
                if held and (len(held) >= SYNC_BYTES or self._clock() - since >= SYNC_S):
                    _, place = await self._store_all(job_id, place, held)
                    since = self._clock()
        finally:
            with CancelScope(shield=True):
                stored, _ = await self._store_all(job_id, place, held)
        return stored

    def follow(self, job_id: str) -> AbstractContextManager[DraftFollower]:
        """Give what is said in a session, word by word, inside the block. While somebody follows, drafts are made."""
        return followed(self._context, job_id)

    async def cut(self, job_id: str) -> Job:
        """End the chunk that is open now. Raises `NotFound` and `LiveEnded`."""
        job = await self._open(job_id)
        self._context.live.cut(job_id)
        return job

    async def end(self, job_id: str, cause: LiveEnd = LiveEnd.CLIENT) -> Job:
        """End a session; its job goes on. One that has ended stays as it is. Raises `NotFound`."""
        async with self._turn(job_id):
            job = await self._context.store.job(job_id)
            live = _live(job)
            if live.ended is not None:
                return job
            try:
                sealed = await self._sounds.seal(job_id, form_of(live))
            except NotFound:  # somebody deleted the file; the job says so when it is read
                sealed = SealedSound(live.received_bytes, 0, "")
            job = await self._context.ask(_write_end, job_id, sealed, cause)
        self._heard.pop(job_id, None)
        facts = {"action": "live_ended", "job": job_id, "cause": cause.value, "bytes": sealed.sound}
        logger.info("A live session has ended.", extra=facts)
        return job

    async def resume(self, job_id: str) -> Job:
        """Open a session again that ended only because nothing was sent. Raises `LiveEnded`, `TooManySessions`.

        A recording that is in object storage comes back first, which may raise `ObjectStoreFailed` or `DiskFull`. Its
        sound is all there, and more of it goes on with the same job.
        """
        async with self._beginning, self._turn(job_id):
            job = await self._context.store.job(job_id)
            live = _live(job)
            if live.ended is None:
                return job
            if live.ended is not LiveEnd.SILENCE or job.status is Status.CANCELLED or job.media_removed:
                raise LiveEnded(hint="Begin a new one.", ended=live.ended.value, offset=live.received_bytes)
            await self._check_number()
            async with self._on_this_machine(job_id):
                await self._sounds.reopen(job_id, form_of(live))
                job = await self._context.ask(_write_resumed, job_id)
            self._heard[job_id] = self._clock()
        self.news.notify()
        return job

    async def run(self) -> None:
        """End the sessions whose time has come, until `news` is closed."""
        while not self.news.closed:
            wait_s = LOOK_S
            try:
                if not await self._look():
                    wait_s = IDLE_LOOK_S
            except Unavailable:  # the service ends
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("Live sessions could not be ended.", extra={"action": "live_end_failed"})
            await self.news.wait(wait_s)

    # -- small parts --------------------------------------------------------------------------------------------------

    def _on_this_machine(self, job_id: str) -> AbstractAsyncContextManager[object]:
        recordings = self._context.recordings
        return nullcontext() if recordings is None else recordings.held(job_id)

    async def _begun(self, key: SessionKey) -> Job | None:
        """Return the job that was begun with this key. None: there is none, or it was deleted."""
        found = await self._context.store.session_keys.find(key.key)
        if found is None:
            return None
        job_id, request = found
        if request != key.request:
            message = "Another session was begun with this Idempotency-Key."
            raise InvalidRequest(message, hint="Send a new key with each new session.", field="Idempotency-Key")
        with suppress(NotFound):  # deleted meanwhile
            return await self._context.store.job(job_id)
        return None

    async def _check_number(self) -> None:
        """Raise `TooManySessions` if one more session would be too many."""
        most = self._active.config.live.max_sessions
        if len(await self._context.store.open_sessions()) >= most:
            message = f"{most} live sessions are open, as many as this service allows."
            raise TooManySessions(message, retry_after_s=RETRY_S, limit=most)

    async def _look(self) -> int:
        """End what has to end, and return how many sessions are open then."""
        sessions, now, limits = await self._context.store.open_sessions(), self._clock(), self._active.config.live
        due: dict[str, LiveEnd] = {}
        for job in sessions:
            silent_s = now - self._heard.setdefault(job.id, now)
            if job.status in CLOSED:
                due[job.id] = LiveEnd.CANCELLED
            elif silent_s >= limits.silence_end_s:
                due[job.id] = LiveEnd.SILENCE
            elif self._uploads.wall() - job.created_at >= limits.max_hours * 3600:
                due[job.id] = LiveEnd.LENGTH
        for job_id in self._heard.keys() - {job.id for job in sessions}:
            del self._heard[job_id]
        for job_id, cause in due.items():
            try:
                await self.end(job_id, cause)
            except NotFound:  # deleted meanwhile
                continue
        return len(sessions) - len(due)

    async def _store_all(self, job_id: str, place: int, held: bytearray) -> tuple[int, int]:
        """Store what was gathered. Half a sample at its end is kept for the next time. Return the end of the sound.

        The second value is the place of what is still in `held`.
        """
        stored = await self._store(job_id, place, bytes(held))
        taken = min(len(held), max(0, stored - place))
        del held[:taken]
        return stored, place + taken

    async def _store(self, job_id: str, offset: int, data: bytes) -> int:
        async with self._turn(job_id):
            form = form_of(_live(await self._open(job_id)))
            stored = await self._sounds.append(job_id, form, offset, data)
        self._heard[job_id] = self._clock()
        self._context.live.grow(job_id, stored)
        return stored

    async def _open(self, job_id: str) -> Job:
        """Return the job of a session that takes sound. Raises `NotFound` and `LiveEnded`."""
        run = self._context.ledger.runs.get(job_id)  # of a job in work, which spares a read for each piece
        job = run.job if run is not None else await self._context.store.job(job_id)
        live = _live(job)
        if live.ended is not None or job.status in CLOSED:
            raise LiveEnded(ended=(live.ended or LiveEnd.CANCELLED).value, offset=live.received_bytes)
        return job

    def _turn(self, job_id: str) -> anyio.Lock:
        """Return the lock of a session: its end and its sound wait for one another."""
        lock = self._turns.get(job_id)
        if lock is None:
            lock = self._turns[job_id] = anyio.Lock()
        return lock


async def _with_pauses(source: AsyncIterator[bytes], pause_s: float) -> AsyncIterator[bytes]:
    """Yield what `source` yields, and nothing (`b""`) whenever it takes longer than `pause_s` seconds."""
    upcoming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(source, None))
            done, _ = await asyncio.wait({upcoming}, timeout=pause_s)
            if not done:
                yield b""
                continue
            data, upcoming = upcoming.result(), None
            if data is None:
                return
            yield data
    finally:
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
            await asyncio.wait({upcoming})


def _live(job: Job) -> LiveSession:
    if job.live is None:
        raise NotFound("This job is no live session.", hint="POST /api/live begins one.")
    return job.live


async def _write_end(context: Context, job_id: str, sealed: SealedSound, cause: LiveEnd) -> Job:
    """Write the end of a session, and tell the actor that follows it. Runs on the scheduler's loop."""
    live = replace(_live(await context.store.job(job_id)), received_bytes=sealed.sound, ended=cause)
    job = await context.ledger.update_live(job_id, live=live, bytes=sealed.bytes, sha256=sealed.sha256)
    context.live.grow(job_id, sealed.sound, ended=True)
    return job


async def _write_resumed(context: Context, job_id: str) -> Job:
    """Write that a session grows again, and have it followed again. Runs on the scheduler's loop."""
    live = replace(_live(await context.store.job(job_id)), ended=None)
    if (run := context.ledger.runs.get(job_id)) is not None:
        aborts.stop_decoding(context, run)
        run.restart_decoding()
    job = await context.ledger.update_live(job_id, live=live, bytes=0, sha256="", decoded=False)
    return await context.ledger.requeue(job_id, Cause.RETRY) if job.status is Status.COMPLETED else job
