"""Finds which edited words are to be aligned with the sound, and takes over what an alignment says of them. Pure.

Words that a person wrote have spread times (`retiming`). A longer run of them may be a second off. Such a run is
aligned together with all the words around it, and only its own words get new times: all others keep theirs to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.core.domain import Value, Word
from whisper_service.editing.lines import Line
from whisper_service.editing.operations import TimeWords
from whisper_service.editing.retiming import TimedBy, TimedWord
from whisper_service.editing.splitting import joint, spoken, unspaced

AUTHOR: Final = "Alignment"
"""Who set the times of words, in the log of edits. Clients may translate it: such edits have a kind of their own."""
WORD_WEIGHT: Final = 2
"""What a word counts in a run. A character of a script without spaces counts 1."""
REPLACED_WEIGHT: Final = 3 * WORD_WEIGHT
"""Words that replace others are aligned from here on: three words, or six characters of Han. Of spread runs of two
words 4 % are more than 0.3 s off, of three 12 %, of five 24 %."""
INSERTED_WEIGHT: Final = 2 * WORD_WEIGHT
"""Words that were inserted are aligned from here on: nothing tells how much time they take."""
MARGIN_S: Final = 0.3
"""Seconds of sound before the first and behind the last word of a stretch."""
LONGEST_S: Final = 29.5
"""Seconds from the first to the last word of a stretch: as long as a chunk."""
WINDOW_S: Final = 30.0
"""Seconds that the model takes at once. The margin behind the longest stretch is shorter."""
LEAST_PROBABILITY: Final = 0.5
"""Words that were said have 0.98 on average, one run in twenty less than 0.83. Words that nobody said have 0.15, one
run in twenty more than 0.31."""
LEAST_S: Final = 0.02
"""The shortest word: one step of the model's encoder."""
ROUNDING_S: Final = 0.000_5


class FoundWord(NamedTuple):
    """What the model says of a word: seconds from the beginning of the recording, and the mean of its tokens."""

    start: float
    end: float
    probability: float


class SpreadRun(NamedTuple):
    """Neighbouring spread words of a stretch: the words from `first` to before `last`. Its key tells runs apart."""

    first: int
    last: int
    key: str


class WordStretch(Value, frozen=True):
    """Neighbouring lines that are aligned at once. `start` and `end` of the sound, in seconds."""

    lines: tuple[Line, ...]
    runs: tuple[SpreadRun, ...]
    start: float
    end: float
    earliest: float  # the end of the word before, and the start of the word behind
    latest: float

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """The words of all lines, in order."""
        return tuple(word for line in self.lines for word in line.words)

    @property
    def texts(self) -> tuple[str, ...]:
        """The words as one text in pieces: a line begins with a space, where its script has any."""
        texts: list[str] = []
        for line in self.lines:
            for nth, word in enumerate(line.words):
                text = word.word
                if not nth and not text[:1].isspace() and not (texts and texts[-1][-1:].isspace()):
                    text = joint(texts[-1] if texts else text, text) + text
                texts.append(text)
        return tuple(texts)


class Alignment(NamedTuple):
    """What is taken over of an alignment, and the keys of the runs that stay as they are."""

    operations: tuple[TimeWords, ...]
    refused: tuple[str, ...]


def may_be_due(line: Line) -> bool:
    """Return whether a line has so many spread words that some of them may be aligned."""
    spread = (_weight(word.word) for word in line.words if word.by is TimedBy.SPREAD)
    return sum(spread) >= INSERTED_WEIGHT


def runs(lines: Iterable[Line], heard: Sequence[Word]) -> list[SpreadRun]:
    """Return the runs of spread words in lines that are long enough to be aligned.

    `heard` are the words of the model in the same chunk: words that stand between two of these which follow each other
    were inserted.
    """
    words = [(word, line.id) for line in lines for word in line.words]
    found: list[SpreadRun] = []
    first = 0
    while first < len(words):
        last = first
        while last < len(words) and words[last][0].by is TimedBy.SPREAD:
            last += 1
        if last > first:
            before, behind = (words[at][0] if 0 <= at < len(words) else None for at in (first - 1, last))
            inserted = _place(heard, behind, len(heard), end=True) - _place(heard, before, -1) == 1
            run = words[first:last]
            weight = sum(_weight(word.word) for word, _ in run)
            if weight >= (INSERTED_WEIGHT if inserted else REPLACED_WEIGHT):
                text = "\n".join(f"{line_id} {word.word.strip()}" for word, line_id in run)
                found.append(SpreadRun(first, last, sha256(text.encode()).hexdigest()[:16]))
        first = max(last, first + 1)
    return found


def stretch(
    lines: Sequence[Line],
    heard: Sequence[Word],
    tried: Iterable[str],
    bounds: tuple[float, float],
    chunk: tuple[float, float] | None,
) -> WordStretch | None:
    """Return what of the lines of a chunk is to be aligned next. None: no run is left that was not `tried`.

    `bounds`: the end of the line before the first one and the start of the line behind the last one; `chunk`: from when
    to when the chunk is, all in seconds. A chunk that is too long, because lines were joined, is aligned in parts:
    first the lines around the first run. A line that is too long is a stretch by itself, see `is_too_long`.
    """
    with_words = [line for line in lines if line.words]
    known = set(tried)
    due = [run for run in runs(with_words, heard) if run.key not in known]
    if not due:
        return None
    starts, ends = [line.start for line in with_words], [line.end for line in with_words]
    if chunk is not None:
        starts, ends = [chunk[0], *starts], [*ends, chunk[1]]
    if max(ends) - min(starts) <= LONGEST_S:
        return WordStretch(tuple(with_words), tuple(due), *_sound(min(starts), max(ends)), *bounds)
    first, last = _around(with_words, due[0])
    part = with_words[first:last]
    shift = sum(len(line.words) for line in with_words[:first])
    count = sum(len(line.words) for line in part)
    inside = [
        SpreadRun(run.first - shift, run.last - shift, run.key)
        for run in due
        if run.first >= shift and run.last <= shift + count
    ]
    earliest = with_words[first - 1].words[-1].end if first else bounds[0]
    latest = with_words[last].words[0].start if last < len(with_words) else bounds[1]
    sound = _sound(min(line.start for line in part), max(line.end for line in part))
    return WordStretch(tuple(part), tuple(inside), *sound, earliest, latest)


def is_too_long(wanted: WordStretch) -> bool:
    """Return whether the lines of a stretch do not fit into the window of the model."""
    return not _fits(wanted.lines)


def take_over(wanted: WordStretch, found: Sequence[FoundWord]) -> Alignment:
    """Return the new times of the runs of a stretch, from what the model says of each of its words.

    A run stays as it is if it was hardly said, or if one of its words would be shorter than `LEAST_S` between the words
    beside the run.
    """
    words = list(wanted.words)
    refused: list[str] = []
    taken: dict[int, tuple[float, float]] = {}
    bounds = _held(wanted.lines)
    for run in wanted.runs:
        earliest = words[run.first - 1].end if run.first else wanted.earliest
        latest = words[run.last].start if run.last < len(words) else wanted.latest
        heard = found[run.first : run.last]
        within = [(max(earliest, low), min(latest, high)) for low, high in bounds[run.first : run.last]]
        times = [
            (_within(word.start, *edges), _within(word.end, *edges)) for word, edges in zip(heard, within, strict=True)
        ]
        said = sum(word.probability for word in heard) / len(heard)
        in_order = all(end <= start + ROUNDING_S for (_, end), (start, _) in pairwise(times))
        if said < LEAST_PROBABILITY or not in_order or any(end - start < LEAST_S - ROUNDING_S for start, end in times):
            refused.append(run.key)
        else:
            taken |= dict(enumerate(times, run.first))
    return Alignment(tuple(_operations(wanted.lines, taken)), tuple(refused))


def with_times(line: Line, first: int, times: Sequence[tuple[float, float]]) -> Line:
    """Return a line whose words from `first` on have these times. Its text and its version stay.

    The line follows its first and its last word, unless its times were set by hand.
    """
    words = list(line.words)
    for at, (start, end) in enumerate(times, first):
        words[at] = replace(words[at], start=start, end=end, by=TimedBy.ALIGNED)
    line = replace(line, words=tuple(words))
    if not line.held and words[0].start < words[-1].end:
        line = replace(line, start=words[0].start, end=words[-1].end)
    return line


def _weight(text: str) -> int:
    slow = sum(unspaced(character) for character in text if spoken(character))
    return slow or WORD_WEIGHT


def _place(heard: Sequence[Word], word: TimedWord | None, beyond: int, *, end: bool = False) -> float:
    """Return the place of a word that kept its start (with `end`: its end) among the words of the model.

    `beyond` if there is no word. Not a number: the word is not one of them.
    """
    if word is None:
        return beyond
    places = (at for at, each in enumerate(heard) if (each.end == word.end if end else each.start == word.start))
    return next(places, float("nan"))


def _around(lines: Sequence[Line], run: SpreadRun) -> tuple[int, int]:
    """Return the first line and the line behind the last one of a part that has a run and is not too long."""
    bounds = [0]
    for line in lines:
        bounds.append(bounds[-1] + len(line.words))
    first = next(at for at in range(len(lines)) if bounds[at + 1] > run.first)
    last = next(at for at in range(len(lines)) if bounds[at + 1] >= run.last) + 1
    size = 0
    while size < last - first:
        size = last - first
        first = max(0, first - 1) if _fits(lines[max(0, first - 1) : last]) else first
        last = min(len(lines), last + 1) if _fits(lines[first : last + 1]) else last
    return first, last


def _fits(lines: Sequence[Line]) -> bool:
    """Return whether lines are not too long to be aligned at once."""
    return max(line.end for line in lines) - min(line.start for line in lines) <= LONGEST_S


def _sound(start: float, end: float) -> tuple[float, float]:
    """Return from when to when the sound of words from `start` to `end` is aligned."""
    begin = max(0.0, start - MARGIN_S)
    return begin, min(end + MARGIN_S, begin + WINDOW_S)


def _held(lines: Iterable[Line]) -> list[tuple[float, float]]:
    """Return for each word between which times it must be: those of its line, if they were set by hand."""
    return [(line.start, line.end) if line.held else (0.0, inf) for line in lines for _ in line.words]


def _within(time: float, low: float, high: float) -> float:
    return round(max(low, min(time, high)), 3)


def _operations(lines: Iterable[Line], taken: dict[int, tuple[float, float]]) -> Iterable[TimeWords]:
    """Yield the new times, one operation for each row of neighbouring words of a line."""
    at = 0
    for line in lines:
        row: list[tuple[float, float]] = []
        for nth in range(len(line.words) + 1):
            times = taken.get(at + nth) if nth < len(line.words) else None
            if times is not None:
                row.append(times)
            elif row:
                yield TimeWords(id=line.id, v=line.version, first=nth - len(row), times=tuple(row))
                row = []
        at += len(line.words)
