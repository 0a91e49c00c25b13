"""Measure what the service takes on the disk, by kind. A measurement looks at every file, so it is kept a while."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from anyio import Lock, to_thread

from whisper_service.app.models import ModelService
from whisper_service.core.domain import Value
from whisper_service.storage.data_dir import DataDir

KEPT_S: Final = 30.0
"""Seconds that a measurement counts. A walk through 10,000 files takes 0.05 s, and the page asks every two seconds."""


class DiskUse(Value, frozen=True):
    """Bytes on the disk by kind."""

    recordings_bytes: int  # with uploads that are not complete, listening copies, waveforms, decoded audio
    transcripts_bytes: int  # the database: jobs, texts and the index of the search
    models_bytes: int  # also of models outside the data directory


class DiskMeter:
    """Measures the disk use of a data directory, at most once in `KEPT_S`."""

    def __init__(self, data: DataDir, models: ModelService) -> None:
        self._data = data
        self._models = models
        self._lock = Lock()
        self._known: tuple[float, DiskUse] | None = None

    async def read(self) -> DiskUse:
        """Return the disk use, at most `KEPT_S` old."""
        async with self._lock:  # requests that come at the same time wait for one measurement
            if self._known is None or time.monotonic() - self._known[0] >= KEPT_S:
                models = sum(model.disk_bytes for model in (await self._models.list()).models)
                self._known = time.monotonic(), await to_thread.run_sync(measure, self._data, models)
            return self._known[1]


def measure(data: DataDir, models_bytes: int) -> DiskUse:
    """Return the disk use of a data directory. A recording that several jobs share counts once."""
    kinds = (data.media, data.uploads, data.spool, data.peaks, data.fine_peaks, data.copies)
    recordings = {mark: size for kind in kinds for mark, size in _files(kind)}
    database = (data.database.with_name(data.database.name + ending) for ending in ("", "-wal", "-shm"))
    transcripts = sum(path.stat().st_size for path in database if path.exists())
    return DiskUse(sum(recordings.values()), transcripts, models_bytes)


def _files(folder: Path) -> Iterator[tuple[object, int]]:
    """Yield a mark and the size of every file below a folder. Two names of one file have the same mark."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # deleted meanwhile
                    continue
                yield (stat.st_dev, stat.st_ino) if stat.st_nlink > 1 else entry.path, stat.st_size
    except FileNotFoundError:
        return
