"""A GPU in trouble: its memory filled, and an error that stays in a process. Through the driver's own interface."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from whisper_service.actors.speech import main as real
from whisper_service.supervision.messages.speech import Transcribe
from whisper_service.supervision.protocol import Command, Report

MB = 1 << 20
POKE = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry poke()
{
    .reg .u64 %address;
    .reg .u32 %value;
    mov.u64 %address, 16;
    mov.u32 %value, 1;
    st.global.u32 [%address], %value;
    ret;
}
"""
"""A kernel that writes where nobody may."""


class Driver:
    """The CUDA driver in this process, with the context that CTranslate2 uses as well."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name: str, *arguments: Any) -> None:
        code = self.attempt(name, *arguments)
        assert code == 0, f"{name} answered {code}"

    def attempt(self, name: str, *arguments: Any) -> int:
        return int(getattr(self._library, name)(*arguments))

    def fill(self, spare: int) -> None:
        """Take all memory but `spare` bytes."""
        free, total, pointer = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint64()
        size = 256 * MB
        while size >= MB:
            self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
            if free.value - size < spare or self.attempt("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size)):
                size //= 2

    def poke(self) -> int:
        """Let the GPU write to a forbidden address. Return the code of the driver."""
        module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), POKE)
        self.call("cuModuleGetFunction", ctypes.byref(kernel), module, b"poke")
        self.call("cuLaunchKernel", kernel, 1, 1, 1, 1, 1, 1, 0, None, None, None)
        return self.attempt("cuCtxSynchronize")


def _hold(spare: int, ready: Connection) -> None:
    Driver().fill(spare)
    ready.send(True)
    ready.recv()  # until the other end is closed or told so


@contextmanager
def filled(spare: int) -> Iterator[None]:
    """Take all memory of the GPU but this much, in another process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_hold, args=(spare, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.recv(), "the card could not be filled"
        yield
    finally:
        here.close()
        process.kill()
        process.join()
        process.close()


class _Poking:
    """An inbox that breaks the GPU once, before the first batch."""

    def __init__(self, inbox: Any) -> None:
        self._inbox = inbox

    def get(self, timeout: float | None = None) -> Command | None:
        command: Command | None = self._inbox.get(timeout)
        mark = Path(os.environ["POKED"])
        if isinstance(command, Transcribe) and not mark.exists():
            mark.write_text(str(Driver().poke()))
        return command

    def cancelled(self, job_id: str) -> bool:
        return bool(self._inbox.cancelled(job_id))


def poked(inbox: Any, emit: Callable[[Report], None]) -> None:
    """Run the real speech actor on a GPU with an error that stays, once."""
    real.run(_Poking(inbox), emit)  # type: ignore[arg-type]
