"""Measures the memory of GPUs, and waits before a model is loaded until released memory is free.

A process that ended releases its GPU memory a moment later. A new process that loads at once would find the GPU full.
Asks the libraries of the driver, if there are any, which opens nothing on the GPU. The service itself never asks.
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
    """The struct `nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def wait_until_free(
    free: Callable[[], int | None],
    wanted: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Wait until `wanted` bytes are free or no more comes, at most `LONGEST_S`. Return the seconds waited."""
    began = clock()
    before = free()
    while before is not None and before < wanted and clock() - began < LONGEST_S:
        sleep(STEP_S)
        now = free()
        if now is None or now - before < RISE_BYTES:
            break
        before = now
    return clock() - began


def free_bytes(device: str) -> int | None:
    """Return the free bytes of "cpu" or "cuda:N". None: unknown."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return memory.free()
    info = _gpu_info(int(number or 0))
    return None if info is None else int(info.free)


def total_bytes(number: int = 0) -> int | None:
    """Return the bytes of a graphics card. None: unknown."""
    info = _gpu_info(number)
    return None if info is None else int(info.total)


def driver_version() -> tuple[int, int] | None:
    """Return the highest CUDA version of the installed driver. None: there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        version = ctypes.c_int()
        if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def _gpu_info(number: int) -> _Info | None:
    """Return the memory of a card from NVML, which numbers cards otherwise than CUDA: both know the bus address."""
    device, address = ctypes.c_int(), ctypes.create_string_buffer(32)
    handle, info = ctypes.c_void_p(), _Info()
    try:
        driver, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
        found = (
            driver.cuInit(0) == 0
            and driver.cuDeviceGet(ctypes.byref(device), number) == 0
            and driver.cuDeviceGetPCIBusId(address, len(address), device) == 0
            and nvml.nvmlInit_v2() == 0
            and nvml.nvmlDeviceGetHandleByPciBusId_v2(address, ctypes.byref(handle)) == 0
            and nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(info)) == 0
        )
    except (OSError, AttributeError) as error:  # no such library, or one without these functions
        logger.debug("The memory of GPU %s is unknown: %s", number, error)
        return None
    return info if found else None
