"""What a service with a cluster wishes for while sound waits, and what Prometheus hears of it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from testkit.scripted_gateway import FOLDER, write_nodes
from testkit.service import ended, open_service, send
from whisper_service.app import seat_wishes
from whisper_service.app.service import Service
from whisper_service.core.domain import Status
from whisper_service.web.api.metrics import work

pytestmark = pytest.mark.anyio


async def wished(folder: Path, seats: int) -> None:
    """Wait until the cluster was asked for so many seats last."""
    file = anyio.Path(folder / "wanted")
    with anyio.fail_after(60):
        while not await file.exists() or await file.read_text() != str(seats):  # noqa: ASYNC110 - a process writes it
            await anyio.sleep(0.05)


async def figures(service: Service) -> dict[str, float]:
    found = work(await service.wishes.waiting_s(), service.wishes.wanted)
    return {metric.name: metric.samples[0].value for metric in found}


async def test_sound_that_waits_is_a_wish_for_seats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(seat_wishes, "LOOK_S", 0.1)
    write_nodes(tmp_path)
    cluster = {"engine": "ray", "cpus": 1.0, "gpus": 0.0, "autoscale": True}
    gateway = "testkit.scripted_gateway:run"
    async with open_service(tmp_path, gateway=gateway, cluster=cluster, speech={"device": "none"}) as service:
        await wished(tmp_path, 0)
        assert await figures(service) == {
            "whisper_service_queue_audio_seconds": 0.0,
            "whisper_service_seats_wanted": 0.0,
        }
        job = await send(service, chunks=20)
        await wished(tmp_path, 1)
        assert (await figures(service))["whisper_service_queue_audio_seconds"] > 0
        write_nodes(tmp_path, {"host": "new", "cpus": 1})
        assert (await ended(service, job.id, 60)).status is Status.COMPLETED
        assert (await figures(service))["whisper_service_queue_audio_seconds"] == 0
