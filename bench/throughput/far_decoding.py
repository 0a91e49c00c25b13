"""Measure what decoding on other machines leaves to the machine of the service.

    python -m bench.throughput.far_decoding [--audio FILE] [--minutes 10] [--rounds 3]

A service with the head of a Ray cluster and one node, all on this machine. A recording is decoded by a media actor of
the service, or by one on the node. The speech actor is scripted and answers at once. CPU is that of the service, its
actors and the head, per chunk and without what they take while idle. That of the node does not count: it is another
machine. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import httpx

from bench.lib import api, on_ray, recordings, report, services, usage
from testkit.ray_cluster import MISSING, RayCluster

MODULE: Final = ("testkit.serve", "--speech", "bench.lib.actors:scripted")
IDLE_S: Final = 5.0
DECODER: Final = "cluster-media-1"
WITHIN_S: Final = 120.0


class Cost(NamedTuple):
    """What one recording cost."""

    wall_s: float
    cpu_ms: float  # a chunk
    chunks: int


async def measure(cluster: RayCluster, folder: Path, recording: Path, rounds: int, decoders: int) -> list[Cost]:
    """Return the cost of each round with so many decoders on nodes."""
    settings = {"ENGINE": "ray", "ADDRESS": cluster.address, "NODE_IP": cluster.HEAD, "GPUS": "1"}
    far = {f"CLUSTER__{name}": value for name, value in {**settings, "MEDIA_WORKERS": str(decoders)}.items()}
    home = {"SPEECH__DEVICE": "cpu", "MEDIA__WORKERS": "1"}
    with services.service(folder, model=None, module=MODULE, **home, **far) as live:
        async with live.client as client:

            def cpu() -> float:
                head = sum(sum(process.cpu_times()[:2]) for process in cluster.processes(cluster.HEAD))
                return usage.tree_cpu(live.process.pid) + head

            await api.loaded(client)
            if decoders:
                await _ready(client)
            await _finish(client, recording)  # modules are loaded
            began, used = time.monotonic(), cpu()
            await anyio.sleep(IDLE_S)
            idle = (cpu() - used) / (time.monotonic() - began)
            costs = []
            for _ in range(rounds):
                began, used = time.monotonic(), cpu()
                chunks = await _finish(client, recording)
                wall = time.monotonic() - began
                costs.append(Cost(wall, 1e3 * (cpu() - used - idle * wall) / chunks, chunks))
            return costs


async def _finish(client: httpx.AsyncClient, recording: Path) -> int:
    """Have the recording transcribed. Return the number of its chunks."""
    job = await api.upload(client, recording, language="en")
    return int((await api.finished(client, job["id"]))["chunks_done"])


async def _ready(client: httpx.AsyncClient) -> None:
    """Wait until the decoder on the node is ready."""
    with anyio.move_on_after(WITHIN_S):
        while True:
            actors = {actor["name"]: actor for actor in (await api.get(client, "/api/system"))["actors"]}
            if DECODER in actors and actors[DECODER]["state"] == "ready":
                return
            await anyio.sleep(0.2)
    raise SystemExit("No decoder was ready on the node.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: Debian's asterisk prompts in a row)")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the default recording, at most 10")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if MISSING:
        raise SystemExit(MISSING)
    print(report.machine())
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, on_ray.started_cluster() as cluster:
        cluster.start_node(2)
        recording = given.audio or recordings.speech(given.minutes * 60, Path(scratch) / "prompts.mp3").path
        for name, decoders in (("at home", 0), ("on the node", 1)):
            costs = anyio.run(measure, cluster, Path(scratch) / f"data-{decoders}", recording, given.rounds, decoders)
            spread = report.spread([cost.cpu_ms for cost in costs], "ms", 0)
            wall = statistics.median(cost.wall_s for cost in costs)
            rows.append([name, costs[0].chunks, f"{wall:.1f} s", spread])
    report.table(["decoded", "chunks", "wall (median)", "CPU a chunk, without the node's"], rows)
    print(report.machine())


if __name__ == "__main__":
    main()
