"""How long a batch may take before its actor counts as hung: learnt from how long batches took. Pure.

A fixed limit would be too short for a slow machine, or far too long for a fast one.
"""

from __future__ import annotations

from typing import Final

from whisper_service.core.fallback import Rung

WINDOW_S: Final = 30.0
"""Seconds of sound in the window that a model warms up with."""
NEWEST: Final = 0.3
"""Weight of the last batch in the mean."""
MAX_EXTENSION: Final = 8.0
"""Deadlines that were missed again and again grow to at most this many times the limit."""


class Deadlines:
    """The deadlines of batches, from the seconds of work per second of sound of each model and rung."""

    def __init__(self, floor_s: float, factor: float) -> None:
        self._floor_s = floor_s
        self._factor = factor
        self._means: dict[tuple[str, Rung], float] = {}
        self._extension = 1.0

    def add_first(self, model: str, rung: Rung, window_s: float) -> None:
        """Add the seconds that a freshly loaded model took for its first window. Measured batches count instead."""
        self._means.setdefault((model, rung), window_s / WINDOW_S)

    def add(self, model: str, rung: Rung, seconds: float, audio_s: float) -> None:
        """Add the seconds of work and of sound of a finished batch."""
        self._extension = 1.0
        if audio_s > 0:
            mean, now = self._means.get((model, rung)), seconds / audio_s
            self._means[model, rung] = now if mean is None else mean + NEWEST * (now - mean)

    def extend(self) -> None:
        """Give the next batch twice the time, after a batch missed its deadline: the machine may just be slow."""
        self._extension = min(MAX_EXTENSION, 2 * self._extension)

    def expected_s(self, model: str, rung: Rung, audio_s: float) -> float:
        """Return how many seconds a batch with this much sound takes on average. 0: unknown."""
        return self._means.get((model, rung), 0.0) * audio_s

    def limit_s(self, model: str, rung: Rung, audio_s: float) -> float:
        """Return how many seconds a batch with this much sound may take."""
        return self._extension * (self._floor_s + self._factor * self.expected_s(model, rung, audio_s))
