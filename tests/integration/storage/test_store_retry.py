"""What is counted against a chunk, and what a retry forgives."""

from __future__ import annotations

import pytest

from tests.integration.storage.rows import PROBLEM, said, span, working
from whisper_service.core.domain import Chunk, ChunkState, Gap, Status
from whisper_service.core.errors import IllegalTransition
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_kills_are_counted_apart_and_a_retry_forgets_both(store: Store) -> None:
    await working(store, 2)
    await store.count_attempts([("a", 0), ("a", 1)])
    await store.count_attempts([("a", 1)], killed=True)
    assert [(chunk.attempts, chunk.kills) for chunk in await store.chunks("a")] == [(1, 0), (1, 1)]
    await store.fail_chunk("a", 1, PROBLEM, Gap(1.0, 2.0, "crash"))
    await store.move("a", Cause.FAULT, error=PROBLEM)
    await store.move("a", Cause.RETRY)
    assert [(chunk.attempts, chunk.kills) for chunk in await store.chunks("a")] == [(1, 0), (0, 0)]


async def test_strikes_are_counted(store: Store) -> None:
    await working(store, 2)
    await store.count_attempts([("a", 0), ("a", 1)])
    await store.count_attempts([("a", 1), ("gone", 4)])
    await store.count_attempts([])
    assert [chunk.attempts for chunk in await store.chunks("a")] == [1, 2]


async def test_a_quarantined_chunk_is_a_gap_that_a_retry_opens_again(store: Store) -> None:
    await working(store, 2)
    await store.count_attempts([("a", 1)] * 3)
    gap = Gap(1.1, 2.1, "It crashed.")
    written = await store.fail_chunk("a", 1, PROBLEM, gap, position_s=2.0)
    assert written is not None
    assert (written.job.gaps, written.job.chunks_done, written.job.chunks_total) == ((gap,), 0, 2)
    assert (await store.chunks("a"))[1] == Chunk(span(1), ChunkState.FAILED, attempts=3, error=PROBLEM)
    await store.checkpoint("a", 0, said(0, "fine"), "en")
    done = (await store.move("a", Cause.FINISH, progress=1.0, finished_at=9.0)).job
    assert (done.gaps, done.finished_at) == ((gap,), 9.0)

    again = (await store.move("a", Cause.RETRY)).job
    assert (again.status, again.gaps, again.error, again.finished_at) == (Status.PENDING, (), None, None)
    assert await store.chunks("a") == [Chunk(span(0), ChunkState.DONE, language="en"), Chunk(span(1))]
    await store.move("a", Cause.CLAIM)
    await store.checkpoint("a", 1, said(1, "at last"), "en")
    whole = (await store.move("a", Cause.FINISH)).job
    assert (whole.chunks_done, whole.gaps) == (2, ())
    assert [segment.text for segment in await store.segments("a")] == ["fine", "at last"]


async def test_a_complete_job_has_nothing_to_try_again(store: Store) -> None:
    await working(store, 1)
    await store.checkpoint("a", 0, [], None)
    await store.move("a", Cause.FINISH)
    with pytest.raises(IllegalTransition, match="nothing to retry"):
        await store.move("a", Cause.RETRY)


async def test_a_retry_clears_what_was_wrong(store: Store) -> None:
    await working(store, 1)
    failed = (await store.move("a", Cause.FAULT, error=PROBLEM, message="no", finished_at=5.0)).job
    assert failed.error == PROBLEM
    again = (await store.move("a", Cause.RETRY, message="again")).job
    assert (again.error, again.finished_at, again.message) == (None, None, "again")


async def test_a_retry_alone_may_lower_the_progress(store: Store) -> None:
    await working(store)
    await store.move("a", Cause.FAULT, error=PROBLEM, progress=0.9)
    assert (await store.move("a", Cause.RETRY, progress=0.4)).job.progress == 0.4
    assert (await store.move("a", Cause.CLAIM, progress=0.1)).job.progress == 0.4
