"""The lines of a transcript that people edit. Pure.

A line is a segment that a person changed, or one that a person wrote. A segment that nobody changed is a line as well,
with version 0. The segments themselves stay as the model wrote them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import HeldSegment, Segment, Value
from whisper_service.editing.retiming import TimedWord, timed

PERSON: Final = "person"
MACHINE: Final = "machine"


class Line(Value, frozen=True):
    """A line. Times are seconds from the beginning of the recording."""

    id: str  # "c12.3" for segment 3 of chunk 12; else 26 characters that the client made
    version: int  # counts the changes; 0 is the segment itself
    content: int  # the version that first had this text and these times; an undo takes an old one up again
    chunk: int
    index: int  # number within the chunk; that of the segment it was. -1: the store still has to give one.
    position: float  # order within the chunk; that of a segment is its index
    start: float
    end: float
    text: str
    words: tuple[TimedWord, ...] = ()  # empty: the job keeps no times of words
    language: str | None = None
    speaker: str | None = None
    held: bool = False  # its times were set by hand: it is one subtitle as it is
    checked: bool = False
    avg_logprob: float | None = None  # this and the next two are the model's, of the segment that the line was
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    source: str = MACHINE  # machine, person, or machine:MODEL for a stretch that was recognised again


def line_of(segment: Segment) -> Line:
    """Return a segment as the line that nobody has changed."""
    return Line(
        id=segment_id(segment.chunk, segment.index),
        version=0,
        content=0,
        chunk=segment.chunk,
        index=segment.index,
        position=float(segment.index),
        start=segment.start,
        end=segment.end,
        text=segment.text,
        words=tuple(map(timed, segment.words)),
        language=segment.language,
        speaker=segment.speaker,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
        compression_ratio=segment.compression_ratio,
    )


def segment_of(line: Line) -> Segment:
    """Return a line as a segment, for files and answers that know segments only."""
    kind = HeldSegment if line.held else Segment
    return kind(
        chunk=line.chunk,
        index=line.index,
        start=line.start,
        end=line.end,
        text=line.text,
        words=line.words,
        language=line.language,
        avg_logprob=line.avg_logprob,
        no_speech_prob=line.no_speech_prob,
        compression_ratio=line.compression_ratio,
        speaker=line.speaker,
    )


def segment_id(chunk: int, index: int) -> str:
    """Return the ID of the line that a segment is until somebody changes it."""
    return f"c{chunk}.{index}"


def place_of_segment(line_id: str) -> tuple[int, int] | None:
    """Return chunk and index of the segment that a line is or was. None: a person wrote the line."""
    found = re.fullmatch(r"c(\d{1,9})\.(\d{1,9})", line_id, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None


class LineList:
    """Lines in order of their place: a whole transcript, or whole chunks of it with their neighbours."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._by_id = {line.id: line for line in lines}
        self._places = sorted(_place(line) for line in self._by_id.values())

    def __iter__(self) -> Iterator[Line]:
        return (self._by_id[place[2]] for place in self._places)

    def get(self, line_id: str) -> Line | None:
        """Return a line, or None if it is not there."""
        return self._by_id.get(line_id)

    def neighbour(self, line: Line, step: int) -> Line | None:
        """Return the line `step` places behind (1) or before (-1), or None at the ends."""
        at = bisect_left(self._places, _place(line)) + step
        return self._by_id[self._places[at][2]] if 0 <= at < len(self._places) else None

    def put(self, line: Line) -> None:
        """Add a line, or replace the one with its ID."""
        self.remove(line.id)
        self._by_id[line.id] = line
        place = _place(line)
        self._places.insert(bisect_left(self._places, place), place)

    def remove(self, line_id: str) -> None:
        """Take a line out, if it is there."""
        if (line := self._by_id.pop(line_id, None)) is not None:
            del self._places[bisect_left(self._places, _place(line))]

    def position_behind(self, line: Line) -> float:
        """Return a free position in the chunk of a line, right behind it. The lines of the chunk may move apart."""
        following = self.neighbour(line, 1)
        if following is None or following.chunk != line.chunk:
            return line.position + 1
        middle = (line.position + following.position) / 2
        if line.position < middle < following.position:
            return middle
        for count, other in enumerate([each for each in self if each.chunk == line.chunk]):
            self.put(replace(other, position=float(count)))
        moved = self._by_id[line.id]
        return moved.position + 0.5


def _place(line: Line) -> tuple[int, float, str]:
    return line.chunk, line.position, line.id
