"""Word and character error rates, with deletions counted apart: a lost sentence is worse than a misheard word.

English is compared as words after Whisper's English normaliser, other languages as words after the basic one; Chinese
and Japanese as characters without spaces and punctuation, Chinese in simplified script.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jiwer
from opencc import OpenCC
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

CHARACTERS = frozenset({"zh", "ja", "en+zh"})


@dataclass(frozen=True, slots=True)
class Score:
    """Edit counts of some hypotheses against their references; `extra` counts characters where nobody speaks."""

    units: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    extra: int = 0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.units + other.units,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.extra + other.extra,
        )

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    def __str__(self) -> str:
        if not self.units:
            return f"{self.extra} chars"
        rate = 100 * self.errors / self.units
        return f"{rate:.1f} ({self.deletions}d {self.substitutions}s {self.insertions}i)"


@cache
def _normalizers() -> tuple[Any, Any, Any]:
    return EnglishTextNormalizer(), BasicTextNormalizer(), OpenCC("t2s")


def units(language: str, text: str) -> list[str]:
    """What is compared: words, or characters for languages written without spaces."""
    english, basic, simplify = _normalizers()
    if language == "en":
        return str(english(text)).split()
    if language in CHARACTERS:
        script = text if language == "ja" else simplify.convert(text)
        return list(str(basic(script)).replace(" ", ""))
    return str(basic(text)).split()


def score(language: str, reference: str, hypothesis: str) -> Score:
    """How far the hypothesis is from the reference."""
    if not reference:
        return Score(extra=len(hypothesis.strip()))
    wanted, got = units(language, reference), units(language, hypothesis)
    found = jiwer.process_words(" ".join(wanted), " ".join(got))
    return Score(len(wanted), found.substitutions, found.deletions, found.insertions)
