"""Decides in which language a window is decoded, from what the model thinks of its sound. Pure.

The language of a job is expected in every chunk. A chunk leaves it only where the model is sure. The choice depends on
the sound of the chunk and the expected language, on nothing else. So it is the same after a restart and in every batch.
docs/adr/0020-language-per-chunk.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from whisper_service.actors.speech.coverage import Interval

Probabilities = Mapping[str, float]
"""The probability of every language in a window, the most probable first."""

SURE: Final = 0.9
"""Probability from which a whole window is in another language than expected. Measured on 101 windows in one language:
the most for a wrong language is 0.55. Windows with two languages in them stay below 0.9."""
HEARD: Final = 0.1
"""Probability from which a window may hold a second language. In windows of one language only close relatives reach
this, like Galician beside Spanish."""
PIECE_SURE: Final = 0.8
"""Probability from which a piece of a window is in its own language. Measured: Italian reaches 0.72 in telephone
Spanish; a true change of language seldom has less than 0.9."""
ABSENT: Final = 0.01
"""Probability below which a language is not spoken in a window."""
PAUSE_S: Final = 0.25
"""A window is cut into pieces at pauses of this length. Nobody changes the language in the middle of a breath, or the
model follows by itself."""
PIECE_S: Final = 1.0
"""A piece with less speech is too short to tell its language, and belongs to the piece before."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a window in one language; seconds from the beginning of the window."""

    begin: float
    end: float
    language: str


def top(probabilities: Probabilities) -> str:
    """Return the most probable language."""
    return next(iter(probabilities))


def spoken(probabilities: Probabilities, expected: str) -> str | None:
    """Return the language of a window. None: the window may hold several languages, its pieces will tell."""
    others = [language for language, p in probabilities.items() if language != expected and p >= HEARD]
    if not others:
        return expected
    return others[0] if probabilities[others[0]] >= SURE else None


def second(probabilities: Probabilities, chosen: str) -> str | None:
    """Return the language to try where the text in the chosen one is improbable. None: no other was heard."""
    return next((language for language, p in probabilities.items() if language != chosen and p >= HEARD), None)


def pieces(speech: Sequence[Interval]) -> list[Interval]:
    """Return the pieces of a window whose languages may differ: its speech, cut at pauses."""
    found: list[Interval] = []
    for begin, end in speech:
        if found and (begin - found[-1][1] < PAUSE_S or found[-1][1] - found[-1][0] < PIECE_S):
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    if len(found) > 1 and found[-1][1] - found[-1][0] < PIECE_S:
        (_, end), (begin, _) = found.pop(), found.pop()
        found.append((begin, end))
    return found


def stretches(
    found: Sequence[Interval], heard: Sequence[Probabilities], whole: Probabilities, expected: str, seconds: float
) -> list[Stretch]:
    """Return the window in stretches of one language, without gaps. `heard` belongs to the pieces in `found`."""
    languages = [_of_piece(probabilities, whole, expected) for probabilities in heard]
    groups = [
        (language, [piece for _, piece in members])
        for language, members in groupby(zip(languages, found, strict=True), key=lambda pair: pair[0])
    ]
    cuts = [(before[-1][1] + after[0][0]) / 2 for (_, before), (_, after) in pairwise(groups)]
    bounds = [0.0, *cuts, seconds]
    return [Stretch(a, b, language) for (language, _), (a, b) in zip(groups, pairwise(bounds), strict=True)]


def _of_piece(piece: Probabilities, whole: Probabilities, expected: str) -> str:
    """Return the language of a piece: the one it surely has, else one of the window's languages, else the expected."""
    best = top(piece)
    if piece[best] >= PIECE_SURE:
        return best
    in_whole = best != expected and whole.get(best, 0.0) >= HEARD
    return best if in_whole and piece[best] >= 0.5 and piece.get(expected, 0.0) < ABSENT else expected
