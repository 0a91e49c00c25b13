"""Measure how many chunks a second one service takes in, gives out and stores: on an empty and on a large database.

    python -m bench.throughput.chunk_rate [--jobs 40] [--chunks 100] [--seats 4] [--links 1000] [--rounds 3]
                                              [--keep DIR]

Scripted actors, one for each seat, answer every chunk at once with as much text as 25 s of speech have, and two media
actors find the chunks at once. So the service is what limits the rate: its messages, plans, transactions and events.
The CPU time is that of the service process alone. The large database has 1 GB of finished jobs, which the program
writes in two minutes; `--keep` puts that database into DIR, and uses the one that is already there. `--followers`:
clients that follow the events of all jobs meanwhile, in a process of their own. `--sync-ms`: as on a disk that syncs
slowly. `--links`: so many seats are of a cluster, and one process plays all their actors (`bench.lib.many_links`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import httpx
import psutil

from bench.lib import api, many_links, report, services, usage
from bench.lib.many_jobs import fill

MODULE: Final = ("testkit.serve", "--speech", "bench.lib.actors:scripted", "--media", "bench.lib.actors:script")
JOBS_OF_1_GB: Final = 94_000
SEGMENTS: Final = 5
PLACES: Final = {"MEDIA__WORKERS": "2", "SPEECH__SLOTS": "4", "SPEECH__BATCH_SIZE": "16"}


class Rate(NamedTuple):
    """What one run measured."""

    chunks_per_s: float
    cpu_ms: float  # of the service process for each chunk
    wal_mb: float
    memory_mb: float


def follow(host: str, port: int, count: int) -> None:
    """Read the events of all jobs over `count` connections, and throw them away. Runs in a process of its own."""
    request = f"GET /api/events HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()

    async def read() -> None:
        async with await anyio.connect_tcp(host, port) as stream:
            await stream.send(request)
            while await stream.receive(1 << 20):
                pass

    async def read_all() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(read)

    anyio.run(read_all)


@contextmanager
def followers(url: str, count: int) -> Iterator[None]:
    """Clients that follow all jobs inside the block."""
    if not count:
        yield
        return
    host, _, port = url.removeprefix("http://").rpartition(":")
    process = multiprocessing.get_context("spawn").Process(target=follow, args=(host, int(port), count), daemon=True)
    process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        process.kill()
        process.join()


async def measure(
    seats: int, jobs: int, chunks: int, database: Path | None, following: int, sync_ms: float, *, far: bool = False
) -> Rate:
    """Return what a fresh service does, whose database is a copy of `database`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        data, play = Path(scratch) / "data", Path(scratch) / "play"
        data.mkdir()
        play.write_text(json.dumps({"chunks": chunks, "interval_s": 0}))
        if database is not None:
            shutil.copy(database, data / "whisper_service.db")
        places = PLACES | {"SPEECH__DEVICE": ",".join(f"cuda:{number}" for number in range(seats))}
        module: tuple[str, ...] = (*MODULE, "--sync-ms", str(sync_ms))
        if far:
            os.environ[many_links.LINKS] = str(seats)
            module = (*module, "--gateway", "bench.lib.many_links:run")
            places |= {"SPEECH__DEVICE": "none", "CLUSTER__ENGINE": "ray", "CLUSTER__CPUS": "1", "CLUSTER__GPUS": "0"}
        with services.service(data, model=None, module=module, **places) as live:
            async with live.client as client:
                await api.loaded(client)
                while far and len(loaded := await _with_model(client)) < seats:
                    print(f"{len(loaded)} of {seats} far seats have their model", flush=True)
                    await anyio.sleep(5.0)
                await api.finished(client, (await api.upload(client, play, language="en"))["id"])
                with followers(live.url, following):
                    process = psutil.Process(live.process.pid)
                    began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
                    sent = [(await api.upload(client, play, language="en"))["id"] for _ in range(jobs)]
                    for job in sent:
                        await api.finished(client, job)
                    took, used = time.monotonic() - began, sum(process.cpu_times()[:2]) - cpu
                    wal = os.path.getsize(data / "whisper_service.db-wal")  # noqa: PTH202, ASYNC240
                return Rate(jobs * chunks / took, 1e3 * used / (jobs * chunks), wal / usage.MB,
                            usage.high_water(live.process.pid) / usage.MB)  # fmt: skip


async def _with_model(client: httpx.AsyncClient) -> list[str]:
    """Return the names of the seats that have their model."""
    devices = (await client.get("/api/system")).json()["devices"]
    return [device["seat"] for device in devices if device["model"] is not None]


def large(folder: Path) -> Path:
    """Return a database of 1 GB in this folder. It is made unless it is there."""
    path = folder / "large.db"
    if not path.exists():
        draft = folder / "draft.db"
        draft.unlink(missing_ok=True)
        anyio.run(fill, draft, JOBS_OF_1_GB, SEGMENTS)
        draft.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--chunks", type=int, default=100, help="of each job")
    parser.add_argument("--seats", default="4", help="numbers of seats, separated by commas")
    parser.add_argument("--links", default="", help="numbers of seats of a cluster")
    parser.add_argument("--databases", default="empty,large")
    parser.add_argument("--followers", type=int, default=0)
    parser.add_argument("--sync-ms", type=float, default=0.0, help="milliseconds that each commit takes longer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder of the large database")
    given = parser.parse_args()
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        fleets = [(int(seats), far) for far, counts in ((False, given.seats), (True, given.links))
                  for seats in counts.split(",") if seats]  # fmt: skip
        cases = [(name, *fleet) for name in given.databases.split(",") for fleet in fleets]
        found: dict[tuple[str, int, bool], list[Rate]] = {case: [] for case in cases}
        for _ in range(given.rounds):
            for name, seats, far in cases:
                database = large(folder) if name == "large" else None
                run = partial(measure, far=far)
                one = anyio.run(run, seats, given.jobs, given.chunks, database, given.followers, given.sync_ms)
                found[name, seats, far].append(one)
                print(f"{name}, {seats} {'far ' if far else ''}seats: {one}", flush=True)
    rows = []
    for (name, seats, far), rates in found.items():
        middle = [statistics.median(column) for column in zip(*rates, strict=True)]
        kind = f"{seats} far" if far else str(seats)
        rows.append([name, kind, *(f"{value:.{digits}f}" for value, digits in zip(middle, (0, 2, 0, 0), strict=True))])
    report.table(["database", "seats", "chunks a second", "CPU ms a chunk", "write-ahead log MB", "memory MB"], rows)
    print(report.machine())


if __name__ == "__main__":
    main()
