"""Measure how cost grows with length, clients, batch size and subscribers, as CSV and as plots.

    python -m bench.throughput.growth [--only length,clients,batch,subscribers] [--to docs/growth] [--model DIR]

Cost is wall time, CPU seconds and memory. Each point is one run of a fresh, warm service over HTTP. Memory is the
largest sum of resident memory over the service and its actors while it worked. Length: one recording of the prompts,
repeated. Clients: each sends eight short clips, one after the other, to `/v1/audio/transcriptions`. Batch: one
recording of five minutes with other batch sizes. Subscribers: as `bench.latency.events`, with scripted actors. A plot
shows what its CSV has and nothing else.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import psutil

from bench.lib import api, recordings, report, services, subscribers, usage
from bench.lib.report import quantile
from bench.lib.services import Service
from bench.lib.usage import MB

MINUTES = (0.25, 1, 3, 10, 30, 60)
CLIENTS = (1, 2, 4, 8, 16)
CLIPS_EACH = 4
BATCHES = (1, 2, 4, 8, 16)
BATCH_MINUTES = 5
SUBSCRIBERS = (1, 10, 100, 1000, 2000, 5000)
LENGTH_AXES = ("audio, minutes", {"wall s": "wall_s", "CPU s": "cpu_s"}, {"peak RSS, MB": "rss_mb"})
CLIENT_AXES = ("clients", {"clips per second": "clips_per_s"}, {"p95 of an answer, s": "p95_s"})
BATCH_AXES = ("batch size", {"wall s": "wall_s", "CPU s": "cpu_s"}, {"peak RSS, MB": "rss_mb"})
SUBSCRIBER_AXES = ("subscribers", {"p50 ms": "p50_ms", "p99 ms": "p99_ms"}, {"service, % of a core": "service_core"})

Row = dict[str, float]


@dataclass
class Meter:
    """What some work cost; complete after the block."""

    wall: float = 0.0
    cpu: float = 0.0
    rss: float = 0.0

    def row(self) -> Row:
        return {"wall_s": round(self.wall, 2), "cpu_s": round(self.cpu, 2), "rss_mb": round(self.rss / MB, 1)}


@contextmanager
def metered(service: Service) -> Iterator[Meter]:
    """Wall time, CPU seconds and memory of a service and its actors, within the block."""
    root = psutil.Process(service.process.pid)
    meter, began, cpu = Meter(), time.monotonic(), service.cpu()
    with usage.Sampler([root.pid, *(child.pid for child in root.children(recursive=True))]) as sampler:
        yield meter
    meter.wall, meter.cpu, meter.rss = time.monotonic() - began, service.cpu() - cpu, sum(sampler.peaks.values())


async def transcribed(model: Path, path: Path, **environ: str) -> Row:
    """One recording on a warm service."""
    async with services.warm(model, **environ) as (service, client):
        with metered(service) as meter:
            job = await api.upload(client, path, language="en")
            await api.finished(client, job["id"])
    return meter.row()


async def by_length(model: Path, scratch: Path) -> AsyncIterator[Row]:
    for minutes in MINUTES:
        made = recordings.speech(minutes * 60, scratch / "long.mp3")
        yield {"audio_min": round(made.seconds / 60, 2), **await transcribed(model, made.path)}


async def by_batch(model: Path, scratch: Path) -> AsyncIterator[Row]:
    made = recordings.speech(BATCH_MINUTES * 60, scratch / "batch.mp3")
    for size in BATCHES:
        yield {"batch_size": size, **await transcribed(model, made.path, SPEECH__BATCH_SIZE=str(size))}


async def by_clients(model: Path, scratch: Path) -> AsyncIterator[Row]:
    for clients in CLIENTS:
        clips = recordings.clips(min(clients * CLIPS_EACH, 48), 2.0, 15.0, scratch)
        waits: list[float] = []
        async with services.warm(model) as (service, client):

            async def work(
                client: Any = client, left: list[recordings.Made] = clips, waits: list[float] = waits
            ) -> None:
                while left:
                    clip, began = left.pop(), time.monotonic()
                    files = {"file": (clip.path.name, clip.path.read_bytes())}
                    answer = await client.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1"})
                    answer.raise_for_status()
                    waits.append(time.monotonic() - began)

            with metered(service) as meter:
                async with anyio.create_task_group() as tasks:
                    for _ in range(clients):
                        tasks.start_soon(work)
        rate = {"clips_per_s": round(len(waits) / meter.wall, 3)}
        quantiles = {f"p{share * 100:.0f}_s": round(quantile(waits, share), 2) for share in (0.5, 0.95)}
        yield {"clients": clients, "clips": len(waits), **rate, **quantiles, **meter.row()}


async def by_subscribers(_: Path, __: Path) -> AsyncIterator[Row]:
    for count in SUBSCRIBERS:
        seen = await subscribers.measure(count, chunks=10, interval_s=2.0)
        waits = {f"p{share * 100:.0f}_ms": round(1e3 * quantile(seen.latencies, share), 1) for share in (0.5, 0.99)}
        core = {
            "service_core": round(100 * seen.server_cpu / seen.wall, 1),
            "clients_core": round(100 * seen.client_cpu / seen.wall, 1),
        }
        yield {"subscribers": count, **waits, "lost": seen.lost, "repeated": seen.repeated, **core}


SERIES = {
    "length": (by_length, LENGTH_AXES),
    "clients": (by_clients, CLIENT_AXES),
    "batch": (by_batch, BATCH_AXES),
    "subscribers": (by_subscribers, SUBSCRIBER_AXES),
}


def plot(rows: list[Row], axes: tuple[str, dict[str, str], dict[str, str]], target: Path) -> None:
    """Left and right axis against the first column."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    label, left, right = axes
    across = [row[next(iter(rows[0]))] for row in rows]
    figure, first = pyplot.subplots(figsize=(6.4, 4.0), dpi=100)
    second = first.twinx()
    for side, names, style in ((first, left, "o-"), (second, right, "s--")):
        for number, (name, column) in enumerate(names.items()):
            color = f"C{number if side is first else 3}"
            side.plot(across, [row[column] for row in rows], style, label=name, color=color)
        side.set_ylabel(", ".join(names))
        side.set_ylim(bottom=0)
    first.set_xlabel(label)
    if max(across) > 20 * (min(across) or 1):
        first.set_xscale("log")
    lines = [*first.get_lines(), *second.get_lines()]
    first.legend(lines, [str(line.get_label()) for line in lines], loc="upper left")
    figure.tight_layout()
    figure.savefig(target)
    pyplot.close(figure)


async def measure(names: Iterable[str], model: Path, scratch: Path, target: Path) -> None:
    for name in names:
        series, axes = SERIES[name]
        rows: list[Row] = []
        print(f"\n{name}")
        async for row in series(model, scratch):
            rows.append(row)
            print(" ", ", ".join(f"{key} {value:g}" for key, value in row.items()), flush=True)
        with (target / f"{name}.csv").open("w", newline="", encoding="ascii") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        plot(rows, axes, target / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SERIES), help="comma-separated")
    parser.add_argument("--to", type=Path, default=Path("docs/growth"), help="folder for the CSV and PNG files")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        anyio.run(measure, given.only.split(","), services.model(given.model, Path(scratch)), Path(scratch), given.to)
    print(report.machine())


if __name__ == "__main__":
    main()
