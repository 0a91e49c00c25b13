"""How many speech actors the waiting work is worth. Pure.

More are wanted at once, fewer only after some minutes in which fewer would have done, and only if they are clearly
fewer. So a queue that swings does not start and stop machines.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

DOWN_AFTER_S: Final = 300.0
"""Seconds that the work must be less: a machine of a cloud takes about as long to start and to load its model."""
CLEARLY_LESS: Final = 0.75
"""Below this part of what is wanted, less is wanted. A queue that swings by a fifth stays above it."""
AT_MOST: Final = 1_000
"""Seats where the configuration has no limit: what one service can feed is far less."""


class WantedSeats:
    """The wish for seats, from the sound that waits.

    `target_s`: the seconds within which all that waits now is to be recognised. `most`: seats at most, 0: `AT_MOST`.
    """

    def __init__(self, target_s: float, most: int) -> None:
        self._target_s = target_s
        self._most = most or AT_MOST
        self._speed = 0.0  # of a seat, the last that was known; 0: none was
        self._held = 0.0  # seats that are wanted, before rounding up
        self._recent: deque[tuple[float, float]] = deque()  # time and need, each need below the one before it

    def update(self, now: float, waiting_s: float, speed: float) -> int:
        """Return how many seats are wanted.

        `now`: seconds of a clock that is never set. `waiting_s`: seconds of sound without text. `speed`: seconds of
        sound that one seat recognises a second; 0: no seat was measured. As long as none ever was, one is wanted.
        """
        self._speed = speed or self._speed
        need = waiting_s / (self._target_s * self._speed) if self._speed else float(waiting_s > 0)
        while self._recent and self._recent[-1][1] <= need:
            self._recent.pop()
        self._recent.append((now, need))
        while self._recent[0][0] <= now - DOWN_AFTER_S:
            self._recent.popleft()
        most_recent = self._recent[0][1]
        if most_recent > self._held or most_recent < CLEARLY_LESS * self._held:
            self._held = most_recent
        return min(self._most, math.ceil(round(self._held, 6)))
