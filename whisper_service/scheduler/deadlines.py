"""How long a batch may take before its actor counts as hung: learnt from how long batches took. Pure.

A model is fast on one machine and slow on another, so a fixed limit is either reached by honest work or waited for in vain.
"""

from __future__ import annotations

from typing import Final

from whisper_service.core.fallback import Rung

WINDOW_S: Final = 30.0
"""Sound in the window that a model warms up with."""
NEWEST: Final = 0.3
"""Weight of the last batch in the mean."""
PATIENCE: Final = 8.0
"""At most this many times the limit, after it was missed again and again."""


class Deadlines:
    """Seconds of work per second of sound, for each model and rung."""

    def __init__(self, floor_s: float, factor: float) -> None:
        self._floor_s = floor_s
        self._factor = factor
        self._means: dict[tuple[str, Rung], float] = {}
        self._patience = 1.0

    def begin(self, model: str, rung: Rung, window_s: float) -> None:
        """The model is loaded; what its first window took stands for what is not known yet."""
        self._means.setdefault((model, rung), window_s / WINDOW_S)

    def measured(self, model: str, rung: Rung, seconds: float, audio_s: float) -> None:
        """A batch is done."""
        self._patience = 1.0
        if audio_s > 0:
            mean, now = self._means.get((model, rung)), seconds / audio_s
            self._means[model, rung] = now if mean is None else mean + NEWEST * (now - mean)

    def missed(self) -> None:
        """A batch took longer than it might. Perhaps the machine is slow: the next one gets twice the time."""
        self._patience = min(PATIENCE, 2 * self._patience)

    def limit_s(self, model: str, rung: Rung, audio_s: float) -> float:
        """How long a batch with this much sound may take."""
        return self._patience * (self._floor_s + self._factor * self._means.get((model, rung), 0.0) * audio_s)
