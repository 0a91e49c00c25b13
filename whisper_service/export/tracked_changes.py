"""Compare two texts of a transcript word by word: pieces that both have, and those that one of them has. Pure.

The paragraphs are those of the current text. Taken without what is gone, the pieces are the current text; taken without
what is new, they are the old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from whisper_service.core.domain import Transcript
from whisper_service.core.text import unspaced
from whisper_service.editing.difference import pairs
from whisper_service.export.documents import Key, Passage, between, paragraphs, passages
from whisper_service.export.layout import Layout

BREAK: Final = "\n"
"""A token: a new paragraph begins."""
_TOKEN: Final = re.compile(r"\s+|\S+")


class Side(Enum):
    """Which of two texts has a piece: the current one, the old one, or both."""

    BOTH = "both"
    NEW = "new"
    GONE = "gone"


class TextPiece(NamedTuple):
    """Some characters, or `BREAK`. `key` and `at` say where they begin in the passages of the current text."""

    text: str
    side: Side = Side.BOTH
    bold: bool = False
    key: Key | None = None
    at: int = 0  # characters of the passages with this key before the piece


def pieces(current: Transcript, layout: Layout, old: Transcript | None = None) -> list[TextPiece]:
    """Return the current text in pieces, compared with an `old` one if there is one. It begins with a `BREAK`."""
    new_parts = list(_current_parts(current, layout))
    if old is None:
        return [piece for part in new_parts for piece in part.pieces]
    found: list[TextPiece] = []
    lost: list[TextPiece] = []  # what was deleted before the first passage
    for new_group, old_group in _groups(new_parts, list(_old_parts(old))):
        if not new_group:
            lost = [piece for part in old_group for piece in part.pieces]
            continue
        found += _compared(new_group, old_group, lost)
        lost = []
    return list(_joined(found or [TextPiece(BREAK), *_gone(lost)]))


class _Part(NamedTuple):
    """A passage in pieces. `lead` are those of the paragraph that it begins."""

    key: tuple[object, ...]
    lead: tuple[TextPiece, ...]
    between: tuple[TextPiece, ...]
    words: tuple[TextPiece, ...]

    @property
    def pieces(self) -> tuple[TextPiece, ...]:
        return self.lead + self.between + self.words


def _current_parts(transcript: Transcript, layout: Layout) -> Iterator[_Part]:
    ends: dict[Key | None, int] = {}
    for held in paragraphs(transcript):
        for number, passage in enumerate(held):
            marks = [TextPiece(f"{mark} ", bold=True) for mark in passage.marks(layout)]
            lead = [] if number else [TextPiece(BREAK), *marks]
            gap = [TextPiece(text) for text in [between(held[number - 1], passage)] if number and text]
            at = ends.get(passage.key, 0)
            ends[passage.key] = at + len(passage.text)
            yield _Part(_key_of(passage), tuple(lead), tuple(gap), tuple(_words(passage, at)))


def _old_parts(transcript: Transcript) -> Iterator[_Part]:
    before: Passage | None = None
    for passage in passages(transcript):
        gap = between(before, passage) if before else ""
        yield _Part(_key_of(passage), (), (TextPiece(gap),) if gap else (), tuple(_words(passage, 0)))
        before = passage


def _key_of(passage: Passage) -> tuple[object, ...]:
    return passage.key or ("gap", passage.start)


def _words(passage: Passage, at: int) -> Iterator[TextPiece]:
    """Yield words, the spaces between them, and single characters where a script has no spaces."""
    for token in _tokens(passage.text):
        yield TextPiece(token, key=passage.key, at=at)
        at += len(token)


def _tokens(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(text):
        for alone, characters in groupby(token, unspaced):
            text = "".join(characters)
            yield from text if alone else [text]


def _groups(new: Sequence[_Part], old: Sequence[_Part]) -> Iterator[tuple[Sequence[_Part], Sequence[_Part]]]:
    """Yield the parts of both texts in groups that begin with a passage that both have."""
    places: dict[tuple[object, ...], int] = {}
    for place, part in enumerate(old):
        places.setdefault(part.key, place)
    cuts, last = [(0, 0)], -1
    for number, part in enumerate(new):
        place = places.get(part.key, -1)
        if place > last:
            cuts.append((number, place))
            last = place
    for (new_begin, old_begin), (new_end, old_end) in pairwise([*cuts, (len(new), len(old))]):
        yield new[new_begin:new_end], old[old_begin:old_end]


def _compared(new: Sequence[_Part], old: Sequence[_Part], lost: Sequence[TextPiece]) -> Iterator[TextPiece]:
    """Yield the pieces of a group. `lost` are gone before its first passage."""
    first, before = new[0], [piece for part in old[1:] for piece in part.pieces]
    yield from first.lead
    yield from _gone(lost)
    if old:
        before = [*old[0].words, *before]
        if lost:
            yield from _gone(old[0].between)
        elif not first.lead:
            yield from _words_compared(old[0].between, first.between)
    yield from _words_compared(before, [*first.words, *(piece for part in new[1:] for piece in part.pieces)])


def _words_compared(old: Sequence[TextPiece], new: Sequence[TextPiece]) -> Iterator[TextPiece]:
    one = other = 0
    same = pairs([piece.text for piece in old], [piece.text for piece in new])
    for gone, kept in [*same, (len(old), len(new))]:
        yield from _gone(old[one:gone])
        yield from (piece._replace(side=Side.NEW) for piece in new[other:kept])
        yield from new[kept : kept + 1]
        one, other = gone + 1, kept + 1


def _gone(old: Iterable[TextPiece]) -> Iterator[TextPiece]:
    return (piece._replace(side=Side.GONE, key=None) for piece in old)


def _joined(found: Iterable[TextPiece]) -> Iterator[TextPiece]:
    """Yield the pieces with neighbours of one kind as one."""
    held: TextPiece | None = None
    for piece in found:
        if (
            held
            and BREAK not in (held.text, piece.text)
            and (held.side, held.bold, held.key) == (piece.side, piece.bold, piece.key)
            and (piece.key is None or held.at + len(held.text) == piece.at)
        ):
            held = held._replace(text=held.text + piece.text)
            continue
        if held:
            yield held
        held = piece
    if held:
        yield held
