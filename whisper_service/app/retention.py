"""What is kept of jobs that are over, and for how long: which recordings and which jobs go, oldest first.

`due` is pure. `Retention` looks from time to time and asks for what is due; who does it looks again whether it still may.
Nothing of a job that waits, is in work or paused is ever due.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, NamedTuple

import anyio

from whisper_service.core.domain import Status, Value
from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.core.job_states import TERMINAL
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.queries import StoredJob
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
LOOK_S: Final = 600.0
"""Seconds between two looks; a limit may be exceeded for so long."""
JUMP_S: Final = 3_600.0
"""A clock that ran so much faster than time did was set: until the next look it is not believed that everything is old."""


class RetentionRules(Value, frozen=True):
    """0: for ever, or without limit."""

    media_s: float = 0.0  # a recording after the end of its job
    jobs_s: float = 0.0  # a job with its text after its end
    media_bytes: int = 0  # all recordings together

    def __bool__(self) -> bool:
        return bool(self.media_s or self.jobs_s or self.media_bytes)


class DueJobs(NamedTuple):
    """Identifiers of jobs."""

    media: Sequence[str]  # lose their recording
    jobs: Sequence[str]  # go as a whole


def due(rules: RetentionRules, kept: Collection[StoredJob], now: float) -> DueJobs:
    """What has to go, oldest first; `now` in Unix seconds.

    Who can be tried again - failed, or with gaps - loses its recording for its age alone, not because room is short.
    """
    over = sorted(
        (job for job in kept if job.status in TERMINAL and job.finished_at is not None),
        key=lambda job: (job.finished_at, job.id),
    )
    jobs = [job.id for job in over if rules.jobs_s and now - (job.finished_at or now) > rules.jobs_s]
    with_media = [job for job in over if not job.media_removed and job.id not in set(jobs)]
    media = [job.id for job in with_media if rules.media_s and now - (job.finished_at or now) > rules.media_s]
    gone = {*media, *jobs}
    room = sum(job.bytes for job in kept if not job.media_removed and job.id not in gone)
    for job in with_media:
        if not rules.media_bytes or room <= rules.media_bytes:
            break
        if job.id not in gone and job.status is not Status.FAILED and not job.gaps:
            media.append(job.id)
            room -= job.bytes
    return DueJobs(media, jobs)


class Retention:
    """Applies the rules until the broadcast is closed."""

    def __init__(
        self,
        rules: RetentionRules,
        store: Store,
        broadcast: ChangeFeed,
        remove_media: Callable[[str], Awaitable[object]],
        remove_job: Callable[[str], Awaitable[object]],
        *,
        look_s: float = LOOK_S,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._store = store
        self._broadcast = broadcast
        self._remove_media = remove_media
        self._remove_job = remove_job
        self._look_s = look_s
        self._wall = wall
        self._clock = clock
        self._seen = (wall(), clock())

    async def run(self) -> None:
        """Look now and again and again; at once an end without any rule."""
        while self._rules:
            try:
                await self.look()
            except Unavailable:  # the end came in the middle of it
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("what is not to be kept could not be removed", extra={"action": "retention_failed"})
            with anyio.move_on_after(self._look_s):
                try:
                    await self._broadcast.wait_closed()
                except Closed:
                    return

    async def look(self) -> None:
        """Remove what is due now."""
        if self._jumped():
            logger.warning(
                "the clock was set forward: nothing is removed for its age yet", extra={"action": "clock_jumped"}
            )
            return
        media, jobs = due(self._rules, await self._store.stored_jobs(), self._wall())
        for job_id in media:
            await self._remove_media(job_id)
        for job_id in jobs:
            await self._remove_job(job_id)
        if media or jobs:
            facts = {"action": "retention", "media": len(media), "jobs": len(jobs)}
            logger.info("removed %d recordings and %d jobs as configured", len(media), len(jobs), extra=facts)

    def _jumped(self) -> bool:
        """Whether the clock was set forward since the last look."""
        (wall, clock), self._seen = self._seen, (self._wall(), self._clock())
        return (self._seen[0] - wall) - (self._seen[1] - clock) > JUMP_S
