"""Carry out what concerns drafts of live sessions: commands to a speech actor, its answers, and its failures.

A draft is never tried again: the next one hears newer sound. Its failure costs no chunk and no job anything. All
functions run on the scheduler's loop.
"""

from __future__ import annotations

import logging
from typing import Final

from whisper_service.core.domain import Task
from whisper_service.core.drafts import DraftWord
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import TERMINAL
from whisper_service.scheduler import recovery
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.drafts import Sound
from whisper_service.scheduler.run import Run
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.scheduler.views import DraftsView, GiveDraft
from whisper_service.supervision.faults import Diagnosis, FaultKind
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.drafts import DraftDone, DraftRow, DraftSound
from whisper_service.supervision.messages.media import Followed, HeardAhead
from whisper_service.supervision.messages.speech import ChunkDone

logger = logging.getLogger(__name__)

WINDOW_S: Final = 30.0
"""Seconds of sound that count for the deadline of each draft: the widest window."""


def view(context: Context) -> DraftsView:
    """Return the drafts as the planner sees them."""
    if not context.drafts.feed.read:
        return DraftsView()
    seats = [seat.loaded for seat in context.fleet.seats]
    blind = {loaded.model for loaded in seats if loaded is not None and not loaded.aligns}  # they know no word's time

    def model_of(job_id: str) -> str | None:
        run = context.ledger.runs.get(job_id)
        heard = run is not None and run.job.growing and run.job.options.task is not Task.DETECT
        return run.job.model if run is not None and heard and run.job.model not in blind else None

    return context.drafts.view(model_of)


def give(context: Context, step: GiveDraft) -> None:
    """Send the newest sound of some sessions to the speech actor of a seat."""
    seat, drafts = context.fleet.seat(step.seat), context.drafts
    rows: list[DraftRow] = []
    sounds: dict[str, Sound] = {}
    for job_id in step.job_ids:
        run, session = context.ledger.runs.get(job_id), drafts.find(job_id)
        if run is None or session is None:
            continue
        options = run.job.options
        sound = session.sound(run.language, follow=options.language is None)
        if sound is None:
            continue
        sounds[job_id] = sound
        spool = str(context.data.spool_of(job_id))
        rows.append(
            DraftRow(
                job_id,
                spool,
                sound.start_sample,
                sound.samples,
                sound.prefix,
                sound.language,
                options.task,
                options.script,
            )
        )
    if not rows:
        return
    given = drafts.give(seat, sounds)
    within_s = seat.deadlines.limit_s(seat.model or "", seat.rung, WINDOW_S * len(rows))
    command = DraftSound(given.request, tuple(rows), step.express)
    seat.actor.send(command, generation=given.generation, within_s=within_s, key=given.key)


def take_done(context: Context, report: DraftDone) -> None:
    """Take in the words that were heard, and show them."""
    given = context.drafts.take_back(report.request)
    if given is None:
        return
    given.seat.actor.mark_useful(generation=given.generation)
    given.seat.actor.clear_deadline(given.key)
    found = {row.job_id: row for row in report.rows}
    context.drafts.fail(given.sounds.keys() - found.keys())
    for job_id, sound in given.sounds.items():
        session, row = context.drafts.find(job_id), found.get(job_id)
        if session is not None and row is not None:
            session.take(sound, row.words, row.language, context.drafts.interval_s)
            context.drafts.show(job_id)


def take_fault(context: Context, report: Fault) -> None:
    """Take in that a batch of drafts failed. After a fatal fault the death of the actor follows.

    Failures count as deaths do: drafts that fail again and again rest.
    """
    given = None if report.fatal else context.drafts.take_back(report.request)
    if given is not None:
        given.seat.actor.clear_deadline(given.key)
        context.drafts.fail(given.sounds)
        context.drafts.count_crash(given)
        facts = {"action": "draft_failed", "actor": given.seat.actor.name, "cause": report.problem.code}
        logger.warning("Drafts of live sessions failed: %s", report.problem.message, extra=facts)


def take_death(context: Context, seat: SpeechActor, generation: int, diagnosis: Diagnosis) -> None:
    """Take in that a speech actor died. Unless the cause is known, its chunks are not to blame beside drafts.

    After three deaths the drafts rest, so that a chunk which is the true cause is found. A lack of memory blames no
    chunk: the work goes on lighter.
    """
    given = context.drafts.given
    if given is None or given.seat is not seat or given.generation != generation:
        return
    context.drafts.take_back(given.request)
    context.drafts.fail(given.sounds)
    if diagnosis.kind in (FaultKind.KILLED, FaultKind.LOST) or seat.announced is not None:
        return
    blamed = context.drafts.count_crash(given)
    if blamed and diagnosis.kind not in recovery.LIGHTER and seat.view().busy:
        context.ledger.take_back(seat.on_died())


def take_followed(context: Context, run: Run, report: Followed | HeardAhead) -> None:
    """Take in how far a session was heard, and where people speak in it."""
    session = context.drafts.session(run.job.id)
    session.hear(report.position_s, report.speaking, report.speech)
    session.finish(run.final_s())
    context.drafts.show(run.job.id)


def take_text(context: Context, report: ChunkDone) -> None:
    """Take in the final text of a chunk, which replaces the draft of its place."""
    run = context.ledger.runs.get(report.job_id)
    if run is None or run.job.live is None:
        return
    session = context.drafts.session(report.job_id)
    words = [
        DraftWord(word.start, word.end, word.word)
        for segment in report.segments
        for word in segment.words or (DraftWord(segment.start, segment.end, " " + segment.text),)
    ]
    session.finish(run.final_s(), words)
    context.drafts.show(report.job_id)


def flush(context: Context, job_id: str) -> None:
    """Have all words of a session stable that were said until now."""
    if (session := context.drafts.find(job_id)) is not None:
        session.flush()


async def end_drafts(context: Context) -> None:
    """End the drafts of sessions that are over. One that is paused keeps its draft."""
    for job_id in [each for each in context.drafts.known if each not in context.ledger.runs]:
        try:
            over = (await context.store.job(job_id)).status in TERMINAL
        except NotFound:
            over = True
        if over:
            context.drafts.end(job_id)
