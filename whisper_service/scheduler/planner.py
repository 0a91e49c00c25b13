"""Decide what to do next: `plan(view)` returns the steps. Pure. Fairness, batching and admission are decided here.

The rules, in the order in which they bind:

1. Jobs at the front of the queue come first. The others take turns: the job whose last batch is longest ago is next.
   A short clip overtakes a film of ten hours at the next batch, and no job starves.
2. Chunks of all jobs that share a batch key (model, preset, prompt) fill a batch together.
3. A job gets one chunk into its first batch, and later up to twice as many as it got before: 1, 2, 6, 8. Its first
   text comes at once. The last chunks are divided among the slots, so that all slots end together.
4. A job whose language is unknown gives one chunk at a time, in order, until its language is known. Its transcript
   does not depend on timing.
5. A chunk whose actor died comes in a batch of at most half the size. After the second death it comes alone, while
   every other slot is empty. After the third it is given up. A chunk that kills actors costs three of them. A chunk
   that was only in its company is in at most two of those deaths. A kill from outside says little about the chunks:
   they come in smaller batches as well, but many more kills are needed to give one up.
6. A call has a client that waits. Its first chunks are at the front, behind the jobs that users put there. Then it
   takes turns like any job. Calls share batches with calls only. While every slot is taken, one chunk of a call comes
   beside the slots: it waits neither for the end of a batch nor for other chunks. While every slot works for calls,
   nothing comes beside them: one batch more would make theirs later.
7. Long recordings never take the last media actor. Few of them are claimed ahead of the model: their spools fill the
   disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.views import (
    ChunkKey,
    ClaimJob,
    Decoding,
    FinishJob,
    GiveBatch,
    JobView,
    LoadModel,
    ReadyChunk,
    SpeechView,
    StartDecode,
    Step,
    UnloadModel,
    View,
)

LONG_BYTES: Final = 48 * 1024**2
"""A larger file is a long recording. So much compressed speech is about an hour, and decodes in about a second."""
MAX_LONG: Final = 4
"""Long recordings in work."""
MAX_SHORT: Final = 64
"""Short recordings in work. Their spools are small, and together they fill batches."""
MAX_WITHOUT_MODEL: Final = 64
"""Claimed jobs that wait for the download of a model and do not count as in work."""
LAST_BATCH: Final = 2
"""Chunks of the smallest batch at the end of a recording that is alone. Larger batches are cheaper, but other slots
are idle while the last one runs. Several jobs at their end are like clips that come and go: more will come, and the
smallest batch is half of a full one."""
ALONE_AFTER: Final = 2
"""Deaths of actors after which a chunk is given alone, with nothing beside it."""
GIVE_UP_AFTER: Final = 3
"""Deaths of actors after which a chunk is given up: at the last one it was alone."""
GIVE_UP_AFTER_KILLS: Final = 10
"""Kills from outside after which a chunk is given up. The work on this chunk may be what provokes them."""
CALL_CHUNKS: Final = 8
"""Chunks for which a call has priority: some minutes of sound."""
SWITCH_AFTER_S: Final = 30.0
"""Seconds that a job waits for its model while the loaded model has work."""
KEEP_LOADS: Final = 5.0
"""A model with work is kept for so many times the seconds that it took to load. Else most of the work is loading."""
KEEP_S: Final = 1.0
"""Seconds that a model with work is kept at least: it gives a batch before the next model is loaded."""


def plan(view: View, now: float) -> list[Step]:
    """Return every step that can be taken now. `now` is on the clock of `JobView.waiting_since`."""
    return [*_finish(view), *_claim(view), *_decode(view), *_transcribe(view, now), *_unload(view, now)]


def _finish(view: View) -> Iterator[Step]:
    for job in view.jobs:
        if job.decoding is Decoding.DONE and not job.ready and not job.in_flight:
            yield FinishJob(job.job_id)


def _claim(view: View) -> Iterator[Step]:
    long, short, uncounted = 0, 0, MAX_WITHOUT_MODEL
    for work in view.jobs:
        if work.model_missing and uncounted:
            uncounted -= 1
        elif work.bytes > LONG_BYTES:
            long += 1
        else:
            short += 1
    for job in view.queue:
        if job.bytes > LONG_BYTES:
            if long < MAX_LONG:
                long += 1
                yield ClaimJob(job.job_id)
        elif short < MAX_SHORT:
            short += 1
            yield ClaimJob(job.job_id)


def _decode(view: View) -> Iterator[Step]:
    idle = deque(actor.name for actor in view.media if actor.idle)
    long = sum(job.decoding is Decoding.RUNNING and job.bytes > LONG_BYTES for job in view.jobs)
    max_long = max(1, len(view.media) - 1)
    for job in sorted(view.jobs, key=_turn):
        if job.decoding is not Decoding.WAITING or job.model_missing or not idle:
            continue
        if job.bytes > LONG_BYTES:
            if long >= max_long:
                continue
            long += 1
        yield StartDecode(job.job_id, idle.popleft())


def _transcribe(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    if not speech.ready or speech.loading or speech.suspect:
        return
    able = sorted((job for job in view.jobs if _is_able(job)), key=_turn)
    model = _choose_model(able, speech, now) if able else _model_ahead(view)
    if model is None:
        return
    if model != speech.model:
        if not speech.busy:  # else the batches of the loaded model end first
            yield LoadModel(model)
        return
    able = [job for job in able if job.model == model]
    yield from _fill_slots(able, speech)
    if speech.batches >= speech.slots > speech.urgent and speech.express_batches < speech.express_slots:
        call = next((job for job in able if _is_urgent(job)), None)
        if call is not None and not call.ready[0].deaths:
            yield GiveBatch(((call.job_id, call.ready[0].index),), urgent=True, express=True)


def _unload(view: View, now: float) -> Iterator[Step]:
    speech = view.speech
    idle = speech.model is not None and not speech.busy and not speech.loading and not view.jobs and not view.queue
    if idle and speech.unload_after_s and now - speech.used_at >= speech.unload_after_s:
        yield UnloadModel()


def _model_ahead(view: View) -> str | None:
    """Return the model to load while the recording is read. None: a model is loaded, or no job needs one."""
    soon = [job for job in view.jobs if job.model and not job.model_missing and job.decoding is not Decoding.DONE]
    return min(soon, key=_turn).model if soon and view.speech.model is None else None


def _choose_model(able: Sequence[JobView], speech: SpeechView, now: float) -> str | None:
    """Return the model to work with: the loaded one while it has work.

    Another one is chosen earlier for a job at the front, or for a job that has waited too long, once the loaded model
    was worth its loading. With n models, no job waits longer than n - 1 such stretches and `SWITCH_AFTER_S`.
    """
    first, loaded = able[0], speech.model
    if _at_front(first) or all(job.model != loaded for job in able):
        return first.model
    if now - speech.loaded_at >= max(KEEP_S, KEEP_LOADS * speech.load_s):
        for job in able:
            if job.model != loaded and now - job.waiting_since > SWITCH_AFTER_S:
                return job.model
    return loaded


def _fill_slots(able: Sequence[JobView], speech: SpeechView) -> Iterator[GiveBatch]:
    """Yield a batch for each free slot. A chunk that must be alone is the only one of a plan."""
    given: dict[str, int] = {}  # chunks of each job in the batches so far
    for free in range(speech.slots - speech.batches, 0, -1):
        batch = _next_batch(able, given, speech, free)
        if batch is None:
            return
        yield batch
        if batch.suspect:
            return
        for job_id, _ in batch.chunks:
            given[job_id] = given.get(job_id, 0) + 1


def _next_batch(
    able: Sequence[JobView], given: Mapping[str, int], speech: SpeechView, free_slots: int
) -> GiveBatch | None:
    """Return a batch with chunks of the first job and of all jobs that may share it. None: nothing is left to give."""
    left = {job.job_id: deque(job.ready[given.get(job.job_id, 0) :]) for job in able}
    willing = [job for job in able if left[job.job_id] and (job.language_known or job.job_id not in given)]
    if not willing:
        return None
    first = willing[0]
    chunk = left[first.job_id][0]
    if chunk.deaths >= ALONE_AFTER:  # nothing else is given until it can be alone
        alone = not speech.busy and not given
        return GiveBatch(((first.job_id, chunk.index),), suspect=True) if alone else None
    peers = [job for job in willing if _company(job) == _company(first)]
    size = _batch_size(peers, sum(len(left[job.job_id]) for job in peers), given, speech, free_slots)
    return GiveBatch(_take_turns(peers, left, size, speech.batch_size), urgent=_is_urgent(first))


def _batch_size(
    peers: Sequence[JobView], left: int, given: Mapping[str, int], speech: SpeechView, free_slots: int
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


def _is_able(job: JobView) -> bool:
    """Return whether a chunk of the job can be given now."""
    ready = bool(job.ready) and job.model is not None and not job.model_missing
    return ready and (job.language_known or job.in_flight == 0)


def _turn(job: JobView) -> tuple[bool, float, int, int]:
    """Return the sort key of turns: the front by rank, then the job whose last batch is longest ago."""
    front = _at_front(job)
    return (not front, job.rank if front else 0.0, job.last_batch, job.order)


def _at_front(job: JobView) -> bool:
    return job.rank < 0 and (job.rank != CALL_RANK or job.given < CALL_CHUNKS)


def _is_urgent(job: JobView) -> bool:
    """Return whether the job is a call that still has priority."""
    return job.rank == CALL_RANK and _at_front(job)


def _company(job: JobView) -> tuple[str, bool, bool]:
    """Return what jobs of one batch have in common."""
    return job.batch_key, _at_front(job), _is_urgent(job)
