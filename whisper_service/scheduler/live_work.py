"""Take in what the live actor reports of sessions, and its deaths. Runs on the scheduler's loop."""

from __future__ import annotations

import time
from contextlib import suppress

from msgspec.structs import replace

from whisper_service.core.domain import SAMPLE_RATE, Span
from whisper_service.core.errors import DiskFull
from whisper_service.scheduler import draft_work, recovery
from whisper_service.scheduler.context import Context
from whisper_service.supervision.faults import Diagnosis
from whisper_service.supervision.messages.media import Followed, HeardAhead, SessionState


async def take_followed(context: Context, report: Followed) -> bool:
    """Record how far a session was taken in, and tell clients of it now and then.

    Return whether there may be something to do then: a report comes for every piece of sound, and few need a plan.
    """
    context.live.on_followed(report)
    run = context.ledger.runs.get(report.job_id)
    if run is None or run.job.live is None or not context.live.follows(report.job_id):
        return False
    unspooled = len(run.unspooled)
    run.spool_reaches(Span(0, 0, round(report.position_s * SAMPLE_RATE), 0.0, report.position_s))
    draft_work.take_followed(context, run, report)
    if report.sound_bytes > run.job.live.received_bytes and context.live.is_time_to_tell(report.job_id):
        live = replace(run.job.live, received_bytes=report.sound_bytes, heard_at=round(time.time(), 3))
        await context.ledger.update_progress(run, live=live)
    return len(run.unspooled) < unspooled or run.speakers is not None or context.drafts.may_be_due(report.job_id)


def take_heard_ahead(context: Context, report: HeardAhead) -> bool:
    """Draft what was heard of the newest sound. No chunk is ready by it. Return as `take_followed`."""
    run = context.ledger.runs.get(report.job_id)
    if run is None or not context.live.follows(report.job_id):
        return False
    draft_work.take_followed(context, run, report)
    return context.drafts.may_be_due(report.job_id)


async def take_state(context: Context, report: SessionState) -> None:
    """Store where the session can be followed again. Its chunks up to there are stored: they were reported before."""
    run = context.ledger.runs.get(report.job_id)
    if run is not None and run.media_actor == context.live.actor.name:
        with suppress(DiskFull):  # an older state is as good: then more of the sound is read again after a death
            await context.store.set_session_state(report.job_id, report.state)


async def take_death(context: Context, diagnosis: Diagnosis) -> None:
    """Follow again what the dead actor followed."""
    for job_id in context.live.on_died():
        run = context.ledger.runs.get(job_id)
        if run is not None and run.media_actor == context.live.actor.name:
            await recovery.media_died(context, run, diagnosis)
