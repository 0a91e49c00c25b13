"""Word and character error rates, with deletions counted apart: a lost sentence is worse than a misheard word.

A deletion alone is mostly a matter of spelling ("lower case" heard as "lowercase" is a deletion and a substitution).
Deletions in a row are not: `lost` counts those, the words that were said and of which nothing was written.

English is compared as words after Whisper's English normaliser, other languages as words after the basic one; Chinese
and Japanese as characters without spaces and punctuation, Chinese in simplified script. Several languages in one
recording have a plus between them: `en+zh`. They are compared as characters if one of them is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jiwer
from opencc import OpenCC
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

CHARACTERS = frozenset({"zh", "ja"})
LOST_WORDS = 3
LOST_CHARACTERS = 4
"""Units in a row without any text in their place that count as lost."""


@dataclass(frozen=True, slots=True)
class Score:
    """Edit counts of some hypotheses against their references; `extra` counts characters where nobody speaks."""

    units: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    extra: int = 0
    lost: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.units + other.units,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.extra + other.extra,
            self.lost + other.lost,
        )

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    def __str__(self) -> str:
        if not self.units:
            return f"{self.extra} chars"
        rate = 100 * self.errors / self.units
        lost = f", {self.lost} lost" if self.lost else ""
        return f"{rate:.1f} ({self.deletions}d {self.substitutions}s {self.insertions}i{lost})"


@cache
def _normalizers() -> tuple[Any, Any, Any]:
    return EnglishTextNormalizer(), BasicTextNormalizer(), OpenCC("t2s")


def units(language: str, text: str) -> list[str]:
    """Return what is compared: words, or characters for languages without spaces."""
    english, basic, simplify = _normalizers()
    if language == "en":
        return str(english(text)).split()
    if in_characters(language):
        script = text if "ja" in language else simplify.convert(text)
        return list(str(basic(script)).replace(" ", ""))
    return str(basic(text)).split()


def in_characters(languages: str) -> bool:
    """Return whether a text is compared as characters."""
    return not CHARACTERS.isdisjoint(languages.split("+"))


def score(language: str, reference: str, hypothesis: str) -> Score:
    """Count how far the hypothesis is from the reference."""
    if not reference:
        return Score(extra=len(hypothesis.strip()))
    wanted, got = units(language, reference), units(language, hypothesis)
    found = jiwer.process_words(" ".join(wanted), " ".join(got))
    least = LOST_CHARACTERS if in_characters(language) else LOST_WORDS
    runs = [c.ref_end_idx - c.ref_start_idx for c in found.alignments[0] if c.type == "delete"]
    lost = sum(run for run in runs if run >= least)
    return Score(len(wanted), found.substitutions, found.deletions, found.insertions, lost=lost)
