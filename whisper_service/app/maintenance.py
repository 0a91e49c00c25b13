"""Recover the data directory at a start, and keep the change log short."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Collection

from anyio.lowlevel import checkpoint

from whisper_service.core.errors import ServiceError
from whisper_service.core.files import draft_of
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import Uploads

logger = logging.getLogger(__name__)


async def prune_changes(store: Store, feed: ChangeFeed, keep: int) -> None:
    """Delete old changes now, and whenever there are a tenth more than `keep`. Ends with the feed."""
    while True:
        try:
            while await store.change_log.prune(keep):
                await checkpoint()  # lets others use the database
        except (sqlite3.Error, ServiceError):
            logger.exception("The change log could not be pruned.", extra={"action": "prune_failed"})
        try:
            await feed.wait_for(feed.head + max(1, keep // 10))
        except Closed:
            return


def sweep(data: DataDir, uploads: Uploads, with_media: Collection[str], open_jobs: Collection[str]) -> None:
    """Delete files that no job has: broken uploads, recordings and waveforms of deleted jobs, spools of ended jobs.

    A draft of a listening copy is of no use: a new decode makes the copy anew.

    The last service may have ended before it could delete them. What was fetched from web pages is fetched anew.
    """
    for path in data.sites.iterdir():
        shutil.rmtree(path, ignore_errors=True)
    uploads.sweep(with_media)
    of_recordings = ((folder, with_media) for folder in (data.peaks, data.fine_peaks, data.copies))
    for directory, owners in ((data.spool, open_jobs), *of_recordings):
        for path in directory.iterdir():
            kept = path.name.partition(".")[0] in owners and path != draft_of(path.with_suffix(""))
            if not kept and not path.is_dir():
                path.unlink(missing_ok=True)
