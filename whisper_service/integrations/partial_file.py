"""The file of a recording that comes in parts: what is written is counted only when it is on stable storage."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from whisper_service.core.files import full_disk_as_error, sync_file, write_all


class PartialFile:
    """The file of an unfinished recording, written from `start` on. The file must exist."""

    def __init__(self, path: Path, start: int) -> None:
        self._file: BinaryIO = path.open("r+b", buffering=0)
        self._file.truncate(start)
        self._file.seek(start)

    def write(self, data: bytes, sync: bool) -> None:
        """Append bytes. With `sync` wait until the whole file is on stable storage."""
        with full_disk_as_error():
            write_all(self._file, data)
            if sync:
                sync_file(self._file)

    def close(self) -> None:
        self._file.close()


def stored_bytes(path: Path, known: int) -> int:
    """Return how many of the known bytes are really on the disk: all or none."""
    try:
        return known if path.stat().st_size >= known else 0
    except OSError:
        return 0
