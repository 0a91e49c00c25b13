"""A part of a file whose header states other lengths than the file on the disk. FFmpeg reads it like a file."""

from __future__ import annotations

import io
import os
from pathlib import Path

from whisper_service.actors.media.file_part import FilePart


class PatchedFile:
    """The bytes of a part, with its `lengths` in place of those that are stored. Only reads."""

    def __init__(self, path: Path, part: FilePart) -> None:
        """Open the file. Raises `OSError`."""
        self._file = path.open("rb")
        self._part = part
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, none at the end of the part."""
        left = max(0, self._part.end - self._part.begin - self._at)
        self._file.seek(self._part.begin + self._at)
        data = bytearray(self._file.read(left if size < 0 else min(size, left)))
        for at, value in self._part.lengths:
            first, last = max(at, self._at), min(at + len(value), self._at + len(data))
            if first < last:
                data[first - self._at : last - self._at] = value[first - at : last - at]
        self._at += len(data)
        return bytes(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place and return its distance from the first byte of the part."""
        size = self._part.end - self._part.begin
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """Return the distance from the first byte of the part."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        self._file.close()
