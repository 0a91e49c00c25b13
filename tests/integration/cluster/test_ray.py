"""Far actors through a real cluster of Ray: a head and two nodes on this machine, and everything that may die.

Deadlines are long: beside other work Ray takes ten times as long to start.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from testkit import ray_cluster
from testkit.ray_cluster import RayCluster
from testkit.service import placeholder_model
from tests.integration.cluster.gateway_process import (
    FarLink,
    GatewayProcess,
    at_home,
    gone,
    joined,
    outpost_of,
    outposts,
)
from whisper_service.core.domain import Span
from whisper_service.supervision.messages.base import Fault, Ready
from whisper_service.supervision.messages.cluster import Join, LinkClosed, Nodes, Opened, Signal, WantSeats
from whisper_service.supervision.messages.speech import BatchDone, ChunkDone, ChunkInput, Load, Transcribe

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.timeout(600),
]
LOST_AFTER_S = 4.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with pytest.MonkeyPatch.context() as patch:
        cluster = RayCluster()
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        try:
            cluster.start_head()
            cluster.start_node()
            cluster.start_node()
            yield cluster
        finally:
            print(cluster.log())
            cluster.end()


async def two_nodes(gateway: GatewayProcess) -> Nodes:
    """Wait until both nodes are there."""
    return await gateway.until_nodes(lambda nodes: sum(node.cpus >= 1 for node in nodes) == 2)


def batch(folder: Path, number: int, **fields: object) -> Transcribe:
    """Return a batch of eight chunks of 29.5 s with their spool, and one whose sound is missing."""
    spool = folder / f"spool {number}"
    chunk = round(29.5 * 16_000)
    if not spool.exists():
        np.random.default_rng(number).integers(-9999, 9999, 8 * chunk, dtype="<i2").tofile(spool)
    chunks = tuple(
        ChunkInput(f"job {number}", Span(index, index * chunk, chunk, index * 29.5, (index + 1) * 29.5), str(spool))
        for index in range(9)
    )
    return Transcribe(batch=number, chunks=chunks, **fields)  # type: ignore[arg-type]


def load(tmp_path: Path) -> Load:
    folder = placeholder_model(tmp_path / "model")
    return Load(model="m", path=str(folder), device="cpu", compute_type="auto", slots=1, threads=1)


async def lives(link: FarLink) -> Opened:
    opened = await link.opened()
    assert (await link.until(Ready)).pid == opened.pid
    return opened


async def test_the_text_of_two_nodes_is_that_of_this_machine(cluster: RayCluster, tmp_path: Path) -> None:
    batches = [batch(tmp_path, number) for number in range(4)]
    expected = await at_home(tmp_path, [load(tmp_path), *batches], len(batches))
    texts = [report for report in expected if isinstance(report, ChunkDone)]
    assert len({report.segments[0].text for report in texts}) == 32
    assert sum(isinstance(report, Fault) for report in expected) == 4
    async with joined(cluster, tmp_path) as gateway:
        nodes = await two_nodes(gateway)
        links = [gateway.open(), gateway.open()]
        for link in links:
            link.send(load(tmp_path))
            for each in batches:
                link.send(each)
        opened = [await lives(link) for link in links]
        assert {node.id for node in nodes.nodes if node.cpus} == {each.node for each in opened}
        for link in links:
            await link.until(BatchDone, batch=3)
            assert [r for r in link.reports if not isinstance(r, (Ready, BatchDone))] == [
                r for r in expected if not isinstance(r, BatchDone)
            ]
            (ready,) = (report for report in link.reports if isinstance(report, Ready))
            assert ready.facts["omp_num_threads"] == ""
        for each in opened:
            files = psutil.Process(outpost_of(each.pid).pid).open_files()
            assert [file.path for file in files if "memfd:sound" in file.path] == []


@asynccontextmanager
async def at_work(cluster: RayCluster, folder: Path, prompt: str = "linger") -> AsyncIterator[tuple[FarLink, Opened]]:
    """Give an actor on a node a batch that it does not finish, or that ends it."""
    async with joined(cluster, folder, lost_after_s=LOST_AFTER_S) as gateway:
        await two_nodes(gateway)
        link = gateway.open()
        link.send(load(folder))
        link.send(batch(folder, 0, prompt=prompt))
        yield link, await lives(link)


async def works(gateway: GatewayProcess, folder: Path) -> None:
    """See that an actor can be opened and does its work."""
    link = gateway.open()
    link.send(load(folder))
    link.send(batch(folder, 0))
    await link.until(BatchDone, batch=0)
    link.kill()
    assert (await link.closed()).code == -signal.SIGKILL


async def test_an_abort_comes_back_with_its_words(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path, "abort") as (link, _):
        ended = await link.closed()
        assert (ended.code, ended.lost, ended.oom_killed) == (-signal.SIGABRT, None, False)
        assert "terminate called" in ended.words
        assert "Fatal Python error: Aborted" in ended.words
        await works(link.gateway, tmp_path)


async def test_a_killed_actor_is_one_that_was_killed(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        psutil.Process(opened.pid).kill()
        ended = await link.closed()
        assert (ended.code, ended.lost) == (-signal.SIGKILL, None)


async def test_a_hung_actor_tells_where_it_hangs(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path, "hang") as (link, opened):
        process = psutil.Process(opened.pid)
        log = Path(f"/proc/{opened.pid}/fd/2")
        process.suspend()
        for number in (signal.SIGUSR1, signal.SIGCONT):
            link.gateway.send(Signal(link.link, number))
        said = lambda: b"sound_reader.py" in log.read_bytes()  # noqa: E731
        await asyncio.to_thread(ray_cluster.eventually, said, "the stacks")
        link.kill()
        ended = await link.closed()
        assert (ended.code, ended.lost) == (-signal.SIGKILL, None)
        assert "sound_reader.py" in ended.words


async def test_a_killed_outpost_is_lost_and_takes_its_actor_along(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        outpost_of(opened.pid).kill()
        ended = await link.closed()
        assert ended.code is None
        assert ended.lost
        await works(link.gateway, tmp_path)


async def test_a_frozen_outpost_is_lost_and_takes_its_actor_along(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        outpost_of(opened.pid).suspend()
        ended = await link.closed()
        assert "no answer" in (ended.lost or "")
        await works(link.gateway, tmp_path)


async def test_an_actor_waits_for_room_and_may_be_given_up(cluster: RayCluster, tmp_path: Path) -> None:
    async with joined(cluster, tmp_path) as gateway:
        await two_nodes(gateway)
        running = [gateway.open(), gateway.open()]
        for link in running:
            await lives(link)
        waiting, given_up = gateway.open(), gateway.open()
        given_up.kill()
        assert (await given_up.closed()).lost
        assert not [report for report in gateway.reports if isinstance(report, Opened) and report.link > 2]
        running[0].kill()
        assert (await running[0].closed()).code == -signal.SIGKILL
        await lives(waiting)


async def test_a_killed_node_is_lost_and_one_that_comes_is_used(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        nodes = await two_nodes(link.gateway)
        address = next(node.address for node in nodes.nodes if node.id == opened.node)
        cluster.kill_node(address)
        ended = await link.closed()
        assert ended.code is None
        assert ended.lost
        await works(link.gateway, tmp_path)  # on the other node
        await link.gateway.until_nodes(lambda nodes: opened.node not in {node.id for node in nodes})
        cluster.start_node()
        await two_nodes(link.gateway)
        both = [link.gateway.open(), link.gateway.open()]
        assert len({(await lives(each)).node for each in both}) == 2


async def test_a_killed_raylet_is_a_lost_node(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        nodes = await two_nodes(link.gateway)
        address = next(node.address for node in nodes.nodes if node.id == opened.node)
        cluster.process(address, "raylet").kill()
        ended = await link.closed()
        assert ended.code is None
        assert ended.lost
        cluster.kill_node(address)
        cluster.start_node()


async def test_a_frozen_node_is_lost(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        nodes = await two_nodes(link.gateway)
        address = next(node.address for node in nodes.nodes if node.id == opened.node)
        frozen = cluster.processes(address)
        for process in frozen:
            process.suspend()
        end = await link.gateway.until(LinkClosed, link=link.link)
        assert end.exit.lost
        await works(link.gateway, tmp_path)
        cluster.kill_node(address)
        await gone(opened.pid)
        cluster.start_node()


async def test_a_wish_does_no_harm_to_a_cluster_without_an_autoscaler(cluster: RayCluster, tmp_path: Path) -> None:
    async with joined(cluster, tmp_path) as gateway:
        await two_nodes(gateway)
        gateway.send(WantSeats(64, 1.0, 0.0))
        await works(gateway, tmp_path)
    assert "autoscaler" not in (tmp_path / "gateway.log").read_text()


async def test_a_killed_gateway_takes_its_actors_along(cluster: RayCluster, tmp_path: Path) -> None:
    async with at_work(cluster, tmp_path) as (link, opened):
        link.gateway.process.kill()
        assert (await link.gateway.until_exit()).code == -signal.SIGKILL
        await gone(opened.pid)
        assert not outposts(cluster)
    async with joined(cluster, tmp_path) as gateway:
        await two_nodes(gateway)
        await works(gateway, tmp_path)


async def test_a_head_that_is_gone_ends_a_gateway_without_actors(cluster: RayCluster, tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path)
    await gateway.until(Ready)
    gateway.send(Join(cluster.address, cluster.HEAD, LOST_AFTER_S))
    await gateway.until(Nodes)
    cluster.kill_node(cluster.HEAD)
    ended = await gateway.until_exit()
    fault = next(report for report in gateway.reports if isinstance(report, Fault))
    assert (fault.scope, fault.fatal, fault.problem.code) == ("actor", True, "cluster_unreachable")
    assert ended.code == 75
