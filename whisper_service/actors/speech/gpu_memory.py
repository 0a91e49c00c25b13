"""Waits, before a model is loaded, until memory that somebody is giving back has come back.

A process that ended leaves its share of a GPU's memory a moment later; a new one that loads at once would find it full. Asks
the driver's own libraries, if they are there, and opens nothing on the GPU by that. The service itself never asks.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from typing import Final

from whisper_service.host import memory

logger = logging.getLogger(__name__)

LONGEST_S: Final = 5.0
STEP_S: Final = 0.25
RISE_BYTES: Final = 16 << 20
"""Less than this in a step is no rise."""


class _Info(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def settle(
    free: Callable[[], int | None],
    wanted: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until `wanted` bytes are free, or what is free rises no more; at most `LONGEST_S`. Returns the seconds waited."""
    began = clock()
    before = free()
    while before is not None and before < wanted and clock() - began < LONGEST_S:
        sleep(STEP_S)
        now = free()
        if now is None or now - before < RISE_BYTES:
            break
        before = now
    return clock() - began


def free_on(device: str) -> int | None:
    """Bytes that are free on "cpu" or "cuda:N"; None where nobody says."""
    kind, _, number = device.partition(":")
    try:
        if kind == "cpu":
            return memory.free()
        info = _of_gpu(int(number or 0))
    except (OSError, AttributeError) as error:  # no such library, or one without these functions
        logger.debug("free memory of %s is not known: %s", device, error)
        return None
    return None if info is None else int(info.free)


def total_on_gpu(number: int = 0) -> int | None:
    """Bytes that a graphics card has; None where nobody says."""
    try:
        info = _of_gpu(number)
    except (OSError, AttributeError):
        return None
    return None if info is None else int(info.total)


def _of_gpu(number: int) -> _Info | None:
    """Through NVML, which numbers the cards otherwise than CUDA does: the driver tells the bus address of CUDA's."""
    driver, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
    device, address = ctypes.c_int(), ctypes.create_string_buffer(32)
    handle, info = ctypes.c_void_p(), _Info()
    found = (
        driver.cuInit(0) == 0
        and driver.cuDeviceGet(ctypes.byref(device), number) == 0
        and driver.cuDeviceGetPCIBusId(address, len(address), device) == 0
        and nvml.nvmlInit_v2() == 0
        and nvml.nvmlDeviceGetHandleByPciBusId_v2(address, ctypes.byref(handle)) == 0
        and nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(info)) == 0
    )
    return info if found else None


def driver_version() -> tuple[int, int] | None:
    """The CUDA version that the installed driver can do; None: there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        version = ctypes.c_int()
        if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10
