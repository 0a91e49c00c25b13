"""Measure what a batch costs a device, by batch size and by batches at once.

    python -m bench.throughput.batches [--device cuda] [--batch 1,8,16,32] [--slots 1,2] [--audio FILE] [--model DIR]
                                       [--to FILE.csv]
    python -m bench.throughput.batches --plot FILE.csv

The figures are windows per second, memory, and where the time goes. One process has the engine and the recogniser of
the speech actor, with one thread for numpy as there, without pipes, planner and database. The windows are the chunks
that the media actor cuts, over and over. Every slot is a thread that takes the next batch. Memory of a GPU is the
most that was taken by any process while the batches ran, as the driver tells. The shares are those of the threads:
encoding with the spectrogram, decoding, aligning words.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from bench.lib import recordings, report, services
from bench.lib.services import Device
from bench.lib.usage import MB
from whisper_service.actors.media.main import decode
from whisper_service.actors.samples import read_samples
from whisper_service.actors.speech import allocator, cuda_libraries, gpu_memory
from whisper_service.actors.speech.speech_spans import SpeechFinder
from whisper_service.core.domain import Preset
from whisper_service.supervision.boot import PINNED
from whisper_service.supervision.messages.media import ChunkFound, Decode

STAGES = ("encode", "detect_languages", "decode", "words")


def windows(path: Path, scratch: Path) -> list[Any]:
    """The sound of every chunk."""
    spool, peaks = scratch / "spool", scratch / "peaks"
    for file in (spool, peaks):
        file.touch()
    order = Decode(job_id="bench", source=str(path), spool=str(spool), peaks=str(peaks))
    spans = [report.span for report in decode(order) if isinstance(report, ChunkFound)]
    return [read_samples(str(spool), span) for span in spans]


def timed(engine: Any) -> dict[str, float]:
    """Have the engine's stages counted, in seconds of the threads that call them."""
    spent: dict[str, float] = defaultdict(float)
    lock = threading.Lock()

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            began = time.monotonic()
            try:
                return method(*args, **named)
            finally:
                with lock:
                    spent[name] += time.monotonic() - began

        return call

    for name in STAGES:
        setattr(engine, name, counted(name, getattr(engine, name)))
    return spent


@contextmanager
def least_free(device: str) -> Iterator[list[int]]:
    """The least memory that was free on the device within the block, in bytes; nothing if nobody says."""
    least: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if (free := gpu_memory.free_bytes(device)) is not None:
                least[:] = [min([free, *least])]

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield least
    finally:
        over.set()
        thread.join()


def measure(
    sounds: Sequence[Any], model: Path, device: Device, slots: int, sizes: Sequence[int], given: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """One row for each batch size, with one loaded model."""
    from whisper_service.actors.speech.engine import Engine
    from whisper_service.actors.speech.recognition import Recognizer
    from whisper_service.actors.speech.windows import AudioChunk

    language = None if given.language == "auto" else given.language
    before = gpu_memory.free_bytes(device.name)
    engine = Engine(
        str(model), device.name, device.compute_type, slots=slots, threads=len(psutil.Process().cpu_affinity() or [0])
    )
    engine.warm_up()
    spent = timed(engine)
    loaded = gpu_memory.free_bytes(device.name)
    listeners = [Recognizer(engine, SpeechFinder()) for _ in range(slots)]
    for size in sizes:
        many = list(islice(cycle(sounds), max(given.windows, 2 * slots * size)))
        turns = [many[at : at + size] for at in range(0, len(many), size)]
        words = [0]

        def work(listener: Recognizer, turns: list[list[Any]] = turns, words: list[int] = words) -> None:
            while turns:
                try:
                    batch = turns.pop()
                except IndexError:
                    return
                for _, heard in listener.recognise(
                    [AudioChunk(sound, language) for sound in batch], Preset(given.preset)
                ):
                    words[0] += sum(len(sentence.words) for sentence in heard.sentences)

        for listener in listeners:  # once outside: memory is had, kernels are loaded
            list(listener.recognise([AudioChunk(sound, language) for sound in many[:size]], Preset(given.preset)))
        spent.clear()
        began, cpu = time.monotonic(), time.process_time()
        with least_free(device.name) as least, ThreadPoolExecutor(slots) as pool:
            list(pool.map(work, listeners))
        wall, used = time.monotonic() - began, time.process_time() - cpu
        seconds = sum(map(len, many)) / 16_000
        row: dict[str, Any] = {"batches at once": slots, "batch size": size, "windows": len(many), "words": words[0]}
        row |= {
            "windows/s": round(len(many) / wall, 2),
            "x real time": round(seconds / wall, 1),
            "CPU s per window": round(used / len(many), 3),
        }
        row["weights MB"] = round((before - loaded) / MB) if before is not None and loaded is not None else ""
        row["batches MB"] = round((loaded - least[0]) / MB) if loaded is not None and least else ""
        total = slots * wall
        row |= {f"{name} %": round(100 * spent.get(name, 0.0) / total) for name in STAGES}
        yield row
    engine.unload()


def plot(table: Path) -> None:
    """Windows per second against the batch size, a line for every number of batches at once, beside the table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), dpi=100)
    for slots in dict.fromkeys(row["batches at once"] for row in rows):
        mine = [row for row in rows if row["batches at once"] == slots]
        axes.plot(
            [int(row["batch size"]) for row in mine],
            [float(row["windows/s"]) for row in mine],
            "o-",
            label=f"{slots} at once",
        )
    axes.set(xlabel="batch size", ylabel="windows per second", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    figure.savefig(table.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: ten minutes of Debian's asterisk prompts)")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--batch", default="1,8", help="comma-separated (default: 1,8)")
    parser.add_argument("--slots", default="1", help="batches at once, comma-separated (default: 1)")
    parser.add_argument("--windows", type=int, default=32, help="at least so many are recognised (default: 32)")
    parser.add_argument("--language", default="en", help="auto: detect it in every window (default: en)")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--to", type=Path, help="also write the table as CSV")
    parser.add_argument("--plot", type=Path, help="draw a table that was written, and measure nothing")
    Device.ask(parser)
    given = parser.parse_args()
    if given.plot:
        plot(given.plot)
        return
    if any(os.environ.get(name) != value for name, value in PINNED.items()):  # numpy has read them already
        os.execve(
            sys.executable, [sys.executable, "-m", "bench.throughput.batches", *sys.argv[1:]], os.environ | PINNED
        )
    allocator.tune()
    cuda_libraries.preload()
    print(report.machine())
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        model, device = services.model(given.model, Path(scratch)), Device.given(given)
        path = given.audio or recordings.speech(600, Path(scratch) / "prompts.mp3").path
        began = time.monotonic()
        sounds = windows(path, Path(scratch))
        took = time.monotonic() - began
        print(
            f"{path.name}: {len(sounds)} windows, cut in {took:.1f} s; model: {model.name}; "
            f"{device.name}, {device.compute_type}; {given.preset}\n",
            flush=True,
        )
        for slots in map(int, given.slots.split(",")):
            for row in measure(sounds, model, device, slots, [int(size) for size in given.batch.split(",")], given):
                if not rows:
                    report.table(list(row), [])
                rows.append(row)
                print(f"| {' | '.join(map(str, row.values()))} |", flush=True)
    if given.to:
        with given.to.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
