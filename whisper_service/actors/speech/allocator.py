"""Tunes the C allocator for CTranslate2: large blocks stay with the process instead of going back after every call.

Each encoded window allocates and frees tens of megabytes of attention scores. glibc serves such blocks with mmap and
returns them at once, so the kernel zeroes the pages again for every window: a third of the encoder's CPU time. With the
settings below the process keeps the pages until `release`. Other allocators (musl, macOS, Windows) stay as they are.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Final

# From glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8

_SETTINGS: Final = (
    (_M_ARENA_MAX, 1),  # with an arena per thread each would keep the memory of its peak
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, 2**31 - 1),
    (_M_TOP_PAD, 64 << 20),
)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None


def tune() -> bool:
    """Keep freed memory for the next window. Must come before the model is loaded. False: not possible here."""
    library = _glibc()
    return library is not None and all(library.mallopt(name, value) == 1 for name, value in _SETTINGS)


def release() -> bool:
    """Give unused memory back to the system. The next window pays for this. False: none, or not possible here."""
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))
