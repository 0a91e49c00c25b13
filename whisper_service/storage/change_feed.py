"""Publish the change log inside the service: one shared ring of recent changes, and one cursor per subscriber.

Publishing never waits, and its cost does not depend on the number of subscribers. A slow subscriber reads older changes
from the store. So no change is lost or repeated, and a stalled client holds no memory here. Subscribers that follow all
jobs are woken in beats: what a busy service publishes in the meantime costs each of them one delivery.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final, Protocol

import anyio
from anyio.lowlevel import checkpoint

from whisper_service.core.domain import Change

BEAT_S: Final = 0.25
"""Seconds between two deliveries to a subscriber that follows all jobs. The first change after a rest comes at once."""


class Closed(Exception):
    """The service is stopping. No more changes come."""


class Pruned(Exception):
    """Changes after the cursor were pruned from the log. The subscriber must begin again with a snapshot."""


class History(Protocol):
    """The store of older changes."""

    async def changes(self, since: int, *, job_id: str | None = None, limit: int = 500) -> list[Change]: ...

    async def bounds(self) -> tuple[int, int]: ...


class ChangeFeed:
    """The newest part of the change log. Only the one writer calls `publish`, after the commit, in order of `seq`."""

    def __init__(self, history: History, head: int, *, capacity: int = 4096) -> None:
        self.head = head
        self.subscribers = 0
        self.history = history
        self._capacity = capacity
        self._ring: list[Change] = []
        self._waiters = _Waiters()
        self._beats = _Beats(head)
        self._heartbeats = 0
        self._last: tuple[int, int, Sequence[Change]] = (head, head, ())  # since, head and the answer of `_recent`
        self._closed = False

    def publish(self, changes: Sequence[Change]) -> None:
        """Make the changes visible and wake every subscriber."""
        if not changes:
            return
        self._ring.extend(changes)
        if len(self._ring) >= 2 * self._capacity:  # cut by half, so that a change costs constant time
            del self._ring[: -self._capacity]
        self.head = changes[-1].seq
        self._waiters.wake()
        self._beats.advance(self.head)

    async def run_heartbeat(self, every_s: float) -> None:
        """Wake the subscribers that `listen` every `every_s` seconds, until the feed is closed.

        They then tell their clients that the connection lives. One timer serves all: a timer for each subscriber was
        the largest part of what a delivery costs.
        """
        with suppress(Closed):
            while True:
                with anyio.move_on_after(every_s):
                    await self.wait_closed()
                self._heartbeats += 1
                self._waiters.wake()
                self._beats.waiters.wake()

    def close(self) -> None:
        """End every stream: each `read` raises `Closed`, now and later."""
        self._closed = True
        self._waiters.wake()
        self._beats.close()

    def cursor(self, since: int, job_id: str | None = None, *, in_beats: bool = False) -> Cursor:
        """Return a cursor after the change `since`. `job_id`: only for changes of that job. `in_beats`: not each."""
        return Cursor(self, since, job_id, in_beats=in_beats)

    @contextmanager
    def subscribe(self, since: int, job_id: str | None = None, *, in_beats: bool = False) -> Iterator[Cursor]:
        """Give a cursor that counts among the `subscribers` inside the block."""
        self.subscribers += 1
        try:
            yield self.cursor(since, job_id, in_beats=in_beats)
        finally:
            self.subscribers -= 1

    async def wait_for(self, seq: int) -> None:
        """Wait until change `seq` is published. Raises `Closed`."""
        while self.head < seq and not self._closed:
            await self._waiters.wait()
        if self._closed:
            raise Closed

    async def wait_closed(self) -> None:
        """Wait until the feed is closed, then raise `Closed`."""
        await self.wait_for(sys.maxsize)

    def _recent(self, since: int, *, in_beats: bool) -> Sequence[Change] | None:
        """Return the changes after `since`, up to the last beat or to the newest. None: the ring begins later.

        Subscribers at the same place get the same object, because most of them ask for the same changes.
        """
        head = self._beats.head if in_beats else self.head
        if since >= head:
            return ()
        if self._last[:2] == (since, head):
            return self._last[2]
        ring = self._ring
        if not ring or ring[0].seq > since + 1:
            return None
        # `seq` grows, but may skip numbers
        first, last = (bisect_right(ring, seq, key=lambda change: change.seq) for seq in (since, head))
        recent = tuple(islice(ring, first, last))
        self._last = (since, head, recent)
        return recent


class _Waiters:
    """The subscribers that wait.

    An event does the same, but costs a tenth of a delivery: it asks for the running loop for each waiting task, which
    is a system call.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait until the next `wake`."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        woken = self._loop.create_future()
        self._waiting.append(woken)
        await woken

    def wake(self) -> None:
        """Wake every waiting task."""
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            if not woken.done():  # a cancelled task has ended its own
                woken.set_result(None)


class _Beats:
    """Wakes waiting subscribers at the first change after a rest, and then every `BEAT_S` while changes come."""

    def __init__(self, head: int) -> None:
        self.head = head  # of the log at the last beat
        self.waiters = _Waiters()
        self._newest = head
        self._next: asyncio.TimerHandle | None = None  # None: the last beat is long ago

    def advance(self, head: int) -> None:
        """Take in that the log has grown."""
        self._newest = head
        if self._next is None:
            self._beat()

    def close(self) -> None:
        """Wake everybody for the last time."""
        if self._next is not None:
            self._next.cancel()
        self.waiters.wake()

    def _beat(self) -> None:
        self._next = None
        if self.head != self._newest:
            self.head = self._newest
            self.waiters.wake()
            self._next = asyncio.get_running_loop().call_later(BEAT_S, self._beat)


class Cursor:
    """The place of one subscriber in the log."""

    def __init__(self, feed: ChangeFeed, since: int, job_id: str | None, *, in_beats: bool) -> None:
        self.seq = since
        self.job_id = job_id
        self._feed = feed
        self._in_beats = False  # what it has missed comes at once
        self._waiters = feed._beats.waiters if in_beats else feed._waiters
        self._heartbeats = feed._heartbeats

    async def read(self) -> Sequence[Change]:
        """Wait for the next changes, at least one. A cancelled call loses none. Raises `Closed` or `Pruned`."""
        while not (changes := await self.listen()):
            pass
        return changes

    async def listen(self) -> Sequence[Change]:
        """Wait for the next changes and return them, or nothing after a heartbeat without changes. Raises as `read`."""
        feed = self._feed
        waited = False
        while not feed._closed:
            changes = feed._recent(self.seq, in_beats=self._in_beats)
            if changes is None:
                changes = await self._older()
            elif not changes:
                if self._heartbeats != feed._heartbeats:
                    self._heartbeats = feed._heartbeats
                    return ()
                await self._waiters.wait()
                self._in_beats = self._waiters is feed._beats.waiters
                waited = True
                continue
            elif not waited:  # let other tasks run, and let this one be cancelled when its client is gone
                await checkpoint()
            self._heartbeats = feed._heartbeats
            self.seq = changes[-1].seq if changes else self.seq
            wanted = changes if self.job_id is None else [c for c in changes if c.job_id == self.job_id]
            if wanted:
                return wanted
        raise Closed

    async def _older(self) -> Sequence[Change]:
        """Return some changes from the store. None of one job: all changes up to the head are of other jobs.

        A change that is committed but not published yet is left out, or the cursor would get it twice.
        """
        head = self._feed.head
        changes = [c for c in await self._feed.history.changes(self.seq, job_id=self.job_id) if c.seq <= head]
        pruned, _ = await self._feed.history.bounds()  # read last: changes may be pruned between the two reads
        if self.seq < pruned:
            raise Pruned
        if not changes:
            self.seq = max(self.seq, head)
        return changes
