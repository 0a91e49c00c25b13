"""What a benchmark prints: the machine, tables, quantiles."""

from __future__ import annotations

import math
import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Return a line about the machine and its present load."""
    cpu = platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    libraries = ", ".join(f"{name} {version(name)}" for name in ("ctranslate2", "faster-whisper"))
    return (
        f"machine: {cpu}, {cores} cores{_cards()}, Python {platform.python_version()}, {libraries}, load average {load}"
    )


def _cards() -> str:
    """Return the GPUs, as their driver names them."""
    if shutil.which("nvidia-smi") is None:
        return ""
    words = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return "".join(
        f", {card}" for card in subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(f"| {' | '.join(head)} |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values are (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Return the median with the range of all values."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"
