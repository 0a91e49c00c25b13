"""Recover the data directory at a start, and keep the change log short."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection

import anyio
from anyio.lowlevel import checkpoint

from whisper_service.core.errors import ServiceError
from whisper_service.core.files import draft_of
from whisper_service.storage.change_feed import ChangeFeed, Closed
from whisper_service.storage.data_dir import DataDir
from whisper_service.storage.store import Store
from whisper_service.storage.uploads import Uploads

logger = logging.getLogger(__name__)


async def prune_changes(
    store: Store, feed: ChangeFeed, keep: int, keep_s: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Delete changes that are older than the last `keep` and than `keep_s` seconds. Ends with the feed.

    This happens at once, and whenever there are a tenth more. What was in the log at the start counts as new then: how
    old that is is not stored.
    """
    marks: deque[tuple[float, int]] = deque()  # when the log had reached which change
    while True:
        old = clock() - keep_s
        marks.append((clock(), feed.head))
        while len(marks) > 1 and marks[1][0] <= old:
            marks.popleft()
        up_to = marks[0][1] if marks[0][0] <= old else 0
        try:
            while up_to and await store.change_log.prune(keep, up_to=up_to):
                await checkpoint()  # lets others use the database
        except (sqlite3.Error, ServiceError):
            logger.exception("The change log could not be pruned.", extra={"action": "prune_failed"})
        too_new = up_to < feed.head - keep  # some changes wait for their time only
        try:
            with anyio.move_on_after(keep_s / 10 if too_new else None):
                await feed.wait_for(feed.head + max(1, keep // 10))
        except Closed:
            return


def sweep(
    data: DataDir,
    uploads: Uploads,
    with_media: Collection[str],
    open_jobs: Collection[str],
    away: Collection[str] = (),
) -> None:
    """Delete files that no job has: broken uploads, recordings and waveforms of deleted jobs, spools of ended jobs.

    A draft of a listening copy is of no use: a new decode makes the copy anew.

    The last service may have ended before it could delete them. What was fetched from web pages is fetched anew.
    """
    for path in data.sites.iterdir():
        shutil.rmtree(path, ignore_errors=True)
    uploads.sweep(set(with_media) - set(away))  # what is in object storage is only a copy here
    of_recordings = ((folder, with_media) for folder in (data.peaks, data.fine_peaks, data.copies))
    for directory, owners in ((data.spool, open_jobs), *of_recordings):
        for path in directory.iterdir():
            kept = path.name.partition(".")[0] in owners and path != draft_of(path.with_suffix(""))
            if not kept and not path.is_dir():
                path.unlink(missing_ok=True)
