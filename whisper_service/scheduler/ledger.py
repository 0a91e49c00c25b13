"""The jobs in work and everything that happens to them: persist, then publish, for each transition.

Owns the runs and is the only one that writes jobs to the store. It knows no actors: what a transition means for a child
that is at work is for the dispatcher, which calls all of this from its loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from anyio import to_thread
from msgspec.structs import replace

from whisper_service.core.domain import MAX_NOTES, Chunk, ChunkState, Gap, Job, JobNote, Phase, Problem, Span, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import TERMINAL, Cause
from whisper_service.scheduler import planner
from whisper_service.scheduler.run import Run
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store, Written
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.protocol import ChunkDone

logger = logging.getLogger(__name__)

ChunkKey = tuple[str, int]
"""(job id, chunk index)"""
IDLE_FIELDS: dict[str, Any] = {"phase": None, "speed": None, "eta_s": None, "problem": None}
"""Fields that mean something only while a job is in work."""
WAITS: Final = "Waiting for its turn."
UNANSWERED: Final = Problem(
    code=FaultKind.UNKNOWN.value,
    message="The speech engine did not answer for this part of the recording.",
    hint="Retry the job. If it happens again, report it.",
)
"""The reason of a chunk that its finished batch left out."""
WARNINGS: Final = ("truncated", "damaged")
"""Notes that are the last word on a job which is otherwise complete."""


class Ledger:
    """See the module."""

    def __init__(
        self,
        store: Store,
        feed: ChangeFeed,
        data: DataDir,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.runs: dict[str, Run] = {}
        self._store = store
        self._feed = feed
        self._data = data
        self._clock = clock
        self._wall = wall
        self._queue: list[Job] | None = None  # head of the pending jobs; None: read it again
        self._taken_up = 0

    # -- what users ask ----------------------------------------------------------------------------------------------

    async def add(self, job: Job) -> Job:
        """A new pending job."""
        return self._publish(await self._store.add(job))

    async def update_link(self, job_id: str, **fields: Any) -> Job | None:
        """Write fields of a job whose recording is on its way, and have a file for it; None if it is not pending any more.

        The file is made here: who hears late that the job is deleted must not make it anew.
        """
        if (written := await self._store.update_link(job_id, **fields)) is None:
            return None
        self._data.source_of(job_id).touch()
        return self._publish(written)

    async def front(self, job_id: str) -> Job:
        """To the head of the queue; the last one asked for goes first."""
        job = self._publish(await self._store.move(job_id, Cause.FRONT, rank=-self._wall()))
        if run := self.runs.get(job_id):
            run.job = job
        return job

    async def shift(self, job_id: str, cause: Cause) -> Job:
        """A place up or down in the queue, by `Cause.SOONER` or `Cause.LATER`."""
        return [self._publish(written) for written in await self._store.move_in_queue(job_id, cause)][-1]

    async def pause(self, job_id: str) -> Job:
        """No more chunks. The spool stays, and so does what comes back of the work in hand."""
        job = self._publish(await self._store.move(job_id, Cause.PAUSE, message="Paused.", **IDLE_FIELDS))
        self.runs.pop(job_id, None)
        return job

    async def cancel(self, job_id: str) -> Job:
        """The end, by its user."""
        return await self._end(job_id, Cause.CANCEL, message="Cancelled; the text so far is kept.", decoded=False)

    async def requeue(self, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
        """Back into the queue, by `Cause.RESUME` or `Cause.RETRY`. A retry shows as done what really is done, and may be with
        another model."""
        fields: dict[str, Any] = {}
        if cause is Cause.RETRY and model is not None:
            fields["options"] = replace((await self._store.job(job_id)).options, model=model)
        if cause is Cause.RETRY:
            fields |= {"progress": 0.0} | await self._standing(job_id, again=True)
        return self._publish(await self._store.move(job_id, cause, message=WAITS, problem=None, **fields))

    async def put_back(self, job_id: str) -> None:
        """Into the queue again, as after a restart: it goes on with what the store has of it."""
        written = await self._store.move(job_id, Cause.RECOVER, message="Goes on as soon as it can.", **IDLE_FIELDS)
        self._forget(job_id)
        self._publish(written)

    async def rename(self, job_id: str, name: str) -> Job:
        """Call it something else."""
        job = self._publish(await self._store.rename(job_id, name))
        if run := self.runs.get(job_id):
            run.job = job
        return job

    async def trash(self, job_id: str) -> None:
        """Into the trash, with all its files: it may come back."""
        change = await self._store.trash(job_id, self._wall(), message="Waiting for its turn.", **IDLE_FIELDS)
        self._forget(job_id)
        self._feed.publish([change])

    async def restore(self, job_id: str) -> Job:
        """Out of the trash."""
        return self._publish(await self._store.restore(job_id))

    async def delete(self, job_id: str) -> None:
        """The job, its text and its files."""
        change = await self._store.delete(job_id)
        self._forget(job_id)
        self._feed.publish([change])  # before anything else can fail: it is committed
        await to_thread.run_sync(self._data.delete_files, job_id)

    async def remove_media(self, job_id: str) -> None:
        """The recording and its waveform go, the text stays. Nothing happens to a job that is not over."""
        job = await self._store.job(job_id)
        if job.status not in TERMINAL or job.media_removed:
            return
        if (written := await self._store.update(job_id, expected=job.status, media_removed=True)) is not None:
            self._publish(written)
            await to_thread.run_sync(self._data.delete_files, job_id)

    # -- taking up and ending ----------------------------------------------------------------------------------------

    async def queue(self) -> tuple[planner.WaitingJob, ...]:
        """The head of the queue, read only when it may have changed."""
        if self._queue is None:
            self._queue = await self._store.queue(planner.SHORT_AHEAD + planner.LONG_AHEAD)
        return tuple(planner.WaitingJob(job.id, job.bytes) for job in self._queue)

    async def claim(self, pending: Job, model: str | None) -> Run:
        """Take a pending job into work, where the store left it. Without a model, `execute.choose_model` follows."""
        job_id = pending.id
        job = self._publish(
            await self._store.move(
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
        )
        self._taken_up += 1
        chunks = await self._store.chunks(job_id)
        needed = max((chunk.span.start_sample + chunk.span.samples for chunk in chunks), default=0)
        spooled = job.decoded and self._data.spooled_samples(job_id) >= max(1, needed)
        run = Run.resume(job, chunks, order=self._taken_up, spooled=spooled, now=self._clock())
        self.runs[job_id] = run
        facts: dict[str, Any] = {
            "action": "job_begun",
            "model": model,
            "chunks_done": job.chunks_done,
            "attempt": job.attempts,
        }
        _tell(job, "the job is taken up", logging.INFO, **facts)
        return run

    async def finish(self, run: Run) -> None:
        """Nothing is left to do. What broke off, or has gaps and no text at all, fails now; what text there is stays."""
        if run.failure is not None:
            await self.fail(run.job.id, run.failure)
            return
        warned = [note.message for note in run.job.history if note.code in WARNINGS]
        message = warned[-1] if warned else "" if run.finished else "No speech was found."
        position = run.duration_s or run.job.position_s
        await self._end(
            run.job.id, Cause.FINISH, message=message, progress=1.0, position_s=position, duration_s=run.duration_s
        )

    async def fail(self, job_id: str, problem: Problem) -> None:
        """The job cannot go on by itself."""
        await self._end(job_id, Cause.FAULT, message=problem.message, error=problem, decoded=False)

    async def set_waiting_problem(self, problem: Problem | None) -> None:
        """Tell all jobs that wait for their turn what keeps them from it; None: nothing does any more."""
        message = f"Waits: {problem.message} {problem.hint}" if problem is not None else WAITS
        for written in await self._store.set_waiting_problem(problem, message):
            self._publish(written)

    # -- progress ----------------------------------------------------------------------------------------------------

    async def update(self, run: Run, **fields: Any) -> None:
        """Write fields of a job in work and tell everybody."""
        self._keep(run, await self._store.update(run.job.id, expected=Status.PROCESSING, **fields))

    async def update_progress(self, run: Run, **fields: Any) -> None:
        """The same, with how far it is."""
        await self.update(run, **run.progress(self._clock()), **fields)

    async def add_note(self, run: Run, problem: Problem) -> None:
        """Add to the history of a job in work: something happened that its user should know of."""
        await self.update(run, history=self._longer(run, problem))

    async def chunk_found(self, run: Run, span: Span) -> None:
        """A stretch of speech is in the spool; the store hears of a new chunk before it is worked on."""
        run.reached(span)
        if (new := run.unknown(span)) is not None:
            self._keep(run, await self._store.add_chunk(run.job.id, new))
            run.found(new)

    async def chunk_done(self, report: ChunkDone) -> None:
        """The checkpoint: text, progress and events in one transaction."""
        run = self.runs.get(report.job_id)
        if run is None:  # paused meanwhile: keep the work, unless the job's language would have to be learnt from it
            if report.language_probability is None:
                await self._late(report)
            return
        if report.index in run.finished:  # given twice, because the job was paused and resumed in between
            return
        language = run.hear(report.language, report.language_probability, text=bool(report.segments))
        run.done(report.index)
        fields = run.progress(self._clock()) | {"language": language, "probability": report.language_probability}
        self._keep(
            run, await self._store.checkpoint(run.job.id, report.index, report.segments, report.language, **fields)
        )

    async def _late(self, report: ChunkDone) -> None:
        """Of a job that is not in work any more, or not there."""
        try:
            fields = await self._standing(report.job_id, heard=report.index)
        except NotFound:
            return
        job_id, index = report.job_id, report.index
        written = await self._store.checkpoint(job_id, index, report.segments, report.language, **fields)
        if written is not None:
            self._publish(written)

    async def count_failure(
        self, batches: Mapping[int, Sequence[ChunkKey]], problem: Problem, *, killed: bool = False
    ) -> None:
        """Count a failure of these batches against each of their rows, give it back to its job, and give up those that failed
        too often. All of them are given back first: what cannot be written now must not be lost from sight."""
        struck = [
            (run, chunk, batch)
            for batch, rows in batches.items()
            for job_id, index in rows
            if (run := self.runs.get(job_id)) and (chunk := run.strike(index, batch, killed=killed)) is not None
        ]
        if not struck:
            return
        await self._store.count_attempts([(run.job.id, chunk.span.index) for run, chunk, _ in struck], killed=killed)
        for run, chunk, batch in struck:
            counted = {"attempts": chunk.attempts, "kills": chunk.kills}
            where = {"chunk": chunk.span.index, "batch": batch}
            _tell(run.job, "a chunk is given again", action="chunk_struck", cause=problem.code, **where, **counted)
            if chunk.attempts >= planner.QUARANTINE_AFTER or chunk.kills >= planner.KILLED_TOO_OFTEN:
                await self.quarantine(run, chunk, problem)

    async def batch_done(self, batch: int, chunks: Sequence[ChunkKey]) -> None:
        """Close a finished batch. A chunk that got no answer counts as failed: given for ever, it would block the actor."""
        if self.runs_in_batch(batch, chunks):
            await self.count_failure({batch: chunks}, UNANSWERED)

    def runs_in_batch(self, batch: int, rows: Sequence[ChunkKey]) -> list[Run]:
        """The jobs in work that still have a row in this batch."""
        found = [run for job_id, index in rows if (run := self.runs.get(job_id)) and run.batch_of.get(index) == batch]
        return list({run.job.id: run for run in found}.values())

    def take_back(self, batches: Mapping[int, Sequence[ChunkKey]]) -> None:
        """Rows of these batches that got no answer wait again, through no fault of theirs."""
        for batch, rows in batches.items():
            for job_id, index in rows:
                if run := self.runs.get(job_id):
                    run.take_back(index, batch)

    async def quarantine(self, run: Run, chunk: Chunk, problem: Problem) -> None:
        """Give a chunk up: a gap in the transcript, with its reason. While that cannot be written, it stays to be done."""
        index = chunk.span.index
        gap = Gap(start=chunk.span.start, end=chunk.span.end, reason=problem.message)
        written = await self._store.fail_chunk(
            run.job.id, index, problem, gap, **run.without(index).progress(self._clock())
        )
        run.done(index, problem)
        _tell(run.job, "a chunk is given up", action="chunk_given_up", chunk=index, cause=problem.code)
        self._keep(run, written)

    async def decoded(self, run: Run, duration_s: float, warning: Problem | None) -> None:
        """The whole recording is in the spool. A warning is kept with the job: it may end in another life of the service."""
        run.decoded(duration_s)
        fields: dict[str, Any] = {"decoded": True}
        if warning is not None and warning.code not in {note.code for note in run.job.history}:
            fields["history"] = self._longer(run, warning)
        await self.update_progress(run, **fields)

    # -- small parts -------------------------------------------------------------------------------------------------

    async def _standing(self, job_id: str, *, heard: int | None = None, again: bool = False) -> dict[str, Any]:
        """How far a job is that is not in work, by its chunks: with `heard` as done, and `again`: with what failed as open."""
        chunks = []
        for chunk in await self._store.chunks(job_id):
            state = ChunkState.DONE if chunk.span.index == heard else chunk.state
            if again and state is ChunkState.FAILED:
                state = ChunkState.WAITING
            chunks.append(Chunk(chunk.span, state))
        run = Run.resume(await self._store.job(job_id), chunks, order=0, spooled=False, now=self._clock())
        return run.progress(self._clock())

    async def _end(self, job_id: str, cause: Cause, **fields: Any) -> Job:
        """Into a terminal status; its spool is not needed any more."""
        written = await self._store.move(job_id, cause, finished_at=self._wall(), **(IDLE_FIELDS | fields))
        self._forget(job_id)
        job = self._publish(written)
        self.delete_spool(job_id)
        level = logging.WARNING if job.status is Status.FAILED else logging.INFO
        why = {"cause": cause.value} | ({"code": job.error.code} if job.error else {})
        facts: dict[str, Any] = {"action": "job_ended", "status": job.status.value, "gaps": len(job.gaps), **why}
        _tell(job, f"the job is {job.status.value}", level, **facts)
        return job

    def _longer(self, run: Run, problem: Problem) -> tuple[JobNote, ...]:
        note = JobNote(self._wall(), problem.code, problem.message, problem.params)
        return (*run.job.history, note)[-MAX_NOTES:]

    def delete_spool(self, job_id: str) -> None:
        """The samples of a job that ends."""
        self._data.spool_of(job_id).unlink(missing_ok=True)

    def _forget(self, job_id: str) -> None:
        self.runs.pop(job_id, None)
        self._queue = None

    def _keep(self, run: Run, written: Written | None) -> None:
        if written is not None:
            self._feed.publish(written.changes)
            run.job = written.job

    def _publish(self, written: Written) -> Job:
        self._queue = None
        self._feed.publish(written.changes)
        return written.job


def _tell(job: Job, message: str, level: int = logging.WARNING, **facts: Any) -> None:
    """A line about a job in the log. Its name is its user's, and not for operators."""
    logger.log(level, message, extra={"job": job.id, **facts})
