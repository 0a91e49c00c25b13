"""Fill the slots of the seats that have one model with batches. Pure. The rules have the numbers of `planner`.

Where a batch goes is decided in `placement`.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from whisper_service.scheduler.lanes import Lane, is_urgent, is_urgent_in, lane_of
from whisper_service.scheduler.placement import ALONE_AFTER, PlannedSeat, Pool, set_apart
from whisper_service.scheduler.views import ChunkKey, Decoding, GiveBatch, JobView

Company = tuple[str, Lane, bool]
"""What jobs of one batch have in common: batch key, lane, whether they are urgent."""
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
    lanes = [lane_of(job) for job in able]
    for batch in _fill_slots(able, lanes, pool, given, short_at_work=short_at_work):
        yield batch
        if batch.suspect:
            return
    urgent = [job for job, lane in zip(able, lanes, strict=True) if is_urgent_in(job, lane)]
    for place in pool.places if urgent else ():
        if not pool.is_slow(place):
            yield from _give_beside(urgent, place, given, others=others)


class Peers:
    """Jobs that may share a batch, in turn, as long as they can give chunks. Their chunks are counted."""

    def __init__(self, jobs: Sequence[JobView], given: Mapping[str, int] | None = None) -> None:
        gave = [given.get(job.job_id, 0) for job in jobs] if given else ()
        self.jobs = {job.job_id: job for job in jobs}
        self.given = sum(gave)  # chunks that they gave in this plan
        self.left = sum([len(job.ready) for job in jobs]) - self.given  # chunks that they can give
        self.growing = len([job for job in jobs if job.decoding is not Decoding.DONE])  # more chunks of them will come

    def take(self, job: JobView, given: int) -> bool:
        """Count one more chunk of a job, which gave `given` before. False: it was the last that the job can give."""
        self.left -= 1
        self.given += 1
        if given + 1 < len(job.ready) and job.language_known:
            return True
        self.left -= len(job.ready) - given - 1
        self.given -= given + 1
        self.growing -= job.decoding is not Decoding.DONE
        del self.jobs[job.job_id]
        return False


class Willing:
    """The jobs that can give chunks while a plan is made, and how many each gave (`given`).

    Every batch changes few of them: they are counted by company, and not looked at again for each batch.
    """

    def __init__(self, able: Sequence[JobView], lanes: Sequence[Lane], given: dict[str, int]) -> None:
        self.given = given
        self._companies = {
            job.job_id: (job.batch_key, lane, is_urgent_in(job, lane)) for job, lane in zip(able, lanes, strict=True)
        }
        self._jobs = {job.job_id: job for job in able}
        self._lanes = Counter(lanes)
        together: dict[Company, list[JobView]] = defaultdict(list)
        for job, company in zip(able, self._companies.values(), strict=True):
            together[company].append(job)
        self._peers = {company: Peers(jobs) for company, jobs in together.items()}

    def lane(self, job_id: str) -> Lane:
        """Return the lane of a job."""
        return self._companies[job_id][1]

    def take(self, job_id: str) -> None:
        """Count a chunk that a batch has."""
        given, job, company = self.given.get(job_id, 0), self._jobs[job_id], self._companies[job_id]
        self.given[job_id] = given + 1
        if not self._peers[company].take(job, given):
            del self._jobs[job_id]
            self._lanes[company[1]] -= 1

    def send_back(self, chunks: Sequence[ChunkKey]) -> None:
        """Put the jobs that take turns and have a batch now behind those that have none."""
        for job_id in dict.fromkeys(job_id for job_id, _ in chunks):
            job = self._jobs.get(job_id)
            if job is not None and self.lane(job_id) is Lane.TURNS:
                peers = self._peers[self._companies[job_id]].jobs
                for jobs in (self._jobs, peers):
                    del jobs[job_id]
                    jobs[job_id] = job

    def for_place(self, place: PlannedSeat, pool: Pool, *, short_at_work: bool) -> tuple[JobView | None, Peers, int]:
        """Return the job whose turn it is on a seat, the jobs that may share its batch, and the most chunks of it."""
        most, slow = place.seat.batch_size, pool.is_slow(place)
        enough = _is_enough(place.lead, most) and self._lanes[Lane.CALL]
        shared = place.urgent + place.seat.express_batches >= place.seat.slots // 2
        if not slow and not enough and not (shared and self._lanes[Lane.SHORT]):
            first = next(iter(self._jobs.values()), None)
            return first, self._peers[self._companies[first.job_id]] if first else Peers(()), most
        willing = list(self._jobs.values())
        if slow:
            willing = pool.patient(willing, self.given)
            left = sum(len(job.ready) + job.more - self.given.get(job.job_id, 0) for job in willing)
            most = pool.most_for_slow(place, left)
        if enough:
            willing = [job for job in willing if self.lane(job.job_id) is not Lane.CALL] or willing
        if shared:
            willing = _beyond_share(willing, short_at_work=short_at_work)
        if not willing:
            return None, Peers(()), most
        company = self._companies[willing[0].job_id]
        peers = Peers([job for job in willing if self._companies[job.job_id] == company], self.given)
        return willing[0], peers, most


def _fill_slots(
    able: Sequence[JobView], lanes: Sequence[Lane], pool: Pool, given: dict[str, int], *, short_at_work: bool
) -> Iterator[GiveBatch]:
    """Yield a batch for each free slot, and count its chunks in `given`.

    In a pool of one seat, a chunk that must be alone is the only one of a plan.
    """
    if pool.next_place() is None:
        return
    willing = Willing(able, lanes, given)
    while (place := pool.next_place()) is not None:
        first, peers, most = willing.for_place(place, pool, short_at_work=short_at_work)
        batch = _next_batch(first, peers, given, pool, place, most) if first is not None and most else None
        if batch is None:
            pool.fill(place, slots=place.free)
            continue
        yield batch
        if batch.suspect:
            return
        for job_id, _ in batch.chunks:
            willing.take(job_id)
        if pool.shared:  # many slots may be free at once, and every job is to have its turn before any has its second
            willing.send_back(batch.chunks)
        place.take(batch.urgent, lead_after(place.lead, batch, place.seat.batch_size), len(batch.chunks))
        pool.fill(place, slots=1)
        short_at_work = short_at_work or willing.lane(batch.chunks[0][0]) is Lane.SHORT


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
    first: JobView, peers: Peers, given: Mapping[str, int], pool: Pool, place: PlannedSeat, most: int
) -> GiveBatch | None:
    """Return a batch with chunks of the first job and of its peers, itself among them. None: nothing can be given."""
    seat = place.seat
    chunk = first.ready[given.get(first.job_id, 0)]
    if chunk.deaths >= ALONE_AFTER:  # nothing else is given until it can be alone
        alone = not seat.busy and not given
        return GiveBatch(((first.job_id, chunk.index),), seat.name, suspect=True) if alone else None
    size = min(most, peers.left) if pool.is_slow(place) else _batch_size(peers, pool, place)
    chunks = _take_turns(peers, given, size, seat.batch_size)
    return GiveBatch(chunks, seat.name, urgent=is_urgent(first), call=lane_of(first) is Lane.CALL)


def _give_beside(
    jobs: Sequence[JobView], place: PlannedSeat, given: dict[str, int], *, others: bool
) -> Iterator[GiveBatch]:
    """Yield a chunk of an urgent job beside the slots of a seat. `given`: the jobs that have a batch in this plan."""
    seat = place.seat
    free = seat.express_batches < seat.express_slots
    if not free or place.free or seat.batches + place.batches < seat.slots or place.urgent >= seat.slots:
        return
    share_left = place.urgent + seat.express_batches < max(1, seat.slots // 2)
    if seat.slots == 1 and others:  # what comes beside the only slot makes that one pause
        share_left = share_left and place.urgent_chunks < seat.batch_size
    calls_left = not (others and _is_enough(place.lead, seat.batch_size))
    for job in jobs:
        lane = lane_of(job)
        may = lane is Lane.FRONT or (calls_left if lane is Lane.CALL else share_left)
        if job.ready and job.job_id not in given and may:
            if not job.ready[0].deaths:
                given[job.job_id] = 1
                chunks = ((job.job_id, job.ready[0].index),)
                yield GiveBatch(chunks, seat.name, urgent=True, call=lane is Lane.CALL, express=True)
            return


def _batch_size(peers: Peers, pool: Pool, place: PlannedSeat) -> int:
    """Return how many of the chunks that are left go into this batch, so that the free slots end together."""
    size = min(place.seat.batch_size, pool.share_of_free(place, peers.left))
    if peers.growing:  # more chunks will come
        return size
    smallest = LAST_BATCH if len(peers.jobs) == 1 else place.seat.batch_size // 2
    return min(size, max(smallest, pool.share_of_all(place, peers.left + peers.given)))


def _take_turns(peers: Peers, given: Mapping[str, int], size: int, full_size: int) -> tuple[ChunkKey, ...]:
    """Return one chunk of each job in turn, until the batch is full or no job may give more."""
    first_turns = iter(peers.jobs.values())
    turns: deque[tuple[JobView, int]] = deque()
    allowed: dict[str, int] = {}
    chunks: list[ChunkKey] = []
    while len(chunks) < size:
        if (job := next(first_turns, None)) is not None:
            place = given.get(job.job_id, 0)
            allowed[job.job_id] = max(1, 2 * job.given) if job.language_known else 1
        elif turns:
            job, place = turns.popleft()
        else:
            break
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
