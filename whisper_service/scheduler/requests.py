"""What clients ask of jobs, where that takes more than a change in the ledger.

Each function is one use case and runs on the scheduler's loop, through `Mailbox.ask`. The next plan follows from what
the function has written.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from anyio import to_thread

from whisper_service.core.domain import Job, Problem, Status
from whisper_service.core.errors import IllegalTransition, NotFound, ServiceError
from whisper_service.core.job_states import OPEN, TERMINAL, Cause
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.scheduler import aborts, execute
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speakers_ledger import UNAVAILABLE
from whisper_service.storage.uploads import Received

logger = logging.getLogger(__name__)

CONTINUE: dict[Status, Cause] = {
    Status.PAUSED: Cause.RESUME,
    Status.FAILED: Cause.RETRY,
    Status.CANCELLED: Cause.RETRY,
}
"""The act that continues a job with this status."""


async def reuse_or_submit(context: Context, received: Received, job: Job, *, reuse_finished: bool) -> Job:
    """Continue the job with equal bytes and options, and delete the new copy of the recording. Else add `job`.

    A complete job whose speakers could not be told apart is retried for them. Without `reuse_finished`, jobs that have
    ended do not count.
    """
    same = await context.store.find_duplicate(received.sha256, job.options)
    if same is None or (same.status in TERMINAL and not reuse_finished):
        return await context.ledger.add(job)
    cause = CONTINUE.get(same.status)
    if same.status is Status.COMPLETED and UNAVAILABLE in {note.code for note in same.history}:
        if same.media_removed:
            return await context.ledger.add(job)
        cause = Cause.RETRY
    await to_thread.run_sync(partial(received.path.unlink, missing_ok=True))
    return await change(context, same.id, cause) if cause else same


async def fail_link(context: Context, job_id: str, problem: Problem) -> None:
    """Fail a pending job whose link cannot be fetched."""
    with suppress(NotFound, IllegalTransition):
        if (await context.store.job(job_id)).status is Status.PENDING:
            await context.ledger.fail(job_id, problem)


async def change(context: Context, job_id: str, cause: Cause, *, model: str | None = None) -> Job:
    """Pause, resume, cancel or retry a job, or move it in the queue. A retry may name another `model`.

    Raises `NotFound` and `IllegalTransition`.
    """
    run = context.ledger.runs.get(job_id)
    if cause is Cause.RETRY:
        context.fleet.reset(device=False)
        context.media.reset()
        context.live.reset()
        context.speakers.reset()
        job = await context.store.job(job_id)
        if job.problem is not None and job.status in OPEN:  # it waits for the actors that were just reset
            return job
    match cause:
        case Cause.FRONT:
            return await context.ledger.move_to_front(job_id)
        case Cause.SOONER | Cause.LATER:
            return await context.ledger.move_in_queue(job_id, cause)
        case Cause.PAUSE:
            job = await context.ledger.pause(job_id)
        case Cause.CANCEL:
            context.fleet.cancel(job_id)  # before its spool is deleted
            context.speakers.cancel(job_id)
            async with _start_again_on_error(context, job_id):
                job = await context.ledger.cancel(job_id)
        case _:
            return await context.ledger.requeue(job_id, cause, model=model)
    aborts.stop_decoding(context, run)
    await _release_model(context, run)
    return job


async def delete(context: Context, job_id: str, *, for_good: bool = True) -> None:
    """Delete a job with its text and files, whatever its state. Without `for_good`, put it into the trash."""
    run = context.ledger.runs.get(job_id)
    aborts.stop_work(context, job_id)
    async with _start_again_on_error(context, job_id):
        await (context.ledger.delete(job_id) if for_good else context.ledger.trash(job_id))
    await _release_model(context, run)


async def remove_media(context: Context, job_id: str) -> None:
    """Delete the recording of a job that has ended. Its text stays."""
    with suppress(NotFound):
        await context.ledger.remove_media(job_id)


async def remove_copy(context: Context, job_id: str) -> None:
    """Delete the listening copy of a job that has ended. The recording stays."""
    with suppress(NotFound):
        await context.ledger.remove_copy(job_id)


async def expire(context: Context, job_id: str) -> None:
    """Delete a job, unless it was started again since."""
    with suppress(NotFound):
        if (await context.store.job(job_id)).status in TERMINAL:
            await delete(context, job_id)


async def reset(context: Context) -> None:
    """Start the actors that died too often, load what could not be loaded, and try the GPUs again."""
    context.fleet.reset(device=True)
    for actor in context.actors:
        if actor.broken:
            actor.reset()
    for seat in context.fleet.seats:
        if context.preload and seat.actor.ready_generation and not context.ledger.runs and not seat.model:
            await execute.load_default(context, seat)


@asynccontextmanager
async def _start_again_on_error(context: Context, job_id: str) -> AsyncIterator[None]:
    """Start the job again when the store refuses the change: its actors have stopped already."""
    try:
        yield
    except (sqlite3.Error, OSError, ServiceError):
        if job_id in context.ledger.runs:
            await aborts.start_again(context, job_id)
        raise


async def _release_model(context: Context, run: Run | None) -> None:
    """Stop the downloads for this job that no other job wants. The request is done, so an error is only logged."""
    if run is None:
        return
    others = context.ledger.runs.values()
    try:
        if not any(other.speakers is not None and other.speakers.left for other in others):
            await context.downloads.release(SPEAKERS)
        if context.runs_of_model(run.job.model):
            return
        await context.downloads.release(run.job.model)
    except (sqlite3.Error, OSError, ServiceError):
        facts = {"action": "release_failed", "model": run.job.model}
        logger.exception("The end of a download could not be written.", extra=facts)
