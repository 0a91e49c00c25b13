"""The range of a recording that is transcribed: all of it, or from one time to another."""

from __future__ import annotations

from typing import Final

from whisper_service.actors.media.resampler import SoundBlock
from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.core.errors import ServiceError

LEAST_S: Final = 0.1
"""Less sound holds no word."""


class BeginsTooLate(ServiceError):
    """The recording ends before the range begins that is to be transcribed."""

    hint = "Choose times inside the recording."


class TimeRange:
    """Cuts blocks that come in order. `samples` counts those inside so far.

    `begin_s` and `end_s` are on the recording's own clock, on which its first sample is at `start_s`. None: its end.
    """

    def __init__(self, begin_s: float, end_s: float | None, start_s: float) -> None:
        self._begin_s, self._end_s = begin_s, end_s
        self._first = max(0, round((begin_s - start_s) * SAMPLE_RATE))
        self._end = None if end_s is None else max(0, round((end_s - start_s) * SAMPLE_RATE))
        self._seen = 0
        self.start_s = max(start_s, begin_s)
        """The time of the first sample inside."""
        self.samples = 0

    def length_s(self, duration_s: float | None) -> float | None:
        """Return how long the range is in a recording that ends at `duration_s`. None: unknown."""
        ends = [end for end in (duration_s, self._end_s) if end is not None]
        return max(0.0, min(ends) - self.start_s) if ends else None

    @property
    def is_over(self) -> bool:
        """Whether no later block has a sample inside."""
        return self._end is not None and self._seen >= self._end

    def inside(self, block: SoundBlock) -> SoundBlock:
        """Return the samples of the next block that are inside, perhaps none."""
        size, seen = len(block.mono), self._seen
        self._seen += size
        first, end = max(0, self._first - seen), size if self._end is None else min(size, self._end - seen)
        if first or end < size:
            block = SoundBlock(block.mono[first : max(first, end)], block.channels[:, first : max(first, end)])
        self.samples += len(block.mono)
        return block

    def check(self) -> None:
        """Raise `BeginsTooLate` if the recording is over and next to nothing of it was inside."""
        if self._first and self.samples < LEAST_S * SAMPLE_RATE:
            raise BeginsTooLate(begin_s=self._begin_s, seconds=round(self._seen / SAMPLE_RATE, 3))
