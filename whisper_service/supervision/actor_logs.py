"""The logs of the children: one file each, the last few of each name, and the last words in them."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 8192
KEPT: Final = 5


def create(directory: Path, name: str) -> Path:
    """A log that no other child has: not even one of an earlier service, whose last words somebody may want to read.

    Only the last few of a name are kept. Raises `OSError`.
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
    """The last words of a child, at most so many bytes."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
