"""Measure everything that a GPU decides, in one run of a few minutes.

    python -m bench.throughput.one_gpu [--device cuda] [--audio FILE] [--reference TEXTFILE] [--model DIR]
                                       [--windows 800] [--limit-s 300] [--tests]

The steps, each a program of its own with its own output:

1. The tests of a real card (`tests/gpu`), with `--tests`.
2. The recogniser alone, by batch size and batches at once.
3. Two speech actors on one card, two batches at once each, against one actor with four. Both pairs of figures are
   windows per second; those of two actors are added. They start together and do the same work.
4. One recording through the service, against batched faster-whisper: with the given model, and with a network as large
   as *medium* made of it (`bench.throughput.widen`).
5. Clips of eight clients, against pools.

A step that fails or takes longer than `--limit-s` is told at the end, and the others go on. The exit code is then 1.
"""

from __future__ import annotations

import argparse
import csv
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.lib import report, services
from bench.lib.services import Device

BATCH: Final = 16
"""Chunks of a batch in step 3: what a card of 16 GB takes with *base* in four batches at once."""
ENDS_S: Final = 30.0
"""Seconds that an interrupted program has to end its service."""


class Steps:
    """Programs that run one after the other, and which of them failed."""

    def __init__(self, limit_s: float) -> None:
        self.failed: list[str] = []
        self._limit_s = limit_s

    def run(self, title: str, *programs: Sequence[str]) -> bool:
        """Run these programs at the same time and wait for all. Return whether all of them succeeded."""
        print(f"\n## {title}\n", flush=True)
        until = time.monotonic() + self._limit_s
        running = [subprocess.Popen([sys.executable, "-m", *program]) for program in programs]
        codes = [_wait(process, until) for process in running]
        if any(codes):
            self.failed.append(title)
        return not any(codes)


def _wait(process: subprocess.Popen[bytes], until: float) -> int:
    """Return the exit code of a process. When its time is over it is interrupted, so that it ends what it started."""
    try:
        return process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return 1


def two_actors(steps: Steps, common: Sequence[str], windows: int, scratch: Path) -> None:
    """Compare two actors on the card with one actor. Prints the windows per second of both."""
    tables = [scratch / f"{name}.csv" for name in ("one", "first", "second")]

    def actor(slots: int, share: int, table: Path) -> list[str]:
        sizes = ["--slots", str(slots), "--batch", str(BATCH), "--windows", str(share), "--to", str(table)]
        return ["bench.throughput.batches", *common, *sizes]

    if steps.run("One actor, four batches at once", actor(4, windows, tables[0])) and steps.run(
        "Two actors, two batches at once each",
        actor(2, windows // 2, tables[1]),
        actor(2, windows // 2, tables[2]),
    ):
        one, first, second = (_rate(table) for table in tables)
        print(
            f"\none actor: {one:.1f} windows/s; two: {first + second:.1f}, {(first + second) / one:.2f} times",
            flush=True,
        )


def _rate(table: Path) -> float:
    with table.open(newline="", encoding="utf-8") as file:
        return float(next(csv.DictReader(file))["windows/s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: Debian's asterisk prompts)")
    parser.add_argument("--reference", type=Path, help="what is said in --audio, as plain text")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--windows", type=int, default=800, help="of steps 2 and 3 (default: 800)")
    parser.add_argument("--minutes", type=float, default=10, help="length of the default recording, at most 10")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--limit-s", type=float, default=300, help="for one step (default: 300)")
    parser.add_argument("--tests", action="store_true", help="also run tests/gpu")
    Device.ask(parser)
    parser.set_defaults(device="cuda")
    given = parser.parse_args()
    print(report.machine(), flush=True)
    steps = Steps(given.limit_s)
    device = Device.given(given)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        model = services.model(given.model, scratch)
        common = [*device.words, "--model", str(model)]
        heard = ["--audio", str(given.audio)] if given.audio else []
        recording = [*heard, *(["--reference", str(given.reference)] if given.reference else [])]
        recording += [] if given.audio else ["--minutes", str(given.minutes)]
        if given.tests:
            steps.run("Tests of a real card", ["pytest", "-q", "-n", "0", "-m", "gpu", "tests/gpu"])
        sizes = ["--slots", "1,4", "--batch", "8,16,32", "--windows", str(given.windows)]
        steps.run("The recogniser alone", ["bench.throughput.batches", *common, *heard, *sizes])
        two_actors(steps, [*common, *heard], given.windows, scratch)
        against = [*recording, "--against", "batched", "--presets", "balanced"]
        steps.run("One recording", ["bench.throughput.service", *common, *against, "--rounds", "3"])
        wide = scratch / "as-large-as-medium"
        if steps.run("A larger network", ["bench.throughput.widen", "--to", str(wide), "--model", str(model)]):
            larger = [*device.words, "--model", str(wide)]
            steps.run("One recording, large", ["bench.throughput.service", *larger, *against, "--rounds", "1"])
        clips = ["--clips", str(given.clips), "--rounds", "1"]
        steps.run("Clips", ["bench.throughput.clips", *common, *clips])
    print(f"\n{report.machine()}")
    if steps.failed:
        sys.exit(f"Failed or too slow: {', '.join(steps.failed)}.")


if __name__ == "__main__":
    main()
