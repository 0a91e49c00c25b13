"""Calls: a recording in, its text out, while the caller waits. What the interfaces of other programs are made of.

A call is an ordinary job: visible, persisted, and not hurt when its caller goes away. It has priority, because somebody
waits; and when a job with the same bytes and options is there, the call is about that one: a caller who lost the connection
and asks again misses nothing and repeats no work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar, Final

from anyio import current_time
from msgspec.structs import replace

from whisper_service.app.service import Service
from whisper_service.core.domain import CALL_RANK, Job, Options, Problem, Segment, Status, Value
from whisper_service.core.errors import Conflict, ServiceError
from whisper_service.core.job_states import TERMINAL
from whisper_service.storage.uploads import Received

AGAIN_S: Final = 300
"""When a caller whose job waits for somebody's help may ask again."""


class CallFailed(ServiceError):
    """The recording could not be transcribed."""

    code: ClassVar[str] = "call_failed"
    hint: ClassVar[str] = "The job is in the list with the reason; a retry does again only what is missing."

    def __init__(self, message: str | None = None, *, hint: str | None = None, problem: Problem | None = None) -> None:
        """`problem`: what the job says of it, and what the caller then hears."""
        super().__init__(problem.message if problem else message, hint=hint)
        self._problem = problem
        self.params = problem.params if problem else self.params

    @property
    def problem(self) -> Problem:
        return self._problem or super().problem


class CallWaits(CallFailed):
    """The job waits for something to be put right, and then goes on by itself."""

    code: ClassVar[str] = "call_waits"
    hint: ClassVar[str] = "Put right what the job names; then send the recording again to get its text."


class Detected(Value, frozen=True):
    """Which language is spoken, None if nobody speaks, and how probable that is."""

    language: str | None
    probability: float


async def place(service: Service, received: Received, options: Options) -> Job:
    """Make a job of the recording, or find the one it already is. Raises `InvalidRequest` or `ModelUnavailable` for a model
    that is not here; nothing is kept of the recording if anything is raised."""
    try:
        model = await service.models.resolve(options.model)
        reuse_finished = service.config.api.reuse_results
        named = replace(options, model=model)
        return await service.jobs.submit(received, named, reuse=True, reuse_finished=reuse_finished, rank=CALL_RANK)
    except ServiceError:
        received.path.unlink(missing_ok=True)
        raise


async def finished(service: Service, job_id: str) -> Job:
    """The job once it is complete. Raises `CallFailed`, `Conflict` if it was cancelled, and `NotFound` if it was deleted."""
    async with aclosing(service.jobs.watch(job_id)) as states:
        async for job in states:
            last = job
    return _complete(last)


async def spoken(service: Service, job_id: str, heartbeat_s: float) -> AsyncGenerator[Segment | None, None]:
    """The segments in order, each as soon as everything before it is known; None when that takes longer than a heartbeat.

    Raises what `finished` raises.
    """
    said, silent_since = 0, current_time()
    async with aclosing(service.jobs.watch(job_id, heartbeat_s)) as states:
        async for last in states:
            job = last
            settled = await service.parts.store.final_chunks(job_id)
            fresh = await service.parts.store.segments(job_id, first=said, before=settled) if settled > said else []
            for segment in fresh:
                yield segment
            said = max(said, settled)
            if fresh or current_time() - silent_since >= heartbeat_s:
                silent_since = current_time()
                if not fresh:
                    yield None
    _complete(job)


async def detected(service: Service, job_id: str) -> Detected:
    """The language, as soon as it is known. Raises what `finished` raises."""
    async with aclosing(service.jobs.watch(job_id)) as states:
        async for last in states:
            job = last
            if job.language is not None:
                break
        else:
            _complete(job)
    heard = [
        chunk.language_probability
        for chunk in await service.parts.store.chunks(job_id)
        if chunk.language == job.language
    ]
    sure = [probability for probability in heard if probability is not None]
    return Detected(job.language, max(sure, default=1.0 if job.options.language else 0.0))


def _complete(job: Job) -> Job:
    if job.status is Status.FAILED:
        raise CallFailed(problem=job.error)
    if job.problem is not None and job.status not in TERMINAL:
        problem = job.problem
        raise CallWaits(problem=replace(problem, params=problem.params | {"retry_after_s": AGAIN_S}))
    if job.status is Status.CANCELLED:
        raise Conflict(
            "The job was cancelled while you waited.", hint="Send the recording again to go on with it.", id=job.id
        )
    return job
