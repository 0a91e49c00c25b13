"""Gives the words of an edited text their times. Pure. The page has the same rules in TypeScript.

Words that nobody touched keep their times and probabilities to the bit. What was written anew gets the time of what it
replaced, or of the silence where it was inserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.core.domain import Word
from whisper_service.editing.difference import pairs
from whisper_service.editing.splitting import key, split_words, spoken, unspaced

CHARACTERS_PER_S: Final = 15.0
"""How fast inserted words of scripts with spaces are taken to be said."""
UNSPACED_PER_S: Final = 5.0
"""The same of Han, kana and Thai."""
LEAST_S: Final = 0.06
"""An inserted word gets at least this, if half of its neighbour can be taken for it."""
CERTAIN: Final = 1.0
"""The probability of a word that a person wrote."""


class TimedBy(StrEnum):
    """Where the times of a word come from."""

    MACHINE = "machine"  # the model heard the word
    SPREAD = "spread"  # in proportion to the characters of what a person wrote
    ALIGNED = "aligned"  # the model found the person's word in the sound
    PERSON = "person"


class TimedWord(Word, frozen=True, omit_defaults=True):
    """A word of an edited line."""

    by: TimedBy = TimedBy.MACHINE


class _Group(NamedTuple):
    """The fewest words that begin and end where words of `split_words` begin and end: nearly always one."""

    words: tuple[TimedWord, ...]
    parts: tuple[str, ...]


def timed(word: Word) -> TimedWord:
    """Return a word as one of a line."""
    return TimedWord(start=word.start, end=word.end, word=word.word, probability=word.probability)


def retime(words: Sequence[TimedWord], text: str, earliest: float, latest: float) -> tuple[TimedWord, ...]:
    """Return the words of `text`, with the times of the equal ones of `words`.

    `words` are those of the line before the edit, in order, at least one. Inserted words stay between `earliest` and
    `latest`, the end of the line before and the start of the line behind, in seconds. Joined and stripped the result
    is `text`.
    """
    if words and words[0].word[:1].isspace():
        text = f" {text}"  # a word keeps the space before it
    groups = _groups(words)
    kept = _kept(groups, new := split_words(text))
    result: list[TimedWord] = []
    replaced: list[TimedWord] = []
    at = 0  # in `new`
    for index, group in enumerate(groups):
        if index not in kept:
            replaced += group.words
            continue
        begin = kept[index]
        same = _with_text(group, new[begin : begin + len(group.parts)])
        if result or replaced or begin == at:
            result += _written(result, replaced, new[at:begin], same[0].start)
        else:
            inserted, same[0] = _before(new[at:begin], same[0], earliest)
            result += inserted
        result += same
        replaced, at = [], begin + len(group.parts)
    return (*result, *_written(result, replaced, new[at:], latest))


def spread(text: str, start: float, end: float) -> tuple[TimedWord, ...]:
    """Return the words of a text in the time from `start` to `end`, in proportion to their characters."""
    return tuple(_spread(split_words(text), start, end))


def _groups(words: Sequence[TimedWord]) -> list[_Group]:
    """Return the words in groups whose ends are also ends of words of the joined text."""
    parts = split_words("".join(word.word for word in words))
    ends = {end: count for count, end in enumerate(accumulate(map(len, parts)), 1)}
    groups: list[_Group] = []
    first, part, position = 0, 0, 0
    for count, word in enumerate(words, 1):
        position += len(word.word)
        if position in ends:
            groups.append(_Group(tuple(words[first:count]), tuple(parts[part : ends[position]])))
            first, part = count, ends[position]
    return groups


def _kept(groups: Sequence[_Group], new: Sequence[str]) -> dict[int, int]:
    """Return, for each group that the new words still have, the position of its first part in them."""
    old = [(index, part) for index, group in enumerate(groups) for part in group.parts]
    found = dict(pairs([key(part) for _, part in old], list(map(key, new))))
    kept: dict[int, int] = {}
    first = 0
    for index, group in enumerate(groups):
        places = [found.get(at) for at in range(first, first + len(group.parts))]
        first += len(group.parts)
        start = places[0]
        if start is None or places != list(range(start, start + len(places))):
            continue
        if len(group.words) == 1 or list(group.parts) == list(new[start : start + len(places)]):
            kept[index] = start
    return kept


def _with_text(group: _Group, parts: Sequence[str]) -> list[TimedWord]:
    """Return the words of a group as they are. One word takes the marks and the case of the new text."""
    words = list(group.words)
    text = "".join(parts)
    return words if len(words) > 1 else [replace(words[0], word=text)]


def _written(
    before: list[TimedWord], replaced: Sequence[TimedWord], texts: Sequence[str], latest: float
) -> list[TimedWord]:
    """Return words that a person wrote: in the time of what they replace, or else in the silence behind `before`.

    Where that silence is too short, the last word of `before` loses the second half of its time.
    """
    if not texts:
        return []
    if replaced:
        return _spread(texts, replaced[0].start, replaced[-1].end)
    last = before[-1]
    if latest - last.end < LEAST_S * len(texts):
        last = before[-1] = replace(last, end=(last.start + last.end) / 2)
    return _spread(texts, last.end, max(last.end, min(last.end + _said_s(texts), latest)))


def _before(texts: Sequence[str], first: TimedWord, earliest: float) -> tuple[list[TimedWord], TimedWord]:
    """Return words inserted before the first word of a line, and that word. It loses half of its time if it must."""
    if first.start - earliest < LEAST_S * len(texts):
        middle = (first.start + first.end) / 2
        return _spread(texts, first.start, middle), replace(first, start=middle)
    return _spread(texts, max(earliest, first.start - _said_s(texts)), first.start), first


def _spread(texts: Sequence[str], start: float, end: float) -> list[TimedWord]:
    """Return the texts as words in the time from `start` to `end`, in proportion to their characters."""
    if not texts:
        return []
    ends = list(accumulate(max(1, len(text.strip())) for text in texts))
    scale = (end - start) / ends[-1]
    bounds = [start, *(start + scale * place for place in ends[:-1]), end]
    return [
        TimedWord(start=first, end=last, word=text, probability=CERTAIN, by=TimedBy.SPREAD)
        for text, (first, last) in zip(texts, pairwise(bounds), strict=True)
    ]


def _said_s(texts: Sequence[str]) -> float:
    """Return how many seconds words that nobody timed are taken to last."""
    said = [character for text in texts for character in text if spoken(character)]
    slow = sum(map(unspaced, said))
    return slow / UNSPACED_PER_S + (len(said) - slow) / CHARACTERS_PER_S
