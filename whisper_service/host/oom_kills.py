"""Count the processes that the kernel killed because memory ran out. Read the count before and after an actor's life.

SIGKILL does not say who sent it. The control group of the service, which has its actors too, counts the kills of the
kernel's OOM killer. Where no group counts them, the counter of the whole machine is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from whisper_service.host import cgroup

VMSTAT: Final = Path("/proc/vmstat")
_FILES: Final = {1: "memory.oom_control", 2: "memory.events"}


def count(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP, vmstat: Path = VMSTAT) -> int:
    """Return the kills so far in the nearest group that counts, else on the machine; 0: the system does not say."""
    groups = cgroup.groups("memory", root, membership)
    for file in (*(directory / _FILES[version] for directory, version in groups), vmstat):
        if (kills := cgroup.counters(file).get("oom_kill")) is not None:
            return kills
    return 0
