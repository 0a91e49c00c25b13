"""Keep a list of the living actors on disk, so that the next service can end those that a killed service left behind.

An actor stays behind when it was stopped (SIGSTOP, a debugger) in its first moments: it has not yet asked the kernel to
be killed with the service, and cannot see the end of its pipe. An actor is known by its process id and its start time,
so that no other process is mistaken for it. A system that does not tell start times (any but Linux) gets no list, and
no process is ended.
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
"""Index of the start time among the fields after the name in /proc/PID/stat, in ticks since the machine started."""
SPAWNED: Final = b"multiprocessing"
"""Part of the command line of every actor."""


class OrphanList:
    """The file at `path` with one line for each living actor. Only one service uses it at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started: dict[int, str] = {}

    def end_orphans(self) -> None:
        """End the actors that the last service left behind, and empty the list."""
        try:
            lines = self._path.read_text("ascii").splitlines()
        except (OSError, ValueError):
            lines = []
        for line in lines:
            pid, _, started = line.partition(" ")
            if pid.isdigit() and started and started == start_time(int(pid)) and SPAWNED in _command_line(int(pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(int(pid), signal.SIGKILL)
                    facts = {"action": "orphan_killed", "pid": int(pid)}
                    logger.warning("An actor of the last service still ran. It was killed.", extra=facts)
        self._write()

    def add(self, pid: int) -> None:
        """Add an actor that was started."""
        if (started := start_time(pid)) is not None:
            self._started[pid] = started
            self._write()

    def remove(self, pid: int) -> None:
        """Remove an actor that is gone."""
        if self._started.pop(pid, None) is not None:
            self._write()

    def _write(self) -> None:
        """Write the list. A full disk is ignored, because the list is needed only rarely."""
        with suppress(OSError):
            self._path.write_text("".join(f"{pid} {started}\n" for pid, started in self._started.items()), "ascii")


def start_time(pid: int) -> str | None:
    """Return when a process was started. None: there is no such process, or the system does not tell."""
    try:
        return PROC.joinpath(str(pid), "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[STARTTIME]
    except (OSError, IndexError):
        return None


def _command_line(pid: int) -> bytes:
    try:
        return PROC.joinpath(str(pid), "cmdline").read_bytes()
    except OSError:
        return b""
