"""The allocator of the C library, really tuned in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from whisper_service.actors.speech import allocator

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc")

# Blocks of 64 MB, as for encoding: how many page faults does a second one cost, and does `release` free the first?
PROGRAM = """
import ctypes, resource, sys
from whisper_service.actors.speech import allocator
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(64 << 20)
    ctypes.memset(block, 1, 64 << 20)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

tuned = allocator.tune() if sys.argv[1] == "tune" else None
first, second = faults(), faults()
released = allocator.release()
print(tuned, first, second, released, faults())
"""


def run(how: str) -> list[str]:
    said = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return said.stdout.split()


@glibc
def test_a_block_is_kept_until_it_is_released() -> None:
    tuned, first, second, released, third = run("tune")
    assert (tuned, released) == ("True", "True")
    assert int(second) < int(first) / 10, "the pages of the first block were not used again"
    assert int(third) > int(first) / 2, "the pages were kept"


@glibc
def test_without_tuning_every_block_costs_its_pages_again() -> None:
    _, first, second, _, _ = run("leave")
    assert int(second) > int(first) / 2


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    allocator._glibc.cache_clear()
    assert (allocator.tune(), allocator.release()) == (False, False)
    monkeypatch.undo()
    allocator._glibc.cache_clear()


def test_a_c_library_without_these_settings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    assert (allocator.tune(), allocator.release()) == (False, False)
