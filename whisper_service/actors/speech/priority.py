"""Who goes first in the speech actor: a batch that somebody waits for has a core to itself.

Slots are as many as there are cores, and such a batch may come beside them: with all of them at work it would have to share. So
for every one that does, one slot pauses, at its next call of the model: one whose batch nobody waits for. No core is idle for
that, and no work is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PAUSE_S: Final = 10.0
"""How long a slot pauses at most, then it makes its call all the same: who waits for ever is no better off."""


class Priority:
    """See the module. Thread-safe; threads are told apart by who they are."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self._changed = threading.Condition()
        self._first: dict[int, bool] = {}  # threads with a batch that somebody waits for; True: beside the slots
        self._paused = 0

    @contextmanager
    def first(self, *, beside: bool) -> Iterator[None]:
        """What this thread does in here pauses for nobody, and the work of others for it if it is `beside` the slots."""
        me = threading.get_ident()
        with self._changed:
            self._first[me] = beside
        try:
            yield
        finally:
            with self._changed:
                del self._first[me]
                self._changed.notify_all()

    def give_way(self) -> None:
        """Pause, if it is this thread's turn to; to be called before every call of the model."""
        with self._changed:
            if threading.get_ident() in self._first or self._paused >= self._beside:
                return
            self._paused += 1
            try:
                self._changed.wait_for(lambda: self._paused > self._beside, self._pause_s)
            finally:
                self._paused -= 1

    @property
    def _beside(self) -> int:
        return sum(self._first.values())
