"""Measure how far the times of words are from the words, against faster-whisper with the same weights.

    python -m bench.quality.word_times --corpus DIR --model DIR [--sets phone,long_en]
                                       [--systems sequential,batched,balanced]

DIR is as for `bench.quality.error_rates`. The benchmark uses the recordings whose line in `manifest.jsonl` has
`utterances`, a list of `{"start", "end", "text"}` in seconds. The first word of an utterance should begin where the
utterance begins, and its last word should end where it ends. Misheard words do not count. Utterances are cut with
silence around them, up to half a second. Their real ends are where the level first and last comes within 30 dB of the
loudest 10 ms; in noise these are the cuts themselves. The output is one Markdown row for each system and set.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.lib.report import quantile
from testkit.scoring import units

FAR_S = 0.5
"""An error that people notice while they follow."""
FRAME = 160  # samples, 10 ms
RATE = 16_000
QUIET = 10 ** (-30 / 20)
"""Of the loudest frame of an utterance; less is silence around it."""


class Heard(NamedTuple):
    """A word with its times, seconds."""

    start: float
    end: float
    word: str


class Errors(NamedTuple):
    """Seconds that starts and ends are off; negative: too early."""

    starts: list[float]
    ends: list[float]


Hear = Callable[[Path, str], list[Heard]]


def stock(model: str, batched: bool) -> Hear:
    """faster-whisper with word times."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    loaded = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=2)

    def hear(path: Path, language: str) -> list[Heard]:
        if batched:
            segments, _ = BatchedInferencePipeline(loaded).transcribe(
                str(path), language=language, beam_size=5, batch_size=8, word_timestamps=True
            )
        else:
            segments, _ = loaded.transcribe(
                str(path), language=language, beam_size=5, vad_filter=True, word_timestamps=True
            )
        return [Heard(word.start, word.end, word.word) for segment in segments for word in segment.words or ()]

    return hear


def ours(model: str, preset: str) -> Hear:
    """The service's own way, called in this process."""
    from bench.lib.pipeline import Pipeline

    pipeline = Pipeline(model)

    def hear(path: Path, language: str) -> list[Heard]:
        with tempfile.TemporaryDirectory() as scratch:
            segments = list(pipeline.transcribe(path, Path(scratch), language, preset))
        return [Heard(word.start, word.end, word.word) for segment in segments for word in segment.words]

    return hear


SYSTEMS: dict[str, Callable[[str], Hear]] = {
    "sequential": partial(stock, batched=False),
    "batched": partial(stock, batched=True),
    **{preset: partial(ours, preset=preset) for preset in ("fast", "balanced", "accurate")},
}


def heard_in(path: Path, utterances: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The utterances without the silence at their ends."""
    import numpy as np
    from faster_whisper import decode_audio

    sound = decode_audio(str(path), RATE)
    found = []
    for utterance in utterances:
        first = round(utterance["start"] * RATE)
        part = sound[first : round(utterance["end"] * RATE)]
        frames = part[: len(part) // FRAME * FRAME].reshape(-1, FRAME)
        level = np.sqrt((frames**2).mean(axis=1))
        loud = np.flatnonzero(level >= QUIET * level.max()) if len(level) else level
        if len(loud):
            edges = {"start": (first + loud[0] * FRAME) / RATE, "end": (first + (loud[-1] + 1) * FRAME) / RATE}
            found.append(utterance | edges)
    return found


def compare(language: str, utterances: Iterable[dict[str, Any]], heard: Iterable[Heard]) -> Errors:
    """Where the first and last word of each utterance were heard, against where it is."""
    said = [
        (unit, utterance, at, at == len(parts) - 1)
        for utterance in utterances
        if (parts := units(language, utterance["text"]))
        for at, unit in enumerate(parts)
    ]
    got = [(unit, word) for word in heard for unit in units(language, word.word)]
    matcher = SequenceMatcher(None, [unit for unit, *_ in said], [unit for unit, _ in got], autojunk=False)
    errors = Errors([], [])
    for begin, place, length in matcher.get_matching_blocks():
        for (_, utterance, at, last), (_, word) in zip(
            said[begin : begin + length], got[place : place + length], strict=True
        ):
            if at == 0:
                errors.starts.append(word.start - utterance["start"])
            if last:
                errors.ends.append(word.end - utterance["end"])
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sets", default="", help="comma-separated; all without it")
    parser.add_argument("--systems", default="sequential,batched,balanced")
    arguments = parser.parse_args()
    wanted = {name for name in arguments.sets.split(",") if name}
    lines = (arguments.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [
        entry
        for line in lines
        if line.strip()
        if (entry := json.loads(line)).get("utterances") and (not wanted or entry["set"] in wanted)
    ]
    print("| set | system | first words | median, p90 ms off | last words | median, p90 ms off | more than 0.5 s off |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.systems.split(","):
        hear = SYSTEMS[name](arguments.model)
        whole = Errors([], [])
        for entry in entries:
            path = arguments.corpus / entry["file"]
            found = compare(entry["language"], heard_in(path, entry["utterances"]), hear(path, entry["language"]))
            _print(entry["set"], name, found)
            whole.starts.extend(found.starts)
            whole.ends.extend(found.ends)
        _print("all", name, whole)


def _print(group: str, name: str, errors: Errors) -> None:
    far = sum(abs(error) > FAR_S for error in (*errors.starts, *errors.ends))
    print(
        f"| {group} | {name} | {len(errors.starts)} | {_off(errors.starts)} "
        f"| {len(errors.ends)} | {_off(errors.ends)} | {far} |",
        flush=True,
    )


def _off(errors: list[float]) -> str:
    off = sorted(abs(error) * 1000 for error in errors)
    return f"{quantile(off, 0.5):.0f}, {quantile(off, 0.9):.0f}" if off else "-"


if __name__ == "__main__":
    main()
