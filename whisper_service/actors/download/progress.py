"""Progress reports of a download, from what is on the disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from whisper_service.models.files import file_size
from whisper_service.supervision.boot import Emit
from whisper_service.supervision.messages.download import (
    Download,
    DownloadProgress,
    EndpointState,
    Transfer,
    partial_of,
)

if TYPE_CHECKING:
    from whisper_service.actors.download.hub import RepoFile

PROGRESS_S: Final = 1.0
"""Seconds between two reports."""
SPEED_S: Final = 5.0
"""The reported speed is that of the last seconds."""


class ProgressReporter:
    """A context manager that reports every second how much of a model is on the disk.

    Only the sizes of the files count, so retries and restarts cannot make the numbers wrong.
    """

    def __init__(self, command: Download, emit: Emit, clock: Callable[[], float] = time.monotonic) -> None:
        self.failed: tuple[EndpointState, ...] = ()
        self._model = command.model
        self._partial = Path(partial_of(command.target))
        self._emit = emit
        self._clock = clock
        self._endpoint = ""
        self._sizes: dict[str, int | None] = {}
        self._parts: dict[str, Path] = {}
        self._measured: deque[tuple[float, int]] = deque()  # times and bytes
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()  # no progress may follow the report that ends the download

    def use_endpoint(self, endpoint: str, failed: tuple[EndpointState, ...]) -> None:
        """Report this endpoint from now on, and the endpoints that failed before."""
        self._endpoint, self.failed = endpoint, failed

    def expect(self, files: tuple[RepoFile, ...], parts: dict[str, Path]) -> None:
        """Report the total of these files from now on. `parts`: the paths of large files that are incomplete."""
        with self._lock:
            self._parts, self._sizes = parts, {file.name: file.size for file in files}
            self._measured.clear()  # bytes of earlier attempts do not count for the speed
        self.report()

    def report(self) -> None:
        """Emit a report now."""
        with self._lock:
            self._emit(self._progress())

    def on_disk(self) -> int:
        """Return the bytes of the expected files that are on the disk."""
        parts = {name: file_size(part) for name, part in self._parts.items()}
        return sum(parts.get(name) or file_size(self._partial / name) for name in self._sizes)

    def missing(self) -> int:
        """Return the bytes that are not on the disk yet. Files of unknown size count as empty."""
        return max(0, sum(size or 0 for size in self._sizes.values()) - self.on_disk())

    def _run(self) -> None:
        while True:
            self.report()
            if self._stop.wait(PROGRESS_S):
                return

    def _progress(self) -> DownloadProgress:
        now, have = self._clock(), self.on_disk()
        self._measured.append((now, have))
        while len(self._measured) > 2 and now - self._measured[1][0] >= SPEED_S:
            self._measured.popleft()
        since, before = self._measured[0]
        speed = max(0.0, (have - before) / (now - since)) if now > since else 0.0
        sizes = list(self._sizes.values())
        total = sum(size or 0 for size in sizes) if sizes and None not in sizes else None
        left = None if total is None or not speed else max(0, total - have) / speed
        return DownloadProgress(self._model, Transfer(have, total, speed, left, self._endpoint, self.failed))
