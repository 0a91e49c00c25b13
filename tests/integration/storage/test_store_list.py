"""Listing and reading jobs and their text."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.integration.storage.rows import PROBLEM, new, said, span, working
from whisper_service.core.domain import Gap, Options, Status
from whisper_service.core.errors import NotFound
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


async def test_jobs_are_listed_from_the_newest_page_by_page(store: Store) -> None:
    for number in range(7):
        await store.add(new(f"j{number}"))
    first = await store.jobs(limit=3)
    assert [job.id for job in first] == ["j6", "j5", "j4"]
    assert [job.id for job in await store.jobs(before=first[-1].id, limit=3)] == ["j3", "j2", "j1"]
    assert [job.id for job in await store.jobs(before="j0")] == []


async def test_jobs_are_filtered_by_status(store: Store) -> None:
    for job_id in "abc":
        await store.add(new(job_id))
    await store.move("b", Cause.PAUSE)
    await store.move("c", Cause.CANCEL)
    assert [job.id for job in await store.jobs(status=[Status.PAUSED])] == ["b"]
    assert [job.id for job in await store.jobs(status={Status.PAUSED, Status.PENDING})] == ["b", "a"]
    assert [job.id for job in await store.jobs(status=list(Status), before="c")] == ["b", "a"]
    counts = await store.count()
    assert set(counts) == set(Status)
    assert counts == dict.fromkeys(Status, 0) | {Status.PENDING: 1, Status.PAUSED: 1, Status.CANCELLED: 1}


async def test_the_newest_job_with_the_same_bytes_and_options(store: Store) -> None:
    english = Options(language="en")
    await store.add(new("a", sha256="11"))
    await store.add(new("b", sha256="11", options=english))
    await store.add(new("c", sha256="11"))
    await store.add(new("d", sha256="22"))
    assert [
        job and job.id
        for job in (await store.find_duplicate("11", Options()), await store.find_duplicate("11", english))
    ] == [
        "c",
        "b",
    ]
    assert await store.find_duplicate("11", Options(language="zh")) is None
    assert await store.find_duplicate("33", Options()) is None


async def test_text_is_settled_up_to_the_first_chunk_that_waits(store: Store) -> None:
    await working(store, chunks=4)
    assert await store.final_chunks("a") == 0
    await store.checkpoint("a", 1, said(1, "two"), "en")
    assert await store.final_chunks("a") == 0, "what comes first may still come"
    await store.checkpoint("a", 0, said(0, "one", "and a half"), "en")
    assert await store.final_chunks("a") == 2
    await store.fail_chunk("a", 2, PROBLEM, Gap(2.0, 3.0, "crash"))
    assert await store.final_chunks("a") == 3
    await store.checkpoint("a", 3, [], "en")
    assert await store.final_chunks("a") == 4
    assert await store.final_chunks("nobody") == 0
    assert [s.text for s in await store.segments("a", first=1, before=4)] == ["two"]
    assert [s.text for s in await store.segments("a", before=1)] == ["one", "and a half"]


async def test_what_is_not_there(store: Store) -> None:
    for act in (store.job("x"), store.move("x", Cause.PAUSE), store.delete("x")):
        with pytest.raises(NotFound) as caught:
            await act
        assert caught.value.params == {"id": "x"}
    assert await store.update("x", expected=Status.PENDING) is None
    assert await store.add_chunk("x", span(0)) is None
    assert await store.checkpoint("x", 0, [], None) is None
    assert await store.fail_chunk("x", 0, PROBLEM, Gap(0, 1, "")) is None
    assert (await store.chunks("x"), await store.segments("x"), await store.change_log.changes(0)) == ([], [], [])
    assert await store.change_log.bounds() == (0, 0)


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        ("SELECT * FROM kept WHERE status = 'pending' ORDER BY rank, id LIMIT 10", "job_by_turn"),
        ("SELECT * FROM kept WHERE true AND id < 'x' ORDER BY id DESC LIMIT 50", "sqlite_autoindex_job_1"),
        ("SELECT * FROM job WHERE sha256 = 'x' ORDER BY id DESC", "job_by_content"),
        ("SELECT * FROM change WHERE job_id = 'x' AND seq > 5 ORDER BY seq LIMIT 500", "change_by_job"),
        ("SELECT * FROM change WHERE seq > 5 ORDER BY seq LIMIT 500", "PRIMARY KEY"),
        ("SELECT count(*) FROM chunk WHERE job_id = 'x' AND state = 'done'", "COVERING INDEX chunk_by_state"),
        ("SELECT status, count(*) FROM kept GROUP BY status", "COVERING INDEX job_by_status"),
        ("SELECT * FROM kept WHERE status = 'failed' AND id < 'x' ORDER BY id DESC LIMIT 50", "job_by_status"),
        ("SELECT * FROM segment WHERE job_id = 'x' ORDER BY chunk, \"index\"", "sqlite_autoindex_segment_1"),
    ],
)
async def test_what_is_read_often_needs_no_sorting(store: Store, path: Path, sql: str, index: str) -> None:
    with sqlite3.connect(path) as connection:
        plan = " | ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
    connection.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan
