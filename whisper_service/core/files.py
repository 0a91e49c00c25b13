"""Write files so that they survive a power cut, hash them, and report a full disk as an error for users."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from whisper_service.core.errors import DiskFull


def is_disk_full(error: BaseException) -> bool:
    """Return whether an operation failed because the disk or the user's quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_as_error(message: str | None = None) -> Iterator[None]:
    """Raise `DiskFull` instead of the `OSError` of a full disk. Other errors pass."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise DiskFull(message) from error
        raise


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of `data` to an unbuffered file, which may take only a part at a time. Raises `DiskFull`."""
    with full_disk_as_error():
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def sync_file(file: IO[bytes]) -> None:
    """Bring the content of an open file to stable storage."""
    file.flush()
    os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to stable storage, so that a rename survives a power cut. POSIX only."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:  # some file systems cannot do this, and some directories may be written but not read
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise


def write_whole(path: Path, data: bytes, *, draft: Path | None = None) -> None:
    """Write a file so that it has all of `data` or stays as it was, even after a power cut.

    `draft`: the file that is written first, in the same directory. None: a hidden one with a random name.
    """
    draft = draft or path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with draft.open("xb") as file:
            file.write(data)
            sync_file(file)
        draft.replace(path)
        sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Return the path of a file that is not complete and gets its name later. Beside `path`."""
    return path.with_name(f"{path.name}.part")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits. Blocks for as long as the disk takes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
