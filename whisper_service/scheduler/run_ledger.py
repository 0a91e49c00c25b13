"""Write what happens to the chunks and to the progress of jobs in work, then publish it. Owns the runs.

`Ledger` inherits all of this and adds what happens to whole jobs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from whisper_service.core.domain import (
    MAX_NOTES,
    Chunk,
    ChunkState,
    Gap,
    Job,
    JobNote,
    Playable,
    Problem,
    Span,
    Status,
)
from whisper_service.core.errors import BadEdit, EditConflict, NotFound
from whisper_service.scheduler.batches import GIVE_UP_AFTER, GIVE_UP_AFTER_KILLS
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.views import ChunkKey, WaitingJob
from whisper_service.storage.change_feed import ChangeFeed
from whisper_service.storage.change_log import Written
from whisper_service.storage.chunk_writes import ChunkWrite, DoneChunk, FoundChunk
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit
from whisper_service.supervision.faults import FaultKind
from whisper_service.supervision.messages.speech import ChunkDone, Dropped

logger = logging.getLogger(__name__)

MOST_TOGETHER: Final = 64
"""Chunks of one transaction at most: it takes a twentieth of a second, and other writers wait for it. More would save
little: from 8 chunks on, what all of them share costs each of them a few hundredths of a millisecond."""
UNANSWERED: Final = Problem(
    code=FaultKind.UNKNOWN.value,
    message="The speech engine did not answer for this part of the recording.",
    hint="Retry the job. If it happens again, report it.",
)
"""The reason of a chunk that its finished batch left out."""


class RunLedger:
    """The jobs in work, and their chunks."""

    def __init__(
        self,
        store: Store,
        feed: ChangeFeed,
        data: DataDir,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.runs: dict[str, Run] = {}
        self._store = store
        self._feed = feed
        self._data = data
        self._wall = wall
        self._queue: tuple[WaitingJob, ...] | None = None  # the first pending jobs; None: read them again
        self._claims = 0
        self._unwritten: list[ChunkWrite] = []  # what happened to chunks and is not stored yet
        self._is_awaited = False  # the next report needs the language or the history that is not stored yet

    # -- progress -----------------------------------------------------------------------------------------------------

    async def update(self, run: Run, **fields: Any) -> None:
        """Write fields of a job in work."""
        self._publish_if(await self._store.update(run.job.id, expected=Status.PROCESSING, **fields))

    async def update_progress(self, run: Run, **fields: Any) -> None:
        """Write the progress of a job in work, and other fields."""
        await self.update(run, **run.progress(time.monotonic()), **fields)

    async def add_note(self, run: Run, problem: Problem) -> None:
        """Add to the history of a job in work what its user should know."""
        await self.update(run, history=self._history_with(run, problem))

    async def finish_decoding(
        self,
        run: Run,
        duration_s: float,
        warnings: Sequence[Problem] = (),
        *,
        playable: Playable | None = None,
        copy_bytes: int = 0,
    ) -> None:
        """Record that the whole recording is in the spool. Warnings are stored: the job may end after a restart."""
        run.finish_decoding(duration_s)
        fields: dict[str, Any] = {"decoded": True, "playable": playable, "copy_bytes": copy_bytes}
        known = {note.code for note in run.job.history}
        if new := [warning for warning in warnings if warning.code not in known]:
            fields["history"] = self._history_with(run, *new)
        await self.update_progress(run, **fields)

    # -- chunks that are found and done: written together -------------------------------------------------------------

    def add_chunk(self, run: Run, span: Span) -> None:
        """Record that a chunk is in the spool. Until `write_chunks` has stored a new one, nothing may work on it."""
        run.spool_reaches(span)
        if (new := run.new_part(span)) is not None:
            self._unwritten.append(FoundChunk(run.job.id, new))
            run.add_chunk(new)

    async def finish_chunk(self, report: ChunkDone) -> None:
        """Take in the text of a chunk. `write_chunks` stores it with the progress of its job, and publishes both."""
        job_id, index = report.job_id, report.index
        if (run := self.runs.get(job_id)) is not None:
            if index in run.finished:  # given twice, because the job was paused and resumed in between
                return
            unclear = _unclear(report.dropped)
            chunk = run.in_flight.get(index) or run.waiting.get(index)
            if unclear is not None and not report.segments and chunk is not None:
                await self.give_up_chunk(run, chunk, unclear)
                return
            probability = report.language_probability
            language = run.language_after(report.language, probability, text=bool(report.segments))
            unspooled = run.unspooled.get(index)
            run.finish_chunk(index)
            fields = run.progress(time.monotonic()) | {"language": language}
            if unclear is not None:
                fields["history"] = self._history_with(run, unclear)
            self._is_awaited |= unclear is not None or run.language is None
            if run.speakers is not None and report.segments and (done := unspooled or chunk):
                run.speakers.add(done.span, spooled=unspooled is None)
        elif report.language_probability is not None or report.dropped:  # done again, in order, when the job goes on
            return
        else:
            probability = None
            done_before = {write.index for write in self._unwritten if write.job_id == job_id}
            try:
                fields = await self._stored_progress(job_id, done={index, *done_before})
            except NotFound:
                return
        self._unwritten.append(DoneChunk(job_id, index, report.segments, report.language, probability, fields))

    @property
    def is_group_full(self) -> bool:
        """Whether `write_chunks` is due: the group is large, or the next report needs what is written."""
        return self._is_awaited or len(self._unwritten) >= MOST_TOGETHER

    async def write_chunks(self) -> dict[str, Exception]:
        """Store and publish the chunks that were taken in, in one transaction. Return the jobs with refused chunks.

        A refused transaction is repeated chunk by chunk, so that the chunk of one job costs no other job its text.
        """
        writes, self._unwritten, self._is_awaited = self._unwritten, [], False
        if not writes:
            return {}
        try:
            self._publish_all(await self._store.write_chunks(writes))
        except Exception as error:
            if len(writes) == 1:
                return {writes[0].job_id: error}
        else:
            return {}
        refused: dict[str, Exception] = {}
        for write in writes:
            if write.job_id not in refused:
                try:
                    self._publish_all(await self._store.write_chunks([write]))
                except Exception as error:
                    refused[write.job_id] = error
        return refused

    # -- batches ------------------------------------------------------------------------------------------------------

    async def finish_batch(self, batch: int, chunks: Sequence[ChunkKey]) -> None:
        """Close a finished batch. A chunk without an answer counts as failed, or it could block the actor for ever."""
        await self.count_failure({batch: chunks}, UNANSWERED)

    async def count_failure(
        self, batches: Mapping[int, Sequence[ChunkKey]], problem: Problem, *, killed: bool = False
    ) -> None:
        """Let the unanswered chunks of failed batches wait again, and give up those that failed too often.

        All of them wait again before anything is written: an error of the store must not lose one.
        """
        counted = [
            (run, chunk, batch)
            for run, index, batch in self._chunks_of(batches)
            if (chunk := run.count_failure(index, batch, killed=killed)) is not None
        ]
        if not counted:
            return
        await self._store.count_attempts([(run.job.id, chunk.span.index) for run, chunk, _ in counted], killed=killed)
        for run, chunk, batch in counted:
            facts = {"chunk": chunk.span.index, "batch": batch, "attempts": chunk.attempts, "kills": chunk.kills}
            log_job(run.job, "A chunk is given again.", action="chunk_struck", cause=problem.code, **facts)
            if chunk.attempts >= GIVE_UP_AFTER or chunk.kills >= GIVE_UP_AFTER_KILLS:
                await self.give_up_chunk(run, chunk, problem)

    async def give_up_chunk(self, run: Run, chunk: Chunk, problem: Problem) -> None:
        """Make a chunk a gap in the transcript. Until that is written, the chunk is still to be done."""
        index = chunk.span.index
        gap = Gap(start=chunk.span.start, end=chunk.span.end, reason=problem.message)
        progress = run.with_finished(index).progress(time.monotonic())
        written = await self._store.fail_chunk(run.job.id, index, problem, gap, **progress)
        run.finish_chunk(index, problem)
        log_job(run.job, "A chunk is given up.", action="chunk_given_up", chunk=index, cause=problem.code)
        self._publish_if(written)

    def runs_in(self, batches: Mapping[int, Sequence[ChunkKey]]) -> dict[str, Run]:
        """Return the jobs in work, by id, that have unanswered chunks in these batches."""
        return {run.job.id: run for run, index, batch in self._chunks_of(batches) if run.waits_for(index, batch)}

    def take_back(self, batches: Mapping[int, Sequence[ChunkKey]]) -> None:
        """Let the unanswered chunks of these batches wait again, without counting a failure."""
        for run, index, batch in self._chunks_of(batches):
            run.take_back(index, batch)

    async def make_edit(self, job: Job, edit: Edit) -> bool:
        """Edit a text in the name of the service, and publish the edit. False: it was made before, or it cannot be."""
        try:
            written = await self._store.edits.apply(job.id, edit, self._wall())
        except (BadEdit, EditConflict) as error:
            message = f"{edit.author} could not edit a text."
            log_job(job, message, action="not_edited", cause=error.problem.code)
            return False
        self._feed.publish(written.changes)
        return bool(written.changes)

    # -- small parts --------------------------------------------------------------------------------------------------

    def _chunks_of(self, batches: Mapping[int, Sequence[ChunkKey]]) -> Iterator[tuple[Run, int, int]]:
        """Yield the chunks of jobs in work: the run, the index of the chunk, and its batch."""
        for batch, chunks in batches.items():
            for job_id, index in chunks:
                if run := self.runs.get(job_id):
                    yield run, index, batch

    async def _stored_progress(self, job_id: str, *, done: Collection[int] = (), retry: bool = False) -> dict[str, Any]:
        """Return the progress of a job that is not in work, from its chunks. Raises `NotFound`.

        The chunks with the indexes `done` count as done. For a `retry`, failed chunks count as waiting.
        """
        chunks = []
        for chunk in await self._store.chunks(job_id):
            state = ChunkState.DONE if chunk.span.index in done else chunk.state
            if retry and state is ChunkState.FAILED:
                state = ChunkState.WAITING
            chunks.append(Chunk(chunk.span, state))
        run = Run.resume(await self._store.job(job_id), chunks, order=0, spooled=False, now=time.monotonic())
        return run.progress(time.monotonic())

    def _history_with(self, run: Run, *problems: Problem) -> tuple[JobNote, ...]:
        notes = (JobNote(self._wall(), problem.code, problem.message, problem.params) for problem in problems)
        return (*run.job.history, *notes)[-MAX_NOTES:]

    def _publish_if(self, written: Written | None) -> None:
        """Publish what was written. None: the store changed nothing."""
        if written is not None:
            self._publish(written)

    def _publish_all(self, group: Sequence[Written]) -> None:
        """Publish what was written in one transaction."""
        self._feed.publish([change for written in group for change in written.changes])
        for written in group:
            self._take_over(written)

    def _publish(self, written: Written) -> Job:
        self._feed.publish(written.changes)
        return self._take_over(written)

    def _take_over(self, written: Written) -> Job:
        """Let the run of a job know what is written of the job."""
        if run := self.runs.get(written.job.id):
            run.job = written.job
        else:
            self._queue = None  # only jobs that are not in work are in the queue
        return written.job


def _unclear(dropped: Sequence[Dropped]) -> Problem | None:
    """Return the problem of speech that has no text because every text repeats itself. None: there is none."""
    if not dropped:
        return None
    begin, end = dropped[0].begin, dropped[-1].end
    message = (
        f"The speech from {begin:.1f} s to {end:.1f} s is unclear: every text for it repeats itself. It is left out."
    )
    hint = "Choose the language that is spoken, or a larger model."
    return Problem("unclear_speech", message, hint, {"at_s": begin, "end_s": end})


def log_job(job: Job, message: str, level: int = logging.WARNING, **facts: Any) -> None:
    """Log a line about a job without its name, which belongs to its user."""
    logger.log(level, message, extra={"job": job.id, **facts})
