"""The loop when memory runs out: smaller batches, smaller numbers, the CPU, and the way back."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from testkit.weights import weights
from tests.integration.scheduler.scripted_loop import GPU, OOM, exits, first_batch, heard, over, scripted_loop
from whisper_service.core.domain import Status
from whisper_service.core.fallback import Rung
from whisper_service.scheduler import requests
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.speech import Load

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("free", "batch"), [(80_000_000_000, 32), (4_000_000_000, 8), (1_000_000, 1), (None, 8)])
async def test_batches_are_as_large_as_the_gpu_has_room_for(tmp_path: Path, free: int | None, batch: int) -> None:
    """From what the actor saw of the card, and what the files of the model say of its shape."""
    async with scripted_loop(tmp_path, slots=4, facts=GPU | {"vram_free": [free]}) as scripted:
        (tmp_path / "model" / "model.bin").write_bytes(weights(width=512, layers=6))
        await scripted.submit()
        await scripted.decoded(chunks=1)
        await scripted.loaded()
        assert scripted.context.fleet.first.rung == Rung("cuda", "auto", batch, 4)


async def test_memory_that_ran_out_makes_batches_smaller_before_it_is_a_chunks_fault(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=2) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        for expected in ([0, 0, 0, 0],) * 4 + ([1, 0, 0, 0],):  # 8 -> 4 -> 2 -> 1 -> one slot, then it is to blame
            batch = first_batch(scripted)
            await exits(scripted, Fault("batch", OOM.kind.value, OOM.problem, batch=batch.batch, fatal=True))
            assert [chunk.attempts for chunk in await scripted.store.chunks("job")] == expected
        history = (await scripted.job()).history
        assert [note.code for note in history] == ["oom"] * 5
        assert [note.message.rpartition("work. ")[2] for note in history] == [
            *(f"The service continues with batches of {size}." for size in (4, 2, 1)),
            "The service continues with one batch at a time.",
            "This part is tried again.",
        ]
        assert [note.params["change"] for note in history] == [
            *({"kind": "batch", "to": size} for size in (4, 2, 1)),
            {"kind": "slots", "to": 1},
            {"kind": "chunk_retried"},
        ]
        assert scripted.speech.commands(Load)[-1].slots == 1
        assert scripted.context.fleet.first.warnings == (OOM.problem,)
    async with scripted_loop(tmp_path, slots=2) as scripted:  # the next service starts where this one stood
        await scripted.submit("other")
        await scripted.decoded("other", chunks=4)
        await scripted.loaded()
        assert (scripted.speech.commands(Load)[0].slots, len(scripted.batches())) == (1, 1)
    async with scripted_loop(tmp_path, slots=2, compute_type="float32") as scripted:  # unless it is set otherwise
        await scripted.submit("third")
        await scripted.decoded("third", chunks=4)
        await scripted.loaded()
        assert scripted.speech.commands(Load)[0].slots == 2


@pytest.mark.parametrize(
    "text",
    ["CUDA failed with error unspecified launch failure", "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"],
)
async def test_a_death_that_says_why_in_its_last_words_alone_is_understood(tmp_path: Path, text: str) -> None:
    async with scripted_loop(tmp_path, facts=GPU) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        await scripted.loaded()
        scripted.die(
            scripted.speech,
            f"terminate called after throwing an instance of 'std::runtime_error'\n  what():  {text}\n",
            -6,
        )
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.loaded()
        (note,) = (await scripted.job()).history
        assert note.message.endswith("The service continues with batches of 4.")
        blame = 0 if "ALLOC" in text else 1  # an error of the GPU may be the chunk's fault as well
        assert (await scripted.store.chunks("job"))[0].attempts == blame


async def test_a_model_that_does_not_fit_the_gpu_is_loaded_smaller_and_at_last_on_the_cpu(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, facts=GPU) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=4)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        for _ in range(3):
            scripted.say(scripted.speech, Fault("model", OOM.kind.value, OOM.problem, fatal=True))
            scripted.die(scripted.speech, "", 1)
            scripted.say(scripted.speech, Ready(pid=3))
            await scripted.settled()
        loads = scripted.speech.commands(Load)
        assert [(load.device, load.compute_type) for load in loads] == [
            ("cuda", "auto"),
            ("cuda", "int8_float16"),
            ("cuda", "int8"),
            ("cpu", "auto"),
        ]
        await scripted.loaded()
        job = await scripted.job()
        assert (job.status, len(scripted.batches())) == (Status.PROCESSING, 1)
        assert [note.message.rpartition("work. ")[2] for note in job.history] == [
            "The service continues with the compute type int8_float16.",
            "The service continues with the compute type int8.",
            "The service continues with the CPU.",
        ]


async def test_with_nothing_lighter_left_a_model_that_does_not_fit_waits_for_memory(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, batch_size=1) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=2)
        scripted.say(scripted.speech, Ready(pid=2))
        await scripted.settled()
        scripted.say(scripted.speech, Fault("model", OOM.kind.value, OOM.problem, fatal=True))
        scripted.die(scripted.speech, "", 1)
        scripted.say(scripted.speech, Ready(pid=3))
        await scripted.settled()
        assert len(scripted.speech.commands(Load)) == 1
        assert ((await scripted.job()).status, (await scripted.job()).problem) == (Status.PROCESSING, OOM.problem)
        await scripted.context.ask(requests.reset)
        await scripted.loaded()
        assert len(scripted.batches()) == 1


async def test_after_a_stretch_of_success_it_climbs_and_falls_back_for_longer(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, climb_after_s=0.2) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=9)
        await scripted.loaded()
        model = scripted.speech.commands(Load)[0].model
        fault = {"scope": "batch", "kind": OOM.kind.value, "problem": OOM.problem, "fatal": True}
        await exits(scripted, Fault(**fault, batch=scripted.batches()[-1].batch))
        standing = await scripted.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed, standing.climb_after_s) == (4, False, 0.2)
        await anyio.sleep(0.25)
        scripted.say(scripted.speech, heard(scripted.batches()[-1]), over(scripted.batches()[-1]))
        await scripted.settled()
        standing = await scripted.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed) == (8, True)
        note = (await scripted.job()).history[-1]
        assert note.message == "The work went well for a while. The service continues with batches of 8."
        assert note.params == {"change": {"kind": "batch", "to": 8}}
        await exits(scripted, Fault(**fault, batch=scripted.batches()[-1].batch))
        standing = await scripted.store.service_state.fallback("cpu", model)
        assert standing is not None
        assert (standing.rung.batch, standing.climbed, standing.climb_after_s) == (4, False, 0.4)
        for _ in range(2):
            await anyio.sleep(0.45)
            scripted.say(scripted.speech, heard(scripted.batches()[-1]), over(scripted.batches()[-1]))
            await scripted.settled()
        assert await scripted.store.service_state.fallback("cpu", model) is None
        assert scripted.context.fleet.first.warnings == ()


async def test_other_numbers_are_tried_again_once_the_present_batch_has_ended(tmp_path: Path) -> None:
    async with scripted_loop(tmp_path, slots=2, facts=GPU, batch_size=1, climb_after_s=0.2) as scripted:
        await scripted.submit()
        await scripted.decoded(chunks=9)
        await scripted.loaded()
        for _ in range(2):  # one at a time, then smaller numbers
            await exits(
                scripted, Fault("batch", OOM.kind.value, OOM.problem, batch=scripted.batches()[-1].batch, fatal=True)
            )
        assert [(load.compute_type, load.slots) for load in scripted.speech.commands(Load)] == [
            ("auto", 2),
            ("auto", 1),
            ("int8_float16", 1),
        ]
        (one,) = scripted.batches(3)
        await anyio.sleep(0.25)
        scripted.say(scripted.speech, heard(one), over(one))
        await scripted.settled()
        assert [(load.compute_type, load.slots) for load in scripted.speech.commands(Load)][3:] == [("auto", 1)]
        assert len(scripted.batches(3)) == 1
        await scripted.loaded()
        assert len(scripted.batches(3)) == 2
