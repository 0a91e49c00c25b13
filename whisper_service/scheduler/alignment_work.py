"""Carry out what concerns the alignment of edited words: commands to a speech actor, its answers, and its failures.

An alignment is given only while no job waits or is in work, and only to a model that is loaded. Its failure costs no
job anything. `app.word_aligner` decides what is aligned and waits for the answer. All functions run on the scheduler's
loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from whisper_service.core.domain import Problem
from whisper_service.scheduler.alignment_actor import AskedAlignment
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.speech_actor import SpeechActor
from whisper_service.supervision.messages.base import Fault
from whisper_service.supervision.messages.speech import Align, Aligned

LIMIT_S: Final = 300.0
"""Seconds for one alignment. It takes a slot some seconds, with the largest model on a slow CPU a minute."""
NO_MODEL: Final = Problem(
    "alignment_no_model", "No model is loaded.", "The times of the words follow when a recording has been transcribed."
)
UNSUITABLE: Final = Problem(
    "alignment_unsuitable",
    "The loaded model cannot tell when these words are said.",
    "The times of the words follow when a model for this language is loaded.",
)


async def is_idle(context: Context) -> bool:
    """Return whether no job waits or is in work, and no speech actor has anything to do."""
    jobs = context.ledger.runs or await context.ledger.queue()
    return not jobs and not any(seat.loading is not None or seat.view().busy for seat in context.fleet.seats)


def obstacle(context: Context, language: str | None) -> Problem | None:
    """Return why words of a language cannot be aligned for now. None: they can be. `language` None: unknown."""
    if _seat_for(context, language) is not None:
        return None
    return UNSUITABLE if context.fleet.models else NO_MODEL


async def ask(context: Context, make: Callable[[int], Align]) -> AskedAlignment | None:
    """Send an alignment to a speech actor; `make` gets its number. None: something else comes first.

    The caller waits for `done` outside of the loop.
    """
    alignment = context.alignment
    if alignment.asked is not None and not await is_lost(context, alignment.asked):
        return None
    command = make(alignment.next_request())
    seat = _seat_for(context, command.language)
    if seat is None or not await is_idle(context):
        return None
    asked = alignment.asked = AskedAlignment(command, seat, seat.actor.ready_generation)
    seat.actor.send(command, generation=asked.generation, within_s=LIMIT_S, key=asked.key)
    return asked


async def is_lost(context: Context, asked: AskedAlignment) -> bool:
    """Return whether the actor that has an alignment was ended, so that no answer comes."""
    return asked.seat.actor.ready_generation != asked.generation


def take_aligned(context: Context, report: Aligned) -> None:
    """Take in an answer."""
    asked = context.alignment.asked
    if asked is not None and context.alignment.has(report.request):
        asked.seat.actor.mark_useful(generation=asked.generation)
        asked.seat.actor.clear_deadline(asked.key)
        context.alignment.end(report.words)


def take_fault(context: Context, report: Fault) -> None:
    """Take in that an alignment failed. After a fatal fault the death of the actor follows, which ends it."""
    asked = context.alignment.asked
    if asked is not None and context.alignment.has(report.request) and not report.fatal:
        asked.seat.actor.clear_deadline(asked.key)
        context.alignment.end(None, report.problem)


def take_death(context: Context, seat: SpeechActor, generation: int, problem: Problem) -> None:
    """Take in that a speech actor died. The chunks that it had beside an alignment are not to blame."""
    asked = context.alignment.asked
    if asked is not None and asked.seat is seat and asked.generation == generation:
        context.alignment.end(None, problem)
        if seat.view().busy:
            context.ledger.take_back(seat.on_died())


def _seat_for(context: Context, language: str | None) -> SpeechActor | None:
    """Return the first seat whose model can align words of a language. None: there is none for now."""
    for seat in context.fleet.seats:
        loaded = seat.loaded
        suits = loaded is not None and loaded.aligns and (language == "en" or loaded.multilingual)
        if suits and language is not None and context.fleet.works(seat):
            return seat
    return None
