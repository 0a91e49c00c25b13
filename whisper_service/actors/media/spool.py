"""A file that is written from its beginning while others already read it.

A decode that starts again writes the same bytes over those that are there, so nothing that a reader was promised ever
disappears: the file is opened without truncation and cut to length only at the end.

Who wants the file makes it, and who writes it does not: what was removed with its job must not come back because a writer
heard late of that.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from whisper_service.core.files import sync_directory, sync_file


class SpoolFile:
    """A context manager. Leaving it without `seal` leaves the file as it is, perhaps with an older tail."""

    def __init__(self, path: str | Path) -> None:
        """Raises `FileNotFoundError` if there is no such file (any more)."""
        self._path = Path(path)
        self._file = self._path.open("r+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            if kind is None:  # else the disk was full before, and that is what is told
                raise

    def write(self, data: bytes | memoryview) -> None:
        """Append behind what was written since the file was opened."""
        self._file.write(data)

    def flush(self) -> None:
        """Let readers see all that was written."""
        self._file.flush()

    def seal(self) -> None:
        """Cut the file to what was written and bring it, and its name, to stable storage."""
        self._file.truncate()
        sync_file(self._file)
        sync_directory(self._path.parent)
