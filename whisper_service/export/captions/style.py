"""What readable captions are: the limits, and how long a text takes to read. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from whisper_service.core.domain import Value

Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Rate = Annotated[float, msgspec.Meta(ge=1, le=100)]
Columns = Annotated[int, msgspec.Meta(ge=8, le=500)]


class Style(Value, frozen=True, forbid_unknown_fields=True):
    """What readable means. The defaults are those of the large timed-text guides.

    A width is in columns: wide (Chinese, Japanese, Korean) characters take two, combining marks none. Text that is mostly wide
    has the limit `cjk_line_columns`, all other `line_columns`. Raises `ValueError` if `min_s` is more than `max_s`.
    """

    line_columns: Columns = 42
    cjk_line_columns: Columns = 32  # 16 characters
    lines: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    chars_per_s: Rate = 17.0
    cjk_chars_per_s: Rate = 9.0
    min_s: Seconds = 0.833  # 20 frames of film
    max_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)] = 7.0
    gap_s: Seconds = 0.083  # dark between two cues, or the eye misses the change: two frames of film
    pause_s: Seconds = 1.0  # a silence this long is never inside a cue
    linger_s: Seconds = 1.0  # how long a cue may stay after its last word

    def __post_init__(self) -> None:
        if self.min_s > self.max_s:
            raise ValueError("min_s is more than max_s")

    def limit(self, columns: int, wide: int) -> int:
        """The width of a line in a cue of `columns`, of which wide characters take `wide`."""
        return self.cjk_line_columns if wide * 2 > columns else self.line_columns


def reading_s(width: int, wide: int, style: Style) -> float:
    return (width - wide) / style.chars_per_s + wide / 2 / style.cjk_chars_per_s
