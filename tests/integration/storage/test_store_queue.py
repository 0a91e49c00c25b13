"""The order of the queue, and how jobs change places in it."""

from __future__ import annotations

import pytest

from tests.integration.storage.rows import new
from whisper_service.core.domain import CALL_RANK
from whisper_service.core.errors import IllegalTransition
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_the_queue_goes_by_rank_then_age(store: Store) -> None:
    for job_id in "abcd":
        await store.add(new(job_id))
    await store.move("c", Cause.FRONT, rank=-1.0)
    await store.move("d", Cause.FRONT, rank=-2.0)
    await store.move("a", Cause.CLAIM)
    assert [job.id for job in await store.queue(10)] == ["d", "c", "b"]
    assert [job.id for job in await store.queue(1)] == ["d"]


async def test_the_first_of_each_length_are_found_behind_any_number_of_others(store: Store) -> None:
    for number in range(30):
        await store.add(new(f"long{number:02}", bytes=101))
    for job_id, size, seconds in (("a", 10, None), ("b", 11, None), ("c", 999, 9.0), ("d", 1, 10.0), ("e", 1, 21.0)):
        await store.add(new(job_id, bytes=size, duration_s=seconds))
    await store.add(new("call", bytes=101, rank=CALL_RANK))
    await store.add(new("gone", bytes=1))
    await store.move("gone", Cause.CLAIM)

    async def heads(limit: int) -> list[str]:
        return [job.id for job in await store.queue_heads(limit, seconds=(10.0, 20.0), sizes=(10, 100))]

    assert await heads(2) == ["call", "long00", "a", "b", "c", "d"]
    assert await heads(1) == ["call", "a", "b"]
    assert await heads(1_000) == [job.id for job in await store.queue(1_000)]
    (first,) = [job for job in await store.queue_heads(1, seconds=(0.0, 0.0), sizes=(0, 0)) if job.id == "call"]
    assert first == ("call", 101, None, CALL_RANK)


async def test_jobs_that_wait_change_places(store: Store) -> None:
    for job_id in "abcd":
        await store.add(new(job_id))

    async def order() -> str:
        return "".join(job.id for job in await store.queue(10))

    told = await store.move_in_queue("c", Cause.SOONER)
    assert await order() == "acbd"
    assert [written.job.id for written in told] == ["b", "c"]
    assert [(change.job_id, change.kind) for written in told for change in written.changes] == [
        ("b", "update"),
        ("c", "update"),
    ]
    await store.move_in_queue("a", Cause.LATER)
    await store.move_in_queue("a", Cause.LATER)
    assert await order() == "cbad"
    for job_id, cause in [("c", Cause.SOONER), ("d", Cause.LATER)]:  # the ends
        (same,) = await store.move_in_queue(job_id, cause)
        assert same == (await store.job(job_id), ())
    await store.move("d", Cause.FRONT, rank=-9.0)
    await store.move_in_queue("d", Cause.LATER)  # another is at the front now
    assert await order() == "cdba"
    assert [job.rank < 0 for job in await store.queue(10)] == [True, False, False, False]
    await store.add(new("e"))
    assert await order() == "cdbae"


async def test_a_call_and_a_job_do_not_change_places(store: Store) -> None:
    for job_id, rank in [("a", 0.0), ("call", CALL_RANK), ("b", 0.0)]:
        await store.add(new(job_id, rank=rank))
    before = await store.queue(10)
    assert [job.id for job in before] == ["call", "a", "b"]
    await store.move_in_queue("a", Cause.SOONER)
    await store.move_in_queue("call", Cause.LATER)
    assert await store.queue(10) == before


async def test_two_that_went_to_the_front_at_the_same_time_change_places(store: Store) -> None:
    for job_id in "ab":
        await store.add(new(job_id))
        await store.move(job_id, Cause.FRONT, rank=-9.0)
    await store.move_in_queue("b", Cause.SOONER)
    assert [job.id for job in await store.queue(10)] == ["b", "a"]
    await store.move_in_queue("b", Cause.LATER)
    assert [job.id for job in await store.queue(10)] == ["a", "b"]


async def test_only_what_waits_changes_places(store: Store) -> None:
    for job_id in "ab":
        await store.add(new(job_id))
    await store.move("a", Cause.CLAIM)
    with pytest.raises(IllegalTransition):
        await store.move_in_queue("a", Cause.LATER)
    assert (await store.move_in_queue("b", Cause.SOONER))[0].changes == ()


async def test_a_new_job_goes_behind_all_others_whatever_the_clock_says(store: Store) -> None:
    for job_id, at in [("c", 2000.0), ("b", 1000.0), ("a", 1000.0)]:
        await store.add(new(job_id, created_at=at))
    assert [job.id for job in await store.queue(10)] == ["c", "b", "a"]
