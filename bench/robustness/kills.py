"""Kill processes at random moments of real work: measure what is done twice, and compare the text.

    python -m bench.robustness.kills [--audio FILE] [--kills 3] [--targets speech,media,service] [--seed 1]
                                   [--model DIR]

The speech actor is the real one. A witness around it writes down each chunk that it is given (job, chunk, time).
First the file is transcribed without kills. Then each target is killed with SIGKILL `kills` times while jobs with the
same file are in work: the speech actor and the service at any moment of the job, a media actor while it decodes. A
killed service is started again at once, on the same data.

Work repeated: chunks given minus distinct chunks. Kill to next segment: until the first segment of a chunk that was
given after the kill. For a media actor it is any chunk, because the speech actor goes on meanwhile. For the service
the time includes its start and the load of the model.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.lib import api, recordings, report, services
from bench.lib.actors import JOURNAL
from bench.lib.api import Event

MODULE = ("testkit.serve", "--speech", "bench.lib.actors:journalled")
TARGETS = ("speech", "media", "service")
TRIES = 4
"""Jobs per wanted kill; some kills come too late and do not count."""

Transcript = list[dict[str, Any]]


@dataclass
class Watch:
    """A client that follows a job as a browser does: it comes back with the id of the last event that it has."""

    job_id: str
    lab: Lab
    events: list[Event] = field(default_factory=list)
    over: bool = False
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        while not self.over:
            with suppress(httpx.TransportError):
                last = self.events[-1].id if self.events else None
                async with self.lab.live.client as client:
                    async for event in api.follow(client, self.job_id, last):
                        if event.kind == "end":
                            self.over = True
                        else:
                            self.events.append(event)
                        self._tell()
            if not self.over:
                await anyio.sleep(0.02)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()

    async def wait(self) -> None:
        """Until there is another event."""
        await self._news.wait()

    @property
    def job(self) -> dict[str, Any]:
        """The job as it was told last."""
        return next((event.data for event in reversed(self.events) if event.kind == "update"), {})


class Lab:
    """A service that may be killed, its journal, and the dice."""

    def __init__(self, scratch: Path, model: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.model = model
        self.data = scratch / "data"
        self.journal = scratch / "journal"
        self.live = self.start()

    def start(self) -> services.Service:
        return services.start(self.data, model=self.model, module=MODULE)

    def given(self, job_id: str) -> list[tuple[float, int]]:
        """(when, chunk) of each row of a job that the speech actor was given."""
        lines = self.journal.read_text(encoding="ascii").splitlines() if self.journal.exists() else []
        rows = (line.split() for line in lines)
        return [(float(at), int(index)) for at, job, index in rows if job == job_id]

    async def warm(self) -> None:
        async with self.live.client as client:
            await api.loaded(client)

    @asynccontextmanager
    async def job(self, path: Path, language: str | None) -> AsyncIterator[Watch]:
        """A job that somebody follows; it must complete."""
        async with self.live.client as client:
            job = await api.upload(client, path, language=language)
        watch = Watch(job["id"], self)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            yield watch
            while not watch.over:
                await watch.wait()

    async def transcript(self, watch: Watch) -> Transcript:
        """The text, after making sure that the client was told all of it, once and in order."""
        async with self.live.client as client:
            job = await api.get(client, f"/api/jobs/{watch.job_id}")
            if job["status"] != "completed" or job["gaps"]:
                raise SystemExit(
                    f"A job ended as {job['status']} with {len(job['gaps'])} gaps: {job['error'] or job['message']}"
                )
            log = [event.id async for event in api.follow(client, watch.job_id) if event.kind != "end"]
            if log != [event.id for event in watch.events]:
                raise SystemExit("The client that came back has other events than the log: some were lost or repeated.")
            said: Transcript = (await api.get(client, f"/api/jobs/{watch.job_id}/transcript"))["segments"]
        return said

    async def kill(self, target: str, watch: Watch) -> float | None:
        """kill -9; when, or None if there was nothing to kill."""
        if target == "service":
            at = time.monotonic()
            self.live.process.kill()
            self.live.process.communicate()
            self.live = self.start()
            return at
        async with self.live.client as client:
            pids = [pid for name, pid in (await api.actors(client)).items() if name.startswith(target)]
        if not pids or watch.over or (target == "media" and watch.job.get("decoded")):
            return None
        at = time.monotonic()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return at


@dataclass
class Undisturbed:
    """The run that the others must equal."""

    transcript: Transcript
    wall_s: float
    decode_s: float
    silence_s: float  # longest time from one segment event to the next
    rows: int


@dataclass
class Tally:
    """What kills of one target cost."""

    kills: int = 0
    jobs: int = 0
    given: int = 0
    distinct: int = 0
    worst: int = 0  # most rows that one kill made repeat
    again: list[float] = field(default_factory=list)  # seconds from each kill to the next row given
    waits: list[float] = field(default_factory=list)  # and to the next segment
    different: int = 0


async def undisturbed(lab: Lab, path: Path, language: str | None) -> Undisturbed:
    began = time.monotonic()
    decoded = 0.0
    async with lab.job(path, language) as watch:
        while not watch.over:
            await watch.wait()
            if not decoded and watch.job.get("decoded"):
                decoded = time.monotonic() - began
    wall = time.monotonic() - began
    moments = [event.at for event in watch.events if event.kind == "segment"]
    silence = max((b - a for a, b in pairwise(moments)), default=0.0)
    return Undisturbed(await lab.transcript(watch), wall, decoded, silence, len(lab.given(watch.job_id)))


async def disturbed(lab: Lab, target: str, kills: int, path: Path, language: str | None, calm: Undisturbed) -> Tally:
    """Jobs until there were enough kills."""
    tally = Tally()
    while tally.kills < kills and tally.jobs < TRIES * kills:
        await lab.warm()
        moments: list[float] = []
        async with lab.job(path, language) as watch:
            while not watch.over and tally.kills < kills and not (target == "media" and moments):
                longest = calm.decode_s if target == "media" else calm.wall_s / (kills + 1)
                with anyio.move_on_after(lab.chance.uniform(0.1, 0.9) * longest):
                    while not watch.over:
                        await watch.wait()
                at = None if watch.over else await lab.kill(target, watch)
                if at is None:
                    break
                moments.append(at)
                tally.kills += 1
                if (wait := await _next_segment(lab, watch, at, any_row=target == "media")) is not None:
                    tally.waits.append(wait)
        tally.jobs += 1
        rows = lab.given(watch.job_id)
        tally.given += len(rows)
        tally.distinct += len({index for _, index in rows})
        tally.worst = max(tally.worst, *repeats(rows, moments), 0)
        tally.again += [min(later) - at for at in moments if (later := [when for when, _ in rows if when > at])]
        tally.different += await lab.transcript(watch) != calm.transcript
    return tally


def repeats(rows: list[tuple[float, int]], kills: list[float]) -> list[int]:
    """How many rows (when, chunk) were given again after each kill and before the next."""
    seen: set[int] = set()
    again: list[float] = []
    for when, index in rows:
        if index in seen:
            again.append(when)
        seen.add(index)
    ends = [*kills[1:], float("inf")]
    return [sum(begin < when <= end for when in again) for begin, end in zip(kills, ends, strict=False)]


async def _next_segment(lab: Lab, watch: Watch, at: float, *, any_row: bool) -> float | None:
    """Seconds from the kill to the segment that shows that work goes on; None if there was no more to come."""
    looked = 0
    while True:
        for event in watch.events[looked:]:
            if event.kind == "segment" and event.at > at:
                chunk = event.data["segment"]["chunk"]
                if any_row or any(when > at and index == chunk for when, index in lab.given(watch.job_id)):
                    return event.at - at
        looked = len(watch.events)
        if watch.over:
            return None
        await watch.wait()


async def measure(given: argparse.Namespace, path: Path, model: Path, scratch: Path) -> None:
    lab = Lab(scratch, model, given.seed)
    language = None if given.language == "auto" else given.language
    tallies: dict[str, Tally] = {}
    try:
        await lab.warm()
        calm = await undisturbed(lab, path, language)
        print(f"undisturbed: {calm.wall_s:.1f} s, decoded after {calm.decode_s:.1f} s, {calm.rows} rows, ", end="")
        print(f"at most {calm.silence_s:.1f} s between two segments", flush=True)
        for target in given.targets.split(","):
            tallies[target] = await disturbed(lab, target, given.kills, path, language, calm)
            print(f"{target}: killed {tallies[target].kills} times in {tallies[target].jobs} jobs", flush=True)
        async with lab.live.client as client:
            slots = (await api.get(client, "/api/system"))["cpus"]
    finally:
        services.stop(lab.live.process)
    print()
    head = [
        "killed",
        "kills",
        "jobs",
        "rows given",
        "distinct rows",
        "repeated",
        "repeated by the worst kill",
        "allowed per kill",
    ]
    rows: list[list[object]] = []
    for target, tally in tallies.items():
        again, waits = (
            report.spread(seconds, "s") if seconds else "there was no more" for seconds in (tally.again, tally.waits)
        )
        row: list[object] = [
            target,
            tally.kills,
            tally.jobs,
            tally.given,
            tally.distinct,
            tally.given - tally.distinct,
            tally.worst,
        ]
        row += [f"{given.batch * slots} (batch {given.batch} x {slots} slots)", again, waits]
        rows.append([*row, "yes, all" if not tally.different else f"NO: {tally.different} of {tally.jobs} differ"])
    head += ["kill to next row given, median (range)", "kill to next segment, median (range)"]
    report.table([*head, "transcript equal to the undisturbed one"], rows)
    print(
        "\nEvery client that came back was told all events once and in order; otherwise the program would have stopped."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="the file (default: Debian's asterisk prompts in a row)")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the default file, at most 10")
    parser.add_argument("--kills", type=int, default=3, help="per target")
    parser.add_argument("--targets", default=",".join(TARGETS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--language", default="auto", help="spoken language; auto: detect it (default)")
    given = parser.parse_args()
    from whisper_service.scheduler.speech_device import BATCH

    given.batch = BATCH
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        seconds = min(given.minutes * 60, recordings.PIECE_S)
        path = given.audio or recordings.speech(seconds, Path(scratch) / "prompts.mp3").path
        os.environ[JOURNAL] = str(Path(scratch) / "journal")
        print(
            f"audio: {path.name}, {recordings.length(path):.0f} s; model: {model.name}; seed {given.seed}", flush=True
        )
        anyio.run(measure, given, path, model, Path(scratch))
    print(report.machine())


if __name__ == "__main__":
    main()
