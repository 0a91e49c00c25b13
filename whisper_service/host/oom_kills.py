"""Whether the kernel killed for want of memory: counters to be read before and after a child's life.

SIGKILL looks the same whoever sent it. The control group that a child shares with the service counts what the kernel's OOM
killer took from it; where no group does, the whole machine's counter has to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
MACHINE: Final = Path("/proc/vmstat")


def kills(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP, machine: Path = MACHINE) -> int:
    """Processes killed so far, here or on this machine; 0 where the system does not say. It never falls."""
    for file in (*_counters(cgroups, membership), machine):
        for line in _lines(file):
            match line.split():
                case ["oom_kill", count] if count.isdecimal():
                    return int(count)
    return 0


def _counters(cgroups: Path, membership: Path) -> Iterator[Path]:
    """The files that may count for the group of this process. In a container its path may be the host's, and only the root is there."""
    for line in _lines(membership):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path.strip().lstrip("/"))
        if controllers == "":
            yield from (
                root / member / "memory.events" for member in (group, "") for root in (cgroups, cgroups / "unified")
            )
        elif "memory" in controllers.split(","):
            yield from (cgroups / controllers / member / "memory.oom_control" for member in (group, ""))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):  # not Linux, or hidden
        return []
