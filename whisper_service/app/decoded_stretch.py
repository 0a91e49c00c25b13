"""The sound of stretches of a stored recording, decoded once for all chunks that wait near one another.

A media actor of its own decodes it: no job waits for one, and one that dies costs no job anything. The samples are
those that the chunks were recognised from, because a decode gives equal samples for equal files.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from anyio import to_thread

from whisper_service.core.domain import SAMPLE_RATE, Chunk, Job, Problem, Span
from whisper_service.core.errors import RecordingAltered, RecordingLost
from whisper_service.core.files import full_disk_as_error
from whisper_service.core.identifiers import identifier
from whisper_service.editing.aligning import WordStretch
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.recordings import Recordings
from whisper_service.storage.data_dir import SAMPLE_BYTES
from whisper_service.supervision.conversation import Conversation
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.media import Decode, Decoded

RANGE_S: Final = 900.0
"""Seconds that are decoded at once if several chunks wait: 29 MB of samples."""
SPARE_S: Final = 0.5
"""Seconds by which the sound may begin later or end earlier than the words say."""
MISSING: Final = Problem("sound_missing", "The sound of these words is not in the recording.")


class ActorFailed(Exception):
    """An actor died, or could not do what it was told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class DecodedStretch(NamedTuple):
    """Samples of a recording from `start` on, in seconds: 16 kHz mono int16."""

    path: Path
    start: float
    end: float
    samples: int

    def has(self, wanted: WordStretch) -> bool:
        """Return whether the sound of a stretch was decoded."""
        return self.start - SPARE_S <= wanted.start and wanted.end <= self.end + SPARE_S

    def span_of(self, wanted: WordStretch) -> Span:
        """Return where the sound of a stretch is. Raises `ActorFailed` if the recording has not all of it."""
        first = max(0, round((wanted.start - self.start) * SAMPLE_RATE))
        samples = min(round((wanted.end - self.start) * SAMPLE_RATE), self.samples) - first
        start, end = (self.start + at / SAMPLE_RATE for at in (first, first + samples))
        if samples <= 0 or end < max(line.end for line in wanted.lines) - SPARE_S:
            raise ActorFailed(MISSING)
        return Span(0, first, samples, start, end)


def range_of(wanted: WordStretch, chunks: Sequence[Chunk], waiting: Sequence[int]) -> tuple[float, float]:
    """Return from when to when a recording is decoded: a stretch, and the chunks behind it that are waiting too.

    Times are on the clock of the recording, whose first sample is where its first chunk says.
    """
    first = chunks[0].span if chunks else Span(0, 0, 0, 0.0, 0.0)
    begin = max(wanted.start, first.start - first.start_sample / SAMPLE_RATE)
    ends = [chunk.span.end for chunk in chunks if chunk.span.index in waiting]
    return begin, max([wanted.end, *(end + 1.0 for end in ends if end <= begin + RANGE_S)])


@asynccontextmanager
async def decoded(
    talk: AbstractAsyncContextManager[Conversation],
    context: Context,
    job: Job,
    times: tuple[float, float],
    check: Callable[[], Awaitable[None]],
) -> AsyncIterator[DecodedStretch]:
    """Decode a recording from one time to another. The samples are deleted with the block.

    `talk` gives the actor. `check` is called about every second; what it raises passes. Raises `ActorFailed`,
    `ObjectStoreFailed` and `DiskFull`.
    """
    stem, data = identifier(0.0), context.data
    spool, peaks = (data.spool / f"{stem}.{ending}" for ending in ("pcm", "peaks"))
    try:
        with full_disk_as_error():
            for path in (spool, peaks):
                path.touch()
        command = Decode(
            job_id=stem,
            source=str(data.source_of(job.id)),
            spool=str(spool),
            peaks=str(peaks),
            begin_s=times[0],
            end_s=times[1],
            track=job.options.track,
            language=job.options.language,
            name=job.name,
        )
        failure: Exception | None = None
        async with _held(context.recordings, job.id), talk as actor:
            try:
                await _finish(actor, command, check)
            except Exception as error:  # it passes as it is, not in a group
                failure = error
        if failure is not None:
            raise failure
        size = (await to_thread.run_sync(spool.stat)).st_size
        yield DecodedStretch(spool, *times, size // SAMPLE_BYTES)
    finally:
        for path in (spool, peaks):
            path.unlink(missing_ok=True)


@asynccontextmanager
async def _held(recordings: Recordings | None, job_id: str) -> AsyncIterator[None]:
    """Keep a recording on this machine. Raises `ActorFailed` if it is gone, and `ObjectStoreFailed`."""
    if recordings is None:
        yield
        return
    try:
        async with recordings.held(job_id):
            yield
    except (RecordingLost, RecordingAltered) as error:
        raise ActorFailed(error.problem) from error


async def _finish(actor: Conversation, command: Decode, check: Callable[[], Awaitable[None]]) -> None:
    _raise_failure(await actor.report())
    actor.send(command)
    while not isinstance(report := await actor.report(), Decoded):
        _raise_failure(report)
        await check()


def _raise_failure(report: object) -> None:
    if isinstance(report, Problem):
        raise ActorFailed(report)
    if isinstance(report, Fault):
        raise ActorFailed(report.problem)
