"""Recover the data directory at a start, and keep the change log short."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection

from anyio.lowlevel import checkpoint

from whisper_service.core.errors import ServiceError
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import Uploads

logger = logging.getLogger(__name__)


async def recover(store: Store, data: DataDir) -> None:
    """What the last service had in work waits for its turn again. Nobody listens yet: the changes are in the log."""
    await store.recover(phase=None, speed=None, eta_s=None, problem=None, message="Goes on after a restart.")


async def keep_short(store: Store, broadcast: ChangeFeed, keep: int) -> None:
    """Prune the log now, and whenever it is a tenth longer than it should be; ends with the broadcast."""
    while True:
        try:
            while await store.change_log.prune(keep):
                await checkpoint()  # between two pages others have their turn at the database
        except (sqlite3.Error, ServiceError):
            logger.exception("the change log could not be pruned", extra={"action": "prune_failed"})
        try:
            await broadcast.wait_for(broadcast.head + max(1, keep // 10))
        except Closed:
            return


def sweep(data: DataDir, intake: Uploads, with_media: Collection[str], open_jobs: Collection[str]) -> None:
    """Remove files that no job has: uploads that broke off, recordings and waveforms that were to be removed when the last
    service ended, spools of jobs that are over."""
    intake.sweep(with_media)
    for directory, owners in ((data.spool, open_jobs), (data.peaks, with_media)):
        for path in directory.iterdir():
            if path.name.partition(".")[0] not in owners and not path.is_dir():
                path.unlink(missing_ok=True)
