"""Calls: a client sends a recording and waits for its text. The interfaces of other programs are made of calls.

A call is an ordinary job, which goes on when its client goes away. It has priority, because a client waits. If a job
has equal bytes and options, the call is about that job: a client that lost its connection and asks again misses
nothing, and no work is done twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import ClassVar, Final

from anyio import current_time, to_thread
from msgspec.structs import replace

from whisper_service.app.edits import Version
from whisper_service.app.service import Service
from whisper_service.core.domain import CALL_RANK, Job, Options, Problem, Segment, Status, Transcript, Value
from whisper_service.core.errors import Conflict, InvalidRequest, ServiceError
from whisper_service.core.job_states import TERMINAL
from whisper_service.editing.speakers import Attribution
from whisper_service.models.speaker_networks import missing_networks
from whisper_service.scheduler.speakers_ledger import UNAVAILABLE
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


class SpeakersMissing(CallFailed):
    """The speakers could not be told apart."""

    code: ClassVar[str] = UNAVAILABLE
    hint: ClassVar[str] = "The text is in the list of jobs. Send the recording again to have only the speakers found."

    def __init__(self, job: Job | None = None) -> None:
        """Let the client get what the job notes about its speakers."""
        notes = [note.message for note in job.history if note.code == UNAVAILABLE] if job else []
        params = {"retry_after_s": RETRY_AFTER_S} | ({"id": job.id} if job else {})
        super().__init__(Problem(UNAVAILABLE, notes[-1] if notes else str(self.__doc__), self.hint, params))


class Detected(Value, frozen=True):
    """The language of a recording, and its probability. None: nobody speaks."""

    language: str | None
    probability: float


async def check_speakers(service: Service, field: str) -> None:
    """Raise `InvalidRequest` for a field that asks for speakers if they will surely not be told apart."""
    context = service.parts.context
    missing = await to_thread.run_sync(missing_networks, context.speakers.networks)
    if missing and context.downloads.hub.offline:
        message = "The networks that tell speakers apart are not on this machine, and downloads are switched off."
        hint = "Import the model speakers on the page or with `whisper_service models import`, or allow downloads."
        raise InvalidRequest(message, hint=hint, field=field, reason="unsupported_value")


@contextmanager
def deleted_on_error(received: Received) -> Iterator[None]:
    """Delete a recording of which no job was made yet, if the block ends with an error."""
    try:
        yield
    except BaseException:
        received.path.unlink(missing_ok=True)
        raise


async def submit(service: Service, received: Received, options: Options) -> Job:
    """Make a job of the recording, or return the job that it is already.

    Raises `InvalidRequest`, and `ModelUnavailable` for a model that is not here. After an error, the recording is
    deleted.
    """
    with deleted_on_error(received):
        model = await service.models.resolve(options.model)
        reuse_finished = service.config.api.reuse_results
        named = replace(options, model=model)
        return await service.jobs.submit(received, named, reuse=True, reuse_finished=reuse_finished, rank=CALL_RANK)


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


async def heartbeats(service: Service, job_id: str, heartbeat_s: float) -> AsyncGenerator[None, None]:
    """Yield after every heartbeat until the job is complete. Raises what `finished` raises."""
    silent_since = current_time()
    async with aclosing(service.jobs.watch(job_id, heartbeat_s)) as states:
        async for last in states:
            job = last
            if current_time() - silent_since >= heartbeat_s:
                silent_since = current_time()
                yield
    _complete(job)


async def told_apart(service: Service, job_id: str) -> Transcript:
    """Return the text of a complete job as the model wrote it, cut where the speaker changes.

    `speaker` of a segment is the ID of its speaker; None: what nobody could hear. Raises `SpeakersMissing`.
    """
    job, store = await service.jobs.get(job_id), service.parts.store
    segments = await service.jobs.segments(job_id)
    if segments and job.speakers is None:
        raise SpeakersMissing(job)
    spoken = Attribution(await store.speakers.timeline(job_id))
    transcript = await service.jobs.transcript(job_id, Version.MACHINE)
    return replace(transcript, segments=tuple(piece for segment in segments for piece in spoken.pieces_of(segment)))


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
