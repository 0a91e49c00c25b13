"""Decide when each cue is shown. Pure, and always the same for the same words.

Every cue has its words in their order, and none is left out. A cue stays as long as it takes to read, if there is room.
Speech that is faster than the reading speed is shown as long as there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from whisper_service.core.domain import Transcript
from whisper_service.core.text import columns, wide_columns
from whisper_service.export.captions.cuts import split, wrap
from whisper_service.export.captions.pieces import Block, Piece, blocks, line
from whisper_service.export.captions.style import Style, reading_s

FLICKER_MS: Final = 300
"""A dark moment shorter than this only flickers. The cue before it stays until the shortest allowed gap."""


class Cue(NamedTuple):
    """A caption on screen from `start` to `end` in milliseconds, `end > start`. No row and no piece is empty."""

    start: int
    end: int
    rows: tuple[tuple[Piece, ...], ...]
    speaker: str | None = None
    gap: bool = False  # the cue says that a stretch could not be transcribed

    @property
    def lines(self) -> tuple[str, ...]:
        """The rows as text."""
        return tuple(line(row) for row in self.rows)


class Draft(NamedTuple):
    """A cue without its times."""

    rows: tuple[tuple[Piece, ...], ...]
    block: Block


def cues(transcript: Transcript, style: Style | None = None, *, named: bool = False) -> list[Cue]:
    """Return the captions of a transcript in the order of time. None overlaps another.

    Only a cue of one piece may break the limits of length and width. A gap is a cue of its own, as long as the gap.
    With `named`, the text of a speaker begins with the name where another one spoke before.
    """
    style = style or Style()
    drafts: list[Draft] = []
    for block in blocks(transcript, style, named=named):
        if block.gap:
            drafts.append(Draft(tuple(wrap(block.pieces, style)), block))
        else:
            drafts += (Draft(rows, block) for rows in split(block.pieces, style))
    return _with_times(drafts, style)


def _with_times(drafts: Sequence[Draft], style: Style) -> list[Cue]:
    """Show every cue long enough to be read where there is room, and keep the shortest gap before the next."""
    done: list[Cue] = []
    shortest, longest, gap, linger = (round(s * 1000) for s in (style.min_s, style.max_s, style.gap_s, style.linger_s))
    free = 0
    for number, (rows, block) in enumerate(drafts):
        start = max(rows[0][0].start, free)
        following = drafts[number + 1].rows[0][0].start if number + 1 < len(drafts) else None
        if block.gap:
            end = max(start + 1, block.until)
        else:
            spoken = min(max(rows[-1][-1].end, start + 1), start + longest)
            text = " ".join(line(row) for row in rows)
            need = round(reading_s(columns(text), wide_columns(text), style) * 1000)
            end = min(max(spoken, start + max(shortest, need)), spoken + linger, start + longest)
            if following is not None and 0 <= following - gap - end < FLICKER_MS:
                end = min(following - gap, start + longest)
        if following is not None:
            end = min(end, following - gap if following - gap > start else following)
        end = max(end, start + 1)
        free = end
        done.append(Cue(start, end, rows, block.speaker, block.gap))
    return done
