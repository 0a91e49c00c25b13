"""The loop when jobs end, pause or are tried again, and when the service ends."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scheduler.scripted_loop import heard, over, scripted_loop
from whisper_service.core.domain import Problem, Status
from whisper_service.core.errors import IllegalTransition
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import model_actions, requests
from whisper_service.storage.store import Store
from whisper_service.supervision.messages.base import Cancel, Fault, Ready
from whisper_service.supervision.protocol import Command

pytestmark = pytest.mark.anyio


async def test_actors_hear_of_the_end_of_a_job_before_its_spool_goes(tmp_path: Path) -> None:
    """Rows of it may be queued in a batch with those of others, who must not suffer from a spool that is gone."""
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        spool = scripted.data.spool_of("job")
        seen: list[bool] = []
        send = scripted.speech.send

        def watch(command: Command, **rest: Any) -> None:
            if isinstance(command, Cancel):
                seen.append(spool.exists())
            send(command, **rest)

        scripted.speech.send = watch  # type: ignore[method-assign]
        await scripted.context.ask(requests.change, "job", Cause.CANCEL)
        assert seen == [True]
        assert not spool.exists()


async def test_a_job_that_cannot_be_cancelled_is_not(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=0)
        assert (await scripted.job()).status is Status.COMPLETED
        with pytest.raises(IllegalTransition):
            await scripted.context.ask(requests.change, "job", Cause.CANCEL)


async def test_a_batch_of_a_paused_job_does_not_outlive_the_model_that_is_unloaded(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        await scripted.context.ask(requests.change, "job", Cause.PAUSE)
        name = scripted.context.fleet.first.model
        assert name is not None
        await scripted.context.ask(model_actions.unload, name)
        await scripted.context.ask(requests.change, "job", Cause.RESUME)
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.loaded()
        again = scripted.batches()[-1]
        assert len(scripted.batches()) == 2
        scripted.say(scripted.speech, heard(again), over(again))
        await scripted.settled()
        assert (await scripted.job()).status is Status.COMPLETED


async def test_nothing_is_begun_once_the_end_was_asked_for(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        (first,) = scripted.batches()
        scripted.say(scripted.speech, heard(first), over(first))
        scripted.mailbox.close()
    assert len(scripted.batches()) == 1


async def test_a_retry_gives_only_what_is_a_gap(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=3)
        await scripted.loaded()
        while (await scripted.job()).status is Status.PROCESSING:
            batch = scripted.batches()[-1]
            for number, row in enumerate(batch.chunks):
                odd = Problem("unknown", "Something unexpected happened.")
                broken = Fault("batch", "unknown", odd, batch=batch.batch, job_id="job", index=1)
                scripted.say(scripted.speech, broken if row.span.index == 1 else heard(batch, number))
            scripted.say(scripted.speech, over(batch))
            await scripted.settled()
        assert [(gap.start, gap.end) for gap in (await scripted.job()).gaps] == [(1.0, 2.0)]
        before = len(scripted.batches())
        await scripted.context.ask(requests.change, "job", Cause.RETRY)
        await scripted.decoded(chunks=3)
        (again,) = scripted.batches()[before:]
        assert [row.span.index for row in again.chunks] == [1]
        scripted.say(scripted.speech, heard(again), over(again))
        await scripted.settled()
        assert ((await scripted.job()).status, (await scripted.job()).gaps) == (Status.COMPLETED, ())
        assert await scripted.texts() == ["chunk 0", "chunk 1", "chunk 2"]


async def test_what_comes_late_for_a_paused_job_moves_its_progress(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        (first,) = scripted.batches()
        await scripted.context.ask(requests.change, "job", Cause.PAUSE)
        assert (await scripted.job()).progress == 0.0
        scripted.say(scripted.speech, heard(first), over(first))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.progress, job.position_s, job.speed) == (Status.PAUSED, 0.25, 1.0, None)


async def test_what_comes_late_for_a_deleted_job_is_nothing_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        (first,) = scripted.batches()
        await scripted.context.ask(requests.delete, "job")
        scripted.say(scripted.speech, heard(first), over(first))
        await scripted.settled()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_warning_of_the_decode_outlives_the_service(tmp_path: Path) -> None:
    warning = Problem("truncated", "The file ends too early.", params={"at_s": 1.0})
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=1, warning=warning)
    async with Store.open(scripted.data.database) as store:
        await store.recover()
    async with scripted_loop(tmp_path) as scripted:
        await scripted.loaded()
        (batch,) = scripted.batches()
        scripted.say(scripted.speech, heard(batch), over(batch))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.message) == (Status.COMPLETED, "The file ends too early.")
        assert [(note.code, note.params) for note in job.history] == [("truncated", {"at_s": 1.0})]


async def test_what_came_before_the_end_is_kept(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        scripted.say(scripted.speech, heard(scripted.batches()[0]))
        scripted.mailbox.close()
    async with Store.open(scripted.data.database) as store:
        assert [segment.text for segment in await store.segments("job")] == ["chunk 0"]
