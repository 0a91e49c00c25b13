"""Whether the database file must be read through before it is trusted. That takes seconds per gigabyte, and a start should not.

A note beside the file says what it was when it was last known to be sound. A file that is still that needs no look: one that
was closed, by its size and time; one whose process was killed, as long as the machine was not restarted since: what a process
has written stays with the system, however the process ends. Everything else - a power cut, a copy, a backup that was put back,
any change by others, no note - is read through.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

BOOT = Path("/proc/sys/kernel/random/boot_id")


class CloseMark(msgspec.Struct, frozen=True):
    """What a sound file looked like: when it was closed, or, without size and time, while it was in use."""

    inode: int
    boot: str
    size: int | None = None
    mtime_ns: int | None = None


def known(path: Path) -> bool:
    """Whether this file is the one that the note is about."""
    try:
        note = msgspec.json.decode(_note_of(path).read_bytes(), type=CloseMark)
        there = path.stat()
    except (OSError, msgspec.DecodeError):
        return False
    if note.size is None:
        return (note.inode, note.boot) == (there.st_ino, _boot()) and note.boot != ""
    return (note.size, note.mtime_ns) == (there.st_size, there.st_mtime_ns) and not _unfinished(path)


def opened(path: Path) -> None:
    """It was found sound and is in use from now on."""
    _write(path, CloseMark(path.stat().st_ino, _boot()))


def closed(path: Path) -> None:
    """It was closed; nothing is left to be moved into it, unless another program still holds it. What was forgotten while it was
    in use stays so."""
    if not _note_of(path).exists():
        return
    there = path.stat()
    _write(path, CloseMark(there.st_ino, _boot(), there.st_size, there.st_mtime_ns))


def _write(path: Path, note: CloseMark) -> None:
    """Without room for it the next start looks."""
    try:
        _note_of(path).write_bytes(msgspec.json.encode(note))
    except OSError:
        forget(path)


def forget(path: Path) -> None:
    """Have the next start look: damage was met, say."""
    with suppress(OSError):
        _note_of(path).unlink(missing_ok=True)


def _unfinished(path: Path) -> bool:
    """Whether a log of changes lies beside it that are not in it."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-sound")


def _boot() -> str:
    """Names the time since the machine was started; empty: not known."""
    try:
        return BOOT.read_text("ascii").strip()
    except OSError:
        return ""
