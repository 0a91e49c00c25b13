"""The files of a model with their digests, as they are offered to other machines.

A digest that was written down when the model was installed is taken from there. Others are computed once: again only
when size, time or number of the file changed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from whisper_service.cluster.file_push import FileOffer, OfferedFile
from whisper_service.core.files import sha256_of
from whisper_service.models.files import PATTERNS, read_origin

Stamp = tuple[int, int, int, int]
"""What changes with the content of a file: device, number, bytes, and the time of the last change in nanoseconds."""


class ModelDigests:
    """The digests of model files, computed once in the life of a process. May be used by several threads."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def offer_of(self, folder: Path) -> FileOffer:
        """Return the files of a model. Blocks: up to seconds for each gigabyte without a digest. Raises `OSError`."""
        written = read_origin(folder).sha256
        names = sorted(path.name for path in folder.iterdir() if any(fnmatch(path.name, each) for each in PATTERNS))
        files = tuple(self._file(folder / name, written) for name in names)
        if not files:
            raise FileNotFoundError(f"{folder} has no files of a model")
        lines = "".join(f"{file.sha256}  {file.name}\n" for file in files)
        return FileOffer(hashlib.sha256(lines.encode()).hexdigest(), files, str(folder))

    def _file(self, path: Path, written: Mapping[str, str]) -> OfferedFile:
        status = path.stat()
        if (digest := written.get(path.name)) is None:
            stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            with self._lock:  # several seats load the same model at once: one of them computes
                known = self._known.get(path)
                if known is None or known[0] != stamp:
                    known = self._known[path] = (stamp, sha256_of(path))
                digest = known[1]
        return OfferedFile(path.name, status.st_size, digest)
