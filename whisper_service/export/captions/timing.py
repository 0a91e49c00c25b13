"""When each cue is shown: long enough to be read where there is room, and never beside another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from whisper_service.core.domain import Transcript
from whisper_service.core.text import columns, wide_columns
from whisper_service.export.captions.cuts import split, wrapped
from whisper_service.export.captions.pieces import Block, Piece, blocks, line
from whisper_service.export.captions.style import Style, reading_s

FLICKER_MS: Final = 300
"""A dark moment shorter than this, but longer than the least gap, only flickers: the cue before it stays."""


class Cue(NamedTuple):
    """Text on screen from `start` to `end` in milliseconds, `end > start`; every row has pieces and every piece has text."""

    start: int
    end: int
    rows: tuple[tuple[Piece, ...], ...]
    speaker: str | None = None
    gap: bool = False  # not speech: it tells of a stretch that could not be transcribed

    @property
    def lines(self) -> tuple[str, ...]:
        """The rows as text."""
        return tuple(line(row) for row in self.rows)


class Draft(NamedTuple):
    rows: tuple[tuple[Piece, ...], ...]
    block: Block


def cues(transcript: Transcript, style: Style | None = None) -> list[Cue]:
    """The captions of a transcript in the order of time; none overlaps another.

    Limits of length and width hold for all cues but those of one piece that breaks them by itself. A gap is a cue of its own as
    long as the gap, whatever `style` says of length.
    """
    style = style or Style()
    drafts: list[Draft] = []
    for block in blocks(transcript, style):
        if block.gap:
            drafts.append(Draft(tuple(wrapped(block.pieces, style)), block))
        else:
            drafts += (Draft(rows, block) for rows in split(block.pieces, style))
    return _timed(drafts, style)


def _timed(drafts: Sequence[Draft], style: Style) -> list[Cue]:
    """Show every cue long enough to be read where there is room, and keep the least gap to the next."""
    done: list[Cue] = []
    least, most, dark, linger = (round(s * 1000) for s in (style.min_s, style.max_s, style.gap_s, style.linger_s))
    free = 0
    for number, (rows, block) in enumerate(drafts):
        start = max(rows[0][0].start, free)
        following = drafts[number + 1].rows[0][0].start if number + 1 < len(drafts) else None
        if block.gap:
            end = max(start + 1, block.until)
        else:
            spoken = min(max(rows[-1][-1].end, start + 1), start + most)
            text = " ".join(line(row) for row in rows)
            need = round(reading_s(columns(text), wide_columns(text), style) * 1000)
            end = min(max(spoken, start + max(least, need)), spoken + linger, start + most)
            if following is not None and 0 <= following - dark - end < FLICKER_MS:
                end = min(following - dark, start + most)
        if following is not None:
            end = min(end, following - dark if following - dark > start else following)
        end = max(end, start + 1)
        free = end
        done.append(Cue(start, end, rows, block.speaker, block.gap))
    return done
