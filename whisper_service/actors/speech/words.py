"""Tokens and where they were heard -> words -> sentences. Pure.

Times are seconds from the beginning of the audio that was decoded; `domain.Word.word` keeps its leading space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Word
from whisper_service.core.text import CLAUSE_END, NEUTRAL, OPENING, breakable, columns, ends_sentence, wide

FRAME_S: Final = 0.02
"""Whisper's encoder gives one state per 20 ms, and `align` counts in them."""

PAUSE_S: Final = 2.0
"""A silence this long ends a segment, whatever the grammar says."""
LONG_S: Final = 12.0
LONG_COLUMNS: Final = 100
"""A segment longer than either is cut once more, at its best clause or pause; CJK characters are two columns wide."""


def timed_words(
    texts: Sequence[str],
    sizes: Sequence[int],
    alignment: Sequence[tuple[int, int]],
    probabilities: Sequence[float],
) -> list[Word]:
    """Give every word its time.

    `texts` and `sizes` are the words and their numbers of tokens, in order, without the end-of-text token. `alignment` is
    the path of dynamic time warping, pairs (token, frame) that never decrease; its last token is end-of-text.
    """
    reached: dict[int, float] = {}
    for token, frame in alignment:
        reached.setdefault(token, frame * FRAME_S)
    bounds = [0, *accumulate(sizes)]
    return [
        Word(
            start=reached[first],
            end=reached[last],
            word=text,
            probability=sum(probabilities[first:last]) / (last - first),
        )
        for text, (first, last) in zip(texts, pairwise(bounds), strict=True)
    ]


def spread_words(texts: Sequence[str], duration_s: float) -> list[Word]:
    """Times in proportion to the length of the words, for models that cannot align."""
    ends = list(accumulate(len(text) for text in texts))
    scale = duration_s / ends[-1] if ends else 0.0
    return [
        Word(start=(end - len(text)) * scale, end=end * scale, word=text, probability=0.0)
        for text, end in zip(texts, ends, strict=True)
    ]


def merge_punctuation(words: Iterable[Word]) -> list[Word]:
    """Hang marks that stand alone on the word they belong to: opening ones on the next, all others on the one before.

    Marks without any word are nothing that was said.
    """
    merged: list[Word] = []
    opening: Word | None = None
    for word in words:
        mark = word.word.strip()
        if mark and not _speakable(mark):
            if _opens(mark) and (word.word.startswith(" ") or mark not in NEUTRAL):
                opening = replace(opening, word=opening.word + mark) if opening else word
                continue
            if merged and opening is None:
                merged[-1] = replace(merged[-1], word=merged[-1].word + word.word.rstrip())
                continue
        if opening is not None and mark:
            word = replace(word, word=opening.word + word.word.lstrip())
            opening = None
        if mark:
            merged.append(word)
        elif merged and opening is None:  # a space on its own, as Whisper writes between Chinese sentences
            merged[-1] = replace(merged[-1], word=merged[-1].word.rstrip() + " ")
    if opening is not None and merged:
        merged[-1] = replace(merged[-1], word=merged[-1].word + opening.word)
    return merged if any(_speakable(word.word) for word in merged) else []


def spoken_s(text: str) -> float:
    """How long this takes to say, unhurriedly.

    Fitted on read speech in six languages so that no word that is really there exceeds it by more than 0.4 s.
    """
    seconds = 0.25
    for character in text:
        if character.isdigit():
            seconds += 0.3
        elif wide(character):
            seconds += 0.2
        elif character.isalpha():
            seconds += 0.085
    return seconds


def sentences(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Cut words into segments to read: at the ends of sentences, at pauses, and where they would be too long."""
    start = 0
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        pause = following is not None and following.start - word.end >= PAUSE_S
        if following is None or ((ends_sentence(word.word) or pause) and _apart(word, following)):
            yield from _short_enough(words[start : index + 1])
            start = index + 1


def _short_enough(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    length = words[-1].end - words[0].start
    if len(words) < 2 or (length <= LONG_S and columns(text_of(words)) <= LONG_COLUMNS):
        yield words
        return
    middle = (words[0].start + words[-1].end) / 2

    def worth(cut: int) -> float:
        """A clause or a pause near the middle is best; both count in seconds."""
        before, after = words[cut - 1], words[cut]
        clause = 1.5 if before.word.strip()[-1:] in CLAUSE_END or before.word.endswith(" ") else 0.0
        return (
            clause + 3 * (after.start - before.end) - abs((before.end + after.start) / 2 - middle) / (length or 1.0) * 4
        )

    cuts = [cut for cut in range(1, len(words)) if _apart(words[cut - 1], words[cut])]
    if not cuts:
        yield words
        return
    cut = max(cuts, key=worth)
    yield from _short_enough(words[:cut])
    yield from _short_enough(words[cut:])


def text_of(words: Iterable[Word]) -> str:
    """The words as one line."""
    return "".join(word.word for word in words).strip()


def _apart(before: Word, after: Word) -> bool:
    """Whether these are two words to a reader: not the halves of "www.example" and ".org"."""
    edges = before.word[-1:] + after.word[:1]
    return any(edge.isspace() or breakable(edge) for edge in edges)


def _opens(mark: str) -> bool:
    return mark in NEUTRAL or all(character in OPENING for character in mark)


def _speakable(text: str) -> bool:
    return any(
        character.isalnum() or unicodedata.category(character) in ("Sc", "Mn", "Mc") for character in text
    ) or text in {"%", "&", "+"}
