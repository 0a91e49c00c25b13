"""The loop when something cannot be written or read."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.integration.scheduler.scripted_loop import heard, over, refuse, scripted_loop
from whisper_service.core.domain import SAMPLE_RATE, Phase, Span, Status
from whisper_service.core.errors import StoreBusy
from whisper_service.models.catalog import Catalog
from whisper_service.scheduler import loop as scheduler_loop
from whisper_service.supervision.messages.base import Ready
from whisper_service.supervision.messages.media import ChunkFound
from whisper_service.supervision.messages.speech import Load, Loaded

pytestmark = pytest.mark.anyio


async def test_a_step_that_fails_takes_nothing_of_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the sound of a recording with waiting chunks; the same plan has a batch of another recording."""
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit("whole")
        await scripted.decoded("whole", chunks=1)
        await scripted.submit("half")
        scripted.say(scripted.media, ChunkFound("half", Span(0, 0, SAMPLE_RATE, 0.0, 1.0)))
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()

        def full(*_: Any, **__: Any) -> bool:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(scripted.context.media, "start", full)
        scripted.die(scripted.media)
        scripted.say(scripted.media, Ready(pid=3))
        load = scripted.speech.commands(Load)[-1]
        scripted.say(scripted.speech, Loaded(load.model, load.device, "int8", 0.1))
        await scripted.settled()
        failed = await scripted.job("half")
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "disk_full")
        (batch,) = scripted.batches()
        assert [row.job_id for row in batch.chunks] == ["whole"]
        scripted.say(scripted.speech, heard(batch), over(batch))
        await scripted.settled()
        assert (await scripted.job("whole")).status is Status.COMPLETED


async def test_a_job_is_not_failed_because_its_download_cannot_be_written_down_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_loop, "RETRY_S", 0.01)
    async with scripted_loop(tmp_path) as scripted:
        tell, refused = scripted.store.service_state.log_model, 0

        async def busy(*given: Any, **rest: Any) -> Any:
            nonlocal refused
            refused += 1
            if refused <= 3:
                raise StoreBusy
            return await tell(*given, **rest)

        scripted.store.service_state.log_model = busy  # type: ignore[method-assign]
        await scripted.submit(model="tiny")
        while (job := await scripted.job()).phase is not Phase.DOWNLOADING_MODEL:
            assert job.status is not Status.FAILED, job.error
            await anyio.sleep(0.01)
        assert refused > 3


async def test_a_full_disk_fails_the_job_and_the_loop_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        (first,) = scripted.batches()
        free = refuse(scripted, monkeypatch, "write_chunks")
        scripted.say(scripted.speech, heard(first), over(first))
        await scripted.settled()
        free()
        failed = await scripted.job()
        assert failed.error is not None
        assert (failed.status, failed.error.code) == (Status.FAILED, "disk_full")
        await scripted.submit("next")
        await scripted.decoded("next", chunks=0)
        assert (await scripted.job("next")).status is Status.COMPLETED


async def test_a_job_whose_failure_cannot_be_written_fails_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_loop, "RETRY_S", 0.05)
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        (first,) = scripted.batches()
        with monkeypatch.context() as patch:
            refuse(scripted, patch, "write_chunks", "move", "update", "count_attempts", "fail_chunk")
            scripted.say(scripted.speech, heard(first), over(first))
            await anyio.sleep(0.3)
            await scripted.settled()
            assert (await scripted.job()).status is Status.PROCESSING
        while (await scripted.job()).status is not Status.FAILED:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        error = (await scripted.job()).error
        assert error is not None
        assert error.code == "disk_full"


async def test_a_job_that_can_neither_be_taken_up_nor_failed_does_not_keep_the_loop_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_loop, "RETRY_S", 0.05)
    async with scripted_loop(tmp_path) as scripted:
        with monkeypatch.context() as patch:
            refuse(scripted, patch, "move")
            await scripted.submit()
            await scripted.submit("other")
            assert (await scripted.job()).status is Status.PENDING
        while (await scripted.job()).status is Status.PENDING:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        error = (await scripted.job()).error
        assert error is not None
        assert error.code == "disk_full"


async def test_a_strike_that_cannot_be_written_loses_no_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_loop(tmp_path) as scripted:
        await scripted.submit()
        await scripted.decoded()
        await scripted.loaded()
        with monkeypatch.context() as patch:
            refuse(scripted, patch, "count_attempts")
            scripted.die(scripted.speech)
            await scripted.settled()
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.loaded()
        assert [row.span.index for row in scripted.batches(2)[0].chunks] == [0]


async def test_a_model_directory_that_cannot_be_read_fails_the_job_and_not_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_loop(tmp_path) as scripted:

        def denied(*_: Any) -> Any:
            raise PermissionError(13, "Permission denied", "model.bin")

        monkeypatch.setattr(Catalog, "locate", denied)
        await scripted.submit()
        await scripted.decoded()
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        failed = await scripted.job()
        assert failed.error is not None
        assert (failed.status, "Permission denied" in failed.error.params["detail"]) == (Status.FAILED, True)
        await scripted.settled()
