"""Writes that are many at once, interrupted, killed, or out of room."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from testkit.repository import ROOT
from tests.integration.storage.rows import everything, new, said, working
from whisper_service.core.domain import ChunkState, Job, Status
from whisper_service.core.errors import DiskFull
from whisper_service.storage import database
from whisper_service.storage.change_log import Written
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_writers_take_turns(store: Store) -> None:
    written: list[Written] = []

    async def write(number: int) -> None:
        written.append(await store.add(new(f"j{number:02}")))
        moved = await store.update(f"j{number:02}", expected=Status.PENDING, message="x")
        assert moved is not None
        written.append(moved)

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(write, number)
    assert [w.changes[0].seq for w in written] == list(range(1, 81))
    assert await store.change_log.changes(0) == [change for w in written for change in w.changes]


async def test_a_write_that_has_begun_is_finished_although_its_caller_is_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a change could be committed and never be published."""
    await working(store, 1)
    set_fields = store._set
    written: Written | None = None
    with anyio.CancelScope() as scope:

        async def cancel_halfway(*arguments: Any) -> Job:
            scope.cancel()
            return await set_fields(*arguments)

        monkeypatch.setattr(store, "_set", cancel_halfway)
        written = await store.update("a", expected=Status.PROCESSING, message="kept")
        await anyio.lowlevel.checkpoint()
        pytest.fail("the caller was not cancelled")
    assert written is not None
    assert (await store.change_log.changes(0))[-1:] == list(written.changes)
    assert (await store.job("a")).message == "kept"


async def test_a_write_on_the_thread_of_the_database_is_finished_although_its_caller_is_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await working(store, 1)
    set_fields, loop, done = store._set, asyncio.get_running_loop(), threading.Event()
    written: Written | None = None
    with anyio.CancelScope() as scope:

        def cancel() -> None:
            scope.cancel()
            done.set()

        async def cancel_halfway(*arguments: Any) -> Job:
            loop.call_soon_threadsafe(cancel)
            assert done.wait(30)
            return await set_fields(*arguments)

        monkeypatch.setattr(store, "_set", cancel_halfway)
        written = await store.checkpoint("a", 0, said(0, "kept"), "en")
        await anyio.lowlevel.checkpoint()
        pytest.fail("the caller was not cancelled")
    assert written is not None
    assert (await store.change_log.changes(0))[-2:] == list(written.changes)
    assert [segment.text for segment in await store.segments("a")] == ["kept"]


async def test_a_transaction_on_the_thread_of_the_database_waits_for_nothing_else(store: Store) -> None:
    """What it would wait for never comes there. The database is as it was, and takes the next write."""

    async def body() -> None:
        await store._db.run("DELETE FROM job")
        await asyncio.sleep(0)

    await store.add(new())
    with pytest.raises(RuntimeError, match="waited for something else"):
        await store._db.at_once(body)
    assert [job.id for job in await store.jobs()] == ["a"]
    await store.add(new("b"))


async def test_a_write_that_waits_for_its_turn_can_be_cancelled(store: Store) -> None:
    async with anyio.create_task_group() as tasks, store._db.lock:
        tasks.start_soon(store.add, new())
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert await store.jobs() == []
    await store.add(new())


async def test_readers_see_nothing_before_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Job]] = []
    log = store.change_log.append

    async def look(*arguments: Any) -> Any:
        seen.append(await store.jobs())
        return await log(*arguments)

    monkeypatch.setattr(store.change_log, "append", look)
    await store.add(new())
    assert seen == [[]]
    assert [job.id for job in await store.jobs()] == ["a"]


async def test_a_full_disk_is_told_apart_and_survived(store: Store) -> None:
    await store.add(new())
    before = await everything(store)
    pages = await database.pragma(store._db.writer, "page_count")
    await store._db.writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        await store.add(new("b", name="x" * 100_000))
    assert await everything(store) == before
    await store._db.writer.execute("PRAGMA max_page_count = 1000000")
    await store.add(new("b"))


WRITER = """
import sys, anyio
from pathlib import Path
from tests.integration.storage.rows import new, said, span
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

async def main():
    async with Store.open(Path(sys.argv[1])) as store:
        await store.add(new())
        await store.move("a", Cause.CLAIM)
        for index in range(1_000_000):
            await store.add_chunk("a", span(index))
            written = await store.checkpoint("a", index, said(index, "x", "y"), "en")
            print(written.changes[-1].seq, flush=True)

anyio.run(main)
"""


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    async with await anyio.open_process([sys.executable, "-c", WRITER, str(path)], stderr=None, cwd=ROOT) as process:
        assert process.stdout is not None
        said_so = b""
        while said_so.count(b"\n") < 25:
            said_so += await process.stdout.receive()
        process.kill()
        async for more in process.stdout:
            said_so += more
    acknowledged = [int(line) for line in said_so.splitlines(keepends=True) if line.endswith(b"\n")]
    async with Store.open(path) as store:
        _, newest = await store.change_log.bounds()
        assert newest >= acknowledged[-1]
        changes = await store.change_log.changes(0, limit=10**6)
        assert [change.seq for change in changes] == list(range(1, newest + 1))
        done = [chunk.span.index for chunk in await store.chunks("a") if chunk.state is ChunkState.DONE]
        assert len(done) >= len(acknowledged)
        assert [(s.chunk, s.index) for s in await store.segments("a")] == [(index, i) for index in done for i in (0, 1)]
        (recovered,) = await store.recover()
        assert recovered.job.chunks_done == len(done)
        assert recovered.changes[0].seq == newest + 1
