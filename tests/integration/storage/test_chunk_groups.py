"""Chunks of several jobs that are written in one transaction."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from testkit.repository import ROOT
from tests.integration.storage.rows import everything, said, span, working
from whisper_service.core.domain import Channels, Chunk, ChunkState, Job, Options, Segment, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage.chunk_writes import ChunkWrite, DoneChunk, FoundChunk
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


def done(job_id: str, index: int, *texts: str, progress: float = 0.5) -> DoneChunk:
    return DoneChunk(job_id, index, said(index, *texts), "en", None, {"progress": progress})


async def test_each_job_is_told_of_once_behind_the_text_of_its_chunks(store: Store) -> None:
    for job_id in ("a", "b"):
        await working(store, 2, job_id)
    since = (await store.change_log.bounds())[1]
    written = await store.write_chunks(
        [
            done("b", 1, "b one", "b two", progress=0.2),
            FoundChunk("a", span(2)),
            done("a", 0, "a one", progress=0.3),
            done("b", 0, "b zero", progress=0.9),
        ]
    )
    assert [one.job.id for one in written] == ["b", "a"]
    changes = [change for one in written for change in one.changes]
    assert changes == await store.change_log.changes(since)
    assert [change.seq for change in changes] == [since + 1 + nth for nth in range(6)]
    kinds = [(change.job_id, change.kind) for change in changes]
    assert kinds == [("b", "segment")] * 3 + [("b", "update"), ("a", "segment"), ("a", "update")]
    for one in written:
        assert msgspec.json.decode(one.changes[-1].payload, type=Job) == one.job == await store.job(one.job.id)
    told = [msgspec.convert(msgspec.json.decode(c.payload)["segment"], Segment) for c in changes if c.kind == "segment"]
    assert [segment.text for segment in told] == ["b one", "b two", "b zero", "a one"]
    assert [(one.job.chunks_done, one.job.chunks_total, one.job.progress) for one in written] == [
        (2, 2, 0.9),
        (1, 3, 0.3),
    ]
    assert await store.chunks("a") == [
        Chunk(span(0), ChunkState.DONE, language="en"),
        Chunk(span(1)),
        Chunk(span(2)),
    ]


async def test_what_cannot_be_written_any_more_keeps_nothing_else_from_being_written(store: Store) -> None:
    await working(store, 2, "a")
    await working(store, 1, "paused")
    await working(store, 1, "over")
    await store.move("paused", Cause.PAUSE)
    await store.move("over", Cause.CANCEL)
    await store.checkpoint("a", 0, said(0, "first"), "en")
    over = await store.job("over")
    written = await store.write_chunks(
        [
            done("a", 0, "again", progress=0.95),
            done("a", 7, "of no chunk", progress=0.95),
            FoundChunk("a", span(1)),
            FoundChunk("paused", span(3)),
            done("over", 0, "late"),
            done("gone", 0, "of no job"),
            done("paused", 0, "kept"),
            done("a", 1, "second", progress=0.6),
            done("a", 1, "twice", progress=0.95),
        ]
    )
    assert [(one.job.id, one.job.progress) for one in written] == [("paused", 0.5), ("a", 0.6)]
    assert [segment.text for segment in await store.segments("a")] == ["first", "second"]
    assert [segment.text for segment in await store.segments("paused")] == ["kept"]
    assert await store.job("over") == over
    assert (await store.job("paused")).status is Status.PAUSED
    before = await everything(store)
    assert await store.write_chunks([done("a", 1, "once more"), FoundChunk("paused", span(9))]) == []
    assert await everything(store) == before


async def test_a_group_in_which_one_write_fails_leaves_nothing(store: Store) -> None:
    await working(store, 2)
    before = await everything(store)
    broken = DoneChunk("a", 1, said(1, "one") * 2, "en")
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: segment\."):
        await store.write_chunks([done("a", 0, "fine"), broken])
    with pytest.raises(ValueError, match="another chunk"):
        DoneChunk("a", 1, said(0, "one"), "en")
    with pytest.raises(TypeError, match="status"):
        await store.write_chunks([done("a", 0, "fine"), FoundChunk("a", span(5), {"status": "completed"})])
    assert await everything(store) == before
    assert [one.job.chunks_done for one in await store.write_chunks([done("a", 0, "fine")])] == [1]


async def test_a_group_writes_what_single_writes_write(store: Store, tmp_path: Path) -> None:
    writes: list[ChunkWrite] = [FoundChunk("a", span(index), {"duration_s": 9.0}) for index in range(40)]
    writes += [
        done("a", index, *(f"{index} {n}" for n in range(index % 4)), progress=index / 40) for index in range(39)
    ]
    async with Store.open(tmp_path / "single.db") as single:
        for one in (store, single):
            await working(one)
        await store.write_chunks(writes)
        for write in writes:
            assert len(await single.write_chunks([write])) == 1
        assert await store.job("a") == await single.job("a")
        assert await store.chunks("a") == await single.chunks("a")
        assert await store.segments("a") == await single.segments("a")
        grouped, alone = [
            [change.payload for change in await each.change_log.changes(0, limit=10_000) if change.kind == "segment"]
            for each in (store, single)
        ]
        assert grouped == alone
        assert len(grouped) > 50  # more than one statement of the log takes


async def test_channels_of_a_group_become_speakers_once(store: Store) -> None:
    await working(store, 2)
    job = await store.job("a")
    assert job.options == Options(channels=Channels.MIX)

    def said_by(index: int, *speakers: str) -> DoneChunk:
        texts = [
            msgspec.structs.replace(segment, speaker=who)
            for segment, who in zip(said(index, *speakers), speakers, strict=True)
        ]
        return DoneChunk("a", index, texts, "en")

    (written,) = await store.write_chunks([said_by(0, "s1"), said_by(1, "s2", "s1")])
    assert [change.kind for change in written.changes] == ["speakers", *["segment"] * 3, "update"]
    assert [known["id"] for known in msgspec.json.decode(written.changes[0].payload)["speakers"]] == ["s1", "s2"]


WRITER = """
import sys, anyio
from pathlib import Path
from tests.integration.storage.rows import said, span, working
from whisper_service.storage.chunk_writes import DoneChunk, FoundChunk
from whisper_service.storage.store import Store

async def main():
    async with Store.open(Path(sys.argv[1])) as store:
        for job in "ab":
            await working(store, 4, job)
        for index in range(1_000_000):
            here = range(4 * index, 4 * index + 4)
            group = [DoneChunk(job, n, said(n, "x", "y"), "en") for n in here for job in "ab"]
            group += [FoundChunk(job, span(n + 4)) for n in here for job in "ab"]
            written = await store.write_chunks(group)
            print(written[-1].changes[-1].seq, flush=True)

anyio.run(main)
"""


async def test_a_group_survives_kill_9_as_a_whole_or_not_at_all(path: Path) -> None:
    async with await anyio.open_process([sys.executable, "-c", WRITER, str(path)], stderr=None, cwd=ROOT) as process:
        assert process.stdout is not None
        said_so = b""
        while said_so.count(b"\n") < 12:
            said_so += await process.stdout.receive()
        process.kill()
        async for more in process.stdout:
            said_so += more
    acknowledged = [int(line) for line in said_so.splitlines(keepends=True) if line.endswith(b"\n")]
    async with Store.open(path) as store:
        groups = len(acknowledged)
        for job_id in "ab":
            job, chunks = await store.job(job_id), await store.chunks(job_id)
            assert job.chunks_done in (4 * groups, 4 * groups + 4)  # the last may be stored and not be told of
            assert job.chunks_total == job.chunks_done + 4 == len(chunks)
            assert [chunk.span.index for chunk in chunks if chunk.state is ChunkState.DONE] == list(
                range(job.chunks_done)
            )
            segments = [(segment.chunk, segment.index) for segment in await store.segments(job_id)]
            assert segments == [(chunk, index) for chunk in range(job.chunks_done) for index in (0, 1)]
            told = await store.change_log.changes(0, job_id=job_id, limit=10**6)
            assert sum(change.kind == "segment" for change in told) == len(segments)
            assert msgspec.json.decode(told[-1].payload, type=Job) == job
        assert (await store.job("a")).chunks_done == (await store.job("b")).chunks_done
        assert (await store.change_log.bounds())[1] >= acknowledged[-1]
