"""Count the processes that the kernel killed because memory ran out. Read the count before and after an actor's life.

SIGKILL looks alike whoever sent it. The actors share the control group of the service, which counts what the kernel's OOM
killer took from it. Where no group counts, the counter of the whole machine is used.
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
