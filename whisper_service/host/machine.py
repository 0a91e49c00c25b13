"""This machine as far as the choice of a model goes: cores and memory. Reads a few files, starts nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.host.cpu import cores

SHARE: Final = 0.75
"""Of the memory that a model may count on: the system, other programs and the service want the rest."""
_GROUP: Final = Path("/sys/fs/cgroup")


class Machine(Value, frozen=True):
    """`memory_bytes` is all there is, a limit of the container included; 0: the system does not say."""

    cpus: int
    memory_bytes: int

    @property
    def for_models(self) -> int:
        """Bytes that a model may count on."""
        return int(self.memory_bytes * SHARE)


def look(group: Path = _GROUP) -> Machine:
    """The machine, as this process may use it."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, some systems not these names
        total = 0
    limits = [limit for name in ("memory.max", "memory/memory.limit_in_bytes") if (limit := _number(group / name))]
    return Machine(cores(), min([total, *limits]) if total else 0)


def free_memory(group: Path = _GROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that could still be had, within the limit of the container; None: the system does not say."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    if found and (limit := _number(group / "memory.max")):
        found.append(max(0, limit - _number(group / "memory.current")))
    return min(found, default=None)


def _number(file: Path) -> int:
    """The number in a file; 0 if there is none ("max": no limit)."""
    try:
        text = file.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
