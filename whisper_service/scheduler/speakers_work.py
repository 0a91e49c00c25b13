"""Carry out what concerns speakers: commands to their actor, what it reports, its failures, and other counts.

Nothing of this delays, repeats or fails the recognition of text. Where speakers cannot be told apart, the job ends
without them and says why. All functions but `recount` run on the scheduler's loop.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Final

from anyio import to_thread

from whisper_service.core.domain import Problem
from whisper_service.core.errors import Conflict, NotFound, ServiceError, StoreBusy
from whisper_service.core.job_states import TERMINAL
from whisper_service.core.speaker_count import Wanted
from whisper_service.models.speaker_networks import SPEAKERS, missing_networks
from whisper_service.scheduler.aborts import do_without_speakers, problem_of, stop_decoding
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.run_speakers import SPOOL_TRIES
from whisper_service.scheduler.speakers_actor import Recount, Work
from whisper_service.scheduler.views import Decoding
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speakers import Assigned, Heard

logger = logging.getLogger(__name__)

RETRY: Final = "Then retry the job: its text stays, and only its speakers are found."
NO_VOICES: Final = Problem(
    "no_voices",
    "The voices of this recording are not stored.",
    "Transcribe the recording again, with speakers.",
)
"""Why there is no other count of speakers."""
NOT_RUNNING: Final = Problem("unknown", "The process for speakers does not run.")


# -- commands --------------------------------------------------------------------------------------------------------


async def obtain_networks(context: Context, run: Run) -> None:
    """Start the download of the networks if a job needs them and they are not on this machine."""
    if run.speakers is None or not await to_thread.run_sync(missing_networks, context.speakers.networks):
        return
    try:
        await context.downloads.start(SPEAKERS)
    except StoreBusy:  # says nothing about the networks
        raise
    except (ServiceError, OSError) as error:
        run.speakers.problem = problem_of(error)


async def hear(context: Context, run: Run, index: int) -> None:
    """Send a chunk to the actor. Does nothing while the actor is starting."""
    if run.speakers is None or not context.speakers.is_ready():
        return
    job_id = run.job.id
    segments = await context.store.segments(job_id, first=index, before=index + 1)
    span, spool = run.speakers.ready[index], context.data.spool_of(job_id)
    run.speakers.give(index, context.speakers.hear(job_id, run.speakers.wanted, span, spool, segments))


async def name(context: Context, job_id: str) -> bool:
    """Send the voices of a job to the actor. True: it has no voices, so that the plan has to be made again."""
    actor, run = context.speakers, context.ledger.runs.get(job_id)
    if not actor.may_start():
        return False
    voices = await context.store.speakers.voices(job_id)
    if not voices:
        actor.end_recount(job_id, NO_VOICES)
        if run is not None and run.speakers is not None:
            run.speakers.named = True
        return True
    if not actor.is_ready():
        return False
    if (recount := actor.recounts.get(job_id)) is not None:
        actor.name(job_id, recount.wanted, voices)
    elif run is not None and run.speakers is not None:
        run.speakers.last_command = actor.name(job_id, run.speakers.wanted, voices)
    return False


async def tell_what_is_missing(context: Context, run: Run) -> None:
    """Add a note to a job that ends without its speakers, or with some of its text without a speaker of its own."""
    speakers, actor = run.speakers, context.speakers.actor
    if speakers is None or not await context.store.has_segments(run.job.id):
        return
    problem = speakers.problem or (actor.problem or NOT_RUNNING if speakers.left else None)
    if problem is not None:
        message = f"The speakers could not be told apart: {problem.message} {problem.hint} {RETRY}"
        params = {"cause": problem.code, **problem.params}
        note = Problem("speakers_unavailable", " ".join(message.split()), params=params)
        await context.ledger.note_unavailable(run, note)
    elif speakers.unheard and run.decode_problem is not None:
        await context.ledger.note_unheard(run, speakers.unheard[0], run.decode_problem)


# -- reports ---------------------------------------------------------------------------------------------------------


async def take_heard(context: Context, report: Heard) -> None:
    """Store the voices of a chunk, whether its job is in work or paused."""
    context.speakers.on_heard(report)
    run = context.ledger.runs.get(report.job_id)
    try:
        await context.ledger.store_voices(report.job_id, report.index, report.voices)
        if SPEAKERS in context.models.problems:
            await context.models.clear(SPEAKERS)
    except NotFound:  # the job was deleted meanwhile
        pass
    except (sqlite3.Error, OSError, ServiceError) as error:
        _do_without(run, error)


async def take_assigned(context: Context, report: Assigned) -> None:
    """Store the speakers of a job."""
    if (work := context.speakers.on_assigned(report)) is None:
        return
    run, problem = context.ledger.runs.get(report.job_id), None
    try:
        await context.ledger.store_speakers(report, work.wanted)
    except (sqlite3.Error, OSError, ServiceError) as error:
        problem = problem_of(error)
        _do_without(run, error)
    if work.recount:
        context.speakers.end_recount(work.job_id, problem)


async def take_fault(context: Context, report: Fault) -> None:
    """Handle a command that failed. The actor lives on."""
    if (work := context.speakers.on_fault(report)) is None:
        return
    facts = {"action": "speakers_failed", "job": work.job_id, "chunk": work.index, "cause": report.problem.code}
    logger.warning("%s", report.problem.message, extra=facts)
    if work.index is None:  # the naming needs neither networks nor samples
        await _count_failure(context, work, report.problem)
    elif report.kind == FaultKind.MODEL_UNAVAILABLE:
        await _networks_are_gone(context, work, report.problem)
    elif report.kind == FaultKind.MODEL_BROKEN:
        await context.models.blame(SPEAKERS, report.problem, "broken")
        _take_back(context, work)
        do_without_speakers(context, report.problem)
    elif report.kind == FaultKind.MEDIA:
        await _samples_are_gone(context, work, report.problem)
    else:
        await _count_failure(context, work, report.problem)


async def take_death(context: Context, diagnosis: Diagnosis) -> None:
    """Give again what the dead actor had, unless that killed it too often."""
    if (work := context.speakers.on_died()) is not None:
        await _count_failure(context, work, diagnosis.problem, killed=diagnosis.kind is FaultKind.KILLED)
    if context.speakers.is_broken:
        context.speakers.end_recounts(diagnosis.problem)


async def _count_failure(context: Context, work: Work, problem: Problem, *, killed: bool = False) -> None:
    run = context.ledger.runs.get(work.job_id)
    if work.recount:
        recount = context.speakers.recounts.get(work.job_id)
        if recount is not None and recount.failures.count(killed=killed):
            context.speakers.end_recount(work.job_id, problem)
    elif run is not None and run.speakers is not None:
        if work.index is None:
            if run.speakers.naming.count(killed=killed):
                run.speakers.problem = problem
        elif run.speakers.count_failure(work.index, killed=killed):
            await _give_up(context, run, work.index, problem)


async def _networks_are_gone(context: Context, work: Work, problem: Problem) -> None:
    """Fetch the networks that were deleted while the service runs, once for each job."""
    _take_back(context, work)
    run = context.ledger.runs.get(work.job_id)
    if run is None or run.speakers is None:
        return
    if run.speakers.fetched:
        do_without_speakers(context, problem)
    else:
        run.speakers.fetched = True
        await obtain_networks(context, run)


async def _samples_are_gone(context: Context, work: Work, problem: Problem) -> None:
    """Read the recording again for its speakers, as often as `SPOOL_TRIES` says."""
    run = context.ledger.runs.get(work.job_id)
    if run is None or run.speakers is None or work.index is None:
        return
    run.speakers.take_back()
    run.speakers.spool_losses += 1
    if run.speakers.spool_losses > SPOOL_TRIES:
        for index in run.speakers.unheard:
            await _give_up(context, run, index, problem)
        return
    run.speakers.lose_spool()
    if run.decoding is Decoding.DONE:
        stop_decoding(context, run)
        run.restart_decoding()


async def _give_up(context: Context, run: Run, index: int, problem: Problem) -> None:
    try:
        await context.ledger.give_up_voices(run, index, problem)
    except (sqlite3.Error, OSError, ServiceError) as error:
        _do_without(run, error)


def _take_back(context: Context, work: Work) -> None:
    run = context.ledger.runs.get(work.job_id)
    if run is not None and run.speakers is not None:
        run.speakers.take_back()


def _do_without(run: Run | None, error: Exception) -> None:
    """Let a job end without speakers: what belongs to them could not be stored."""
    facts = {"action": "speakers_not_stored", "job": run.job.id if run else None}
    logger.warning("What belongs to the speakers could not be stored: %s", error, extra=facts)
    if run is not None and run.speakers is not None:
        run.speakers.take_back()
        run.speakers.problem = problem_of(error)


# -- another count ---------------------------------------------------------------------------------------------------


async def recount(context: Context, job_id: str, wanted: Wanted) -> None:
    """Count the speakers of a job that has ended anew, from its stored voices. Returns once the result is stored.

    Called by clients, outside of the loop. Raises `NotFound`, and `Conflict` for a job in work, for one without voices,
    or when the actor fails.
    """
    begun = time.monotonic()
    asked = await context.ask(_begin_recount, job_id, wanted)
    await asked.done.wait()
    if (problem := asked.problem) is not None:
        raise Conflict(problem.message, hint=problem.hint, cause=problem.code, id=job_id)
    facts = {"action": "speakers_counted", "job": job_id, "seconds": round(time.monotonic() - begun, 2)}
    logger.info("The speakers of a job were counted anew.", extra=facts)


async def _begin_recount(context: Context, job_id: str, wanted: Wanted) -> Recount:
    job, actor = await context.store.job(job_id), context.speakers
    if job.status not in TERMINAL:
        hint = "Wait until the job has ended, or cancel it."
        raise Conflict("The speakers of a job in work cannot be counted anew.", hint=hint, id=job_id)
    actor.end_recount(job_id, Problem("replaced", "Another count of the speakers was asked for.", "Nothing is lost."))
    actor.cancel(job_id)  # a count for the request before
    actor.reset()
    asked = actor.recounts[job_id] = Recount(job_id, wanted)
    return asked
