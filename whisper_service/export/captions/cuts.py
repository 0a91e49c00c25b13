"""Cut pieces into cues and cues into lines, by dynamic programming over the cost of each cut. Pure.

Cuts are cheapest at the ends of sentences, then at clauses, then at pauses. Articles and prepositions stay beside the
word they belong to. A cue has at most two lines of similar length.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, islice, pairwise
from typing import Final

import msgspec

from whisper_service.core.text import CLAUSE_END, CLOSING, columns, ends_sentence, ideographic, wide_columns
from whisper_service.export.captions.pieces import Piece, line
from whisper_service.export.captions.style import Style, reading_s

Rows = tuple[tuple[Piece, ...], ...]
MOST_KNOWN: Final = 40_000
"""Blocks whose cuts are remembered: five texts of ten hours. A block takes some 300 bytes."""
_known: dict[bytes, tuple[tuple[int, ...], ...]] = {}


def split(pieces: Sequence[Piece], style: Style) -> list[Rows]:
    """Return the cheapest cues of a block, as the rows of each.

    The cuts are remembered: after an edit most blocks of a text are what they were.
    """
    key = _digest(pieces, style)
    if (cuts := _known.get(key)) is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        cuts = _known[key] = tuple(tuple(map(len, rows)) for rows in _cheapest(pieces, style))
    rest = iter(pieces)
    return [tuple(tuple(islice(rest, length)) for length in lengths) for lengths in cuts]


def _digest(pieces: Sequence[Piece], style: Style) -> bytes:
    """Return what identifies everything that cuts depend on."""
    said = "\x1f".join(piece.text for piece in pieces)  # no text has this character
    places = [number for piece in pieces for number in (piece.start, piece.end, piece.space, piece.weak)]
    found = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16)
    found.update(array("q", places).tobytes())
    found.update(msgspec.json.encode(style))
    return found.digest()


def _cheapest(pieces: Sequence[Piece], style: Style) -> list[Rows]:
    measures = Measures(pieces, style)
    count = len(pieces)
    best = [0.0] + [float("inf")] * count
    previous = [0] * (count + 1)
    for first in range(count):
        for after in range(first + 1, min(count, first + measures.widest) + 1):
            cost = measures.cost(first, after, best[after] - best[first])
            if cost is None:
                if measures.too_long(first, after):
                    break
                continue
            if best[first] + cost < best[after]:
                best[after], previous[after] = best[first] + cost, first
    cuts = [count]
    while cuts[-1]:
        cuts.append(previous[cuts[-1]])
    cuts.reverse()
    return [measures.rows(first, after) for first, after in pairwise(cuts)]


def rows_of(pieces: Sequence[Piece], style: Style) -> Rows:
    """Return the rows of pieces that are one cue. If they do not fit there are more rows than the style allows."""
    measures = Measures(pieces, style)
    rows = measures.rows(0, len(pieces))
    width = measures.width(0, len(pieces))
    return rows if len(rows) > 1 or width <= style.limit(width, measures.wide[-1]) else tuple(wrap(pieces, style))


class Measures:
    """Sums over the pieces of a block, so that the cost of a cue is found without its text."""

    def __init__(self, pieces: Sequence[Piece], style: Style) -> None:
        self.pieces = pieces
        self.style = style
        self.reach = [0, *accumulate(columns(piece.text) + piece.space for piece in pieces)]
        self.wide = [0, *accumulate(wide_columns(piece.text) for piece in pieces)]
        self.sentences = [0, *accumulate(ends_sentence(piece.text) for piece in pieces)]
        self.widest = max(style.line_columns, style.cjk_line_columns) * style.lines + 1
        follow = [*pieces[1:], None]
        self.break_cost = [_break_cost(piece, after) for piece, after in zip(pieces, follow, strict=True)]

    def width(self, first: int, after: int) -> int:
        """Return the columns of the pieces from `first` to before `after`, on one line."""
        return self.reach[after] - self.reach[first] - self.pieces[first].space

    def too_long(self, first: int, after: int) -> bool:
        """Return whether a cue from `first` to `after`, or further, can never fit."""
        return (
            self.width(first, after) > self.widest
            or self.pieces[after - 1].end - self.pieces[first].start > self.style.max_s * 1000
        )

    def cost(self, first: int, after: int, bound: float) -> float | None:
        """Return the cost of these pieces as one cue. None: they do not fit. A cost above `bound` may be too low."""
        style, pieces = self.style, self.pieces
        width, wide = self.width(first, after), self.wide[after] - self.wide[first]
        begin, end = pieces[first].start, pieces[after - 1].end
        cost = 1.0
        limit = width
        if after - first > 1:
            limit = style.limit(width, wide)
            if end - begin > style.max_s * 1000:
                return None
            if width > limit:
                if style.lines < 2 or width > 2 * limit + 1:
                    return None
                cost += 0.15
        last = after == len(pieces)
        if not last:
            cost += self.break_cost[after - 1]
        cost += 0.9 * (self.sentences[after - 1] - self.sentences[first])
        if width < 12 and not (first == 0 and last):
            cost += 0.8 * (12 - width) / 12
        shown_until = min(end + style.linger_s * 1000, begin + style.max_s * 1000)
        if not last:
            shown_until = min(shown_until, pieces[after].start - style.gap_s * 1000)
        shown = max(1.0, shown_until - begin) / 1000
        if shown < style.min_s:
            cost += 1.5 * (1 - shown / style.min_s)
        need = reading_s(width, wide, style)
        if need > shown:
            cost += min(3.0, 1.5 * (need / shown - 1))
        if width > limit and cost < bound:  # the slow part last, and only if it matters
            cut, break_cost = self.line_break(first, after, limit)
            return cost + 0.3 * break_cost if cut else None
        return cost

    def line_break(self, first: int, after: int, limit: int) -> tuple[int, float]:
        """Return where to break a cue into two lines, and the cost of that. 0: there is no place."""
        chosen, least = 0, float("inf")
        begin, end = self.reach[first] + self.pieces[first].space, self.reach[after]
        for cut in range(max(first + 1, bisect_left(self.reach, end - limit - 1, first, after)), after):
            upper = self.reach[cut] - begin
            if upper > limit:
                break
            lower = end - self.reach[cut] - self.pieces[cut].space
            if lower > limit:
                continue
            # A lower line that is a little longer than the upper line reads better than the reverse.
            uneven = (lower - upper if lower >= upper else 1.2 * (upper - lower)) / limit
            cost = uneven + 0.35 * self.break_cost[cut - 1]
            if cost < least:
                chosen, least = cut, cost
        return chosen, least

    def rows(self, first: int, after: int) -> Rows:
        """Return the pieces of a cue as one or two lines."""
        width = self.width(first, after)
        limit = self.style.limit(width, self.wide[after] - self.wide[first])
        cut = self.line_break(first, after, limit)[0] if width > limit and self.style.lines > 1 else 0
        if not cut:
            return (tuple(self.pieces[first:after]),)
        return tuple(self.pieces[first:cut]), tuple(self.pieces[cut:after])


def _break_cost(before: Piece, after: Piece | None) -> float:
    """Return the cost of a cut between two pieces: nothing after a sentence, most after an article."""
    if after is None or ends_sentence(before.text):
        return 0.0
    mark = before.text.rstrip(CLOSING)[-1:] or before.text[-1]
    # Chinese and Japanese write a space only between phrases, Korean between words.
    clause = mark in CLAUSE_END or (after.space and ideographic(before.text[-1]) and ideographic(after.text[0]))
    cost = 0.5 if clause else 3.5 if before.weak else 2.0
    if not clause and not after.space and not before.weak:
        cost += 0.3  # between characters that may be one word
    return max(0.2, cost - min(1.0, (after.start - before.end) / 500))


def wrap(pieces: Sequence[Piece], style: Style) -> Iterator[tuple[Piece, ...]]:
    """Fill one line after the other, as many as needed."""
    whole = line(pieces)
    limit = style.limit(columns(whole), wide_columns(whole))
    row: list[Piece] = []
    for piece in pieces:
        if row and columns(line([*row, piece])) > limit:
            yield tuple(row)
            row = []
        row.append(piece)
    yield tuple(row)
