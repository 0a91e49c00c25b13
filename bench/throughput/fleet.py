"""Measure what several devices are worth: with scripted actors, and in a simulation around the real planner.

    python -m bench.throughput.fleet [--seats 1,2,4,8] [--jobs 8] [--chunks 40] [--chunk-s 0.1] [--devices 20]

1. A whole service with a scripted speech actor for each device, which waits so long for each chunk: how much faster all
   recordings are done than by one device, and how long each waits for its first text. The actors take no CPU time, so
   this is the cost of giving and storing the work, not of a model.
2. How long one plan takes: with one free slot, and with all slots free.
3. A simulation: 70 % fast cards, 25 % of 0.4 times their speed, 5 % CPUs of 0.02 times; one recording of ten has an
   hour, the others 1 to 10 chunks; one batch of 500 takes 20 times as long. How long recordings take when the planner
   knows the speeds and tries late batches again, and when it knows nothing.
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from bench.lib import report
from testkit.service import ended, open_service, send, until
from whisper_service.core.domain import Job
from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import ChunkKey, GiveBatch, JobView, LateBatch, ReadyChunk, SeatView, View

KINDS: Final = ((0.70, 1.0, 32), (0.25, 0.4, 16), (0.05, 0.02, 4))
"""Share, speed and chunks of a batch of each kind of device."""
SLOTS: Final = 4
CHUNKS_A_SECOND: Final = 16.7
"""Of a fast card: what an H100 does with a model of the size of *medium*."""
STALL: Final = 0.002
LOAD: Final = 0.8


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


@dataclass
class Recording:
    """A recording in the simulation."""

    came: float
    order: int
    ready: list[int]
    in_flight: dict[int, int] = field(default_factory=dict)  # in how many batches each chunk is
    given: int = 0
    last: int = 0
    since: float = 0.0


@dataclass
class Device:
    """A device in the simulation. `speed`: chunks a second."""

    view: SeatView
    speed: float
    batches: dict[int, tuple[tuple[ChunkKey, ...], float]] = field(default_factory=dict)  # chunks, when they are late


class Simulation:
    """Devices under the real planner, with a clock of its own."""

    def __init__(self, devices: int, *, knows: bool, seed: int) -> None:
        self._dice = random.Random(seed)
        self._knows = knows
        self._devices: dict[str, Device] = {}
        for share, speed, batch in KINDS:
            for _ in range(round(share * devices)):
                name = f"speech-{len(self._devices)}"
                view = SeatView(name, ready=True, model="base", slots=SLOTS, batch_size=batch)
                self._devices[name] = Device(view, CHUNKS_A_SECOND * speed)
        self._open: dict[str, Recording] = {}
        self._tried: set[int] = set()
        self._number = 0
        self.took: list[float] = []

    def run(self, seconds: float) -> None:
        """Let recordings come for so long, and do them all."""
        capacity = sum(device.speed for device in self._devices.values())
        events: list[tuple[float, int, str, int]] = []
        now, order = 0.0, 0
        while now < seconds:
            now += self._dice.expovariate(LOAD * capacity / (0.1 * 122 + 0.9 * 5.5))
            heapq.heappush(events, (now, order, "", order))
            order += 1
        while events:
            now, _, name, number = heapq.heappop(events)
            if name:
                self._end(now, name, number)
            else:
                count = 122 if self._dice.random() < 0.1 else self._dice.randint(1, 10)
                self._open[f"job{number}"] = Recording(now, number, list(range(count)), since=now)
            for ends, device, batch in self._give(now):
                heapq.heappush(events, (ends, order + batch, device, batch))

    def _give(self, now: float) -> Iterator[tuple[float, str, int]]:
        for step in plan(self._view(now), now):
            if not isinstance(step, GiveBatch):
                continue
            self._number += 1
            device = self._devices[step.seat]
            usual = len(step.chunks) * SLOTS / device.speed
            took = usual * max(0.3, self._dice.gauss(1.0, 0.15)) * (20.0 if self._dice.random() < STALL else 1.0)
            device.batches[self._number] = (step.chunks, now + 2.0 + 3.0 * usual)
            self._tried |= {step.instead_of, self._number} if step.instead_of else set()
            for job, index in step.chunks:
                one = self._open[job]
                if not step.instead_of:
                    one.ready.remove(index)
                    one.given += 1
                    one.last, one.since = self._number, now
                one.in_flight[index] = one.in_flight.get(index, 0) + 1
            yield now + took, step.seat, self._number

    def _end(self, now: float, name: str, number: int) -> None:
        chunks, _ = self._devices[name].batches.pop(number)
        for job, index in chunks:
            one = self._open.get(job)
            if one is None or one.in_flight.pop(index, None) is None:
                continue  # the other batch was faster
            if not one.ready and not one.in_flight:
                self.took.append(now - one.came)
                del self._open[job]

    def _view(self, now: float) -> View:
        jobs = tuple(
            JobView(
                name,
                "base",
                "base",
                order=one.order,
                duration_s=27.0 * (len(one.ready) + len(one.in_flight) + one.given),
                ready=tuple(ReadyChunk(index) for index in one.ready),
                in_flight=len(one.in_flight),
                given=one.given,
                last_batch=one.last,
                waiting_since=one.since,
            )
            for name, one in self._open.items()
        )
        return View(jobs=jobs, seats=tuple(self._seat(device, now) for device in self._devices.values()))

    def _seat(self, device: Device, now: float) -> SeatView:
        late: list[LateBatch] = []
        if self._knows:
            for number, (chunks, at) in device.batches.items():
                left = tuple(c for c in chunks if c[0] in self._open and c[1] in self._open[c[0]].in_flight)
                if at <= now and number not in self._tried and left:
                    late.append(LateBatch(number, left))
        speed = 27.0 * device.speed if self._knows else 0.0
        return _changed(device.view, len(device.batches), speed, tuple(late))


def _changed(view: SeatView, batches: int, speed: float, late: tuple[LateBatch, ...]) -> SeatView:
    return SeatView(
        view.name, ready=True, model="base", slots=SLOTS, batch_size=view.batch_size,
        batches=batches, speed=speed, late=late,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seats", default="1,2,4,8", help="how many devices are compared with one")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--chunks", type=int, default=40, help="of each job")
    parser.add_argument("--chunk-s", type=float, default=0.1, help="seconds that a device takes for a chunk")
    parser.add_argument("--devices", type=int, default=20, help="in the simulation")
    parser.add_argument("--seconds", type=float, default=300.0, help="for which recordings come in the simulation")
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
    for knows in (False, True):
        simulation = Simulation(given.devices, knows=knows, seed=1)
        simulation.run(given.seconds)
        quantiles = [f"{report.quantile(simulation.took, share):.1f} s" for share in (0.5, 0.95, 0.99, 1.0)]
        rows.append(["speeds and second tries" if knows else "nothing", len(simulation.took), *quantiles])
    report.table(["the planner knows", "recordings", "p50", "p95", "p99", "longest"], rows)


if __name__ == "__main__":
    main()
