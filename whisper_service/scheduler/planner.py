"""Decide what to do next: `plan(view)` returns the steps. Pure. Fairness, batching and admission are decided here.

The rules, in the order in which they bind:

1. Jobs that users put at the front come first, then calls (rule 6), then short recordings (rule 7). The others take
   turns: the job whose last batch is longest ago is next.
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
   beside the slots: it waits neither for the end of a batch nor for other chunks. While every slot has an urgent batch,
   of calls or short recordings, nothing comes beside them: one batch more would make theirs later.
7. A recording shorter than a minute has the lane of calls, behind them: its first chunks are urgent, and one of them
   comes beside the slots. Its length is what its file says, or what was read of it where that is more.
8. The lane has its share: half of the slots, and one batch in any case. Beyond its share nothing short comes beside the
   slots, and a free slot goes to other jobs that wait. Where the share is used up by calls, or where there is only one
   slot, short recordings and other jobs take turns, and short ones count as if they had waited ten seconds longer. So
   a flood of clips leaves a long recording its share, and the clips have theirs. A job at the front needs no share.
9. A short recording does not wait until long ones are decoded. How long it is is not known then, so its bytes count.
   Small files are decoded first. One media actor is kept for them, unless long and middle-sized recordings wait side by
   side. Some places for jobs in work are kept for them, too. Few long recordings are claimed ahead of the model: their
   spools fill the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
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
SMALL_BYTES: Final = 2 * 1024**2
"""A file up to this size may be a short recording: a minute as 16 kHz WAV, or as MP3 of 256 kbit/s. Decoded soon."""
MAX_LONG: Final = 4
"""Long recordings in work."""
MAX_SHORT: Final = 64
"""Recordings in work that are not long. Their spools are small, and together they fill batches. Small files may be an
eighth more."""
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
"""Chunks for which a call or a short recording has priority: some minutes of sound."""
SHORT_S: Final = 60.0
"""Seconds of sound from which a recording is not short. A minute has about three chunks, and `CALL_CHUNKS` at most."""
HEAD_START_S: Final = 10.0
"""Seconds that a short recording counts as having waited longer where it takes turns: about one full batch of base."""
SWITCH_AFTER_S: Final = 30.0
"""Seconds that a job waits for its model while the loaded model has work."""
KEEP_LOADS: Final = 5.0
"""A model with work is kept for so many times the seconds that it took to load. Else most of the work is loading."""
KEEP_S: Final = 1.0
"""Seconds that a model with work is kept at least: it gives a batch before the next model is loaded."""


class _Lane(IntEnum):
    """Which jobs go before which."""

    FRONT = 0  # users put them there
    CALL = 1
    SHORT = 2
    TURNS = 3


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
        elif short < MAX_SHORT + (MAX_SHORT // 8 if job.bytes <= SMALL_BYTES else 0):
            short += 1
            yield ClaimJob(job.job_id)


def _decode(view: View) -> Iterator[Step]:
    idle = deque(actor.name for actor in view.media if actor.idle)
    running = [job.bytes for job in view.jobs if job.decoding is Decoding.RUNNING]
    long = sum(size > LONG_BYTES for size in running)
    middle = sum(SMALL_BYTES < size <= LONG_BYTES for size in running)
    for job in sorted(view.jobs, key=_decode_turn):
        if job.decoding is not Decoding.WAITING or job.model_missing or not idle:
            continue
        if job.bytes > LONG_BYTES:
            if long >= max(1, len(view.media) - 1 - middle):
                continue
            long += 1
        elif job.bytes > SMALL_BYTES:
            if middle >= max(1, len(view.media) - 1 - long):
                continue
            middle += 1
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
    short_at_work = any(job.in_flight and _lane(job) is _Lane.SHORT for job in view.jobs)
    batches = list(_fill_slots(able, speech, short_at_work=short_at_work))
    yield from batches
    if not any(batch.suspect for batch in batches):
        yield from _give_beside(able, speech, batches)


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


def _fill_slots(able: Sequence[JobView], speech: SpeechView, *, short_at_work: bool) -> Iterator[GiveBatch]:
    """Yield a batch for each free slot. A chunk that must be alone is the only one of a plan.

    `short_at_work`: the speech actor has chunks of short recordings.
    """
    lanes = {job.job_id: _lane(job) for job in able}
    given: dict[str, int] = {}  # chunks of each job in the batches so far
    urgent = speech.urgent + speech.express_batches
    for free in range(speech.slots - speech.batches, 0, -1):
        willing = [job for job in able if job.language_known or job.job_id not in given]
        left = {job.job_id: deque(job.ready[given.get(job.job_id, 0) :]) for job in willing}
        willing = [job for job in willing if left[job.job_id]]
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
        short_at_work = short_at_work or lanes[batch.chunks[0][0]] is _Lane.SHORT


def _beyond_share(willing: Sequence[JobView], *, short_at_work: bool) -> list[JobView]:
    """Return the jobs in the order in which they get a free slot, once short recordings have no priority for it."""
    others = [job for job in willing if _lane(job) is not _Lane.SHORT]
    if short_at_work or len(others) == len(willing):
        return others or list(willing)

    def turn(job: JobView) -> tuple[int, float]:
        lane = _lane(job)
        if lane <= _Lane.CALL:
            return lane, 0.0
        return _Lane.TURNS, job.waiting_since - (HEAD_START_S if lane is _Lane.SHORT else 0.0)

    return sorted(willing, key=turn)


def _next_batch(
    willing: Sequence[JobView],
    left: Mapping[str, deque[ReadyChunk]],
    given: Mapping[str, int],
    speech: SpeechView,
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
    return GiveBatch(_take_turns(peers, left, size, speech.batch_size), urgent=_is_urgent(first))


def _give_beside(able: Sequence[JobView], speech: SpeechView, batches: Sequence[GiveBatch]) -> Iterator[GiveBatch]:
    """Yield one urgent chunk beside the slots, which have the `batches` of this plan as well."""
    urgent = speech.urgent + sum(batch.urgent for batch in batches)
    free = speech.express_batches < speech.express_slots
    if not free or speech.batches + len(batches) < speech.slots or urgent >= speech.slots:
        return
    share_left = urgent + speech.express_batches < max(1, speech.slots // 2)
    given = {job_id for batch in batches for job_id, _ in batch.chunks}
    for job in able:
        if _is_urgent(job) and job.job_id not in given and (share_left or _at_front(job)):
            if not job.ready[0].deaths:
                yield GiveBatch(((job.job_id, job.ready[0].index),), urgent=True, express=True)
            return


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


def _lane(job: JobView) -> _Lane:
    """Return the lane of the job. A call or a short recording leaves its lane after some chunks."""
    if job.rank < 0 and job.rank != CALL_RANK:
        return _Lane.FRONT
    if job.given >= CALL_CHUNKS:
        return _Lane.TURNS
    if job.rank == CALL_RANK:
        return _Lane.CALL
    return _Lane.SHORT if _is_short(job) else _Lane.TURNS


def _is_short(job: JobView) -> bool:
    return job.duration_s is not None and job.duration_s < SHORT_S


def _turn(job: JobView) -> tuple[int, float, int, int]:
    """Return the sort key of turns: by lane, then the job whose last batch is longest ago.

    The front is in the order of ranks, and short recordings in the order of their last batch or their claim: a new one
    does not go before the second chunk of another.
    """
    lane = _lane(job)
    within = {_Lane.FRONT: job.rank, _Lane.SHORT: job.waiting_since}.get(lane, 0.0)
    return (lane, within, job.last_batch, job.order)


def _decode_turn(job: JobView) -> tuple[bool, bool, tuple[int, float, int, int]]:
    """Return the sort key of decodes: jobs with priority, then small files, then the others."""
    return (not _at_front(job), job.bytes > SMALL_BYTES, _turn(job))


def _at_front(job: JobView) -> bool:
    return _lane(job) <= _Lane.CALL


def _is_urgent(job: JobView) -> bool:
    """Return whether the job is a call or a short recording that still has priority."""
    lane = _lane(job)
    return lane in (_Lane.CALL, _Lane.SHORT) or (lane is _Lane.FRONT and _is_short(job) and job.given < CALL_CHUNKS)


def _company(job: JobView) -> tuple[str, int, bool]:
    """Return what jobs of one batch have in common."""
    return job.batch_key, _lane(job), _is_urgent(job)
