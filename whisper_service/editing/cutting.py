"""Cuts a line in two, joins two lines, and moves a line in time, with their words. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from whisper_service.editing.lines import Line
from whisper_service.editing.retiming import TimedBy, TimedWord
from whisper_service.editing.splitting import joint

INWARD: Final = 0.1
"""Both edges moved inward by more than this share of the line: the words are squeezed, not cut off."""
SAME_S: Final = 0.001
"""Lengths that differ by less are equal: the line was moved as a whole."""


def cut_words(line: Line, at: int) -> tuple[tuple[TimedWord, ...], tuple[TimedWord, ...]]:
    """Return the words before and behind character `at` of the text. A word across the cut is cut in proportion."""
    left: list[TimedWord] = []
    right: list[TimedWord] = []
    text = "".join(word.word for word in line.words)
    rest = at + len(text) - len(text.lstrip())  # characters that are still to go to the left
    for word in line.words:
        head, tail = word.word[: max(0, rest)], word.word[max(0, rest) :]
        rest -= len(word.word)
        if not tail.strip():
            left.append(word)
        elif not head.strip():
            right.append(word)
        else:
            middle = word.start + (word.end - word.start) * len(head.strip()) / len(word.word.strip())
            left.append(replace(word, word=head, end=middle, by=TimedBy.SPREAD))
            right.append(replace(word, word=tail, start=middle, by=TimedBy.SPREAD))
    return tuple(left), tuple(right)


def joined(one: Line, other: Line) -> Line:
    """Return two lines as one, with the ID and the speaker of the first."""
    between = joint(one.text, other.text)
    words = one.words + other.words
    if one.words and other.words:
        first, *behind = other.words
        words = (*one.words, replace(first, word=between + first.word.lstrip()), *behind)
    return replace(
        one,
        end=max(one.end, other.end),
        text=one.text + between + other.text,
        words=words,
        held=one.held or other.held,
        checked=one.checked and other.checked,
    )


def moved(line: Line, start: float, end: float) -> Line:
    """Return a line with other times, in seconds, and its words in them.

    A line that was moved as a whole takes its words along. One that was squeezed from both sides squeezes them.
    Otherwise words are cut off at the edges.
    """
    length = line.end - line.start
    if abs((end - start) - length) < SAME_S:
        words = [_at(word, word.start + start - line.start, word.end + start - line.start) for word in line.words]
    elif min(start - line.start, line.end - end) > INWARD * length:
        scale = (end - start) / length
        words = [
            _at(word, start + (word.start - line.start) * scale, start + (word.end - line.start) * scale)
            for word in line.words
        ]
    else:
        words = [_at(word, min(max(word.start, start), end), min(max(word.end, start), end)) for word in line.words]
    return replace(line, start=start, end=end, words=tuple(words))


def _at(word: TimedWord, start: float, end: float) -> TimedWord:
    if (word.start, word.end) == (start, end):
        return word
    return replace(word, start=start, end=end, by=TimedBy.PERSON)
