"""Say whether a file has names of speakers, and how long each of them speaks. Pure.

A transcript comes cut where the speaker changes. Names are shown if at least two people are told apart: a file with one
speaker is as if nobody had asked who speaks.
"""

from __future__ import annotations

import msgspec

from whisper_service.core.domain import Segment, Transcript, Value
from whisper_service.core.text import clean
from whisper_service.export.layout import Layout


class SpeakingTime(Value, frozen=True):
    """A speaker, and how many seconds they speak."""

    name: str
    seconds: float


class WholeTranscript(Transcript, frozen=True):
    """A transcript as the format json has it. `speakers` is left out if fewer than two are known."""

    speakers: tuple[SpeakingTime, ...] | msgspec.UnsetType = msgspec.UNSET


def names_shown(transcript: Transcript, layout: Layout) -> bool:
    """Return whether names stand in the text: there are at least two, and `layout` does not hide them."""
    if layout.speakers is False:
        return False
    return len({name for segment in transcript.segments if (name := clean(segment.speaker or ""))}) > 1


def speaking_times(transcript: Transcript) -> tuple[SpeakingTime, ...]:
    """Return the speakers in order of their first words."""
    seconds: dict[str, float] = {}
    for segment in sorted(transcript.segments, key=lambda each: each.start):
        if segment.speaker:
            seconds[segment.speaker] = seconds.get(segment.speaker, 0.0) + _spoken_s(segment)
    return tuple(SpeakingTime(name, round(spoken, 3)) for name, spoken in seconds.items())


def _spoken_s(segment: Segment) -> float:
    """Return how long a segment is spoken: its words, or all of it where its words are not known."""
    if not segment.words:
        return max(0.0, segment.end - segment.start)
    return sum(max(0.0, word.end - word.start) for word in segment.words)
