"""Say what is wrong with a cue for its readers. Pure. The page has the same rules, for edits that are not stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from whisper_service.core.text import columns, wide_columns
from whisper_service.export.captions.style import Style, reading_s


class CueProblem(StrEnum):
    """Why a cue reads badly."""

    TOO_FAST = "too_fast"  # its text takes longer to read than the cue is shown
    TOO_LONG = "too_long"  # a row is wider than the style allows
    TOO_MANY_ROWS = "too_many_rows"
    TOO_SHORT = "too_short"  # it is shown for less than the shortest time
    OVERLAPS = "overlaps"  # the next cue begins before it ends


def problems(rows: Sequence[str], start: int, end: int, after: int | None, style: Style) -> Iterator[CueProblem]:
    """Yield what is wrong with the rows of a cue that is shown from `start` to `end`, in milliseconds.

    `after`: when the next cue begins. None: there is none.
    """
    text = " ".join(rows)
    width, wide = columns(text), wide_columns(text)
    if round(reading_s(width, wide, style) * 1000) > end - start:
        yield CueProblem.TOO_FAST
    limit = style.limit(width, wide)
    if any(columns(row) > limit for row in rows):
        yield CueProblem.TOO_LONG
    if len(rows) > style.lines:
        yield CueProblem.TOO_MANY_ROWS
    if end - start < round(style.min_s * 1000):
        yield CueProblem.TOO_SHORT
    if after is not None and after < end:
        yield CueProblem.OVERLAPS


def characters_per_s(rows: Sequence[str], start: int, end: int) -> float:
    """Return how many characters are read in a second. A wide character counts as one, though it takes two columns."""
    text = " ".join(rows)
    return (columns(text) - wide_columns(text) / 2) / (end - start) * 1000
