"""The loop when a GPU or a library cannot be used."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.integration.scheduler.scripted_loop import GPU, heard, over, scripted_loop
from whisper_service.core.domain import Status
from whisper_service.core.job_states import Cause
from whisper_service.scheduler import requests
from whisper_service.supervision.faults import classify
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.speech import Load

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "text", ["Library libcublas.so.12 is not found or cannot be loaded", "CUDA driver version is insufficient"]
)
@pytest.mark.parametrize("dies", [False, True])
async def test_a_gpu_that_cannot_be_used_leaves_the_work_to_the_cpu(tmp_path: Path, text: str, dies: bool) -> None:
    async with scripted_loop(tmp_path, facts=GPU) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        why = classify(text)
        if dies:  # it did not even come to say so
            scripted.die(scripted.speech, text, -6)
            scripted.say(scripted.speech, Ready(pid=3))
        else:
            scripted.say(scripted.speech, Fault("model", why.kind.value, why.problem))
        await scripted.loaded()
        loads = scripted.speech.commands(Load)
        assert [(load.device, load.compute_type) for load in loads] == [("cuda", "auto"), ("cpu", "auto")]
        assert scripted.context.fleet.first.warnings == (why.problem,)
        (note,) = (await scripted.job()).history
        assert (note.code, note.message.endswith("The service continues with the CPU.")) == (why.problem.code, True)
        assert (
            await scripted.store.service_state.fallback("cuda", loads[0].model) is None
        )  # with the library there it is as before


BROKEN = classify("Library libcublas.so.12 is not found or cannot be loaded")


async def test_a_model_that_cannot_be_loaded_in_any_way_keeps_its_jobs_waiting_and_no_others(tmp_path: Path) -> None:
    other = tmp_path / "data" / "models" / "other"
    async with scripted_loop(tmp_path, facts=GPU, cpu_fallback=False, probe_s=1.5) as scripted:
        other.mkdir(parents=True)
        for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
            (other / name).write_text("{}")
        await scripted.submit()
        await scripted.decoded(chunks=2)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        scripted.say(scripted.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        job = await scripted.job()
        assert (job.status, job.error, job.problem) == (Status.PROCESSING, None, BROKEN.problem)
        assert job.message == f"Waits: {BROKEN.problem.message} {BROKEN.problem.hint}"
        await scripted.submit("second", model="other")
        await scripted.decoded("second", chunks=1)
        await scripted.loaded()
        assert [Path(load.path).name for load in scripted.speech.commands(Load)] == ["model", "other"]
        (batch,) = scripted.batches()
        scripted.say(scripted.speech, heard(batch), over(batch))
        await scripted.settled()
        assert (await scripted.job("second")).status is Status.COMPLETED
        while len(scripted.speech.commands(Load)) < 3:  # noqa: ASYNC110 - by itself, without any event
            await anyio.sleep(0.01)
        scripted.say(scripted.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.settled()
        assert (await scripted.job()).problem == BROKEN.problem
        await scripted.context.ask(requests.change, "job", Cause.RETRY)
        await scripted.loaded()
        assert len(scripted.speech.commands(Load)) == 4
        job = await scripted.job()
        assert (job.problem, job.message, len(scripted.batches())) == (None, "Transcribing.", 2)


async def test_whoever_mended_the_gpu_has_it_tried_again(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=GPU) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        scripted.say(scripted.speech, Fault("model", BROKEN.kind.value, BROKEN.problem))
        await scripted.loaded()
        (batch,) = scripted.batches()
        await scripted.context.ask(requests.reset)
        scripted.say(scripted.speech, heard(batch), over(batch))
        await scripted.loaded()
        assert [load.device for load in scripted.speech.commands(Load)] == ["cuda", "cpu", "cuda"]
        assert scripted.context.fleet.first.warnings == ()


async def test_a_library_that_is_missed_only_at_work_is_no_fault_of_the_chunks(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=GPU) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        await scripted.loaded()
        (batch,) = scripted.batches()
        scripted.say(scripted.speech, Fault("batch", BROKEN.kind.value, BROKEN.problem, batch=batch.batch))
        await scripted.loaded()
        assert [load.device for load in scripted.speech.commands(Load)] == ["cuda", "cpu"]
        assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == [0, 0]
        assert len(scripted.batches()) == 2


async def test_a_driver_without_a_card_to_use_is_a_warning(tmp_path: Path) -> None:
    seen = {"cpus": 1, "cuda_devices": 0, "cuda_driver": (12, 2)}
    async with scripted_loop(tmp_path, facts=seen) as scripted:
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        (warning,) = scripted.context.fleet.first.warnings
        assert (warning.code, "CUDA 12.2" in warning.message) == ("device_unusable", True)
    async with scripted_loop(tmp_path, facts=seen, device="cpu") as scripted:
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        assert scripted.context.fleet.first.warnings == ()
