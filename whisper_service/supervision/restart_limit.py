"""When to stop starting a child that dies again and again, and when to try it once more. Pure.

Restart intensity as in Erlang's supervisors: so many deaths within a window, with nothing useful between, open the breaker. It is
closed by anything useful and by whoever asks; until then one child is tried now and then.
"""

from __future__ import annotations

from whisper_service.core.domain import Value


class RestartPolicy(Value, frozen=True):
    """How much dying is too much."""

    max_restarts: int = 8
    window_s: float = 120.0
    probe_s: float = 180.0  # between two attempts while it is open


class RestartLimit:
    """For one child. `now` is on any clock that does not jump."""

    def __init__(self, intensity: RestartPolicy) -> None:
        self.open = False
        self.intensity = intensity
        self._deaths: list[float] = []

    def died(self, now: float) -> None:
        """The child is gone; an attempt that fails leaves the breaker open."""
        self._deaths = [at for at in self._deaths if now - at < self.intensity.window_s] + [now]
        self.open = self.open or len(self._deaths) >= self.intensity.max_restarts

    def close(self) -> None:
        """The child did something useful, or somebody says that the cause is gone."""
        self.open = False
        self._deaths.clear()
