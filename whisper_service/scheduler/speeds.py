"""How fast a seat works with its present model, to compare seats and to find batches that take too long. Pure."""

from __future__ import annotations

from typing import Final

NEWEST: Final = 0.3
"""Weight of the last batch in the mean, as for deadlines."""
WINDOW_S: Final = 30.0
"""Seconds of sound in the window that a model warms up with."""


class SeatSpeed:
    """The speed of a seat: seconds of sound a second, with all slots at work. 0: unknown.

    Only batches that are at least half full count: on a GPU, a chunk alone takes nearly as long as many together.
    """

    def __init__(self) -> None:
        self.window_s = 0.0  # what the first window took; it compares seats before any batch is done
        self._mean_s = 0.0  # of work in one slot for a second of sound

    def start(self, window_s: float) -> None:
        """Forget what was measured: a model was loaded, whose first window took `window_s`."""
        self.window_s, self._mean_s = window_s, 0.0

    def add(self, seconds: float, audio_s: float, *, chunks: int, full: int) -> None:
        """Add the seconds of work and of sound of a batch of `chunks`, where a full one has `full`."""
        if audio_s > 0 and seconds > 0 and 2 * chunks >= full:
            now = seconds / audio_s
            self._mean_s = now if not self._mean_s else self._mean_s + NEWEST * (now - self._mean_s)

    def measured(self, slots: int) -> float:
        """Return the speed of `slots` slots by finished batches. 0: no batch counted so far."""
        return slots / self._mean_s if self._mean_s else 0.0

    def guessed(self, slots: int) -> float:
        """Return the speed of `slots` slots by the first window. It only compares seats. 0: unknown."""
        return slots * WINDOW_S / self.window_s if self.window_s > 0 else 0.0
