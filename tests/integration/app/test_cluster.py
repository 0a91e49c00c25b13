"""A service with the machines of a cluster: far seats come and go, and nothing that goes costs text.

The gateway is a process of its own with real outposts, on machines that a file names (`testkit.scripted_gateway`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from testkit.scripted_actors import text_of
from testkit.scripted_gateway import FOLDER, write_nodes
from testkit.service import ended, open_service, send, texts
from whisper_service.app.service import Service
from whisper_service.app.system import SeatInfo
from whisper_service.cluster import far_links
from whisper_service.core.domain import ActorState, ChunkState, Job, Status
from whisper_service.scheduler import speech_actor

pytestmark = pytest.mark.anyio

GATEWAY: Final = "testkit.scripted_gateway:run"
CHUNKS: Final = 24
WITHIN_S: Final = 60.0


def box(name: str, **more: Any) -> dict[str, Any]:
    """Return a machine with room for one actor."""
    return {"host": name, "cpus": 1, **more}


class Clustered:
    """A service with a cluster."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.folder = folder

    def have(self, *nodes: dict[str, Any]) -> None:
        write_nodes(self.folder, *nodes)

    async def seats(self) -> dict[str, SeatInfo]:
        return {seat.seat: seat for seat in (await self.service.system()).devices}

    async def until(self, wanted: Callable[[dict[str, SeatInfo]], bool]) -> dict[str, SeatInfo]:
        """Wait until the seats are as wanted."""
        seats: dict[str, SeatInfo] = {}
        with anyio.fail_after(WITHIN_S):
            while True:
                if wanted(seats := await self.seats()):
                    return seats
                await anyio.sleep(0.02)

    async def job(self, job_id: str) -> Job:
        return await self.service.parts.store.job(job_id)

    async def until_job(self, job_id: str, wanted: Callable[[Job], bool]) -> Job:
        with anyio.fail_after(WITHIN_S):
            while True:
                if wanted(job := await self.job(job_id)):
                    return job
                await anyio.sleep(0.02)

    async def send(self, **play: Any) -> Job:
        return await send(self.service, **{"chunks": CHUNKS, "everywhere": True, **play})

    async def send_with_one_that_hangs(self, **play: Any) -> Job:
        """Send a job one of whose chunks hangs on a machine of the cluster, once. Wait until the others are done."""
        marks = self.folder / "marks"
        marks.mkdir()
        faults = {str(n): "hang_once" for n in range(CHUNKS)}
        job = await self.send(faults=faults, one_fault=True, faults_on="far", marks=str(marks), **play)
        with anyio.fail_after(WITHIN_S):
            while True:
                chunks = await self.service.parts.store.chunks(job.id)
                if len(chunks) == CHUNKS and sum(chunk.state is ChunkState.WAITING for chunk in chunks) == 1:
                    return job
                await anyio.sleep(0.02)

    async def complete(self, job: Job) -> Job:
        """Wait for the end. The text is what a service without a cluster hears, and no chunk was struck."""
        done = await ended(self.service, job.id, WITHIN_S)
        assert done.status is Status.COMPLETED
        assert await texts(self.service, job.id) == [text_of(n) for n in range(CHUNKS)]
        chunks = await self.service.parts.store.chunks(job.id)
        assert {(chunk.attempts, chunk.kills) for chunk in chunks} == {(0, 0)}
        return done


@asynccontextmanager
async def clustered(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *nodes: dict[str, Any],
    device: str = "none",
    lost_after_s: float = 30.0,
) -> AsyncIterator[Clustered]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(far_links, "PATIENCE_S", 0.3)
    monkeypatch.setattr(far_links, "REFUSED_AGAIN_S", 0.3)
    monkeypatch.setattr(speech_actor, "LATE_S", 1000.0)  # no second try of what hangs on purpose
    write_nodes(tmp_path, *nodes)
    cluster = {"engine": "ray", "cpus": 1.0, "gpus": 0.0, "lost_after_s": lost_after_s}
    speech = {"device": device, "slots": 1, "batch_size": 1}
    async with open_service(tmp_path, gateway=GATEWAY, cluster=cluster, speech=speech) as service:
        yield Clustered(service, tmp_path)


async def test_far_seats_share_a_recording_and_a_lost_machine_costs_only_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = tmp_path / "diary"
    async with clustered(tmp_path, monkeypatch, box("box-1"), box("box-2")) as cluster:
        seats = await cluster.until(lambda seats: len(seats) == 2 and all(seat.model for seat in seats.values()))
        assert set(seats) == {"cluster-1", "cluster-2"}
        assert {seat.host for seat in seats.values()} == {"box-1", "box-2"}
        assert {seat.device for seat in seats.values()} == {"cpu"}
        job = await cluster.send_with_one_that_hangs(diary=str(diary))
        (lost,) = [seat.host for seat in (await cluster.seats()).values() if seat.batches]
        (kept,) = {"box-1", "box-2"} - {lost}
        cluster.have(box(kept))
        done = await cluster.complete(job)
        (note,) = [note for note in done.history if note.code == "lost"]
        assert f"The machine {lost} is gone. This part is tried again." in note.message
        begun = [int(line.split()[1]) for line in diary.read_text().splitlines()]
        assert set(begun) == set(range(CHUNKS))
        assert len(begun) == CHUNKS + 1, "only what the lost machine had in hand was done again"
        await cluster.until(lambda seats: [seat.host for seat in seats.values()] == [kept])
        cluster.have(box(kept), box("box-3"))
        seats = await cluster.until(lambda seats: {seat.host for seat in seats.values()} == {kept, "box-3"})
        assert set(seats) == {"cluster-1", "cluster-2"}, "the seat has come back under its name"


async def test_without_a_machine_jobs_wait_and_say_so_and_nothing_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clustered(tmp_path, monkeypatch) as cluster:
        job = await cluster.send()
        waiting = await cluster.until_job(job.id, lambda job: job.problem is not None)
        assert waiting.problem is not None
        assert waiting.problem.code == "no_device"
        (seat,) = (await cluster.seats()).values()
        assert (seat.seat, seat.state, seat.host) == ("cluster-1", ActorState.PENDING, None)
        assert seat.problem == waiting.problem
        assert cluster.service.readiness().problems == (waiting.problem,)
        actors = {actor.name: actor for actor in (await cluster.service.system()).actors}
        assert actors["cluster-1"].deaths == ()
        assert actors["cluster-1"].pid is None
        cluster.have(box("box-1"))
        done = await cluster.complete(job)
        assert done.problem is None
        assert done.history == ()
        assert not cluster.service.parts.context.fleet.first.actor.deaths


async def test_this_machine_works_beside_the_cluster_and_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clustered(tmp_path, monkeypatch, box("box-1"), device="cpu") as cluster:
        seats = await cluster.until(lambda seats: len(seats) == 2 and all(seat.model for seat in seats.values()))
        assert {name: seat.host for name, seat in seats.items()} == {"speech": None, "cluster-1": "box-1"}
        job = await cluster.send_with_one_that_hangs(delay=0.05)
        assert [seat.seat for seat in (await cluster.seats()).values() if seat.batches] == ["cluster-1"]
        gateway = cluster.service.parts.context.gateway
        assert gateway is not None
        assert gateway.pid is not None
        os.kill(gateway.pid, signal.SIGKILL)
        done = await cluster.complete(job)
        (note,) = [note for note in done.history if note.code == "lost"]
        assert "The way to the cluster broke off: The process was killed from outside." in note.message
        await cluster.until(lambda seats: seats.get("cluster-1") is not None and seats["cluster-1"].host == "box-1")
        assert gateway.generation == 2
        actors = {actor.name: actor for actor in (await cluster.service.system()).actors}
        assert [death.problem.code for death in actors["gateway"].deaths] == ["killed"]
        assert [death.problem.code for death in actors["speech"].deaths] == []


async def test_a_gateway_that_says_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with clustered(tmp_path, monkeypatch, box("box-1"), device="cpu", lost_after_s=10.0) as cluster:
        await cluster.until(lambda seats: len(seats) == 2 and all(seat.model for seat in seats.values()))
        job = await cluster.send_with_one_that_hangs(delay=0.05)
        gateway = cluster.service.parts.context.gateway
        assert gateway is not None
        assert gateway.pid is not None
        os.kill(gateway.pid, signal.SIGSTOP)
        done = await cluster.complete(job)
        assert {note.code for note in done.history} == {"lost"}
        await cluster.until(lambda _: bool(gateway.deaths))  # it gets half a second to say where it hangs
        assert [death.problem.code for death in gateway.deaths] == ["hung"]


async def test_a_cluster_that_cannot_be_joined_is_a_problem_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unreachable").touch()
    async with clustered(tmp_path, monkeypatch, box("box-1")) as cluster:
        job = await cluster.send()
        waiting = await cluster.until_job(job.id, lambda job: job.problem is not None)
        assert waiting.problem is not None
        assert waiting.problem.code == "cluster_unreachable"
        assert waiting.problem in (await cluster.service.system()).warnings
        (tmp_path / "unreachable").unlink()
        done = await cluster.complete(job)
        assert done.problem is None
        (seat,) = (await cluster.seats()).values()
        assert seat.problem is None
        assert (await cluster.service.system()).warnings == ()


async def test_a_machine_with_other_versions_gets_no_work_until_it_has_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = (box("box-1", problem="cluster_versions"), box("box-2"))
    async with clustered(tmp_path, monkeypatch, *nodes, device="cpu") as cluster:

        def refused(seats: dict[str, SeatInfo]) -> bool:
            return any(seat.problem is not None and seat.problem.code == "cluster_versions" for seat in seats.values())

        seats = await cluster.until(refused)
        (seat,) = [seat for seat in seats.values() if seat.problem is not None]
        assert (seat.state, seat.host) == (ActorState.PENDING, None)
        await cluster.complete(await cluster.send())
        cluster.have(box("box-1"), box("box-2"))
        await cluster.until(lambda seats: {seat.host for seat in seats.values()} == {None, "box-1", "box-2"})
        assert all(not seat.actor.deaths for seat in cluster.service.parts.context.fleet.seats)


async def test_without_an_engine_there_is_no_gateway(tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        assert service.parts.context.gateway is None
        assert "gateway" not in {actor.name for actor in (await service.system()).actors}
        assert [seat.host for seat in (await service.system()).devices] == [None]
