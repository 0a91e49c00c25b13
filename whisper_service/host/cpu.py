"""How many cores this process may use: what the scheduler allows, and what a container's quota leaves of it.

A container with a quota of two CPUs on a host of 64 sees all 64; as many threads would only be stopped in turns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


def cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Whole cores, at least one. Without Linux' knowledge of affinity and quotas, every core of the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(allowed), *_quotas(cgroups, membership)])))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """The CPUs that each control group above this process grants; those without a limit are left out."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):  # not Linux, or hidden
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            directories, read = [cgroups, cgroups / "unified"], _quota
        elif "cpu" in controllers.split(","):
            directories, read = [cgroups / controllers, cgroups / "cpu"], _old_quota
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for directory in directories:
            # A group's parents limit it too. In a container the path may be the host's, and only the root is there.
            for member in (group, *group.parents):
                quota = read(directory / member)
                if quota is not None:
                    yield quota


def _quota(group: Path) -> float | None:
    """Version 2: "max 100000" or "200000 100000", microseconds of CPU time per period."""
    match _words(group / "cpu.max"):
        case [quota, period]:
            return _share(quota, period)
    return None


def _old_quota(group: Path) -> float | None:
    """Version 1: two files; a quota of -1 is no limit."""
    match _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us"):
        case [quota], [period]:
            return _share(quota, period)
    return None


def _share(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None
    return int(quota) / int(period)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeError):
        return []
