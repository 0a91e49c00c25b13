"""Decide what happens after a failure of an actor: try again, leave a chunk out, or work with less memory.

What a dead actor had is given again. A chunk that too many dying actors had is given up. After memory ran out, the work
goes on one rung lower (`core.fallback`). Every affected job gets a note in its history. All functions run on the
scheduler's loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from whisper_service.core import fallback
from whisper_service.core.domain import Problem
from whisper_service.core.fallback import Adjustment
from whisper_service.core.timecode import hms, milliseconds
from whisper_service.scheduler import aborts
from whisper_service.scheduler.batches import GIVE_UP_AFTER_KILLS
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.scheduler.views import ChunkKey
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.messages.base import Fault

logger = logging.getLogger(__name__)

MEDIA_TRIES: Final = 3
"""A recording fails after so many deaths of media actors at the same place, or losses of its spool."""
LIGHTER: Final = (FaultKind.OOM, FaultKind.CUDA)
"""After these the work goes on one rung lower. A GPU that is short of memory does not always report it as such."""
UNUSABLE: Final = (FaultKind.LIBRARY_MISSING, FaultKind.DEVICE_UNUSABLE)
"""After these the work goes on without the GPU."""
BLAMELESS: Final = (FaultKind.OOM, *UNUSABLE)
"""These do not count against a chunk while there is a lighter way to work."""
NOBODYS_FAULT: Final = (FaultKind.LOST,)
"""These never count against a chunk: the machine went, whatever its actor did."""

OTHERS_GO_ON: Final = Adjustment("device_out", "The service continues with the other devices.")
CHUNK_RETRIED: Final = Adjustment("chunk_retried", "This part is tried again.")
CHUNK_LEFT_OUT: Final = Adjustment("chunk_left_out", "This part is left out.")
DECODED_AGAIN: Final = Adjustment("decoded_again", "The recording is read again from its beginning.")


async def load_failed(context: Context, speech: SpeechActor, report: Fault) -> bool:
    """Go on after a model could not be loaded on a seat. False: it cannot be loaded on any rung."""
    model, adjustment = speech.loading, _adjust(speech, report.kind, report.problem)
    if report.fatal:
        speech.announced = report
    speech.on_load_failed(None if adjustment else report.problem)
    await _save_fallback(context, speech, model, adjustment)
    for_now = speech.far or model in context.fleet.models or report.kind in (*LIGHTER, *UNUSABLE)
    if adjustment is None and model is not None and for_now:
        speech.block(model, report.problem)  # the jobs wait, or other seats do them: they are not to blame
        return False
    if adjustment is None:
        await aborts.fail_all(context, model, report.problem)
        return False
    await _add_notes(context, context.runs_of_model(model), report.problem, adjustment)
    return True


async def chunk_failed(context: Context, job_id: str, index: int, batch: int, report: Fault) -> None:
    """Give up one chunk of a batch. If its samples are missing, decode the recording again instead."""
    run = context.ledger.runs.get(job_id)
    if run is None or not run.waits_for(index, batch):
        return
    if report.kind != FaultKind.MEDIA:
        await context.ledger.give_up_chunk(run, run.in_flight[index], report.problem)
    elif run.lose_spool(index, batch):
        facts = {"action": "spool_lost", "job": job_id}
        logger.warning("The spool of a job is lost: %s", report.problem.message, extra=facts)
        aborts.stop_decoding(context, run)
        run.restart_decoding()
        if run.spool_losses >= MEDIA_TRIES:
            run.stop_decoding(report.problem)


async def batch_failed(context: Context, speech: SpeechActor, batch: int, report: Fault) -> None:
    """Queue all chunks of a failed batch again. The actor lives on, unless the report is `fatal`."""
    model, adjustment = speech.model, _adjust(speech, report.kind, report.problem)
    chunks = {batch: speech.end_batch(batch)}
    if report.fatal:
        speech.announced, speech.announced_to = report, set()
    affected = await _give_back(context, speech, chunks, report.kind, report.problem, adjustment)
    if report.fatal:
        speech.announced_to = affected
    await _save_fallback(context, speech, model, adjustment)


async def speech_died(context: Context, speech: SpeechActor, diagnosis: Diagnosis) -> None:
    """Queue all chunks of a dead speech actor again. What other seats have is not touched.

    If the actor reported the cause before, that report has been handled, and only the other batches are left.
    """
    adjustment = None
    announced, loading = speech.announced, speech.loading
    model = loading or speech.model
    kind, problem = (diagnosis.kind, diagnosis.problem) if announced is None else (announced.kind, announced.problem)
    if announced is None:
        speech.announced_to = set()
        adjustment = _adjust(speech, kind, problem)
    if kind == FaultKind.HUNG:
        speech.deadlines.extend()
    batches = speech.on_died()
    if kind not in NOBODYS_FAULT and not any(
        context.fleet.works(seat) for seat in context.fleet.seats if seat is not speech
    ):
        for run in context.ledger.runs.values():
            run.start_small()
    await _give_back(context, speech, batches, kind, problem, adjustment, announced=announced is not None)
    await _save_fallback(context, speech, model, adjustment)
    if adjustment is not None and loading is not None:
        await _add_notes(context, context.runs_of_model(loading), problem, adjustment)


async def media_died(context: Context, run: Run, diagnosis: Diagnosis) -> None:
    """Decode the recording again, or fail it after too many deaths at the same place."""
    problem = diagnosis.problem
    if diagnosis.kind in NOBODYS_FAULT:
        run.lose_decode()
        await _add_notes(context, [run], problem, DECODED_AGAIN)
        return
    run.count_media_death(killed=diagnosis.kind is FaultKind.KILLED)
    if run.media_deaths >= MEDIA_TRIES or run.media_kills >= GIVE_UP_AFTER_KILLS:
        message = f"The recording cannot be read beyond {run.decoded_s:.0f} s: {problem.message}"
        hint = "The file may be damaged. Convert it with another program and send it again."
        run.stop_decoding(Problem("decode_failed", message, hint, {"position_s": run.decoded_s, **problem.params}))
    else:
        await _add_notes(context, [run], problem, DECODED_AGAIN)


async def step_up(context: Context, speech: SpeechActor) -> None:
    """Work one rung higher on a seat after a stretch of successful batches."""
    before, model = speech.rung, speech.model
    if model is None or not speech.step_up(time.time()):
        return
    adjustment = fallback.describe_change(before, speech.rung)
    await _save_fallback(context, speech, model, adjustment)
    if speech.rung != before:
        logger.info("%s", adjustment.sentence, extra={"action": "climbed", "model": model})
        message = f"The work went well for a while. {adjustment.sentence}"
        for run in context.runs_of_model(model):
            await context.ledger.add_note(run, Problem("recovered", message, params={"change": adjustment.params}))


def _adjust(speech: SpeechActor, kind: str, problem: Problem) -> Adjustment | None:
    """Switch to a lighter way to work, if that can help. None: nothing was changed.

    The caller stores the change after it has queued the chunks again, which must not depend on the store.
    """
    before, model = speech.rung, speech.loading or speech.model
    if model is None or speech.announced is not None:
        return None
    left = kind in UNUSABLE and speech.leave_device(problem)
    if not left and not (kind in LIGHTER and speech.step_down(problem, time.time())):
        return None
    adjustment = OTHERS_GO_ON if speech.device.out else fallback.describe_change(before, speech.rung)
    facts = {"action": "stepped_down", "model": model, "cause": kind, "actor": speech.actor.name}
    logger.warning("%s %s", problem.message, adjustment.sentence, extra=facts)
    return adjustment


async def _save_fallback(
    context: Context, speech: SpeechActor, model: str | None, adjustment: Adjustment | None
) -> None:
    """Store the rung for the next actor and the next start of the service."""
    if model is not None and adjustment is not None:
        device = speech.device
        await context.store.service_state.set_fallback(device.fallback_key, model, device.fallback)


async def _give_back(
    context: Context,
    speech: SpeechActor,
    batches: Mapping[int, Sequence[ChunkKey]],
    kind: str,
    problem: Problem,
    adjustment: Adjustment | None,
    *,
    announced: bool = False,
) -> set[str]:
    """Queue the chunks of failed batches again, and add a note to their jobs. Return the ids of these jobs."""
    ledger = context.ledger
    gaps = {job_id: len(run.gaps) for job_id, run in ledger.runs_in(batches).items()}
    if kind in NOBODYS_FAULT or (kind in BLAMELESS and (announced or adjustment is not None)):
        ledger.take_back(batches)
    else:
        await ledger.count_failure(batches, problem, killed=kind == FaultKind.KILLED)
    for job_id, before in gaps.items():
        run = ledger.runs[job_id]
        if job_id not in speech.announced_to or not announced:
            of_chunk = CHUNK_LEFT_OUT if len(run.gaps) > before else CHUNK_RETRIED
            await _add_notes(context, [run], problem, adjustment or of_chunk)
    return set(gaps)


async def _add_notes(context: Context, runs: Iterable[Run], problem: Problem, adjustment: Adjustment) -> None:
    """Add to the history of jobs where it happened, why, and what was changed."""
    for run in runs:
        at = run.position_s()
        message = f"At {hms(milliseconds(at))}: {problem.message} {adjustment.sentence}"
        params = {"position_s": round(at, 3), **problem.params, "change": adjustment.params}
        await context.ledger.add_note(run, Problem(problem.code, message, params=params))
