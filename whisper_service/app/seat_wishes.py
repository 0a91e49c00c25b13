"""How much sound waits, how many speech actors that is worth, and the wish for them, which goes to the cluster."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import Final

import anyio

from whisper_service.cluster.far_links import FarLinks
from whisper_service.config.schema import ClusterSettings
from whisper_service.core.errors import ServiceError
from whisper_service.scheduler.context import Context
from whisper_service.scheduler.wanted_seats import WantedSeats
from whisper_service.storage.change_feed import ChangeFeed, Closed

logger = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""Seconds between two looks at the queue: a machine takes a minute to start at least."""
BYTES_A_SECOND: Final = 16_000
"""Bytes for a second of sound in a file of unknown length: MP3 of 128 kbit/s."""


class SeatWishes:
    """The wish for speech actors. `far`: None, there is no cluster."""

    def __init__(
        self,
        settings: ClusterSettings,
        context: Context,
        feed: ChangeFeed,
        far: FarLinks | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wanted: int | None = None  # seats; None: not looked yet, or there is no cluster
        self._settings = settings
        self._context = context
        self._feed = feed
        self._far = far
        self._clock = clock
        self._wanted = WantedSeats(settings.target_s, settings.max_seats)

    async def run(self) -> None:
        """Look at the queue now and every `LOOK_S` seconds. Ends with the feed, and at once without a cluster."""
        while self._far is not None:
            try:
                await self.look()
            except (sqlite3.Error, ServiceError):
                logger.exception("The queue could not be measured.", extra={"action": "wish_failed"})
            with anyio.move_on_after(LOOK_S):
                try:
                    await self._feed.wait_closed()
                except Closed:
                    return

    async def look(self) -> None:
        """Measure the queue and wish for as many seats as it is worth."""
        self.wanted = self._wanted.update(self._clock(), await self.waiting_s(), self._speed())
        if self._far is not None and self._settings.autoscale:
            self._far.wish(self.wanted)

    async def waiting_s(self) -> float:
        """Return the seconds of sound that have no text yet, of all jobs that wait or are in work."""
        waiting = await self._context.store.waiting_s(BYTES_A_SECOND)
        for run in list(self._context.ledger.runs.values()):
            length = run.duration_s or max(run.decoded_s, 0.0 if run.job.live else run.job.bytes / BYTES_A_SECOND)
            waiting += max(0.0, length - run.done_s())
        return waiting

    def _speed(self) -> float:
        """Return the speed of a far seat, the mean of those that were measured. 0: none was."""
        measured = [seat.speed.measured(seat.rung.slots) for seat in self._context.fleet.seats if seat.far]
        known = [speed for speed in measured if speed > 0]
        return sum(known) / len(known) if known else 0.0
