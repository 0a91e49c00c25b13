"""Calls: a client sends a recording and waits for its text. The interfaces of other programs are made of calls.

A call is an ordinary job, which goes on when its client goes away. It has priority, because a client waits. If a job
has equal bytes and options, the call is about that job: a client that lost its connection and asks again misses
nothing, and no work is done twice.
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

RETRY_AFTER_S: Final = 300
"""Seconds after which a client may ask again whose job waits for a person."""


class CallFailed(ServiceError):
    """The recording could not be transcribed."""

    hint: ClassVar[str] = "The list of jobs shows why. A retry transcribes only what is missing."

    def __init__(self, problem: Problem | None = None) -> None:
        """Let the client get the job's problem, if there is one."""
        super().__init__(problem.message if problem else None)
        if problem is not None:
            self.problem, self.params = problem, problem.params


class CallWaits(CallFailed):
    """The job waits until a person solves a problem. Then it goes on by itself."""

    hint: ClassVar[str] = "Solve the problem that the job names. Then send the recording again to get its text."


class Detected(Value, frozen=True):
    """The language of a recording, and its probability. None: nobody speaks."""

    language: str | None
    probability: float


async def submit(service: Service, received: Received, options: Options) -> Job:
    """Make a job of the recording, or return the job that it is already.

    Raises `InvalidRequest`, and `ModelUnavailable` for a model that is not here. After an error, the recording is
    deleted.
    """
    try:
        model = await service.models.resolve(options.model)
        reuse_finished = service.config.api.reuse_results
        named = replace(options, model=model)
        return await service.jobs.submit(received, named, reuse=True, reuse_finished=reuse_finished, rank=CALL_RANK)
    except ServiceError:
        received.path.unlink(missing_ok=True)
        raise


async def finished(service: Service, job_id: str) -> Job:
    """Return the job once it is complete.

    Raises `CallFailed`, `CallWaits`, `Conflict` if the job was cancelled, and `NotFound` if it was deleted.
    """
    async with aclosing(service.jobs.watch(job_id)) as states:
        async for job in states:
            last = job
    return _complete(last)


async def segments(service: Service, job_id: str, heartbeat_s: float) -> AsyncGenerator[Segment | None, None]:
    """Yield the segments in order, each as soon as everything before it is final.

    Yields None when that takes longer than a heartbeat. Raises what `finished` raises.
    """
    sent, silent_since = 0, current_time()
    async with aclosing(service.jobs.watch(job_id, heartbeat_s)) as states:
        async for last in states:
            job = last
            final = await service.parts.store.final_chunks(job_id)
            fresh = await service.parts.store.segments(job_id, first=sent, before=final) if final > sent else []
            for segment in fresh:
                yield segment
            sent = max(sent, final)
            if fresh or current_time() - silent_since >= heartbeat_s:
                silent_since = current_time()
                if not fresh:
                    yield None
    _complete(job)


async def language(service: Service, job_id: str) -> Detected:
    """Return the language as soon as it is known. Raises what `finished` raises."""
    async with aclosing(service.jobs.watch(job_id)) as states:
        async for last in states:
            job = last
            if job.language is not None:
                break
        else:
            _complete(job)
    probabilities = [
        chunk.language_probability
        for chunk in await service.parts.store.chunks(job_id)
        if chunk.language == job.language and chunk.language_probability is not None
    ]
    return Detected(job.language, max(probabilities, default=1.0 if job.options.language else 0.0))


def _complete(job: Job) -> Job:
    """Return the job if it is complete. Raises what `finished` raises."""
    if job.status is Status.FAILED:
        raise CallFailed(job.error)
    if job.problem is not None and job.status not in TERMINAL:
        problem = job.problem
        raise CallWaits(replace(problem, params=problem.params | {"retry_after_s": RETRY_AFTER_S}))
    if job.status is Status.CANCELLED:
        hint = "Send the recording again to go on with it."
        raise Conflict("The job was cancelled while you waited.", hint=hint, id=job.id)
    return job
