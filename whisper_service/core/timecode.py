"""Write times as the export formats want them. Pure."""

from __future__ import annotations


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least 0."""
    return max(0, round(seconds * 1000))


def clock(milliseconds: int, point: str = ".") -> str:
    """Return `HH:MM:SS.mmm`. More than 99 hours take more digits."""
    return f"{hms(milliseconds)}{point}{milliseconds % 1000:03}"


def hms(milliseconds: int) -> str:
    """Return `HH:MM:SS`, rounded down."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"
