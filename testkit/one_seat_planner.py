"""The planner for one speech actor, kept as it was before there could be several.

`tests/unit/scheduler/test_one_seat.py` compares it with the planner of today: with one seat, both plan the same. Change
this copy only where the rules for one speech actor are meant to change.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of, turn
from whisper_service.scheduler.views import (
    ChunkKey,
    Decoding,
    GiveBatch,
    JobView,
    LoadModel,
    ReadyChunk,
    SeatView,
    UnloadModel,
    View,
)

LAST_BATCH: Final = 2
ALONE_AFTER: Final = 2
HEAD_START_S: Final = 10.0
CALL_SHARE: Final = 4
SWITCH_AFTER_S: Final = 30.0
KEEP_LOADS: Final = 5.0
KEEP_S: Final = 1.0


def plan_speech(view: View, now: float) -> list[LoadModel | GiveBatch | UnloadModel]:
    """Return the steps for the only speech actor."""
    return [*_transcribe(view, now), *_unload(view, now)]


def _transcribe(view: View, now: float) -> Iterator[LoadModel | GiveBatch | UnloadModel]:
    speech = view.seats[0]
    if not speech.ready or speech.loading or speech.suspect:
        return
    able = sorted((job for job in view.jobs if _is_able(job)), key=turn)
    model = _choose_model(able, speech, now) if able else _model_ahead(view)
    if model is None:
        return
    if model != speech.model:
        if not speech.busy:  # else the batches of the loaded model end first
            yield LoadModel(model)
        return
    able = [job for job in able if job.model == model]
    short_at_work = any(job.in_flight and lane_of(job) is Lane.SHORT for job in view.jobs)
    batches = list(_fill_slots(able, speech, short_at_work=short_at_work))
    yield from batches
    if not any(batch.suspect for batch in batches):
        others = any(not is_urgent(job) and (job.in_flight or _is_able(job)) for job in view.jobs)
        yield from _give_beside(able, speech, batches, others=others)


def _unload(view: View, now: float) -> Iterator[LoadModel | GiveBatch | UnloadModel]:
    speech = view.seats[0]
    idle = speech.model is not None and not speech.busy and not speech.loading and not view.jobs and not view.queue
    if idle and speech.unload_after_s and now - speech.used_at >= speech.unload_after_s:
        yield UnloadModel()


def _model_ahead(view: View) -> str | None:
    """Return the model to load while the recording is read. None: a model is loaded, or no job needs one."""
    soon = [job for job in view.jobs if job.model and not job.model_missing and job.decoding is not Decoding.DONE]
    return min(soon, key=turn).model if soon and view.seats[0].model is None else None


def _choose_model(able: Sequence[JobView], speech: SeatView, now: float) -> str | None:
    """Return the model to work with: the loaded one while it has work.

    Another one is chosen earlier for a job at the front, or for a job that has waited too long, once the loaded model
    was worth its loading. With n models, no job waits longer than n - 1 such stretches and `SWITCH_AFTER_S`. A model
    that was loaded for such a job gives it a batch before a call can have another one.
    """
    first, loaded = able[0], speech.model
    overdue = [job.model for job in able if now - job.waiting_since > SWITCH_AFTER_S]
    lane = lane_of(first)
    if lane is Lane.FRONT or all(job.model != loaded for job in able):
        return first.model
    if lane is Lane.CALL and first.model != loaded:
        return loaded if loaded in overdue else first.model
    if now - speech.loaded_at >= max(KEEP_S, KEEP_LOADS * speech.load_s):
        return next((model for model in overdue if model != loaded), loaded)
    return loaded


def _is_able(job: JobView) -> bool:
    """Return whether a chunk of the job can be given now."""
    ready = bool(job.ready) and job.model is not None and not job.model_missing
    return ready and (job.language_known or job.in_flight == 0)


def _fill_slots(able: Sequence[JobView], speech: SeatView, *, short_at_work: bool) -> Iterator[GiveBatch]:
    """Yield a batch for each free slot. A chunk that must be alone is the only one of a plan.

    `short_at_work`: the speech actor has chunks of short recordings.
    """
    lanes = {job.job_id: lane_of(job) for job in able}
    given: dict[str, int] = {}  # chunks of each job in the batches so far
    urgent, lead = speech.urgent + speech.express_batches, speech.call_lead
    for free in range(speech.slots - speech.batches, 0, -1):
        willing = [job for job in able if job.language_known or job.job_id not in given]
        left = {job.job_id: deque(job.ready[given.get(job.job_id, 0) :]) for job in willing}
        willing = [job for job in willing if left[job.job_id]]
        if _is_enough(lead, speech):
            willing = [job for job in willing if lanes[job.job_id] is not Lane.CALL] or willing
        if urgent >= speech.slots // 2:
            willing = _beyond_share(willing, short_at_work=short_at_work)
        batch = _next_batch(willing, left, given, speech, free)
        if batch is None:
            return
        yield batch
        if batch.suspect:
            return
        for job_id, _ in batch.chunks:
            given[job_id] = given.get(job_id, 0) + 1
        urgent += batch.urgent
        lead = _lead_after(lead, batch, speech.batch_size)
        short_at_work = short_at_work or lanes[batch.chunks[0][0]] is Lane.SHORT


def _lead_after(lead: int, batch: GiveBatch, batch_size: int) -> int:
    """Return the chunks by which calls are ahead of other jobs after a batch. Before it they were `lead` ahead.

    They are never further ahead than others can make up with one full batch: nobody else waited meanwhile.
    """
    chunks = len(batch.chunks)
    return min(lead + chunks, CALL_SHARE * batch_size) if batch.call else max(0, lead - CALL_SHARE * chunks)


def _is_enough(lead: int, speech: SeatView) -> bool:
    """Return whether calls are so far ahead that other jobs come first."""
    return lead >= CALL_SHARE * speech.batch_size


def _beyond_share(willing: Sequence[JobView], *, short_at_work: bool) -> list[JobView]:
    """Return the jobs in the order in which they get a free slot, once short recordings have no priority for it."""
    others = [job for job in willing if lane_of(job) is not Lane.SHORT]
    if short_at_work or len(others) == len(willing):
        return others or list(willing)

    def turn(job: JobView) -> tuple[int, float]:
        lane = lane_of(job)
        if lane <= Lane.CALL:
            return lane, 0.0
        return Lane.TURNS, job.waiting_since - (HEAD_START_S if lane is Lane.SHORT else 0.0)

    return sorted(willing, key=turn)


def _next_batch(
    willing: Sequence[JobView],
    left: Mapping[str, deque[ReadyChunk]],
    given: Mapping[str, int],
    speech: SeatView,
    free_slots: int,
) -> GiveBatch | None:
    """Return a batch with chunks of the first job and of all jobs that may share it. None: nothing can be given.

    `left`: the chunks that each job has left. They are taken out.
    """
    if not willing:
        return None
    first = willing[0]
    chunk = left[first.job_id][0]
    if chunk.deaths >= ALONE_AFTER:  # nothing else is given until it can be alone
        alone = not speech.busy and not given
        return GiveBatch(((first.job_id, chunk.index),), suspect=True) if alone else None
    peers = [job for job in willing if _company(job) == _company(first)]
    size = _batch_size(peers, sum(len(left[job.job_id]) for job in peers), given, speech, free_slots)
    chunks = _take_turns(peers, left, size, speech.batch_size)
    return GiveBatch(chunks, urgent=is_urgent(first), call=lane_of(first) is Lane.CALL)


def _give_beside(
    able: Sequence[JobView], speech: SeatView, batches: Sequence[GiveBatch], *, others: bool
) -> Iterator[GiveBatch]:
    """Yield one urgent chunk beside the slots, which have the `batches` of this plan as well.

    `others`: jobs that are neither calls nor short wait or are at work.
    """
    urgent = speech.urgent + sum(batch.urgent for batch in batches)
    free = speech.express_batches < speech.express_slots
    if not free or speech.batches + len(batches) < speech.slots or urgent >= speech.slots:
        return
    lead, since = speech.call_lead, speech.urgent_chunks
    for batch in batches:
        lead, since = _lead_after(lead, batch, speech.batch_size), since if batch.urgent else 0
    share_left = urgent + speech.express_batches < max(1, speech.slots // 2)
    if speech.slots == 1 and others:  # what comes beside the only slot makes that one pause
        share_left = share_left and since < speech.batch_size
    calls_left = not (others and _is_enough(lead, speech))
    given = {job_id for batch in batches for job_id, _ in batch.chunks}
    for job in able:
        lane = lane_of(job)
        may = lane is Lane.FRONT or (calls_left if lane is Lane.CALL else share_left)
        if is_urgent(job) and job.job_id not in given and may:
            if not job.ready[0].deaths:
                yield GiveBatch(((job.job_id, job.ready[0].index),), urgent=True, call=lane is Lane.CALL, express=True)
            return


def _batch_size(
    peers: Sequence[JobView], left: int, given: Mapping[str, int], speech: SeatView, free_slots: int
) -> int:
    """Return how many of the `left` chunks go into this batch, so that the free slots get equal shares."""
    size = min(speech.batch_size, -(-left // free_slots))
    if any(job.decoding is not Decoding.DONE for job in peers):  # more chunks will come
        return size
    smallest = LAST_BATCH if len(peers) == 1 else speech.batch_size // 2
    in_this_plan = sum(given.get(job.job_id, 0) for job in peers)
    return min(size, max(smallest, -(-(left + in_this_plan) // speech.slots)))


def _take_turns(
    peers: Sequence[JobView], left: Mapping[str, deque[ReadyChunk]], size: int, full_size: int
) -> tuple[ChunkKey, ...]:
    """Return one chunk of each job in turn, until the batch is full or no job may give more."""
    allowed = {job.job_id: max(1, 2 * job.given) if job.language_known else 1 for job in peers}
    turns = deque(job.job_id for job in peers)
    chunks: list[ChunkKey] = []
    while turns and len(chunks) < size:
        job_id = turns.popleft()
        chunk = left[job_id].popleft()
        limit = max(1, full_size >> chunk.deaths)
        if chunk.deaths >= ALONE_AFTER or len(chunks) >= limit:
            continue  # this chunk, and those behind it, come in a smaller batch
        chunks.append((job_id, chunk.index))
        size = min(size, limit)
        allowed[job_id] -= 1
        if left[job_id] and allowed[job_id]:
            turns.append(job_id)
    return tuple(chunks)


def _company(job: JobView) -> tuple[str, int, bool]:
    """Return what jobs of one batch have in common."""
    return job.batch_key, lane_of(job), is_urgent(job)
