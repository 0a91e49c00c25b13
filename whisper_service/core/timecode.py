"""Times as the formats write them."""

from __future__ import annotations


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, not before the beginning."""
    return max(0, round(seconds * 1000))


def clock(milliseconds: int, point: str = ".") -> str:
    """`HH:MM:SS` and milliseconds; hours take more digits when they need them, and do not turn into days."""
    return f"{hms(milliseconds)}{point}{milliseconds % 1000:03}"


def hms(milliseconds: int) -> str:
    """`HH:MM:SS`, rounded down."""
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"
