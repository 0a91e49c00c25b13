"""Measure how long a short clip waits beside a ten-minute recording, and what that costs the long one.

    python -m bench.latency.short_beside_long [--audio FILE] [--minutes 10] [--rounds 2] [--clip 5]
                                             [--every 15] [--model DIR]

Both are sent as ordinary jobs, through `POST /api/jobs`. Each round works on the long recording alone, and then with
clips beside it: the first one 3 s after it, the next ones at the interval given. The clock of a clip runs from its
request to the end of its job. The clips are also sent to the idle service. What counts are the ratios, all of which
come from one run: of the clip beside the long recording to the clip alone, and of the long recording with clips to the
long recording alone. The CPU seconds are those of the service with all its processes, and tell the cost of the clips
where the clock is disturbed by other programs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path

import anyio
import httpx

from bench.lib import api, recordings, report, services

FIRST_AFTER_S = 3.0
"""Seconds from the long recording to the first clip: it is read by then, and every slot has a batch of it."""


class Clips:
    """Sends clips that are all different, though they sound alike, and keeps how long each took."""

    def __init__(self, client: httpx.AsyncClient, sound: bytes) -> None:
        self._client = client
        self._sound = sound
        self._numbers = count()
        self.taken: list[float] = []

    async def send(self) -> None:
        """Send one and wait for its end."""
        sound = self._sound + bytes(next(self._numbers))  # silence to a player, another file to the service
        began = time.monotonic()
        answer = await self._client.post("/api/jobs", files={"file": ("clip.mp3", sound)})
        answer.raise_for_status()
        job = await api.finished(self._client, answer.json()["id"])
        self.taken.append(time.monotonic() - began)
        if not job["chunks_done"]:
            raise SystemExit("No speech was found in the clip.")

    async def send_every(self, interval_s: float) -> None:
        """Send them at this interval, until cancelled."""
        await anyio.sleep(FIRST_AFTER_S)
        while True:
            began = time.monotonic()
            await self.send()
            await anyio.sleep(max(0.0, interval_s - (time.monotonic() - began)))


class Long:
    """Works on the long recording, and keeps how long it took."""

    def __init__(self, service: services.Service, client: httpx.AsyncClient, path: Path) -> None:
        self._service = service
        self._client = client
        self._path = path

    async def work(self) -> tuple[float, float]:
        """Return the seconds and the CPU seconds from the upload to the end."""
        began, cpu = time.monotonic(), self._service.cpu()
        job = await api.upload(self._client, self._path)
        await api.finished(self._client, job["id"])
        return time.monotonic() - began, self._service.cpu() - cpu


async def measure(given: argparse.Namespace, path: Path, sound: bytes, model: Path) -> None:
    alone: list[tuple[float, float]] = []
    together: list[tuple[float, float]] = []
    async with services.warm(model) as (service, client):
        long, warm, idle, beside = Long(service, client, path), *(Clips(client, sound) for _ in range(3))
        for _ in range(2):
            await warm.send()  # what is done once - libraries, caches - is not counted
        for number in range(given.rounds):
            for _ in range(5):
                await idle.send()
            alone.append(await long.work())
            before = len(beside.taken)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beside.send_every, given.every)
                together.append(await long.work())
                tasks.cancel_scope.cancel()
            waited = beside.taken[before:]
            print(f"round {number + 1}: {alone[-1][0]:.1f} s alone, {together[-1][0]:.1f} s with {len(waited)} clips")
            print("clips:", ", ".join(f"{seconds:.1f} s" for seconds in waited), flush=True)
    waits = [
        [where, len(taken), *(f"{report.quantile(taken, share):.2f} s" for share in (0.5, 0.95, 1.0))]
        for where, taken in (("idle", idle.taken), ("beside", beside.taken))
    ]
    print()
    report.table(["clip", "sent", "p50", "p95", "longest"], waits)
    ratio = statistics.median(beside.taken) / statistics.median(idle.taken)
    print(f"\nA clip takes {ratio:.2f} times as long beside the long recording.")
    per_round = len(beside.taken) / given.rounds
    for part, name in enumerate(("time", "CPU time")):
        cost = sum(one[part] for one in together) / sum(one[part] for one in alone) - 1
        each = 100 * cost / per_round if per_round else 0.0
        print(f"long recording: {100 * cost:+.1f} % {name} with {per_round:.1f} clips, {each:+.2f} % for each clip")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="what is repeated (default: Debian's asterisk prompts)")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clip", type=float, default=5.0, help="its length in seconds")
    parser.add_argument("--every", type=float, default=15.0, help="seconds from a clip to the next")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        made = recordings.speech(given.minutes * 60, Path(scratch) / "long.mp3", given.audio)
        clip = recordings.speech(given.clip, Path(scratch) / "clip.mp3", given.audio)
        print(f"long: {made.seconds:.0f} s; clip: {clip.seconds:.1f} s; model: {model.name}\n", flush=True)
        anyio.run(measure, given, made.path, clip.path.read_bytes(), model)
    print(report.machine())


if __name__ == "__main__":
    main()
