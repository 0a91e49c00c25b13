"""Adding chunks and their text."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from tests.integration.storage.rows import PROBLEM, everything, new, said, span, working
from whisper_service.core.domain import Chunk, ChunkState, Gap, Phase, Segment, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_a_chunk_is_added_once_and_counted(store: Store) -> None:
    await working(store)
    written = await store.add_chunk("a", span(0), duration_s=60.0)
    assert written is not None
    assert (written.job.chunks_total, written.job.chunks_done, written.job.duration_s) == (1, 0, 60.0)
    before = await everything(store)
    assert await store.add_chunk("a", msgspec.structs.replace(span(0), samples=5), duration_s=1.0) is None
    assert await everything(store) == before
    assert await store.chunks("a") == [Chunk(span=span(0))]


async def test_chunks_come_only_to_a_job_in_work(store: Store) -> None:
    await store.add(new())
    assert await store.add_chunk("a", span(0)) is None
    await store.move("a", Cause.PAUSE)
    assert await store.add_chunk("a", span(0)) is None
    assert await store.chunks("a") == []


async def test_a_checkpoint_is_text_state_and_news_in_one(store: Store) -> None:
    await working(store, 2)
    texts = said(1, "one", "two", "three")
    written = await store.checkpoint("a", 1, texts, "de", progress=0.5, position_s=2.0)
    assert written is not None
    assert [change.kind for change in written.changes] == ["segment", "segment", "segment", "update"]
    told = [msgspec.json.decode(change.payload) for change in written.changes[:-1]]
    assert [msgspec.convert(news["segment"], Segment) for news in told] == texts
    assert {news["job_id"] for news in told} == {change.job_id for change in written.changes} == {"a"}
    assert [change.seq for change in written.changes] == [5, 6, 7, 8]
    assert (written.job.chunks_done, written.job.chunks_total) == (1, 2)
    assert await store.chunks("a") == [Chunk(span(0)), Chunk(span(1), ChunkState.DONE, language="de")]
    assert await store.segments("a") == texts


async def test_a_repeated_checkpoint_does_nothing(store: Store) -> None:
    await working(store, 1)
    await store.checkpoint("a", 0, said(0, "first"), "en")
    before = await everything(store)
    assert await store.checkpoint("a", 0, said(0, "second"), "en", progress=0.9) is None
    assert await store.checkpoint("a", 7, said(7, "unknown"), "en") is None
    assert await store.fail_chunk("a", 0, PROBLEM, Gap(0, 1, "late")) is None
    assert await everything(store) == before


async def test_silence_is_a_result(store: Store) -> None:
    await working(store, 1)
    written = await store.checkpoint("a", 0, [], None)
    assert written is not None
    assert len(written.changes) == 1
    assert (await store.move("a", Cause.FINISH)).job.chunks_done == 1


async def test_segments_are_in_order_however_they_came(store: Store) -> None:
    await working(store, 12)
    for index in (11, 2, 0, 10, 1):
        await store.checkpoint("a", index, list(reversed(said(index, "x", "y"))), "en")
    found = [(segment.chunk, segment.index) for segment in await store.segments("a")]
    assert found == [(chunk, index) for chunk in (0, 1, 2, 10, 11) for index in (0, 1)]


async def test_a_batch_in_flight_still_counts_while_paused_but_not_after_a_cancel(store: Store) -> None:
    await working(store, 2)
    await store.move("a", Cause.PAUSE)
    written = await store.checkpoint("a", 0, said(0, "kept"), "en", phase=Phase.TRANSCRIBING)
    assert written is not None
    assert (written.job.status, written.job.phase, written.job.chunks_done) == (Status.PAUSED, None, 1)
    await store.move("a", Cause.CANCEL)
    before = await everything(store)
    assert await store.checkpoint("a", 1, said(1, "late"), "en") is None
    assert await everything(store) == before
    assert [segment.text for segment in await store.segments("a")] == ["kept"]


async def test_a_checkpoint_that_fails_halfway_leaves_nothing(store: Store) -> None:
    await working(store, 1)
    before = await everything(store)
    twice = said(0, "one") * 2
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: segment\."):
        await store.checkpoint("a", 0, twice, "en")
    with pytest.raises(ValueError, match="another chunk"):
        await store.checkpoint("a", 0, said(1, "one"), "en")
    assert await everything(store) == before
    assert await store.checkpoint("a", 0, said(0, "one"), "en") is not None
