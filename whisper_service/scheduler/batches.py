"""Fill the slots of the speech actor with batches. Pure. The rules have the numbers of `planner`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of
from whisper_service.scheduler.views import ChunkKey, Decoding, GiveBatch, JobView, ReadyChunk, SpeechView

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
HEAD_START_S: Final = 10.0
"""Seconds that a short recording counts as having waited longer where it takes turns: about one full batch of base."""
CALL_SHARE: Final = 4
"""Chunks of calls for each chunk of the other jobs, where both wait."""


def fill_slots(able: Sequence[JobView], speech: SpeechView, *, short_at_work: bool) -> Iterator[GiveBatch]:
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
        lead = lead_after(lead, batch, speech.batch_size)
        short_at_work = short_at_work or lanes[batch.chunks[0][0]] is Lane.SHORT


def lead_after(lead: int, batch: GiveBatch, batch_size: int) -> int:
    """Return the chunks by which calls are ahead of other jobs after a batch. Before it they were `lead` ahead.

    They are never further ahead than others can make up with one full batch: nobody else waited meanwhile.
    """
    chunks = len(batch.chunks)
    return min(lead + chunks, CALL_SHARE * batch_size) if batch.call else max(0, lead - CALL_SHARE * chunks)


def _is_enough(lead: int, speech: SpeechView) -> bool:
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
    chunks = _take_turns(peers, left, size, speech.batch_size)
    return GiveBatch(chunks, urgent=is_urgent(first), call=lane_of(first) is Lane.CALL)


def give_beside(
    able: Sequence[JobView], speech: SpeechView, batches: Sequence[GiveBatch], *, others: bool
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
        lead, since = lead_after(lead, batch, speech.batch_size), since if batch.urgent else 0
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


def _company(job: JobView) -> tuple[str, int, bool]:
    """Return what jobs of one batch have in common."""
    return job.batch_key, lane_of(job), is_urgent(job)
