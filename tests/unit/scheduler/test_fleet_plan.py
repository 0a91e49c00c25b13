"""The planner with several seats: where a batch goes, and what a failure on one seat costs the others."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from tests.unit.scheduler.planner_views import FILM, clip, work
from tests.unit.scheduler.random_views import NOW, kinds, random_view
from whisper_service.core.domain import CALL_RANK
from whisper_service.scheduler import batches, placement
from whisper_service.scheduler.planner import is_able, plan
from whisper_service.scheduler.views import (
    GiveBatch,
    JobView,
    LateBatch,
    LoadModel,
    ReadyChunk,
    SeatView,
    UnloadModel,
    View,
)

SUSPECT = ReadyChunk(0, placement.ALONE_AFTER)


def seat(number: int = 1, **fields: object) -> SeatView:
    name = "speech" if number == 1 else f"speech-{number}"
    defaults: dict[str, object] = {"ready": True, "model": "base", "slots": 2, "speed": 100.0}
    return SeatView(name=name, **(defaults | fields))  # type: ignore[arg-type]


def given_to(jobs: tuple[JobView, ...], *seats: SeatView) -> dict[str, list[int]]:
    """Return how many chunks each batch of each seat gets."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for step in plan(View(jobs=jobs, seats=seats), NOW):
        if isinstance(step, GiveBatch):
            sizes[step.seat].append(len(step.chunks))
    return dict(sizes)


def test_equal_seats_get_equal_shares_and_neither_waits_for_the_other() -> None:
    assert given_to((work("a", 2, given=100),), seat(1), seat(2)) == {"speech": [1], "speech-2": [1]}
    assert given_to((work("a", 8, given=100),), seat(1), seat(2)) == {"speech": [2, 2], "speech-2": [2, 2]}
    assert given_to((work("a", 40, given=100),), seat(1, batches=1), seat(2)) == {"speech-2": [8, 8], "speech": [8]}


def test_a_faster_seat_gets_more_of_the_last_chunks() -> None:
    assert given_to((work("a", 12, given=100),), seat(1), seat(2, speed=50.0)) == {"speech": [4, 4], "speech-2": [2, 2]}


def test_a_slow_seat_gets_only_what_does_not_make_the_end_late() -> None:
    cpu = seat(2, speed=2.0, slots=2)
    sizes = {
        n: given_to((work("a", n, given=100),), seat(1, batches=2), cpu).get("speech-2") for n in (1, 40, 240, 900)
    }
    assert sizes == {1: None, 40: None, 240: [5, 5], 900: [8, 8]}
    assert given_to((work("a", 40, given=100, more=860),), seat(1, batches=2), cpu) == {"speech-2": [8, 8]}


@pytest.mark.parametrize(
    "job",
    [
        work("a", 900, given=100, rank=CALL_RANK - 1.0),
        work("a", 900, rank=CALL_RANK),
        work("a", 900, given=1, duration_s=5.0),
        work("a", 900, given=100, language_known=False),
        work("a", 900),
    ],
    ids=["front", "call", "short", "language unknown", "first text"],
)
def test_what_somebody_waits_for_is_not_given_to_a_slow_seat(job: JobView) -> None:
    assert given_to((job,), seat(1, batches=2), seat(2, speed=2.0)) == {}
    assert given_to((job,), seat(1, batches=2), seat(2, speed=50.0)) != {}


def test_seats_count_as_equal_until_all_of_them_are_measured() -> None:
    assert placement.weights([seat(1), seat(2, speed=0.0)]) == [1000, 1000]
    assert placement.weights([seat(1), seat(2, slots=4)]) == [1000, 500], "of one slot"


def test_a_chunk_comes_beside_the_slots_of_a_seat_only_while_all_slots_are_taken() -> None:
    full = {"batches": 2, "express_slots": 1}
    jobs = (FILM, clip("a"), clip("b"))
    assert given_to(jobs, seat(1, **full), seat(2, **full)) == {"speech": [1], "speech-2": [1]}
    assert given_to(jobs, seat(1, **full), seat(2, batches=1)) == {"speech-2": [2]}


def test_what_may_kill_actors_is_alone_on_the_weakest_seat_while_the_others_go_on() -> None:
    bad, film = work("bad", given=100, ready=(SUSPECT, ReadyChunk(1))), work("film", 40, given=100, order=1)
    steps = plan(View(jobs=(bad, film), seats=(seat(1), seat(2, speed=60.0), seat(3))), NOW)
    assert steps[0] == GiveBatch((("bad", 0),), "speech-2", suspect=True)
    assert {step.seat for step in steps[1:] if isinstance(step, GiveBatch)} == {"speech", "speech-3"}
    chunks = [chunk for step in steps[1:] if isinstance(step, GiveBatch) for chunk in step.chunks]
    assert ("bad", 1) in chunks, "the rest of the recording goes on as well"


def test_the_weakest_seat_ends_its_batches_for_what_must_be_alone() -> None:
    jobs = (work("bad", given=100, ready=(SUSPECT,)), work("film", 40, given=100))
    busy = seat(1, batches=1), seat(2, speed=60.0, batches=1)
    assert given_to(jobs, *busy) == {"speech": [8]}
    one_idle = seat(1), seat(2, speed=60.0, batches=1)
    assert given_to(jobs, *one_idle) == {"speech": [1], "speech-2": [8]}


def test_one_seat_at_a_time_is_risked() -> None:
    bad = work("bad", given=100, ready=(SUSPECT, replace(SUSPECT, index=1), ReadyChunk(2)))
    assert given_to((bad,), seat(1, suspect=True, batches=1), seat(2)) == {"speech-2": [1]}
    (step,) = plan(View(jobs=(bad,), seats=(seat(1, suspect=True, batches=1), seat(2))), NOW)
    assert isinstance(step, GiveBatch)
    assert step.chunks == (("bad", 2),)
    unknown = replace(bad, language_known=False)
    assert given_to((unknown,), seat(1, suspect=True, batches=1), seat(2)) == {}, "its chunks come in order"


def test_a_late_batch_is_given_again_only_while_nothing_waits() -> None:
    late = LateBatch(7, (("a", 3), ("a", 4)))
    slow = seat(1, batches=1, late=(late,))
    jobs = (work("a", in_flight=2),)
    (step,) = plan(View(jobs=jobs, seats=(slow, seat(2), seat(3, speed=90.0))), NOW)
    assert step == GiveBatch(late.chunks, "speech-2", instead_of=7)
    assert plan(View(jobs=jobs, seats=(slow, seat(2, model="large"))), NOW) == []
    assert plan(View(jobs=jobs, seats=(slow, seat(2, batches=2))), NOW) == []
    assert plan(View(jobs=jobs, seats=(slow, seat(2, late=(late,)))), NOW) == [], "that seat is slow itself"
    assert plan(View(jobs=jobs, seats=(slow,)), NOW) == []
    waiting = (*jobs, work("b", 1))
    assert [
        step.instead_of for step in plan(View(jobs=waiting, seats=(slow, seat(2))), NOW) if isinstance(step, GiveBatch)
    ] == [0]


def loads(view: View, now: float = NOW) -> list[tuple[str, str]]:
    return [(step.seat, step.model) for step in plan(view, now) if isinstance(step, LoadModel)]


LARGE = work("b", 5, model="large", batch_key="large", given=100, order=1, waiting_since=NOW)


def test_a_wanted_model_gets_the_seat_that_loses_least() -> None:
    jobs = (work("a", 10, given=100, waiting_since=NOW), LARGE)
    assert loads(View(jobs=jobs, seats=(seat(1), seat(2, model="small"), seat(3, model=None)))) == [
        ("speech-3", "large")
    ]
    assert loads(View(jobs=jobs, seats=(seat(1), seat(2, model="small"), seat(3)))) == [("speech-2", "large")]
    assert loads(View(jobs=jobs, seats=(seat(1, batches=1), seat(2)))) == [("speech-2", "large")], (
        "base keeps the other"
    )
    two = View(jobs=jobs, seats=(seat(1, batches=1), seat(2, batches=2)))
    assert loads(two) == []
    assert {step.seat for step in plan(two, NOW) if isinstance(step, GiveBatch)} == set(), (
        "the first seat ends its batch"
    )
    assert loads(View(jobs=jobs, seats=(seat(1), seat(2, model="large")))) == []
    assert loads(View(jobs=jobs, seats=(seat(1), seat(2, model=None, loading=True, next_model="large")))) == []
    assert loads(View(jobs=jobs, seats=(seat(1), seat(2, model=None, blocked=frozenset({"large"}))))) == []


def test_models_that_have_one_seat_each_take_turns_as_on_one_seat() -> None:
    jobs = (work("a", 40, given=100, waiting_since=NOW), LARGE)
    other = work("c", 5, model="small", batch_key="small", waiting_since=NOW - 10.0)
    seats = (seat(1), seat(2, model="large"))
    assert loads(View(jobs=(*jobs, other), seats=seats)) == []
    assert loads(View(jobs=(*jobs, replace(other, waiting_since=NOW - 31.0)), seats=seats)) == [("speech", "small")]
    fresh = (seat(1, loaded_at=NOW - 1.0, load_s=9.0), seat(2, model="large"))
    assert loads(View(jobs=(*jobs, replace(other, waiting_since=NOW - 31.0)), seats=fresh)) == [("speech-2", "small")]


def test_a_seat_without_work_helps_if_that_is_worth_the_loading() -> None:
    idle = seat(2, model="small")
    many = work("a", 64, given=100, more=1000)
    busy = seat(1, batches=2, load_s=20.0)
    assert loads(View(jobs=(many,), seats=(busy, idle))) == [("speech-2", "base")]
    assert loads(View(jobs=(work("a", 64, given=100),), seats=(busy, idle))) == [], "16 s of work, 20 s of loading"
    assert loads(View(jobs=(work("a", 10, given=100),), seats=(seat(1), idle))) == [], "the free slots take it"
    just = replace(idle, used_at=NOW - 1.0, load_s=20.0)
    assert loads(View(jobs=(many,), seats=(busy, just))) == [], "more for its own model may be about to come"
    assert loads(View(jobs=(many,), seats=(busy, replace(idle, blocked=frozenset({"base"}))))) == []


def test_only_one_seat_loads_a_model_ahead() -> None:
    reads = work("a", decoding="running")
    assert loads(View(jobs=(reads,), seats=(seat(1, model=None), seat(2, model=None)))) == [("speech", "base")]


def test_every_idle_seat_is_unloaded_by_its_own_time() -> None:
    seats = (seat(1, used_at=40.0, unload_after_s=50.0), seat(2, used_at=60.0, unload_after_s=50.0))
    assert plan(View(seats=seats), 100.0) == [UnloadModel("speech")]
    assert plan(View(seats=seats), 110.0) == [UnloadModel("speech"), UnloadModel("speech-2")]


# -- what holds for every view ------------------------------------------------------------------------------------

views = st.builds(random_view, st.integers(0, 2**63), st.integers(2, 5))


def test_the_views_of_several_seats_have_plans_of_every_kind() -> None:
    found = shares(views, lambda view: kinds(plan(view, NOW)), examples=1000)
    least = {"GiveBatch": 0.2, "several": 0.1, "LoadModel": 0.1, "express": 0.003, "suspect": 0.01, "instead_of": 0.0}
    for kind, share in least.items():
        assert found[kind] > share, found


@settings(max_examples=1500, deadline=None)
@given(views)
def test_every_plan_for_several_seats_can_be_carried_out(view: View) -> None:
    steps = plan(view, NOW)
    jobs, seats = {job.job_id: job for job in view.jobs}, {one.name: one for one in view.seats}
    given_batches = [step for step in steps if isinstance(step, GiveBatch)]
    first_tries = [chunk for batch in given_batches if not batch.instead_of for chunk in batch.chunks]
    assert len(first_tries) == len(set(first_tries)), "no chunk is given twice"
    slots, express = Counter(), Counter()  # type: ignore[var-annotated]
    for batch in given_batches:
        one = seats[batch.seat]
        (express if batch.express else slots)[batch.seat] += 1
        assert (one.ready, one.loading, one.suspect) == (True, False, False)
        assert 1 <= len(batch.chunks) <= one.batch_size
        assert {jobs[job].model for job, _ in batch.chunks} <= {one.model}, "only loaded models"
        if batch.instead_of:
            assert not any(is_able(job) and job.model == one.model for job in view.jobs)
            continue
        for job_id, index in batch.chunks:
            (chunk,) = [chunk for chunk in jobs[job_id].ready if chunk.index == index]
            assert batch.suspect == (chunk.deaths >= placement.ALONE_AFTER)
    for name, one in seats.items():
        assert slots[name] <= max(0, one.slots - one.batches)
        assert express[name] <= max(0, one.express_slots - one.express_batches)
        here = [batch for batch in given_batches if batch.seat == name]
        if any(batch.suspect for batch in here):
            assert (len(here), one.busy) == (1, False), "a suspect is alone on its seat"
    for model in {one.model for one in view.seats}:
        suspects = [batch for batch in given_batches if batch.suspect and seats[batch.seat].model == model]
        mates = [one for one in view.seats if one.model == model and one.ready and one.suspect]
        assert len(suspects) + bool(suspects) * len(mates) <= 1, "one seat at a time is risked"
    loads = [step for step in steps if isinstance(step, LoadModel)]
    assert len({step.seat for step in loads}) == len(loads)
    for step in loads:
        one = seats[step.seat]
        assert (one.ready, one.loading, one.busy, step.model in one.blocked) == (True, False, False, False)
        assert not any(batch.seat == step.seat for batch in given_batches)


@settings(max_examples=1500, deadline=None)
@given(views)
def test_ready_work_never_waits_for_an_idle_seat_that_has_its_model(view: View) -> None:
    steps = plan(view, NOW)
    at_work = {step.seat for step in steps if isinstance(step, GiveBatch | LoadModel)}
    harmless = {
        job.model
        for job in view.jobs
        if is_able(job) and all(chunk.deaths < placement.ALONE_AFTER for chunk in job.ready)
    }
    for model in harmless:
        free = [one for one in view.seats if one.ready and not (one.loading or one.suspect) and one.model == model]
        if free and all(not one.busy for one in free):
            assert at_work & {one.name for one in free}


@settings(max_examples=800, deadline=None)
@given(views)
def test_chunks_of_an_unknown_language_are_never_in_work_together_on_any_seats(view: View) -> None:
    steps = [step for step in plan(view, NOW) if isinstance(step, GiveBatch) and not step.instead_of]
    for job in view.jobs:
        if not job.language_known:
            chunks = [chunk for step in steps for chunk in step.chunks if chunk[0] == job.job_id]
            assert len(chunks) + job.in_flight <= max(1, job.in_flight)
            assert chunks in ([], [(job.job_id, job.ready[0].index)]) if job.ready else True


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    poison=st.sets(st.tuples(st.integers(0, 3).map("job{}".format), st.integers(0, 11)), min_size=1, max_size=3),
    count=st.integers(2, 3),
    order=st.data(),
)
def test_what_kills_actors_costs_three_of_them_and_only_its_seat(
    jobs: list[int], poison: set[tuple[str, int]], count: int, order: st.DataObject
) -> None:
    left = {f"job{n}": dict.fromkeys(range(chunks), 0) for n, chunks in enumerate(jobs)}
    deaths: Counter[tuple[str, int]] = Counter()
    served: Counter[str] = Counter()
    flying: list[GiveBatch] = []
    names = [seat(n + 1).name for n in range(count)]
    while any(left.values()):
        in_flight = [chunk for batch in flying for chunk in batch.chunks]
        view = View(
            jobs=tuple(
                work(
                    job,
                    ready=tuple(ReadyChunk(i, n) for i, n in chunks.items() if (job, i) not in in_flight),
                    in_flight=sum(other == job for other, _ in in_flight),
                    given=served[job],
                    order=number,
                )
                for number, (job, chunks) in enumerate(left.items())
                if chunks
            ),
            seats=tuple(
                seat(
                    n + 1,
                    batches=sum(batch.seat == name for batch in flying),
                    suspect=any(batch.suspect for batch in flying if batch.seat == name),
                )
                for n, name in enumerate(names)
            ),
        )
        for step in plan(view, NOW):
            if isinstance(step, GiveBatch):
                flying.append(step)
                served.update(job for job, _ in step.chunks)
        assert flying, "work waits and nothing is given"
        batch = flying.pop(order.draw(st.integers(0, len(flying) - 1)))
        if poison.isdisjoint(batch.chunks):
            for job, index in batch.chunks:
                del left[job][index]
            continue
        lost = [batch, *(other for other in flying if other.seat == batch.seat)]
        flying = [other for other in flying if other.seat != batch.seat]
        for job, index in (chunk for one in lost for chunk in one.chunks):
            deaths[job, index] += 1
            left[job][index] += 1
            if left[job][index] == batches.GIVE_UP_AFTER:
                del left[job][index]
    culprits = poison & {(f"job{n}", index) for n, chunks in enumerate(jobs) for index in range(chunks)}
    assert all(deaths[chunk] == 3 for chunk in culprits)
    assert all(died <= 2 for chunk, died in deaths.items() if chunk not in culprits)


@settings(max_examples=40, deadline=None)
@given(
    jobs=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 150)), min_size=1, max_size=8),
    count=st.integers(2, 4),
    load_s=st.sampled_from([0.5, 5.0, 40.0]),
    batch_s=st.sampled_from([0.5, 3.0]),
)
def test_models_follow_the_work_on_several_seats_without_thrashing(
    jobs: list[tuple[str, int]], count: int, load_s: float, batch_s: float
) -> None:
    """Seats of one slot. Nobody waits longer than on one seat, and loading stays a small part of the work."""
    left = {f"job{n}": chunks for n, (_, chunks) in enumerate(jobs)}
    wanted = {f"job{n}": model for n, (model, _) in enumerate(jobs)}
    since, last = dict.fromkeys(left, 0.0), dict.fromkeys(left, 0)
    seats = {n: seat(n + 1, model=None, slots=1, batch_size=4, speed=0.0) for n in range(count)}
    ends: dict[int, float] = {}
    now, turn, loaded, longest = 0.0, 0, 0, 0.0
    while any(left.values()):
        todo = tuple(
            work(job, chunks, model=wanted[job], batch_key=wanted[job], order=n, given=100, last_batch=last[job],
                 waiting_since=since[job])
            for n, (job, chunks) in enumerate(left.items()) if chunks
        )  # fmt: skip
        for step in plan(View(jobs=todo, seats=tuple(seats.values())), now):
            number = next(n for n, one in seats.items() if one.name == getattr(step, "seat", ""))
            assert number not in ends
            if isinstance(step, LoadModel):
                loaded += 1
                assert loaded < 2000, "it only loads"
                seats[number] = replace(seats[number], model=None, loading=True, next_model=step.model)
                ends[number] = now + load_s
            elif isinstance(step, GiveBatch):
                turn += 1
                seats[number] = replace(seats[number], batches=1)
                ends[number] = now + batch_s
                for job in {job for job, _ in step.chunks}:
                    longest = max(longest, now - since[job])
                    since[job], last[job] = now, turn
                for job, _ in step.chunks:
                    left[job] -= 1
        if not any(left.values()):
            break
        assert ends, "work waits and every seat is idle"
        number = min(ends, key=lambda n: ends[n])
        now = ends.pop(number)
        one = seats[number]
        if one.loading:
            one = replace(one, model=one.next_model, loading=False, load_s=load_s, loaded_at=now, used_at=now)
        seats[number] = replace(one, batches=0, used_at=now)
    models = len(set(wanted.values()))
    held_s = max(1.0, 5.0 * load_s)
    assert loaded <= count * (len(jobs) + models + now / held_s)
    if models <= count:
        assert loaded <= models * count, "each model stays where it is"
    assert longest <= models * (max(30.0, 5.0 * load_s) + load_s + 3 * batch_s) + len(jobs) * batch_s
