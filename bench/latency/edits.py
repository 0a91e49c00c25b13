"""Measure how long an edit of a ten-hour transcript takes until it is safely stored, and the reading of the text.

    python -m bench.latency.edits [--lines 8800] [--rounds 200]

One job has `lines` lines of nine words, eight in each chunk. The edits are made one after the other at random places by
the code that answers `/api/jobs/{id}/edits`, in this process: a new text, a split, a join, and an undo of each kind. At
the end the model's text is restored in one edit.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from bench.lib.report import quantile
from whisper_service.core.domain import Job, Options, Segment, Span, Status, Word
from whisper_service.core.job_states import Cause
from whisper_service.editing.lines import Line
from whisper_service.editing.operations import ChangeText, MergeLines, Operation, SplitLine
from whisper_service.storage.store import Store
from whisper_service.storage.transcript_edits import Edit

PER_CHUNK = 8
LINE_S = 4.0
TEXT = "we have to decide about the budget today, please"


async def fill(store: Store, lines: int) -> None:
    """Add the job with its lines."""
    job = Job("long", "long.wav", Status.PENDING, Options(), 0.0, 1, sha256="x")
    await store.add(job)
    await store.move(job.id, Cause.CLAIM)
    for chunk in range(-(-lines // PER_CHUNK)):
        begin = chunk * PER_CHUNK * LINE_S
        await store.add_chunk(job.id, Span(chunk, chunk, 1, begin, begin + PER_CHUNK * LINE_S))
        await store.checkpoint(job.id, chunk, [segment(chunk, n, begin + n * LINE_S) for n in range(PER_CHUNK)], "en")
    await store.move(job.id, Cause.FINISH)


def segment(chunk: int, index: int, start: float) -> Segment:
    words = tuple(Word(start + n * 0.4, start + n * 0.4 + 0.3, f" {word}", 0.9) for n, word in enumerate(TEXT.split()))
    return Segment(chunk, index, start, words[-1].end, TEXT, words)


async def timed(act: Callable[[], Awaitable[object]], times: list[float]) -> None:
    began = time.perf_counter()
    await act()
    times.append(time.perf_counter() - began)


def operation(draw: random.Random, lines: list[Line], kind: str, number: int) -> Operation:
    """Return an operation on a random line."""
    at = draw.randrange(len(lines) - 1)
    line, following = lines[at], lines[at + 1]
    match kind:
        case "text":
            return ChangeText(id=line.id, v=line.version, text=TEXT.replace("budget", "brand new plan"))
        case "split":
            return SplitLine(id=line.id, v=line.version, at=len(line.text) // 2, new=f"new-{number}")
        case _:
            return MergeLines(ids=(line.id, following.id), v=(line.version, following.version))


async def measure(store: Store, rounds: int) -> None:
    draw = random.Random(1)
    print(f"{'what':<28} {'median ms':>10} {'p95 ms':>10}")
    number = 0
    for kind in ("text", "split", "join"):
        edits: list[float] = []
        undos: list[float] = []
        for _ in range(rounds):
            lines = await store.edits.lines("long")
            edit = Edit(f"b{number}", (operation(draw, lines, kind, number),))
            await timed(lambda edit=edit: store.edits.apply("long", edit, 0.0), edits)  # type: ignore[misc]
            number += 1
            if draw.random() < 0.5:
                newest, undo = (await store.job("long")).edits, Edit(f"b{number}", ())
                await timed(lambda n=newest, undo=undo: store.edits.undo("long", n, undo, 0.0), undos)  # type: ignore[misc]
                number += 1
        report(kind, edits)
        report(f"undo of a {kind}", undos)
    reads: list[float] = []
    for _ in range(20):
        await timed(lambda: store.edits.lines("long"), reads)
    report("read all lines", reads)
    whole: list[float] = []
    newest = (await store.job("long")).edits
    await timed(lambda: store.edits.restore("long", 0, Edit("machine", ()), 0.0, newest), whole)
    report(f"restore after {newest} edits", whole)


def report(name: str, times: list[float]) -> None:
    times.sort()
    print(f"{name:<28} {1000 * quantile(times, 0.5):>10.1f} {1000 * quantile(times, 0.95):>10.1f}")


async def run(lines: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Store.open(Path(folder) / "bench.db") as store:
            await fill(store, lines)
            await measure(store, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=8_800)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    anyio.run(run, options.lines, options.rounds)


if __name__ == "__main__":
    main()
