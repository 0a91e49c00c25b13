"""Define how captions look, and how long a text takes to read. Pure."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from whisper_service.core.domain import Value

Seconds = Annotated[float, Meta(ge=0, le=60)]
Rate = Annotated[float, Meta(ge=1, le=100)]
Columns = Annotated[int, Meta(ge=8, le=500)]


class Style(Value, frozen=True, forbid_unknown_fields=True):
    """How captions look. The defaults are those of the large timed-text guides; 0.833 s are 20 frames of film.

    Wide characters (Chinese, Japanese, Korean) take two columns, combining marks none. Raises `ValueError` if `min_s`
    is more than `max_s`.
    """

    line_columns: Annotated[Columns, Meta(description="Width of a caption line. Wide characters take two columns.")] = (
        42
    )
    cjk_line_columns: Annotated[
        Columns, Meta(description="Width of a line that is mostly Chinese, Japanese or Korean.")
    ] = 32
    lines: Annotated[int, Meta(ge=1, le=2, description="Lines of a caption.")] = 2
    chars_per_s: Annotated[Rate, Meta(description="Reading speed, in characters per second.")] = 17.0
    cjk_chars_per_s: Annotated[Rate, Meta(description="Reading speed of Chinese, Japanese and Korean.")] = 9.0
    min_s: Annotated[Seconds, Meta(description="Shortest time on screen, where there is room.")] = 0.833
    max_s: Annotated[float, Meta(ge=0.5, le=60, description="Longest time on screen.")] = 7.0
    gap_s: Annotated[Seconds, Meta(description="Dark time between two captions.")] = 0.083
    pause_s: Annotated[Seconds, Meta(description="A silence this long is never inside a caption.")] = 1.0
    linger_s: Annotated[Seconds, Meta(description="How long a caption may stay after its last word.")] = 1.0

    def __post_init__(self) -> None:
        if self.min_s > self.max_s:
            raise ValueError("min_s is more than max_s")

    def limit(self, columns: int, wide: int) -> int:
        """Return the columns of a line in a cue of `columns`, of which wide characters take `wide`."""
        return self.cjk_line_columns if wide * 2 > columns else self.line_columns


def reading_s(width: int, wide: int, style: Style) -> float:
    """Return the seconds that a text of `width` columns takes to read, of which wide characters take `wide`."""
    return (width - wide) / style.chars_per_s + wide / 2 / style.cjk_chars_per_s
