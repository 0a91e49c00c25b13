"""Deleting a job, and pruning the change log."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.integration.storage.rows import new, said, working
from whisper_service.core.domain import Status
from whisper_service.core.errors import NotFound
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_a_deleted_job_is_gone_but_for_the_news(store: Store, path: Path) -> None:
    await working(store, 2)
    await store.checkpoint("a", 0, said(0, "secret"), "en")
    await store.add(new("b"))
    change = await store.delete("a")
    assert (change.kind, change.job_id, msgspec.json.decode(change.payload)) == ("deleted", "a", {"id": "a"})
    assert [(c.job_id, c.kind) for c in await store.change_log.changes(0)] == [("b", "update"), ("a", "deleted")]
    with sqlite3.connect(path) as connection:
        for table in ("chunk", "segment"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()
    with pytest.raises(NotFound):
        await store.job("a")


async def test_numbers_are_never_given_twice(path: Path) -> None:
    async with Store.open(path) as store:
        await working(store, 2)
        last = (await store.delete("a")).seq
        await store.change_log.prune(0)
        assert await store.change_log.changes(0) == []
        assert await store.change_log.bounds() == (last, last)
    async with Store.open(path) as store:
        assert (await store.add(new("b"))).changes[0].seq == last + 1


async def test_pruning_keeps_the_newest(store: Store) -> None:
    await store.change_log.prune(0)
    assert await store.change_log.bounds() == (0, 0)
    for number in range(10):
        await store.add(new(f"j{number}"))
    await store.change_log.prune(100)
    assert await store.change_log.bounds() == (0, 10)
    await store.change_log.prune(4)
    assert await store.change_log.bounds() == (6, 10)
    assert [change.seq for change in await store.change_log.changes(0)] == [7, 8, 9, 10]
    await store.change_log.prune(9)
    assert await store.change_log.bounds() == (6, 10)  # what is gone does not come back


async def test_pruning_spares_what_is_too_new(store: Store) -> None:
    for number in range(10):
        await store.add(new(f"j{number}"))
    await store.change_log.prune(2, up_to=0)
    assert await store.change_log.bounds() == (0, 10)
    await store.change_log.prune(2, up_to=5)
    assert [change.seq for change in await store.change_log.changes(0)] == [6, 7, 8, 9, 10]
    await store.change_log.prune(2, up_to=9)  # the number binds as well
    assert await store.change_log.bounds() == (8, 10)
    await store.change_log.prune(0, up_to=3)
    assert await store.change_log.bounds() == (8, 10)


async def test_pruning_goes_page_by_page_and_all_of_it_counts_from_the_first(store: Store) -> None:
    for number in range(10):
        await store.add(new(f"j{number}"))
    assert await store.change_log.prune(2, page=3)
    assert await store.change_log.bounds() == (8, 10)
    assert [change.seq for change in await store.change_log.changes(0)] == list(range(4, 11))
    assert await store.change_log.prune(2, page=3)
    assert not await store.change_log.prune(2, page=3)
    assert [change.seq for change in await store.change_log.changes(0)] == [9, 10]
    assert not await store.change_log.prune(2, page=3)


async def test_changes_of_one_job_or_of_all(store: Store) -> None:
    for job_id in "abab":
        if job_id not in {job.id for job in await store.jobs()}:
            await store.add(new(job_id))
        await store.update(job_id, expected=Status.PENDING, message="x")
    assert [change.seq for change in await store.change_log.changes(2)] == [3, 4, 5, 6]
    assert [change.seq for change in await store.change_log.changes(2, limit=2)] == [3, 4]
    assert [change.seq for change in await store.change_log.changes(1, job_id="a")] == [2, 5]
    assert [change.seq for change in await store.change_log.changes(0, job_id="b", limit=1)] == [3]
    assert await store.change_log.changes(6) == []
