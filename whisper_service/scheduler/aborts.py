"""End the work on a job that cannot go on: stop its actors, fail the job, or start it again.

An end that the store refuses to write (the disk may be full) is kept in `Context.unwritten` and written later.
All functions run on the scheduler's loop.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress

from whisper_service.core.domain import Problem
from whisper_service.core.errors import IllegalTransition, NotFound, ServiceError, StoreBusy
from whisper_service.models.speaker_networks import SPEAKERS
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Run
from whisper_service.supervision import faults

logger = logging.getLogger(__name__)


def stop_decoding(context: Context, run: Run | None) -> None:
    """Cancel the job on the actor that reads its recording."""
    if run is not None and run.media_actor is not None:
        context.live.cancel(run.job.id)
        context.media.cancel(run.media_actor, run.job.id)


def stop_work(context: Context, job_id: str) -> None:
    """Cancel the job on all actors. Call this before its files are deleted."""
    stop_decoding(context, context.ledger.runs.get(job_id))
    context.fleet.cancel(job_id)
    context.speakers.cancel(job_id)


async def fail(context: Context, job_id: str, problem: Problem) -> None:
    """Stop the work on the job and mark the job failed."""
    stop_work(context, job_id)
    await context.ledger.fail(job_id, problem)


async def fail_all(context: Context, model: str | None, problem: Problem) -> None:
    """Fail every job in work that uses this model. Jobs go on without the networks for speakers."""
    if model == SPEAKERS:
        do_without_speakers(context, problem)
    for run in context.runs_of_model(model):
        await fail(context, run.job.id, problem)


def do_without_speakers(context: Context, problem: Problem) -> None:
    """Let the jobs in work end without speakers if some of their chunks are not heard."""
    for run in context.ledger.runs.values():
        speakers = run.speakers
        if speakers is not None and speakers.left and (speakers.unheard or not run.has_all_text):
            speakers.problem = problem


async def give_up(context: Context, job_id: str, error: Exception) -> bool:
    """End a job whose change the store or the disk refused.

    The job fails with the cause. After `StoreBusy` it starts again instead. False: not even that could be written yet.
    """
    return await _end(context, job_id, None if isinstance(error, StoreBusy) else problem_of(error))


async def start_again(context: Context, job_id: str) -> bool:
    """Stop the work on the job and queue the job again. False: that could not be written yet."""
    return await _end(context, job_id, None)


async def write_pending(context: Context) -> None:
    """Write the ends that the store refused before. Raises what the store raises."""
    for job_id, problem in list(context.unwritten.items()):
        await _write(context, job_id, problem)


async def _end(context: Context, job_id: str, problem: Problem | None) -> bool:
    stop_work(context, job_id)
    if problem is not None:
        context.ledger.delete_spool(job_id)  # frees the room that writing the end may need
    context.unwritten[job_id] = problem
    try:
        await _write(context, job_id, problem)
    except (sqlite3.Error, OSError, ServiceError) as error:
        facts = {"action": "fail_failed", "job": job_id}
        logger.warning("The end of a job could not be written yet: %s", error, extra=facts)
        context.ledger.runs.pop(job_id, None)
        return False
    return True


async def _write(context: Context, job_id: str, problem: Problem | None) -> None:
    """Fail the job, or queue it again, unless it was deleted or has ended since."""
    with suppress(NotFound, IllegalTransition):
        if problem is None:
            await context.ledger.start_again(job_id)
        else:
            await context.ledger.fail(job_id, problem)
    context.unwritten.pop(job_id, None)


def problem_of(error: Exception) -> Problem:
    """Return what users are told about an error."""
    if isinstance(error, ServiceError):
        return error.problem
    return faults.classify(f"{type(error).__name__}: {error}").problem
