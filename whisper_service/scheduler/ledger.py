"""Write every change of a job to the store, then publish it.

Nothing else writes jobs. The ledger knows no actors: its callers tell them what a change means. All of this runs on the
scheduler's loop.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, Final

from anyio import to_thread
from msgspec.structs import replace

from whisper_service.core.domain import (
    Job,
    Phase,
    Playable,
    Problem,
    Status,
    Task,
)
from whisper_service.core.errors import NotFound
from whisper_service.core.files import draft_of
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.core.stated_length import stated_length
from whisper_service.editing import vocabulary
from whisper_service.scheduler import admission
from whisper_service.scheduler.lanes import SHORT_S
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.run_ledger import log_job
from whisper_service.scheduler.speakers_ledger import INCOMPLETE, UNAVAILABLE, SpeakersLedger
from whisper_service.scheduler.views import WaitingJob
from whisper_service.storage.edit_log import EditKind
from whisper_service.storage.session_keys import SessionKey
from whisper_service.storage.transcript_edits import Edit

IDLE_FIELDS: dict[str, Any] = {"phase": None, "speed": None, "eta_s": None, "problem": None}
"""Fields that mean something only while a job is in work."""
WARNINGS: Final = (
    "track_undecodable",
    "time_jump",
    "damaged",
    "truncated",
    "unread",
    "unclear_speech",
    INCOMPLETE,
    UNAVAILABLE,
)
"""Notes that a completed job shows as its message."""


def waiting_message(problem: Problem | None) -> str:
    """Return the message of a job that waits for its turn or, with a problem, for a person."""
    return "Waiting for its turn." if problem is None else f"Waits: {problem.message} {problem.hint}"


class Ledger(SpeakersLedger):
    """The changes of all jobs. What happens to the chunks and speakers of those in work is inherited."""

    # -- what clients ask ---------------------------------------------------------------------------------------------

    async def add(self, job: Job, key: SessionKey | None = None) -> Job:
        """Add a pending job. Its length is what its recording states. `key`: that of a request for a live session."""
        if job.duration_s is None and job.sha256:
            job = replace(job, duration_s=await self._stated_length(job.id))
        queue = self._queue
        hints = vocabulary.hints(await self._store.vocabulary.terms(), job.options)
        added = self._publish(await self._store.add(job, hints, key))
        if queue is not None and added.sha256 and added.rank >= 0:  # else it does not come last
            self._queue = admission.with_last(queue, _waiting(added))
        return added

    async def update_link(self, job_id: str, **fields: Any) -> Job | None:
        """Write fields of a pending job whose recording is fetched, and create its file. None: it is not pending.

        The file is created here: a fetcher that hears late of a deleted job must not create it again.
        """
        if "sha256" in fields and fields.get("duration_s") is None:  # the recording is complete
            fields["duration_s"] = await self._stated_length(job_id)
        if (written := await self._store.update_link(job_id, **fields)) is None:
            return None
        self._data.source_of(job_id).touch()
        return self._publish(written)

    async def update_live(self, job_id: str, **fields: Any) -> Job:
        """Write fields of a live session, whatever its job is doing. Raises `NotFound`."""
        if (written := await self._store.update_live(job_id, **fields)) is None:
            raise NotFound("There is no such live session.", hint="It may have been deleted.")
        return self._publish(written)

    async def move_to_front(self, job_id: str) -> Job:
        """Move a job to the front of the queue. The last one moved comes first."""
        return self._publish(await self._store.move(job_id, Cause.FRONT, rank=-self._wall()))

    async def move_in_queue(self, job_id: str, cause: Cause) -> Job:
        """Move a job one place up (`Cause.SOONER`) or down (`Cause.LATER`) in the queue."""
        return [self._publish(written) for written in await self._store.move_in_queue(job_id, cause)][-1]

    async def pause(self, job_id: str) -> Job:
        """Pause a job. Its spool stays, and chunks that come back from its last batches are kept."""
        job = self._publish(await self._store.move(job_id, Cause.PAUSE, message="Paused.", **IDLE_FIELDS))
        self.runs.pop(job_id, None)
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return await self._end(job_id, Cause.CANCEL, message="Cancelled; the text so far is kept.", decoded=False)

    async def requeue(self, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
        """Put a job back into the queue, by `Cause.RESUME` or `Cause.RETRY`.

        A retry shows as done what really is done, and may be with another model.
        """
        fields: dict[str, Any] = {}
        if cause is Cause.RETRY:
            fields = {"progress": 0.0} | await self._stored_progress(job_id, retry=True)
            if model is not None:
                fields["options"] = replace((await self._store.job(job_id)).options, model=model)
        message = waiting_message(None)
        return self._publish(await self._store.move(job_id, cause, message=message, problem=None, **fields))

    async def start_again(self, job_id: str) -> None:
        """Put a job in work back into the queue, as after a restart. It goes on from what is stored."""
        written = await self._store.move(job_id, Cause.RECOVER, message="Goes on as soon as it can.", **IDLE_FIELDS)
        self._forget(job_id)
        self._publish(written)

    async def rename(self, job_id: str, name: str) -> Job:
        """Rename a job."""
        return self._publish(await self._store.rename(job_id, name))

    async def trash(self, job_id: str) -> None:
        """Put a job with all its files into the trash."""
        change = await self._store.trash(job_id, self._wall(), message=waiting_message(None), **IDLE_FIELDS)
        self._forget(job_id)
        self._feed.publish([change])

    async def restore(self, job_id: str) -> Job:
        """Take a job out of the trash."""
        return self._publish(await self._store.restore(job_id))

    async def delete(self, job_id: str) -> None:
        """Delete a job, its text and its files."""
        change = await self._store.delete(job_id)
        self._forget(job_id)
        self._feed.publish([change])  # before anything else can fail: it is committed
        await to_thread.run_sync(self._data.delete_files, job_id)

    async def remove_media(self, job_id: str) -> None:
        """Delete the recording, its listening copy and the waveform of a job that has ended; keep its text."""
        job = await self._store.job(job_id)
        if job.status not in TERMINAL or job.media_removed:
            return
        fields: dict[str, Any] = {"media_removed": True, "playable": None, "copy_bytes": 0}
        if (written := await self._store.update(job_id, expected=job.status, **fields)) is not None:
            self._publish(written)
            await to_thread.run_sync(self._data.delete_files, job_id)

    async def remove_copy(self, job_id: str) -> None:
        """Delete the listening copy of a job that has ended. A player gets the recording, if it plays."""
        job = await self._store.job(job_id)
        if job.status not in TERMINAL or not job.copy_bytes:
            return
        playable = None if job.playable is Playable.COPY else job.playable
        written = await self._store.update(job_id, expected=job.status, playable=playable, copy_bytes=0)
        if written is not None:
            self._publish(written)
            await to_thread.run_sync(partial(self._data.copy_of(job_id).unlink, missing_ok=True))

    # -- claiming and ending ------------------------------------------------------------------------------------------

    async def queue(self) -> tuple[WaitingJob, ...]:
        """Return the first pending jobs of each length. They are read only when they may have changed."""
        if self._queue is None:
            seconds, sizes = (SHORT_S, admission.LONG_S), (admission.SMALL_BYTES, admission.LONG_BYTES)
            found = await self._store.queue_heads(admission.HEADS, seconds=seconds, sizes=sizes)
            self._queue = tuple(WaitingJob(*job) for job in found)
        return self._queue

    async def claim(self, pending: Job, model: str | None) -> Run:
        """Take a pending job into work, from what is stored of it. Without a model, `execute.choose_model` follows."""
        job_id = pending.id
        written = await self._store.move(
            job_id,
            Cause.CLAIM,
            model=model,
            phase=Phase.DECODING,
            problem=None,
            message="Reading the recording.",
            attempts=pending.attempts + 1,
            started_at=pending.started_at or self._wall(),
            finished_at=None,
            error=None,
        )
        job = self._publish(written)
        self._claims += 1
        chunks = await self._store.chunks(job_id)
        needed = max((chunk.span.start_sample + chunk.span.samples for chunk in chunks), default=0)
        spooled = job.decoded and self._data.spooled_samples(job_id) >= max(1, needed)
        run = Run.resume(job, chunks, order=self._claims, spooled=spooled, now=time.monotonic())
        run.hints = await self._store.vocabulary.hints(job_id)
        run.speakers = await self.speakers_of(run, spooled=spooled)
        self.runs[job_id] = run
        facts = {"model": model, "chunks_done": job.chunks_done, "attempt": job.attempts}
        log_job(job, "The job is taken into work.", logging.INFO, action="job_begun", **facts)
        return run

    async def finish(self, run: Run) -> None:
        """End a job that has nothing left to do. It fails if it was not read to its end or became gaps only."""
        if run.failure is not None:
            await self.fail(run.job.id, run.failure)
            return
        await self._correct(run)
        await self.carry_speakers(run)
        warned = [note.message for note in run.job.history if note.code in WARNINGS]
        language = run.job.language or await self._likeliest_language(run.job)
        detects = run.job.options.task is Task.DETECT
        heard = run.gaps or (language if detects else await self._store.has_segments(run.job.id))
        message = warned[-1] if warned else "" if heard else "No speech was found."
        position = run.duration_s or run.job.position_s
        fields = {"progress": 1.0, "position_s": position, "duration_s": run.duration_s, "language": language}
        await self._end(run.job.id, Cause.FINISH, message=message, **fields)

    async def fail(self, job_id: str, problem: Problem) -> None:
        """Fail a job that cannot continue by itself. Its text so far stays."""
        await self._end(job_id, Cause.FAULT, message=problem.message, error=problem, decoded=False)

    async def set_waiting_problem(self, problem: Problem | None) -> None:
        """Write into all pending jobs what keeps them from starting. None: nothing does."""
        for written in await self._store.set_waiting_problem(problem, waiting_message(problem)):
            self._publish(written)

    def delete_spool(self, job_id: str) -> None:
        """Delete the samples of a job, and a listening copy that is not complete."""
        data = self._data
        for path in (draft_of(data.copy_of(job_id)), data.spool_of(job_id), data.channels_of(job_id)):
            path.unlink(missing_ok=True)

    # -- small parts --------------------------------------------------------------------------------------------------

    async def _correct(self, run: Run) -> None:
        """Correct what the vocabulary says, in lines that nobody has changed. An end that is repeated makes one edit.

        After a retry more chunks are done: their lines get an edit of their own.
        """
        terms = await self._store.vocabulary.terms()
        if not any(term.replace for term in terms):
            return
        job = run.job
        language = "en" if job.options.task is Task.TRANSLATE else run.language
        operations, uses = vocabulary.corrections(await self._store.edits.line_texts(job.id), terms, language)
        if not operations:
            return
        batch = f"vocabulary.{job.chunks_done}"
        edit = Edit(batch, operations, author=vocabulary.AUTHOR, kind=EditKind.VOCABULARY)
        if await self.make_edit(job, edit):
            await self._store.vocabulary.count(uses)

    async def _stated_length(self, job_id: str) -> float | None:
        """Return how long the recording says that it is. None: it does not say."""
        try:
            return await to_thread.run_sync(stated_length, self._data.source_of(job_id))
        except OSError:  # whoever reads the recording finds out why
            return None

    async def _likeliest_language(self, job: Job) -> str | None:
        """Return the most probable language of a short job whose chunks were not sure of theirs. None: no speech."""
        spoken = [chunk for chunk in await self._store.chunks(job.id) if chunk.language_probability is not None]
        if job.options.task is not Task.DETECT:
            with_text = {segment.chunk for segment in await self._store.segments(job.id)}
            spoken = [chunk for chunk in spoken if chunk.span.index in with_text]
        likeliest = max(spoken, key=lambda chunk: chunk.language_probability or 0.0, default=None)
        return likeliest.language if likeliest is not None else None

    async def _end(self, job_id: str, cause: Cause, **fields: Any) -> Job:
        """Move a job into a terminal status and delete its spool."""
        written = await self._store.move(job_id, cause, finished_at=self._wall(), **(IDLE_FIELDS | fields))
        self._forget(job_id)
        job = self._publish(written)
        self.delete_spool(job_id)
        if not job.copy_bytes:  # one that was complete, but not reported yet, has no owner
            self._data.copy_of(job_id).unlink(missing_ok=True)
        level = logging.WARNING if job.status is Status.FAILED else logging.INFO
        facts: dict[str, Any] = {"status": job.status.value, "gaps": len(job.gaps), "cause": cause.value}
        if job.error:
            facts["code"] = job.error.code
        log_job(job, f"The job is {job.status.value}.", level, action="job_ended", **facts)
        return job

    def _forget(self, job_id: str) -> None:
        self.runs.pop(job_id, None)
        self._queue = None


def _waiting(job: Job) -> WaitingJob:
    return WaitingJob(job.id, job.bytes, job.duration_s, job.rank)
