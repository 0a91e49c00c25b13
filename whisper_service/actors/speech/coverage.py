"""Does the text cover the speech? Finds the stretches that were spoken and did not become words. Pure.

Whisper without timestamps sometimes ends its text early, or jumps over a sentence, and is as sure of itself as ever: its
probabilities do not tell. The alignment does. It has to put the words it has somewhere on the whole window, so the lost
sentence shows as one word that seems to last for seconds, or as nothing between the last word and the end - and a voice
activity detector hears speech there, longer than the word could take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.speech.words import spoken_s
from whisper_service.core.domain import Word

Interval = tuple[float, float]
"""Begin and end, seconds."""
Listen = Callable[[float, float], Sequence[Interval]]
"""(begin, end) -> the speech between them, as a voice activity detector hears it; ordered, clipped to that stretch."""

LOST_S: Final = 0.75
"""Speech beyond what its word can take: in complete windows we never saw more than 0.5 s, in broken ones rarely less than 1 s."""
STRETCHED_S: Final = 0.3
"""A word longer than it takes to say by this much has swallowed a pause or lost speech; only these are looked at."""
TAIL_S: Final = 0.25
"""Speech shorter than this at the beginning of a stretched word is the end of the word before: the alignment jumps early."""


@dataclass(frozen=True, slots=True)
class UncoveredSpeech:
    """Speech without words; it begins at `begin`, and words are there again at the latest from `end` on."""

    begin: float
    end: float


def fit(words: Sequence[Word], duration_s: float, listen: Listen) -> tuple[list[Word], UncoveredSpeech | None]:
    """Pull stretched words back to the speech in them, and find the first hole.

    Returns the words up to the hole, or all of them, with times that cover no pause. The first word is always looked at,
    because the alignment begins at zero whenever the speech may.
    """
    fitted: list[Word] = []
    reached = 0.0
    for word in words:
        if word.start - reached >= LOST_S and (speech := listen(reached, word.start)) and _length(speech) >= LOST_S:
            return fitted, UncoveredSpeech(speech[0][0], word.start)
        reached = word.end
        allowed = spoken_s(word.word)
        if fitted and word.end - word.start < allowed + STRETCHED_S:
            fitted.append(word)
            continue
        speech = _own(word, listen(word.start, word.end))
        if _length(speech) - allowed >= LOST_S:  # it may as well lie behind the hole, and will be heard again there
            return fitted, UncoveredSpeech(speech[0][0], word.end)
        fitted.append(_within(word, speech, allowed))
    if duration_s - reached >= LOST_S and (speech := listen(reached, duration_s)) and _length(speech) >= LOST_S:
        return fitted, UncoveredSpeech(speech[0][0], duration_s)
    return fitted, None


def _own(word: Word, speech: Sequence[Interval]) -> Sequence[Interval]:
    """The speech in the time of a word, without the end of the word before."""
    if len(speech) > 1 and speech[0][0] - word.start < TAIL_S and speech[0][1] - speech[0][0] < TAIL_S:
        return speech[1:]
    return speech


def _within(word: Word, speech: Sequence[Interval], allowed: float) -> Word:
    """The word where it was said: on the first stretch of speech in its time."""
    if not speech:
        return replace(word, end=word.start + min(allowed, word.end - word.start))
    begin, end = speech[0]
    return replace(word, start=begin, end=max(end, begin + min(0.1, word.end - begin)))


def _length(speech: Sequence[Interval]) -> float:
    return sum(end - begin for begin, end in speech)
