"""Delete the recordings and jobs that are too old or take too much space, oldest first, as configured.

A listening copy goes with its recording. Where space is short, copies go before any recording: they can be made again.
What tells speakers apart may go before the text of its job; who says what stays.

`due` is pure. Only jobs that have ended are ever due. `Retention` asks for each deletion, and who carries it out checks
again that the job has not been started since.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, NamedTuple

import anyio

from whisper_service.config.schema import StorageSettings
from whisper_service.core.domain import Status
from whisper_service.core.errors import ServiceError, Unavailable
from whisper_service.core.job_states import TERMINAL
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.queries import StoredJob
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

DAY_S: Final = 86_400.0
LOOK_S: Final = 600.0
"""Seconds between two looks. A limit may be exceeded for so long."""
JUMP_S: Final = 3_600.0
"""A clock that gained more seconds than this on the real time was set. Until the next look, nothing counts as old."""


class DueJobs(NamedTuple):
    """The ids of jobs that have to go."""

    media: Sequence[str]  # only the recording, with its listening copy
    jobs: Sequence[str]  # the whole job
    copies: Sequence[str] = ()  # only the listening copy


def due(rules: StorageSettings, stored: Collection[StoredJob], now: float) -> DueJobs:
    """Return what has to be deleted, oldest first. `now` is in Unix seconds.

    A job that can be retried, because it failed or has gaps, loses its recording by age only, not for space.
    Listening copies go first for space, of any job.
    """
    ended = sorted(
        (job for job in stored if job.status in TERMINAL and job.finished_at is not None),
        key=lambda job: (job.finished_at, job.id),
    )
    media_s, jobs_s = rules.keep_media_days * DAY_S, rules.keep_jobs_days * DAY_S
    jobs = [job.id for job in ended if jobs_s and now - (job.finished_at or now) > jobs_s]
    with_media = [job for job in ended if not job.media_removed and job.id not in set(jobs)]
    media = [job.id for job in with_media if media_s and now - (job.finished_at or now) > media_s]
    gone = {*media, *jobs}
    used = sum(job.bytes + job.copy_bytes for job in stored if not job.media_removed and job.id not in gone)
    copies: list[str] = []
    for job in with_media:
        if not rules.max_media_bytes or used <= rules.max_media_bytes:
            break
        if job.id not in gone and job.copy_bytes:
            copies.append(job.id)
            used -= job.copy_bytes
    for job in with_media:
        if not rules.max_media_bytes or used <= rules.max_media_bytes:
            break
        if job.id not in gone and job.status is not Status.FAILED and not job.gaps:
            media.append(job.id)
            used -= job.bytes
    return DueJobs(media, jobs, tuple(job_id for job_id in copies if job_id not in set(media)))


class Retention:
    """Applies the rules until the change feed is closed."""

    def __init__(
        self,
        rules: StorageSettings,
        store: Store,
        feed: ChangeFeed,
        remove_copy: Callable[[str], Awaitable[object]],
        remove_media: Callable[[str], Awaitable[object]],
        remove_job: Callable[[str], Awaitable[object]],
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._store = store
        self._feed = feed
        self._remove_copy = remove_copy
        self._remove_media = remove_media
        self._remove_job = remove_job
        self._wall = wall
        self._clock = clock
        self._last_look = (wall(), clock())

    async def run(self) -> None:
        """Look now and every `LOOK_S` seconds. Ends at once if there are no rules."""
        rules = self._rules
        while rules.keep_media_days or rules.keep_jobs_days or rules.keep_voices_days or rules.max_media_bytes:
            try:
                await self.look()
            except Unavailable:  # the service ends
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("Old recordings or jobs could not be removed.", extra={"action": "retention_failed"})
            with anyio.move_on_after(LOOK_S):
                try:
                    await self._feed.wait_closed()
                except Closed:
                    return

    async def look(self) -> None:
        """Delete what is due now."""
        if self._clock_jumped():
            message = "The clock was set forward. Nothing is removed for its age yet."
            logger.warning(message, extra={"action": "clock_jumped"})
            return
        media, jobs, copies = due(self._rules, await self._store.stored_jobs(), self._wall())
        for job_id in copies:
            await self._remove_copy(job_id)
        for job_id in media:
            await self._remove_media(job_id)
        for job_id in jobs:
            await self._remove_job(job_id)
        if media or jobs or copies:
            facts = {"action": "retention", "media": len(media), "jobs": len(jobs), "copies": len(copies)}
            text = "Removed %d listening copies, %d recordings and %d jobs as configured."
            logger.info(text, len(copies), len(media), len(jobs), extra=facts)
        await self._delete_voices()

    async def _delete_voices(self) -> None:
        """Delete the voices of jobs that ended long ago."""
        if not (kept_s := self._rules.keep_voices_days * DAY_S):
            return
        if jobs := await self._store.speakers.delete_voices(before=self._wall() - kept_s):
            facts = {"action": "retention", "voices": jobs}
            logger.info("Removed what told the speakers of %d jobs apart, as configured.", jobs, extra=facts)

    def _clock_jumped(self) -> bool:
        """Return whether the clock was set forward since the last look."""
        (wall, clock), self._last_look = self._last_look, (self._wall(), self._clock())
        return (self._last_look[0] - wall) - (self._last_look[1] - clock) > JUMP_S
