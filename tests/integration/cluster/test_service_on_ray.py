"""A whole service on a real cluster of Ray: the machines do the work, all of them go, another one comes.

What a gateway and its actors do when single processes die is tested without a service (`test_ray`); what a service does
when seats come and go, without Ray (`tests/integration/app/test_cluster.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from testkit import ray_cluster
from testkit.ray_cluster import RayCluster
from testkit.scripted_actors import text_of
from testkit.service import ended, open_service, send, texts
from whisper_service.cluster import far_links
from whisper_service.core.domain import ActorState, ChunkState, Status

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.timeout(600),
]
CHUNKS = 12
WITHIN_S = 180.0


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    cluster = RayCluster()
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    try:
        cluster.start_head()
        yield cluster
    finally:
        print(cluster.log())
        cluster.end()


async def eventually(met: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(WITHIN_S):
        while True:
            if await met():
                return
            await anyio.sleep(0.05)


async def test_a_job_outlives_all_machines_that_worked_on_it(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_links, "PATIENCE_S", 1.0)
    settings = {"engine": "ray", "address": cluster.address, "node_ip": cluster.HEAD, "cpus": 1.0, "gpus": 0.0}
    nodes = [cluster.start_node(), cluster.start_node()]
    speech = {"device": "none", "slots": 1, "batch_size": 1}
    async with open_service(tmp_path, cluster=settings, speech=speech) as service:
        fleet, store = service.parts.context.fleet, service.parts.store

        async def both_loaded() -> bool:
            return len(fleet.seats) == 2 and all(seat.model for seat in fleet.seats)

        await eventually(both_loaded)
        assert [seat.actor.name for seat in fleet.seats] == ["cluster-1", "cluster-2"]
        marks = tmp_path / "marks"
        marks.mkdir()
        faults = {str(n): "hang_once" for n in range(CHUNKS)}
        job = await send(service, chunks=CHUNKS, everywhere=True, faults=faults, one_fault=True, marks=str(marks))

        async def one_left() -> bool:
            chunks = await store.chunks(job.id)
            return len(chunks) == CHUNKS and sum(chunk.state is ChunkState.WAITING for chunk in chunks) == 1

        await eventually(one_left)
        for node in nodes:
            cluster.kill_node(node)

        async def waits() -> bool:
            problem = (await store.job(job.id)).problem
            return problem is not None and problem.code == "no_device"

        await eventually(waits)
        assert fleet.first.actor.state is ActorState.PENDING
        cluster.start_node()
        done = await ended(service, job.id, WITHIN_S)
        assert done.status is Status.COMPLETED
        assert done.problem is None
        assert "lost" in {note.code for note in done.history}
        assert await texts(service, job.id) == [text_of(n) for n in range(CHUNKS)]
        assert {(chunk.attempts, chunk.kills) for chunk in await store.chunks(job.id)} == {(0, 0)}
