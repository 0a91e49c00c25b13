"""What processes use, seen from outside: CPU seconds of a whole process tree, resident memory as the kernel counts it.

Linux only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

MB = 1_000_000


class Spent(NamedTuple):
    """Seconds of wall time and of CPU time."""

    wall: float
    cpu: float


def tree_cpu(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants. Ended ones are in the sums of their parents."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and the same of processes that were waited for
        except psutil.NoSuchProcess:
            continue
    return total


def high_water(pid: int) -> int:
    """Return the most resident memory that a process ever had, in bytes (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


class Sampler:
    """The largest resident memory of some processes, looked at every 50 ms in a thread."""

    INTERVAL_S = 0.05

    def __init__(self, pids: Iterable[int]) -> None:
        self.peaks: dict[int, int] = {}
        self._processes = [psutil.Process(pid) for pid in pids]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self.INTERVAL_S):
            for process in self._processes:
                try:
                    self.peaks[process.pid] = max(self.peaks.get(process.pid, 0), process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
