"""Merges two edits of the same text word by word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from whisper_service.editing.difference import hunks
from whisper_service.editing.splitting import split_words


class _Change(NamedTuple):
    """`base[first:last]` became `words`."""

    first: int
    last: int
    words: tuple[str, ...]


def merge_texts(base: str, mine: str, theirs: str) -> str | None:
    """Return the text with both edits of `base`. None: they change the same place, and a person must choose.

    The same change on both sides counts once. Changes of neighbouring words are apart; an insertion beside a change
    of the other side is not, because its place would be a guess.
    """
    words = split_words(base)
    ours, others = _changes(words, mine), _changes(words, theirs)
    merged = sorted({*ours, *others})
    if any(_meet(one, other) for one in ours for other in others if one != other):
        return None
    result: list[str] = []
    at = 0
    for change in merged:
        result += [*words[at : change.first], *change.words]
        at = change.last
    return "".join([*result, *words[at:]]).strip()


def _changes(base: Sequence[str], text: str) -> list[_Change]:
    words = split_words(text)
    return [_Change(hunk.first, hunk.last, tuple(words[at] for at in hunk.new)) for hunk in hunks(base, words)]


def _meet(one: _Change, other: _Change) -> bool:
    if one.first == one.last or other.first == other.last:  # an insertion
        return one.first <= other.last and other.first <= one.last
    return one.first < other.last and other.first < one.last
