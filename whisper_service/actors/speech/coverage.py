"""Finds speech that did not become words, from the times of the words. Pure.

Without timestamp tokens Whisper sometimes ends its text early or skips a sentence, and its probabilities do not show
this. The alignment does: it must spread the words over the whole window. So a lost sentence shows as one word that
seems to last for seconds, or as a stretch without words. There a voice activity detector finds more speech than the
word can take.
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
SpeechBetween = Callable[[float, float], Sequence[Interval]]
"""(begin, end) -> the speech between these times: in order, and cut off at both."""

LOST_S: Final = 0.75
"""Speech beyond what its word can take. Measured: never more than 0.5 s in complete windows, rarely less than 1 s in
incomplete ones."""
STRETCHED_S: Final = 0.3
"""A word that lasts this much longer than it takes to say covers a pause or lost speech. Only these are checked."""
TAIL_S: Final = 0.25
"""Shorter speech at the beginning of a stretched word is the end of the word before: alignments move on too early."""


@dataclass(frozen=True, slots=True)
class UncoveredSpeech:
    """Speech without words. It begins at `begin`; the next words begin at `end` or earlier."""

    begin: float
    end: float


def fit(
    words: Sequence[Word], duration_s: float, speech_between: SpeechBetween
) -> tuple[list[Word], UncoveredSpeech | None]:
    """Move stretched words to their speech, and find the first uncovered speech.

    Returns the words before this speech, or all words. Their times cover no pause. The first word is always checked,
    because the alignment begins at zero, wherever the speech does.
    """
    fitted: list[Word] = []
    reached = 0.0
    for word in words:
        if (lost := _lost(reached, word.start, speech_between)) is not None:
            return fitted, lost
        reached = word.end
        allowed = spoken_s(word.word)
        if fitted and word.end - word.start < allowed + STRETCHED_S:
            fitted.append(word)
            continue
        speech = _own_speech(word, speech_between(word.start, word.end))
        if _length(speech) - allowed >= LOST_S:  # the word may come after the lost speech; it is recognised again there
            return fitted, UncoveredSpeech(speech[0][0], word.end)
        fitted.append(_moved(word, speech, allowed))
    return fitted, _lost(reached, duration_s, speech_between)


def _lost(begin: float, end: float, speech_between: SpeechBetween) -> UncoveredSpeech | None:
    """Return the speech in a stretch without words, if there is enough of it."""
    if end - begin >= LOST_S and (speech := speech_between(begin, end)) and _length(speech) >= LOST_S:
        return UncoveredSpeech(speech[0][0], end)
    return None


def _own_speech(word: Word, speech: Sequence[Interval]) -> Sequence[Interval]:
    """Return the speech in the time of a word, without the end of the word before."""
    if len(speech) > 1 and speech[0][0] - word.start < TAIL_S and speech[0][1] - speech[0][0] < TAIL_S:
        return speech[1:]
    return speech


def _moved(word: Word, speech: Sequence[Interval], allowed: float) -> Word:
    """Return the word with the time of the first speech in its time."""
    if not speech:
        return replace(word, end=word.start + min(allowed, word.end - word.start))
    begin, end = speech[0]
    return replace(word, start=begin, end=max(end, begin + min(0.1, word.end - begin)))


def _length(speech: Sequence[Interval]) -> float:
    return sum(end - begin for begin, end in speech)
