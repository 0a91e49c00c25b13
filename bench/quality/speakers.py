"""Measure who is heard to speak: speakers found, error rate of turns, words under the right speaker, CPU, memory.

    python -m bench.quality.speakers --corpus DIR --model DIR [--networks DIR] [--recordings call_2spk,katie_steve]
                                     [--manifest FILE] [--speakers N] [--texts FILE] [--repeat] [--compare]
    python -m bench.quality.speakers --voices 11000

DIR is as for `bench.quality.error_rates`. A line of `manifest.jsonl` may have `n_speakers`, `turns` with `start`, `end`
and `speaker`, and `utterances` that have `text` too. Without `--recordings`, every line with one of these is measured.
`--manifest` names another list of recordings of your own; their files are given from DIR. The output is one Markdown
row a recording:

- speakers found, of those there are;
- the error rate of turns in %, without a collar, with its parts: missed, nobody's, another's;
- words under the right speaker, of those that stand in the text and in the reference;
- changes of speaker in the text;
- CPU seconds for a second of sound, memory of the process at most, and bytes stored for an hour.

`--texts` keeps what Whisper heard in a file, so that only the voices are heard again. `--repeat` hears every chunk
twice more, backwards and in another process, and compares the bytes. `--compare` computes the error rate with
`pyannote.metrics` too, which the extra `bench` has. `--voices` measures the clustering of
so many voices of 40 people. Without `--networks` they come from the package index (`testkit.speaker_networks`).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from bench.lib import report
from bench.lib.diarization import Turn, error_rate, reference_turns, under_right_speaker
from bench.lib.hearing import Chunk, Hearing, hear
from bench.lib.pipeline import Pipeline
from bench.lib.usage import MB
from testkit.speaker_networks import NoNetworks, speaker_networks
from whisper_service.actors.media.main import decode
from whisper_service.actors.speakers.chunk_voices import ChunkVoices, encode
from whisper_service.actors.speakers.clustering import HowMany, cluster
from whisper_service.actors.speakers.labels import Labels, assigned
from whisper_service.actors.speakers.segmentation import FIELD, FRAME_S
from whisper_service.core.domain import SAMPLE_RATE, Span, Word
from whisper_service.supervision.messages.media import ChunkFound, Decode

SPOOL: Final = "spool"
"""The file with the decoded sound."""
PEOPLE: Final = 40
"""Of the voices that are made up to measure the clustering."""
HEAD: Final = (
    *("recording", "speakers", "error rate of turns, %", "words right", "changes"),
    *("CPU s per s", "MB", "kB an hour"),
)


class Heard(NamedTuple):
    """A recording of so many seconds with the voices of its chunks."""

    chunks: list[Chunk]
    hearing: Hearing
    seconds: float

    @property
    def voices(self) -> dict[int, ChunkVoices]:
        """The voices of each chunk."""
        return self.hearing.voices


def texts(path: Path | None) -> dict[str, list[Chunk]]:
    """Return what was heard before, by recording."""
    if path is None or not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, list[Chunk]])


def decoded(recording: Path, scratch: Path) -> list[Span]:
    """Decode a recording as the service does, into `scratch / SPOOL`. Return the places of its chunks."""
    for name in (SPOOL, "peaks"):
        (scratch / name).touch()
    order = Decode(job_id="bench", source=str(recording), spool=str(scratch / SPOOL), peaks=str(scratch / "peaks"))
    return [said.span for said in decode(order) if isinstance(said, ChunkFound)]


def recognised(pipeline: Pipeline, recording: Path, spans: Sequence[Span], language: str | None) -> list[Chunk]:
    """Return the chunks with their text."""
    with tempfile.TemporaryDirectory() as folder:
        segments = list(pipeline.transcribe(recording, Path(folder), language))
    return [Chunk(span, tuple(s for s in segments if s.chunk == span.index)) for span in spans]


def hear_elsewhere(networks: Path, spool: Path, chunks: Sequence[Chunk], how_many: HowMany) -> Hearing:
    """Hear these chunks in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(hear, networks, spool, chunks, how_many).result()


def digest(voices: dict[int, ChunkVoices]) -> str:
    """Return a hash of all that is stored of a recording."""
    return hashlib.sha256(b"".join(encode(voices[index]) for index in sorted(voices))).hexdigest()


def turns_of(heard: Heard, labels: Labels) -> list[Turn]:
    """Return who speaks when, frame by frame, as the windows say: a frame of two windows goes by both."""
    centroids = np.array([speaker.centroid for speaker in labels.speakers])
    found: list[Turn] = []
    for chunk in heard.chunks:
        windows = [window for window in heard.voices[chunk.span.index].windows if window.voices]
        frames = round(chunk.span.samples / SAMPLE_RATE / FRAME_S) + 1
        votes, talking, looks = np.zeros((frames, len(centroids))), np.zeros(frames), np.zeros(frames)
        for window in heard.voices[chunk.span.index].windows:
            first = round(window.start / SAMPLE_RATE / FRAME_S)
            length = len(window.voices[0].activity) if window.voices else 589
            looks[first : first + length] += 1
        for window in windows:
            first = round(window.start / SAMPLE_RATE / FRAME_S)
            for voice, person in zip(window.voices, assigned(window.voices, centroids), strict=True):
                place = slice(first, first + len(voice.activity))
                talking[place] += voice.activity[: frames - first]
                if person is not None:
                    votes[place, person] += voice.activity[: frames - first]
        number = np.rint(talking / np.maximum(looks, 1))
        order = np.argsort(-votes, axis=1, kind="stable")
        for person in range(len(centroids)):
            rank = np.argmax(order == person, axis=1)
            on = np.concatenate([[False], (rank < number) & (votes[:, person] > 0), [False]])
            for start, end in np.flatnonzero(np.diff(on)).reshape(-1, 2):
                middle = chunk.span.start + FIELD / 2 / SAMPLE_RATE
                found.append(Turn(middle + start * FRAME_S, middle + end * FRAME_S, labels.speakers[person].name))
    return found


def said(heard: Heard, labels: Labels) -> Iterator[tuple[Word, str]]:
    """Yield every word with its speaker."""
    turns = {(row.chunk, row.segment): row.turns for row in labels.segments}
    for chunk in heard.chunks:
        for segment in chunk.segments:
            for place, word in enumerate(segment.words):
                yield word, [name for first, name in turns[segment.chunk, segment.index] if first <= place][-1]


def compared(reference: Sequence[Turn], found: Sequence[Turn]) -> float:
    """Return the error rate in % as `pyannote.metrics` computes it."""
    core, metrics = importlib.import_module("pyannote.core"), importlib.import_module("pyannote.metrics.diarization")

    def annotation(turns: Sequence[Turn]) -> Any:
        annotated = core.Annotation()
        for number, turn in enumerate(turns):
            annotated[core.Segment(turn.start, turn.end), number] = turn.speaker
        return annotated

    end = max(turn.end for turn in (*reference, *found))
    rate = metrics.DiarizationErrorRate()(
        annotation(reference), annotation(found), uem=core.Timeline([core.Segment(0, end)])
    )
    return 100 * float(rate)


def row(entry: dict[str, Any], heard: Heard, *, compare: bool = False) -> list[object]:
    """Return the row of a recording."""
    labels = heard.hearing.labels
    words = list(said(heard, labels)) if labels.speakers else []
    reference = reference_turns(entry)
    there = entry.get("n_speakers") or len({turn.speaker for turn in reference}) or "?"
    stored = sum(len(encode(voices)) for voices in heard.voices.values())
    turns = turns_of(heard, labels)
    rate = str(error_rate(reference, turns)) if reference else "-"
    return [
        entry["id"],
        f"{len(labels.speakers)} of {there}",
        f"{rate}; pyannote.metrics {compared(reference, turns):.1f}" if compare and reference else rate,
        under_right_speaker(entry, words),
        sum(before != after for (_, before), (_, after) in pairwise(words)),
        f"{heard.hearing.cpu_s / heard.seconds:.4f}",
        heard.hearing.peak // MB,
        f"{stored / heard.seconds * 3.6:.0f}",
    ]


def measure_clustering(count: int) -> None:
    """Print what the clustering of so many voices costs."""
    dice = np.random.default_rng(1)
    people = dice.normal(size=(PEOPLE, 192))
    voices = people[dice.integers(PEOPLE, size=count)] + dice.normal(scale=0.7, size=(count, 192))
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    began = time.process_time()
    found = cluster(voices, dice.uniform(0.8, 6.0, size=count))
    print(f"{count} voices of {PEOPLE} people: {len(found.centroids)} found, {time.process_time() - began:.1f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--recordings", default="", help="comma-separated ids")
    parser.add_argument("--speakers", type=int, help="exactly so many")
    parser.add_argument("--texts", type=Path, help="a file that keeps what Whisper heard")
    parser.add_argument("--repeat", action="store_true")
    parser.add_argument("--manifest", type=Path, help="a list of other recordings. Default: manifest.jsonl in DIR")
    parser.add_argument("--compare", action="store_true", help="with pyannote.metrics")
    parser.add_argument("--voices", type=int)
    arguments = parser.parse_args()
    if arguments.voices:
        measure_clustering(arguments.voices)
        return
    if arguments.corpus is None or arguments.model is None:
        parser.error("--corpus and --model are needed")
    if arguments.compare and find_spec("pyannote") is None:
        parser.error('--compare needs pyannote.metrics: pip install ".[bench]"')
    try:
        networks = arguments.networks or speaker_networks()
    except NoNetworks as error:
        raise SystemExit(f"There are no networks: {error}.") from None
    wanted = {name for name in arguments.recordings.split(",") if name}
    lines = (arguments.manifest or arguments.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [
        entry
        for entry in map(json.loads, filter(None, lines))
        if (entry["id"] in wanted if wanted else entry.get("n_speakers") or reference_turns(entry))
    ]
    how_many = HowMany(arguments.speakers or 1, arguments.speakers)
    known = texts(arguments.texts)
    pipeline: Pipeline | None = None
    report.table(HEAD, [])
    for entry in entries:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            recording, spool = arguments.corpus / entry["file"], scratch / SPOOL
            spans = decoded(recording, scratch)
            if entry["id"] not in known:
                pipeline = pipeline or Pipeline(arguments.model)
                known[entry["id"]] = recognised(pipeline, recording, spans, entry["language"])
                if arguments.texts:
                    arguments.texts.write_bytes(msgspec.json.encode(known))
            chunks_of = known[entry["id"]]
            hearing = hear_elsewhere(networks, spool, chunks_of, how_many)
            heard = Heard(chunks_of, hearing, spool.stat().st_size / 2 / SAMPLE_RATE)
            print("|", " | ".join(map(str, row(entry, heard, compare=arguments.compare))), "|", flush=True)
            if arguments.repeat:
                again = [hear_elsewhere(networks, spool, order, how_many) for order in (chunks_of[::-1], chunks_of)]
                equal = len({digest(each.voices) for each in (hearing, *again)}) == 1
                print(f"{entry['id']}: the bytes are {'equal' if equal else 'NOT EQUAL'} in three runs")


if __name__ == "__main__":
    main()
