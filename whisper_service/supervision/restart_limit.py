"""Decide when an actor that dies again and again is no longer started. Pure.

The rule is that of Erlang's supervisors: the limit is reached after so many deaths within a window of time, with
nothing useful between them. A useful result or a user's request resets it. Until then the actor starts only rarely.
"""

from __future__ import annotations

from whisper_service.config.schema import SupervisionSettings


class RestartLimit:
    """The limit of one actor. Times are of any clock that does not jump."""

    def __init__(self, limits: SupervisionSettings) -> None:
        self.reached = False
        self._limits = limits
        self._deaths: list[float] = []

    def count_death(self, now: float) -> None:
        """Count a death. Once reached, the limit stays reached."""
        self._deaths = [at for at in self._deaths if now - at < self._limits.restart_window_s] + [now]
        self.reached = self.reached or len(self._deaths) >= self._limits.max_restarts

    def reset(self) -> None:
        """Start to count anew."""
        self.reached = False
        self._deaths.clear()
