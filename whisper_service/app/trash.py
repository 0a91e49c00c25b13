"""Deleted jobs until they are gone for good: each may be had back for a while, then it is purged with all its files.

When that is, is in the database, so a restart changes nothing about it.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final

from whisper_service.core.errors import NotFound, ServiceError, Unavailable
from whisper_service.core.wakeup import Wakeup
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Until it is tried again after the store or the disk refused."""


class Trash:
    """`purge` removes a deleted job for good."""

    def __init__(
        self,
        store: Store,
        purge: Callable[[str], Awaitable[None]],
        *,
        keep_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.keep_s = keep_s
        self._store = store
        self._purge = purge
        self._wall = wall
        self._news = Wakeup()
        self._closed = False

    def tell(self) -> None:
        """There is something in it."""
        self._news.notify()

    def close(self) -> None:
        """Let `run` end."""
        self._closed = True
        self.tell()

    async def run(self) -> None:
        """Purge each job when its time has come; until `close`."""
        while not self._closed:
            try:
                wait = await self._empty()
            except Unavailable:  # the end came in the middle of it
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("deleted jobs could not be removed", extra={"action": "purge_failed"})
                wait = RETRY_S
            await self._news.wait(wait)

    async def _empty(self) -> float:
        """Purge what is due; seconds until the next one is."""
        for job_id, deleted_at in await self._store.trashed():
            left = deleted_at + self.keep_s - self._wall()
            if left > self.keep_s:  # the clock was set back: as if it had been deleted just now
                left = self.keep_s
            if left > 0:
                return left
            if self._closed:
                break
            try:
                await self._purge(job_id)
            except NotFound:
                continue  # restored, or purged by its user, meanwhile
        return float("inf")
