"""The planner: fairness, batches, and what kills actors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scheduler.planner_views import (
    IDLE,
    batches,
    work,
)
from whisper_service.scheduler import batches as batching
from whisper_service.scheduler import placement
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import (
    Decoding,
    FinishJob,
    GiveBatch,
    ReadyChunk,
    SeatView,
    View,
)


def test_nothing_to_do_is_no_step() -> None:
    assert plan(View(seats=(IDLE,)), 0.0) == []


def test_a_job_without_anything_left_is_finished() -> None:
    assert plan(View(jobs=(work("a"), work("b", in_flight=1), work("c", decoding=Decoding.RUNNING))), 0.0) == [
        FinishJob("a")
    ]


def test_the_first_batch_of_a_job_is_one_chunk_and_then_they_grow() -> None:
    sizes = []
    served = 0
    while served < 20:
        (batch,) = batches(View(jobs=(work("a", 20 - served, given=served),), seats=(IDLE,)))
        sizes.append(len(batch))
        served += len(batch)
    assert sizes == [1, 2, 6, 8, 3]


def test_a_short_clip_overtakes_a_film_at_the_next_batch() -> None:
    film = work("film", 40, given=100, last_batch=9)
    clip = work("clip", 1, order=1)
    (batch,) = batches(View(jobs=(film, clip), seats=(IDLE,)))
    assert batch[0] == ("clip", 0)
    assert [job for job, _ in batch].count("film") == 7


def test_no_job_starves_while_clips_keep_coming() -> None:
    film = work("film", 40, given=8, last_batch=1)
    clips = tuple(work(f"clip{n}", 1, order=n, last_batch=0) for n in range(20))
    turn, waited = 1, 0
    while not any(job == "film" for batch in batches(View(jobs=(film, *clips), seats=(IDLE,))) for job, _ in batch):
        waited += 1
        (batch,) = batches(View(jobs=(film, *clips), seats=(IDLE,)))
        turn += 1
        done = {job for job, _ in batch}
        fresh = tuple(work(f"new{turn}-{n}", 1, order=100 * turn + n, last_batch=turn) for n in range(len(done)))
        clips = tuple(c for c in clips if c.job_id not in done) + fresh
        assert waited < 5


def test_chunks_of_other_options_do_not_join_a_batch() -> None:
    a, b = work("a", 4, given=8), work("b", 4, given=8, batch_key="base\nother", order=1)
    (batch,) = batches(View(jobs=(a, b), seats=(IDLE,)))
    assert {job for job, _ in batch} == {"a"}


def test_the_work_is_shared_between_idle_slots() -> None:
    given_chunks = batches(View(jobs=(work("a", 6, given=100),), seats=(SeatView(ready=True, model="base", slots=2),)))
    assert given_chunks == [(("a", 0), ("a", 1), ("a", 2)), (("a", 3), ("a", 4), ("a", 5))]


def test_the_last_chunks_are_shared_with_a_slot_that_is_still_busy() -> None:
    busy = SeatView(ready=True, model="base", slots=2, batches=1)
    sizes = {n: len(batches(View(jobs=(work("a", n, given=100),), seats=(busy,)))[0]) for n in (20, 12, 9, 4, 3)}
    assert sizes == {20: 8, 12: 6, 9: 5, 4: 2, 3: 2}
    several = View(jobs=(work("a", 3, given=100), work("b", 1, given=100)), seats=(busy,))
    assert [len(batch) for batch in batches(several)] == [4]  # like clips that come and go: more will come
    (batch,) = batches(View(jobs=(work("a", 12, given=100, decoding=Decoding.RUNNING),), seats=(busy,)))
    assert len(batch) == 8  # more will come


def test_a_busy_actor_gets_nothing() -> None:
    assert batches(View(jobs=(work("a", 6),), seats=(SeatView(ready=True, model="base", slots=2, batches=2),))) == []


def test_an_unknown_language_gives_one_chunk_at_a_time() -> None:
    wide = SeatView(ready=True, model="base", slots=4)
    assert batches(View(jobs=(work("a", 6, given=50, language_known=False),), seats=(wide,))) == [(("a", 0),)]
    assert batches(View(jobs=(work("a", 6, in_flight=1, language_known=False),), seats=(wide,))) == []


def test_the_front_goes_first() -> None:
    a, b = work("a", 20, given=50), work("b", 1, rank=-5.0, order=7, last_batch=99)
    (batch,) = batches(View(jobs=(a, b), seats=(IDLE,)))
    assert batch[0] == ("b", 0)


def test_chunks_of_a_dead_actor_come_in_smaller_batches_and_then_alone() -> None:
    def size(attempts: int, kills: int = 0) -> int:
        job = work("a", given=100, ready=tuple(ReadyChunk(i, attempts, kills) for i in range(8)))
        (batch,) = batches(View(jobs=(job,), seats=(IDLE,)))
        return len(batch)

    assert [size(n) for n in range(3)] == [8, 4, 1]
    assert [size(0, n) for n in range(4)] == [8, 4, 1, 1]
    assert size(1, 1) == 1


def test_a_suspect_waits_until_it_can_be_alone_and_nothing_is_given_beside_it() -> None:
    job = work("a", given=100, ready=(ReadyChunk(0, placement.ALONE_AFTER), ReadyChunk(1)))
    two = SeatView(ready=True, model="base", slots=2)
    assert plan(View(jobs=(job,), seats=(two,)), 0.0) == [GiveBatch((("a", 0),), suspect=True)]
    assert batches(View(jobs=(job,), seats=(SeatView(ready=True, model="base", slots=2, batches=1),))) == []
    assert (
        batches(View(jobs=(job,), seats=(SeatView(ready=True, model="base", slots=2, batches=1, suspect=True),))) == []
    )


def simulate(
    jobs: list[tuple[int, bool]], culprits: set[tuple[str, int]], slots: int, size: int, order: st.DataObject
) -> dict[tuple[str, int], int]:
    """Let an actor die whenever it works on a culprit, and return the deaths of each chunk. `order` draws batches.

    Every second recording is short.
    """
    left = {f"job{n}": dict.fromkeys(range(count), 0) for n, (count, _) in enumerate(jobs)}
    known = {f"job{n}": language for n, (_, language) in enumerate(jobs)}
    served, last_batches, deaths = (
        dict.fromkeys(left, 0),
        dict.fromkeys(left, 0),
        dict.fromkeys(((job, index) for job, chunks in left.items() for index in chunks), 0),
    )
    flying: list[GiveBatch] = []
    turn = 0
    while any(left.values()):
        given_chunks = [chunk for batch in flying for chunk in batch.chunks]
        view = View(
            jobs=tuple(
                work(
                    job,
                    ready=tuple(ReadyChunk(i, n) for i, n in chunks.items() if (job, i) not in given_chunks),
                    order=number,
                    in_flight=sum(chunk[0] == job for chunk in given_chunks),
                    given=served[job],
                    last_batch=last_batches[job],
                    language_known=known[job],
                    duration_s=5.0 if number % 2 else None,
                )
                for number, (job, chunks) in enumerate(left.items())
            ),
            seats=(
                SeatView(
                    ready=True,
                    model="base",
                    slots=slots,
                    batches=len(flying),
                    suspect=any(b.suspect for b in flying),
                    batch_size=size,
                ),
            ),
        )
        for step in plan(view, 0.0):
            if isinstance(step, GiveBatch):
                flying.append(step)
                turn += 1
                for job, _ in step.chunks:
                    served[job], last_batches[job] = served[job] + 1, turn
        assert flying, "work waits and nothing is given"
        batch = flying.pop(order.draw(st.integers(0, len(flying) - 1)))
        if culprits.isdisjoint(batch.chunks):
            for job, index in batch.chunks:
                del left[job][index]
                known[job] = True
            continue
        lost = [chunk for b in (batch, *flying) for chunk in b.chunks]
        flying = []
        for job, index in lost:
            deaths[job, index] += 1
            left[job][index] += 1
            if left[job][index] == batching.GIVE_UP_AFTER:
                del left[job][index]
    return deaths


@given(
    jobs=st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=4),
    poison=st.sets(st.tuples(st.integers(0, 3).map("job{}".format), st.integers(0, 11)), min_size=1, max_size=3),
    slots=st.integers(1, 3),
    size=st.sampled_from([1, 2, 3, 8]),
    order=st.data(),
)
def test_what_kills_actors_costs_three_of_them_and_its_company_is_in_two_at_most(
    jobs: list[tuple[int, bool]], poison: set[tuple[str, int]], slots: int, size: int, order: st.DataObject
) -> None:
    deaths = simulate(jobs, poison, slots, size, order)
    culprits = poison & set(deaths)
    assert all(deaths[chunk] == 3 for chunk in culprits)
    assert all(count <= 2 for chunk, count in deaths.items() if chunk not in culprits)
