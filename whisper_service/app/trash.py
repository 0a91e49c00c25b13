"""Delete the jobs in the trash for good when their time is over.

The database has the time of each deletion, so that a restart changes nothing.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final

from whisper_service.core.errors import NotFound, ServiceError, Unavailable
from whisper_service.core.wakeup import Wakeup
from whisper_service.storage.store import Store

logger = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""Seconds until the next try after the store or the disk refused."""


class Trash:
    """The deleted jobs. Each can be restored for `keep_s` seconds."""

    def __init__(
        self,
        store: Store,
        delete: Callable[[str], Awaitable[None]],
        *,
        keep_s: float,
    ) -> None:
        self.keep_s = keep_s
        self._store = store
        self._delete = delete
        self.news = Wakeup()  # a job came into the trash, or `keep_s` was changed

    async def run(self) -> None:
        """Delete each job when its time is over, until `news` is closed."""
        while not self.news.closed:
            try:
                wait_s = await self._delete_due()
            except Unavailable:  # the service ends
                return
            except (sqlite3.Error, OSError, ServiceError):
                logger.exception("Deleted jobs could not be removed.", extra={"action": "purge_failed"})
                wait_s = RETRY_S
            await self.news.wait(wait_s)

    async def _delete_due(self) -> float:
        """Delete the jobs whose time is over, and return the seconds until the next one is due."""
        for job_id, deleted_at in await self._store.trashed():
            left_s = min(self.keep_s, deleted_at + self.keep_s - time.time())  # the clock may have been set back
            if left_s > 0:
                return left_s
            if self.news.closed:
                break
            try:
                await self._delete(job_id)
            except NotFound:
                continue  # deleted or restored meanwhile
        return math.inf
