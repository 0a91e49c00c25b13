"""The time of day as it is written down: it never stands still and does not go back, though the machine's clock may be set."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.001
"""Resolution of identifiers, which sort by time."""
BEHIND_S: Final = 2 * 3_600.0
"""A clock that was set back by more than this was wrong before, and what was written down then is not gone on with."""


class WallClock:
    """Unix seconds. Order survives a clock that is set back by an hour; until it has caught up, times are a little late."""

    def __init__(self, last: float = 0.0, clock: Callable[[], float] | None = None) -> None:
        """`last` is the newest time that was written down before."""
        self._last = last
        self._clock = clock or time.time

    def __call__(self) -> float:
        now = self._clock()
        if now <= self._last < now + BEHIND_S:
            now = self._last + TICK_S
        self._last = now
        return now
