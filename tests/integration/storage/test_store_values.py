"""The store gives back what it was given, and refuses what cannot be."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.strategies import values
from tests.integration.storage.rows import PROBLEM, everything, new, said, working
from whisper_service.core.domain import Gap, Job, LinkOrigin, Problem, Segment, Status
from whisper_service.core.fallback import Fallback, Rung
from whisper_service.core.job_states import Cause
from whisper_service.storage import store as module
from whisper_service.storage.row_mapping import ModelRow
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


@st.composite
def any_job(draw: st.DrawFn) -> Job:
    """A pending job with anything in its fields."""
    job: Job = draw(values(Job))
    language = draw(st.none() | st.from_regex(r"[a-z]{2,3}", fullmatch=True))
    track = draw(st.none() | st.integers(0, 999))
    options = msgspec.structs.replace(job.options, model=job.options.model or "auto", language=language, track=track)
    return msgspec.structs.replace(
        job,
        id=f"job-{job.id}",
        status=Status.PENDING,
        phase=None,
        options=options,
        bytes=abs(job.bytes) % 2**62,
        attempts=abs(job.attempts) % 2**62,
        progress=draw(st.floats(0, 1)),
        chunks_done=0,
        chunks_total=0,
    )


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
    segments = [
        msgspec.structs.replace(text, chunk=0, index=index, speaker="s2" if text.speaker else None)
        for index, text in enumerate(texts)
    ]
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


async def test_how_sure_a_language_is_is_kept(store: Store) -> None:
    await working(store, chunks=2)
    await store.checkpoint("a", 0, [], "de", probability=0.75)
    await store.checkpoint("a", 1, [], "de")
    assert [(chunk.language, chunk.language_probability) for chunk in await store.chunks("a")] == [
        ("de", 0.75),
        ("de", None),
    ]


@pytest.mark.parametrize(
    "fields", [{"progress": 1.01}, {"phase": "thinking"}, {"attempts": -1}, {"message": None}, {"speed": "fast"}]
)
async def test_the_database_itself_refuses_nonsense(store: Store, fields: dict[str, Any]) -> None:
    await working(store)
    before = await everything(store)
    (name,) = fields
    with pytest.raises(sqlite3.IntegrityError, match=name):
        await store.update("a", expected=Status.PROCESSING, **fields)
    assert await everything(store) == before
    assert await store.update("a", expected=Status.PROCESSING, message="goes on") is not None


async def test_where_a_model_stands_is_known_for_each_device(store: Store) -> None:
    standing = Fallback(Rung("cuda", "int8_float16", 1, 2), 12.5, PROBLEM, 1800.0, climbed=True)
    await store.service_state.set_fallback("cuda", "base", standing)
    await store.service_state.set_fallback("cuda", "base", msgspec.structs.replace(standing, at=13.0))
    assert await store.service_state.fallback("cuda", "base") == msgspec.structs.replace(standing, at=13.0)
    assert await store.service_state.fallback("cpu", "base") is None
    assert await store.service_state.fallback("cuda", "small") is None
    await store.service_state.set_fallback("cuda", "base", None)
    assert await store.service_state.fallback("cuda", "base") is None


async def test_every_field_is_either_for_callers_or_for_the_store() -> None:
    """A new field of `Job` has to be thought about here and in the schema."""
    fixed = {"id", "status", "options", "created_at", "bytes", "sha256", "of"}
    counted = {"chunks_done", "chunks_total", "gaps", "no_speech", "edits", "speakers"}
    assert fixed | counted | module.CHANGEABLE == set(Job.__struct_fields__)


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
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
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
