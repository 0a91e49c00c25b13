"""A service brings its model to machines of a cluster: while others work, over a kill, or to none that cannot have it.

The outposts are in the process of the gateway, which a file tells about its machines (`testkit.scripted_gateway`).
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from testkit.scripted_actors import text_of
from testkit.scripted_gateway import FOLDER, write_nodes
from testkit.service import ended, open_service, placeholder_model, send, texts
from whisper_service.app.service import Service
from whisper_service.app.system import SeatInfo
from whisper_service.core.domain import ActorState, Status

pytestmark = pytest.mark.anyio

WEIGHTS: Final = 20_000_000
"""Bytes of the model: two pieces."""
PIECE: Final = 16_777_216
SMALL: Final = 6
"""Bytes of its other files."""
WITHIN_S: Final = 60.0
CHUNKS: Final = 4


def model(tmp_path: Path) -> Path:
    """Return the folder of a model with large weights."""
    folder = placeholder_model(tmp_path / "model")
    (folder / "model.bin").write_bytes(random.Random(3).randbytes(WEIGHTS))
    return folder


def machine(tmp_path: Path, name: str, **more: Any) -> dict[str, Any]:
    """Return a machine with room for one actor, which cannot read the folders of the service."""
    return {"host": name, "cpus": 1, "cache": str(tmp_path / name), **more}


@asynccontextmanager
async def serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, Any], device: str
) -> AsyncIterator[Service]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    write_nodes(tmp_path, *nodes)
    cluster = {"engine": "ray", "cpus": 1.0, "gpus": 0.0, "lost_after_s": 30.0}
    speech = {"device": device, "slots": 1, "batch_size": 1, "model": str(model(tmp_path))}
    gateway = "testkit.scripted_gateway:run"
    async with open_service(tmp_path, gateway=gateway, cluster=cluster, speech=speech) as service:
        yield service


async def until(service: Service, wanted: Callable[[dict[str | None, SeatInfo]], bool]) -> dict[str | None, SeatInfo]:
    """Wait until the seats are as wanted, by host."""
    with anyio.fail_after(WITHIN_S):
        while True:
            seats = {seat.host: seat for seat in (await service.system()).devices}
            if wanted(seats):
                return seats
            await anyio.sleep(0.02)


async def complete_a_job(service: Service) -> None:
    job = await send(service, chunks=CHUNKS, everywhere=True)
    assert (await ended(service, job.id, WITHIN_S)).status is Status.COMPLETED
    assert await texts(service, job.id) == [text_of(n) for n in range(CHUNKS)]


def cached(cache: Path) -> dict[str, bytes]:
    """Return the files of the only model of a machine."""
    (folder,) = (path for path in cache.iterdir() if path.is_dir())
    assert not folder.name.startswith(".")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_model_travels_while_others_work_and_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = machine(tmp_path, "box-1", slow=1.1, holds=1_000_000)  # so the progress is told, and the second piece waits
    async with serving(tmp_path, monkeypatch, held, device="cpu") as service:
        seats = await until(service, lambda seats: "box-1" in seats and (seats["box-1"].arrived_bytes or 0) > SMALL)
        seat = seats["box-1"]
        assert (seat.state, seat.model, seat.loading, seat.problem) == (ActorState.READY, None, seats[None].model, None)
        assert seat.arrived_bytes is not None
        assert PIECE <= seat.arrived_bytes < WEIGHTS
        assert seat.arriving_bytes == WEIGHTS + SMALL
        await complete_a_job(service)
        (draft,) = (tmp_path / "box-1").glob(".*.part/model.bin")
        before = draft.stat()
        gateway = service.parts.context.gateway
        assert gateway is not None
        assert gateway.pid is not None
        os.kill(gateway.pid, signal.SIGKILL)
        write_nodes(tmp_path, machine(tmp_path, "box-1"))
        seats = await until(service, lambda seats: "box-1" in seats and seats["box-1"].model is not None)
        assert (seats["box-1"].loading, seats["box-1"].arrived_bytes, seats["box-1"].arriving_bytes) == (None,) * 3
        (weights,) = (tmp_path / "box-1").glob("*/model.bin")
        assert weights.stat().st_ino == before.st_ino, "what had come was not sent again"
        home = tmp_path / "model"
        assert cached(tmp_path / "box-1") == {path.name: path.read_bytes() for path in home.iterdir()}
        await complete_a_job(service)


@pytest.mark.parametrize(
    ("fault", "code"), [({"damages": True}, "model_broken"), ({"spare_bytes": 2**62}, "cluster_disk_full")]
)
async def test_a_machine_that_cannot_have_the_model_is_the_only_one_that_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], code: str
) -> None:
    nodes = (machine(tmp_path, "good"), machine(tmp_path, "bad", **fault))
    async with serving(tmp_path, monkeypatch, *nodes, device="none") as service:
        seats = await until(
            service,
            lambda seats: (
                {"good", "bad"} <= seats.keys() and bool(seats["good"].model) and seats["bad"].problem is not None
            ),
        )
        problem = seats["bad"].problem
        assert problem is not None
        assert problem.code == code
        assert problem.message.startswith("The machine bad of the cluster cannot store the model")
        assert (seats["bad"].state, seats["bad"].model, seats["bad"].loading) == (ActorState.READY, None, None)
        assert seats["good"].problem is None
        await complete_a_job(service)
        assert [path for path in (tmp_path / "bad").iterdir() if path.is_dir()] == []
        assert "model.bin" in cached(tmp_path / "good")
        assert all(not seat.actor.deaths for seat in service.parts.context.fleet.seats)
