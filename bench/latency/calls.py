"""Measure how long a caller waits for a language and for a short text, on an idle service and beside a long recording.

    python -m bench.latency.calls [--audio FILE] [--hours 1] [--rounds 10] [--clips 5 30] [--model DIR]

The long recording keeps every slot of the speech actor busy with full batches. Each round asks `/detect-language`
about a clip of 30 s, and `/v1/audio/transcriptions` about a clip of each length. No clip is sent twice. The clock
runs from the request to the whole answer. The table also shows how much of that time passed until the job existed
(upload), and until its sound was decoded and cut.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio
import httpx

from bench.lib import api, recordings, report, services

BUSY_CHUNKS = 16
"""Chunks after which the batches of the long recording are full."""
LANGUAGE_S = 30.0


@dataclass
class Waited:
    """Seconds from a request until the job exists, its first chunk can be recognised, the answer arrives."""

    placed: float
    read: float
    answered: float


@dataclass
class Watch:
    """When the jobs of a service were first seen, and first seen in each phase."""

    seen: dict[tuple[str, str | None], float] = field(default_factory=dict)
    ready: anyio.Event = field(default_factory=anyio.Event)

    async def run(self, client: httpx.AsyncClient) -> None:
        async with aclosing(api.events(client, "/api/events")) as events:
            async for event in events:
                self.ready.set()
                if event.kind == "update":
                    self.seen.setdefault((event.data["id"], None), event.at)
                    self.seen.setdefault((event.data["id"], event.data.get("phase")), event.at)


class Caller:
    """Sends clips that are all different, though they sound alike."""

    def __init__(
        self, client: httpx.AsyncClient, watch: Watch, clips: dict[float, bytes], lengths: list[float]
    ) -> None:
        self._client = client
        self._watch = watch
        self._clips = clips
        self._lengths = lengths
        self._numbers: Iterator[int] = count()

    async def ask(self, path: str, part: str, seconds: float) -> Waited:
        clip = self._clips[seconds] + bytes(next(self._numbers))  # silence to a player, another file to the service
        began = time.monotonic()
        answer = await self._client.post(path, files={part: ("clip.mp3", clip)}, timeout=600)
        ended = time.monotonic()
        answer.raise_for_status()
        job = answer.headers["x-request-id"]
        placed = self._watch.seen.get((job, None), ended)
        read = self._watch.seen.get((job, "transcribing"), ended)
        return Waited(placed - began, read - began, ended - began)

    async def rounds(self, number: int) -> dict[str, list[Waited]]:
        """Every call, so many times."""
        waited: dict[str, list[Waited]] = {}
        for _ in range(number):
            waited.setdefault("/detect-language", []).append(
                await self.ask("/detect-language", "audio_file", LANGUAGE_S)
            )
            for seconds in self._lengths:
                name = f"/v1/audio/transcriptions, {seconds:.0f} s"
                waited.setdefault(name, []).append(await self.ask("/v1/audio/transcriptions", "file", seconds))
        return waited


async def busy(client: httpx.AsyncClient, job_id: str) -> None:
    """Wait until the long recording is in full work."""
    async with aclosing(api.follow(client, job_id)) as events:
        async for event in events:
            if event.kind == "update" and event.data["chunks_done"] >= BUSY_CHUNKS:
                return


async def measure(given: argparse.Namespace, path: Path, clips: dict[float, bytes], model: Path) -> None:
    watch = Watch()
    async with services.warm(model) as (_, client), anyio.create_task_group() as tasks:
        tasks.start_soon(watch.run, client)
        await watch.ready.wait()
        caller = Caller(client, watch, clips, given.clips)
        await caller.rounds(1)  # what is done once - libraries, caches - is not counted
        idle = await caller.rounds(given.rounds)
        job = await api.upload(client, path)
        await busy(client, job["id"])
        beside = await caller.rounds(given.rounds)
        left = (await client.get(f"/api/jobs/{job['id']}")).json()
        tasks.cancel_scope.cancel()
    if left["status"] != "processing":
        raise SystemExit("The long recording ended first: give it more --hours.")
    rows = []
    for name in idle:
        for where, waited in (("idle", idle[name]), ("beside", beside[name])):
            answered = [one.answered for one in waited]
            placed, read = (statistics.median(getattr(one, part) for one in waited) for part in ("placed", "read"))
            p50, p95 = statistics.median(answered), report.quantile(answered, 0.95)
            rows.append([name, where, f"{p50:.2f} s", f"{p95:.2f} s", f"{placed:.2f} s", f"{read:.2f} s"])
    report.table(["call", "service", "p50", "p95", "until placed", "until read"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="what is repeated (default: Debian's asterisk prompts)")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clips", type=float, nargs="+", default=[5.0, 30.0], help="their lengths in seconds")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        made = recordings.speech(given.hours * 3600, Path(scratch) / "long.mp3", given.audio)
        lengths = sorted({*given.clips, LANGUAGE_S})
        clips = {
            length: recordings.speech(length, Path(scratch) / "clip.mp3", given.audio).path.read_bytes()
            for length in lengths
        }
        print(f"long: {made.seconds / 3600:.2f} h; model: {model.name}; {given.rounds} rounds\n", flush=True)
        anyio.run(measure, given, made.path, clips, model)
    print(report.machine())


if __name__ == "__main__":
    main()
