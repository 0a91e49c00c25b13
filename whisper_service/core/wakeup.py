"""Wake a task that waits for news."""

from __future__ import annotations

import anyio


class Wakeup:
    """An event that arms itself again after every wait, for one waiting task.

    The task looks for work, then waits. A `notify` during the search is not lost: the next wait returns at once.
    """

    def __init__(self) -> None:
        self.closed = False  # the task is to end
        self._event = anyio.Event()

    def notify(self) -> None:
        """Wake the task that waits, or let its next wait return at once."""
        self._event.set()

    def close(self) -> None:
        """Wake the task that waits, and let it end."""
        self.closed = True
        self.notify()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait until `notify` was called since the last wait, at most `timeout_s` seconds. None: no limit."""
        with anyio.move_on_after(timeout_s):
            await self._event.wait()
        self._event = anyio.Event()
