"""Decide on which seat a batch is worked on. Pure.

Seats with one model form a pool. A batch goes to the seat with a free slot that ends it soonest, by the measured
speeds. A slow seat, like the CPU beside GPUs, gets only what it ends before the fast ones have done all that waits:
never what a client waits for, never the first chunk of a job.

A chunk that may kill its actor is alone on the weakest seat, and the other seats go on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from whisper_service.scheduler.lanes import Lane, lane_of
from whisper_service.scheduler.views import GiveBatch, JobView, SeatView

ALONE_AFTER: Final = 2
"""Deaths of actors after which a chunk is given alone, with nothing beside it on its seat."""
SLOW: Final = 4
"""A seat is slow if a batch takes there so many times longer than on the fastest one. Cards of one machine differ less;
a CPU beside a card differs more."""
BACKLOG_SHARE: Final = 2
"""A slow seat may take so many times longer for its batch than all seats for what waits. In a simulation of up to 1,000
devices, more made the last batch of a recording late, and less left slow devices without work."""
PRECISION: Final = 1_000
"""The weight of a slot on the fastest seat. Weights are whole numbers, so that equal seats get equal shares."""


class PlannedSeat:
    """A seat of a pool while a plan is made."""

    def __init__(self, seat: SeatView, weight: int, number: int = 0) -> None:
        self.seat = seat
        self.weight = weight  # how fast one slot is, compared to the other seats
        self.number = number  # among the seats of its pool
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
        self._seats = list(zip(seats, weights(seats), range(len(seats)), strict=True))
        self._planned: dict[int, PlannedSeat] = {}  # by number; most seats of a large fleet have no free slot
        self._add_up()

    @property
    def places(self) -> list[PlannedSeat]:
        """All seats, in order."""
        return [self._place(*one) for one in self._seats]

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
            heapq.heappush(self._queue, (place.ends_after, place.number, place))

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
        self._seats = [one for one in self._seats if one[2] != place.number]
        self._add_up()

    def _add_up(self) -> None:
        """Sum up the seats. The sums are kept: with many seats, every batch would need them anew."""
        self._fastest = max([weight for _, weight, _ in self._seats], default=0)
        self._all = sum([weight * seat.slots for seat, weight, _ in self._seats])
        free = [self._place(*one) for one in self._seats if one[0].batches < one[0].slots]
        self._free = sum(place.weight * place.free for place in free)
        self._queue = [(place.ends_after, place.number, place) for place in free if place.free]
        heapq.heapify(self._queue)

    def _place(self, seat: SeatView, weight: int, number: int) -> PlannedSeat:
        if (place := self._planned.get(number)) is None:
            place = self._planned[number] = PlannedSeat(seat, weight, number)
        return place


def weights(seats: Sequence[SeatView]) -> list[int]:
    """Return how fast a slot of each seat is, compared to the others. While one speed is unknown, all are equal."""
    speeds = [seat.speed / (seat.slots or 1) for seat in seats]
    if not all(speeds):
        return [PRECISION] * len(seats)
    fastest = max(speeds)
    known = {speed: max(1, round(PRECISION * speed / fastest)) for speed in set(speeds)}
    return [known[speed] for speed in speeds]


def set_apart(able: Sequence[JobView], pool: Pool) -> tuple[list[JobView], GiveBatch | None]:
    """Return the jobs without the chunks that must be alone, and a batch with the first of these.

    It goes to the weakest seat that has nothing else. While every seat is busy, the weakest one gets nothing more. One
    at a time, so that a recording that kills actors costs no more than one seat.
    """
    suspects = [
        (job.job_id, chunk.index)
        for job in able
        if job.troubled
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


def second_tries(seats: Sequence[SeatView], leaving: set[str], waiting: set[str]) -> Iterator[GiveBatch]:
    """Yield the late batches once more, for other seats, while nothing else waits there. The first answer counts.

    `leaving`: the seats that get another model. `waiting`: the models with chunks that wait: their slots are taken.
    """
    filled: dict[str, int] = {}
    for seat in seats:
        if seat.model is None or seat.model in waiting:
            continue
        for late in seat.late:
            free = [
                other
                for other in seats
                if other.model == seat.model
                and other.ready
                and other.name not in (seat.name, *leaving)
                and not (other.loading or other.suspect or other.late)
                and other.batches + filled.get(other.name, 0) < other.slots
            ]
            if free:
                best = max(free, key=lambda other: other.speed / (1 + other.batches + filled.get(other.name, 0)))
                filled[best.name] = filled.get(best.name, 0) + 1
                yield GiveBatch(late.chunks[: best.batch_size], best.name, instead_of=late.number)
