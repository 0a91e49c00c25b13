"""Cuts the text of a chunk into units: stretches so short that one person says all of it.

A cut is where a segment or a sentence ends, where there is a pause, and where another voice begins. A voice is the
label of whole units, never of a part of one, so that no sentence ends under the next speaker. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

import numpy as np

from whisper_service.actors.speakers.chunk_voices import Unit, VoiceWindow
from whisper_service.actors.speakers.segmentation import FRAME_S, STEP, frame_of
from whisper_service.core.domain import SAMPLE_RATE, Segment, Span, Word
from whisper_service.core.text import ends_sentence

PAUSE_S: Final = 0.3
"""A silence of this length is a cut: the next words may be an answer."""
TURN_S: Final = 0.6
TURN_WORDS: Final = 2
"""A turn shorter than either is no cut. Measured: cutting at every change of voice breaks more than it repairs."""

Words = tuple[Word, ...]


def cut(segments: Sequence[Segment], span: Span, windows: Sequence[VoiceWindow]) -> list[Unit]:
    """Return the units of a chunk in order, without embeddings.

    A segment without words is one unit. A unit whose times are outside of the chunk has no samples.
    """
    voice_of = _Turns(windows)
    units: list[Unit] = []
    for segment in segments:
        if not segment.words:
            units.append(_unit(segment.index, 0, segment.start, segment.end, span))
        first = 0
        for words in _at_sentences(segment.words):
            voices = [voice_of(word.start - span.start, word.end - span.start) for word in words]
            for part in _at_turns(words, voices):
                units.append(_unit(segment.index, first, part[0].start, part[-1].end, span))
                first += len(part)
    return units


def _unit(segment: int, word: int, start: float, end: float, span: Span) -> Unit:
    """Return the unit with its place in samples, as far as it is inside the chunk."""
    first, after = (min(max(0, round((seconds - span.start) * SAMPLE_RATE)), span.samples) for seconds in (start, end))
    return Unit(segment, word, first, max(0, after - first))


def _at_sentences(words: Words) -> Iterator[Words]:
    """Yield the words between ends of sentences and pauses."""
    start = 0
    for at, (word, following) in enumerate(pairwise(words), 1):
        if ends_sentence(word.word) or following.start - word.end >= PAUSE_S:
            yield words[start:at]
            start = at
    if words:
        yield words[start:]


def _at_turns(words: Words, voices: Sequence[int | None]) -> Iterator[Words]:
    """Yield the words between changes of voice. A word without a voice belongs to the words before."""
    runs: list[tuple[int | None, Words]] = []
    at = 0
    for voice, group in groupby(voices):
        part = words[at : at + len(list(group))]
        at += len(part)
        known = voice is not None and _is_turn(part)
        if runs and (not known or voice == runs[-1][0]):
            runs[-1] = (runs[-1][0], runs[-1][1] + part)
        elif runs and runs[-1][0] is None:
            runs[-1] = (voice, runs[-1][1] + part)
        else:
            runs.append((voice if known else None, part))
    return (part for _, part in runs)


def _is_turn(words: Words) -> bool:
    return len(words) >= TURN_WORDS and words[-1].end - words[0].start >= TURN_S


class _Turns:
    """Who speaks when in a chunk, with numbers that mean the same voice in all windows."""

    def __init__(self, windows: Sequence[VoiceWindow]) -> None:
        self._windows = [window for window in windows if window.voices]
        self._numbers: list[tuple[int, ...]] = []
        for window in self._windows:
            before = (self._windows[len(self._numbers) - 1], self._numbers[-1]) if self._numbers else None
            self._numbers.append(_continued(window, before))

    def __call__(self, start: float, end: float) -> int | None:
        """Return who speaks most of these seconds. None: nobody."""
        if not self._windows:
            return None
        middle = (start + end) / 2 * SAMPLE_RATE
        at = min(range(len(self._windows)), key=lambda n: abs(_centre(self._windows[n]) - middle))
        heard = frames_heard(self._windows[at], round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        best = int(np.argmax(heard))
        return self._numbers[at][best] if heard[best] else None


def frames_heard(window: VoiceWindow, start: int, end: int) -> list[int]:
    """Return how many frames each voice of a window speaks between two samples of the chunk."""
    first, after = (max(0, round(frame_of(sample - window.start))) for sample in (start, end))
    return [int(np.count_nonzero(voice.activity[first:after])) for voice in window.voices]


def _centre(window: VoiceWindow) -> float:
    return window.start + len(window.voices[0].activity) * FRAME_S * SAMPLE_RATE / 2


def _continued(window: VoiceWindow, before: tuple[VoiceWindow, tuple[int, ...]] | None) -> tuple[int, ...]:
    """Return a number for each voice: that of the voice of the window before which speaks in the same frames.

    The two that share most frames are one voice, then the next two. A voice without a partner gets a new number.
    """
    earlier, numbers = before or (None, ())
    result: dict[int, int] = {}
    if earlier is not None:
        skipped = (window.start - earlier.start) // STEP
        shared = [
            (
                int(
                    np.count_nonzero(a.activity[skipped:][: len(b.activity)] & b.activity[: len(a.activity) - skipped])
                ),
                i,
                j,
            )
            for i, a in enumerate(earlier.voices)
            for j, b in enumerate(window.voices)
        ]
        taken: set[int] = set()
        for frames, i, j in sorted(shared, key=lambda pair: -pair[0]):
            if frames and i not in taken and j not in result:
                taken.add(i)
                result[j] = numbers[i]
    fresh = max(numbers, default=-1) + 1
    for j in range(len(window.voices)):
        if j not in result:
            result[j] = fresh
            fresh += 1
    return tuple(result[j] for j in range(len(window.voices)))
