"""Fill the slots of the seats that have one model with batches. Pure. The rules have the numbers of `planner`.

Where a batch goes is decided in `placement`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of
from whisper_service.scheduler.placement import ALONE_AFTER, PlannedSeat, Pool, set_apart
from whisper_service.scheduler.views import ChunkKey, Decoding, GiveBatch, JobView

LAST_BATCH: Final = 2
"""Chunks of the smallest batch at the end of a recording that is alone. Larger batches are cheaper, but other slots
are idle while the last one runs. Several jobs at their end are like clips that come and go: more will come, and the
smallest batch is half of a full one."""
GIVE_UP_AFTER: Final = 3
"""Deaths of actors after which a chunk is given up: at the last one it was alone."""
GIVE_UP_AFTER_KILLS: Final = 10
"""Kills from outside after which a chunk is given up. The work on this chunk may be what provokes them."""
HEAD_START_S: Final = 10.0
"""Seconds that a short recording counts as having waited longer where it takes turns: about one full batch of base."""
CALL_SHARE: Final = 4
"""Chunks of calls for each chunk of the other jobs, where both wait."""


def give_batches(able: Sequence[JobView], pool: Pool, *, short_at_work: bool, others: bool) -> Iterator[GiveBatch]:
    """Yield the batches for the seats of a pool. `able`: the jobs with its model that can give chunks, in turn.

    `short_at_work`: some speech actor has chunks of short recordings. `others`: jobs that are neither calls nor short
    wait or are at work.
    """
    if pool.shared:
        able, suspect = set_apart(able, pool)
        if suspect is not None:
            yield suspect
    given: dict[str, int] = {}  # chunks of each job in the batches so far
    for batch in _fill_slots(able, pool, given, short_at_work=short_at_work):
        yield batch
        if batch.suspect:
            return
    for place in pool.places:
        if not pool.is_slow(place):
            yield from _give_beside(able, place, given, others=others)


def _fill_slots(
    able: Sequence[JobView], pool: Pool, given: dict[str, int], *, short_at_work: bool
) -> Iterator[GiveBatch]:
    """Yield a batch for each free slot, and count its chunks in `given`.

    In a pool of one seat, a chunk that must be alone is the only one of a plan.
    """
    companies = {job.job_id: _company(job) for job in able}
    lanes = {job_id: lane for job_id, (_, lane, _) in companies.items()}
    while (place := pool.next_place()) is not None:
        willing = [
            job
            for job in able
            if given.get(job.job_id, 0) < len(job.ready) and (job.language_known or job.job_id not in given)
        ]
        most = place.seat.batch_size
        if pool.is_slow(place):
            willing = pool.patient(willing, given)
            most = pool.most_for_slow(
                place, sum(len(job.ready) + job.more - given.get(job.job_id, 0) for job in willing)
            )
        if _is_enough(place.lead, place.seat.batch_size):
            willing = [job for job in willing if lanes[job.job_id] is not Lane.CALL] or willing
        if place.urgent + place.seat.express_batches >= place.seat.slots // 2:
            willing = _beyond_share(willing, short_at_work=short_at_work)
        batch = _next_batch(willing, companies, given, pool, place, most) if most else None
        if batch is None:
            pool.fill(place, slots=place.free)
            continue
        yield batch
        if batch.suspect:
            return
        for job_id, _ in batch.chunks:
            given[job_id] = given.get(job_id, 0) + 1
        place.take(batch.urgent, lead_after(place.lead, batch, place.seat.batch_size), len(batch.chunks))
        pool.fill(place, slots=1)
        short_at_work = short_at_work or lanes[batch.chunks[0][0]] is Lane.SHORT


def lead_after(lead: int, batch: GiveBatch, batch_size: int) -> int:
    """Return the chunks by which calls are ahead of other jobs after a batch. Before it they were `lead` ahead.

    They are never further ahead than others can make up with one full batch: nobody else waited meanwhile.
    """
    chunks = len(batch.chunks)
    return min(lead + chunks, CALL_SHARE * batch_size) if batch.call else max(0, lead - CALL_SHARE * chunks)


def _is_enough(lead: int, batch_size: int) -> bool:
    """Return whether calls are so far ahead that other jobs come first."""
    return lead >= CALL_SHARE * batch_size


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
    companies: Mapping[str, tuple[str, Lane, bool]],
    given: Mapping[str, int],
    pool: Pool,
    place: PlannedSeat,
    most: int,
) -> GiveBatch | None:
    """Return a batch with chunks of the first job and of all jobs that may share it. None: nothing can be given."""
    if not willing:
        return None
    first, seat = willing[0], place.seat
    chunk = first.ready[given.get(first.job_id, 0)]
    if chunk.deaths >= ALONE_AFTER:  # nothing else is given until it can be alone
        alone = not seat.busy and not given
        return GiveBatch(((first.job_id, chunk.index),), seat.name, suspect=True) if alone else None
    company = companies[first.job_id]
    peers = [job for job in willing if companies[job.job_id] == company]
    left = sum(len(job.ready) - given.get(job.job_id, 0) for job in peers)
    size = min(most, left) if pool.is_slow(place) else _batch_size(peers, left, given, pool, place)
    chunks = _take_turns(peers, given, size, seat.batch_size)
    return GiveBatch(chunks, seat.name, urgent=is_urgent(first), call=lane_of(first) is Lane.CALL)


def _give_beside(
    able: Sequence[JobView], place: PlannedSeat, given: dict[str, int], *, others: bool
) -> Iterator[GiveBatch]:
    """Yield one urgent chunk beside the slots of a seat. `given`: the jobs that have a batch in this plan."""
    seat = place.seat
    free = seat.express_batches < seat.express_slots
    if not free or place.free or seat.batches + place.batches < seat.slots or place.urgent >= seat.slots:
        return
    share_left = place.urgent + seat.express_batches < max(1, seat.slots // 2)
    if seat.slots == 1 and others:  # what comes beside the only slot makes that one pause
        share_left = share_left and place.urgent_chunks < seat.batch_size
    calls_left = not (others and _is_enough(place.lead, seat.batch_size))
    for job in able:
        lane = lane_of(job)
        may = lane is Lane.FRONT or (calls_left if lane is Lane.CALL else share_left)
        if is_urgent(job) and job.ready and job.job_id not in given and may:
            if not job.ready[0].deaths:
                given[job.job_id] = 1
                chunks = ((job.job_id, job.ready[0].index),)
                yield GiveBatch(chunks, seat.name, urgent=True, call=lane is Lane.CALL, express=True)
            return


def _batch_size(peers: Sequence[JobView], left: int, given: Mapping[str, int], pool: Pool, place: PlannedSeat) -> int:
    """Return how many of the `left` chunks go into this batch, so that the free slots end together."""
    size = min(place.seat.batch_size, pool.share_of_free(place, left))
    if any(job.decoding is not Decoding.DONE for job in peers):  # more chunks will come
        return size
    smallest = LAST_BATCH if len(peers) == 1 else place.seat.batch_size // 2
    in_this_plan = sum(given.get(job.job_id, 0) for job in peers)
    return min(size, max(smallest, pool.share_of_all(place, left + in_this_plan)))


def _take_turns(peers: Sequence[JobView], given: Mapping[str, int], size: int, full_size: int) -> tuple[ChunkKey, ...]:
    """Return one chunk of each job in turn, until the batch is full or no job may give more."""
    turns = deque((job, given.get(job.job_id, 0)) for job in peers)
    allowed = {job.job_id: max(1, 2 * job.given) if job.language_known else 1 for job in peers}
    chunks: list[ChunkKey] = []
    while turns and len(chunks) < size:
        job, place = turns.popleft()
        chunk = job.ready[place]
        limit = max(1, full_size >> chunk.deaths)
        if chunk.deaths >= ALONE_AFTER or len(chunks) >= limit:
            continue  # this chunk, and those behind it, come in a smaller batch
        chunks.append((job.job_id, chunk.index))
        size = min(size, limit)
        allowed[job.job_id] -= 1
        if place + 1 < len(job.ready) and allowed[job.job_id]:
            turns.append((job, place + 1))
    return tuple(chunks)


def _company(job: JobView) -> tuple[str, Lane, bool]:
    """Return what jobs of one batch have in common."""
    return job.batch_key, lane_of(job), is_urgent(job)
