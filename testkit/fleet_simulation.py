"""A fleet of unlike devices under the real planner, with a clock of its own. Every random number comes from one seed.

70 % of the devices are fast cards, 25 % have 0.4 times their speed, 5 % are CPUs of 0.02 times. One recording of ten
has an hour, the others 1 to 10 chunks. One batch of 500 takes 20 times as long. Devices die as often as asked: their
batches are given again once that is noticed, and they come back after a while.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from whisper_service.scheduler.planner import plan
from whisper_service.scheduler.views import ChunkKey, GiveBatch, JobView, LateBatch, ReadyChunk, SeatView, View

KINDS: Final = ((0.70, 1.0, 32), (0.25, 0.4, 16), (0.05, 0.02, 4))
"""Share, speed and chunks of a batch of each kind of device."""
SLOTS: Final = 4
CHUNKS_A_SECOND: Final = 16.7
"""Of a fast card: what an H100 does with a model of the size of *medium*."""
CHUNK_S: Final = 27.0
LONG: Final = 122
"""Chunks of an hour."""
CHUNKS: Final = 0.1 * LONG + 0.9 * 5.5
"""Of a recording, on average."""
STALL: Final = 0.002
LOAD: Final = 0.8
NOTICED_S: Final = 8.0
"""Seconds until the death of a machine is noticed: a frozen one, with the settings that the documents advise."""
BACK_S: Final = 15.0
"""Seconds from then until it has its model again."""
LATE_S: Final = 2.0
"""A batch is late after so many seconds, and three times what it takes as a rule."""
SHOWN: Final = 64
"""Chunks of a job that the planner sees."""


@dataclass
class Recording:
    """A recording in the simulation."""

    came: float
    order: int
    ready: dict[int, None]
    in_flight: dict[int, int] = field(default_factory=dict)  # in how many batches each chunk is
    given: int = 0
    last: int = 0
    since: float = 0.0


@dataclass
class Batch:
    """A batch in the simulation."""

    device: str
    chunks: tuple[ChunkKey, ...]
    is_second_try: bool


@dataclass
class Device:
    """A device in the simulation. `speed`: chunks a second."""

    name: str
    speed: float
    batch_size: int
    up: bool = True
    batches: set[int] = field(default_factory=set)
    late: dict[int, LateBatch] = field(default_factory=dict)


class FleetSimulation:
    """Devices that do recordings. `knows`: the planner knows their speeds, and which batches are late."""

    def __init__(self, devices: int, *, knows: bool = True, seed: int = 1, deaths_per_hour: float = 0.0) -> None:
        self._dice = random.Random(seed)
        self._knows = knows
        self._deaths_per_hour = deaths_per_hour
        self._devices: dict[str, Device] = {}
        for share, speed, batch in KINDS:
            for _ in range(round(share * devices)):
                name = f"speech-{len(self._devices)}"
                self._devices[name] = Device(name, CHUNKS_A_SECOND * speed, batch)
        self._seats = {device.name: self._seat(device) for device in self._devices.values()}
        self._open: dict[str, Recording] = {}
        self._jobs: dict[str, JobView] = {}
        self._batches: dict[int, Batch] = {}
        self._events: list[tuple[float, int, str, int | str]] = []  # when, in which order, what, of which
        self._numbers = 0
        self.took: list[float] = []  # seconds, of each recording
        self.given_again = 0  # chunks
        self.tried_twice = 0  # batches

    def run(self, seconds: float) -> None:
        """Let recordings come for so long, and do them all."""
        capacity = sum(device.speed for device in self._devices.values())
        now, order = 0.0, 0
        while (now := now + self._dice.expovariate(LOAD * capacity / CHUNKS)) < seconds:
            order += 1
            self._push(now, "comes", order)
        for name in self._devices if self._deaths_per_hour else ():
            now = 0.0
            while (now := now + self._dice.expovariate(self._deaths_per_hour / 3600)) < seconds:
                self._push(now, "dies", name)
        while self._events:
            now, _, what, which = heapq.heappop(self._events)
            if self._take(now, what, which):
                self._give(now)

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the recordings was done."""
        ordered = sorted(self.took)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def _push(self, at: float, what: str, which: int | str) -> None:
        self._numbers += 1
        heapq.heappush(self._events, (at, self._numbers, what, which))

    def _take(self, now: float, what: str, which: int | str) -> bool:
        """Take in what happens. Return whether there may be something to give."""
        match what, which:
            case "comes", int():
                count = LONG if self._dice.random() < 0.1 else self._dice.randint(1, 10)
                name = f"job{which}"
                self._open[name] = Recording(now, which, dict.fromkeys(range(count)), since=now)
                self._look_at(name)
            case "ends", int() if which in self._batches:
                self._end(now, which)
            case "is late", int() if (batch := self._batches.get(which)) is not None:
                device = self._devices[batch.device]
                left = tuple((j, i) for j, i in batch.chunks if j in self._open and i in self._open[j].in_flight)
                if left and not batch.is_second_try:
                    device.late[which] = LateBatch(which, left)
                    self._seats[device.name] = self._seat(device)
            case "dies", str() if (device := self._devices[which]).up:
                device.up = False  # what it has does not come, and nobody knows yet
                self._push(now + NOTICED_S, "is gone", which)
                return False
            case "is gone", str():
                device = self._devices[which]
                for number in list(device.batches):
                    self._lose(number)
                self._seats[which] = self._seat(device, ready=False)
                self._push(now + BACK_S, "is back", which)
            case "is back", str():
                self._devices[which].up = True
                self._seats[which] = self._seat(self._devices[which])
            case _:
                return False
        return True

    def _give(self, now: float) -> None:
        touched = set()
        for step in self._batches_of_a_plan(now):
            self._numbers += 1
            number, device = self._numbers, self._devices[step.seat]
            usual = len(step.chunks) * SLOTS / device.speed
            took = usual * max(0.3, self._dice.gauss(1.0, 0.15)) * (20.0 if self._dice.random() < STALL else 1.0)
            self._batches[number] = Batch(step.seat, step.chunks, bool(step.instead_of))
            device.batches.add(number)
            if step.instead_of:
                self.tried_twice += 1
                first = self._devices[self._batches[step.instead_of].device]
                first.late.pop(step.instead_of)
                self._batches[step.instead_of].is_second_try = True  # it is not tried a third time
                self._seats[first.name] = self._seat(first)
            self._seats[step.seat] = self._seat(device)
            for job, index in step.chunks:
                one = self._open[job]
                if not step.instead_of:
                    del one.ready[index]
                    one.given += 1
                    one.last, one.since = number, now
                one.in_flight[index] = one.in_flight.get(index, 0) + 1
                touched.add(job)
            self._push(now + took, "ends", number)
            if self._knows and took > LATE_S + 3.0 * usual:
                self._push(now + LATE_S + 3.0 * usual, "is late", number)
        for job in touched:
            self._look_at(job)

    def _batches_of_a_plan(self, now: float) -> Iterator[GiveBatch]:
        view = View(jobs=tuple(self._jobs.values()), seats=tuple(self._seats.values()))
        return (step for step in plan(view, now) if isinstance(step, GiveBatch))

    def _end(self, now: float, number: int) -> None:
        device = self._devices[self._batches[number].device]
        if not device.up:
            return
        batch = self._drop(number)
        for job, index in batch.chunks:
            one = self._open.get(job)
            if one is None or one.in_flight.pop(index, None) is None:
                continue  # the other batch was faster
            if one.ready or one.in_flight:
                self._look_at(job)
            else:
                self.took.append(now - one.came)
                del self._open[job], self._jobs[job]

    def _lose(self, number: int) -> None:
        """Take back the chunks of a batch that no other one has."""
        for job, index in self._drop(number).chunks:
            one = self._open.get(job)
            if one is None or index not in one.in_flight:
                continue
            one.in_flight[index] -= 1
            if not one.in_flight[index]:
                del one.in_flight[index]
                one.ready = {index: None, **one.ready}
                self.given_again += 1
                self._look_at(job)

    def _drop(self, number: int) -> Batch:
        batch = self._batches.pop(number)
        device = self._devices[batch.device]
        device.batches.remove(number)
        device.late.pop(number, None)
        self._seats[device.name] = self._seat(device)
        return batch

    def _look_at(self, name: str) -> None:
        """Let the planner see a recording as it is now."""
        one = self._open[name]
        self._jobs[name] = JobView(
            name,
            "base",
            "base",
            order=one.order,
            duration_s=CHUNK_S * (len(one.ready) + len(one.in_flight) + one.given),
            ready=tuple(map(ReadyChunk, islice(one.ready, SHOWN))),
            more=max(0, len(one.ready) - SHOWN),
            in_flight=len(one.in_flight),
            given=one.given,
            last_batch=one.last,
            waiting_since=one.since,
        )

    def _seat(self, device: Device, *, ready: bool = True) -> SeatView:
        return SeatView(
            device.name,
            ready=ready,
            model="base",
            slots=SLOTS,
            batch_size=device.batch_size,
            batches=len(device.batches),
            speed=CHUNK_S * device.speed if self._knows else 0.0,
            late=tuple(device.late.values()),
        )
