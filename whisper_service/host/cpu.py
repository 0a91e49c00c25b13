"""Count the cores that this process may use: the scheduler's affinity and the CPU quota of its control groups.

A container with a quota of two CPUs on a host of 64 sees all 64. That many threads would stop each other in turns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from whisper_service.host import cgroup


def cores(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> int:
    """Return how many whole cores this process may use, at least one. Without Linux: every core of the machine."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([float(allowed), *_quotas(root, membership)])))


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """Yield the CPUs that each control group grants. A group without a quota yields nothing."""
    for directory, version in cgroup.groups("cpu", root, membership):
        if version == 2:  # "200000 100000" or "max 100000": microseconds of CPU time, and the period
            words = cgroup.read(directory / "cpu.max").split()
        else:  # one number in each file; a quota of -1 is no limit
            words = [
                word for name in ("quota", "period") for word in cgroup.read(directory / f"cpu.cfs_{name}_us").split()
            ]
        match words:
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
                yield int(quota) / int(period)
