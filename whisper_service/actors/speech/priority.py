"""Gives an urgent batch, for which a caller waits, a core of its own in the speech actor.

There are as many slots as cores. An express batch comes in addition to the slots, so with all slots at work it would
have to share a core. For every express batch one slot pauses before its next call of the model, but none with an urgent
batch. No core is idle for this, and no work is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PAUSE_S: Final = 10.0
"""The longest pause of a slot. Then its call goes on, so that no batch waits forever."""


class Priority:
    """The slots with urgent batches, and the pauses of the others. Thread-safe; a slot is known by its thread."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._changed = threading.Condition()
        self._urgent: dict[int, bool] = {}  # threads with an urgent batch; True: an express batch
        self._paused = 0

    @contextmanager
    def urgent(self, *, express: bool) -> Iterator[None]:
        """Let the work of this thread pause for no other. If the batch is `express`, one other thread pauses for it."""
        thread = threading.get_ident()
        with self._changed:
            self._urgent[thread] = express
        try:
            yield
        finally:
            with self._changed:
                del self._urgent[thread]
                self._changed.notify_all()

    def pause(self) -> None:
        """Pause this thread if an express batch needs its core. To be called before every call of the model."""
        with self._changed:
            if threading.get_ident() in self._urgent or self._paused >= self._express:
                return
            self._paused += 1
            try:
                self._changed.wait_for(lambda: self._paused > self._express, self._pause_s)
            finally:
                self._paused -= 1

    @property
    def _express(self) -> int:
        return sum(self._urgent.values())
