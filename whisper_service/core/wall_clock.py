"""Tell the time so that stored times always grow, even when the machine's clock is set back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.001
"""Seconds. The resolution of identifiers, which sort by time."""
BEHIND_S: Final = 2 * 3_600.0
"""A clock that is set back by more than this was wrong before. Then the new time is used as it is."""


class WallClock:
    """A clock in Unix seconds that never goes back.

    If the machine's clock is set back by an hour, times grow by `TICK_S` until it has caught up.
    """

    def __init__(self, last: float = 0.0, clock: Callable[[], float] | None = None) -> None:
        """Continue after `last`, the newest stored time."""
        self._last = last
        self._clock = clock or time.time

    def __call__(self) -> float:
        now = self._clock()
        if now <= self._last < now + BEHIND_S:
            now = self._last + TICK_S
        self._last = now
        return now
