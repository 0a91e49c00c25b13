"""The store over a real file: what a write does, what it refuses, and what is left when it is interrupted."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import anyio
import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.repository import ROOT
from testkit.strategies import values
from whisper_service.core.domain import (
    CALL_RANK,
    Chunk,
    ChunkState,
    Gap,
    Job,
    LinkOrigin,
    Options,
    Phase,
    Problem,
    Segment,
    Span,
    Status,
    Word,
)
from whisper_service.core.errors import DiskFull, IllegalTransition, NotFound, StoreBroken, StoreBusy
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.core.job_states import Cause
from whisper_service.storage import database
from whisper_service.storage import store as module
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.storage.store import Store, Written

pytestmark = pytest.mark.anyio

PROBLEM = Problem(code="crashed", message="It crashed.", hint="Try again.", params={"detail": "core dumped"})


def new(job_id: str = "a", **fields: Any) -> Job:
    known: dict[str, Any] = {
        "name": f"{job_id}.mp3",
        "options": Options(),
        "created_at": 1.5,
        "bytes": 3,
        "sha256": "00",
    }
    return Job(id=job_id, status=Status.PENDING, **known | fields)


def span(index: int) -> Span:
    return Span(index, index * 16_000, 16_000, start=index + 0.1, end=index + 1.1)


def said(chunk: int, *texts: str) -> list[Segment]:
    return [
        Segment(
            chunk,
            index,
            chunk + index / 10,
            chunk + index / 10 + 0.05,
            text,
            (Word(1 / 3, 2 / 3, text, 0.9),),
            "en",
            -0.25,
        )
        for index, text in enumerate(texts)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "whisper_service.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with Store.open(path) as opened:
        yield opened


async def working(store: Store, chunks: int = 0, job_id: str = "a") -> Job:
    """A job in work with this many waiting chunks."""
    await store.add(new(job_id))
    job = (await store.move(job_id, Cause.CLAIM, phase=Phase.DECODING)).job
    for index in range(chunks):
        written = await store.add_chunk(job_id, span(index))
        assert written is not None
        job = written.job
    return job


async def everything(store: Store) -> tuple[Any, ...]:
    """All that can be read, to compare before and after."""
    jobs = await store.jobs(limit=1_000)
    parts = [(job, await store.chunks(job.id), await store.segments(job.id)) for job in jobs]
    return parts, await store.change_log.changes(0, limit=10_000), await store.change_log.bounds()


# -- values ----------------------------------------------------------------------------------------------------------


@st.composite
def any_job(draw: st.DrawFn) -> Job:
    """A pending job with anything in its fields."""
    job: Job = draw(values(Job))
    language = draw(st.none() | st.from_regex(r"[a-z]{2,3}", fullmatch=True))
    options = msgspec.structs.replace(job.options, model=job.options.model or "auto", language=language)
    return msgspec.structs.replace(
        job, id=f"job-{job.id}", status=Status.PENDING, phase=None, options=options, bytes=abs(job.bytes) % 2**62,
        attempts=abs(job.attempts) % 2**62, progress=draw(st.floats(0, 1)), chunks_done=0, chunks_total=0,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(job=any_job())
async def test_a_job_comes_out_as_it_went_in(job: Job) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with Store.open(Path(directory) / "db") as store:
            written = await store.add(job)
            read = await store.job(job.id)
    kept = msgspec.structs.replace(
        job, rank=job.rank if job.rank < 0 else written.job.rank
    )  # its place is the store's to say
    assert read == written.job == kept
    assert msgspec.json.encode(read) == msgspec.json.encode(kept) == written.changes[0].payload


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(values(Segment), max_size=4), problem=values(Problem), gap=values(Gap))
async def test_text_and_problems_come_out_as_they_went_in(texts: list[Segment], problem: Problem, gap: Gap) -> None:
    segments = [msgspec.structs.replace(text, chunk=0, index=index) for index, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as directory:
        async with Store.open(Path(directory) / "db") as store:
            await working(store, 2)
            await store.checkpoint("a", 0, segments, "en")
            await store.fail_chunk("a", 1, problem, gap)
            await store.move("a", Cause.FAULT, error=problem)
            assert await store.segments("a") == segments
            assert [repr(segment) for segment in await store.segments("a")] == list(map(repr, segments))  # 1.0 is not 1
            assert (await store.chunks("a"))[1].error == problem
            job = await store.job("a")
            assert (job.gaps, job.error) == ((gap,), problem)


async def test_the_parameters_of_a_problem_may_be_anything(store: Store) -> None:
    await working(store)
    written = await store.move("a", Cause.FAULT, error=Problem("x", "y", params={"file": Path("/data/x")}))
    assert written.job.error is not None
    assert written.job.error.params == {"file": str(Path("/data/x"))}


async def test_a_change_is_the_job_as_the_api_shows_it(store: Store) -> None:
    await working(store, 1)
    written = await store.checkpoint("a", 0, said(0, "one"), "en", progress=0.5)
    assert written is not None
    assert written.changes[-1].payload == msgspec.json.encode(await store.job("a")) == msgspec.json.encode(written.job)
    assert b'"created_at":1.5' in written.changes[-1].payload
    assert await store.change_log.changes(0) == [*(await store.change_log.changes(0, limit=3)), *written.changes]


# -- reads -----------------------------------------------------------------------------------------------------------


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


async def test_the_queue_goes_by_rank_then_age(store: Store) -> None:
    for job_id in "abcd":
        await store.add(new(job_id))
    await store.move("c", Cause.FRONT, rank=-1.0)
    await store.move("d", Cause.FRONT, rank=-2.0)
    await store.move("a", Cause.CLAIM)
    assert [job.id for job in await store.queue(10)] == ["d", "c", "b"]
    assert [job.id for job in await store.queue(1)] == ["d"]


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


async def test_how_sure_a_language_is_is_kept(store: Store) -> None:
    await working(store, chunks=2)
    await store.checkpoint("a", 0, [], "de", probability=0.75)
    await store.checkpoint("a", 1, [], "de")
    assert [(chunk.language, chunk.language_probability) for chunk in await store.chunks("a")] == [
        ("de", 0.75),
        ("de", None),
    ]


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


# -- moves and updates -----------------------------------------------------------------------------------------------


async def test_a_refused_move_leaves_no_trace(store: Store) -> None:
    await store.add(new())
    before = await everything(store)
    with pytest.raises(IllegalTransition) as caught:
        await store.move("a", Cause.FINISH, message="no")
    assert caught.value.params["status"] == "pending"
    assert await everything(store) == before


async def test_a_new_job_must_be_pending(store: Store) -> None:
    with pytest.raises(ValueError, match="pending"):
        await store.add(msgspec.structs.replace(new(), status=Status.PAUSED))
    assert await store.jobs() == []


async def test_the_same_job_is_not_added_twice(store: Store) -> None:
    await store.add(new())
    with pytest.raises(sqlite3.IntegrityError):
        await store.add(new())
    assert len(await store.change_log.changes(0)) == 1


@pytest.mark.parametrize("field", ["titel", "id", "status", "options", "sha256", "gaps", "chunks_done", "chunks_total"])
async def test_fields_that_cannot_be_set(store: Store, field: str) -> None:
    await working(store, 1)
    before = await everything(store)
    gap = Gap(0, 1, "")
    for act in (
        store.move("a", Cause.PAUSE, **{field: "x"}),
        store.update("a", expected=Status.PROCESSING, **{field: "x"}),
        store.add_chunk("a", span(1), **{field: "x"}),
        store.checkpoint("a", 0, [], None, **{field: "x"}),
        store.fail_chunk("a", 0, PROBLEM, gap, **{field: "x"}),
        store.recover(**{field: "x"}),
    ):
        with pytest.raises(TypeError, match=field):
            await act
    assert await everything(store) == before


async def test_an_update_is_for_the_expected_status_only(store: Store) -> None:
    await store.add(new())
    assert await store.update("a", expected=Status.PROCESSING, message="x") is None
    written = await store.update("a", expected=Status.PENDING, message="x", duration_s=12.5)
    assert written is not None
    assert (written.job.message, written.job.duration_s, written.job.status) == ("x", 12.5, Status.PENDING)
    assert len(await store.change_log.changes(0)) == 2


async def test_progress_never_falls(store: Store) -> None:
    await working(store)
    for progress, expected in [(0.5, 0.5), (0.25, 0.5), (0.75, 0.75)]:
        written = await store.update("a", expected=Status.PROCESSING, progress=progress)
        assert written is not None
        assert written.job.progress == expected
    assert (await store.move("a", Cause.FAULT, error=PROBLEM, progress=0.0)).job.progress == 0.75


@pytest.mark.parametrize(
    "fields", [{"progress": 1.01}, {"phase": "thinking"}, {"attempts": -1}, {"message": None}, {"speed": "fast"}]
)
async def test_the_database_itself_refuses_nonsense(store: Store, fields: dict[str, Any]) -> None:
    await working(store)
    before = await everything(store)
    with pytest.raises(sqlite3.IntegrityError):
        await store.update("a", expected=Status.PROCESSING, **fields)
    assert await everything(store) == before
    assert await store.update("a", expected=Status.PROCESSING, message="goes on") is not None


@pytest.mark.parametrize("cause", [Cause.PAUSE, Cause.CANCEL, Cause.FAULT, Cause.RECOVER, Cause.FINISH])
async def test_only_a_job_in_work_has_a_phase(store: Store, cause: Cause) -> None:
    assert (await working(store)).phase is Phase.DECODING
    assert (await store.move("a", cause)).job.phase is None


# -- chunks ----------------------------------------------------------------------------------------------------------


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


async def test_what_is_in_the_trash_is_not_counted_until_it_comes_back(store: Store) -> None:
    await working(store, 1)
    counted = await store.count()
    assert counted[Status.PROCESSING] == sum(counted.values()) == 1
    await store.trash("a", 1.0)
    assert sum((await store.count()).values()) == 0
    restored = await store.restore("a")
    assert (await store.count())[restored.job.status] == sum((await store.count()).values()) == 1
    await store.delete("a")
    assert sum((await store.count()).values()) == 0


async def test_kills_are_counted_apart_and_a_retry_forgets_both(store: Store) -> None:
    await working(store, 2)
    await store.count_attempts([("a", 0), ("a", 1)])
    await store.count_attempts([("a", 1)], killed=True)
    assert [(chunk.attempts, chunk.kills) for chunk in await store.chunks("a")] == [(1, 0), (1, 1)]
    await store.fail_chunk("a", 1, PROBLEM, Gap(1.0, 2.0, "crash"))
    await store.move("a", Cause.FAULT, error=PROBLEM)
    await store.move("a", Cause.RETRY)
    assert [(chunk.attempts, chunk.kills) for chunk in await store.chunks("a")] == [(1, 0), (0, 0)]


async def test_what_keeps_all_from_going_on_is_told_once_to_whoever_waits(store: Store) -> None:
    await working(store, 1, "working")
    await store.add(new("b"))
    await store.add(new("a"))
    first = await store.set_waiting_problem(PROBLEM, "Waits.")
    assert [(written.job.id, written.job.problem, written.job.message) for written in first] == [
        ("b", PROBLEM, "Waits."), ("a", PROBLEM, "Waits."),
    ]  # fmt: skip
    assert await store.set_waiting_problem(PROBLEM, "Waits.") == []
    await store.add(new("c"))
    assert [written.job.id for written in await store.set_waiting_problem(PROBLEM, "Waits.")] == ["c"]
    other = msgspec.structs.replace(PROBLEM, message="Something else.")
    assert len(await store.set_waiting_problem(other, "Waits.")) == 3
    assert [written.job.problem for written in await store.set_waiting_problem(None, "")] == [None] * 3
    assert await store.set_waiting_problem(None, "") == []
    assert (await store.job("working")).problem is None


async def test_where_a_model_stands_is_known_for_each_device(store: Store) -> None:
    standing = Fallback(Rung("cuda", "int8_float16", 1, 2), 12.5, PROBLEM, 1800.0, climbed=True)
    await store.service_state.set_fallback("cuda", "base", standing)
    await store.service_state.set_fallback("cuda", "base", msgspec.structs.replace(standing, at=13.0))
    assert await store.service_state.fallback("cuda", "base") == msgspec.structs.replace(standing, at=13.0)
    assert await store.service_state.fallback("cpu", "base") is None
    assert await store.service_state.fallback("cuda", "small") is None
    await store.service_state.set_fallback("cuda", "base", None)
    assert await store.service_state.fallback("cuda", "base") is None


async def test_a_checkpoint_that_fails_halfway_leaves_nothing(store: Store) -> None:
    await working(store, 1)
    before = await everything(store)
    twice = said(0, "one") * 2
    with pytest.raises(sqlite3.IntegrityError):
        await store.checkpoint("a", 0, twice, "en")
    with pytest.raises(ValueError, match="another chunk"):
        await store.checkpoint("a", 0, said(1, "one"), "en")
    assert await everything(store) == before
    assert await store.checkpoint("a", 0, said(0, "one"), "en") is not None


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


async def test_a_job_cannot_finish_while_a_chunk_waits(store: Store) -> None:
    await working(store, 2)
    await store.checkpoint("a", 0, [], None)
    with pytest.raises(IllegalTransition, match="1 of its chunks"):
        await store.move("a", Cause.FINISH)
    assert (await store.job("a")).status is Status.PROCESSING


async def test_a_job_of_gaps_alone_does_not_finish(store: Store) -> None:
    await working(store, 2)
    for index in range(2):
        await store.fail_chunk("a", index, PROBLEM, Gap(0.0, 1.0, "It crashed."))
    with pytest.raises(IllegalTransition, match="all its chunks"):
        await store.move("a", Cause.FINISH)
    failed = (await store.move("a", Cause.FAULT, error=PROBLEM)).job
    assert len(failed.gaps) == 2
    assert (await store.move("a", Cause.RETRY)).job.gaps == ()


async def test_a_retry_alone_may_lower_the_progress(store: Store) -> None:
    await working(store)
    await store.move("a", Cause.FAULT, error=PROBLEM, progress=0.9)
    assert (await store.move("a", Cause.RETRY, progress=0.4)).job.progress == 0.4
    assert (await store.move("a", Cause.CLAIM, progress=0.1)).job.progress == 0.4


async def test_recovery_puts_work_back_into_the_queue(store: Store) -> None:
    for job_id in "abc":
        await working(store, 2, job_id)
    await store.checkpoint("a", 0, said(0, "kept"), "en")
    await store.move("c", Cause.PAUSE)
    before = await store.chunks("a")
    written = await store.recover(message="Goes on.", speed=None)
    assert [(w.job.id, w.job.status, w.job.message, w.job.phase) for w in written] == [
        ("a", Status.PENDING, "Goes on.", None),
        ("b", Status.PENDING, "Goes on.", None),
    ]
    assert [w.changes[0].seq for w in written] == sorted(w.changes[0].seq for w in written)
    assert await store.chunks("a") == before
    assert (await store.job("c")).status is Status.PAUSED
    assert await store.recover() == []


# -- the log ---------------------------------------------------------------------------------------------------------


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


# -- many at once, interrupted, out of room --------------------------------------------------------------------------


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
        written = await store.checkpoint("a", 0, said(0, "kept"), "en")
        await anyio.lowlevel.checkpoint()
        pytest.fail("the caller was not cancelled")
    assert written is not None
    assert (await store.change_log.changes(0))[-2:] == list(written.changes)
    assert [segment.text for segment in await store.segments("a")] == ["kept"]


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
from tests.integration.storage.test_store import new, said, span
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


# -- the file --------------------------------------------------------------------------------------------------------


async def test_the_safety_belts_are_on(store: Store) -> None:
    settings = {
        name: await database.pragma(store._db.writer, name) for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert (
        await database.pragma(store._db.reader, "busy_timeout")
        == await database.pragma(store._db.writer, "busy_timeout")
        == 5_000
    )
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store._db.reader.execute("DELETE FROM job")
    tables = await store._db.reader.execute_fetchall(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    known = (
        "job",
        "chunk",
        "segment",
        "change",
        "pruned",
        "model",
        "delivery",
        "webhook",
        "standing",
        "document",
        "setting",
        "tally",
    )
    assert dict(map(tuple, tables)) == dict.fromkeys(known, 1)


async def test_everything_is_there_when_the_file_is_opened_again(path: Path) -> None:
    async with Store.open(path) as store:
        await working(store, 2)
        await store.checkpoint("a", 0, said(0, "one"), "en")
        before = await everything(store)
    assert not path.with_name(f"{path.name}-wal").exists()
    async with Store.open(path) as store:
        assert await everything(store) == before


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def scribble(path: Path, data: bytes, at: int = 0) -> None:
    """Write over a part of a file."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(at)
        file.write(data)


@contextmanager
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # one that has been told to end may still be at it
        assert not thread.is_alive()


async def refused(path: Path) -> StoreBroken:
    """Why this file is not opened; nothing about it may change, and no thread may be left behind."""
    before = content(path)
    with no_thread_left(), pytest.raises(StoreBroken) as caught:
        async with Store.open(path):
            pytest.fail("was opened")
    assert content(path) == before
    assert caught.value.problem.hint
    return caught.value


async def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    scribble(path, b"Dear diary, " * 1_000)
    error = await refused(path)
    assert error.code == "database_broken"
    assert "is not a database" in error.message
    assert str(path) in error.message


async def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()
    assert "another program" in (await refused(path)).message


async def test_a_database_from_the_future_is_left_alone(path: Path) -> None:
    async with Store.open(path) as store:
        await store.add(new())
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    error = await refused(path)
    assert "newer version" in error.message
    assert "99" in error.message


async def test_a_damaged_database_is_left_alone(path: Path) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    scribble(path, b"\xa5" * 4096 * 4, at=4096 * 8)
    assert "damaged" in (await refused(path)).message


async def test_a_database_is_read_through_only_when_it_may_have_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    pragma = database.pragma

    async def watched(connection: aiosqlite.Connection, text: str) -> Any:
        asked.append(text)
        return await pragma(connection, text)

    monkeypatch.setattr(database, "pragma", watched)
    looks = []
    for _ in range(2):
        async with Store.open(path) as store:
            await store.add(new(f"j{len(looks)}"))
        looks.append("quick_check(1)" in asked)
        asked.clear()
    os.utime(path)
    async with Store.open(path):
        looks.append("quick_check(1)" in asked)
    assert looks == [True, False, True]


async def test_damage_that_is_met_while_in_use_has_the_next_start_look(path: Path) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    as_it_was = os.stat(path)  # noqa: PTH116 - it does not block
    half = as_it_was.st_size // 8192 * 4096
    scribble(path, b"\xa5" * half, at=half)
    os.utime(path, ns=(as_it_was.st_atime_ns, as_it_was.st_mtime_ns))  # as if the disk had done it
    async with Store.open(path) as store:
        with pytest.raises(StoreBroken):
            await store.change_log.changes(0, limit=1_000)
    assert "damaged" in (await refused(path)).message


@pytest.mark.parametrize(("at", "size"), [(0, 16), (16, 20), (0, 100), (4096, 4096)])
async def test_a_database_with_a_broken_head_is_left_alone(path: Path, at: int, size: int) -> None:
    async with Store.open(path) as store:
        await store.add(new())
    scribble(path, b"\xa5" * size, at=at)
    assert (await refused(path)).code == "database_broken"


@pytest.mark.parametrize("left", [0.3, 0.7, 0.9])
async def test_a_database_that_was_cut_off_is_left_alone(path: Path, left: float) -> None:
    async with Store.open(path) as store:
        for number in range(200):
            await store.add(new(f"j{number:03}"))
    os.truncate(path, int(left * os.path.getsize(path)))  # noqa: ASYNC240, PTH202 - it does not block
    assert (await refused(path)).code == "database_broken"


async def test_who_waited_in_vain_for_another_program_does_not_make_the_next_wait(path: Path) -> None:
    async with Store.open(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        waits = []
        for _ in range(2):
            with pytest.raises(StoreBusy):
                await store.add(new())
            waits.append(await database.pragma(store._db.writer, "busy_timeout"))
        assert (await store.jobs()) == []  # reading goes on
        holder.close()
        await store.add(new())
        waits.append(await database.pragma(store._db.writer, "busy_timeout"))
    assert waits == [database.BUSY_RETRY_MS, database.BUSY_RETRY_MS, database.BUSY_TIMEOUT_MS]


async def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    assert "cannot be opened" in (await refused(tmp_path / "missing" / "db")).message
    assert "cannot be opened" in (await refused(tmp_path)).message


async def test_a_database_that_another_program_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with no_thread_left(), pytest.raises(StoreBusy) as caught:
            async with Store.open(path):
                pytest.fail("was opened")
        assert caught.value.code == "database_busy"
        assert str(path) in caught.value.message
    finally:
        holder.close()


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    assert "3.37.0" in (await refused(path)).message


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations that a test may add to."""
    directory = tmp_path / "schema"
    directory.mkdir()
    for file in database.SCHEMA.glob("*.sql"):
        (directory / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(database, "SCHEMA", directory)
    return directory


async def test_migrations_are_applied_once_in_their_order(path: Path, schema: Path) -> None:
    async with Store.open(path) as store:
        await working(store, 1)
        before = await everything(store)
    (schema / "9002_third.sql").write_text("UPDATE note SET text = text || ' third';")
    (schema / "9001_second.sql").write_text("CREATE TABLE note (text TEXT) STRICT; INSERT INTO note VALUES ('second');")
    for _ in range(2):
        async with Store.open(path) as store:
            assert await database.pragma(store._db.writer, "user_version") == 9002
            assert [tuple(row) for row in await store._db.reader.execute_fetchall("SELECT * FROM note")] == [
                ("second third",)
            ]
            assert await everything(store) == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE note (text TEXT) STRICT; SELECT nonsense;",
        "CREATE TABLE note (text TEXT) STRICT; DELETE FROM job;",
    ],
)
async def test_a_migration_that_fails_changes_nothing(path: Path, schema: Path, sql: str) -> None:
    """The second one would leave chunks without their job."""
    async with Store.open(path) as store:
        await working(store, 1)
        before = await everything(store)
    bad = schema / "9001_bad.sql"
    bad.write_text(sql)
    await refused(path)
    bad.unlink()
    async with Store.open(path) as store:
        assert await everything(store) == before
        assert not await store._db.reader.execute_fetchall("SELECT * FROM sqlite_schema WHERE name = 'note'")


async def test_the_connections_are_closed_on_every_way_out(path: Path) -> None:
    with no_thread_left():
        with pytest.raises(ZeroDivisionError):
            async with Store.open(path):
                raise ZeroDivisionError
        with anyio.CancelScope() as scope:
            async with Store.open(path):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with Store.open(path):
                pytest.fail("was opened")


async def test_every_field_is_either_for_callers_or_for_the_store() -> None:
    """A new field of `Job` has to be thought about here and in the schema."""
    kept = {"id", "status", "options", "created_at", "bytes", "sha256", "chunks_done", "chunks_total", "gaps"}
    assert kept | module.CHANGEABLE == set(Job.__struct_fields__)


# -- models ------------------------------------------------------------------------------------------------------------


async def test_of_a_model_the_last_word_is_kept_and_nothing_of_jobs_is_touched(store: Store) -> None:
    await store.add(new("a"))
    before = await store.change_log.changes(0)
    told = [
        await store.service_state.log_model("acme/x", b'{"n":%d}' % n, ModelRow("acme/x", "downloading", asked=True))
        for n in range(3)
    ]
    await store.service_state.log_model("other", b"{}", ModelRow("other", "absent", problem=PROBLEM))
    assert [change.seq for change in told] == sorted(change.seq for change in told)
    kept = await store.change_log.changes(0)
    assert kept[: len(before)] == before
    assert [(change.job_id, change.kind, change.payload) for change in kept[len(before) :]] == [
        ("model:acme/x", "model", b'{"n":2}'),
        ("model:other", "model", b"{}"),
    ]
    assert await store.service_state.models() == [
        ModelRow("acme/x", "downloading", asked=True),
        ModelRow("other", "absent", problem=PROBLEM),
    ]
    await store.service_state.log_model("acme/x", b"{}", forget=True)
    assert [row.name for row in await store.service_state.models()] == ["other"]
    assert (await store.change_log.changes(0))[-1].job_id == "model:acme/x"


async def test_what_is_remembered_of_a_model_makes_sense(store: Store) -> None:
    for row in (
        ModelRow("x", "downloading", problem=PROBLEM),
        ModelRow("x", "absent"),
        ModelRow("x", "odd", problem=PROBLEM),
    ):
        with pytest.raises(sqlite3.IntegrityError):
            await store.service_state.log_model("x", b"{}", row)
    assert await store.service_state.models() == []
    assert await store.change_log.changes(0) == []


async def test_what_is_known_of_a_recording_when_it_came_is_fixed_then(store: Store) -> None:
    await store.add(new(sha256="", bytes=0, origin=LinkOrigin("https://example.com/x.mp3")))
    assert (await store.queue(9), [job.id for job in await store.to_fetch()]) == ([], ["a"])
    coming = await store.update_link("a", bytes=5, origin=LinkOrigin("https://example.com/x.mp3", 9, '"1"'))
    assert coming is not None
    assert (coming.job.bytes, coming.job.origin) == (5, LinkOrigin("https://example.com/x.mp3", 9, '"1"'))
    await store.move("a", Cause.PAUSE)
    assert (await store.update_link("a", bytes=6), await store.to_fetch()) == (None, [])
    await store.move("a", Cause.RESUME)
    assert await store.update_link("a", bytes=9, sha256="x") is not None
    assert ([job.id for job in await store.queue(9)], await store.to_fetch()) == (["a"], [])
    assert await store.update_link("a", bytes=10) is None
    with pytest.raises(TypeError, match="status"):
        await store.update_link("a", status=Status.PROCESSING)
