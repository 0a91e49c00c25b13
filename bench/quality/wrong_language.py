"""Measure what a chunk costs in a language that nobody speaks in it, against the right one.

    python -m bench.quality.wrong_language --corpus DIR --model DIR [--sets a,b] [--wrong en,zh,ru] [--chunks N]

The corpus is as for `bench.quality.error_rates`. Every chunk is recognised alone, with its language given, then with
each wrong one, then with the right one again; the cheaper of these two counts. The output is one Markdown row for each
pair of languages: how often a wrong language costs what the right one costs, in CPU seconds, as the median and the most
of all chunks, and what became of the text. A row ends with the chunk of the highest ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench.lib import report
from bench.lib.pipeline import Pipeline
from whisper_service.actors.samples import read_samples
from whisper_service.actors.speech.engine import Audio
from whisper_service.actors.speech.repetition import repeats_itself
from whisper_service.actors.speech.windows import AudioChunk, Recognition
from whisper_service.actors.speech.words import text_of
from whisper_service.core.domain import SAMPLE_RATE, Preset

WRONG = "en,zh,ru,ja,de"


class Cost(NamedTuple):
    """What a chunk cost in a wrong language."""

    ratio: float  # to the right language
    probability: float  # of the wrong language in the sound
    text: str
    loops: bool
    dropped: bool
    chunk: str


def heard(pipeline: Pipeline, audio: Audio, language: str, preset: Preset) -> tuple[float, Recognition]:
    """Return the CPU seconds of a chunk and its recognition."""
    began = time.process_time()
    ((_, found),) = pipeline.recognizer.recognise([AudioChunk(audio, language)], preset)
    return time.process_time() - began, found


def costs(
    pipeline: Pipeline, audio: Audio, right: str, wrong: list[str], preset: Preset, chunk: str
) -> Iterator[tuple[str, Cost]]:
    """Yield what a chunk costs in every wrong language."""
    probabilities = pipeline.engine.detect_languages(pipeline.engine.encode([audio]))[0]
    before, _ = heard(pipeline, audio, right, preset)
    found = [(language, *heard(pipeline, audio, language, preset)) for language in wrong if language != right]
    least = min(before, heard(pipeline, audio, right, preset)[0])
    for language, seconds, recognition in found:
        text = " ".join(text_of(sentence.words) for sentence in recognition.sentences)
        yield (
            language,
            Cost(
                seconds / least,
                probabilities[language],
                text,
                any(repeats_itself(text_of(sentence.words)) for sentence in recognition.sentences),
                bool(recognition.dropped),
                f"{chunk}, {len(audio) / SAMPLE_RATE:.1f} s, p {probabilities[language]:.3f}",
            ),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sets", default="", help="comma-separated; all with a language without it")
    parser.add_argument("--wrong", default=WRONG, help=f"comma-separated; default {WRONG}")
    parser.add_argument("--chunks", type=int, default=2, help="of each recording")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--details", type=Path, help="write every chunk here, one JSON object a line")
    arguments = parser.parse_args()
    sets = {name for name in arguments.sets.split(",") if name}
    lines = (arguments.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [entry for line in lines if (entry := json.loads(line))["language"] and entry["text"]]
    pipeline = Pipeline(arguments.model)
    pipeline.engine.warm_up()
    found: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for entry in entries:
        right = entry["language"]
        if "+" in right or (sets and entry["set"] not in sets):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            rows = islice(pipeline.chunks(arguments.corpus / entry["file"], Path(scratch)), arguments.chunks)
            for row in rows:
                name = f"{entry['id']} {row.span.index}"
                measured = costs(
                    pipeline,
                    read_samples(row.spool, row.span),
                    right,
                    arguments.wrong.split(","),
                    Preset(arguments.preset),
                    name,
                )
                for language, cost in measured:
                    found[right, language].append(cost)
    head = ("spoken, given", "chunks", "times the cost: median", "most", "no text, in part", "loops", "the most")
    report.table(head, map(_row, found, found.values()))
    if arguments.details:
        details = (
            json.dumps({"spoken": s, "given": g, **c._asdict()}, ensure_ascii=False)
            for (s, g), each in found.items()
            for c in each
        )
        arguments.details.write_text("\n".join(details) + "\n", encoding="utf-8")


def _row(pair: tuple[str, str], costs: list[Cost]) -> tuple[object, ...]:
    most = max(costs)
    ratios = [cost.ratio for cost in costs]
    dropped = [bool(cost.text) for cost in costs if cost.dropped]
    return (
        ", ".join(pair),
        len(costs),
        f"{statistics.median(ratios):.2f}",
        f"{most.ratio:.2f}",
        f"{dropped.count(False)}, {dropped.count(True)}",
        sum(cost.loops for cost in costs),
        most.chunk,
    )


if __name__ == "__main__":
    main()
