"""Measure lists, searches and the first view of the page in many jobs, and what the index costs a checkpoint.

    python -m bench.latency.search [--jobs 100000] [--segments 5] [--rounds 200] [--keep DIR]

The database has `jobs` jobs of `segments` segments each, half of them English and half Chinese words drawn at random.
The triggers that a service uses fill it. The code that answers `/api/jobs` and `/api/state` reads it, one question at
a time, in this process. `--keep` puts the database into DIR, and uses the one that is already there.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from bench.lib.many_jobs import ENGLISH, fill
from bench.lib.report import quantile
from whisper_service.core.domain import Segment, Span, Status
from whisper_service.core.job_states import Cause
from whisper_service.storage import database
from whisper_service.storage.store import Store

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("first page", {}),
    ("a page in the middle", {"before": "MIDDLE"}),
    ("one status, rare", {"status": [Status.FAILED]}),
    ("a word in every second job", {"q": "budget"}),
    ("the same, from the middle", {"q": "budget", "before": "MIDDLE"}),
    ("the same, of a rare status", {"q": "budget", "status": [Status.FAILED]}),
    ("two such words", {"q": "budget meeting"}),
    ("a word in one old job", {"q": "zyxwvut"}),
    ("a word in none", {"q": "qqqqqq"}),
    ("one character, common", {"q": "的"}),
    ("two characters, common", {"q": "会议"}),
    ("one character, in one old job", {"q": "龘"}),
    ("two characters, in none", {"q": "龘龘"}),
    ("three characters, in one old job", {"q": "龘靐齉"}),
    ("a letter", {"q": "e"}),
)


async def timed(act: Callable[[], Awaitable[Any]], rounds: int) -> tuple[list[float], Any]:
    """Seconds of each round, sorted, and the last answer."""
    times, answer = [], None
    for _ in range(rounds):
        began = time.perf_counter()
        answer = await act()
        times.append(time.perf_counter() - began)
    return sorted(times), answer


def line(name: str, times: list[float], said: str = "") -> None:
    print(f"{name:<36} {1000 * quantile(times, 0.5):>9.2f} {1000 * quantile(times, 0.99):>9.2f}  {said}")


async def checkpoints(path: Path, rounds: int) -> list[float]:
    """Seconds of a checkpoint with 7 segments, the text of a chunk of half a minute."""
    async with Store.open(path) as store:
        job = (await store.jobs(limit=1))[0]
        fresh = f"z{time.time_ns()}"
        plain = {name: getattr(job, name) for name in ("name", "options", "created_at", "bytes", "sha256")}
        await store.add(type(job)(id=fresh, status=Status.PENDING, **plain))
        await store.move(fresh, Cause.CLAIM)
        times = []
        draw = random.Random(2)
        for n in range(rounds):
            await store.add_chunk(fresh, Span(n, n, 1, 0.0, 1.0))
            segments = [Segment(n, k, 0.0, 1.0, " ".join(draw.choices(ENGLISH, k=10))) for k in range(7)]
            began = time.perf_counter()
            await store.checkpoint(fresh, n, segments, "en")
            times.append(time.perf_counter() - began)
        await store.delete(fresh)
    return sorted(times)


async def without_index(path: Path) -> None:
    """Take the triggers away."""
    async with database.connect(path) as connection:
        for name in ("job_is_named", "job_is_renamed", "job_is_deleted", "segment_is_written", "segment_is_deleted"):
            await connection.execute(f"DROP TRIGGER {name}")


async def measure(path: Path, count: int, segments: int, rounds: int) -> None:
    began = time.perf_counter()
    if not os.path.exists(path):  # noqa: PTH110, ASYNC240 - nothing else runs here
        await fill(path, count, segments)
    size = os.path.getsize(path) / 1e6  # noqa: PTH202, ASYNC240
    print(f"{count} jobs, {count * segments} segments, {size:.0f} MB, filled in {time.perf_counter() - began:.0f} s")
    print(f"\n{'milliseconds':<36} {'median':>9} {'p99':>9}")
    async with Store.open(path) as store:
        for name, asked in QUESTIONS:
            asked = asked | ({"before": f"{count // 2:026d}"} if "before" in asked else {})
            times, page = await timed(lambda asked=asked: store.browser.jobs(limit=51, **asked), rounds)  # type: ignore[misc]
            line(
                name, times, f"{len(page.jobs)} jobs, counts {sum(page.counts.values())}{'' if page.complete else '+'}"
            )
        line("snapshot of 200", (await timed(lambda: store.browser.snapshot(201), rounds))[0])
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "copy.db"
        with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()
        line("checkpoint of 7 segments", await checkpoints(copy, rounds))
        await without_index(copy)
        line("the same without the index", await checkpoints(copy, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = options.keep or Path(directory)
        root.mkdir(parents=True, exist_ok=True)
        anyio.run(measure, root / "search.db", options.jobs, options.segments, options.rounds)


if __name__ == "__main__":
    main()
