"""Decide which seat has which model. Pure.

A seat decides about the jobs whose model no other seat has: with one seat, about all of them. So a model that is wanted
has a seat as long as there are enough seats. A seat whose own model has no work helps where the most waits, if that is
worth the loading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, lane_of, turn
from whisper_service.scheduler.views import Decoding, JobView, SeatView, View

SWITCH_AFTER_S: Final = 30.0
"""Seconds that a job waits for its model while the loaded model has work."""
KEEP_LOADS: Final = 5.0
"""A model with work is kept for so many times the seconds that it took to load. Else most of the work is loading."""
KEEP_S: Final = 1.0
"""Seconds that a model with work is kept at least: it gives a batch before the next model is loaded."""
CHUNK_S: Final = 25.0
"""Seconds of sound in a chunk, about: measured 26.5 in talks, less in dialogues."""
WORTH_LOADS: Final = 2.0
"""A seat helps with another model if the present seats need so many times the loading for what waits."""


def choose_models(view: View, able: Sequence[JobView], now: float) -> dict[str, str | None]:
    """Return the model that each seat should have that can load one now. None: no work needs a change.

    `able`: the jobs that can give chunks, in turn.
    """
    free = [seat for seat in view.seats if seat.ready and not seat.loading and not seat.suspect]
    servers = Counter([seat.next_model if seat.loading else seat.model for seat in view.seats if seat.ready])
    at_work = {job.model for job in able}
    chosen: dict[str, str | None] = {}
    if all(servers[model] > 1 for model in at_work):  # whoever has work then keeps its model, whatever the others do
        chosen = {seat.name: seat.model for seat in free if seat.model in at_work}
        free = [seat for seat in free if seat.model not in at_work]
    if not free:
        return chosen
    serving = {seat.name: seat.serves for seat in view.seats if seat.ready}

    def readiness(seat: SeatView) -> tuple[int, int]:
        """Return the sort key: first whoever loses least by another model."""
        if seat.model is None:
            return 0, 0
        if seat.model not in at_work:
            return 1, seat.batches
        return (2 if servers[seat.model] > 1 else 3), seat.batches

    for seat in sorted(free, key=readiness):
        own = serving[seat.name]
        open_models = {model for model in at_work if servers[model] == (model == own) and model not in seat.blocked}
        if open_models:
            model = _choose_model([job for job in able if job.model in open_models], seat, now)
        elif seat.model in at_work:
            model = seat.model
        elif able:
            model = _help(seat, view.seats, able, {**serving, **chosen}, now)
        else:
            model = _model_ahead(view.jobs, seat, {model for model, count in servers.items() if count > (model == own)})
        chosen[seat.name] = model
        if model is not None:
            servers[own] -= 1
            servers[model] += 1
            serving[seat.name] = model
    return chosen


def _choose_model(able: Sequence[JobView], seat: SeatView, now: float) -> str | None:
    """Return the model to work with: the loaded one while it has work.

    Another one is chosen earlier for a job at the front, or for a job that has waited too long, once the loaded model
    was worth its loading. With n models on one seat, no job waits longer than n - 1 such stretches and
    `SWITCH_AFTER_S`. A model that was loaded for such a job gives it a batch before a call can have another one.
    """
    first, loaded = able[0], seat.model
    overdue = [job.model for job in able if now - job.waiting_since > SWITCH_AFTER_S]
    lane = lane_of(first)
    if lane is Lane.FRONT or all(job.model != loaded for job in able):
        return first.model
    if lane is Lane.CALL and first.model != loaded:
        return loaded if loaded in overdue else first.model
    if now - seat.loaded_at >= max(KEEP_S, KEEP_LOADS * seat.load_s):
        return next((model for model in overdue if model != loaded), loaded)
    return loaded


def _model_ahead(jobs: Iterable[JobView], seat: SeatView, served: set[str | None]) -> str | None:
    """Return the model to load while the recording is read. None: a model is loaded, or no job needs another one."""
    if seat.model is not None:
        return None
    soon = [
        job
        for job in jobs
        if job.model and not job.model_missing and job.decoding is not Decoding.DONE
        if job.model not in served and job.model not in seat.blocked
    ]
    return min(soon, key=turn).model if soon else None


def _help(
    seat: SeatView,
    seats: Sequence[SeatView],
    able: Sequence[JobView],
    serving: Mapping[str, str | None],
    now: float,
) -> str | None:
    """Return the model whose seats need the longest for what waits, if loading it here is worth it.

    `serving`: the model that each seat has or will have.
    """
    if seat.model is not None and now - max(seat.used_at, seat.loaded_at) < max(KEEP_S, seat.load_s):
        return None  # more work for the present model may be about to come
    waiting: Counter[str] = Counter()
    for job in able:
        if job.model is not None and job.model not in seat.blocked and job.language_known:
            waiting[job.model] += len(job.ready) + job.more
    best, longest_s = None, 0.0
    for model, chunks in waiting.items():
        mates = [other for other in seats if serving.get(other.name) == model and other.name != seat.name]
        ready = [other for other in mates if other.model == model and not other.loading]
        room = sum(mate.batch_size * (mate.slots - (mate.batches if mate in ready else 0)) for mate in mates)
        speed = sum(mate.speed for mate in ready)
        needed_s = (chunks - room) * CHUNK_S / (speed or CHUNK_S)
        load_s = max((mate.load_s for mate in ready), default=0.0)
        if chunks > room and needed_s > max(longest_s, WORTH_LOADS * load_s):
            best, longest_s = model, needed_s
    return best
