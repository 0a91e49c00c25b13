"""Carry out the steps of a plan: changes in the ledger, commands to the actors. Runs on the scheduler's loop."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import assert_never

from anyio import to_thread

from whisper_service.core.domain import Job, Problem
from whisper_service.core.errors import ModelTooBig, ServiceError, StoreBusy
from whisper_service.models.catalog import AUTO
from whisper_service.scheduler import draft_work, model_actions, recording_work, speakers_work, views
from whisper_service.scheduler.aborts import fail, fail_all, problem_of
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.messages.speech import ChunkInput

logger = logging.getLogger(__name__)


async def carry_out(context: Context, step: views.Step) -> bool:
    """Carry out one step. True: the plan has to be made again. Raises what the store and the disk raise."""
    runs = context.ledger.runs
    match step:
        case views.ClaimJob(job_id):
            await _claim(context, job_id)
            return True
        case views.StartDecode(job_id, actor):
            run = runs.get(job_id)
            if run is not None and not await recording_work.bring(context, job_id):
                return True
            if run is not None and context.media.start(run.job, actor, limit_s=run.limit_s):
                run.decoding, run.media_actor = views.Decoding.RUNNING, actor
        case views.FollowSession(job_id):
            run = runs.get(job_id)
            if run is not None and not await recording_work.bring(context, job_id):
                return True
            if run is not None and context.live.follow(run.job, await context.store.session_state(job_id)):
                run.decoding, run.media_actor = views.Decoding.RUNNING, context.live.actor.name
        case views.LoadModel(model, seat):
            await _load(context, context.fleet.seat(seat), model)
        case views.UnloadModel(seat):
            await model_actions.unload_idle(context, context.fleet.seat(seat))
        case views.GiveBatch():
            _give(context, step)
        case views.GiveDraft():
            draft_work.give(context, step)
        case views.HearChunk(job_id, index):
            await speakers_work.hear(context, runs[job_id], index)
        case views.AssignSpeakers(job_id):
            return await speakers_work.name(context, job_id)
        case views.RestSpeakers():
            context.speakers.rest()
        case views.FinishJob(job_id):
            await speakers_work.tell_what_is_missing(context, runs[job_id])
            await context.ledger.finish(runs[job_id])
            if len(context.fleet.seats) > 1:  # a late batch may still have chunks that another seat has done
                context.fleet.cancel(job_id)
            return True
        case _:
            assert_never(step)
    return False


async def choose_model(context: Context, run: Run) -> None:
    """Choose the model of a job that was claimed before the device was known."""
    if (model := await _obtain(context, run.job)) is not None:
        await context.ledger.update(run, model=model)


async def load_default(context: Context, seat: SpeechActor) -> None:
    """Load the model of jobs that name none, before there is any job. The CPU beside GPUs waits until it is needed."""
    device = context.fleet.main.device.name_or_cpu
    if seat.device.name_or_cpu == "cpu" != device:
        return
    resolve = partial(context.models.catalog.resolve, AUTO, device=device)
    try:
        await _load(context, seat, await to_thread.run_sync(resolve))
    except (ServiceError, OSError) as error:
        seat.problem = problem_of(error)


async def _claim(context: Context, job_id: str) -> None:
    """Take the job into work, or fail it when neither this machine nor a hub has its model."""
    job = await context.store.job(job_id)
    if (model := await _obtain(context, job)) is None:
        return
    undecided = context.fleet.main.device.name is None and context.models.catalog.depends_on_device(job.options.model)
    run = await context.ledger.claim(job, None if undecided else model)
    await speakers_work.obtain_networks(context, run)
    context.fleet.start()


async def _obtain(context: Context, job: Job) -> str | None:
    """Return the name of the model of a job. Start its download if it is not on this machine. None: the job failed."""
    catalog, device = context.models.catalog, context.fleet.main.device.name_or_cpu
    try:
        name = await to_thread.run_sync(partial(catalog.name_of, job.options.model, device=device))
        if not await to_thread.run_sync(catalog.has, name):
            await context.downloads.start(name)
        return name
    except StoreBusy:  # says nothing about the model
        raise
    except (ServiceError, OSError) as error:
        await fail(context, job.id, problem_of(error))
        return None


async def _load(context: Context, seat: SpeechActor, model: str) -> None:
    """Load a model. Its jobs fail if its files are not complete, or if it is too big for every seat."""
    try:
        located = await to_thread.run_sync(context.models.catalog.locate, model)
        far_bytes = int(seat.actor.facts.get("memory_bytes") or 0) if seat.far else None
        await to_thread.run_sync(context.models.check_size, model, seat.device, far_bytes)
    except ModelTooBig as error:
        if context.fleet.others_can(seat, model):
            seat.block(model, error.problem)
            return
        await _cannot_load(context, seat, model, error.problem)
        return
    except (ServiceError, OSError) as error:
        await _cannot_load(context, seat, model, problem_of(error))
        return
    fallback = await context.store.service_state.fallback(seat.device.fallback_key, model)
    seat.load(model, located.path, fallback, await context.models.chunks_on_gpu(model, seat.device))


async def _cannot_load(context: Context, seat: SpeechActor, model: str, problem: Problem) -> None:
    seat.problem = problem
    await fail_all(context, model, problem)


def _give(context: Context, batch: views.GiveBatch) -> None:
    """Send a batch to the speech actor of its seat. A second try has only chunks that are still in flight."""
    now, number = time.monotonic(), context.fleet.next_batch()
    if batch.instead_of:
        context.fleet.mark_tried_again(batch.instead_of)
        facts = {"action": "second_try", "batch": number, "instead_of": batch.instead_of, "actor": batch.seat}
        logger.info("A batch takes long and is given to a second device.", extra=facts)
    inputs: list[ChunkInput] = []
    for job_id, index in batch.chunks:
        run = context.ledger.runs[job_id]
        chunk = run.give_again(index, number) if batch.instead_of else run.give(index, number, now)
        channels = run.job.channels
        inputs.append(
            ChunkInput(
                job_id=job_id,
                span=chunk.span,
                spool=str(context.data.channels_of(job_id) if channels else context.data.spool_of(job_id)),
                language=run.language,
                follow=run.job.options.language is None,
                task=run.job.options.task,
                word_timestamps=run.job.options.word_timestamps,
                script=run.job.options.script,
                channels=channels,
            )
        )
    first = context.ledger.runs[batch.chunks[0][0]]
    seat = context.fleet.seat(batch.seat)
    seat.give(number, batch, inputs, preset=first.job.options.preset.value, prompt=first.prompt)
