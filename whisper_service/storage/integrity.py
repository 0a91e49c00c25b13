"""Remember whether the database file is sound, so that not every start checks it. A check takes seconds per gigabyte.

A mark beside the file says how the file was when it was last known to be sound. No check is needed for a file

- that was closed and has the size and modification time of then, or
- whose process was killed, if the machine was not restarted since: the system keeps what a process has written.

Every other file is checked: after a power cut, a copy, a restored backup or a change by another program.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

BOOT = Path("/proc/sys/kernel/random/boot_id")


class FileMark(msgspec.Struct, frozen=True):
    """A sound file: as it was when it was closed, or without size and time while it is open."""

    inode: int
    boot: str
    size: int | None = None
    mtime_ns: int | None = None


def is_known_good(path: Path) -> bool:
    """Return whether the file is still the one that the mark describes."""
    try:
        mark = msgspec.json.decode(_mark_of(path).read_bytes(), type=FileMark)
        status = path.stat()
    except (OSError, msgspec.DecodeError):
        return False
    if mark.size is None:
        return (mark.inode, mark.boot) == (status.st_ino, _boot()) and mark.boot != ""
    return (mark.size, mark.mtime_ns) == (status.st_size, status.st_mtime_ns) and not _has_wal(path)


def mark_open(path: Path) -> None:
    """Mark the file as sound and open."""
    _write(path, FileMark(path.stat().st_ino, _boot()))


def mark_closed(path: Path) -> None:
    """Mark the file as sound and closed. A file whose mark was deleted while it was open gets none."""
    if not _mark_of(path).exists():
        return
    status = path.stat()
    _write(path, FileMark(status.st_ino, _boot(), status.st_size, status.st_mtime_ns))


def delete_mark(path: Path) -> None:
    """Make the next start check the file, for example because damage was found."""
    with suppress(OSError):
        _mark_of(path).unlink(missing_ok=True)


def _write(path: Path, mark: FileMark) -> None:
    """Write the mark. Without room for it the next start checks the file."""
    try:
        _mark_of(path).write_bytes(msgspec.json.encode(mark))
    except OSError:
        delete_mark(path)


def _has_wal(path: Path) -> bool:
    """Return whether a write-ahead log beside the file has changes that are not in the file yet."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-sound")


def _boot() -> str:
    """Return the id that the system drew when it started. Empty: unknown."""
    try:
        return BOOT.read_text("ascii").strip()
    except OSError:
        return ""
