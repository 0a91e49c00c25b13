"""What holds for every fleet, however its seats differ, fail, leave and come: none is idle, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from tests.unit.scheduler.planner_views import work
from tests.unit.scheduler.random_views import NOW, random_view
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler.batches import CALL_SHARE, GIVE_UP_AFTER, lead_after
from whisper_service.scheduler.placement import ALONE_AFTER, SLOW
from whisper_service.scheduler.planner import is_able, plan
from whisper_service.scheduler.views import ChunkKey, GiveBatch, JobView, LoadModel, ReadyChunk, SeatView, View

seeds = st.integers(0, 2**63)


def fleet_of_one_model(seed: int) -> View:
    """Return a view with two to seven seats in which only one model is wanted. So no seat is kept for another one."""
    random = Random(seed)
    view = random_view(seed, random.randint(2, 7))
    jobs = tuple(replace(job, model=job.model and "base") for job in view.jobs)
    seats = tuple(replace(seat, model=seat.model and "base", blocked=frozenset()) for seat in view.seats)
    return replace(view, jobs=jobs, seats=seats)


def left_after(view: View, batches: Iterable[GiveBatch]) -> list[JobView]:
    """Return the jobs that could give a chunk more, which need not be alone."""
    given = Counter(job for batch in batches if not batch.instead_of for job, _ in batch.chunks)
    left = []
    for job in filter(is_able, view.jobs):
        harmless = [chunk for chunk in job.ready if chunk.deaths < ALONE_AFTER]
        first = job.language_known or (not given[job.job_id] and job.ready[0].deaths < ALONE_AFTER)
        if first and len(harmless) > given[job.job_id]:
            left.append(job)
    return left


def empty(view: View, batches: Iterable[GiveBatch]) -> list[SeatView]:
    """Return the seats that take work of the model and have a free slot after the plan."""
    filled = Counter(batch.seat for batch in batches if not batch.express)
    alone = {batch.seat for batch in batches if batch.suspect}
    return [
        seat
        for seat in view.seats
        if seat.ready and not (seat.loading or seat.suspect) and seat.model == "base" and seat.name not in alone
        if seat.batches + filled[seat.name] < seat.slots
    ]


def slow_ones(view: View) -> set[str]:
    """Return the seats whose batches take more than `SLOW` times as long as on the fastest one."""
    able = [s for s in view.seats if s.ready and not (s.loading or s.suspect) and s.model == "base"]
    if not all(seat.speed for seat in able):
        return set()
    fastest = max((seat.speed / seat.slots for seat in able), default=0.0)
    return {seat.name for seat in able if SLOW * seat.speed / seat.slots < 1.01 * fastest}


def test_the_fleets_that_are_tried_have_free_slots_and_work_of_every_kind() -> None:
    def labels(seed: int) -> Iterable[str]:
        view = fleet_of_one_model(seed)
        batches = [step for step in plan(view, NOW) if isinstance(step, GiveBatch)]
        yield from (name for name, found in (("given", batches), ("empty", empty(view, batches))) if found)
        if left_after(view, batches):
            yield "left"
        if slow_ones(view):
            yield "slow"
        if any(batch.suspect for batch in batches):
            yield "suspect"

    found = shares(seeds, labels, examples=500)
    for label, least in {"given": 0.3, "empty": 0.1, "left": 0.2, "slow": 0.05, "suspect": 0.01}.items():
        assert found[label] > least, found


@settings(max_examples=2000, deadline=None)
@given(seeds)
def test_no_free_slot_stays_empty_while_work_that_it_may_take_waits(seed: int) -> None:
    view = fleet_of_one_model(seed)
    steps = plan(view, NOW)
    batches = [step for step in steps if isinstance(step, GiveBatch)]
    if not left_after(view, batches):
        return
    loading = {step.seat for step in steps if isinstance(step, LoadModel)}
    idle = [seat for seat in empty(view, batches) if seat.name not in slow_ones(view) | loading]
    suspects = any(chunk.deaths >= ALONE_AFTER for job in filter(is_able, view.jobs) for chunk in job.ready)
    # one seat ends its batches, so that a chunk that may kill its actor can be alone there
    assert len(idle) <= suspects, idle


# -- a whole fleet, from the first chunk to the last ---------------------------------------------------------------

POISON_AT: Final = 0.02
"""The share of chunks that kill their actor."""


class Fleet:
    """Seats that work, fail, get lost and come, in an order that a number decides."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.seats: dict[str, SeatView] = {}
        self.flying: list[GiveBatch] = []
        self.left: dict[str, dict[int, int]] = {}  # deaths of the chunks of each job that are not done
        self.rank: dict[str, float] = {}
        self.company: dict[str, str] = {}
        self.served: Counter[str] = Counter()
        self.last: dict[str, int] = {}
        self.turn = 0
        self.done: Counter[ChunkKey] = Counter()
        self.given_up: set[ChunkKey] = set()
        self.deaths: Counter[ChunkKey] = Counter()
        self.led: dict[str, Counter[str]] = {}  # while a job waits: how often each other one had the first place
        self.events: Counter[str] = Counter()
        self._joined = self._called = 0
        for _ in range(random.randint(2, 6)):
            self.join()
        for number in range(random.randint(2, 8)):
            self.add(f"job{number}", random.choice([1, 3, 20, 60]), 0.0)
        chunks = [(job, index) for job, one in self.left.items() for index in one]
        self.poison = {chunk for chunk in chunks if random.random() < POISON_AT}
        self.all = set(chunks)

    def add(self, job: str, chunks: int, rank: float) -> None:
        self.left[job] = dict.fromkeys(range(chunks), 0)
        self.rank[job], self.company[job] = rank, self.random.choice("abc")
        self.last[job], self.led[job] = 0, Counter()

    def join(self) -> None:
        self._joined += 1
        dice, name = self.random, "speech" if self._joined == 1 else f"speech-{self._joined}"
        self.seats[name] = SeatView(
            name, ready=True, model="base", slots=dice.randint(1, 4), batch_size=dice.choice([1, 4, 8]),
            speed=dice.choice([100.0, 100.0, 60.0, 40.0, 1.0]) * 4, express_slots=dice.randint(0, 1),
        )  # fmt: skip

    @property
    def view(self) -> View:
        flying = [chunk for batch in self.flying for chunk in batch.chunks]
        assert len(flying) == len(set(flying)), "a chunk is at work twice"
        busy, in_flight = set(flying), Counter(job for job, _ in flying)
        return View(
            jobs=tuple(
                work(
                    job,
                    batch_key=self.company[job],
                    rank=self.rank[job],
                    order=number,
                    ready=tuple(islice((ReadyChunk(i, n) for i, n in chunks.items() if (job, i) not in busy), 64)),
                    in_flight=in_flight[job],
                    given=self.served[job],
                    last_batch=self.last[job],
                    waiting_since=NOW,
                )
                for number, (job, chunks) in enumerate(self.left.items())
                if chunks
            ),
            seats=tuple(self._seat(seat) for seat in self.seats.values()),
        )

    def _seat(self, seat: SeatView) -> SeatView:
        mine = [batch for batch in self.flying if batch.seat == seat.name]
        return replace(
            seat,
            batches=sum(not batch.express for batch in mine),
            express_batches=sum(batch.express for batch in mine),
            urgent=sum(batch.urgent and not batch.express for batch in mine),
            suspect=any(batch.suspect for batch in mine),
        )

    def plan(self) -> None:
        """Give what the planner gives, and see that it is fair."""
        view = self.view
        batches = [step for step in plan(view, NOW) if isinstance(step, GiveBatch)]
        left = Counter({job.job_id: sum(chunk.deaths < ALONE_AFTER for chunk in job.ready) for job in view.jobs})
        slow = slow_ones(view)
        for batch in batches:
            self.turn += 1
            self.flying.append(batch)
            self.served.update(job for job, _ in batch.chunks)
            seat = self.seats[batch.seat]
            if not batch.express:
                self.seats[batch.seat] = replace(seat, call_lead=lead_after(seat.call_lead, batch, seat.batch_size))
            for job in {job for job, _ in batch.chunks}:
                self.last[job] = self.turn
                self.led[job].clear()
            left.subtract(job for job, _ in batch.chunks)
            if batch.suspect or batch.seat in slow:
                continue
            (leader, _), *_ = batch.chunks
            for job in (+left).keys() - {job for job, _ in batch.chunks}:
                self.led[job][leader] += 1
        if len(self.seats) == 1:  # its slots may go to one job together, as they always did
            self.led = {job: Counter() for job in self.led}
        idle = [seat for seat in empty(view, batches) if seat.name not in slow]
        suspects = any(chunk.deaths >= ALONE_AFTER for job in view.jobs for chunk in job.ready)
        if left_after(view, batches):
            assert len(idle) <= suspects, idle
        assert self.flying or not any(self.left.values()), "work waits and nothing is given"
        for name in self.seats:
            here = [batch for batch in self.flying if batch.seat == name]
            assert len(here) == 1 or not any(batch.suspect for batch in here), "a suspect has company"
        assert sum(batch.suspect for batch in self.flying) <= 1, "more than one seat is risked"

    def go_on(self, *, calm: bool) -> None:
        """Let one thing happen."""
        dice = self.random.random()
        if not calm and dice < 0.04 and len(self.seats) > 1:
            self.events["lost"] += 1
            self.lose(self.random.choice(list(self.seats)))
        elif not calm and dice < 0.08 and len(self.seats) < 8:
            self.events["joined"] += 1
            self.join()
        elif not calm and dice < 0.25:
            self.events["called"] += 1
            self._called += 1
            self.add(f"call{self._called}", self.random.choice([1, 4, 9]), CALL_RANK)
        elif self.flying:
            older = min(self.random.randrange(len(self.flying)) for _ in range(2))  # mostly they end first
            self.end(self.flying[older])

    def end(self, batch: GiveBatch) -> None:
        if self.poison.isdisjoint(batch.chunks):
            self.flying.remove(batch)
            for job, index in batch.chunks:
                self.done[job, index] += 1
                del self.left[job][index]
            return
        self.events["died"] += 1
        for job, index in self.give_back(batch.seat):
            self.deaths[job, index] += 1
            self.left[job][index] += 1
            if self.left[job][index] == GIVE_UP_AFTER:
                self.given_up.add((job, index))
                del self.left[job][index]

    def lose(self, name: str) -> None:
        """Take a machine away: nothing that it had is to blame."""
        self.give_back(name)
        del self.seats[name]

    def give_back(self, name: str) -> list[ChunkKey]:
        lost = [batch for batch in self.flying if batch.seat == name]
        self.flying = [batch for batch in self.flying if batch.seat != name]
        return [chunk for batch in lost for chunk in batch.chunks]


def run(seed: int) -> Fleet:
    fleet = Fleet(seed)
    for steps in range(3_000):
        fleet.plan()
        if not any(fleet.left.values()):
            return fleet
        fleet.go_on(calm=steps > 150)
    raise AssertionError(fleet.left)


def test_the_fleets_that_are_run_fail_in_every_way() -> None:
    found = shares(seeds, lambda seed: run(seed).events, examples=60)
    for event in ("lost", "joined", "called", "died"):
        assert found[event] > 0.3, found


@pytest.mark.timeout(120)
@settings(max_examples=150, deadline=None)
@given(seeds)
def test_every_job_of_every_fleet_ends_and_none_is_passed_over_twice_by_another(seed: int) -> None:
    fleet = Fleet(seed)
    for steps in range(3_000):
        fleet.plan()
        for job, led in fleet.led.items():
            if fleet.left[job] and not fleet.rank[job]:
                others = {other: count for other, count in led.items() if not fleet.rank[other]}
                assert max(others.values(), default=0) <= 1, f"{job} waits while another one has its second turn: {led}"
        if not any(fleet.left.values()):
            break
        fleet.go_on(calm=steps > 150)
    assert not any(fleet.left.values()), fleet.left
    assert set(fleet.done) | fleet.given_up >= fleet.all, "nothing is lost"
    assert max(fleet.done.values()) == 1, "nothing is done twice"
    assert fleet.given_up == fleet.poison
    assert all(fleet.deaths[chunk] == GIVE_UP_AFTER for chunk in fleet.poison)
    assert all(fleet.deaths[chunk] < GIVE_UP_AFTER for chunk in fleet.all - fleet.poison)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 6))
def test_an_endless_stream_of_calls_leaves_other_jobs_a_share_on_every_fleet(seed: int, count: int) -> None:
    """Calls come as fast as they are done. The others still get one of five chunks."""
    random = Random(seed)
    fleet = Fleet(seed)
    fleet.poison = set()
    fleet.left = {}
    fleet.seats = {}
    for _ in range(count):
        fleet.join()
    for name, seat in fleet.seats.items():
        fleet.seats[name] = replace(seat, speed=400.0, batch_size=4)
    fleet.add("film", 2_000, 0.0)
    calls = 0
    for _ in range(200):
        while sum(len(chunks) for job, chunks in fleet.left.items() if job != "film") < 40:
            calls += 1
            fleet.add(f"call{calls}", random.choice([1, 3]), CALL_RANK)
        fleet.plan()
        fleet.end(random.choice(fleet.flying))
    film, chunks = fleet.served["film"], fleet.served.total()
    ahead = 2 * CALL_SHARE * 4 * count  # each seat lets calls be so far ahead, and rounds its batches
    assert chunks - film <= (CALL_SHARE + 1) * film + ahead, (film, chunks)
