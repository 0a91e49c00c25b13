"""Which children there are, written down: a service that is killed may leave one behind, which the next service ends.

That is one that was stopped (SIGSTOP, a debugger) in its first moments: it has not asked the kernel yet to be killed with its
parent, and cannot see the end of its pipe. A child is known by its process id and the time of its birth, so that no other
process is taken for it. Where the system does not tell that time (it is not Linux), nothing is written and nobody is killed.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

PROC: Final = Path("/proc")
STARTTIME: Final = 19
"""Index of the time of birth, in ticks since the machine was started, among the fields behind the name in /proc/PID/stat."""
SPAWNED: Final = b"multiprocessing"
"""What the command line of each of our children has in it."""


class OrphanList:
    """A line for each living child in the file at `path`. One service at a time has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._born: dict[int, str] = {}

    def clear(self) -> None:
        """End whom the last service left behind."""
        try:
            lines = self._path.read_text("ascii").splitlines()
        except (OSError, ValueError):
            lines = []
        for line in lines:
            pid, _, born = line.partition(" ")
            if pid.isdigit() and born and born == birth(int(pid)) and SPAWNED in _command(int(pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
                    logger.warning(
                        "a child of the last service was still there and is ended",
                        extra={"action": "orphan_killed", "pid": int(pid)},
                    )
        self._write()

    def enter(self, pid: int) -> None:
        """A child was started."""
        if (born := birth(pid)) is not None:
            self._born[pid] = born
            self._write()

    def leave(self, pid: int) -> None:
        """It is gone."""
        if self._born.pop(pid, None) is not None:
            self._write()

    def _write(self) -> None:
        """On a full disk it has to do without: it is for the rare case alone."""
        with suppress(OSError):
            self._path.write_text("".join(f"{pid} {born}\n" for pid, born in self._born.items()), "ascii")


def birth(pid: int) -> str | None:
    """When this process was born; None: it is not there, or nobody can say."""
    try:
        return PROC.joinpath(str(pid), "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[STARTTIME]
    except (OSError, IndexError):
        return None


def _command(pid: int) -> bytes:
    try:
        return PROC.joinpath(str(pid), "cmdline").read_bytes()
    except OSError:
        return b""
