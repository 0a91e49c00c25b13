"""Take in what actors report, and their deaths. Each report ends in the ledger. Runs on the scheduler's loop."""

from __future__ import annotations

import logging
from typing import Final, assert_never

from whisper_service.scheduler import aborts, alignment_work, draft_work, execute, live_work, recovery, speakers_work
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.live_actor import LiveActor
from whisper_service.scheduler.media_actors import MediaActors
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.cluster import LinkClosed, Nodes, Opened, Passed
from whisper_service.supervision.messages.download import ConnectionTested, Downloaded, DownloadProgress
from whisper_service.supervision.messages.drafts import DraftDone
from whisper_service.supervision.messages.media import (
    ChunkFound,
    Decoded,
    DecodeProgress,
    Followed,
    HeardAhead,
    MediaInfo,
    SessionState,
)
from whisper_service.supervision.messages.sites import SiteFailed, SiteFetched, SiteFound, SiteProgress
from whisper_service.supervision.messages.speakers import Assigned, Heard, NetworksMade
from whisper_service.supervision.messages.speech import Aligned, BatchDone, ChunkDone, Loaded, ModelProgress
from whisper_service.supervision.supervisor import Died, Reported

logger = logging.getLogger(__name__)


GROUPED: Final = (ChunkFound, ChunkDone, BatchDone)
"""Reports that wait for others of their kind: what they tell of chunks is written in one transaction, which the caller
of `take_report` orders before anything else happens."""


async def take_report(context: Context, event: Reported) -> bool:
    """Take in a report of a living actor. Return whether there may be something to do then."""
    report, actor = event.report, event.actor
    if not isinstance(report, Ready) and event.generation != context.actor(actor).ready_generation:
        return True  # its death has been handled
    match report:
        case Ready():
            await _ready(context, actor, event.generation)
        case Loaded():
            if (seat := context.fleet.of(actor)) is not None:
                await _loaded(context, seat, report)
        case ModelProgress():
            if (seat := context.fleet.of(actor)) is not None:
                seat.on_model_progress(report)
        case ChunkDone():
            await context.ledger.finish_chunk(report)
            draft_work.take_text(context, report)
        case DraftDone():
            draft_work.take_done(context, report)
        case BatchDone():
            if (seat := context.fleet.of(actor)) is not None:
                await context.ledger.finish_batch(report.batch, seat.on_batch_done(report))
                await recovery.step_up(context, seat)
        case Aligned():
            alignment_work.take_aligned(context, report)
        case MediaInfo():
            if run := _run_at(context, actor, report.job_id):
                run.duration_s = report.duration_s
                tracks = report.tracks if len(report.tracks) > 1 else ()
                facts = {"duration_s": report.duration_s, "tracks": tracks, "channels": report.channels}
                await context.ledger.update(run, **facts)
                if report.channels:  # they are the speakers
                    run.speakers = None
        case ChunkFound():
            context.media.on_progress(actor, report.job_id)
            if run := _run_at(context, actor, report.job_id):
                context.ledger.add_chunk(run, report.span)
        case DecodeProgress():
            context.media.on_progress(actor, report.job_id)
            if run := _run_at(context, actor, report.job_id):
                run.decoded_s = max(run.decoded_s, report.position_s)
                if not run.waiting and not run.in_flight:  # silence: nothing else would move the progress
                    await context.ledger.update_progress(run)
        case Decoded():
            run = _run_at(context, actor, report.job_id)
            _reader(context, actor).on_end(actor, report.job_id)
            if run is not None:
                await context.ledger.finish_decoding(
                    run,
                    report.duration_s,
                    report.warnings,
                    playable=report.playable,
                    copy_bytes=report.copy_bytes,
                )
        case Followed():
            return await live_work.take_followed(context, report)
        case HeardAhead():
            return live_work.take_heard_ahead(context, report)
        case SessionState():
            await live_work.take_state(context, report)
            return False
        case Fault():
            await _fault(context, actor, event.generation, report)
        case DownloadProgress():
            await context.downloads.on_progress(report)
        case Downloaded():
            await context.downloads.on_downloaded(report)
        case ConnectionTested():
            context.hub_tests.on_tested(report)
        case SiteFound() | SiteProgress() | SiteFetched() | SiteFailed():
            pass  # `integrations.site_fetcher` listens to its actors itself
        case Nodes() | Opened() | Passed() | LinkClosed():
            pass  # whoever owns the gateway listens to it
        case NetworksMade():
            pass  # `app.made_networks` listens to its actor itself
        case Heard():
            await speakers_work.take_heard(context, report)
        case Assigned():
            await speakers_work.take_assigned(context, report)
        case _:
            assert_never(report)
    return True


async def take_death(context: Context, event: Died) -> None:
    """Give again what the dead actor had."""
    problem = event.diagnosis.problem
    context.actor(event.actor).ready_generation = 0
    if event.actor == context.downloads.actor.name:
        if (model := await context.downloads.on_died(problem)) is not None:
            await aborts.fail_all(context, model, context.models.problems[model])
    elif event.actor == context.hub_tests.actor.name:
        context.hub_tests.on_died(problem)
    elif event.actor == context.speakers.actor.name:
        await speakers_work.take_death(context, event.diagnosis)
    elif (seat := context.fleet.of(event.actor)) is not None:
        alignment_work.take_death(context, seat, event.generation, problem)
        draft_work.take_death(context, seat, event.generation, event.diagnosis)
        await recovery.speech_died(context, seat, event.diagnosis)
    elif event.actor == context.live.actor.name:
        await live_work.take_death(context, event.diagnosis)
    elif run := _run_at(context, event.actor, context.media.on_died(event.actor)):
        await recovery.media_died(context, run, event.diagnosis)


async def _ready(context: Context, name: str, generation: int) -> None:
    """Record that an actor takes commands. Nothing changes if the actor was ended before its report came."""
    actor, seat = context.actor(name), context.fleet.of(name)
    if generation <= actor.idle_generation:
        return
    actor.ready_generation = generation
    for part in (context.downloads, context.hub_tests):
        if actor is part.actor:
            part.on_ready()
    if seat is None:
        return
    seat.on_ready()
    if seat is context.fleet.first and not context.mailbox.closed:
        context.fleet.grow()
    if context.preload and not context.ledger.runs and seat.problem is None and not seat.device.out:
        await execute.load_default(context, seat)  # for a job in work, the planner names the model


async def _loaded(context: Context, seat: SpeechActor, report: Loaded) -> None:
    """Record that a model is loaded. Its jobs get a note when it computes in another type than configured."""
    seat.on_loaded(report)
    facts = {"action": "model_loaded", "model": report.model, "seconds": round(report.seconds, 2)}
    logger.info("%s is loaded on %s (%s).", report.model, report.device, report.compute_type, extra=facts)
    await context.models.clear(report.model)
    if (note := seat.device.converted(report)) is not None:
        for run in context.runs_of_model(report.model):
            if note.code not in {earlier.code for earlier in run.job.history}:
                await context.ledger.add_note(run, note)


async def _fault(context: Context, actor: str, generation: int, report: Fault) -> None:
    """Handle a failure in an actor. The actor lives on, or this is why it is about to exit."""
    seat = context.fleet.of(actor)
    match report.scope:
        case "model" if seat is not None:
            model = seat.loading
            if not await recovery.load_failed(context, seat, report):
                works_elsewhere = seat.far or model in context.fleet.models  # those files are on another machine
                if model is not None and report.problem.code == "model_broken" and not works_elsewhere:
                    await context.models.blame(model, report.problem, "broken")
            elif context.preload and not context.ledger.runs and not report.fatal and not seat.device.out:
                await execute.load_default(context, seat)
        case "download" if report.model is not None:
            await context.downloads.on_failed(report.model, report.problem)
            await aborts.fail_all(context, report.model, report.problem)
        case "batch" if report.batch is not None and report.index is not None and report.job_id is not None:
            await recovery.chunk_failed(context, report.job_id, report.index, report.batch, report)
        case "batch" if report.batch is not None and seat is not None:
            await recovery.batch_failed(context, seat, report.batch, report)
        case "draft":
            draft_work.take_fault(context, report)
        case "alignment":
            alignment_work.take_fault(context, report)
        case "speakers":
            await speakers_work.take_fault(context, report)
        case "media" if report.job_id is not None:
            run = _run_at(context, actor, report.job_id)
            _reader(context, actor).on_end(actor, report.job_id)
            if run is not None:
                facts = {"action": "decode_failed", "job": report.job_id, "actor": actor, "generation": generation}
                logger.warning("%s", report.problem.message, extra={**facts, "cause": report.problem.code})
                run.stop_decoding(report.problem)
        case _:
            logger.error("%s: %s", actor, report.problem.message, extra={"action": "actor_fault", "actor": actor})


def _reader(context: Context, actor: str) -> MediaActors | LiveActor:
    """Return the actors among which is the one of this name."""
    return context.live if actor == context.live.actor.name else context.media


def _run_at(context: Context, actor: str, job_id: str | None) -> Run | None:
    """Return the run of this job if this media actor decodes it now."""
    run = context.ledger.runs.get(job_id or "")
    return run if run is not None and run.media_actor == actor else None
