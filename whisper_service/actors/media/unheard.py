"""The sound that no chunk covers: where a recording is clearly louder than its quietest parts, but has no speech."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from whisper_service.core.domain import SAMPLE_RATE, Problem, Span

BLOCK_S: Final = 0.5
"""The length of a measurement: a block of the decoder."""
ABOVE_DB: Final = 15.0
"""Louder than the room by this much is sound. Speech in a meeting room is 20 to 40 dB above it."""
QUIETEST_DB: Final = -55.0
"""Below this level relative to full scale, nothing counts as sound."""
ROOM_SHARE: Final = 0.1
"""The share of the recording that is taken for the room alone."""
LEAST_S: Final = 3.0
"""Shorter sounds are doors and coughs."""
JOINED_S: Final = 1.0
"""Sounds with less quiet between them are one."""


class Unheard:
    """The levels of one recording, block by block."""

    def __init__(self) -> None:
        self._levels = array("f")  # dB relative to full scale

    def feed(self, block: npt.NDArray[np.int16]) -> None:
        """Take the next block of `BLOCK_S`; only the last may be shorter."""
        power = float(np.mean(np.square(block, dtype=np.float64))) if len(block) else 0.0
        self._levels.append(10 * math.log10(max(power / 32_768**2, 1e-10)))

    def stretches(self, spans: list[Span]) -> Iterator[tuple[float, float]]:
        """Yield begin and end of sound outside of these chunks, in seconds from the first sample."""
        levels = np.array(self._levels)
        if not len(levels):
            return
        room = np.quantile(levels, ROOM_SHARE)
        loud = levels > max(room + ABOVE_DB, QUIETEST_DB)
        for span in spans:
            begin, end = span.start_sample / SAMPLE_RATE, (span.start_sample + span.samples) / SAMPLE_RATE
            loud[int(begin / BLOCK_S) : math.ceil(end / BLOCK_S)] = False
        start = end = -JOINED_S * 2
        for at in np.flatnonzero(loud) * BLOCK_S:
            if at - end >= JOINED_S:
                if end - start >= LEAST_S:
                    yield start, end
                start = float(at)
            end = float(at) + BLOCK_S
        if end - start >= LEAST_S:
            yield start, end

    def remark(self, spans: list[Span], offset_s: float) -> Problem | None:
        """Return the remark on the sound outside of these chunks. `offset_s`: the time of the first sample."""
        found = [(offset_s + begin, offset_s + end) for begin, end in self.stretches(spans)]
        if not found:
            return None
        total = sum(end - begin for begin, end in found)
        begin, end = max(found, key=lambda stretch: stretch[1] - stretch[0])
        others = f"{len(found) - 1} other place{'s' if len(found) > 2 else ''}"
        return Problem(
            code="unheard",
            message=f"Sound without recognised speech from {begin:.0f} to {end:.0f} seconds"
            + (f", and in {others}: {total:.0f} seconds in all." if len(found) > 1 else "."),
            hint="Music and noise have no text. If somebody speaks there, send that part alone, or made louder.",
            params={"seconds": round(total, 1), "at_s": round(begin, 1), "end_s": round(end, 1), "places": len(found)},
        )
