"""The planner for a fleet in its plain form: everything is counted anew for each batch.

`test_large_fleet.py` compares it with the planner of the service, which counts only what a batch changes. Change this
copy only where the rules are meant to change.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from whisper_service.scheduler.batches import HEAD_START_S, LAST_BATCH, lead_after
from whisper_service.scheduler.batches import _is_enough as is_enough
from whisper_service.scheduler.lanes import Lane, is_urgent, lane_of, turn
from whisper_service.scheduler.model_choice import _choose_model as choose_model
from whisper_service.scheduler.model_choice import _help as help_out
from whisper_service.scheduler.model_choice import _model_ahead as model_ahead
from whisper_service.scheduler.placement import ALONE_AFTER, BACKLOG_SHARE, PRECISION, SLOW, second_tries
from whisper_service.scheduler.planner import is_able
from whisper_service.scheduler.views import (
    ChunkKey,
    Decoding,
    GiveBatch,
    JobView,
    LoadModel,
    SeatView,
    View,
)


def plan_batches(view: View, now: float) -> Iterator[LoadModel | GiveBatch]:
    """Yield the models to load and the batches to give."""
    able = sorted((job for job in view.jobs if is_able(job)), key=turn)
    models = choose_models(view, able, now)
    pools: dict[str, list[SeatView]] = {}
    for seat in view.seats:
        model = models.get(seat.name)
        if model is not None and model == seat.model:
            pools.setdefault(model, []).append(seat)
        elif model is not None and not seat.busy:  # else the batches of the loaded model end first
            yield LoadModel(model, seat.name)
    short_at_work = any(job.in_flight and lane_of(job) is Lane.SHORT for job in view.jobs)
    others = any(not is_urgent(job) and (job.in_flight or is_able(job)) for job in view.jobs)
    for model, seats in pools.items():
        having = [seat for seat in view.seats if seat.ready and seat.model == model]
        pool = Pool(seats, shared=len(having) > 1, has_suspect=any(seat.suspect for seat in having))
        mine = [job for job in able if job.model == model]
        yield from give_batches(mine, pool, short_at_work=short_at_work, others=others)
    if len(view.seats) > 1:
        leaving = {seat.name for seat in view.seats if models.get(seat.name) not in (None, seat.model)}
        yield from second_tries(view.seats, leaving, {job.model for job in able if job.model})


def choose_models(view: View, able: Sequence[JobView], now: float) -> dict[str, str | None]:
    """Return the model that each seat should have that can load one now. None: no work needs a change.

    `able`: the jobs that can give chunks, in turn.
    """
    free = [seat for seat in view.seats if seat.ready and not seat.loading and not seat.suspect]
    serving = {seat.name: seat.serves for seat in view.seats if seat.ready}
    servers = Counter(serving.values())
    at_work = {job.model for job in able}
    chosen: dict[str, str | None] = {}

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
            model = choose_model([job for job in able if job.model in open_models], seat, now)
        elif seat.model in at_work:
            model = seat.model
        elif able:
            model = help_out(seat, view.seats, able, {**serving, **chosen}, now)
        else:
            model = model_ahead(view.jobs, seat, {model for model, count in servers.items() if count > (model == own)})
        chosen[seat.name] = model
        if model is not None:
            servers[own] -= 1
            servers[model] += 1
            serving[seat.name] = model
    return chosen


class PlannedSeat:
    """A seat of a pool while a plan is made."""

    def __init__(self, seat: SeatView, weight: int) -> None:
        self.seat = seat
        self.weight = weight  # how fast one slot is, compared to the other seats
        self.free = max(0, seat.slots - seat.batches)  # slots
        self.batches = 0  # in the slots, by this plan
        self.urgent = seat.urgent
        self.lead = seat.call_lead
        self.urgent_chunks = seat.urgent_chunks

    def take(self, urgent: bool, lead: int, chunks: int) -> None:
        """Record that the seat gets a batch. `lead`: that of calls after it."""
        self.batches += 1
        self.urgent += urgent
        self.lead = lead
        self.urgent_chunks = self.urgent_chunks + chunks if urgent else 0

    @property
    def ends_after(self) -> float:
        """How long one more batch takes, compared to other seats: the slots of a seat share its device."""
        return (self.seat.batches + self.batches + 1) / (self.weight * self.seat.slots)


class Pool:
    """The seats that have one model and take work now.

    `seats` are those. `shared`: more seats have the model, or one of these; then work is set apart that kills actors.
    `has_suspect`: one of them has such a chunk now.
    """

    def __init__(self, seats: Sequence[SeatView], *, shared: bool = False, has_suspect: bool = False) -> None:
        self.shared = shared
        self.has_suspect = has_suspect
        self.places = [PlannedSeat(seat, weight) for seat, weight in zip(seats, weights(seats), strict=True)]
        self._add_up()

    def next_place(self) -> PlannedSeat | None:
        """Return where the next batch goes. None: no slot is free."""
        while self._queue:
            ends_after, _, place = self._queue[0]
            if place.free > 0 and ends_after == place.ends_after:
                return place
            heapq.heappop(self._queue)
        return None

    def fill(self, place: PlannedSeat, *, slots: int) -> None:
        """Record that so many free slots of a seat get a batch, or that none of them does."""
        self._free -= slots * place.weight
        place.free -= slots
        if place.free:
            heapq.heappush(self._queue, (place.ends_after, self._order[place.seat.name], place))

    def share_of_free(self, place: PlannedSeat, chunks: int) -> int:
        """Return how many of the chunks a slot of this seat gets when all free slots get some, rounded up."""
        return -(-chunks * place.weight // self._free)

    def share_of_all(self, place: PlannedSeat, chunks: int) -> int:
        """Return how many of the chunks a slot of this seat gets when all slots get some, rounded up."""
        return -(-chunks * place.weight // self._all)

    def is_slow(self, place: PlannedSeat) -> bool:
        """Return whether a batch takes much longer on this seat than on the fastest."""
        return place.weight * SLOW < self._fastest

    def most_for_slow(self, place: PlannedSeat, backlog: int) -> int:
        """Return how many chunks a slow seat may get while `backlog` chunks wait: it must not end after the others.

        A batch of n chunks takes n / weight. It may take `BACKLOG_SHARE` times as long as all seats for the backlog,
        and as long as on a seat that is just not slow.
        """
        longer = 1 / place.weight - SLOW / self._fastest
        return min(place.seat.batch_size, int(BACKLOG_SHARE * backlog / self._all / longer))

    def patient(self, willing: Sequence[JobView], given: Mapping[str, int]) -> list[JobView]:
        """Return the jobs of which a slow seat may have chunks, the one with the most left first."""

        def left(job: JobView) -> int:
            return len(job.ready) + job.more - given.get(job.job_id, 0)

        fit = (job for job in willing if lane_of(job) is Lane.TURNS and job.language_known and job.given)
        return sorted(fit, key=left, reverse=True)

    def remove(self, place: PlannedSeat) -> None:
        """Give this seat nothing more in this plan."""
        self.places.remove(place)
        self._add_up()

    def _add_up(self) -> None:
        """Sum up the seats. The sums are kept: with many seats, every batch would need them anew."""
        self._fastest = max((place.weight for place in self.places), default=0)
        self._all = sum(place.weight * place.seat.slots for place in self.places)
        self._free = sum(place.weight * place.free for place in self.places)
        self._order = {place.seat.name: number for number, place in enumerate(self.places)}
        self._queue = [(place.ends_after, number, place) for number, place in enumerate(self.places) if place.free]
        heapq.heapify(self._queue)


def weights(seats: Sequence[SeatView]) -> list[int]:
    """Return how fast a slot of each seat is, compared to the others. While one speed is unknown, all are equal."""
    speeds = [seat.speed / max(1, seat.slots) for seat in seats]
    if not all(speeds):
        return [PRECISION] * len(seats)
    return [max(1, round(PRECISION * speed / max(speeds))) for speed in speeds]


def set_apart(able: Sequence[JobView], pool: Pool) -> tuple[list[JobView], GiveBatch | None]:
    """Return the jobs without the chunks that must be alone, and a batch with the first of these.

    It goes to the weakest seat that has nothing else. While every seat is busy, the weakest one gets nothing more. One
    at a time, so that a recording that kills actors costs no more than one seat.
    """
    suspects = [
        (job.job_id, chunk.index)
        for job in able
        for chunk in (job.ready if job.language_known else job.ready[:1])
        if chunk.deaths >= ALONE_AFTER
    ]
    if not suspects:
        return list(able), None
    batch = None
    if not pool.has_suspect and pool.places:
        idle = [place for place in pool.places if not place.seat.busy]
        apart = min(reversed(idle or pool.places), key=lambda place: place.weight)
        if idle:
            batch = GiveBatch((suspects[0],), apart.seat.name, suspect=True)
        pool.remove(apart)
    return list(_without_suspects(able)), batch


def _without_suspects(able: Sequence[JobView]) -> Iterator[JobView]:
    """Yield the jobs with the chunks that need not be alone. Of an unknown language, only the first can be given."""
    for job in able:
        ready = tuple(chunk for chunk in job.ready if chunk.deaths < ALONE_AFTER)
        if not job.language_known and job.ready[0].deaths >= ALONE_AFTER:
            continue
        if ready:
            yield job if len(ready) == len(job.ready) else replace(job, ready=ready)


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
        if is_enough(place.lead, place.seat.batch_size):
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
        if pool.shared:
            behind = list(dict.fromkeys(job for job, _ in batch.chunks if lanes[job] is Lane.TURNS))
            by_name = {job.job_id: job for job in able}
            able = [job for job in able if job.job_id not in behind] + [by_name[job] for job in behind]
        place.take(batch.urgent, lead_after(place.lead, batch, place.seat.batch_size), len(batch.chunks))
        pool.fill(place, slots=1)
        short_at_work = short_at_work or lanes[batch.chunks[0][0]] is Lane.SHORT


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
    calls_left = not (others and is_enough(place.lead, seat.batch_size))
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
