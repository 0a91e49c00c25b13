"""Measure whether a live session of hours takes more memory, or more time, the longer it lasts.

    python -m bench.memory.live_length [--hours 10] [--speed 20] [--minutes 60] [--speech scripted|real]
                                       [--audio FILE] [--model DIR]

One session gets sound so many times faster than a microphone makes it, and is read like a page reads it, drafts
included. The recording is said again and again; without one it is made-up speech with pauses, and with a real model
Debian's asterisk prompts. The live actor is the real one. With `--speech scripted` (the default) every chunk and every
draft is answered at once, with text. After every `--minutes` of sound: resident memory of the service and of its
actors, how soon sound was acknowledged, and how far behind the sound the listener and the text were, by the wall clock.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import psutil

from bench.lib import api, report, services, usage
from bench.lib.draft_trial import samples
from testkit.process import SERVE
from testkit.prompts import prompts
from testkit.sounds import babble, join, silence

SECOND: Final = 32_000
"""Bytes of a second of sound."""
PIECE_S: Final = 0.1
"""Seconds by the wall clock between two pieces."""
WATCHED: Final = ("service", "live", "speech")
SCRIPTED: Final = ("testkit.serve", "--speech", "testkit.scripted_actors:speech")


class Stage:
    """What was seen while some sound came. Seconds are those of the wall clock."""

    def __init__(self) -> None:
        self.took: list[float] = []  # to acknowledge a piece
        self.heard: list[float] = []  # from sound to the draft that heard it
        self.text: list[float] = []  # from the end of a segment to its event
        self.memory: dict[str, float] = {}  # MB, at its end

    def row(self, hours: float) -> list[str]:
        def both(values: list[float], unit: float) -> str:
            if not values:
                return "none"
            return " / ".join(f"{report.quantile(values, share) * unit:.1f}" for share in (0.5, 0.95))

        memory = [f"{self.memory[name]:.1f}" if name in self.memory else "none" for name in WATCHED]
        return [f"{hours:.2f}", *memory, both(self.took, 1000), both(self.heard, 1000), both(self.text, 1)]


class Session:
    """A session, its sender and its reader."""

    def __init__(
        self, client: httpx.AsyncClient, service: services.Service, sound: bytes, speed: float, stage_s: float
    ) -> None:
        self.client, self.service, self.sound, self.speed, self.stage_s = client, service, sound, speed, stage_s
        self.stages = [Stage()]
        self.sent_s = 0.0
        self.job_id = ""

    async def run(self, hours: float) -> dict[str, Any]:
        """Send and read, and return the job at its end."""
        answer = await self.client.post("/api/live", json={"language": "en", "name": "bench.wav"})
        answer.raise_for_status()
        self.job_id = answer.json()["id"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.read)
            await self.send(hours)
            (await self.client.post(f"/api/live/{self.job_id}/end", timeout=600)).raise_for_status()
        job: dict[str, Any] = await api.get(self.client, f"/api/jobs/{self.job_id}")
        return job

    async def send(self, hours: float) -> None:
        size = int(PIECE_S * self.speed * SECOND) // 2 * 2
        began, offset = time.monotonic(), 0
        while offset < hours * 3600 * SECOND:
            await anyio.sleep(max(0.0, began + offset / SECOND / self.speed - time.monotonic()))
            place = offset % (len(self.sound) - size)
            headers = {"upload-offset": str(offset), "content-type": "application/offset+octet-stream"}
            asked = time.monotonic()
            answer = await self.client.patch(
                f"/api/live/{self.job_id}", content=self.sound[place : place + size], headers=headers
            )
            answer.raise_for_status()
            self.stages[-1].took.append(time.monotonic() - asked)
            offset += size
            self.sent_s = offset / SECOND
            if self.sent_s >= self.stage_s * len(self.stages):
                await self.end_stage()

    async def end_stage(self) -> None:
        actors = {each["name"]: each["pid"] for each in (await api.get(self.client, "/api/system"))["actors"]}
        for name, pid in {**actors, "service": self.service.process.pid}.items():
            if name in WATCHED and pid:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.stages[-1].memory[name] = psutil.Process(pid).memory_info().rss / usage.MB
        print("| " + " | ".join(self.stages[-1].row(self.sent_s / 3600)) + " |", flush=True)
        self.stages.append(Stage())

    async def read(self) -> None:
        async with aclosing(api.follow(self.client, self.job_id)) as events:
            async for event in events:
                if event.kind == "draft" and event.data["speaking"]:
                    self.stages[-1].heard.append((self.sent_s - event.data["heard_s"]) / self.speed)
                elif event.kind == "segment":
                    self.stages[-1].text.append((self.sent_s - event.data["segment"]["end"]) / self.speed)


def tell(stages: list[Stage]) -> None:
    """Print how much memory grew after the first stage."""
    whole = [stage for stage in stages if stage.memory]
    if len(whole) > 1:
        grown = {name: whole[-1].memory[name] - whole[0].memory[name] for name in WATCHED if name in whole[-1].memory}
        print("\ngrown after the first row: " + ", ".join(f"{name} {by:+.1f} MB" for name, by in grown.items()))


async def measure(given: argparse.Namespace) -> None:
    real = given.speech == "real"
    settings = {"LIVE__MAX_HOURS": "100"}
    if given.audio:
        sound = samples(given.audio, given.seconds).tobytes()
    elif real:
        sound = prompts(given.seconds)[0].tobytes()
    else:
        sound = join(*(part for n in range(12) for part in (babble(20 + n, seed=n), silence(2 + n % 3)))).tobytes()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        services.service(
            Path(scratch) / "data",
            model=services.model(given.model, Path(scratch)) if real else None,
            module=SERVE if real else SCRIPTED,
            **settings,
        ) as service,
    ):
        async with service.client as client:
            await api.loaded(client)
            head = ["hours", *(f"{name} MB" for name in WATCHED), "acknowledged, p50 / p95 ms"]
            report.table([*head, "heard, p50 / p95 ms", "text, p50 / p95 s"], [])
            session = Session(client, service, sound, given.speed, 60 * given.minutes)
            began, cpu = time.monotonic(), service.cpu()
            job = await session.run(given.hours)
            wall, spent = time.monotonic() - began, service.cpu() - cpu
    tell(session.stages)
    print(f"{job['status']}: {job['duration_s']:.0f} s of sound in {wall:.0f} s, {spent:.0f} s of CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0, help="of sound")
    parser.add_argument("--speed", type=float, default=20.0, help="times real time")
    parser.add_argument("--minutes", type=float, default=60.0, help="of sound between two rows")
    parser.add_argument("--speech", choices=["scripted", "real"], default="scripted", help="the speech actor")
    parser.add_argument("--audio", type=Path, help="a recording that is said again and again")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the recording")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    print(report.machine())
    anyio.run(measure, given)
    print(report.machine())


if __name__ == "__main__":
    main()
