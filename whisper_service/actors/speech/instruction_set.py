"""Chooses the instructions that CTranslate2 computes with: AVX-512 on processors that gain by it.

CTranslate2 takes AVX2 on every x86 processor unless it is told, because early ones with AVX-512 (Skylake, Cascade Lake)
lower their clock for it. Ice Lake, Zen 4 and later ones do not. Must come before a model is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "CT2_FORCE_CPU_ISA"
"""Read by CTranslate2 when it loads its first model. A value that somebody set stays."""
NEEDED: Final = frozenset({"avx512f", "avx512cd", "avx512vl", "avx512bw", "avx512dq"})
"""What CTranslate2's AVX-512 code is compiled for (its CMakeLists.txt)."""
SINCE_ICE_LAKE: Final = "avx512_bitalg"
"""Ice Lake and Zen 4 brought it, so it tells them from the earlier ones."""
CPUINFO: Final = Path("/proc/cpuinfo")


def choose(cpuinfo: Path = CPUINFO) -> bool:
    """Have CTranslate2 use AVX-512 where that is faster. False: it chooses by itself, as always outside of Linux."""
    if VARIABLE in os.environ or not NEEDED | {SINCE_ICE_LAKE} <= _flags(cpuinfo):
        return False
    os.environ[VARIABLE] = "AVX512"
    return True


def _flags(cpuinfo: Path) -> frozenset[str]:
    """Return what the processor can do, as Linux names it."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            first = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return frozenset()
    return frozenset(first.partition(":")[2].split())
