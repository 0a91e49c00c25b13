"""A small disk that can be filled."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Ballast:
    """A file that takes all the room on a small disk, and gives it back."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        with suppress(OSError), self._path.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                self._until_full(file.fileno(), bytes(size))

    @staticmethod
    def _until_full(descriptor: int, block: bytes) -> None:
        try:
            while os.write(descriptor, block) == len(block):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def free(self) -> None:
        self._path.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[str | None]:
    """A disk of this size at `path` until the end of the block. Yields the reason if there can be none."""
    path.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "chaos", str(path)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        reason = None if done.returncode == 0 else done.stderr.strip() or f"mount ended with {done.returncode}"
    except OSError as error:
        reason = str(error)
    try:
        yield reason
    finally:
        if reason is None:
            subprocess.run(["umount", "--lazy", str(path)], check=False)
