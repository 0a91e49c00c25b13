"""Measure what several devices are worth: with scripted actors, and in a simulation around the real planner.

    python -m bench.throughput.fleet [--seats 1,2,4,8] [--jobs 8] [--chunks 40] [--chunk-s 0.1] [--devices 20] [--ray]

1. A whole service with a scripted speech actor for each device, which waits so long for each chunk: how much faster all
   recordings are done than by one device, and how long each waits for its first text. The actors take no CPU time, so
   this is the cost of giving and storing the work, not of a model.
2. How long one plan takes: with one free slot, and with all slots free.
3. A simulation of unlike devices (`testkit.fleet_simulation`): how long recordings take when the planner knows nothing,
   when it knows the speeds and tries late batches again, and then with six deaths of each device in an hour.
4. With `--ray`: what a seat of a Ray cluster on this machine costs beside a local one, and the time from the death of
   its machine to the next chunk (`bench.lib.on_ray`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import anyio

from bench.lib import on_ray, report
from testkit import ray_cluster
from testkit.fleet_simulation import SLOTS, FleetSimulation
from testkit.service import ended, open_service, send, until
from whisper_service.core.domain import Job
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import JobView, ReadyChunk, SeatView, View


async def served(seats: int, jobs: int, chunks: int, chunk_s: float) -> tuple[float, list[float]]:
    """Return the seconds until all jobs are done, and those of each until its first text."""
    devices = ",".join(f"cuda:{number}" for number in range(seats))
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        async with open_service(Path(scratch), speech={"device": devices, "slots": 1}, media={"workers": 2}) as service:
            await ended(service, (await send(service, name="warm", chunks=4 * seats)).id)
            firsts: list[float] = []
            began = time.monotonic()

            async def follow(job: Job) -> None:
                await until(service, job.id, lambda one: one.position_s > 0 or one.progress > 0, 600)
                firsts.append(time.monotonic() - began)
                await ended(service, job.id, 600)

            async with anyio.create_task_group() as tasks:
                for number in range(jobs):
                    tasks.start_soon(follow, await send(service, name=f"job{number}", chunks=chunks, delay=chunk_s))
            return time.monotonic() - began, firsts


def planned(seats: int, jobs: int) -> tuple[float, float]:
    """Return the seconds of a plan with one free slot, and with all slots free."""
    works = tuple(
        JobView(f"job{n}", "base", "base", order=n, given=100, ready=tuple(ReadyChunk(i) for i in range(64)))
        for n in range(jobs)
    )

    def seconds(free: int) -> float:
        views = [
            SeatView(f"speech-{n}", ready=True, model="base", slots=SLOTS, batches=0 if n < free else SLOTS, speed=9.0)
            for n in range(seats)
        ]
        if free == 1:
            views[0] = SeatView("speech-0", ready=True, model="base", slots=SLOTS, batches=SLOTS - 1, speed=9.0)
        view = View(jobs=works, seats=tuple(views))
        began = time.perf_counter()
        plan(view, 0.0)
        return time.perf_counter() - began

    return min(seconds(1) for _ in range(5)), seconds(seats)


def on_ray_too(jobs: int, chunks: int) -> None:
    """Print what Ray costs."""
    if ray_cluster.MISSING:
        raise SystemExit(ray_cluster.MISSING)
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        near, far, deaths = on_ray.measure(jobs, chunks, Path(scratch))
    rows = [
        [name, f"{cost.chunks_per_s:.0f}", f"{cost.cpu_ms:.1f} ms"] for name, cost in (("near", near), ("far", far))
    ]
    report.table(["seat", "chunks a second", "CPU of all processes a chunk"], rows)
    print(f"From the death of a node to the next chunk: {report.spread(deaths, 's')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seats", default="1,2,4,8", help="how many devices are compared with one")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--chunks", type=int, default=40, help="of each job")
    parser.add_argument("--chunk-s", type=float, default=0.1, help="seconds that a device takes for a chunk")
    parser.add_argument("--devices", type=int, default=20, help="in the simulation")
    parser.add_argument("--seconds", type=float, default=300.0, help="for which recordings come in the simulation")
    parser.add_argument("--ray", action="store_true", help="a Ray cluster on this machine as well")
    given = parser.parse_args()
    print(report.machine())
    rows, alone = [], 0.0
    for seats in map(int, given.seats.split(",")):
        took, firsts = anyio.run(served, seats, given.jobs, given.chunks, given.chunk_s)
        alone = alone or took
        rate = given.jobs * given.chunks / took
        rows.append([seats, f"{took:.1f} s", f"{rate:.1f}", f"{alone / took:.2f}", report.spread(firsts, "s")])
    report.table(["devices", "all jobs", "chunks a second", "faster by", "first text"], rows)
    counts = ((1, 76), (8, 76), (1000, 500))
    sizes = [(seats, jobs, *planned(seats, jobs)) for seats, jobs in counts]
    report.table(
        ["devices", "jobs", "plan with one free slot", "plan with all slots free"],
        [[seats, jobs, f"{1e3 * one:.2f} ms", f"{1e3 * full:.1f} ms"] for seats, jobs, one, full in sizes],
    )
    rows = []
    for knows, deaths in ((False, 0.0), (True, 0.0), (True, 6.0)):
        simulation = FleetSimulation(given.devices, knows=knows, deaths_per_hour=deaths)
        simulation.run(given.seconds)
        quantiles = [f"{simulation.quantile(share):.1f} s" for share in (0.5, 0.95, 0.99, 1.0)]
        says = "speeds and second tries" if knows else "nothing"
        rows.append([says, deaths, len(simulation.took), *quantiles, simulation.given_again])
    columns = ["the planner knows", "deaths an hour", "recordings", "p50", "p95", "p99", "longest", "given again"]
    report.table(columns, rows)
    if given.ray:
        on_ray_too(given.jobs, given.chunks)


if __name__ == "__main__":
    main()
