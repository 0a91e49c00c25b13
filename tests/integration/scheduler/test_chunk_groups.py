"""Reports about chunks that come together are written together. Whatever else comes finds them written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.integration.scheduler.scripted_loop import ScriptedLoop, heard, over, refuse, scripted_loop
from whisper_service.core.domain import Change, Job, Status
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import requests, run_ledger
from whisper_service.supervision.messages.speech import ChunkDone, Dropped, Transcribe

pytestmark = pytest.mark.anyio


def count_transactions(scripted: ScriptedLoop) -> list[int]:
    """Return a list that gets the number of chunks of each transaction."""
    sizes: list[int] = []
    write = scripted.store.write_chunks

    async def counted(writes: Any) -> Any:
        sizes.append(len(writes))
        return await write(writes)

    scripted.store.write_chunks = counted  # type: ignore[method-assign]
    return sizes


def listen(scripted: ScriptedLoop) -> list[Change]:
    """Return a list that gets every change when it is published. Each is in the log by then."""
    heard: list[Change] = []
    feed = scripted.context.ledger._feed
    publish = feed.publish

    def listening(changes: Any) -> None:
        heard.extend(changes)
        publish(changes)

    feed.publish = listening  # type: ignore[method-assign]
    return heard


async def given(scripted: ScriptedLoop, *jobs: str) -> dict[str, Transcribe]:
    """Let the only chunk of each job be in a batch. Return the batches by job."""
    for job_id in jobs:
        await scripted.submit(job_id)
        await scripted.decoded(job_id, chunks=1)
    await scripted.loaded()
    found = {row.job_id: batch for batch in scripted.batches() for row in batch.chunks}
    assert set(found) == set(jobs)
    return found


def answer(batches: dict[str, Transcribe], job_id: str, **changed: Any) -> ChunkDone:
    batch = batches[job_id]
    row = next(nth for nth, chunk in enumerate(batch.chunks) if chunk.job_id == job_id)
    return msgspec.structs.replace(heard(batch, row, text=f"text of {job_id}"), **changed)


def answers_of(scripted: ScriptedLoop) -> list[ChunkDone]:
    """Return an answer for each chunk that was given, in their order."""
    found = [heard(batch, row) for batch in scripted.batches() for row in range(len(batch.chunks))]
    return sorted(found, key=lambda answer: answer.index)


async def test_reports_that_come_together_are_one_transaction_and_its_events_come_in_order(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=4) as scripted:
        batches = await given(scripted, "a", "b", "c")
        sizes, published = count_transactions(scripted), listen(scripted)
        answers = [answer(batches, job_id) for job_id in ("a", "b", "c")]
        ends = [over(batch) for batch in {batch.batch: batch for batch in batches.values()}.values()]
        scripted.say(scripted.speech, answers[0], *ends[:1], *answers[1:], *ends[1:])
        await scripted.settled()
        assert sizes == [3]
        assert [change.seq for change in published] == sorted({change.seq for change in published})
        log = await scripted.store.change_log.changes(published[0].seq - 1)
        assert log == published
        kinds = [(change.job_id, change.kind) for change in published[:6]]
        assert kinds == [(job_id, kind) for job_id in "abc" for kind in ("segment", "update")]
        for job_id in "abc":
            assert (await scripted.job(job_id)).status is Status.COMPLETED
            assert await scripted.texts(job_id) == [f"text of {job_id}"]


async def test_chunks_that_are_found_are_stored_before_they_are_given(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        sizes = count_transactions(scripted)
        await scripted.submit()
        await scripted.decoded(chunks=5)
        assert sizes == [5]
        assert [chunk.span.index for chunk in await scripted.store.chunks("job")] == [0, 1, 2, 3, 4]
        assert not scripted.batches()
        updates = [c for c in await scripted.store.change_log.changes(0) if c.kind == "update"]
        totals = [msgspec.json.decode(change.payload, type=Job).chunks_total for change in updates]
        assert sorted(set(totals)) == [0, 5]  # told of once


async def test_a_chunk_that_cannot_be_stored_costs_no_other_job_its_text(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=4) as scripted:
        batches = await given(scripted, "a", "b", "c")
        broken = answer(batches, "b")
        twice = msgspec.structs.replace(broken, segments=broken.segments * 2)  # no table takes a segment twice
        scripted.say(scripted.speech, answer(batches, "a"), twice, answer(batches, "c"))
        await scripted.settled()
        assert [(await scripted.job(job_id)).status for job_id in "abc"] == [
            Status.COMPLETED,
            Status.FAILED,
            Status.COMPLETED,
        ]
        assert await scripted.texts("a") + await scripted.texts("b") + await scripted.texts("c") == [
            "text of a",
            "text of c",
        ]


async def test_a_full_disk_ends_every_job_of_the_group_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_loop(tmp_path, slots=4) as scripted:
        batches = await given(scripted, "a", "b", "c")
        free = refuse(scripted, monkeypatch, "write_chunks")
        scripted.say(scripted.speech, answer(batches, "a"), answer(batches, "c"))
        await scripted.settled()
        free()
        for job_id in "ac":
            job = await scripted.job(job_id)
            assert job.error is not None
            assert (job.status, job.error.code) == (Status.FAILED, "disk_full")
        scripted.say(scripted.speech, answer(batches, "b"))
        await scripted.settled()
        assert (await scripted.job("b")).status is Status.COMPLETED


async def test_a_request_finds_written_what_was_reported_before(tmp_path: Path) -> None:
    """Else a pause would forget the run whose chunk is not written yet."""
    async with scripted_loop(tmp_path, slots=4) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        await scripted.loaded()
        sizes = count_transactions(scripted)
        scripted.say(scripted.speech, answers_of(scripted)[0])
        job = await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.PAUSE)
        assert sizes == [1]
        assert (job.status, job.chunks_done) == (Status.PAUSED, 1)
        assert await scripted.texts() == ["chunk 0"]


async def test_chunks_of_a_paused_job_count_together(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=4) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        answers = answers_of(scripted)
        assert len(answers) == 4
        scripted.say(scripted.speech, answers[0])
        await scripted.mailbox.ask(requests.change, scripted.context, "job", Cause.PAUSE)
        sizes = count_transactions(scripted)
        scripted.say(scripted.speech, *answers[1:3])
        await scripted.settled()
        assert sizes == [2]
        job = await scripted.job()
        assert (job.status, job.chunks_done, job.position_s, job.progress) == (Status.PAUSED, 3, 3.0, 0.75)


async def test_a_note_is_kept_before_the_next_chunk_is_taken_in(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=4) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        answers = answers_of(scripted)
        sizes = count_transactions(scripted)
        unclear = [
            msgspec.structs.replace(each, dropped=(Dropped(1.0 * each.index, each.index + 0.5),)) for each in answers
        ]
        scripted.say(scripted.speech, unclear[0], unclear[1], answers[2], unclear[3])
        await scripted.settled()
        assert sizes == [1, 1, 2]
        job = await scripted.job()
        assert [note.code for note in job.history] == ["unclear_speech"] * 3


async def test_a_group_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_ledger, "MOST_TOGETHER", 3)
    async with scripted_loop(tmp_path) as scripted:
        sizes = count_transactions(scripted)
        await scripted.submit()
        await scripted.decoded(chunks=8)
        assert sizes == [3, 3, 2]
        assert (await scripted.job()).chunks_total == 8
