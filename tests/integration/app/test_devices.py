"""What operators see of several devices: each with its model, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from testkit.service import ended, open_service, running, send
from whisper_service.core.domain import ActorState, Problem
from whisper_service.host import cpu

pytestmark = pytest.mark.anyio

THREE = {"device": "cuda:0,cuda:1,cpu", "slots": 1, "preload": True}
UNUSABLE = Problem("device_unusable", "There is no driver.")


async def test_every_device_is_shown_with_its_model_and_the_first_stands_for_all(tmp_path: Path) -> None:
    async with running(tmp_path, speech=THREE) as (service, client, _):
        await ended(service, (await send(service, chunks=40, delay=0.01)).id)
        second = service.parts.context.fleet.seats[1]
        second.device.leave(UNUSABLE)
        shown = (await client.get("/api/system")).json()
        first, out, beside = shown["devices"]
        assert (first["seat"], first["device"], first["in_service"], first["problem"]) == (
            "speech",
            "cuda:0",
            True,
            None,
        )
        assert (first["model"], first["compute_type"], first["batch_size"]) == (shown["model"], "fake", 8)
        assert first["speed"] > 0
        assert (shown["device"], shown["batch_size"]) == ("cuda:0", 8)
        assert (out["seat"], out["device"], out["in_service"]) == ("speech-2", "cuda:1", False)
        assert out["problem"]["code"] == "device_unusable"
        assert (beside["device"], beside["state"], beside["memory_bytes"]) == ("cpu", "ready", 0)
        assert [warning["code"] for warning in shown["warnings"]] == ["device_unusable"]
        text = (await client.get("/metrics")).text
        assert 'whisper_service_device_in_service{actor="speech",device="cuda:0"} 1.0' in text
        assert 'whisper_service_device_in_service{actor="speech-2",device="cuda:1"} 0.0' in text
        assert 'whisper_service_device_speed{actor="speech",device="cuda:0"}' in text
        loaded = [line for line in text.splitlines() if line.startswith("whisper_service_model_info{")]
        assert len(loaded) == sum(one["model"] is not None for one in shown["devices"])
        assert any('device="cuda:0"' in line for line in loaded)


async def test_a_broken_device_is_a_warning_while_another_works(tmp_path: Path) -> None:
    async with open_service(tmp_path, speech={"device": "cuda:0,cuda:1"}, supervision={"max_restarts": 1}) as service:
        fleet = service.parts.context.fleet
        for count, seat in enumerate(fleet.seats, 1):
            seat.actor.problem, seat.actor.failures = UNUSABLE, 9
            readiness = service.readiness()
            assert (readiness.ready, UNUSABLE in readiness.problems) == (count == 1, count == 2)
            assert (UNUSABLE in readiness.warnings) == (count == 1)


async def test_as_many_recordings_are_read_at_once_as_the_machine_has_cores_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cores", lambda: 8)
    for workers, actors in ((0, 4), (3, 3)):
        async with open_service(tmp_path, media={"workers": workers}) as service:
            media = service.parts.context.media.actors.values()
            assert len(media) == actors
            assert sum(actor.state is not ActorState.IDLE for actor in media) <= 1, "they start as they are needed"
