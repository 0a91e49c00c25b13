"""A spool file: written from its beginning while other processes already read it.

A repeated decode writes the same bytes over the old ones. The file is opened without truncation and cut to its length
only at the end, so no byte that a reader was promised disappears.

The service creates the file, and the actor never does: a file that was deleted with its job must not come back.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from whisper_service.core.files import sync_directory, sync_file


class SpoolFile:
    """An open spool file, as a context manager. Without `seal`, the end of an earlier attempt may stay in the file."""

    def __init__(self, path: str | Path, place: int = 0) -> None:
        """Open the file to write from byte `place` on. Raises `FileNotFoundError`."""
        self._path = Path(path)
        self._file = self._path.open("r+b")
        self._file.seek(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:
            if kind is None:  # else the first error counts, for instance a full disk
                raise

    def write(self, data: bytes | memoryview) -> None:
        """Write behind the bytes that were written since the file was opened."""
        self._file.write(data)

    def write_ahead(self, data: bytes) -> None:
        """Show readers bytes behind those that were written. What is written next takes their place."""
        place = self._file.tell()
        self._file.write(data)
        self._file.seek(place)  # writes what is buffered

    def flush(self) -> None:
        """Make all written bytes visible to readers."""
        self._file.flush()

    def sync(self) -> None:
        """Bring the written bytes to stable storage."""
        sync_file(self._file)

    def seal(self) -> None:
        """Cut the file after the written bytes, and bring the file and its name to stable storage."""
        self._file.truncate()
        sync_file(self._file)
        sync_directory(self._path.parent)
