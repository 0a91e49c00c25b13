"""Decide when each cue is shown. Pure, and always the same for the same words.

Every cue has its words in their order, and none is left out. A cue stays as long as it takes to read, if there is room.
Speech that is faster than the reading speed is shown as long as there is room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from whisper_service.core.domain import Transcript
from whisper_service.core.text import columns, wide_columns
from whisper_service.export.captions.cuts import rows_of, split, wrap
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
    held: bool = False  # people set its times

    @property
    def lines(self) -> tuple[str, ...]:
        """The rows as text."""
        return tuple(line(row) for row in self.rows)


class Draft(NamedTuple):
    """A cue without its times."""

    rows: tuple[tuple[Piece, ...], ...]
    block: Block

    @property
    def start(self) -> int:
        """When it is spoken, or shown if people said so, in milliseconds."""
        return self.rows[0][0].start if self.block.held is None else self.block.held[0]


def cues(transcript: Transcript, style: Style | None = None, *, named: bool = False) -> list[Cue]:
    """Return the captions of a transcript in the order of time.

    Only a cue of one piece may break the limits of length and width. A gap is a cue of its own, as long as the gap.
    A segment that people timed is a cue of its own with exactly its times. Other cues make room for it. Where no room
    is left they overlap it. Cues that nobody timed do not overlap each other.

    With `named`, the text of a speaker begins with the name where another one spoke before.
    """
    style = style or Style()
    drafts: list[Draft] = []
    for block in blocks(transcript, style, named=named):
        if block.gap:
            drafts.append(Draft(tuple(wrap(block.pieces, style)), block))
        elif block.held is not None:
            drafts.append(Draft(rows_of(block.pieces, style), block))
        else:
            drafts += (Draft(rows, block) for rows in split(block.pieces, style))
    return _with_times(drafts, style)


def _with_times(drafts: Sequence[Draft], style: Style) -> list[Cue]:
    """Show every cue long enough to be read where there is room, and keep the shortest gap before the next."""
    done: list[Cue] = []
    shortest = round(style.min_s * 1000)
    free = taken = 0  # until when a cue is shown, and until when one is that people timed
    for draft, after in zip(drafts, [*drafts[1:], None], strict=False):
        rows, block = draft
        if block.held is not None:
            start = block.held[0]
            end = max(block.held[1], start + 1)
            taken = max(taken, end)
        else:
            start = max(draft.start, free)
            if start == taken and _last(draft) - start < shortest:
                start = draft.start  # what people timed leaves no room: both are shown
            end = _end(draft, start, after, style)
        free = max(free, end)
        done.append(Cue(start, end, rows, block.speaker, block.gap, block.held is not None))
    return sorted(done, key=lambda cue: cue.start)


def _last(draft: Draft) -> int:
    """Return when the last word of a cue ends, or its gap."""
    return draft.block.until if draft.block.gap else draft.rows[-1][-1].end


def _end(draft: Draft, start: int, after: Draft | None, style: Style) -> int:
    """Return until when a cue is shown that nobody timed, in milliseconds."""
    longest, gap = round(style.max_s * 1000), round(style.gap_s * 1000)
    if draft.block.gap:
        end = max(start + 1, draft.block.until)
    else:
        spoken = min(max(_last(draft), start + 1), start + longest)
        need = max(round(style.min_s * 1000), reading_ms(draft.rows, style))
        end = min(max(spoken, start + need), spoken + round(style.linger_s * 1000), start + longest)
        if after is not None and 0 <= after.start - gap - end < FLICKER_MS:
            end = min(after.start - gap, start + longest)
    if after is not None and (after.start > start or after.block.held is None):
        end = min(end, after.start - gap if after.start - gap > start else after.start)
    return max(end, start + 1)


def reading_ms(rows: Iterable[Sequence[Piece]], style: Style) -> int:
    """Return how long the rows of a cue take to read, in milliseconds."""
    text = " ".join(line(row) for row in rows)
    return round(reading_s(columns(text), wide_columns(text), style) * 1000)
