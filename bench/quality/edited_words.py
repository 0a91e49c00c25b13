"""Measure how exact the times of words are that a person wrote: spread, and aligned with the sound.

    python -m bench.quality.edited_words [--audio FILE] [--language en] [--model DIR] [--chunks 20]

In each chunk of the recording a run of words in the middle is replaced by other words, then by the words that are said,
as a person would who corrects them. The service aligns the run again; the times that the model had heard are the truth.
Then words of another chunk are inserted, which nobody says there.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.lib import recordings, report, services
from whisper_service.actors.media.main import decode
from whisper_service.actors.samples import read_samples
from whisper_service.actors.speech import allocator
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Engine, Search
from whisper_service.core.domain import Task, Word
from whisper_service.editing.aligning import Alignment, FoundWord, stretch, take_over
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList
from whisper_service.editing.operations import ChangeText
from whisper_service.editing.retiming import timed
from whisper_service.supervision.messages.media import ChunkFound, Decode

RUNS = (3, 5, 8)
NEVER = 4
"""Words that are inserted."""
FAR_S = 0.3


class Heard(NamedTuple):
    """A chunk: its sound and its words, timed from its beginning."""

    sound: Audio
    words: list[Word]


def heard_chunks(engine: Engine, path: Path, language: str, scratch: Path, most: int) -> list[Heard]:
    """Return the first chunks of a recording that have enough words."""
    spool, peaks = scratch / "spool", scratch / "peaks"
    for file in (spool, peaks):
        file.touch()
    order = Decode(job_id="bench", source=str(path), spool=str(spool), peaks=str(peaks))
    spans = [found.span for found in decode(order) if isinstance(found, ChunkFound)]
    chunks: list[Heard] = []
    for span in spans:
        sound = read_samples(str(spool), span)
        states = engine.encode([sound])
        (text,) = engine.decode(states, [language], [Task.TRANSCRIBE], Search())
        window = DecodedWindow(states[0], text, language, Task.TRANSCRIBE, span.samples / 16_000)
        (words,) = engine.words([window])
        if len(words) > 2 * max(RUNS):
            chunks.append(Heard(sound, words))
        if len(chunks) == most:
            break
    return chunks


def line_of(words: Sequence[Word]) -> Line:
    """Return words as a line that nobody has edited."""
    text = "".join(word.word for word in words).strip()
    return Line("c0.0", 0, 0, 0, 0, 0.0, words[0].start, words[-1].end, text, tuple(map(timed, words)))


def corrected(line: Line, first: int, last: int) -> Line:
    """Return a line in which words were replaced by others, and then by those that are said.

    They are written in lower case and without marks, and the word before the run is misspelt: so the model gets other
    tokens than it heard.
    """
    kept = LineList([line])
    pieces = [word.word for word in line.words]
    wrong = [*pieces[:first], *(f"{piece}zz" for piece in pieces[first:last]), *pieces[last:]]
    apply(kept, [ChangeText(id=line.id, v=0, text="".join(wrong).strip())])
    right = [piece.lower().rstrip(".,!?") for piece in pieces[first:last]]
    before = [*pieces[: first - 2], f"{pieces[first - 2].rstrip('.,!?')}q", pieces[first - 1]]
    apply(kept, [ChangeText(id=line.id, v=1, text="".join([*before, *right, *pieces[last:]]).strip())])
    return next(iter(kept))


def aligned(engine: Engine, chunk: Heard, edited: Line, language: str) -> tuple[Line, Alignment] | None:
    """Return an edited line after its alignment. None: nothing of it is due."""
    wanted = stretch([edited], chunk.words, (), (0.0, len(chunk.sound) / 16_000), None)
    if wanted is None:
        return None
    words = engine.align(chunk.sound, wanted.texts, language, Task.TRANSCRIBE)
    alignment = take_over(wanted, [FoundWord(word.start, word.end, word.probability) for word in words])
    kept = LineList([edited])
    if alignment.operations:
        apply(kept, alignment.operations)
    return next(iter(kept)), alignment


def off(line: Line, chunk: Heard, first: int, last: int) -> list[float]:
    """Return how many seconds the starts of a run are off, without that of its first word, which is known."""
    return [abs(line.words[at].start - chunk.words[at].start) for at in range(first + 1, last)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="a recording (default: prompts of a telephone exchange)")
    parser.add_argument("--language", default="en")
    parser.add_argument("--model", type=Path, help="a CTranslate2 model directory (default: the built-in one)")
    parser.add_argument("--chunks", type=int, default=20)
    arguments = parser.parse_args()
    print(report.machine())
    allocator.tune()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        engine = Engine(str(services.model(arguments.model, scratch)), "cpu", "int8", slots=1, threads=2)
        path = arguments.audio or recordings.speech(30.0 * arguments.chunks, scratch / "speech.flac").path
        chunks = heard_chunks(engine, path, arguments.language, scratch, arguments.chunks)
        rows: list[tuple[object, ...]] = []
        seconds: list[float] = []
        for count in RUNS:
            spread_off: list[float] = []
            aligned_off: list[float] = []
            refused = 0
            for chunk in chunks:
                first = (len(chunk.words) - count) // 2
                edited = corrected(line_of(chunk.words), first, first + count)
                began = time.monotonic()
                found = aligned(engine, chunk, edited, arguments.language)
                seconds.append(time.monotonic() - began)
                spread_off += off(edited, chunk, first, first + count)
                if found is None or found[1].refused:
                    refused += 1
                else:
                    aligned_off += off(found[0], chunk, first, first + count)
            rows.append((f"{count} words", _errors(spread_off), _errors(aligned_off), f"{refused} of {len(chunks)}"))
        report.table(("run", "spread: median, p95 s off, far", "aligned", "stays spread"), rows)
        placed = 0
        for chunk, other in zip(chunks, chunks[1:] + chunks[:1], strict=True):
            kept = LineList([line_of(chunk.words)])
            pieces = [word.word for word in chunk.words]
            middle = len(pieces) // 2
            never = [f" {word.word.strip()}" for word in other.words[:NEVER]]
            apply(kept, [ChangeText("c0.0", 0, "".join([*pieces[:middle], *never, *pieces[middle:]]).strip())])
            found = aligned(engine, chunk, next(iter(kept)), arguments.language)
            placed += found is not None and bool(found[1].operations)
        print(f"{placed} of {len(chunks)} insertions of {NEVER} words that nobody says there were placed.")
        print(f"An alignment took {report.spread(seconds, 's')}.")


def _errors(found: Sequence[float]) -> str:
    if not found:
        return "-"
    far = sum(error > FAR_S for error in found) / len(found)
    return f"{report.quantile(found, 0.5):.2f}, {report.quantile(found, 0.95):.2f}, {100 * far:.0f} %"


if __name__ == "__main__":
    main()
