"""Carry out the steps of a plan: rows in the ledger and commands to the actors. Runs on the scheduler's loop."""

from __future__ import annotations

import time
from functools import partial
from typing import assert_never

from anyio import to_thread

from whisper_service.core.errors import ServiceError, StoreBusy
from whisper_service.models.catalog import AUTO
from whisper_service.scheduler import model_actions, planner
from whisper_service.scheduler.aborts import fail, fail_all, problem_of
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.run import Decoding, Run
from whisper_service.supervision.protocol import ChunkInput


async def carry_out(context: Context, step: planner.Step) -> bool:
    """Carry out one step. True: the plan has to be made again. Raises what the store and the disk raise."""
    runs = context.ledger.runs
    match step:
        case planner.ClaimJob(job_id):
            await _claim(context, job_id)
            return True
        case planner.StartDecode(job_id, actor):
            if job_id in runs and context.media.start(job_id, actor, limit_s=runs[job_id].limit_s):
                runs[job_id].decoding, runs[job_id].worker = Decoding.RUNNING, actor
        case planner.LoadModel(model):
            await _load(context, model)
        case planner.UnloadModel():
            await model_actions.unload_idle(context)
        case planner.GiveBatch():
            _give(context, step)
        case planner.FinishJob(job_id):
            await context.ledger.finish(runs[job_id])
            return True
        case _:
            assert_never(step)
    return False


async def choose_model(context: Context, run: Run) -> None:
    """Choose the model of a job that was claimed before the device was known."""
    try:
        model = await _obtain(context, run.job.options.model)
    except StoreBusy:  # says nothing about the model
        raise
    except (ServiceError, OSError) as error:
        await fail(context, run.job.id, problem_of(error))
        return
    await context.ledger.update(run, model=model)


async def load_default(context: Context) -> None:
    """Load the model of jobs that name none, before there is any job."""
    catalog, device = context.models.catalog, context.speech.device or "cpu"
    try:
        await _load(context, await to_thread.run_sync(partial(catalog.resolve, AUTO, device=device)))
    except (ServiceError, OSError) as error:
        context.speech.problem = problem_of(error)


async def _claim(context: Context, job_id: str) -> None:
    """Take the job into work, or fail it when its model cannot be had."""
    job = await context.store.job(job_id)
    try:
        model = await _obtain(context, job.options.model)
    except StoreBusy:
        raise
    except (ServiceError, OSError) as error:
        await context.ledger.fail(job_id, problem_of(error))
        return
    undecided = context.speech.device is None and context.models.catalog.depends_on_device(job.options.model)
    await context.ledger.claim(job, None if undecided else model)
    context.speech.actor.start()


async def _obtain(context: Context, wanted: str) -> str:
    """Return the name of the model that a job wants. Start its download if it is not on this machine."""
    catalog, device = context.models.catalog, context.speech.device or "cpu"
    name = await to_thread.run_sync(partial(catalog.name_of, wanted, device=device))
    if not await to_thread.run_sync(catalog.has, name):
        await context.downloads.want(name)
    return name


async def _load(context: Context, model: str) -> None:
    speech = context.speech
    try:
        located = await to_thread.run_sync(context.models.catalog.locate, model)
        await to_thread.run_sync(context.models.check_size, model)
    except (ServiceError, OSError) as error:
        speech.problem = problem_of(error)
        await fail_all(context, model, speech.problem)
        return
    fallback = await context.store.service_state.fallback(speech.device or "cpu", model)
    speech.load(model, located.path, fallback, await context.models.chunks_on_gpu(model))


def _give(context: Context, batch: planner.GiveBatch) -> None:
    """Send a batch to the speech actor."""
    now, number = time.monotonic(), context.speech.next_batch()
    inputs: list[ChunkInput] = []
    for job_id, index in batch.rows:
        run = context.ledger.runs[job_id]
        chunk = run.give(index, number, now)
        inputs.append(
            ChunkInput(
                job_id=job_id,
                span=chunk.span,
                spool=str(context.data.spool_of(job_id)),
                language=run.language,
                task=run.job.options.task,
                word_timestamps=run.job.options.word_timestamps,
                script=run.job.options.script,
            )
        )
    options = context.ledger.runs[batch.rows[0][0]].job.options
    kind = {"suspect": batch.suspect, "urgent": batch.urgent, "express": batch.express}
    context.speech.give(number, batch.rows, inputs, preset=options.preset.value, prompt=options.prompt, **kind)
