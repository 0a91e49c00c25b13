"""Measure the memory of this machine, within the limits of the control groups of this process. Reads files only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from whisper_service.host import cgroup

MEMINFO: Final = Path("/proc/meminfo")
_FILES: Final = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Version of control groups -> the files with limit and use, and the name of the file cache in `memory.stat`."""


def total(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> int:
    """Return the bytes of memory that this process may use; 0: the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, some systems not these names
        return 0
    return min([total, *(limit for limit, _ in _limits(root, membership))])


def free(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP, meminfo: Path = MEMINFO) -> int | None:
    """Return the bytes that could be had without swapping; None: the system does not say."""
    for line in cgroup.read(meminfo).splitlines():
        match line.split():
            case ["MemAvailable:", size, "kB"] if size.isdecimal():
                left = (max(0, limit - used) for limit, used in _limits(root, membership))
                return min([int(size) << 10, *left])
    return None


def _limits(root: Path, membership: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit and the use in bytes of every control group that has a limit.

    File cache that the kernel can take back does not count: writing recordings soon fills a group with it.
    """
    for directory, version in cgroup.groups("memory", root, membership):
        limit, current, cache = _FILES[version]
        allowed = cgroup.read(directory / limit).strip()
        if allowed.isdecimal() and int(allowed):
            used = cgroup.read(directory / current).strip()
            stat = cgroup.counters(directory / "memory.stat")
            yield int(allowed), int(used) - stat.get(cache, 0) if used.isdecimal() else 0
