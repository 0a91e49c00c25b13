"""Find the cause of a failure in an error text, or in the exit code and the log of an actor. Pure.

The service and the actors use this module. The patterns match texts of CTranslate2, cuBLAS, oneDNN, glibc and the C++
runtime. The first rule that matches wins, and the order matters: a text about memory is often followed by other CUDA
texts.
"""

from __future__ import annotations

import re
import signal
from enum import StrEnum
from typing import Final

from whisper_service.core.domain import Problem, Value
from whisper_service.supervision.link import Exit


class FaultKind(StrEnum):
    """The classes of failure that need different answers."""

    OOM = "oom"  # memory of the device or the host: work lighter
    CUDA = "cuda"  # any other CUDA failure: the context is lost, start a new process
    LIBRARY_MISSING = "library_missing"  # a shared library is missing: a new start does not help
    DEVICE_UNUSABLE = "device_unusable"  # no GPU, no driver or an old one: another device is needed
    MODEL_BROKEN = "model_broken"  # the files of the model cannot be loaded
    MODEL_UNAVAILABLE = "model_unavailable"  # the model is not on this machine
    MEDIA = "media"  # the recording itself
    DISK_FULL = "disk_full"
    KILLED = "killed"  # SIGKILL from outside, not by the kernel for lack of memory
    CRASHED = "crashed"  # abort, segmentation fault, illegal instruction, unexpected exception
    HUNG = "hung"  # no answer before the deadline
    LOST = "lost"  # the machine of the actor, or the way to it, is gone: says nothing about the actor and its work
    UNKNOWN = "unknown"


class Diagnosis(Value, frozen=True):
    """A cause for programs, and a `Problem` for people."""

    kind: FaultKind
    problem: Problem


_OOM_HINT: Final = "Close other programs that use the device, choose a smaller model, or lower speech.batch_size."
_RULES: Final[tuple[tuple[FaultKind, re.Pattern[str], str, str], ...]] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE), message, hint)
    for kind, pattern, message, hint in (
        (
            FaultKind.OOM,
            r"out of memory|bad_alloc|bad allocation|MemoryError|failed to allocate|can(no|')t allocate memory"
            r"|failed to map segment"
            r"|CUBLAS_STATUS_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED|CUDNN_STATUS_ALLOC_FAILED"
            # CTranslate2 reports a lack of memory with these texts or with "out of memory".
            r"|cudaErrorMemoryAllocation|parallel_for failed|cudaErrorInvalidDevice(?!Pointer|Function)"
            # There is no room for the stack of a thread.
            r"|(RuntimeError:|what\(\):)\s+Resource temporarily unavailable|can't start new thread"
            r"|libgomp: Thread creation failed|OMP: Error #34",
            "There was not enough memory for the model and its work.",
            _OOM_HINT,
        ),
        (
            FaultKind.LIBRARY_MISSING,
            r"lib(cublas|cudnn|cudart|cuda|nvrtc)[\w.-]* is not found or cannot be loaded"
            r"|Unable to load any of \{lib|cannot open shared object file|Could not load library lib",
            "A library that the GPU needs is missing.",
            'Install it with `pip install "whisper_service[cuda]"`, or set speech.device = "cpu".',
        ),
        (
            FaultKind.DEVICE_UNUSABLE,
            r"driver version is insufficient",
            "The NVIDIA driver is missing, or older than the CUDA runtime needs.",
            'Install or update the driver, or set speech.device = "cpu".',
        ),
        (
            FaultKind.DEVICE_UNUSABLE,
            r"no CUDA-capable device|not compiled with CUDA support|CUDA failed with error invalid device ordinal",
            "There is no such GPU, or CUDA cannot use it.",
            'Check what `nvidia-smi` lists and CUDA_VISIBLE_DEVICES, or set speech.device = "cpu".',
        ),
        (
            FaultKind.CUDA,
            r"CUBLAS_STATUS_NOT_SUPPORTED|CUBLAS_STATUS_ARCH_MISMATCH|no kernel image is available",
            "The GPU cannot compute with this type of numbers.",
            'Set speech.compute_type = "float16", or "float32" on an old card.',
        ),
        (
            FaultKind.CUDA,
            r"CUDA failed|cuBLAS failed|CUBLAS_STATUS|cuDNN failed|CUDNN_STATUS|illegal memory access"
            r"|unspecified launch failure",
            "The GPU reported an error.",
            "The work is tried again in a new process. If it fails again, check the driver and the card.",
        ),
        (
            FaultKind.MODEL_BROKEN,
            r"Unable to open file .*model\.bin|Unsupported model binary version|model\.bin is incomplete"
            r"|Unexpected end of file|File model\.bin|failed to read|vocabulary.*not found"
            r"|not a (valid )?CTranslate2|Cannot load the vocabulary|Invalid model|alignment head",
            "The files of the model are incomplete or damaged.",
            "Remove the model and install it again.",
        ),
        (
            FaultKind.DISK_FULL,
            r"No space left on device|ENOSPC|disk quota exceeded|database or disk is full",
            "The disk is full.",
            "Free some space and retry. Finished work is kept.",
        ),
    )
)

_SIGNALS: Final[dict[int, str]] = {
    int(getattr(signal, name)): words  # by name: numbers differ between systems, and Windows has only a few
    for name, words in (
        ("SIGSEGV", "a segmentation fault"),
        ("SIGABRT", "an abort inside a native library"),
        ("SIGFPE", "an arithmetic fault"),
        ("SIGILL", "an instruction that this processor does not have"),
        ("SIGBUS", "a bus error"),
        ("SIGSYS", "a system call that is forbidden here"),
    )
    if hasattr(signal, name)
}
EXIT_UNCAUGHT: Final = 70
"""Exit code of an actor that an exception ended (EX_SOFTWARE). The log ends with the traceback."""
_KILL: Final = int(getattr(signal, "SIGKILL", 9))
_RETRY: Final = "The process starts again by itself. Only its unfinished work is done again."
_LOST_HINT: Final = "The work goes on elsewhere, or when the machine is back. Only what it had in hand is done again."


def classify(text: str, exit_code: int | None = None, *, oom_killed: bool = False) -> Diagnosis:
    """Return the diagnosis for `text` (an exception, or the end of a log) and the exit code of an actor.

    `exit_code` is that of `multiprocessing`: negative for a signal, None while the process lives. `oom_killed`: the
    kernel killed for lack of memory while the actor lived.
    """
    if exit_code == -_KILL and oom_killed:
        message = "The system ran out of memory and killed the process."
        return _diagnose(FaultKind.OOM, message, _OOM_HINT, text)
    for kind, pattern, message, hint in _RULES:
        if found := list(pattern.finditer(text)):  # the last one: a traceback shows the source line before the error
            return _diagnose(kind, message, hint, text, found[-1].start())
    if exit_code == -_KILL:
        return _diagnose(FaultKind.KILLED, "The process was killed from outside.", _RETRY, text)
    if exit_code is not None and exit_code < 0:
        what = _SIGNALS.get(-exit_code, f"signal {-exit_code}")
        return _diagnose(FaultKind.CRASHED, f"The process ended with {what}.", _RETRY, text)
    if exit_code == EXIT_UNCAUGHT and (exception := _exception(text)):
        return _diagnose(FaultKind.CRASHED, f"The process ended with an exception: {exception}", _RETRY, text)
    if exit_code:
        return _diagnose(FaultKind.CRASHED, f"The process ended unexpectedly with exit code {exit_code}.", _RETRY, text)
    return _diagnose(FaultKind.UNKNOWN, "Something unexpected happened.", _RETRY, text)


def diagnose(ended: Exit) -> Diagnosis:
    """Return why an actor ended."""
    if ended.lost is not None:
        return _diagnose(FaultKind.LOST, ended.lost, _LOST_HINT, ended.words)
    return classify(ended.words, ended.code, oom_killed=ended.oom_killed)


def hung(seconds: float) -> Diagnosis:
    """Return the diagnosis for an actor that did not answer within `seconds`."""
    message = f"There was no answer for {seconds:.0f} seconds, so the process was replaced."
    return _diagnose(FaultKind.HUNG, message, _RETRY, "")


def unreadable_message(detail: str) -> Diagnosis:
    """Return the diagnosis for an actor that sent bytes which are no message."""
    message = "The process sent a message that cannot be read, so it was replaced."
    return _diagnose(FaultKind.CRASHED, message, _RETRY, detail)


def _diagnose(kind: FaultKind, message: str, hint: str, text: str, at: int | None = None) -> Diagnosis:
    """Put the line of `text` at index `at` (None: the last line) into the problem, for experts."""
    if at is None:
        lines = text.strip().splitlines()
        detail = lines[-1] if lines else ""
    else:
        begin = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        detail = text[begin : end if end >= 0 else len(text)]
    params = {"detail": detail.strip()[:500]} if detail.strip() else {}
    return Diagnosis(kind=kind, problem=Problem(code=kind.value, message=message, hint=hint, params=params))


def _exception(text: str) -> str:
    """Return the last line of the last traceback in a log, like "ValueError: bad input". Empty: there is none."""
    _, found, trace = text.rpartition("Traceback (most recent call last):\n")
    lines = (line.strip() for line in trace.splitlines() if line[:1].strip())  # lines of the stack are indented
    return next(lines, "")[:300] if found else ""
