"""A service on a real cluster of Ray, and all of the cluster that may die, hang or be gone.

Whatever happens, the text is that of an undisturbed run, each chunk is stored once, only what was in hand is done
again, and the history of the job says why. The service answers all the time, and its own seat never stops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from testkit import ray_cluster
from testkit.ray_cluster import RayCluster
from tests.integration.cluster.ray_service import (
    BATCH,
    CHUNKS,
    RayService,
    actor_of,
    eventually,
    head,
    outposts,
    serving,
)

pytestmark = [
    pytest.mark.skipif(bool(ray_cluster.MISSING), reason=ray_cluster.MISSING or "there is one"),
    pytest.mark.timeout(600),
]
LIVE_S: Final = 1.0
"""Seconds in which the service says that it lives, whatever happens to the cluster."""
MEMORY_MB: Final = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with head() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayService]:
    with serving(tmp_path_factory.mktemp("faults"), cluster) as service:
        yield service


def strike(fault: str, service: RayService, cluster: RayCluster, ip: str) -> list[psutil.Process]:
    """Do it to the node of this address, or to the gateway. Return the processes that are frozen."""
    (outpost,) = outposts(cluster, ip)
    match fault:
        case "actor killed":
            actor_of(outpost).kill()
        case "outpost killed":
            outpost.kill()
        case "raylet killed":
            cluster.process(ip, "raylet").kill()
        case "node killed":
            cluster.kill_node(ip)
        case "gateway killed":
            psutil.Process(service.pid_of("gateway")).kill()
        case "outpost frozen":
            outpost.suspend()
            return [outpost]
        case "node frozen":
            frozen = cluster.processes(ip)
            for process in frozen:
                process.suspend()
            return frozen
    return []


FAULTS: Final = {
    "actor killed": ("killed", BATCH),
    "outpost killed": ("lost", BATCH),
    "raylet killed": ("lost", BATCH),
    "node killed": ("lost", BATCH),
    "gateway killed": ("lost", 2 * BATCH),
    "outpost frozen": ("lost", BATCH),
    "node frozen": ("lost", BATCH),
}
"""What the history says, and how many chunks may be done again: a batch of each seat that is lost."""


@pytest.mark.parametrize("fault", FAULTS)
def test_what_dies_or_hangs_costs_what_it_had_in_hand_and_no_text(
    service: RayService, cluster: RayCluster, fault: str
) -> None:
    code, repeated = FAULTS[fault]
    while len(nodes := [ip for ip in cluster.nodes if ip != cluster.HEAD]) < 2:
        cluster.start_node()
    service.wait_for_seats()
    name = fault.replace(" ", "-")
    job_id = service.send(name, delay=0.5)
    eventually(lambda: service.job(job_id)["chunks_done"] >= 4, lambda: str(service.job(job_id)))
    done, before, at = service.job(job_id)["chunks_done"], service.deaths(code), time.monotonic()
    frozen = strike(fault, service, cluster, nodes[0])

    def noticed() -> bool:
        """Return whether the cause is told. A job may be done before: late batches are tried on another seat."""
        return bool(service.job(job_id)["history"]) or service.deaths(code) > before

    eventually(noticed, lambda: str(service.job(job_id)))
    noticed_s = time.monotonic() - at
    job = service.check(job_id, name, repeated)
    print(f"{fault}: noticed after {noticed_s:.1f} s, {service.begun(name).total() - CHUNKS} chunks again of "
          f"{CHUNKS - done} left, all done after {time.monotonic() - at:.1f} s, the longest wait for an answer "
          f"{service.slowest_s:.2f} s")  # fmt: skip
    assert {note["code"] for note in job["history"]} <= {code}, job["history"]
    if fault in ("raylet killed", "node frozen"):
        cluster.kill_node(nodes[0])
    for process in frozen:
        ray_cluster.kill(process)
    assert service.slowest_s < LIVE_S


def test_a_node_that_joins_is_used(service: RayService, cluster: RayCluster) -> None:
    while len(cluster.nodes) < 3:
        cluster.start_node()
    service.wait_for_seats()
    before = {seat["host"] for seat in service.far_seats()}
    assert before
    at = time.monotonic()
    ip = cluster.start_node()
    joined_s = time.monotonic() - at
    service.wait_for_seats(3)
    print(f"a node that joins has its model {time.monotonic() - at - joined_s:.1f} s after it said that it is there")
    job_id = service.send("joined", delay=0.2)
    eventually(lambda: all(seat["batches"] for seat in service.far_seats()), lambda: str(service.far_seats()))
    service.check(job_id, "joined", 0)
    cluster.kill_node(ip)


@pytest.mark.parametrize("away_s", [20.0, float("inf")], ids=["for a while", "for ever"])
def test_the_service_and_its_own_seat_go_on_while_the_head_is_gone(tmp_path: Path, away_s: float) -> None:
    with head() as cluster:
        cluster.start_node()
        with serving(tmp_path, cluster, device="cpu") as service:
            service.wait_for_seats(1)
            speech, generation = service.pid_of("speech"), service.system()["actors"]
            assert generation
            gcs = cluster.process(cluster.HEAD, "gcs_server")
            first = service.send("first", delay=0.2)
            eventually(lambda: service.job(first)["chunks_done"] >= 2, lambda: str(service.job(first)))
            at = time.monotonic()
            if away_s == float("inf"):
                gcs.kill()
            else:
                gcs.suspend()
            done: list[str] = []
            while time.monotonic() - at < min(away_s, 60.0):
                job_id = service.send(f"while-{len(done)}", delay=0.02)
                service.check(job_id, f"while-{len(done)}", 3 * BATCH)
                done.append(job_id)
            if away_s < float("inf"):
                gcs.resume()
            service.check(first, "first", 2 * BATCH)
            assert service.pid_of("speech") == speech, "its own seat never stopped"
            memory = psutil.Process(service.process.pid).memory_info().rss / 1e6
            print(f"{len(done)} recordings of {CHUNKS} chunks while the head was away, the longest wait for an answer "
                  f"{service.slowest_s:.2f} s, {memory:.0f} MB, far seats {service.far_seats()}")  # fmt: skip
            assert service.slowest_s < LIVE_S
            assert memory < MEMORY_MB
            if away_s < float("inf"):
                service.wait_for_seats(1)
            service.check(service.send("after", delay=0.05), "after", 0)


def test_jobs_wait_for_a_cluster_that_is_gone_and_go_on_in_the_next_one(tmp_path: Path) -> None:
    with head() as cluster:
        cluster.start_node()
        with serving(tmp_path, cluster) as service:
            service.wait_for_seats(1)
            job_id = service.send("talk", delay=0.5)
            eventually(lambda: service.job(job_id)["chunks_done"] >= 2, lambda: str(service.job(job_id)))
            at = time.monotonic()
            for ip in cluster.nodes:
                cluster.kill_node(ip)
            eventually(lambda: service.job(job_id)["problem"] is not None, lambda: str(service.job(job_id)))
            print(f"{service.job(job_id)['problem']['code']} after {time.monotonic() - at:.1f} s")
            cluster.start_head()
            cluster.start_node()
            job = service.check(job_id, "talk", 2 * BATCH)
            print(f"the job went on; its history: {[note['code'] for note in job['history']]}")
            assert {note["code"] for note in job["history"]} == {"lost"}
            assert service.slowest_s < LIVE_S
