"""Fan-out of the change log: one shared ring, one cursor per subscriber, the store for those who lag behind.

Publishing never waits and costs nothing per subscriber. Whoever is slow reads older changes from the store, so that no
event is lost, none is repeated, and a stalled client holds no memory here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint

from whisper_service.core.domain import Change


class Closed(Exception):
    """The service is going down; there will be no more changes."""


class Pruned(Exception):
    """Changes between the cursor and the present are gone from the log: start again from a snapshot."""


class History(Protocol):
    """Where older changes are read."""

    async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]: ...

    async def bounds(self) -> tuple[int, int]: ...


class ChangeFeed:
    """The live end of the change log. `publish` is called by the one writer only, after the commit, in order of `seq`."""

    def __init__(self, history: History, head: int, *, capacity: int = 4096) -> None:
        self.head = head
        self.subscribers = 0
        self.history = history
        self._capacity = capacity
        self._ring: list[Change] = []
        self._bell = _Wakeup()
        self._beats = 0
        self._slice: tuple[int, int, Sequence[Change]] = (
            head,
            head,
            (),
        )  # since, head, what lies between: most ask for the same
        self._closed = False

    def publish(self, changes: Sequence[Change]) -> None:
        """Make these visible and wake every subscriber."""
        if not changes:
            return
        self._ring.extend(changes)
        if len(self._ring) >= 2 * self._capacity:  # trimmed by halves: constant time per change
            del self._ring[: -self._capacity]
        self.head = changes[-1].seq
        self._wake()

    async def beat(self, every_s: float) -> None:
        """Until the end, wake those who `listen` now and then, so that they tell their clients that they live. One timer does for
        all of them: with one for each, the timers were the largest part of what a delivery costs."""
        with suppress(Closed):
            while True:
                with anyio.move_on_after(every_s):
                    await self.closed()
                self._beats += 1
                self._wake()

    def close(self) -> None:
        """End every stream: each `read` raises `Closed`, now and later."""
        self._closed = True
        self._wake()

    def cursor(self, since: int, job_id: str | None = None) -> Cursor:
        """A subscriber that has seen everything up to `since`; with `job_id` it gets that job's changes only."""
        return Cursor(self, since, job_id)

    @contextmanager
    def subscribe(self, since: int, job_id: str | None = None) -> Iterator[Cursor]:
        """A cursor of somebody who stays: inside the block it counts among the `subscribers`."""
        self.subscribers += 1
        try:
            yield self.cursor(since, job_id)
        finally:
            self.subscribers -= 1

    async def reached(self, seq: int) -> None:
        """Wait until this much was published. Raises `Closed`."""
        while self.head < seq and not self._closed:
            await self._wait()
        if self._closed:
            raise Closed

    async def closed(self) -> None:
        """Wait for the end. Raises `Closed`."""
        await self.reached(sys.maxsize)

    def _wake(self) -> None:
        self._bell.ring()

    async def _wait(self) -> None:
        await self._bell.wait()

    def _recent(self, since: int) -> Sequence[Change] | None:
        """What the ring holds after `since`; None if it no longer reaches back that far. The same object for the same answer."""
        if since >= self.head:
            return ()
        if self._slice[:2] == (since, self.head):
            return self._slice[2]
        ring = self._ring
        if not ring or ring[0].seq > since + 1:
            return None
        low, high = 0, len(ring)
        while low < high:  # seq grows, but need not be dense
            middle = (low + high) // 2
            low, high = (middle + 1, high) if ring[middle].seq <= since else (low, middle)
        recent = tuple(islice(ring, low, None))
        self._slice = (since, self.head, recent)
        return recent


class _Wakeup:
    """Wakes all who wait. An event does the same, and is a tenth of what a delivery costs: it asks for the running loop for each
    that waits, which is a system call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Until the next time it rings."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        woken = self._loop.create_future()
        self._waiting.append(woken)
        await woken

    def ring(self) -> None:
        """Wake them."""
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            if not woken.done():  # else it was cancelled
                woken.set_result(None)


class Cursor:
    """One subscriber's place in the log."""

    def __init__(self, broadcast: ChangeFeed, since: int, job_id: str | None) -> None:
        self.seq = since
        self.job_id = job_id
        self._broadcast = broadcast
        self._beats = broadcast._beats

    async def read(self) -> Sequence[Change]:
        """The next changes, at least one. Nothing is lost if it is cancelled. Raises `Closed` or `Pruned`."""
        while not (changes := await self.listen()):
            pass
        return changes

    async def listen(self) -> Sequence[Change]:
        """The same, or none: nothing happened since the last beat."""
        source = self._broadcast
        waited = False
        while not source._closed:
            changes = source._recent(self.seq)
            if changes is None:
                changes = await self._catch_up(source.history)
            elif not changes:
                if self._beats != source._beats:
                    self._beats = source._beats
                    return ()
                await source._wait()
                waited = True
                continue
            elif not waited:  # others want to live too, and a client that is gone be noticed
                await checkpoint()
            self._beats = source._beats
            self.seq = changes[-1].seq if changes else self.seq
            wanted = changes if self.job_id is None else [c for c in changes if c.job_id == self.job_id]
            if wanted:
                return wanted
        raise Closed

    async def _catch_up(self, history: History) -> Sequence[Change]:
        """A page from the store. A filtered read may find nothing: then everything up to the head was another job's.

        What is committed but not published yet is left for later: a cursor ahead of the head would be given it twice.
        """
        head = self._broadcast.head
        changes = [change for change in await history.changes(self.seq, job_id=self.job_id) if change.seq <= head]
        pruned, _ = await history.bounds()  # read last: what is pruned between the two must not look like nothing
        if self.seq < pruned:
            raise Pruned
        if not changes:
            self.seq = max(self.seq, head)
        return changes
