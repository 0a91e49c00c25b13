"""Finds repetition: inside a text, and between the words on both sides of a seam. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from whisper_service.core.domain import Word

LOOP_RATIO: Final = 2.4
"""Compression ratio above which a text repeats itself; OpenAI's value."""
SQUEEZED_SHARE: Final = 0.5
"""Words that take less than this share of their time were put by the alignment where they were not said."""
STUTTER_SHARE: Final = 0.75
"""Share of a text that is one piece again and again, from which nothing else is worth to be kept."""
PHRASE_LETTERS: Final = 6
"""Least letters of a phrase whose text is suspect if it is the phrase twice and nothing else."""


def overlap(before: Sequence[Word], after: Sequence[Word]) -> int:
    """Return how many of the last words before a seam are the first words after the seam, and were said only once.

    Where text is missing, the alignment may squeeze the other words into a time that is too early and too short. These
    words are recognised again in their true place. A phrase that is really said twice takes about as long each time.
    """
    first, second = ([_letters(word.word) for word in side] for side in (before, after))
    longest = min(len(first), len(second))
    count = next((n for n in range(longest, 0, -1) if first[-n:] == second[:n]), 0)
    if not count:
        return 0
    squeezed = before[-1].end - before[-count].start < SQUEEZED_SHARE * (after[count - 1].end - after[0].start)
    return count if squeezed else 0


def repeats_itself(text: str) -> bool:
    """Return whether a text is a loop, or one phrase said twice and nothing else."""
    letters = _letters(text)
    half = len(letters) // 2
    return repetition(text) > LOOP_RATIO or (half >= PHRASE_LETTERS and letters == 2 * letters[:half])


def stutters(text: str) -> bool:
    """Return whether most of a text is one piece three times or more, as in a short loop that compresses badly."""
    letters = _letters(text)
    for period in range(1, len(letters) // 3 + 1):
        same = "".join("x" if a == b else " " for a, b in zip(letters, letters[period:], strict=False))
        run = period + max(map(len, same.split()), default=0)
        if run >= max(3 * period, PHRASE_LETTERS) and run >= STUTTER_SHARE * len(letters):
            return True
    return False


def compression_ratio(text: str) -> float:
    """Return Whisper's measure of repetition: bytes of UTF-8 over bytes of zlib."""
    return _ratio(text.encode())


def repetition(text: str) -> float:
    """Return the compression ratio with one byte a character, so that all scripts compare to English."""
    alphabet: dict[str, int] = {}
    return _ratio(bytes(alphabet.setdefault(character, len(alphabet)) % 256 for character in text))


def _ratio(data: bytes) -> float:
    return len(data) / len(zlib.compress(data)) if data else 0.0


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
