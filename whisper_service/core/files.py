"""Write files so that they survive a power cut, and turn a full disk into an answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisper_service.core.errors import DiskFull


@contextmanager
def disk() -> Iterator[None]:
    """A full disk is an answer to the client, not a crash."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull() from error
        raise


def sync_directory(path: Path) -> None:
    """Make a rename survive a power cut; only POSIX can, and need be told to."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
