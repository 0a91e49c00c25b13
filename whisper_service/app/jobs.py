"""What clients may ask of jobs. Reads go to the store. Changes run on the scheduler's loop."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from anyio import move_on_after, to_thread
from msgspec.structs import replace

from whisper_service.app.edits import Version
from whisper_service.app.wiring import Parts
from whisper_service.core.domain import (
    CALL_RANK,
    Job,
    LinkOrigin,
    LiveSession,
    Options,
    Segment,
    Status,
    Task,
    Transcript,
)
from whisper_service.core.errors import Conflict, InvalidRequest, MediaRemoved, NotFound, ServiceError, Unavailable
from whisper_service.core.identifiers import clean_name, identifier
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.core.speaker_count import decided
from whisper_service.editing.lines import segment_of
from whisper_service.editing.speakers import Attribution
from whisper_service.integrations.link_answers import name_from_url
from whisper_service.scheduler import requests
from whisper_service.scheduler.lanes import SHORT_S
from whisper_service.storage.browse import JobPage, JobSnapshot
from whisper_service.storage.change_feed import Closed, Pruned
from whisper_service.storage.session_keys import SessionKey
from whisper_service.storage.stored_recordings import StoredRecording
from whisper_service.storage.uploads import Received

T = TypeVar("T")
P = ParamSpec("P")


class JobService:
    """The jobs of a running service."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._context = parts.context
        self._store = parts.store

    # -- submit -------------------------------------------------------------------------------------------------------

    async def submit(
        self,
        received: Received,
        options: Options,
        *,
        reuse: bool = False,
        reuse_finished: bool = True,
        rank: float = 0.0,
        of: str | None = None,
    ) -> Job:
        """Make a job of an upload. Raises `InvalidRequest` for options that are not allowed.

        With `reuse`, a job with equal bytes and options is continued instead; without `reuse_finished`, only a job that
        has not ended. `of`: the job whose recording is transcribed again.
        """
        job = self._new_job(
            options,
            id=received.path.name,
            name=received.name,
            created_at=self._parts.uploads.wall(),
            bytes=received.bytes,
            sha256=received.sha256,
            message="Waiting for its turn.",
            rank=rank,
            of=of,
        )
        if reuse:
            return await self._context.ask(requests.reuse_or_submit, received, job, reuse_finished=reuse_finished)
        return await self._context.mailbox.ask(self._context.ledger.add, job)

    async def submit_upload(self, upload_id: str, options: Options) -> Job:
        """Make a job of a resumable upload, or return the job that was made of it.

        Raises what `ResumableUploads.hand_over` raises.
        """
        with suppress(NotFound):
            return await self.get(upload_id)
        received = await self._parts.resumable.hand_over(upload_id)
        try:
            job = await self.submit(received, options)
        except ServiceError:
            await self._parts.resumable.release(received)
            raise
        await self._parts.resumable.discard(upload_id)
        return job

    async def submit_link(self, url: str, options: Options) -> Job:
        """Make a job of a link. Its recording is fetched while the job waits for its turn. Raises `InvalidRequest`."""
        url, now = self._parts.links.check(url), self._parts.uploads.wall()
        job = self._new_job(
            options,
            id=identifier(now),
            name=name_from_url(url),
            created_at=now,
            bytes=0,
            sha256="",
            message="Fetching the recording.",
            origin=LinkOrigin(url),
        )
        return await self._ask_and_fetch(self._context.ledger.add, job)

    async def submit_again(self, job_id: str, options: Options) -> Job:
        """Make a new job of the recording of a job, which stays as it is. Nothing is uploaded.

        Raises `NotFound`, `Conflict` while the recording is being fetched, `MediaRemoved`, and `DiskFull`.
        """
        job, uploads = await self.get(job_id), self._parts.uploads
        if job.media_removed:
            raise MediaRemoved(id=job.id)
        if not job.sha256:
            fetching = "The service is fetching it. Try again when it is here."
            hint = fetching if job.live is None else "It is still being recorded. End the live session first."
            raise Conflict("The recording of this job is not here yet.", hint=hint, id=job.id)
        received = await to_thread.run_sync(uploads.share, job.id, job.name, job.bytes, job.sha256)
        if received is None and await self._store.recordings.of(job.id) is not None:  # the store shares its object
            received = Received(job.name, uploads.root / identifier(uploads.wall()), job.bytes, job.sha256)
        if received is None:
            raise MediaRemoved(id=job.id)
        try:
            part_s = math.inf if options.end_s is None else options.end_s - (options.begin_s or 0.0)
            front = -uploads.wall() if part_s < SHORT_S else 0.0  # somebody waits for a few sentences
            return await self.submit(received, options, of=job.id, rank=front)
        except ServiceError:
            received.path.unlink(missing_ok=True)
            raise

    async def begin_live(
        self, live: LiveSession, name: str, options: Options, key: SessionKey | None = None, job_id: str = ""
    ) -> Job:
        """Begin a live session, or return the one of `key`. Raises as `LiveSessions.begin`, and `InvalidRequest`.

        `job_id`: an identifier that was made before.
        """
        if options.task is Task.DETECT:
            hint = "Send a recording to find its language."
            raise InvalidRequest("A live session makes text.", hint=hint, field="task")
        now = self._parts.uploads.wall()
        job = self._new_job(
            options,
            id=job_id or identifier(now),
            name=clean_name(name or time.strftime("live %Y-%m-%d %H.%M.wav", time.localtime(now))),
            created_at=now,
            bytes=0,
            sha256="",
            message="Waiting for its turn.",
            rank=CALL_RANK,
            live=live,
        )
        return await self._parts.live.begin(job, key)

    def _new_job(self, options: Options, **fields: Any) -> Job:
        if options.end_s is not None and options.end_s <= (options.begin_s or 0.0):
            raise InvalidRequest("end_s must be later than begin_s.", hint="Send both in seconds.", field="end_s")
        speech = self._parts.active.config.speech
        options = replace(decided(options, speech.speakers), script=options.script or speech.default_script)
        if options.webhook:
            self._parts.webhooks.check(options.webhook)
        return Job(status=Status.PENDING, options=options, language=options.language, **fields)

    # -- change -------------------------------------------------------------------------------------------------------

    async def change(self, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
        """Pause, resume, cancel or retry a job, or move it in the queue. A retry may name another `model`.

        A cancelled job keeps its text; a retry keeps what is done. Raises `NotFound`, `IllegalTransition` and
        `MediaRemoved`.
        """
        return await self._ask_and_fetch(requests.change, self._context, job_id, cause, model=model)

    async def rename(self, job_id: str, name: str) -> Job:
        """Give the job another name. Raises `InvalidRequest` for a name without a visible character."""
        if not name.strip():
            raise InvalidRequest("A job needs a name.", hint="Send some characters.", field="name")
        return await self._context.mailbox.ask(self._context.ledger.rename, job_id, clean_name(name))

    async def delete(self, job_id: str, *, for_good: bool = False) -> None:
        """Delete the job, whatever its state. For `storage.undo_s` seconds `restore` undoes that, unless `for_good`."""
        for_good = for_good or not self._parts.active.config.storage.undo_s
        await self._ask_and_fetch(requests.delete, self._context, job_id, for_good=for_good)
        self._parts.trash.news.notify()

    async def restore(self, job_id: str) -> Job:
        """Take a job out of the trash. Raises `NotFound` once it is gone for good, `Conflict` if it is not deleted."""
        return await self._ask_and_fetch(self._context.ledger.restore, job_id)

    async def _ask_and_fetch(self, act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a request that may change which links have to be fetched, and wake the fetcher."""
        result = await self._context.mailbox.ask(act, *args, **kwargs)
        self._parts.links.news.notify()
        return result

    # -- read ---------------------------------------------------------------------------------------------------------

    async def get(self, job_id: str) -> Job:
        """Return one job. Raises `NotFound`."""
        return await self._store.job(job_id)

    async def watch(self, job_id: str, heartbeat_s: float = math.inf) -> AsyncGenerator[Job, None]:
        """Yield the job now, after every change and after every heartbeat, until it has ended or waits for a person.

        Raises `NotFound` once the job is deleted, and `Unavailable` when the service ends.
        """
        feed = self._parts.feed
        cursor = feed.cursor(feed.head, job_id)
        while True:
            job = await self.get(job_id)  # read after the cursor was placed: no change is missed
            yield job
            if job.status in TERMINAL or job.problem is not None:
                return
            try:
                with move_on_after(heartbeat_s):
                    await cursor.read()
            except Pruned:
                cursor = feed.cursor(feed.head, job_id)
            except Closed:
                raise Unavailable from None

    async def browse(
        self,
        *,
        status: Collection[Status] = (),
        query: str = "",
        of: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> JobPage:
        """Return jobs, the newest first, that have one of these statuses and match the search.

        `of`: only the versions of that job.
        """
        return await self._store.browser.jobs(status=status, q=query, of=of, before=before, limit=limit)

    async def newest(self, limit: int) -> list[Job]:
        """Return the newest jobs."""
        return await self._store.jobs(limit=limit)

    async def snapshot(self, limit: int) -> JobSnapshot:
        """Return the newest jobs with the number of the last change that is in them."""
        return await self._store.browser.snapshot(limit)

    async def transcript(self, job_id: str, version: Version = Version.CURRENT) -> Transcript:
        """Return the text so far, in order: as people edited it, or as the model wrote it.

        If two or more speakers are known, segments are cut where the speaker changes, and `speaker` is a name.
        """
        job, store = await self.get(job_id), self._store
        edited = version is Version.CURRENT and job.edits
        segments = list(map(segment_of, await store.edits.lines(job_id))) if edited else await self.segments(job_id)
        speakers = await store.speakers.speakers(job_id)
        spoken = Attribution(await store.speakers.timeline(job_id), speakers)
        return Transcript(
            name=job.name,
            duration_s=job.duration_s,
            language=job.language,
            model=job.model,
            segments=await to_thread.run_sync(spoken.labelled, segments, job.language) if speakers else tuple(segments),
            gaps=job.gaps,
        )

    async def segments(self, job_id: str) -> list[Segment]:
        """Return the segments so far, in order, as the model wrote them."""
        return await self._store.segments(job_id)

    def recording(self, job_id: str) -> Path:
        """Return the path of the recording on this machine. The file may be missing."""
        return self._parts.data.source_of(job_id)

    async def stored_recording(self, job_id: str) -> StoredRecording | None:
        """Return where in the object storage a recording is. None: it is not there."""
        return await self._store.recordings.of(job_id)

    async def read_stored(self, stored: StoredRecording, start: int, end: int) -> bytes:
        """Return bytes of a stored recording from `start` up to, not including, `end`. Raises `ObjectStoreFailed`."""
        return await self._parts.recordings.read(stored, start, end)

    def listening_copy(self, job_id: str) -> Path:
        """Return the path of the listening copy. The file may be missing."""
        return self._parts.data.copy_of(job_id)

    def waveform(self, job_id: str, *, fine: bool = False) -> Path:
        """Return the path of the waveform: pairs of int8 per 20 ms or, `fine`, 5 ms. It grows with the decoding."""
        data = self._parts.data
        return data.fine_peaks_of(job_id) if fine else data.peaks_of(job_id)
