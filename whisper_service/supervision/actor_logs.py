"""The log files of actors. Each actor process writes one file, and the newest few files of each name are kept."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 8192
KEPT: Final = 5
"""Log files of each name."""


def create(directory: Path, name: str) -> Path:
    """Create a log file that no other process uses, not even one of an earlier service. Raises `OSError`.

    The oldest files of this name are deleted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    earlier = sorted(directory.glob(f"{name}-*.log"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in earlier[: -(KEPT - 1)]:
        path.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S")
    for number in itertools.count():
        log = directory / f"{name}-{stamp}-{number}.log"
        try:
            log.open("xb").close()
        except FileExistsError:
            continue
        return log
    raise AssertionError("there is always another number")


def tail(log: Path, most: int = TAIL_BYTES) -> str:
    """Return the end of a log, at most `most` bytes. Empty: the log cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
