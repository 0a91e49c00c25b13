"""Moving and updating a job: what a write does, and what it refuses."""

from __future__ import annotations

import sqlite3

import msgspec
import pytest

from tests.integration.storage.rows import PROBLEM, everything, new, said, span, working
from whisper_service.core.domain import Gap, Options, Phase, Segment, Status, Task
from whisper_service.core.errors import IllegalTransition
from whisper_service.core.job_states import Cause
from whisper_service.storage.store import Store

pytestmark = pytest.mark.anyio


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
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: job\.id"):
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


@pytest.mark.parametrize("cause", [Cause.PAUSE, Cause.CANCEL, Cause.FAULT, Cause.RECOVER, Cause.FINISH])
async def test_only_a_job_in_work_has_a_phase(store: Store, cause: Cause) -> None:
    assert (await working(store)).phase is Phase.DECODING
    assert (await store.move("a", cause)).job.phase is None


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


async def test_what_keeps_all_from_going_on_is_told_once_to_whoever_waits(store: Store) -> None:
    await working(store, 1, "working")
    await store.add(new("b"))
    await store.add(new("a"))
    first = await store.set_waiting_problem(PROBLEM, "Waits.")
    assert [(written.job.id, written.job.problem, written.job.message) for written in first] == [
        ("b", PROBLEM, "Waits."),
        ("a", PROBLEM, "Waits."),
    ]
    assert await store.set_waiting_problem(PROBLEM, "Waits.") == []
    await store.add(new("c"))
    assert [written.job.id for written in await store.set_waiting_problem(PROBLEM, "Waits.")] == ["c"]
    other = msgspec.structs.replace(PROBLEM, message="Something else.")
    assert len(await store.set_waiting_problem(other, "Waits.")) == 3
    assert [written.job.problem for written in await store.set_waiting_problem(None, "")] == [None] * 3
    assert await store.set_waiting_problem(None, "") == []
    assert (await store.job("working")).problem is None


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


async def test_a_complete_job_says_that_nobody_speaks(store: Store) -> None:
    async def ended(job_id: str, options: Options, segments: list[Segment], language: str | None) -> bool:
        """Return whether a job of one chunk with this outcome says that nobody speaks, from its end on."""
        await store.add(new(job_id, options=options))
        await store.move(job_id, Cause.CLAIM)
        await store.add_chunk(job_id, span(0))
        written = await store.checkpoint(job_id, 0, segments, language)
        assert written is not None
        assert not written.job.no_speech, "it may still come"
        job = (await store.move(job_id, Cause.FINISH, language=language)).job
        assert job == await store.job(job_id)
        assert (await store.rename(job_id, "another.mp3")).job.no_speech == job.no_speech
        return job.no_speech

    detect = Options(task=Task.DETECT)
    assert await ended("music", Options(), [], "en")
    assert not await ended("talk", Options(), said(0, "one"), "en")
    assert not await ended("german", detect, [], "de")
    assert await ended("noise", detect, [], None)
    await working(store, 2, "gap")
    await store.checkpoint("gap", 0, [], None)
    await store.fail_chunk("gap", 1, PROBLEM, Gap(1.0, 2.0, "It crashed."))
    assert not (await store.move("gap", Cause.FINISH)).job.no_speech, "nobody knows what the gap holds"
    for cause in (Cause.FAULT, Cause.CANCEL):
        await working(store, 0, cause.value)
        assert not (await store.move(cause.value, cause)).job.no_speech


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
