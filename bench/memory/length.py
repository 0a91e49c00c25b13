"""Measure whether memory grows with the length of a recording.

    python -m bench.memory.length [--audio FILE] [--minutes 10] [--hours 3,10] [--speech scripted|real] [--model DIR]

A short recording and long ones are transcribed, each on a fresh service. Service, media actor and speech actor are
measured apart: the largest resident memory in samples 50 ms apart, and the high-water mark that the kernel keeps
(VmHWM). The recording is really decoded and cut. With `--speech scripted` (the default) no model runs: every chunk is
answered at once with as much text as that much speech has. Hours then take minutes, and the figures of the speech
actor say nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anyio

from bench.lib import api, recordings, report, services, usage

SCRIPTED = ("testkit.serve", "--speech", "bench.lib.actors:scripted")
REAL = ("whisper_service", "serve")


class Peak(NamedTuple):
    """Bytes of one process."""

    sampled: int
    high_water: int


class Used(NamedTuple):
    """One recording: what it took. `peaks`: role -> the largest of its processes."""

    seconds: float
    wall: float
    cpu: float
    segments: int
    peaks: dict[str, Peak]


async def transcribe(path: Path, seconds: float, module: Sequence[str], model: Path | None) -> Used:
    """One job on a fresh service, watched from before the upload to its end."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        services.service(Path(scratch) / "data", model=model, module=module) as live,
    ):
        async with live.client as client:
            await api.loaded(client)
            running = await api.actors(client)
            began, cpu = time.monotonic(), live.cpu()
            with usage.Sampler([live.process.pid, *running.values()]) as sampler:
                job = await api.upload(client, path, language="en")
                await api.finished(client, job["id"])
            spent = usage.Spent(time.monotonic() - began, live.cpu() - cpu)
            if await api.actors(client) != running:
                raise SystemExit(
                    "An actor was replaced or added while it was watched; the figures would be of another process."
                )
            peaks = {
                name: Peak(sampler.peaks[pid], usage.high_water(pid))
                for name, pid in {"service": live.process.pid, **running}.items()
            }
            said = await api.get(client, f"/api/jobs/{job['id']}/transcript")
    return Used(seconds, spent.wall, spent.cpu, len(said["segments"]), peaks)


def print_report(all_used: Sequence[Used], speech: str) -> None:
    base = all_used[0]
    rows: list[list[str]] = []
    for used in all_used:
        for role, peak in used.peaks.items():
            before = base.peaks[role]
            rows.append(
                [
                    f"{used.seconds / 3600:.2f} h",
                    f"{role} ({speech})" if role == "speech" else role,
                    f"{peak.sampled / usage.MB:.1f}",
                    f"{peak.high_water / usage.MB:.1f}",
                    "" if used is base else f"{(peak.sampled - before.sampled) / usage.MB:+.1f}",
                    "" if used is base else f"{(peak.high_water - before.high_water) / usage.MB:+.1f}",
                ]
            )
    head = [
        "recording",
        "process",
        "peak RSS, sampled, MB",
        "VmHWM, MB",
        "sampled against the first, MB",
        "VmHWM against the first, MB",
    ]
    report.table(head, rows)
    print()
    report.table(
        [
            "recording",
            "upload to end, wall s",
            "CPU s, all processes",
            "segments",
            "service + media VmHWM against the first, MB",
        ],
        [
            [
                f"{used.seconds / 3600:.2f} h",
                f"{used.wall:.1f}",
                f"{used.cpu:.1f}",
                used.segments,
                f"{(_kept_flat(used) - _kept_flat(base)) / usage.MB:+.1f}",
            ]
            for used in all_used
        ],
    )


def _kept_flat(used: Used) -> int:
    return sum(peak.high_water for role, peak in used.peaks.items() if role != "speech")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="what is repeated (default: Debian's asterisk prompts)")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the short recording")
    parser.add_argument("--hours", default="3", help="lengths of the long ones, comma-separated (default: 3)")
    parser.add_argument("--speech", choices=("scripted", "real"), default="scripted")
    parser.add_argument(
        "--model", type=Path, help="with --speech real: a CTranslate2 model directory (default: the built-in one)"
    )
    given = parser.parse_args()
    print(report.machine())
    lengths = [given.minutes * 60, *(float(hours) * 3600 for hours in given.hours.split(","))]
    real = given.speech == "real"
    if real:
        print("speech: the real model")
    else:
        print("speech: scripted, no model runs; decoding, cutting, database, events and HTTP are real")
    all_used: list[Used] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch)) if real else None
        for seconds in lengths:
            made = recordings.speech(seconds, Path(scratch) / "long.mp3", given.audio)
            used = anyio.run(transcribe, made.path, made.seconds, REAL if real else SCRIPTED, model)
            all_used.append(used)
            print(f"{used.seconds / 3600:.2f} h: {used.wall:.0f} s", flush=True)
    print()
    print_report(all_used, given.speech)
    print(report.machine())


if __name__ == "__main__":
    main()
