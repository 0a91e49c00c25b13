"""Marks on the text of a transcript, and how they hold on to their words while people edit. Pure.

The page has the same rule in TypeScript (`static/src/edit/marks.ts`). Cases in JSON hold both to the same results.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate, takewhile
from typing import Final, NamedTuple

from msgspec.structs import replace

from whisper_service.core.domain import Value
from whisper_service.editing.difference import pairs
from whisper_service.editing.splitting import joint, split_words, spoken, unspaced

COLOURS: Final = 5
Text = tuple[str, str]
"""The ID of a line and its text."""


class MarkKind(StrEnum):
    """What a mark is."""

    BOOKMARK = "bookmark"  # of a line
    HIGHLIGHT = "highlight"  # of some words
    NOTE = "note"  # of some words, with a text


class Anchor(Value, frozen=True):
    """A place in the text: behind `at` characters of a line."""

    line: str
    at: int


class Mark(Value, frozen=True):
    """A mark. The `first` anchor of a bookmark is also its `last`."""

    id: str  # made by the client
    kind: MarkKind
    first: Anchor
    last: Anchor
    colour: int = 1  # 1 to 5
    text: str = ""  # of a note
    lost: str = ""  # the words it was on, if they were deleted; it then stays where they were
    author: str = ""
    at: float = 0.0  # Unix seconds


def follow(marks: Iterable[Mark], before: Sequence[Text], after: Sequence[Text]) -> Iterator[tuple[Mark, Mark]]:
    """Yield the marks that an edit moves, each as it was and as it is now.

    `before` and `after` are all lines of the transcript in order, or those of a stretch that has every changed line and
    its neighbours. Lines that are in both keep their order. What is written at the edge of marked words is marked only
    if it makes a word of them longer.
    """
    stretches = _Stretches(before, after)
    for mark in marks:
        if not stretches.touch(mark):
            continue
        first, last = stretches.moved(mark.first, begins=True), stretches.moved(mark.last, begins=False)
        if mark.kind is MarkKind.BOOKMARK:
            last = first
            lost = stretches.line_lost(mark.first)
        elif mark.first == mark.last:
            first, lost = last, ""
        else:
            first, last = stretches.trimmed(first, last)
            lost = "" if stretches.order(first) < stretches.order(last) else words_of(mark, before)
            if lost:
                first = last
        now = replace(mark, first=first, last=last, lost=mark.lost or lost)
        if now != mark:
            yield mark, now


def words_of(mark: Mark, lines: Sequence[Text]) -> str:
    """Return the marked words, or the whole line of a bookmark. "": they are not in these lines."""
    places = {line_id: number for number, (line_id, _) in enumerate(lines)}
    if mark.first.line not in places or mark.last.line not in places:
        return ""
    begin, end = places[mark.first.line], places[mark.last.line]
    if mark.kind is MarkKind.BOOKMARK:
        return lines[begin][1]
    parts = [text for _, text in lines[begin : end + 1]]
    if parts:
        parts[-1] = parts[-1][: mark.last.at]
        parts[0] = parts[0][mark.first.at :]
    said = ""
    for part in filter(None, (part.strip() for part in parts)):
        said += (joint(said, part) if said else "") + part
    return said


class _Hunk(NamedTuple):
    """A stretch of characters from `begin` to `end` that became another one."""

    begin: int
    end: int
    new_begin: int
    new_end: int


class _Stretch(NamedTuple):
    """A line that is in both texts, with the lines behind it that are in one of them only."""

    before: tuple[Text, ...]
    after: tuple[Text, ...]


class _Stretches:
    """Two states of the same lines, cut where a line is in both."""

    def __init__(self, before: Sequence[Text], after: Sequence[Text]) -> None:
        both = {line_id for line_id, _ in before} & {line_id for line_id, _ in after}
        self._stretches = [*map(_Stretch, _cut(before, both), _cut(after, both))]
        self._of = {line_id: index for index, one in enumerate(self._stretches) for line_id, _ in one.before}
        self._touched = {line_id for one in self._stretches if one.before != one.after for line_id, _ in one.before}
        self._after = after
        self._order = {line_id: number for number, (line_id, _) in enumerate(after)}
        self._hunks: dict[int, list[_Hunk]] = {}

    def touch(self, mark: Mark) -> bool:
        """Return whether something changed in the lines of a mark."""
        return mark.first.line in self._touched or mark.last.line in self._touched

    def moved(self, anchor: Anchor, *, begins: bool) -> Anchor:
        """Return where the first (`begins`) or the last anchor of a mark is now."""
        index = self._of.get(anchor.line)
        if index is None or (one := self._stretches[index]).before == one.after:
            return anchor
        if not one.after:  # the first lines of the text were deleted
            return Anchor(self._after[0][0], 0) if self._after else anchor
        old, new = _joined(one.before), _joined(one.after)
        at = _moved(_offset(one.before, anchor), self._changes(index), old, new, begins=begins)
        return _anchor(one.after, at)

    def line_lost(self, anchor: Anchor) -> str:
        """Return the text of the line of a bookmark if its words were deleted, else ""."""
        index = self._of.get(anchor.line)
        if index is None or anchor.line in self._order:
            return ""
        one = self._stretches[index]
        at = _offset(one.before, anchor)
        gone = not one.after or any(
            hunk.begin < at < hunk.end and hunk.new_begin == hunk.new_end for hunk in self._changes(index)
        )
        return dict(one.before)[anchor.line] if gone else ""

    def order(self, anchor: Anchor) -> tuple[int, int]:
        """Return what sorts anchors by their place in the text. An anchor in no line that is there has no length."""
        number = self._order.get(anchor.line)
        return (-1, 0) if number is None else (number, anchor.at)

    def trimmed(self, first: Anchor, last: Anchor) -> tuple[Anchor, Anchor]:
        """Return the anchors of a mark without lines of which it has no character."""
        begin, end = self._order.get(first.line), self._order.get(last.line)
        if begin is not None and end is not None:
            while begin < end and first.at >= len(self._after[begin][1]):
                begin += 1
                first = Anchor(self._after[begin][0], 0)
            while begin < end and last.at == 0:
                end -= 1
                last = Anchor(self._after[end][0], len(self._after[end][1]))
        return first, last

    def _changes(self, index: int) -> list[_Hunk]:
        if index not in self._hunks:
            one = self._stretches[index]
            self._hunks[index] = list(_differences(_joined(one.before), _joined(one.after)))
        return self._hunks[index]


def _cut(lines: Sequence[Text], both: set[str]) -> list[tuple[Text, ...]]:
    """Return the lines in groups that begin with a line of `both`. The first group has those before all of them."""
    groups: list[list[Text]] = [[]]
    for line in lines:
        if line[0] in both:
            groups.append([])
        groups[-1].append(line)
    return list(map(tuple, groups))


def _joined(lines: Iterable[Text]) -> str:
    return "\n".join(text for _, text in lines)


def _offset(lines: Sequence[Text], anchor: Anchor) -> int:
    """Return the place of an anchor in the joined lines."""
    offset = 0
    for line_id, text in lines:
        if line_id == anchor.line:
            return offset + min(anchor.at, len(text))
        offset += len(text) + 1
    raise AssertionError(anchor)


def _anchor(lines: Sequence[Text], offset: int) -> Anchor:
    """Return the place in the joined lines as an anchor."""
    begins = list(accumulate((len(text) + 1 for _, text in lines[:-1]), initial=0))
    number = bisect_right(begins, offset) - 1
    return Anchor(lines[number][0], min(offset - begins[number], len(lines[number][1])))


def _differences(old: str, new: str) -> Iterator[_Hunk]:
    """Yield what changed, word by word, without the characters that both have at the edges of a change."""
    old_words, new_words = split_words(old), split_words(new)
    old_ends = list(accumulate(map(len, old_words), initial=0))
    new_ends = list(accumulate(map(len, new_words), initial=0))
    one = other = 0
    for same, also in [*pairs(old_words, new_words), (len(old_words), len(new_words))]:
        hunk = _Hunk(old_ends[one], old_ends[same], new_ends[other], new_ends[also])
        if hunk.begin < hunk.end or hunk.new_begin < hunk.new_end:
            yield _trimmed(hunk, old, new)
        one, other = same + 1, also + 1


def _trimmed(hunk: _Hunk, old: str, new: str) -> _Hunk:
    begin, end, new_begin, new_end = hunk
    while begin < end and new_begin < new_end and old[begin] == new[new_begin]:
        begin, new_begin = begin + 1, new_begin + 1
    while begin < end and new_begin < new_end and old[end - 1] == new[new_end - 1]:
        end, new_end = end - 1, new_end - 1
    return _Hunk(begin, end, new_begin, new_end)


def _moved(at: int, hunks: Iterable[_Hunk], old: str, new: str, *, begins: bool) -> int:
    shift = 0
    for hunk in hunks:
        if at < hunk.begin:
            break
        if at > hunk.end:
            shift = hunk.new_end - hunk.end
        elif hunk.begin < hunk.end:
            return hunk.new_end if at == hunk.end else min(hunk.new_begin + at - hunk.begin, hunk.new_end)
        elif begins:
            added = new[hunk.new_begin : hunk.new_end][::-1]
            return hunk.new_end - (_letters(added) if old[at : at + 1] and _letter(old[at]) else 0)
        else:
            added = new[hunk.new_begin : hunk.new_end]
            return hunk.new_begin + (_letters(added) if at and _letter(old[at - 1]) else 0)
    return at + shift


def _letters(text: str) -> int:
    """Return with how many letters a text begins."""
    return sum(1 for _ in takewhile(_letter, text))


def _letter(character: str) -> bool:
    """Return whether a character beside another one makes one word of both."""
    return spoken(character) and not unspaced(character)
