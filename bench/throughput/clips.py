"""Compare many short clips of several clients with one faster-whisper model behind a thread pool.

    python -m bench.throughput.clips [--clips 64] [--clients 8] [--rounds 3] [--model DIR]

Every client sends its clips one after the other, without a language: to `/v1/audio/transcriptions` of a service in a
process of its own, and to a pool of as many threads that share one model, as servers do that use the library
directly: a `WhisperModel` with its defaults (beam 5, one thread per core), and a `BatchedInferencePipeline` (batch 8,
beam 5). The load of the model does not count on any side. The uploads, the database and the queue of the service
count. They take turns. A service keeps its results, so each round has a fresh one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx

from bench.lib import baselines, recordings, report, services
from bench.lib.recordings import Made
from bench.lib.services import Device
from testkit import repository
from testkit.scoring import Score, score

SERVICE, POOL, BATCHED = "service", "pool of threads", "batched, pool of threads"
SYSTEMS = (SERVICE, POOL, BATCHED)


def pooled(system: str, model_dir: Path, clips: Sequence[Path], clients: int, device: Device) -> dict[str, Any]:
    """All clips through one model and a pool of threads, in this process."""
    import numpy as np
    from faster_whisper import BatchedInferencePipeline

    model = baselines.loaded(model_dir, device)
    model.encode(np.zeros((model.model.n_mels, 3000), dtype=np.float32))
    batched = BatchedInferencePipeline(model) if system == BATCHED else None

    def one(path: Path) -> tuple[str, float]:
        began = time.monotonic()
        segments, _ = batched.transcribe(str(path), batch_size=8) if batched else model.transcribe(str(path))
        return " ".join(segment.text.strip() for segment in segments), time.monotonic() - began

    began, cpu = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(one, clips))
    return {
        "wall": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "texts": [text for text, _ in done],
        "seconds": [seconds for _, seconds in done],
    }


async def served(model_dir: Path, clips: Sequence[Path], clients: int, device: Device) -> dict[str, Any]:
    """The same over HTTP."""
    texts: dict[int, str] = {}
    seconds: dict[int, float] = {}
    left = list(enumerate(clips))[::-1]

    async def work(client: httpx.AsyncClient) -> None:
        while left:
            number, path = left.pop()
            began = time.monotonic()
            files = {"file": (path.name, path.read_bytes())}
            answer = await client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"})
            answer.raise_for_status()
            texts[number], seconds[number] = answer.json()["text"].strip(), time.monotonic() - began

    async with services.warm(model_dir, **device.settings) as (service, client):
        began, cpu = time.monotonic(), service.cpu()
        async with anyio.create_task_group() as tasks:
            for _ in range(clients):
                tasks.start_soon(work, client)
        wall, spent = time.monotonic() - began, service.cpu() - cpu
    numbers = range(len(clips))
    return {"wall": wall, "cpu": spent, "texts": [texts[n] for n in numbers], "seconds": [seconds[n] for n in numbers]}


def one(system: str, given: argparse.Namespace, model: Path, clips: Sequence[Made]) -> dict[str, Any]:
    """One round of one system, in a process of its own."""
    paths, device = [clip.path for clip in clips], Device.given(given)
    if system == SERVICE:
        return anyio.run(served, model, paths, given.clients, device)
    words = [
        sys.executable,
        "-m",
        "bench.throughput.clips",
        "--system",
        system,
        "--pool",
        *map(str, paths),
        "--clients",
        str(given.clients),
        "--model",
        str(model),
        *device.words,
    ]
    result: dict[str, Any] = json.loads(
        subprocess.run(words, cwd=repository.ROOT, check=True, stdout=subprocess.PIPE).stdout
    )
    return result


def print_report(runs: dict[str, list[dict[str, Any]]], clips: Sequence[Made]) -> None:
    head = [
        "system",
        "clips/s (median)",
        "answer p50 s",
        "p95 s",
        "CPU s per clip",
        "WER % (deleted, substituted, inserted words)",
    ]
    rows = []
    rates = {name: statistics.median(len(clips) / run["wall"] for run in rounds) for name, rounds in runs.items()}
    for name, rounds in runs.items():
        seconds = [value for run in rounds for value in run["seconds"]]
        cpu = statistics.median(run["cpu"] for run in rounds) / len(clips)
        wrong = sum(
            (score("en", clip.text or "", text) for clip, text in zip(clips, rounds[-1]["texts"], strict=True)), Score()
        )
        waits = [f"{report.quantile(seconds, share):.2f}" for share in (0.5, 0.95)]
        rows.append([name, f"{rates[name]:.2f}", *waits, f"{cpu:.2f}", str(wrong)])
    print()
    report.table(head, rows)
    print()
    for name in (POOL, BATCHED):
        print(f"The service answers {rates[SERVICE] / rates[name]:.2f} times as many clips per second as {name}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--pool", type=Path, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--system", help=argparse.SUPPRESS)
    Device.ask(parser)
    given = parser.parse_args()
    if given.pool:
        print(json.dumps(pooled(given.system, given.model, given.pool, given.clients, Device.given(given))))
        return
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model = services.model(given.model, Path(scratch))
        clips = recordings.clips(given.clips, 2.0, 15.0, Path(scratch))
        lengths = [clip.seconds for clip in clips]
        print(
            f"{len(clips)} clips of {min(lengths):.1f} to {max(lengths):.1f} s, {sum(lengths):.0f} s in all; "
            f"{given.clients} clients\n",
            flush=True,
        )
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SYSTEMS}
        for number in range(given.rounds):
            for name in SYSTEMS[:: 1 if number % 2 else -1]:
                runs[name].append(done := one(name, given, model, clips))
                print(f"round {number + 1}: {name}: {done['wall']:.1f} s wall, {done['cpu']:.1f} s CPU", flush=True)
        print_report(runs, clips)
    print(report.machine())


if __name__ == "__main__":
    main()
