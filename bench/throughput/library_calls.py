"""Measure what a recording costs in calls of CTranslate2 alone, against batched faster-whisper.

    python -m bench.throughput.library_calls [--audio FILE] [--language en] [--rounds 3] [--model DIR]

The recording is cut into the chunks of the service. Each chunk is encoded, decoded greedily in batches of 8, and its
words are aligned, with the tuned allocator, on one thread: no second search, no pipes, no database. This is the least
that a program on this library can do, less what it leaves out. The library runs in a process of its own, with its
defaults (beam 5, batch 8). The figures are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import anyio

from bench.lib import baselines, recordings, report, services
from testkit import repository
from whisper_service.actors.media.main import decode
from whisper_service.actors.samples import read_samples
from whisper_service.actors.speech import allocator
from whisper_service.actors.speech.engine import DecodedWindow, Engine, Search
from whisper_service.core.domain import Task
from whisper_service.supervision.messages.media import ChunkFound, Decode

BATCH = 8
NEEDED = ("encode", "decode greedily")
"""Without these there is no text."""


def run(path: Path, model: Path, language: str, scratch: Path) -> dict[str, float]:
    """CPU seconds of every sort of call, and how many windows there are."""
    allocator.tune()
    engine = Engine(str(model), "cpu", "int8", slots=1, threads=1)
    engine.warm_up()
    spent: dict[str, float] = defaultdict(float)
    at = time.process_time()

    def took(name: str) -> None:
        nonlocal at
        now = time.process_time()
        spent[name] += now - at
        at = now

    spool, peaks = scratch / "spool", scratch / "peaks"
    for file in (spool, peaks):
        file.touch()
    order = Decode(job_id="bench", source=str(path), spool=str(spool), peaks=str(peaks))
    spans = [report.span for report in decode(order) if isinstance(report, ChunkFound)]
    sounds = [read_samples(str(spool), span) for span in spans]
    took("read the file, find speech")
    for first in range(0, len(sounds), BATCH):
        batch = sounds[first : first + BATCH]
        states = engine.encode(batch)
        took("encode")
        found = engine.decode(states, [language] * len(batch), [Task.TRANSCRIBE] * len(batch), Search())
        took("decode greedily")
        texts = zip(states, batch, found, strict=True)
        engine.words(
            [
                DecodedWindow(state, decoded, language, Task.TRANSCRIBE, len(sound) / 16_000)
                for state, sound, decoded in texts
            ]
        )
        took("align words")
    return {**spent, "windows": float(len(spans))}


def apart(path: Path, model: Path, language: str) -> dict[str, float]:
    """The same in a process of its own."""
    words = [
        sys.executable,
        "-m",
        "bench.throughput.library_calls",
        "--alone",
        "--audio",
        str(path),
        "--model",
        str(model),
        "--language",
        language,
    ]
    result: dict[str, float] = json.loads(
        subprocess.run(words, cwd=repository.ROOT, check=True, stdout=subprocess.PIPE).stdout
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: ten minutes of Debian's asterisk prompts)")
    parser.add_argument("--language", default="en", help="code of the language spoken")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        if given.alone:
            print(json.dumps(run(given.audio, given.model, given.language, Path(scratch))))
            return
        print(report.machine())
        model = services.model(given.model, Path(scratch))
        path = given.audio or recordings.speech(600, Path(scratch) / "speech.mp3").path
        calls: dict[str, list[float]] = defaultdict(list)
        library: list[float] = []
        for _ in range(given.rounds):
            for name, value in apart(path, model, given.language).items():
                calls[name].append(value)
            spent, _ = anyio.run(baselines.apart, "batched", model, path, given.language)
            library.append(spent.cpu)
        windows = int(calls.pop("windows")[0])
        rows = [
            [name, f"{statistics.median(values):.1f}", f"{statistics.median(values) / windows:.2f}"]
            for name, values in calls.items()
        ]
        batched, least = statistics.median(library), sum(statistics.median(calls[name]) for name in NEEDED)
        rows.append(["faster-whisper batched, all of it", f"{batched:.1f}", ""])
        report.table([f"{windows} windows", "CPU s (median)", "a window"], rows)
        print(
            f"\nA program that only encoded and decoded greedily would need {batched / least:.2f} times less CPU "
            "than batched mode."
        )
        print(report.machine())


if __name__ == "__main__":
    main()
