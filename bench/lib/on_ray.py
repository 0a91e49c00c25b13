"""What Ray costs: CPU for each chunk beside that of a local seat, and the time until the work of a dead node goes on.

A head and two nodes run on this machine. The speech actors are scripted and do not listen, but every chunk of 25 s
comes with its sound, as it does for a real model.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import httpx
import psutil

from bench.lib import api, services, usage
from testkit.ray_cluster import MISSING, RayCluster

MEDIA: Final = ("--media", "bench.lib.actors:script_with_sound")
SPEECH: Final = {"SPEECH__SLOTS": "1", "SPEECH__BATCH_SIZE": "8", "MEDIA__WORKERS": "1"}
AT_ONCE: Final = ("testkit.serve", "--speech", "bench.lib.actors:scripted", *MEDIA)
STEADY: Final = ("testkit.serve", "--speech", "bench.lib.actors:steady", *MEDIA)
IDLE_S: Final = 5.0
DEATHS: Final = 3
WITHIN_S: Final = 120.0


class Cost(NamedTuple):
    """What `jobs` recordings cost."""

    chunks_per_s: float
    cpu_ms: float  # a chunk: service, gateway, actors and cluster, less what they take while idle


def measure(jobs: int, chunks: int, folder: Path) -> tuple[Cost, Cost, list[float]]:
    """Return the cost near and far, and the seconds from each death of a node to the next chunk."""
    assert not MISSING, MISSING
    (folder / "near").mkdir()
    near = anyio.run(_cost, folder / "near", None, jobs, chunks)
    with started_cluster() as cluster:
        cluster.start_node()
        cluster.start_node()
        (folder / "far").mkdir()
        far = anyio.run(_cost, folder / "far", cluster, jobs, chunks)
    return near, far, [_after_death(folder, number) for number in range(DEATHS)]


@contextmanager
def started_cluster() -> Iterator[RayCluster]:
    """The head of a cluster, to which the caller adds nodes. Nothing of it is left behind the block."""
    cluster = RayCluster()
    os.environ.update(cluster.environment)
    try:
        cluster.start_head()
        yield cluster
    finally:
        cluster.end()


def _settings(cluster: RayCluster | None) -> dict[str, str]:
    if cluster is None:
        return {"SPEECH__DEVICE": "cpu", **SPEECH}
    far = {
        "ENGINE": "ray",
        "ADDRESS": cluster.address,
        "NODE_IP": cluster.HEAD,
        "CPUS": "1",
        "GPUS": "0",
        "MAX_SEATS": "1",
    }
    return {"SPEECH__DEVICE": "none", **SPEECH, **{f"CLUSTER__{name}": value for name, value in far.items()}}


async def _cost(folder: Path, cluster: RayCluster | None, jobs: int, chunks: int) -> Cost:
    play = folder / "play"
    play.write_text(json.dumps({"chunks": chunks, "interval_s": 0}))
    with services.service(folder / "data", model=None, module=AT_ONCE, **_settings(cluster)) as live:
        async with live.client as client:

            def cpu() -> float:
                cluster_s = sum(sum(process.cpu_times()[:2]) for process in cluster.processes()) if cluster else 0.0
                return usage.tree_cpu(live.process.pid) + cluster_s

            await api.loaded(client)
            await api.finished(client, (await api.upload(client, play, language="en"))["id"])
            began, used = time.monotonic(), cpu()
            await anyio.sleep(IDLE_S)
            idle = (cpu() - used) / (time.monotonic() - began)
            began, used = time.monotonic(), cpu()
            sent = [(await api.upload(client, play, language="en"))["id"] for _ in range(jobs)]
            for job in sent:
                await api.finished(client, job)
            took = time.monotonic() - began
            return Cost(jobs * chunks / took, 1e3 * (cpu() - used - idle * took) / (jobs * chunks))


def _after_death(folder: Path, number: int) -> float:
    """Kill the node that works, while another one is idle. Return the seconds to the next chunk."""
    home = folder / f"death-{number}"
    home.mkdir()
    play = home / "play"
    play.write_text(json.dumps({"chunks": 400, "interval_s": 0.0}))
    with started_cluster() as cluster:
        nodes = [cluster.start_node(), cluster.start_node()]
        with (
            services.service(home / "data", model=None, module=STEADY, **_settings(cluster)) as live,
            httpx.Client(base_url=live.url, timeout=60) as client,
        ):
            with play.open("rb") as file:
                job = client.post("/api/jobs", files={"file": file}, data={"language": "en"}).json()["id"]

            def job_now() -> dict[str, Any]:
                found: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
                return found

            _until(lambda: job_now()["chunks_done"] >= 20)
            (busy,) = [ip for ip in nodes if any("RayOutpost" in _words(one) for one in cluster.processes(ip))]
            began = time.monotonic()
            cluster.kill_node(busy)
            done = job_now()["chunks_done"]
            _until(lambda: job_now()["chunks_done"] > done)
            return time.monotonic() - began


def _until(met: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not met():
        if time.monotonic() > deadline:
            raise SystemExit("The service did not go on.")
        time.sleep(0.02)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
