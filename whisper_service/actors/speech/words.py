"""Turns tokens and their alignment into words, and words into sentences. Pure.

Times are seconds from the beginning of the decoded audio. `domain.Word.word` keeps its leading space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Word
from whisper_service.core.text import (
    CLAUSE_END,
    CLOSING,
    NEUTRAL,
    OPENING,
    SENTENCE_END,
    breakable,
    columns,
    ends_sentence,
    wide,
)

FRAME_S: Final = 0.02
"""Length of an encoder state of Whisper. `align` counts in these."""
PAUSE_S: Final = 2.0
"""A silence of this length ends a segment, also inside a sentence."""
SENTENCE_MARKS: Final = "".join(sorted(SENTENCE_END))
LONG_S: Final = 12.0
LONG_COLUMNS: Final = 100
"""A segment longer than either is cut at its best clause or pause. CJK characters are two columns wide."""


def timed_words(
    texts: Sequence[str],
    sizes: Sequence[int],
    alignment: Sequence[tuple[int, int]],
    probabilities: Sequence[float],
) -> list[Word]:
    """Return the words with their times.

    `texts` and `sizes` are the words and their numbers of tokens, in order, without the end-of-text token. `alignment`
    is the path of dynamic time warping: pairs (token, frame) that never decrease. Its last token is end-of-text.
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


def found_words(
    texts: Sequence[str],
    places: Sequence[tuple[int, int]],
    alignment: Sequence[tuple[int, int]],
    probabilities: Sequence[float],
) -> list[Word]:
    """Return given words with their times.

    Joined, `texts` are the text of the tokens. `places` say which characters of it each token has: a character may have
    several tokens, and a token several characters of several words, which then share its time. `alignment` is as for
    `timed_words`. A word without any token has no time and the probability 0.
    """
    text = "".join(texts)
    reached: dict[int, float] = {}
    for token, frame in alignment:
        reached.setdefault(token, frame * FRAME_S)
    spans = [_without_spaces(text, begin, end) for begin, end in places]
    found: list[Word] = []
    for word, (first, last) in zip(texts, pairwise([0, *accumulate(map(len, texts))]), strict=True):
        begin, end = _without_spaces(text, first, last)
        inside = [token for token, span in enumerate(spans) if span[0] < end and begin < span[1]]
        if not inside:
            found.append(Word(0.0, 0.0, word, 0.0))
            continue

        def time(token: int, place: int) -> float:
            """Return when a place in the characters of a token is reached."""
            start, (low, high) = reached[token], spans[token]
            share = (place - low) / (high - low)
            return start + min(1.0, max(0.0, share)) * (reached[token + 1] - start)

        said = sum(probabilities[token] for token in inside) / len(inside)
        found.append(Word(time(inside[0], begin), time(inside[-1], end), word, said))
    return found


def _without_spaces(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the place of a piece of a text without the spaces at its ends."""
    piece = text[begin:end]
    first = begin + len(piece) - len(piece.lstrip())
    return first, max(first, end - (len(piece) - len(piece.rstrip())))


def spread_words(texts: Sequence[str], duration_s: float) -> list[Word]:
    """Return the words with times in proportion to their lengths, for models that cannot align."""
    ends = list(accumulate(len(text) for text in texts))
    scale = duration_s / ends[-1] if ends else 0.0
    return [
        Word(start=(end - len(text)) * scale, end=end * scale, word=text, probability=0.0)
        for text, end in zip(texts, ends, strict=True)
    ]


def merge_punctuation(words: Iterable[Word]) -> list[Word]:
    """Join marks that stand alone to a word: opening marks to the next word, all others to the word before.

    Marks without any word give no words.
    """
    merged: list[Word] = []
    opening: Word | None = None
    for word in words:
        mark = word.word.strip()
        if merged and opening is None and (glued := _glued_marks(merged[-1].word, word.word)):
            merged[-1] = replace(merged[-1], word=merged[-1].word + glued)
            word = replace(word, word=word.word[len(glued) :])
            mark = word.word.strip()
        if mark and not _is_spoken(mark):
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
        elif merged and opening is None:  # a single space, as Whisper writes between Chinese sentences
            merged[-1] = replace(merged[-1], word=merged[-1].word.rstrip() + " ")
    if opening is not None and merged:
        merged[-1] = replace(merged[-1], word=merged[-1].word + opening.word)
    return merged if any(_is_spoken(word.word) for word in merged) else []


def with_tokens(
    merged: Sequence[Word], texts: Sequence[str], groups: Sequence[Sequence[int]]
) -> list[tuple[Word, tuple[int, ...]]]:
    """Return merged words with their tokens. `texts` and `groups` are the words before they were merged.

    Joined, the tokens are those of all groups, unless there are no merged words.
    """
    held: list[list[int]] = [[] for _ in merged]
    ends = list(accumulate(_letters(word.word) for word in merged))
    place = reached = 0
    for text, tokens in zip(texts, groups, strict=True):
        reached += _letters(text)
        while place < len(merged) - 1 and reached > ends[place]:
            place += 1
        if held:
            held[place] += tokens
    return [(word, tuple(tokens)) for word, tokens in zip(merged, held, strict=True)]


def _letters(text: str) -> int:
    """Return how many characters a text has that merging never drops."""
    return sum(not character.isspace() for character in text)


def spoken_s(text: str) -> float:
    """Return the seconds that a slow speaker needs for a text.

    Fitted on read speech in six languages: no word that was really said takes more than 0.4 s longer.
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
    """Yield the words in groups to read: cut at ends of sentences, at pauses, and where a group would be too long."""
    start = 0
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else None
        pause = following is not None and following.start - word.end >= PAUSE_S
        if following is None or ((ends_sentence(word.word) or pause) and _can_cut(word, following)):
            yield from _cut_long(words[start : index + 1])
            start = index + 1


def _cut_long(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    length = words[-1].end - words[0].start
    if len(words) < 2 or (length <= LONG_S and columns(text_of(words)) <= LONG_COLUMNS):
        yield words
        return
    middle = (words[0].start + words[-1].end) / 2

    def score(cut: int) -> float:
        """Return how good a cut is, in seconds. A clause or a long pause near the middle is best."""
        before, after = words[cut - 1], words[cut]
        clause = 1.5 if before.word.strip()[-1:] in CLAUSE_END or before.word.endswith(" ") else 0.0
        distance = abs((before.end + after.start) / 2 - middle) / (length or 1.0)
        return clause + 3 * (after.start - before.end) - 4 * distance

    cuts = [cut for cut in range(1, len(words)) if _can_cut(words[cut - 1], words[cut])]
    if not cuts:
        yield words
        return
    cut = max(cuts, key=score)
    yield from _cut_long(words[:cut])
    yield from _cut_long(words[cut:])


def text_of(words: Iterable[Word]) -> str:
    """Return the words as one line."""
    return "".join(word.word for word in words).strip()


def _can_cut(before: Word, after: Word) -> bool:
    """Return whether two words are two words to a reader. "www.example" and ".org" are one."""
    edges = before.word[-1:] + after.word[:1]
    if ends_sentence(before.word) and wide(before.word.rstrip(CLOSING).rstrip(SENTENCE_MARKS)[-1:] or " "):
        return True  # a narrow mark behind a wide character ends the sentence, whatever follows
    return any(edge.isspace() or breakable(edge) for edge in edges)


def _glued_marks(before: str, text: str) -> str:
    """Return the sentence marks at the beginning of a word that end the sentence of a wide character before."""
    rest = text.lstrip(SENTENCE_MARKS)
    return text[: len(text) - len(rest)] if _is_spoken(rest) and before and wide(before[-1]) else ""


def _opens(mark: str) -> bool:
    return mark in NEUTRAL or all(character in OPENING for character in mark)


def _is_spoken(text: str) -> bool:
    return any(
        character.isalnum() or unicodedata.category(character) in ("Sc", "Mn", "Mc") for character in text
    ) or text in {"%", "&", "+"}
