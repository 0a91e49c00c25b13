"""Measure how long after the upload of an hour of audio the first sentence arrives.

    python -m bench.latency.first_text [--audio FILE] [--hours 1] [--rounds 3] [--model DIR] [--raw]

The file is an MP3. The clock starts when the answer 202 arrives and stops when the first `segment` event arrives.
Each round has a new, warm service. With `--raw`, faster-whisper takes turns with the service: there the clock runs
from the call of `transcribe` to the first segment, after the model is loaded.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import anyio

from bench.lib import api, baselines, recordings, report, services, usage


class First(NamedTuple):
    """Seconds of one round."""

    upload: float
    first: float
    cpu: float  # of service and actors, from the answer to the first segment


async def served(path: Path, model: Path, language: str | None) -> First:
    """Upload the file to a warm service and wait for the first text."""
    async with services.warm(model) as (service, client):
        began = time.monotonic()
        job = await api.upload(client, path, language=language)
        accepted, cpu = time.monotonic(), service.cpu()
        async with aclosing(api.follow(client, job["id"])) as events:
            async for event in events:
                if event.kind == "segment":
                    return First(accepted - began, event.at - accepted, service.cpu() - cpu)
    raise SystemExit("The job ended without a segment.")


async def measure(given: argparse.Namespace, path: Path, model: Path) -> None:
    language = None if given.language == "auto" else given.language
    firsts: list[First] = []
    raw: dict[str, list[float]] = {name: [] for name in (baselines.SYSTEMS if given.raw else ())}
    cpus: dict[str, list[float]] = {name: [] for name in raw}
    for _ in range(given.rounds):
        firsts.append(await served(path, model, language))
        for name in raw:
            spent, result = await baselines.apart(name, model, path, language, first=True)
            raw[name].append(result["first_s"])
            cpus[name].append(spent.cpu)
    ours = [first.first for first in firsts]
    rows = [["service", report.spread(ours, "s"), f"{statistics.median(first.cpu for first in firsts):.1f} s", "1.00"]]
    for name, seconds in raw.items():
        ratio = statistics.median(seconds) / statistics.median(ours)
        cpu = f"{statistics.median(cpus[name]):.1f} s"
        rows.append([f"faster-whisper {name}", report.spread(seconds, "s"), cpu, f"{ratio:.1f}"])
    report.table(
        ["system", "to the first segment, median (range)", "CPU until then, median", "times the service's"], rows
    )
    print(f"\nupload over loopback: {report.spread([first.upload for first in firsts], 's')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="what is repeated (default: Debian's asterisk prompts)")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--language", default="auto", help="spoken language; auto: detect it (default)")
    parser.add_argument("--raw", action="store_true", help="also measure faster-whisper, batched and sequential")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        made = recordings.speech(given.hours * 3600, Path(scratch) / "long.mp3", given.audio)
        size = made.path.stat().st_size / usage.MB
        print(
            f"audio: {made.seconds / 3600:.2f} h, {size:.1f} MB; model: {model.name}; "
            f"language: {given.language}; {given.rounds} rounds\n",
            flush=True,
        )
        anyio.run(measure, given, made.path, model)
    print(report.machine())


if __name__ == "__main__":
    main()
